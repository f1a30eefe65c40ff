"""Many processes and one refresh token that can be spent once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from common import Login

from neuro_config import ConfigStore, FileStorage, LoggedIn, SessionEndedError
from neuro_config.testing import Platform

EXPIRED = 3700.0  # seconds to look ahead for a token of one hour to have expired
LATE = 3000.0  # seconds to look ahead for it to be past 75 % of its life


def first_results(found: List[Dict[str, Any]]) -> List[str]:
    assert [None] * len(found) == [one["error"] for one in found]
    return [one["results"][0] for one in found]


@pytest.mark.attack("5")
@pytest.mark.parametrize("actions", [("token",), ("fetch", "token")])
def test_one_refresh(
    platform: Platform, login: Login, workers: Any, actions: Any
) -> None:
    """16 processes with an expired token make one request and get one token."""
    login()
    found = workers(16, *actions, offset=EXPIRED)
    tokens = {one["results"][-1] for one in found}
    assert [None] * 16 == [one["error"] for one in found]
    assert (1, 16) == (len(tokens), len(found))
    assert 1 == platform.count("token", grant_type="refresh_token")
    assert 0 == platform.count(reuse_detected=True)


@pytest.mark.attack("5", "9")
def test_one_early_refresh(platform: Platform, login: Login, workers: Any) -> None:
    """16 processes past 75 % of a life make one request, and nobody waits for it."""
    store = login()
    platform.faults.token.delay(2.0)
    found = workers(16, "token", offset=LATE)
    tokens = first_results(found)
    assert 15 == tokens.count(store.token())
    assert 1 == platform.count("token", grant_type="refresh_token")
    fast = sorted(one["seconds"] for one in found)[:15]
    assert fast[-1] < 1.5


@pytest.mark.attack("5")
def test_refresh_token_by_all(platform: Platform, login: Login, workers: Any) -> None:
    """16 processes that ask for another token than their snapshot's make one request."""
    store = login()
    before = store.token()
    found = workers(16, "refresh_token", "token")
    store.reload()
    assert {(None, store.token())} == {
        (one["error"], one["results"][-1]) for one in found
    }
    assert before != store.token()
    assert 1 == platform.count("token", grant_type="refresh_token")


@pytest.mark.attack("5")
def test_every_expiry_anew(platform: Platform, login: Login, workers: Any) -> None:
    """Expiry after expiry there is one request each, and the login lives on."""
    login()
    offset = 0.0
    for round_number in range(1, 6):
        offset += EXPIRED
        tokens = set(first_results(workers(16, "token", offset=offset)))
        assert 1 == len(tokens)
        assert round_number == platform.count("token", grant_type="refresh_token")
    assert 0 == platform.count(reuse_detected=True)


@pytest.mark.attack("5", "mark")
def test_lost_answer(platform: Platform, login: Login, workers: Any) -> None:
    """An answer lost while 15 wait: nobody sends again while the token is valid."""
    store = login()
    valid = store.token()
    platform.faults.token.delay(1.0)
    platform.faults.token.lose_answers(1)
    found = workers(16, "refresh_token")
    errors = sorted(str(one["error"]) for one in found)
    assert ["NetworkError", *["RefreshFailedError"] * 15] == errors
    again = workers(16, "refresh_token")
    assert {"RefreshPendingError"} == {one["error"] for one in again}
    assert [valid] * 16 == first_results(workers(16, "token", offset=LATE))
    assert 1 == platform.count("token", grant_type="refresh_token")
    platform.faults.reset()
    ended = workers(16, "token", offset=EXPIRED)
    assert ["SessionEndedError"] * 16 == [one["error"] for one in ended]
    assert 2 == platform.count("token", grant_type="refresh_token")
    clock = lambda: time.time() + EXPIRED + 5  # noqa: E731
    with pytest.raises(SessionEndedError, match="got lost"):
        ConfigStore(store.path, clock=clock).token()


@pytest.mark.attack("9")
@pytest.mark.parametrize("outage", ["refused", "503", "429", "dropped"])
@pytest.mark.parametrize("token_is", ["valid", "expired"])
def test_outage(
    platform: Platform, login: Login, workers: Any, outage: str, token_is: str
) -> None:
    """16 processes a minute in an outage of ten minutes: no storm, no lost session."""
    store = login()
    valid = store.token()
    if outage == "refused":
        platform.stop()
    elif outage == "dropped":
        platform.faults.token.drop()
    else:
        platform.faults.token.answer(int(outage), {"error": "temporarily_unavailable"})
    platform.faults.token.delay(0.3)  # so that all 16 are there before the first fails
    begin = 2750.0 if token_is == "valid" else EXPIRED
    attempts = []
    for minute in range(10):
        found = workers(16, "token", offset=begin + 60 * minute)
        if token_is == "valid":
            assert [valid] * 16 == first_results(found)
        else:
            assert None not in {one["error"] for one in found}
        session = FileStorage(store.path).read()
        assert session is not None
        assert session.refresh_failure is not None
        attempts.append(session.refresh_failure.count)
    if token_is == "expired":
        # All 16 start at one moment: who waited shares the failure of who tried.
        assert attempts[-1] <= 20
    elif outage in ("503", "dropped"):
        assert [1] * 10 == attempts  # it may have been spent: not before expiry
    else:
        assert [1, 2, 2, 3, 3, 3, 3, 4, 4, 4] == attempts
    if outage == "refused":
        platform.start()
    else:
        assert attempts[-1] == platform.count("token", grant_type="refresh_token")
    platform.faults.reset()
    tokens = set(first_results(workers(16, "token", offset=begin + 1500)))
    assert 1 == len(tokens)
    assert {valid} != tokens
    store.reload()
    assert isinstance(store.state, LoggedIn)


@pytest.mark.attack("4", "8")
def test_switches_go_on_during_a_refresh(
    platform: Platform, login: Login, folder: Path, workers: Any
) -> None:
    """A slow network does not block a switch, and neither loses the other's change."""
    store = login()
    before = store.token()
    platform.faults.token.delay(1.5)
    import threading

    thread = threading.Thread(target=store.refresh_token)
    thread.start()
    while not platform.count("token", outcome="pending"):
        time.sleep(0.01)
    (found,) = workers(1, "switch_cluster:farm")
    assert found["error"] is None
    assert found["seconds"] < 1.0
    thread.join()
    store.reload()
    assert "farm" == store.cluster_name
    assert before != store.token()
