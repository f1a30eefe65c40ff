"""What the attacks need of the machine, and what a log of ``strace`` says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import List, NamedTuple

import pytest

# File system calls; those without a path or a file are no business of ours.
CALLS = "%file,%desc"

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
    """One system call of a log."""

    name: str
    arguments: str
    failed: bool


def calls_in(log: str) -> List[Call]:
    """Read the calls of a log, in order; what strace says besides is left out."""
    found = map(_CALL.match, log.splitlines())
    return [
        Call(match.group(1), match.group(2), match.group(3) == "-1")
        for match in found
        if match
    ]
