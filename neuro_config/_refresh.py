"""Renewing a token whose refresh token can be spent once.

A rotating authorization server takes a refresh token once; sent twice, it ends the
login. So its use is written down first, under the lock of the sole refresher:

1. read again: a newer token of this login is the answer, and nothing is sent;
2. reserve the space of the answer and commit a mark: the disk takes a commit;
3. send, within a deadline. Not sent, or refused otherwise than by ``invalid_grant``:
   the mark goes. No answer: the mark stays, and while the access token is valid
   nobody sends again; once it has expired the token is sent once more;
4. commit the answer if the same login still holds the token that was spent, whoever
   has which lock by now. If the disk refuses, the answer is kept in memory together
   with the lock (``Unsaved``), so nobody else can send the spent token.

The lock may have an end of its own, a lease, and somebody else may hold it by then: so
the mark decides who sends. It is written only if no other has been since the login was
read, and who wrote it sends while the lock is surely his and takes no other mark away.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Any, Callable, Mapping, Optional, Union

import attr

from . import _unsaved
from ._attempts import RefreshFailure, RefreshMark
from ._deadline import Deadline
from ._errors import (
    AuthError,
    CannotRefreshError,
    ConfigError,
    ConnectionFailedError,
    InsecureURLError,
    LockTimeoutError,
    LoginChangedError,
    NetworkError,
    NotLoggedInError,
    RefreshFailedError,
    RefreshPendingError,
    SessionEndedError,
    StorageError,
    StorageUnavailableError,
)
from ._facts import (
    fresh_until,
    is_expired,
    is_over,
    is_pending,
    is_spent,
    same_login,
)
from ._guard import shown
from ._platform import PlatformClient
from ._session import Session, Token, hash_of
from ._signals import deferred
from ._states import at, fail_refresh, mark_refresh, refresh, step, stored
from ._storage import Refresher, Storage
from ._unsaved import Unsaved

FIRST_PAUSE = 60.0  # seconds after a failed refresh before the next early one
LONGEST_PAUSE = 900.0  # seconds; it doubles up to this
NETWORK = 0.8  # of the time that is left; the rest is for the commit
RESCUE = 1.0  # seconds to save an answer, where a freeze has used up the deadline
LOOK = 0.5  # seconds to wait for the right before one looks for what others have got
RESEND_PAUSE = 10.0  # seconds before a token that may be spent is sent once more
SETTLE_TIMEOUT = 1.0  # seconds to wait for others before a stored answer is used
# Seconds; a life of a token that is shorter or longer is taken for a mistake.
SHORTEST_LIFE, LONGEST_LIFE = 0.1, 1e9

logger = logging.getLogger("neuro_config")


class _Overtaken(Exception):
    """Somebody else has marked or refreshed since the login was read."""


def renew(
    storage: Storage,
    client: PlatformClient,
    clock: Callable[[], float],
    held: Session,
    *,
    doing: str,
    deadline: Deadline,
    early: bool = False,
) -> Session:
    """Get a token other than the one that is held.

    Args:
        storage: Where the login is.
        client: Asks the authorization server.
        clock: Seconds since the epoch.
        held: The session whose token is not good enough.
        doing: The call that asks, for errors.
        deadline: Of the whole call.
        early: The held token is still valid: if somebody else is at it, it will do.

    Returns:
        The session with the new token; if that could not be saved, ``_unsaved`` has it.

    Raises:
        LockTimeoutError: Somebody holds a lock until the deadline.
        NotLoggedInError: Logged out meanwhile.
        LoginChangedError: Somebody logged in anew meanwhile.
        CannotRefreshError: The login has no refresh token.
        AuthError: The authorization server refuses.
        NetworkError: It cannot be reached, or its answer is not known.
        StorageError: The disk does not take a commit; nothing was sent.
    """
    before = storage.read(deadline.remaining())
    while True:
        taken = _refresher_or_token(storage, clock, held, doing, deadline, early)
        if isinstance(taken, Session):
            return taken
        try:
            return _renew_alone(
                storage, client, clock, held, taken, before, doing, deadline, early
            )
        except _Overtaken:
            if early:
                return held
            if not deadline.remaining():
                raise LockTimeoutError(
                    storage.location, "others, which were faster", deadline.seconds
                ) from None


def _refresher_or_token(
    storage: Storage,
    clock: Callable[[], float],
    held: Session,
    doing: str,
    deadline: Deadline,
    early: bool,
) -> Union[Refresher, Session]:
    """Get the right to refresh, or the token of whoever has it.

    While an answer waits to be saved this very process holds the right, so it is saved
    first; another thread may keep one while this one waits. Who waits looks now and then
    whether the token is there, too: a right that its holder could not give back, because
    a cluster chose another leader, holds nobody up.
    """
    while True:
        try:
            _unsaved.save(storage.location, deadline.remaining())
            left = deadline.remaining()
            if early:
                return storage.sole_refresher(left, wait=False)
            return storage.sole_refresher(min(LOOK, left))
        except LockTimeoutError as error:
            if early:
                return held
            if not deadline.remaining():
                waited = deadline.seconds
                raise LockTimeoutError(error.path, error.holder, waited) from None
        except StorageUnavailableError:
            if early or not deadline.remaining():
                raise
        newest = same_login(storage.read(deadline.remaining()), held.login_id, doing)
        if _is_newer(newest, held, clock()):
            _settle(storage, deadline)
            return newest


def _renew_alone(
    storage: Storage,
    client: PlatformClient,
    clock: Callable[[], float],
    held: Session,
    refresher: Refresher,
    before: Optional[Session],
    doing: str,
    deadline: Deadline,
    early: bool,
) -> Session:
    try:
        # What was kept before a fork.
        _unsaved.save(storage.location, deadline.remaining(), refresher)
        newest = storage.read(deadline.remaining())
        current = same_login(newest, held.login_id, doing)
        now = clock()
        if _is_newer(current, held, now):
            _settle(storage, deadline)
            return current
        # Somebody may have failed, and noted it, since the held one was read.
        if early and now < fresh_until(current, now):
            return current
        current = _dated(storage, current, now, doing, deadline)
        _require_sendable(current, before, now)
        # The answer must not get lost between the network and the disk.
        with deferred():
            return _spend(storage, client, clock, current, doing, refresher, deadline)
    finally:
        waiting = _unsaved.find(storage.location)
        if waiting is None or waiting.refresher is not refresher:
            refresher.release()


def failure_after(session: Session, now: float, error: ConfigError) -> RefreshFailure:
    """Count a failed refresh.

    Args:
        session: What was stored before it.
        now: Seconds since the epoch.
        error: What happened.

    Returns:
        The failure, with a pause of 1 minute that doubles up to 15.
    """
    count = session.refresh_failure.count + 1 if session.refresh_failure else 1
    pause = min(FIRST_PAUSE * 2.0 ** min(count - 1, 9), LONGEST_PAUSE)
    code, reason = None, str(error)
    if isinstance(error, AuthError):
        code, reason = error.code, error.description
    return RefreshFailure(now, count, now + pause, reason, code)


def token_from(
    answer: Mapping[str, Any], now: float, refresh_token: Optional[str] = None
) -> Token:
    """Make a token of a token endpoint's answer.

    Args:
        answer: Its ``access_token`` and ``refresh_token`` are usable strings.
        now: When it came, seconds since the epoch.
        refresh_token: The one to keep if the answer has none.

    Returns:
        The token. An unusable ``expires_in`` falls back to the JWT's ``exp``, else the
        end is not known.
    """
    access_token = answer["access_token"]
    return Token(
        access_token,
        obtained_at=now,
        expires_at=_expires_at(answer.get("expires_in"), access_token, now),
        refresh_token=answer.get("refresh_token", refresh_token),
    )


def _expires_at(expires_in: object, access_token: str, now: float) -> Optional[float]:
    if isinstance(expires_in, str) and expires_in.isascii() and expires_in.isdigit():
        expires_in = int(expires_in[:12])
    # True is an integer, too, but no number of seconds.
    if (
        isinstance(expires_in, (int, float))
        and expires_in is not True
        and SHORTEST_LIFE <= expires_in < LONGEST_LIFE
    ):
        return now + expires_in
    from ._claims import expiry_of, issue_time_of

    expiry = expiry_of(access_token)
    if expiry is None:
        return None
    # From the server's clock to ours, which need not agree.
    life = expiry - (issue_time_of(access_token) or now)
    return now + life if SHORTEST_LIFE <= life < LONGEST_LIFE else None


def _is_newer(current: Session, held: Session, now: float) -> bool:
    return current.token.access_token != held.token.access_token and not is_expired(
        current, now
    )


def _settle(storage: Storage, deadline: Deadline) -> None:
    """See to it that a stored answer survives a power cut: who stored it may have died."""
    with suppress(StorageError):  # it is valid, whatever becomes of the disk
        storage.update(
            lambda session: session, min(SETTLE_TIMEOUT, deadline.remaining())
        )


def _dated(
    storage: Storage, current: Session, now: float, doing: str, deadline: Deadline
) -> Session:
    """Date a mark anew that a clock made which has been set back since."""
    mark = current.refresh_sent
    if mark is None or mark.sent_at <= now:
        return current
    mark = attr.evolve(mark, sent_at=now)
    return _mark(storage, current, mark, now, doing, deadline)


def _mark(
    storage: Storage,
    current: Session,
    mark: RefreshMark,
    now: float,
    doing: str,
    deadline: Deadline,
) -> Session:
    """Write a mark over the very token and mark that were read."""

    def write_mark(session: Optional[Session]) -> Optional[Session]:
        same = same_login(session, current.login_id, doing)
        if (same.token, same.refresh_sent) != (current.token, current.refresh_sent):
            raise _Overtaken
        return stored(step(at(same, now), mark_refresh, mark))

    marked = storage.update(write_mark, deadline.remaining())
    return same_login(marked, current.login_id, doing)


def _require_sendable(current: Session, before: Optional[Session], now: float) -> None:
    token, auth, failure = current.token, current.auth, current.refresh_failure
    state = at(current, now)
    if token.refresh_token is None or auth is None:
        raise CannotRefreshError(type(state).__name__, "refresh")
    url = shown(auth.token_url)
    # Compared, and not dated: the clock may have been set meanwhile.
    is_noted_since = before is None or failure != before.refresh_failure
    if failure is not None and (is_over(current) or is_noted_since):
        raise _failed_for_another(current, failure, url)
    if not is_spent(current):
        return
    if is_pending(current, now):
        raise RefreshPendingError(
            url,
            f"the answer to the refresh sent at {_lost_at(current)} got lost. Sending "
            "it again could end the login, so that waits until the token, which is "
            "still valid, has expired.",
        )
    if failure is not None and abs(now - failure.failed_at) < RESEND_PAUSE:
        raise _failed_for_another(current, failure, url)


def _failed_for_another(
    current: Session, failure: RefreshFailure, url: str
) -> ConfigError:
    """Make the error that the one who tried has got."""
    if failure.code is None:
        when = in_words(failure.failed_at)
        return RefreshFailedError(url, f"tried at {when}: {failure.reason}")
    if is_over(current):
        return SessionEndedError(failure.code, failure.reason, _lost_at(current))
    return AuthError(failure.code, failure.reason)


def _after_a_loss(session: Session, now: float) -> str:
    lost = "The answer got lost, so the refresh token may be spent"
    if is_expired(session, now):
        return f"{lost}. It is sent once more; if it is refused then, log in again."
    return (
        f"{lost}: it is not sent again until the token, which is still valid, has "
        "expired. If it is refused then, log in again."
    )


def _lost_at(session: Session) -> Optional[str]:
    mark = session.refresh_sent
    return in_words(mark.sent_at) if mark is not None and is_spent(session) else None


def _spend(
    storage: Storage,
    client: PlatformClient,
    clock: Callable[[], float],
    current: Session,
    doing: str,
    refresher: Refresher,
    deadline: Deadline,
) -> Session:
    spent, auth = current.token.refresh_token, current.auth
    assert spent is not None
    assert auth is not None
    lost = current.refresh_sent if is_spent(current) else None
    mark = RefreshMark(
        hash_of(spent),
        sent_at=lost.sent_at if lost else clock(),
        attempts=lost.attempts + 1 if lost else 1,
    )

    def fail(left: Optional[RefreshMark], error: ConfigError) -> Session:
        """Note a failure and raise it, unless somebody else has a new token by now."""

        def change(session: Optional[Session]) -> Optional[Session]:
            if (
                session is None
                or not _holds(session, current)
                or session.refresh_sent != mark
            ):
                return session
            failure = failure_after(session, clock(), error)
            return stored(step(at(session, clock()), fail_refresh, failure, left))

        try:
            newest = refresher.update(change, deadline.remaining())
        except StorageError as failed:
            # The mark stays, which is the safe side.
            logger.warning("A failed refresh could not be noted: %s", failed)
            raise error from None
        is_same = newest is not None and newest.login_id == current.login_id
        if newest is not None and is_same and _is_newer(newest, current, clock()):
            return newest
        raise error from None

    refresher.reserve()
    _mark(storage, current, mark, clock(), doing, deadline)  # not in the reserved space
    try:
        left = min(NETWORK * deadline.remaining(), refresher.remaining())
        answer = client.refresh(auth, spent, Deadline(left))
    except SessionEndedError as error:
        newest = same_login(storage.read(deadline.remaining()), current.login_id, doing)
        if _is_newer(newest, current, clock()):
            return newest
        ended = SessionEndedError(error.code, error.description, _lost_at(current))
        return fail(lost, ended)
    except (AuthError, ConnectionFailedError, InsecureURLError) as error:
        return fail(lost, error)
    except NetworkError as error:
        error.explain(_after_a_loss(current, clock()))
        return fail(mark, error)

    token = token_from(answer, clock(), spent)

    def save(session: Optional[Session]) -> Optional[Session]:
        if session is None or not _holds(session, current):
            return session
        return stored(step(at(session, clock()), refresh, token))

    try:
        saved = refresher.update(save, deadline.remaining() or RESCUE)
    except StorageError as error:
        logger.warning("The new token is valid but could not be saved yet: %s", error)
        unsaved = Unsaved(refresher, save)
        _unsaved.keep(storage.location, unsaved)
        _require_login(storage, unsaved, current.login_id, doing, deadline)
        return same_login(save(current), current.login_id, doing)
    return same_login(saved, current.login_id, doing)


def _require_login(
    storage: Storage,
    unsaved: Unsaved,
    login_id: str,
    doing: str,
    deadline: Deadline,
) -> None:
    """Drop an answer whose login is over: who ended it may have come before it."""
    try:
        same_login(storage.read(deadline.remaining()), login_id, doing)
    except (NotLoggedInError, LoginChangedError):
        _unsaved.drop(storage.location, lambda found: found is unsaved)
        raise
    except StorageError:
        pass  # the disk that refuses the answer may refuse that, too


def _holds(session: Session, sent: Session) -> bool:
    return session.login_id == sent.login_id and session.token == sent.token


def in_words(moment: float) -> str:
    """Write a time for people, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
