"""What the attacks need of the machine."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


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
