"""A server that repeats secrets, in any writing and anywhere: nobody is shown them."""

from __future__ import annotations

import base64
import functools
import itertools
import json
import socket
import time
from typing import Callable, Dict, List
from urllib.parse import parse_qs, quote, urlencode

import jwt
import pytest
from leaks import WRITINGS, Everything, Search, exposed
from planted import spread
from proof import Effort, Tally
from samples import session
from wire import Answer, Wire, http
from yarl import URL

from neuro_config import ConfigError, ConfigStore, MemoryStorage
from neuro_config._catalog import digest_of, encode
from neuro_config._payload import ServerConfig
from neuro_config._session import AuthConfig, Token
from neuro_config._words import words_of

NOW = time.time()
ACCESS = jwt.encode({"identity": "ann", "exp": NOW + 9e5, "jti": "aC3x" * 5}, "k" * 32)
REFRESH = "cAn4ry/refresh+W0rd=='\\\"<&>%2F;-" + "Zq7wT1mXb9KpLr3e" * 2
CODE = "c0de/4uthoriz4tion+Vx8=" + "Jd2sGf6hQw5n"
CATALOG = encode(ServerConfig(authorized=True), "https://api.example/api/v1")

# Where in a body it is repeated.
PLACES: Dict[str, Callable[[str], object]] = {
    "text": lambda said: f"refused: {said}".encode(),
    "page": lambda said: f"<html><p title='{said}'>No.</p></html>".encode(),
    "error": lambda said: {"error": said},
    "description": lambda said: {
        "error": "invalid_request",
        "error_description": f"the token {said} is none",
    },
    "ended": lambda said: {"error": "invalid_grant", "error_description": said},
    "object": lambda said: {"error": {"message": said}, "error_description": [said]},
    "token": lambda said: {"access_token": f"{said} ", "refresh_token": {said: said}},
    "second token": lambda said: {"access_token": ACCESS, "refresh_token": [said]},
    "key": lambda said: {said: said, "authorized": said},
    "cluster": lambda said: {
        "authorized": True,
        "clusters": [{"name": said, "orgs": said}],
    },
    "project": lambda said: {
        "authorized": True,
        "clusters": [],
        "projects": [{"name": said, said: 1}],
    },
    "auth": lambda said: {"authorized": False, "auth_url": {said: said}},
    "broken JSON": lambda said: f'{{"error": "{said}'.encode(),
    "raw JSON": lambda said: f'{{"error": "{said}"}}'.encode(),
}
HEADERS = (
    "",
    "Location: https://elsewhere.example/?{}\r\n",
    "WWW-Authenticate: {}\r\n",
)
STATUSES = (200, 302, 400, 401, 403, 408, 500)


def store_at(url: str, expires_in: float) -> ConfigStore:
    """A login whose platform and authorization server are one server."""
    made = session(
        "ann",
        api_url=url,
        catalog=digest_of(CATALOG),
        token=Token(ACCESS, NOW - 9000, NOW + expires_in, REFRESH),
        auth=AuthConfig(f"{url}/auth", f"{url}/token", "client"),
    )
    storage = MemoryStorage()
    storage.update(lambda old: made, 1.0, catalog=CATALOG)
    return ConfigStore(storage=storage, timeout=20.0)


def fetch(url: str) -> None:
    store_at(url, 9e5).fetch()


def refresh(url: str) -> None:
    store_at(url, 9e5).refresh_token()


def token_of_an_expired_login(url: str) -> None:
    store_at(url, -1.0).token()


def log_out(url: str) -> None:
    store_at(url, 9e5).logout()


def log_in_with_a_token(url: str) -> None:
    ConfigStore(storage=MemoryStorage()).login_with_token(ACCESS, url=url)


def log_in_with_a_passed_config(url: str) -> None:
    fields = {"token": ACCESS, "cluster": "default", "url": url}
    data = base64.b64encode(json.dumps(fields).encode()).decode()
    ConfigStore(storage=MemoryStorage()).login_with_passed_config(data)


CALLS: Dict[str, Callable[[str], None]] = {
    "fetch": fetch,
    "refresh": refresh,
    "token": token_of_an_expired_login,
    "log out": log_out,
    "log in with a token": log_in_with_a_token,
    "log in with a passed config": log_in_with_a_passed_config,
}


def outcome(call: Callable[[], None]) -> str:
    """All that is shown of a call and of its failure."""
    with Everything() as log:
        try:
            call()
            shown = ""
        except ConfigError as error:
            shown = "\n".join([exposed(error), words_of(error)])
    return f"{shown}\n{log.text}"


SPENDING = ("refresh", "token", "log out")


def body_of(place: str, said: str) -> bytes:
    body = PLACES[place](said)
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.attack("10")
def test_echo(tally: Tally, effort: Effort) -> None:
    """A server repeats access and refresh token in 31 writings, in bodies and headers of any status, in pieces too: no error, log, traceback with locals or pickle has any of it."""
    search = Search(ACCESS, REFRESH)
    cases = list(itertools.product(CALLS, STATUSES, PLACES, WRITINGS, HEADERS))
    cases = spread(cases, effort(400))
    cases += [("refresh", one, "second token", "as it is", "") for one in STATUSES]
    for call, status, place, writing, header in cases:
        said = WRITINGS[writing](REFRESH if call in SPENDING else ACCESS)
        lines = header.format("".join(said.split()))
        answer = http(body_of(place, said), status, lines)
        with Wire(answer) as wire:
            shown = outcome(functools.partial(CALLS[call], wire.url))
        search.require_none(shown, case=(call, status, place, writing, header))
        tally()


def echoing(writing: str, place: str, status: int, given: Dict[str, str]) -> Answer:
    """Repeat what a form brings: the verifier, and the code that is given."""

    def answer(wire: Wire, connection: socket.socket) -> None:
        form = parse_qs(wire.requests[-1].partition(b"\r\n\r\n")[2].decode())
        given["code_verifier"] = form["code_verifier"][0]
        said = " ".join(map(WRITINGS[writing], given.values()))
        connection.sendall(http(body_of(place, said), status))

    return answer


def offer(wire: Wire, connection: socket.socket) -> None:
    """Tell how to log in, all at this very server."""
    offers = {
        "authorized": False,
        "auth_url": f"{wire.url}/auth",
        "token_url": f"{wire.url}/token",
        "client_id": "client",
        "callback_urls": [],
        "headless_callback_url": "https://x.example/",
    }
    connection.sendall(http(offers))


@pytest.mark.attack("10", "11")
def test_echo_of_a_login(tally: Tally, effort: Effort) -> None:
    """The same with authorization code and PKCE verifier, when a login fails."""
    cases = list(itertools.product(STATUSES, PLACES, WRITINGS))
    for status, place, writing in spread(cases, effort(120)):
        given: Dict[str, str] = {}

        def get_code(url: URL, given: Dict[str, str] = given) -> str:
            given["code"] = CODE
            return f"https://x.example/?code={quote(CODE)}&state={url.query['state']}"

        with Wire(offer, echoing(writing, place, status, given)) as wire:
            store = ConfigStore(storage=MemoryStorage())
            shown = outcome(
                functools.partial(store.login_headless, get_code, url=wire.url)
            )
        Search(*given.values()).require_none(shown, case=(status, place, writing))
        assert 2 == len(given)
        tally()


DENIALS = ("access_denied", "server_error", "invalid_request", "{}")


@pytest.mark.attack("10", "11")
def test_echo_of_a_state(tally: Tally, effort: Effort) -> None:
    """An authorization server that refuses repeats the login's state in any writing."""
    cases = list(itertools.product(DENIALS, WRITINGS))
    with Wire(offer) as wire:
        for code, writing in spread(cases, effort(len(cases))):
            given: List[str] = []

            def get_code(
                url: URL,
                code: str = code,
                writing: str = writing,
                given: List[str] = given,
            ) -> str:
                given.append(url.query["state"])
                said = WRITINGS[writing](given[0])
                fields = {
                    "error": code.format(said),
                    "error_description": f"not {said} again",
                    "state": given[0],
                }
                return f"https://x.example/?{urlencode(fields)}"

            store = ConfigStore(storage=MemoryStorage())
            shown = outcome(
                functools.partial(store.login_headless, get_code, url=wire.url)
            )
            assert "efus" in shown or "denied" in shown
            Search(*given).require_none(shown, case=(code, writing))
            tally()
