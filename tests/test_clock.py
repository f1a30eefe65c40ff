"""A clock that is wrong, that jumps, or that shows what no clock shows."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Callable, Dict, Optional, Union

import attrs
import jwt
import pytest
from common import Clock, Login, in_thread, wait_for_the_request

from neuro_config import (
    AuthError,
    ConfigStore,
    FileStorage,
    MemoryStorage,
    RefreshPendingError,
    Session,
    TokenRefusedError,
)
from neuro_config._refresh import token_from
from neuro_config._session import LATEST, in_range
from neuro_config.testing import Platform

YEAR = 365 * 86400.0
KEY = "k" * 32


def stored(store: ConfigStore) -> Session:
    session = FileStorage(store.path).read()
    assert session is not None
    return session


def refreshes(platform: Platform) -> int:
    return platform.count("token", grant_type="refresh_token")


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (5.0, 5.0),
        (-1.0, 0.0),
        (-math.inf, 0.0),
        (math.nan, 0.0),
        (math.inf, LATEST),
        (10**400, LATEST),
    ],
)
def test_in_range(reading: float, expected: float) -> None:
    """Whatever a clock shows becomes a time that a session can hold."""
    assert expected == in_range(reading)


@pytest.mark.parametrize("reading", [-5.0, math.nan, math.inf, 1e15])
def test_impossible_time(
    platform: Platform, login: Login, clock: Clock, reading: float
) -> None:
    """A clock that shows no time costs no login, and what is stored can be read."""
    store = login(clock=clock)
    clock.now = reading
    store.refresh_token()
    assert store.token() == ConfigStore(store.path, clock=clock).token()
    platform.log_in(store)
    assert store.token() == ConfigStore(store.path, clock=clock).token()
    assert 0 == platform.count(reuse_detected=True)


def test_answer_at_an_impossible_time(
    platform: Platform, login: Login, clock: Clock
) -> None:
    """An answer that comes while the clock shows no time is saved all the same."""
    store = login(clock=clock)
    platform.faults.token.delay(0.5)
    join = in_thread(store.refresh_token)
    wait_for_the_request(platform)
    clock.now = -1.0
    assert join() is None
    assert stored(store).token.access_token == store.token()
    FileStorage(store.path).sole_refresher(0).release()


@pytest.mark.parametrize("ahead", [3601.0, YEAR, 1000 * YEAR])
def test_token_of_a_time_to_come(
    platform: Platform, login: Login, clock: Clock, ahead: float
) -> None:
    """A token that a clock got while it was ahead is renewed once it is set back."""
    now = clock.now
    clock.now += ahead
    store = login(clock=clock)
    first = store.token()
    clock.now = now
    second = ConfigStore(store.path, clock=clock).token()
    assert first != second
    assert second == store.token()
    assert now == stored(store).token.obtained_at
    assert 1 == refreshes(platform)


def test_small_step_back(platform: Platform, login: Login, clock: Clock) -> None:
    """A clock set back by up to a life and an hour costs no refresh."""
    store = login(clock=clock)
    first = store.token()
    clock.now -= 3600
    assert [first] * 2 == [store.token(), ConfigStore(store.path, clock=clock).token()]
    assert 0 == refreshes(platform)


def test_token_of_a_time_to_come_in_an_outage(
    platform: Platform, login: Login, clock: Clock
) -> None:
    """Renewing it is no storm where it fails, and the token is handed out meanwhile."""
    store = login(clock=clock)
    first = store.token()
    clock.now -= YEAR
    platform.faults.token.answer(429, {"error": "slow_down"})
    for _ in range(60):
        assert first == store.token() == ConfigStore(store.path, clock=clock).token()
        clock.now += 1
    assert 1 <= refreshes(platform) <= 2
    clock.now -= YEAR  # a pause of a time to come is none
    platform.faults.reset()
    assert first != store.token()


def test_refused_token_of_a_time_to_come(
    platform: Platform, login: Login, clock: Clock
) -> None:
    """A refused token whose age is below zero is not taken for a young one."""
    store = login(clock=clock)
    clock.now -= 200
    platform.faults.config.refuse_tokens(1)
    with pytest.raises(TokenRefusedError):
        store.fetch()
    clock.now -= YEAR
    platform.faults.config.refuse_tokens(1)
    store.fetch()
    assert 1 == refreshes(platform)


def test_lost_answer_and_a_clock_set_back(folder: Path, clock: Clock) -> None:
    """A mark of a time to come holds a refresh back for one life of a token."""
    with Platform(rotate=False) as platform:
        store = ConfigStore(folder, clock=clock)
        platform.log_in(store)
        first = store.token()
        clock.now += 3000
        platform.faults.token.lose_answers(1)
        assert first == store.token()
        clock.now -= YEAR
        for _ in range(2):
            assert first == store.token()
            with pytest.raises(RefreshPendingError):
                ConfigStore(folder, clock=clock).refresh_token()
        assert clock.now == stored(store).refresh_sent.sent_at  # type: ignore[union-attr]
        clock.now += 3599
        assert first == store.token()
        assert 1 == refreshes(platform)
        clock.now += 1
        assert first != store.token()
        assert 2 == refreshes(platform)


def test_unsaved_answer_and_a_clock_set_back(platform: Platform, clock: Clock) -> None:
    """An answer that waits to be saved does not wait for a clock to catch up."""

    class Refusing(MemoryStorage):
        commits = 0

        def update(
            self,
            change: Callable[[Optional[Session]], Optional[Session]],
            timeout: float,
            *,
            catalog: Optional[bytes] = None,
            replace: bool = False,
        ) -> Optional[Session]:
            from neuro_config import StorageWriteError

            self.commits += 1
            if self.commits == 3:  # the login, the mark, the answer
                raise StorageWriteError("disk", "is full")
            return super().update(change, timeout, catalog=catalog, replace=replace)

    storage = Refusing()
    store = ConfigStore(storage=storage, clock=clock)
    platform.log_in(store)
    store.refresh_token()
    clock.now -= YEAR
    token = store.token()
    saved = storage.read()
    assert saved is not None
    assert token == saved.token.access_token


def test_waiter_shares_a_failure_whatever_the_clock(
    platform: Platform, login: Login, clock: Clock
) -> None:
    """Who waited for a refresh that failed sends nothing, though the clock was set back."""
    store = login(clock=clock)
    platform.faults.token.delay(0.7)
    platform.faults.token.answer(429, {"error": "slow_down"})
    first = in_thread(store.refresh_token)
    wait_for_the_request(platform)
    second = in_thread(ConfigStore(store.path, clock=clock).refresh_token)
    time.sleep(0.2)
    clock.now -= 7200
    assert [AuthError] * 2 == [type(first()), type(second())]
    assert 1 == refreshes(platform)


def made(**claims: object) -> Dict[str, object]:
    return {"access_token": jwt.encode({"identity": "alice", **claims}, KEY)}


@pytest.mark.parametrize(
    ("answer", "life"),
    [
        (made(exp=5000, iat=4000), 1000.0),  # the server is ahead
        (made(exp=500, iat=400), 100.0),  # the server is behind
        (made(exp=1500), 500.0),
        (made(exp=1000), None),
        (made(exp=900), None),
        (made(exp=500, iat=500), None),
        (made(exp=10**11, iat=1000), None),
        ({**made(exp=5000, iat=4000), "expires_in": 0.09}, 1000.0),
        ({"access_token": "opaque", "expires_in": 1e-9}, None),
    ],
)
def test_life_of_a_token(answer: Dict[str, object], life: Union[float, None]) -> None:
    """The life that the server gives counts from now on, whatever its clock shows."""
    expected = None if life is None else 1000.0 + life
    assert expected == token_from(answer, 1000.0).expires_at


def test_login_with_a_token_that_has_expired_here_only(
    platform: Platform, folder: Path, clock: Clock
) -> None:
    """A token that the platform takes is valid, though our clock says otherwise."""
    clock.now += 7200
    store = ConfigStore(folder, clock=clock)
    token = platform.issue_access_token()
    store.login_with_token(token, url=platform.url)
    assert token == store.token()
    assert attrs.evolve(stored(store).token, expires_at=None) == stored(store).token
