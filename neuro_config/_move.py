"""Copying a login from one storage to another, and what of it stays behind.

A refresh token that rotates must be in one place only: two that spend it end the login.
So what stays behind is chosen, by default nothing. The copy is made first and the
original taken away then, if it is still the one that was copied; whoever is interrupted
between the two runs it again.
"""

from __future__ import annotations

import enum
from typing import List, Optional

import attr

from ._catalog import INDEX_LIMIT, digest_of
from ._deadline import Deadline
from ._errors import (
    LockTimeoutError,
    LoginPresentError,
    NotLoggedInError,
    StorageError,
)
from ._session import Session
from ._storage import Storage

TRIES = 5
DOING = "storage copy"


class Leave(enum.Enum):
    """What stays behind."""

    NOTHING = "nothing"
    ACCESS_TOKEN = "access-token"  # noqa: S105
    EVERYTHING = "everything"


def copy_login(
    source: Storage,
    target: Storage,
    leave: Leave,
    deadline: Deadline,
    *,
    replace: bool = False,
) -> Session:
    """Copy a login, while nobody refreshes it.

    Args:
        source: Where it is.
        target: Where it shall be.
        leave: What stays at the source.
        deadline: Of the whole call.
        replace: Whether it takes the place of another login, or of a damaged one.

    Returns:
        The login.

    Raises:
        NotLoggedInError: Nobody is logged in at the source.
        LoginPresentError: Somebody is logged in at the target, or it is the source.
        LockTimeoutError: Somebody is refreshing, or goes on changing the login.
        StorageError: One of them cannot be read or written.
    """
    if source.location == target.location:
        raise LoginPresentError(target.location, "is where the login is already.")
    _read(source, deadline)  # where nothing is, there is no lock to be taken
    refresher = source.sole_refresher(deadline.remaining())
    try:
        copies: List[Session] = []
        for _ in range(TRIES):
            session = _read(source, deadline)
            _put(source, target, session, copies, replace, deadline)
            copies.append(session)
            if _take_away(source, target, session, leave, deadline):
                return session
        raise LockTimeoutError(
            source.location, "others, which change the login", deadline.seconds
        )
    finally:
        refresher.release()


def _read(source: Storage, deadline: Deadline) -> Session:
    session = source.read(deadline.remaining())
    if session is None:
        raise NotLoggedInError("LoggedOut", DOING)
    return session


def _put(
    source: Storage,
    target: Storage,
    session: Session,
    copies: List[Session],
    replace: bool,
    deadline: Deadline,
) -> None:
    def change(old: Optional[Session]) -> Optional[Session]:
        if old is None or replace or old == session or old in copies:
            return session
        raise LoginPresentError(
            target.location,
            f"{old.username!r} is logged in there. Log out there, or replace that login.",
        )

    catalog = source.read_catalog(
        session.catalog, 0, 2 * INDEX_LIMIT, deadline.remaining()
    )
    if catalog is not None and not _is_of(session, catalog):
        catalog = None  # damaged: a fetch mends it here and there
    target.update(change, deadline.remaining(), catalog=catalog, replace=replace)


def _is_of(session: Session, catalog: bytes) -> bool:
    return b"\n" in catalog and digest_of(catalog) == session.catalog


def _take_away(
    source: Storage,
    target: Storage,
    session: Session,
    leave: Leave,
    deadline: Deadline,
) -> bool:
    """Leave what shall stay; tell whether it was still the login that was copied."""
    seen: List[Optional[Session]] = []

    def change(current: Optional[Session]) -> Optional[Session]:
        seen[:] = [current]
        if current != session or leave is Leave.EVERYTHING:
            return current
        if leave is Leave.NOTHING:
            return None
        token = attr.evolve(session.token, refresh_token=None)
        return attr.evolve(
            session, token=token, refresh_sent=None, refresh_failure=None
        )

    try:
        source.update(change, deadline.remaining())
    except StorageError as error:
        error.reason += (
            f" The login is in {target.location} as well by now: do not use both, and "
            "copy it again when this can be mended."
        )
        raise
    return seen == [session]
