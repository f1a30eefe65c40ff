"""The loopback server under attack, while somebody logs in with a browser."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from typing import Dict, Iterator, List, Optional, Tuple
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from common import CLUSTERS, PROJECTS, free_urls
from planted import spread
from proof import Effort, Tally
from yarl import URL

from neuro_config import ConfigStore, MemoryStorage
from neuro_config._callback import Listener
from neuro_config._errors import ConfigError, LoginDeniedError
from neuro_config.testing import Platform

WAIT = 60.0  # seconds that nothing here takes


class Login:
    """A login under way, at the moment at which its page is shown.

    Attributes:
        asked: The authorization request's fields.
        place: Host and port of the loopback server.
    """

    def __init__(self, platform: Platform) -> None:
        self.store = ConfigStore(storage=MemoryStorage(), login_timeout=WAIT)
        self._shown = threading.Event()
        self._url = URL()
        self._error: Optional[ConfigError] = None
        self._thread = threading.Thread(target=self._run, args=(platform.url,))
        self._thread.start()
        assert self._shown.wait(WAIT)
        self.url = str(self._url)
        self.asked = {
            name: one[0] for name, one in parse_qs(self._url.query_string).items()
        }
        parts = urlsplit(self.asked["redirect_uri"])
        self.place: Tuple[str, int] = (str(parts.hostname), int(parts.port or 80))

    def _run(self, url: URL) -> None:
        try:
            self.store.login(self._show, url=url)
        except ConfigError as error:
            self._error = error

    def _show(self, url: URL) -> None:
        self._url = url
        self._shown.set()

    @property
    def is_waiting(self) -> bool:
        return self._thread.is_alive()

    def finish(self) -> None:
        """Log in as a person does; it works in spite of all that was done before."""
        assert self.is_waiting
        with requests.Session() as browser:
            browser.trust_env = False
            page = browser.get(self.url, timeout=WAIT)
        assert (200, True) == (page.status_code, "You are logged in" in page.text)
        self.end()
        assert (None, "alice") == (self._error, self.store.username)

    def end(self) -> Optional[ConfigError]:
        self._thread.join(WAIT)
        assert not self._thread.is_alive()
        return self._error


@pytest.fixture
def world() -> Iterator[Platform]:
    with Platform(
        clusters=CLUSTERS, projects=PROJECTS, callback_urls=free_urls(3)
    ) as platform:
        yield platform


def said(place: Tuple[str, int], request: bytes) -> bytes:
    """What the server answers to bytes, whatever they are."""
    with socket.create_connection(place, timeout=WAIT) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(OSError):
            for piece in iter(lambda: connection.recv(65536), b""):
                answer += piece
        return answer


def line(target: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    return f"{method} {target} {version}\r\nHost: 127.0.0.1\r\n\r\n".encode()


def foreign(state: str) -> Dict[str, bytes]:
    """Requests that are no answer to this login, most of them with its very state."""
    good = f"/?code=stolen&state={state}"
    other = "A" * len(state)
    methods = (
        "POST",
        "PUT",
        "HEAD",
        "OPTIONS",
        "DELETE",
        "CONNECT",
        "TRACE",
        "get",
        "X",
    )
    hosts = (
        "evil.example",
        "evil.example:54540",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example@127.0.0.1.example",
        "0.0.0.0",
        "[::2]",
        "2130706434.example",
        "192.168.0.1",
    )
    states = (
        other,
        "",
        state[:-1],
        state + "A",
        state.swapcase(),
        f"{state}&state={other}",
        f"{other}&state={state}",
        f"{state}&state={state}",
        f"{state}%00",
        f"%20{state}",
    )
    queries = (
        "",
        "?",
        f"?state={state}",
        f"?code=&state={state}",
        f"?code=a&code=b&state={state}",
        f"?code=a&error=b&state={state}",
        f"?error=&state={state}",
        f"?error=access_denied&state={other}",
        f"?CODE=a&state={state}",
        f"#code=a&state={state}",
        "?" + "&" * 5000 + f"code=a&state={state}",
        f"?state[]={state}&code=a",
    )
    paths = ("/callback", "/./", "/.", "/%2f", "/favicon.ico", "http://127.0.0.1/", "*")
    return {
        **{f"method {one}": line(good, one) for one in methods},
        **{
            f"host {one}": line(good).replace(b"Host: 127.0.0.1", f"Host: {one}".encode())
            for one in hosts
        },
        "two hosts": line(good).replace(b"\r\n\r\n", b"\r\nHost: evil.example\r\n\r\n"),
        **{f"state {number}": line(f"/?code=a&state={one}") for number, one in enumerate(states)},
        **{f"query {number}": line(f"/{one}") for number, one in enumerate(queries)},
        **{f"path {one}": line(one + good[1:]) for one in paths},
        "long line": line("/?" + "x" * 70000),
        "long header": line(good).replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 70000 + b"\r\n\r\n"),
        "many headers": line(good).replace(b"\r\n\r\n", b"\r\nX: y" * 200 + b"\r\n\r\n"),
        "huge header": line(good).replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 3_000_000),
        "no line end": line(good).replace(b"\r\n", b""),
        "half a line": b"GET /?code=a&sta",
        "version": line(good, version="HTTP/9.9"),
        "no version": f"GET {good} X\r\n\r\n".encode(),
        "nothing": b"",
        "zeros": bytes(5000),
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        "letters": "GET /é?code=a HTTP/1.1\r\n\r\n".encode("latin-1"),
        "two at once": line("/?x") + line("/?y"),
    }  # fmt: skip


@pytest.mark.attack("11")
def test_foreign_requests(world: Platform, tally: Tally, effort: Effort) -> None:
    """Other methods, paths, hosts, states and malformed or huge requests come before the answer, most with the right state: they change nothing, and the login goes on."""
    login = Login(world)
    state = login.asked["state"]
    attacks = foreign(state)
    for name in spread(sorted(attacks), effort(len(attacks), least=len(attacks))):
        answer = said(login.place, attacks[name])
        assert login.is_waiting, name
        assert not answer.startswith((b"HTTP/1.0 200", b"HTTP/1.0 302")), name
        assert state.encode() not in answer.partition(b"\r\n\r\n")[0], name
        tally()
    login.finish()


@pytest.mark.attack("11")
def test_crowd(world: Platform, tally: Tally, effort: Effort) -> None:
    """Hundreds of silent, slow and broken connections are open when the answer comes: it is taken, and the port is free afterwards."""
    login = Login(world)
    starts = (b"", b"G", b"GET /?code=a", b"GET / HTTP/1.1\r\nX: ", bytes(99))
    with contextlib.ExitStack() as stack:
        crowd = []
        for number in range(effort(200)):
            one = stack.enter_context(socket.create_connection(login.place, WAIT))
            one.sendall(starts[number % len(starts)])
            crowd.append(one)
            tally()
        for one in crowd:
            with contextlib.suppress(OSError):
                one.sendall(b"x")  # slowly on
        login.finish()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(login.place)


@pytest.mark.attack("11")
def test_one_answer(world: Platform, tally: Tally, effort: Effort) -> None:
    """Many answers with the right state come at once: one is taken, and one code is sent."""
    for _ in range(effort(6)):
        login = Login(world)
        world.clear_requests()
        query = urlencode({"error": "access_denied", "state": login.asked["state"]})
        answers: List[bytes] = []
        gate = threading.Barrier(8)

        def answer(
            login: Login = login,
            query: str = query,
            gate: threading.Barrier = gate,
            answers: List[bytes] = answers,
        ) -> None:
            gate.wait(WAIT)
            with contextlib.suppress(OSError):  # it is over for those who come late
                answers.append(said(login.place, line(f"/?{query}")))

        threads = [threading.Thread(target=answer) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert isinstance(login.end(), LoginDeniedError)
        assert 1 == sum(b"was cancelled" in one for one in answers)
        assert 0 == world.count("token")
        tally(8)


@pytest.mark.attack("11")
def test_pkce(world: Platform, tally: Tally, effort: Effort) -> None:
    """Every login asks with a challenge S256 of its own, a state of its own and a loopback redirect, and a stolen code is worth nothing without the verifier."""
    seen = set()
    for _ in range(effort(8)):
        login = Login(world)
        asked = login.asked
        assert "S256" == asked["code_challenge_method"]
        assert 43 == len(asked["code_challenge"])
        assert len(asked["state"]) >= 32
        assert "127.0.0.1" == login.place[0]
        seen |= {asked["state"], asked["code_challenge"]}
        tally()
        with requests.Session() as thief:
            thief.trust_env = False
            page = thief.get(login.url, allow_redirects=False, timeout=WAIT)
            code = parse_qs(urlsplit(page.headers["Location"]).query)["code"][0]
            for verifier in ("", "A" * 43, asked["code_challenge"], asked["state"]):
                form = {
                    "grant_type": "authorization_code",
                    "client_id": asked["client_id"],
                    "redirect_uri": asked["redirect_uri"],
                    "code": code,
                    "code_verifier": verifier,
                }
                token_url = f"{world.url.origin()}/token"
                assert 400 == thief.post(token_url, data=form, timeout=WAIT).status_code
                tally()
        login.finish()
    assert 2 * effort(8) == len(seen)


ADDRESSES = (
    "0.0.0.0",
    "192.168.0.1",
    "10.0.0.1",
    "example.org",
    "localhost.example",
    "127.0.0.1.example",
    "[::]",
    "[::ffff:10.0.0.1]",
    "224.0.0.1",
    "255.255.255.255",
    "0",
    "",
    "127.1.example",
)


@pytest.mark.attack("11")
def test_where_it_listens(tally: Tally) -> None:
    """The platform names callback addresses that other machines reach: nobody listens there."""
    for host, scheme in itertools.product(ADDRESSES, ("http", "https")):
        (free,) = free_urls(1)
        port = urlsplit(free).port
        with contextlib.suppress(ConfigError), Listener([f"{scheme}://{host}:{port}/"]):
            raise AssertionError(host)
        with Listener([f"{scheme}://{host}:{port}/", free]) as listener:
            assert "127.0.0.1" == listener._server.server_address[0]
        tally()
