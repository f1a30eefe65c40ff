"""What a session tells at a given time: whether its token is valid, fresh, to be renewed.

Nothing here reads a clock, a file or the network.
"""

from __future__ import annotations

from typing import Optional

from ._errors import LoginChangedError, NotLoggedInError
from ._session import Session, hash_of

FOREVER = float("inf")  # seconds since the epoch
INVALID_GRANT = "invalid_grant"  # OAuth's word for a dead refresh token
EARLY = 0.75  # of a token's life; from then on a refresh is tried
AHEAD = 3600.0  # seconds; a token that came later than that from now came never


def is_expired(session: Session, now: float) -> bool:
    """Tell whether the token's life is over, as it is in the second of ``expires_at``."""
    expires_at = session.token.expires_at
    return expires_at is not None and expires_at <= now


def fresh_until(session: Optional[Session], now: float) -> float:
    """Tell how long the token may be used without a look at anything else.

    A clock that was ahead leaves times behind that do not come for years: a token that
    comes in more than an hour, or more than its life, is not fresh, and a pause that
    is further away than it is long is none.

    Args:
        session: What is stored, ``None`` for nothing.
        now: Seconds since the epoch.

    Returns:
        Seconds since the epoch: 75 % of the token's life or when an early refresh is
        allowed again after a failure, the end of its life where nothing can renew
        it, infinity where no end is known.
    """
    if session is None:
        return -FOREVER
    token, failure = session.token, session.refresh_failure
    if token.expires_at is None:
        return FOREVER
    if not can_refresh(session) or is_over(session):
        return token.expires_at
    life = token.expires_at - token.obtained_at
    early = token.obtained_at + EARLY * life
    if token.obtained_at > now + min(life, AHEAD):
        early = -FOREVER
    if failure is not None:
        pause = failure.no_early_refresh_before - failure.failed_at
        if abs(now - failure.failed_at) <= pause:
            early = max(early, failure.no_early_refresh_before)
    return min(early, token.expires_at)


def can_refresh(session: Session) -> bool:
    """Tell whether there is a refresh token and a place to send it to."""
    return session.token.refresh_token is not None and session.auth is not None


def is_over(session: Session) -> bool:
    """Tell whether the authorization server has said that the refresh token is dead."""
    failure = session.refresh_failure
    return failure is not None and failure.code == INVALID_GRANT


def is_spent(session: Session) -> bool:
    """Tell whether the refresh token was sent and what came of it is not known."""
    mark, token = session.refresh_sent, session.token.refresh_token
    return mark is not None and token is not None and mark.token_hash == hash_of(token)


def resend_at(session: Session) -> float:
    """Tell from when on a refresh token whose answer got lost is sent once more.

    Args:
        session: Its refresh token is spent.

    Returns:
        Seconds since the epoch: the end of the access token, which is at most a whole
        life after the mark, whatever clock told its times.
    """
    token, mark = session.token, session.refresh_sent
    assert mark is not None
    if token.expires_at is None:
        return FOREVER
    return min(token.expires_at, mark.sent_at + token.expires_at - token.obtained_at)


def is_pending(session: Session, now: float) -> bool:
    """Tell whether the refresh token may be spent, and is not to be sent yet.

    Not if the mark is of a time to come: it has to be dated anew, or it would hold for
    as long as the clock was ahead.
    """
    mark = session.refresh_sent
    return (
        mark is not None
        and is_spent(session)
        and mark.sent_at <= now < resend_at(session)
    )


def same_login(
    session: Optional[Session], login_id: Optional[str], doing: str
) -> Session:
    """Hold what is stored against the login that a snapshot belongs to.

    Args:
        session: What is stored.
        login_id: The snapshot's login, ``None`` for a logged-out snapshot.
        doing: The call that asks, for the error.

    Returns:
        The session.

    Raises:
        NotLoggedInError: Nobody is logged in any more.
        LoginChangedError: Somebody logged in anew.
    """
    if session is None:
        raise NotLoggedInError("LoggedOut", doing)
    if session.login_id != login_id:
        raise LoginChangedError("LoggedIn", doing, session.username)
    return session
