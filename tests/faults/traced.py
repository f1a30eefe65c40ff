"""Commits under ``strace``: which system calls they make, and what if one fails.

A ``Zygote`` has imported everything and forks a child per run. ``strace`` is attached
to the child before it starts its scenario, so each call that is traced, counted or
injected into is one of the scenario.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import pytest
from samples import environment

# File system calls; those without a path or a file are no business of ours.
CALLS = "%file,%desc"
IGNORED = {"recvfrom", "sendto", "mmap", "fcntl", "ioctl", "lseek", "execve"}

_CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+|\?)(.*)$")


def require(*command: str) -> None:
    """Skip the test unless a program works; where ``CI`` is ``true``, fail."""
    path = shutil.which(command[0])
    works = path and subprocess.run(command, capture_output=True).returncode == 0
    if not works:
        reason = f"{' '.join(command)} does not work here"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def require_strace() -> None:
    """Need ``strace``, and the right to use it."""
    require("strace", "-qq", "-e", "trace=none", "true")


class Call(NamedTuple):
    """One system call."""

    name: str
    arguments: str
    nth: int  # of its name, from 1
    failed: bool


class Outcome(NamedTuple):
    """What became of a run.

    Args:
        died: Whether the process was killed.
        error: Name of the class of what was raised; ``None`` if all went well.
        bases: Names of all classes of the error.
        text: What it says.
        calls: The calls that were made, the last one is missing if it was killed.
    """

    died: bool
    error: Optional[str]
    bases: List[str]
    text: str
    calls: List[Call]


class Zygote:
    """A process whose children run the scenarios of ``scenarios.py``."""

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self._socket.settimeout(60.0)
        script = os.path.join(os.path.dirname(__file__), "scenarios.py")
        with other:
            self._process = subprocess.Popen(
                [sys.executable, script, str(other.fileno())],
                env=environment(),
                pass_fds=[other.fileno()],
            )

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.wait(60.0)

    def run(self, scenario: str, directory: Path, inject: str = "") -> Outcome:
        """Run a scenario in a directory, with what ``strace -e inject=`` takes."""
        log = directory.with_suffix(".log")
        self._socket.sendall(f"{scenario} {directory}".encode())
        pid = int(self._receive())
        command = ["strace", "-y", "-s", "16", "-o", str(log), "-p", str(pid)]
        command += ["-e", f"trace={CALLS}"]
        if inject:
            command += ["-e", f"inject={inject}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            line = strace.stderr.readline()
            self._socket.sendall(b"go")
            assert "attached" in line, line + strace.stderr.read()
            found: Dict[str, Any] = json.loads(self._receive())
        return Outcome(calls=_parse(log.read_text()), **found)

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 16)
        assert data, "the zygote has died"
        return data


def _parse(log: str) -> List[Call]:
    calls: List[Call] = []
    seen: Dict[str, int] = {}
    for line in log.splitlines():
        match = _CALL.match(line)
        if match and match.group(1) not in IGNORED:
            name = match.group(1)
            seen[name] = seen.get(name, 0) + 1
            failed = match.group(3) == "-1"
            calls.append(Call(name, match.group(2), seen[name], failed))
    return calls
