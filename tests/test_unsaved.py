"""Answers that wait to be saved, in the hands of several threads."""

from __future__ import annotations

import subprocess
from typing import Callable, List, Optional

import pytest
from samples import environment, python

from neuro_config import Session, StorageWriteError, _unsaved
from neuro_config._storage import Change
from neuro_config._unsaved import Unsaved


class Refresher:
    """A right to refresh whose commits do what a test says."""

    def __init__(self, commit: Callable[[], None] = lambda: None) -> None:
        self.held = True
        self._commit = commit

    def reserve(self) -> None:
        """Nothing."""

    def update(self, change: Change, timeout: float) -> Optional[Session]:
        self._commit()
        return change(None)

    def release(self) -> None:
        self.held = False

    def remaining(self) -> float:
        return 0.0


def test_saved() -> None:
    """A saved answer is forgotten and its right to refresh let go; once is enough."""
    saved: List[Optional[Session]] = []
    refresher = Refresher()

    def change(session: Optional[Session]) -> Optional[Session]:
        saved.append(session)
        return session

    _unsaved.keep("here", Unsaved(refresher, change))
    for _ in range(2):
        _unsaved.save("here", 1.0)
    assert [None] == saved
    assert not refresher.held
    assert _unsaved.find("here") is None


def test_refused() -> None:
    """An answer that the disk refuses again stays, with its right to refresh."""

    def refuse() -> None:
        raise StorageWriteError("here", "is full")

    unsaved = Unsaved(Refresher(refuse), lambda session: session)
    _unsaved.keep("here", unsaved)
    with pytest.raises(StorageWriteError):
        _unsaved.save("here", 1.0)
    assert unsaved is _unsaved.find("here")
    assert unsaved.refresher.held
    _unsaved.drop("here")


def test_another_thread_was_faster() -> None:
    """Saving an answer does not drop the next one, which another thread has kept since."""
    following = Unsaved(Refresher(), lambda session: session)
    first = Refresher(lambda: _unsaved.keep("here", following))
    _unsaved.keep("here", Unsaved(first, lambda session: session))
    _unsaved.save("here", 1.0)
    assert following is _unsaved.find("here")
    assert following.refresher.held
    _unsaved.drop("here")
    _unsaved.drop("here")
    assert not following.refresher.held


def test_the_last_try() -> None:
    """All answers are tried once more at the end, and one that is refused stops no other."""

    def refuse() -> None:
        raise StorageWriteError("here", "is full")

    refused, saved = Refresher(refuse), Refresher()
    _unsaved.keep("here", Unsaved(refused, lambda session: session))
    _unsaved.keep("there", Unsaved(saved, lambda session: session))
    _unsaved.save_all()
    assert (True, False) == (refused.held, saved.held)
    _unsaved.drop("here")


AT_EXIT = """
from neuro_config import _unsaved

class Refresher:
    held = True
    def update(self, change, timeout):
        print("saved")
    def release(self):
        pass

for _ in range(2):
    _unsaved.keep("here", _unsaved.Unsaved(Refresher(), lambda session: session))
print("the end")
"""


def test_the_end_of_a_process() -> None:
    """A process that ends tries once to save an answer that waits."""
    result = subprocess.run(
        python(AT_EXIT), env=environment(), check=True, capture_output=True, text=True
    )
    assert "the end\nsaved\n" == result.stdout


def test_dropped_by_two() -> None:
    """An answer that two threads drop is dropped once, and not the one that came after."""
    following = Unsaved(Refresher(), lambda session: session)

    def is_over(found: Unsaved) -> bool:
        _unsaved.drop("here")  # another thread is faster
        _unsaved.keep("here", following)
        return True

    _unsaved.keep("here", Unsaved(Refresher(), lambda session: session))
    _unsaved.drop("here", is_over)
    assert following is _unsaved.find("here")
    assert following.refresher.held
    _unsaved.drop("here")
