"""The switches for what goes wrong."""

from __future__ import annotations

import time
from typing import List, Optional

import pytest
import requests

from neuro_config.testing import Platform


def get(platform: Platform, http: requests.Session) -> requests.Response:
    token = platform.issue_access_token()
    return http.get(
        str(platform.url / "config"),
        headers={"Authorization": f"Bearer {token}"},
        allow_redirects=False,
    )


def refresh(
    platform: Platform, http: requests.Session, token: str
) -> requests.Response:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": token,
        "client_id": "neuro-cli",
    }
    return http.post(f"{platform.url.origin()}/token", data=form)


def outcomes(platform: Platform) -> List[Optional[str]]:
    return [record.outcome for record in platform.requests]


def test_drop(platform: Platform, http: requests.Session) -> None:
    """A dropped request is not processed: its refresh token is not spent."""
    token = platform.authorize()["refresh_token"]
    platform.clear_requests()
    platform.faults.token.drop(count=1)
    with pytest.raises(requests.ConnectionError):
        refresh(platform, http, token)
    assert 200 == refresh(platform, http, token).status_code
    assert ["dropped", "answered"] == outcomes(platform)


def test_lost_answer(platform: Platform, http: requests.Session) -> None:
    """A lost answer was processed: the same request again is a re-use."""
    token = platform.authorize()["refresh_token"]
    platform.clear_requests()
    platform.faults.token.lose_answers()
    with pytest.raises(requests.ConnectionError):
        refresh(platform, http, token)
    assert 400 == refresh(platform, http, token).status_code
    assert ["lost", "answered"] == outcomes(platform)
    assert [False, True] == [r.reuse_detected for r in platform.requests]


def test_until_reset(platform: Platform, http: requests.Session) -> None:
    """Without a count a fault stays until it is reset."""
    platform.faults.config.drop()
    for _ in range(3):
        with pytest.raises(requests.ConnectionError):
            get(platform, http)
    platform.faults.reset()
    assert 200 == get(platform, http).status_code


def test_outage_with_status(platform: Platform, http: requests.Session) -> None:
    """A given status is answered so many times."""
    platform.faults.config.answer(503, "", headers={"Retry-After": "1"}, count=3)
    assert "1" == get(platform, http).headers["Retry-After"]
    assert [503, 503, 200] == [get(platform, http).status_code for _ in range(3)]
    assert 3 == platform.count("config", status=503)


def test_garbage(platform: Platform, http: requests.Session) -> None:
    """Garbage is sent as given: bytes, HTML, or JSON that means nothing."""
    faults = platform.faults.config
    faults.answer(200, b"\xff\x00", content_type="application/json")
    answer = get(platform, http)
    assert b"\xff\x00" == answer.content
    assert "application/json" == answer.headers["Content-Type"]
    faults.answer(200, "<html>\u00fc")
    answer = get(platform, http)
    assert ("<html>\u00fc", True) == (
        answer.text,
        answer.headers["Content-Type"].startswith("text/html"),
    )
    faults.answer(200, {"clusters": 5})
    assert {"clusters": 5} == get(platform, http).json()


def test_redirect(platform: Platform, http: requests.Session) -> None:
    """A redirect leads to the given URL with the given status."""
    platform.faults.config.redirect("http://127.0.0.1:1/x", status=307, count=1)
    answer = get(platform, http)
    assert (307, "http://127.0.0.1:1/x") == (
        answer.status_code,
        answer.headers["Location"],
    )


def test_refused_tokens(platform: Platform, http: requests.Session) -> None:
    """In an outage of the auth service a good token looks like a bad one."""
    platform.faults.config.refuse_tokens(count=1)
    assert [False, True] == [get(platform, http).json()["authorized"] for _ in "ab"]


def test_dropped_requests_use_up_nothing(
    platform: Platform, http: requests.Session
) -> None:
    """What is not processed uses up neither a lost answer nor a refused token."""
    faults = platform.faults.config
    faults.drop(count=1)
    faults.refuse_tokens(count=1)
    with pytest.raises(requests.ConnectionError):
        get(platform, http)
    assert get(platform, http).json()["authorized"] is False


@pytest.mark.parametrize("where", ["seconds", "answer"])
def test_delay(where: str, platform: Platform, http: requests.Session) -> None:
    """A delay makes requests slow, before or after they are processed."""
    platform.faults.config.delay(**{where: 0.3})
    before = time.monotonic()
    assert 200 == get(platform, http).status_code
    assert before + 0.3 <= time.monotonic()


def test_pending_requests_are_in_the_log(platform: Platform) -> None:
    """A request that is being delayed is in the log already, as pending."""
    platform.faults.config.delay(60)
    with requests.Session() as http:
        http.trust_env = False
        with pytest.raises(requests.Timeout):
            http.get(str(platform.url / "config"), timeout=0.3)
    assert ["pending"] == outcomes(platform)


def test_endpoints_fail_alone(platform: Platform, http: requests.Session) -> None:
    """A fault of one endpoint is not felt at another."""
    platform.faults.revoke.answer(500)
    platform.faults.config.answer(500)
    token = platform.authorize()["refresh_token"]
    data = {"token": token, "client_id": "neuro-cli"}
    answer = http.post(f"{platform.url.origin()}/revoke", data=data)
    assert 500 == answer.status_code
    assert 200 == refresh(platform, http, token).status_code
