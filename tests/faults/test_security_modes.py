"""Modes of everything that is written, at the moment of creation and afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import pytest
from planted import spread
from proof import Effort, Tally
from samples import environment
from traced import CALLS, Call, calls_in, require_strace

NAMES = ("everything", "import", "commands", "completions")
UMASKS = range(0o1000)
USUAL = (0o000, 0o002, 0o007, 0o022, 0o027, 0o077, 0o777)
PREFIX = "work-of-a-umask-"
MEMORY = "/dev/shm"
PRIVATE = {0o600, 0o700}  # of files, of directories

_MODE = re.compile(r"\b0[0-7]{3}\b")


class Workers:
    """A process whose children do the works of ``umasked.py``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket, other = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self._socket.settimeout(120.0)
        script = os.path.join(os.path.dirname(__file__), "umasked.py")
        with other:
            self._process = subprocess.Popen(
                [sys.executable, script, str(other.fileno())],
                env={**environment(), "TMPDIR": str(folder)},
                pass_fds=[other.fileno()],
            )

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.wait(60.0)

    def run(self, name: str, umask: int) -> Dict[str, List[int]]:
        """Do a work; return the modes that each path had, seen from outside later."""
        return self._run(name, umask, trace="")

    def calls(self, name: str, umask: int) -> List[Call]:
        """Do a work; return the system calls that it made in its folder."""
        log = self._folder / f"{name}-{umask:03o}.log"
        self._run(name, umask, trace=str(log))
        return [call for call in calls_in(log.read_text()) if PREFIX in call.arguments]

    def _run(self, name: str, umask: int, trace: str) -> Dict[str, List[int]]:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._folder))
        try:
            self._socket.sendall(f"{name} {umask:o} {folder}".encode())
            pid = self._receive().decode()
            tracer = _attached(pid, trace) if trace else None
            self._socket.sendall(b"go")
            found: Dict[str, Any] = json.loads(self._receive())
            if tracer is not None:
                tracer.communicate(timeout=60.0)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        assert "" == found["failure"], f"{name}, umask {umask:03o}"
        modes: Dict[str, List[int]] = found["modes"]
        return modes

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 20)
        assert data, "the process has died"
        return data


def _attached(pid: str, log: str) -> subprocess.Popen[str]:
    command = ["strace", "-y", "-s", "16", "-o", log, "-p", pid]
    tracer = subprocess.Popen(
        [*command, "-e", f"trace={CALLS}"], stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    assert "attached" in line, line
    return tracer


def _in_memory() -> Optional[str]:
    # Modes are the same there, and no disk is waited for.
    return MEMORY if os.access(MEMORY, os.R_OK | os.W_OK | os.X_OK) else None


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    # Not below pytest's folder, which an ordinary user may not enter.
    with tempfile.TemporaryDirectory(dir=_in_memory()) as folder:
        os.chmod(folder, 0o711)
        made = Workers(Path(folder))
        yield made
        made.close()


@pytest.mark.attack("10")
def test_umasks(workers: Workers, tally: Tally, effort: Effort) -> None:
    """Logins, refreshes, quarantines, imports, commands and completions under any umask: files are 0600 and directories 0700."""
    cases = [(name, umask) for umask in UMASKS for name in NAMES[1:]]
    cases = spread(cases, effort(30))
    cases += [(NAMES[0], umask) for umask in spread([*UMASKS], effort(48))]
    cases += [(NAMES[0], umask) for umask in USUAL]
    for name, umask in cases:
        modes = workers.run(name, umask)
        assert {} == {
            path: [f"{mode:o}" for mode in found]
            for path, found in modes.items()
            if not set(found) <= PRIVATE
        }, f"{name}, umask {umask:03o}"
        tally(sum(map(len, modes.values())))


def made_with(call: Call) -> List[int]:
    """Tell which modes a call gives to something: made, or made anew."""
    is_made = "O_CREAT" in call.arguments or call.name.startswith(("mkdir", "mknod"))
    if not call.failed and (is_made or "chmod" in call.name):
        return [int(mode, 8) for mode in _MODE.findall(call.arguments.split(", ")[-1])]
    return []


@pytest.mark.attack("10")
def test_creation(workers: Workers, tally: Tally, effort: Effort) -> None:
    """The same, seen with strace: no file or directory is readable by others at any moment from its creation on."""
    require_strace()
    cases = [(name, umask) for umask in (0, 0o777, 0o022, 0o277) for name in NAMES]
    for name, umask in cases[: effort(16, least=4)]:
        calls = workers.calls(name, umask)
        made = [(call, mode) for call in calls for mode in made_with(call)]
        assert [] == [
            (call.name, call.arguments) for call, mode in made if mode & 0o077
        ]
        assert len(made) > 4, name
        tally(len(made))
