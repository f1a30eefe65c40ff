"""Answers of the authorization server that could not be saved yet.

Such an answer cannot be had again, so it belongs to the process and not to the store
that got it: every store of the same place uses it, and the right to refresh stays held
until it is saved or the process ends, which tries once more. A forked child uses it as
well; saving it is its parent's.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Dict, Optional

import attrs

from ._errors import StorageError
from ._session import Session
from ._storage import Change, Refresher

LAST_TRY = 5.0  # seconds, when the process ends


@attrs.frozen
class Unsaved:
    """An answer and what it takes to save it.

    Args:
        refresher: Holds the right to refresh.
        change: Commits the answer, to the login that it belongs to and no other.
    """

    refresher: Refresher = attrs.field(repr=False)
    change: Change = attrs.field(repr=False)


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


def save(location: str, timeout: float) -> None:
    """Save the answer of a place, if there is one and this process is to save it.

    Args:
        location: Of the storage.
        timeout: Seconds to wait for the commit lock.

    Raises:
        StorageError: The disk still refuses; the answer is kept.
    """
    unsaved = find(location)
    if unsaved is not None and unsaved.refresher.held:
        unsaved.refresher.update(unsaved.change, timeout)
        if find(location) is unsaved:  # and not what another thread has kept since
            drop(location)


def drop(location: str) -> None:
    """Forget the answer of a place: it is saved, or of a login that is no more."""
    unsaved = _answers.pop(location, None)
    if unsaved is not None:
        unsaved.refresher.release()


def seen(location: str, session: Optional[Session]) -> Optional[Session]:
    """Lay the answer of a place, if there is one, over what is stored."""
    unsaved = find(location)
    return session if unsaved is None else unsaved.change(session)
