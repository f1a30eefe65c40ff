"""The state machine: every pair of a state and an event."""

from __future__ import annotations

import inspect
import math
from typing import Any, Dict, Optional, Tuple, Type, get_type_hints

import attrs
import pytest

from neuro_config import (
    AuthConfig,
    Choice,
    LoggedIn,
    LoggedOut,
    LoginChangedError,
    NotLoggedInError,
    RefreshFailure,
    RefreshMark,
    Session,
    State,
    Token,
    TokenExpired,
    WrongStateError,
    _states as states,
)
from neuro_config._facts import fresh_until, is_pending, is_spent, resend_at, same_login
from neuro_config._session import hash_of
from neuro_config._states import (
    TRANSITIONS,
    Event,
    at,
    fetch,
    log_in,
    log_out,
    step,
    stored,
)

AUTH = AuthConfig("https://a/auth", "https://a/token", "client")
TOKEN = Token("access", 1000.0, 1100.0, "refresh")
SESSION = Session(
    login_id="one",
    username="alice",
    api_url="https://api.example/api/v1",
    token=TOKEN,
    catalog="c" * 64,
    choice=Choice("default", "acme", "main"),
    auth=AUTH,
    refresh_sent=RefreshMark("h", 1075.0),
    refresh_failure=RefreshFailure(1080.0, 1, 1090.0, "no network"),
)
OTHER = attrs.evolve(SESSION, login_id="two", username="bob")
NEW = Token("access2", 1100.0, 1200.0, "refresh2")
MARK = RefreshMark("h2", 1099.0, 2)
FAILURE = RefreshFailure(1099.0, 2, 1200.0, "again")

# What each event needs, and what it makes of SESSION.
EVENTS: Dict[Event, Tuple[Tuple[Any, ...], Optional[Session]]] = {
    log_in: ((OTHER,), OTHER),
    log_out: ((), None),
    fetch: (
        ("d" * 64, None, Choice("other")),
        attrs.evolve(SESSION, catalog="d" * 64, choice=Choice("other")),
    ),
    states.switch: (
        (Choice("far", None, "p"),),
        attrs.evolve(SESSION, choice=Choice("far", None, "p")),
    ),
    states.mark_refresh: ((MARK,), attrs.evolve(SESSION, refresh_sent=MARK)),
    states.refresh: (
        (NEW,),
        attrs.evolve(SESSION, token=NEW, refresh_sent=None, refresh_failure=None),
    ),
    states.fail_refresh: (
        (FAILURE, None),
        attrs.evolve(SESSION, refresh_failure=FAILURE, refresh_sent=None),
    ),
}
STATES: Dict[Type[State], State] = {
    LoggedOut: LoggedOut(),
    LoggedIn: LoggedIn(SESSION),
    TokenExpired: TokenExpired(SESSION),
}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_every_pair(state: Type[State], event: Event) -> None:
    """Each pair leads where the table says, or is a WrongStateError that names both."""
    arguments, expected = EVENTS[event]
    if event in TRANSITIONS[state]:
        after = step(STATES[state], event, *arguments)
        assert TRANSITIONS[state][event] is type(after)
        assert expected == stored(after)
    else:
        with pytest.raises(WrongStateError) as caught:
            step(STATES[state], event, *arguments)
        assert (state.__name__, event.__name__) == caught.value.args


def test_table_is_complete() -> None:
    """The table has a row for each state, and the events are those of the module."""
    assert set(STATES) == set(TRANSITIONS)
    assert set(EVENTS) == {event for row in TRANSITIONS.values() for event in row}


def test_signature_is_the_row() -> None:
    """The annotation of an event's state is the set of rows that it stands in."""
    for event in EVENTS:
        hints = get_type_hints(event)
        first = next(iter(inspect.signature(event).parameters))
        rows = {state for state, row in TRANSITIONS.items() if event in row}
        assert rows == set(hints[first].__args__)
        results = {row[event] for row in TRANSITIONS.values() if event in row}
        assert results == {hints["return"]}


def test_nothing_leads_to_token_expired() -> None:
    """Only the clock makes TokenExpired; no event does."""
    assert TokenExpired not in {
        state for row in TRANSITIONS.values() for state in row.values()
    }


def test_clock_never_forbids() -> None:
    """Every event of LoggedIn stands in the row of TokenExpired too."""
    assert TRANSITIONS[LoggedIn] == TRANSITIONS[TokenExpired]


def test_login_and_logout_always() -> None:
    """log_in and log_out stand in all three rows."""
    for row in TRANSITIONS.values():
        assert LoggedIn is row[log_in]
        assert LoggedOut is row[log_out]


def test_fetch_with_oauth() -> None:
    """A fetch takes over how to log in where the platform says so."""
    auth = attrs.evolve(AUTH, client_id="new")
    after = step(LoggedIn(SESSION), fetch, "d" * 64, auth, SESSION.choice)
    assert attrs.evolve(SESSION, catalog="d" * 64, auth=auth) == stored(after)


@pytest.mark.parametrize(
    ("expires_at", "now", "expected"),
    [
        (1100.0, 1099.9, LoggedIn),
        (1100.0, 1100.0, TokenExpired),
        (1100.0, 0.0, LoggedIn),
        (None, math.inf, LoggedIn),
    ],
)
def test_at(expires_at: Optional[float], now: float, expected: Type[State]) -> None:
    """A session has expired from the very second of expires_at, and never without."""
    session = attrs.evolve(SESSION, token=attrs.evolve(TOKEN, expires_at=expires_at))
    assert expected(session) == at(session, now)  # type: ignore[call-arg]


def test_at_nothing() -> None:
    """Nothing stored is LoggedOut."""
    assert LoggedOut() == at(None, 0.0)


@pytest.mark.parametrize(
    ("token", "failure", "expected"),
    [
        (TOKEN, None, 1075.0),
        (TOKEN, RefreshFailure(1076.0, 1, 1090.0, ""), 1090.0),
        (TOKEN, RefreshFailure(900.0, 1, 960.0, ""), 1075.0),
        (TOKEN, RefreshFailure(1076.0, 9, 2000.0, ""), 1100.0),
        (attrs.evolve(TOKEN, refresh_token=None), None, 1100.0),
        (attrs.evolve(TOKEN, expires_at=None), None, math.inf),
    ],
)
def test_fresh_until(
    token: Token, failure: Optional[RefreshFailure], expected: float
) -> None:
    """A token is fresh for 75 % of its life, longer after a failure, never beyond."""
    session = attrs.evolve(SESSION, token=token, refresh_failure=failure)
    assert expected == fresh_until(session, 1080.0)


@pytest.mark.parametrize(
    ("now", "expected"),
    [(0.0, -math.inf), (899.9, -math.inf), (900.0, 1075.0), (1000.0, 1075.0)],
)
def test_fresh_until_before_its_time(now: float, expected: float) -> None:
    """A token that comes in more than its life is of a clock that was set back."""
    session = attrs.evolve(SESSION, refresh_failure=None)
    assert expected == fresh_until(session, now)


@pytest.mark.parametrize(
    ("now", "expected"), [(1e9, 1e9 + 82500.0), (1e9 - 1.0, -math.inf)]
)
def test_fresh_until_of_a_long_life(now: float, expected: float) -> None:
    """However long a life is, a token does not come later than in an hour."""
    token = attrs.evolve(TOKEN, obtained_at=1e9 + 3600, expires_at=1e9 + 108800)
    session = attrs.evolve(SESSION, token=token, refresh_failure=None)
    assert expected == fresh_until(session, now)


@pytest.mark.parametrize(
    ("now", "expected"),
    [(890.0, -math.inf), (969.0, 1075.0), (970.0, 1090.0), (1089.0, 1090.0)],
)
def test_fresh_until_before_a_pause(now: float, expected: float) -> None:
    """A pause holds for about as long as it was made, however the clock is set."""
    failure = RefreshFailure(1030.0, 1, 1090.0, "")
    session = attrs.evolve(SESSION, refresh_failure=failure)
    assert expected == fresh_until(session, now)


def test_fresh_until_nothing() -> None:
    """Nobody's token is never fresh."""
    assert -math.inf == fresh_until(None, 0.0)


@pytest.mark.parametrize(
    ("mark", "refresh_token", "expected"),
    [
        (None, "refresh", False),
        (RefreshMark(hash_of("refresh"), 1.0), "refresh", True),
        (RefreshMark(hash_of("older"), 1.0), "refresh", False),
        (RefreshMark(hash_of("refresh"), 1.0), None, False),
    ],
)
def test_is_spent(
    mark: Optional[RefreshMark], refresh_token: Optional[str], expected: bool
) -> None:
    """A refresh token counts as spent while a mark names it by its hash."""
    token = attrs.evolve(TOKEN, refresh_token=refresh_token)
    session = attrs.evolve(SESSION, token=token, refresh_sent=mark)
    assert expected is is_spent(session)


@pytest.mark.parametrize(
    ("sent_at", "expires_at", "expected"),
    [
        (1080.0, 1100.0, 1100.0),
        (1000.0, 1100.0, 1100.0),
        (500.0, 1100.0, 600.0),
        (1080.0, None, math.inf),
    ],
)
def test_resend_at(
    sent_at: float, expires_at: Optional[float], expected: float
) -> None:
    """A spent token waits for the end of the access token, a life after it was sent at most."""
    session = attrs.evolve(
        SESSION,
        token=attrs.evolve(TOKEN, expires_at=expires_at),
        refresh_sent=RefreshMark(hash_of("refresh"), sent_at),
    )
    assert expected == resend_at(session)
    assert is_pending(session, sent_at)
    assert not is_pending(session, sent_at - 1)
    assert not is_pending(session, expected)


@pytest.mark.parametrize("mark", [None, RefreshMark("another", 1080.0)])
def test_nothing_is_pending(mark: Optional[RefreshMark]) -> None:
    """Without a mark of this refresh token nothing waits."""
    assert not is_pending(attrs.evolve(SESSION, refresh_sent=mark), 1090.0)


def test_same_login() -> None:
    """Another login than the snapshot's, or none, is an error of its own."""
    assert SESSION is same_login(SESSION, "one", "fetch")
    with pytest.raises(NotLoggedInError):
        same_login(None, "one", "fetch")
    with pytest.raises(LoginChangedError, match="now as 'bob'"):
        same_login(OTHER, "one", "fetch")
    with pytest.raises(LoginChangedError):
        same_login(OTHER, None, "fetch")
