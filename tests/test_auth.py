"""``store.auth``: real servers see the token only where it belongs."""

from __future__ import annotations

from typing import List, Tuple, cast

import pytest
import requests
from common import Login
from wire import Wire, http

from neuro_config import ConfigStore
from neuro_config._auth import TokenAuth
from neuro_config._errors import InsecureURLError, InvalidTokenError, NotLoggedInError
from neuro_config.testing import Platform


@pytest.fixture
def store(login: Login) -> ConfigStore:
    return login()


class Store:
    """Stands for a store: one step of its login's history per question for a token."""

    def __init__(self, *history: Tuple[str, str, str]) -> None:
        self.history = list(history)

    @property
    def _binding(self) -> object:
        return self.history[0]

    def _origins(self) -> Tuple[str, ...]:
        return (self.history[0][1],)

    def token(self) -> str:
        if len(self.history) > 1:
            del self.history[0]
        return self.history[0][2]


def authorized(store: Store, url: str) -> str:
    auth = TokenAuth(cast(ConfigStore, store))
    request = requests.Request("GET", url, auth=auth).prepare()
    return request.headers["Authorization"]


def asked(url: str, store: ConfigStore) -> None:
    with requests.Session() as session:
        session.get(url, auth=store.auth, timeout=5)


def test_the_platform_gets_the_token(store: ConfigStore, platform: Platform) -> None:
    """A request to the platform carries the store's token."""
    with requests.Session() as session:
        session.auth = store.auth
        answer = session.get(f"{store.api_url}/config", timeout=5)
    assert answer.json()["authorized"]


def test_no_other_server_gets_the_token(store: ConfigStore) -> None:
    """Another port of the same machine is refused, and sees nothing."""
    with Wire(http()) as other, pytest.raises(InsecureURLError) as caught:
        asked(f"{other.url}/x?secret", store)
    assert (
        f"{other.url}/x: is not a host of the platform that you are logged in to, so "
        "the token is not sent there. Use a session without store.auth for it."
    ) == str(caught.value)
    assert [] == other.peers


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/config",
        "https://api.example:444/config",
        "https://api.example.org/config",
        "https://api.example@evil.example/config",
        "https://evil.example\\@api.example/config",
        "https://evil.example/https://api.example",
    ],
)
def test_foreign_urls(url: str) -> None:
    """Only https to the very host and port of the platform carries a token."""
    with pytest.raises(InsecureURLError):
        authorized(Store(("1", "https://api.example:443", "token")), url)


@pytest.mark.parametrize(
    "url",
    ["https://api.example", "https://API.example:443/x", "https://me@api.example"],
)
def test_own_urls(url: str) -> None:
    """The platform's host carries it, however it is written."""
    store = Store(("1", "https://api.example:443", "token"))
    assert "Bearer token" == authorized(store, url)


def test_a_redirect_carries_no_token() -> None:
    """A redirect of the platform to another server does not take the token along."""
    with Wire(http()) as other, requests.Session() as session:
        elsewhere = f"Location: {other.url}/x\r\n"
        with Wire(http(b"", 302, elsewhere)) as wire:
            store = cast(ConfigStore, Store(("1", wire.url, "token")))
            session.get(wire.url, auth=TokenAuth(store), timeout=5)
    assert b"Authorization: Bearer token" in wire.requests[0]
    assert b"token" not in other.requests[0]


def test_a_request_without_a_url() -> None:
    """A request that goes nowhere gets no token."""
    auth = TokenAuth(
        cast(ConfigStore, Store(("1", "https://api.example:443", "token")))
    )
    with pytest.raises(InsecureURLError):
        auth(requests.PreparedRequest())


def test_a_login_in_between() -> None:
    """A login to another platform between two questions sends no token to the old one."""
    old = ("1", "https://old.example:443", "old-token")
    new = ("2", "https://new.example:443", "new-token")
    with pytest.raises(InsecureURLError):
        authorized(Store(old, new), "https://old.example")


def test_a_new_login_on_the_same_platform() -> None:
    """After a login in between on the same platform the new token is sent."""
    origin = "https://api.example:443"
    store = Store(("1", origin, "old-token"), ("2", origin, "new-token"))
    assert "Bearer new-token" == authorized(store, "https://api.example")


def test_a_token_that_no_header_carries() -> None:
    """A damaged token is refused, not written into a header or an error."""
    store = Store(("1", "https://api.example:443", "secret\r\nX: y"))
    with pytest.raises(InvalidTokenError) as caught:
        authorized(store, "https://api.example")
    assert "secret" not in repr(caught.value)


def test_logged_out(store: ConfigStore, platform: Platform) -> None:
    """Without a login there is an error and no request."""
    url = f"{store.api_url}/config"
    store.logout()
    requests_before: List[object] = list(platform.requests)
    with pytest.raises(NotLoggedInError):
        asked(url, store)
    assert requests_before == list(platform.requests)
