"""Answers of the authorization server that could not be saved yet.

Such an answer cannot be had again, so it belongs to the process and not to the store
that got it: every store of the same place uses it, and the right to refresh stays held
until it is saved or the process ends, which tries once more. A forked child uses it as
well; saving it is its parent's, and the child's once the right to refresh is.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Callable, Dict, Optional

from ._errors import StorageError
from ._session import Session
from ._storage import Change, Refresher

LAST_TRY = 5.0  # seconds, when the process ends


class Unsaved:
    """An answer and what it takes to save it.

    Args:
        refresher: Holds the right to refresh.
        change: Commits the answer, to the login that it belongs to and no other.
    """

    __slots__ = ("_dropping", "change", "refresher")

    def __init__(self, refresher: Refresher, change: Change) -> None:
        self.refresher = refresher
        self.change = change
        self._dropping = threading.Lock()

    def drop(self) -> bool:
        """Return whether this is the first time that it is dropped."""
        return self._dropping.acquire(blocking=False)


_answers: Dict[str, Unsaved] = {}


def keep(location: str, unsaved: Unsaved) -> None:
    """Keep an answer for all stores of a place."""
    import atexit

    _answers[location] = unsaved
    atexit.unregister(save_all)  # once is enough
    atexit.register(save_all)


def save_all() -> None:
    """Try to save all answers, before the process ends."""
    for location in list(_answers):
        with suppress(StorageError):
            save(location, LAST_TRY)


def find(location: str) -> Optional[Unsaved]:
    """Return the answer of a place that waits to be saved, if there is one."""
    return _answers.get(location)


def save(location: str, timeout: float, refresher: Optional[Refresher] = None) -> None:
    """Save the answer of a place, if there is one and this process is to save it.

    Args:
        location: Of the storage.
        timeout: Seconds to wait for the commit lock.
        refresher: Holds the right to refresh, if it is not the one of the answer: who
            kept that before a fork has saved it or ended.

    Raises:
        StorageError: The disk still refuses; the answer is kept.
    """
    unsaved = find(location)
    if unsaved is None:
        return
    refresher = refresher or unsaved.refresher
    if refresher.held:
        refresher.update(unsaved.change, timeout)
        # And not what another thread has kept since.
        drop(location, lambda found: found is unsaved)


def drop(
    location: str, is_over: Callable[[Unsaved], bool] = lambda unsaved: True
) -> None:
    """Forget the answer of a place: it is saved, or of a login that is no more.

    Args:
        location: Of the storage.
        is_over: Tells that of the answer that is found.
    """
    unsaved = find(location)
    if unsaved is not None and is_over(unsaved) and unsaved.drop():
        # Until its right is let go nobody else can keep another answer here.
        _answers.pop(location, None)
        unsaved.refresher.release()


def seen(location: str, session: Optional[Session]) -> Optional[Session]:
    """Lay the answer of a place, if there is one, over what is stored."""
    unsaved = find(location)
    return session if unsaved is None else unsaved.change(session)
