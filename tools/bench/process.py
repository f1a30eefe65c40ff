"""Whole processes, timed by the system's own accounting, and drivers to talk to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from subjects import DRIVERS, OURS, Subject, environment, python_of

# What ``-c`` runs finds packages in the current folder first: there must be none.
ELSEWHERE = os.sep


class Usage(NamedTuple):
    """What a process took: seconds of wall clock, MiB of memory at its peak."""

    seconds: float
    mebibytes: float


# Without site and its path, this is as small as an interpreter gets: the system counts
# the memory of whoever starts a program as the program's own peak.
_LAUNCHER = """
import os, sys, time
null = os.open(os.devnull, os.O_RDWR)
for line in sys.stdin:
    command = line.rstrip("\\n").split("\\0")
    started = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ,
                         file_actions=[(os.POSIX_SPAWN_DUP2, null, 0),
                                       (os.POSIX_SPAWN_DUP2, null, 1)])
    _, status, usage = os.wait4(pid, 0)
    print(status, time.perf_counter() - started, usage.ru_maxrss, flush=True)
"""


class Launcher:
    """A small process that starts others and tells what they took."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
            cwd=ELSEWHERE,
        )

    def run(self, python: str, code: str, *arguments: str) -> Usage:
        """Run code in a new interpreter, which must succeed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        one_line = f"exec({code!r})"  # a line is a command
        command = [python, "-W", "ignore", "-c", one_line, *arguments]
        self._process.stdin.write("\0".join(command) + "\n")
        self._process.stdin.flush()
        status, seconds, size = self._process.stdout.readline().split()
        if int(status):
            raise RuntimeError(f"{command} ended with the status {status}")
        kibi = 1 << 20 if sys.platform == "darwin" else 1 << 10  # by system
        return Usage(float(seconds), int(size) / kibi)

    def close(self) -> None:
        """End the process."""
        _end(self._process)


class Driver:
    """A process inside a subject's environment that does what it is told."""

    def __init__(self, subject: Subject, environments: Path) -> None:
        self._process = subprocess.Popen(
            [
                python_of(subject, environments),
                str(DRIVERS / subject.driver),
                *(() if subject is OURS else (subject.module,)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self.answer()

    def ask(self, what: str, *arguments: object) -> None:
        """Send an order; ``answer`` waits for what comes of it."""
        self._order({"do": what, "with": arguments, "times": 1})

    def seconds(self, what: str, *arguments: object, times: int = 1) -> float:
        """Tell how long one of so many times took, in seconds."""
        self._order({"do": what, "with": arguments, "times": times})
        return float(self.answer())

    def answer(self) -> Any:
        """Wait for the answer to an order."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} has ended")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        _end(self._process)

    def _order(self, order: Dict[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.wait(30)
    process.stdout.close()


def all_at_once(commands: List[Sequence[str]]) -> List[Optional[float]]:
    """Start commands together and wait for all.

    Returns:
        Seconds until each had ended, ``None`` for those that failed.
    """
    started = time.perf_counter()
    running = [
        subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
            cwd=ELSEWHERE,
        )
        for command in commands
    ]
    found: List[Optional[float]] = []
    for process in running:
        status = process.wait(120)
        seconds = time.perf_counter() - started
        found.append(None if status else seconds)
    return found
