"""The state machine: three states, the events, and one literal table.

Rules:

* An event is a pure function from a state and what happened to the next state; its
  signature is its row in ``TRANSITIONS``.
* A pair that is not in the table is one error, ``WrongStateError``.
* ``TokenExpired`` is never stored and no event leads to it: only ``at`` makes it, of
  a session whose ``expires_at`` has passed. Every event of ``LoggedIn`` therefore
  stands in the row of ``TokenExpired`` too, so the clock alone never causes an error.
* Nothing here reads a clock, a file or the network.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Type, Union

import attr

from ._attempts import RefreshFailure, RefreshMark
from ._errors import NotLoggedInError
from ._facts import is_expired
from ._session import AuthConfig, Choice, Session, Token


@attr.frozen
class LoggedOut:
    """Nobody is logged in."""


@attr.frozen
class LoggedIn:
    """Somebody is logged in and the token is valid as far as its times tell."""

    session: Session


@attr.frozen
class TokenExpired:
    """Somebody is logged in and the token's life is over."""

    session: Session


State = Union[LoggedOut, LoggedIn, TokenExpired]
Known = Union[LoggedIn, TokenExpired]


def log_in(state: State, session: Session) -> LoggedIn:
    """Somebody proved who they are; whatever was there is replaced."""
    return LoggedIn(session)


def log_out(state: State) -> LoggedOut:
    """The login is over."""
    return LoggedOut()


def fetch(
    state: Known, catalog: str, auth: Optional[AuthConfig], choice: Choice
) -> LoggedIn:
    """The platform said what there is; a server that names no OAuth keeps the old."""
    session = state.session
    return LoggedIn(
        attr.evolve(session, catalog=catalog, auth=auth or session.auth, choice=choice)
    )


def switch(state: Known, choice: Choice) -> LoggedIn:
    """The user chose a cluster, an org or a project."""
    return LoggedIn(attr.evolve(state.session, choice=choice))


def mark_refresh(state: Known, mark: RefreshMark) -> LoggedIn:
    """The refresh token is about to be spent."""
    return LoggedIn(attr.evolve(state.session, refresh_sent=mark))


def refresh(state: Known, token: Token) -> LoggedIn:
    """The authorization server answered with a new token."""
    return LoggedIn(
        attr.evolve(state.session, token=token, refresh_sent=None, refresh_failure=None)
    )


def fail_refresh(
    state: Known, failure: RefreshFailure, mark: Optional[RefreshMark]
) -> LoggedIn:
    """A refresh failed; the mark stays where it may have been spent all the same."""
    return LoggedIn(
        attr.evolve(state.session, refresh_failure=failure, refresh_sent=mark)
    )


Event = Callable[..., State]

TRANSITIONS: Dict[Type[State], Dict[Event, Type[State]]] = {
    LoggedOut: {
        log_in: LoggedIn,
        log_out: LoggedOut,
    },
    LoggedIn: {
        log_in: LoggedIn,
        log_out: LoggedOut,
        fetch: LoggedIn,
        switch: LoggedIn,
        mark_refresh: LoggedIn,
        refresh: LoggedIn,
        fail_refresh: LoggedIn,
    },
    TokenExpired: {
        log_in: LoggedIn,
        log_out: LoggedOut,
        fetch: LoggedIn,
        switch: LoggedIn,
        mark_refresh: LoggedIn,
        refresh: LoggedIn,
        fail_refresh: LoggedIn,
    },
}


def step(state: State, event: Event, *arguments: Any) -> State:
    """Apply an event.

    Args:
        state: Where we are.
        event: One of this module's events.
        arguments: What the event takes besides the state.

    Returns:
        The next state.

    Raises:
        WrongStateError: The state's row in ``TRANSITIONS`` lacks the event.
    """
    if event not in TRANSITIONS[type(state)]:
        raise NotLoggedInError(type(state).__name__, event.__name__)
    return event(state, *arguments)


def at(session: Optional[Session], now: float) -> State:
    """Tell the state of what is stored.

    Args:
        session: What is stored, ``None`` for nothing.
        now: Seconds since the epoch.

    Returns:
        The state; ``TokenExpired`` from the very second of ``expires_at``.
    """
    if session is None:
        return LoggedOut()
    return TokenExpired(session) if is_expired(session, now) else LoggedIn(session)


def stored(state: State) -> Optional[Session]:
    """Tell what to store of a state: the inverse of ``at``."""
    return None if isinstance(state, LoggedOut) else state.session
