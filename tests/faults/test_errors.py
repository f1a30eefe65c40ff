"""A disk that refuses, or takes less than it is given, at any system call."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest
import scenarios
from beside import look
from samples import environment, python
from sweep import Outcome, Sweep, content, files_left
from test_crash import WRITERS, after, before
from traced import require_strace
from tracer import Fault

from neuro_config._directory import ADVICE

ERRORS = ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES", "EMFILE")


def advice(fault: Fault) -> str:
    """What an error of the system is called in ours."""
    return ADVICE[getattr(errno, fault.kind)]


@pytest.mark.attack("3", "12")
@pytest.mark.parametrize("scenario", WRITERS)
def test_a_failing_call_leaves_the_old_state_and_no_litter(
    sweep: Sweep, scenario: str, tmp_path: Path
) -> None:
    """Any system call of a commit fails in any way: survived, or one typed error, the old bytes, no file, lock or litter left."""
    words = set()

    def check(fault: Fault, directory: Path, outcome: Outcome) -> None:
        assert not outcome.died, fault
        assert ([], []) == (files_left(outcome, fault), outcome.held), fault
        if outcome.error is None:
            assert after(scenario) == look(str(directory)), fault
        else:
            assert "StorageError" in outcome.bases, (fault, outcome.text)
            assert advice(fault) in outcome.text, (fault, outcome.text)
            words.add(outcome.text.partition(": ")[2].partition(":")[0])
            if "may not survive" in outcome.text:
                assert after(scenario) == look(str(directory)), fault
                assert scenario in ("refresh", "logout_damaged"), fault
            else:
                template = content(tmp_path / f"{scenario}-template")
                assert template == content(directory), (fault, outcome.text)
        left = [name for name in content(directory) if name.endswith(".tmp")]
        assert [] == left, fault

    sweep.each(scenario, ERRORS, check)
    assert "nothing was changed" in words


@pytest.mark.attack("12")
def test_a_failing_read_is_one_typed_error(sweep: Sweep) -> None:
    """Any system call of a reader fails in any way: an error, and never "nobody is logged in"."""

    def check(fault: Fault, directory: Path, outcome: Outcome) -> None:
        assert "StorageReadError" == outcome.error, fault
        assert advice(fault) in outcome.text, fault
        assert [] == outcome.left, fault

    sweep.each("read", ERRORS, check)


@pytest.mark.attack("1", "3")
@pytest.mark.parametrize("scenario", WRITERS)
def test_a_short_write_is_carried_on(sweep: Sweep, scenario: str) -> None:
    """The kernel takes half of any write: the rest follows, and nobody sees half a file."""

    def check(fault: Fault, directory: Path, outcome: Outcome) -> None:
        assert outcome.error is None, outcome.text
        assert outcome.seen[0] == before(scenario), fault
        assert {*outcome.seen} <= {before(scenario), after(scenario)}, fault
        assert after(scenario) == look(str(directory)), fault

    sweep.each(scenario, ["short"], check, only=["write"], read=True)


UPDATE = """
import sys
sys.path.insert(0, sys.argv[2])
import scenarios
from neuro_config._errors import StorageWriteError
from neuro_config._files import FileStorage
try:
    scenarios.switch(FileStorage(sys.argv[1]))
except StorageWriteError as error:
    print(error)
"""


def test_a_file_system_without_locks_is_one_clear_error(tmp_path: Path) -> None:
    """It says what to do, the old state stands, and no soft lock is left."""
    require_strace()
    directory = tmp_path / "store"
    scenarios.prepare(directory, "switch")
    names = sorted(os.listdir(directory))
    inject = "inject=flock:error=ENOSYS"
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", inject]
    done = subprocess.run(
        command + python(UPDATE, str(directory), os.path.dirname(__file__)),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60.0,
    )
    assert "" == done.stderr
    assert "this file system has no file locks. Choose a directory" in done.stdout
    assert names == sorted(os.listdir(directory))
    assert before("switch") == look(str(directory))
