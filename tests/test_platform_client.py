"""The two endpoints over real sockets: what is sent, repeated, bounded and told."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import logging
import os
import signal
import socket
import ssl
import threading
import time
import traceback
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Type, Union, cast
from urllib.parse import parse_qs, urlencode

import pytest
import requests
import requests.adapters
import responses
import trustme
import urllib3
from hypothesis import given, strategies as st
from samples import in_child
from test_secrets import shown as shown_with_locals
from wire import Answer, Wire, drip, hang, http, read_request, reset

from neuro_config._cluster_line import Known
from neuro_config._deadline import LONGEST, Deadline
from neuro_config._errors import (
    AuthError,
    ConfigError,
    ConnectionFailedError,
    InsecureURLError,
    InvalidTokenError,
    MalformedAnswerError,
    NetworkError,
    PlatformError,
    RequestTimeoutError,
    SessionEndedError,
)
from neuro_config._guard import (
    TOKEN_LIMIT,
    is_same_origin,
    is_token,
    require_secure,
    shown,
)
from neuro_config._http import FROZEN, _Form, cause_of, within
from neuro_config._platform import PlatformClient, parse_token_answer
from neuro_config._session import AuthConfig
from neuro_config._version import __version__

TOKEN = "header.secret-access/token+.signature"
REFRESH = "secret-refresh/token+=~"
SECRETS = (TOKEN, REFRESH, "secret")
LOGGED_OUT = http({"authorized": False})
GRANTED = http({"access_token": "new", "refresh_token": "newer", "expires_in": 60})

Call = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_secret_in_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Hold every test's logs, of all loggers at DEBUG, against the secrets."""
    caplog.set_level(logging.DEBUG)
    yield
    for record in caplog.get_records("call"):
        assert not [one for one in SECRETS if one in record.getMessage()]


def get(url: str, seconds: float = 5.0, session: Any = None) -> Any:
    """Ask for the configuration."""
    return PlatformClient(session).get_config(url, TOKEN, Deadline(seconds))


def refresh(url: str, seconds: float = 5.0, session: Any = None) -> Any:
    """Spend the refresh token."""
    auth = AuthConfig("https://auth.example", url + "/token", "client")
    return PlatformClient(session).refresh(auth, REFRESH, Deadline(seconds))


BOTH = pytest.mark.parametrize("call", [get, refresh])


def failure_of(call: Callable[[], object]) -> ConfigError:
    """The error of a call, held against the secrets with all that it drags along."""
    with pytest.raises(ConfigError) as caught:
        call()
    raised = caught.value
    trace = "".join(
        traceback.format_exception(type(raised), raised, raised.__traceback__)
    )
    error: Optional[BaseException] = raised
    while error is not None:
        shows = f"{error} {error!r} {error.args}"
        assert not [one for one in SECRETS if one in shows]
        error = error.__cause__ or error.__context__
    assert not [one for one in (TOKEN, REFRESH) if one in trace]
    return caught.value


# ----------------------------------------------------------------- what is sent


def test_the_request_of_a_configuration() -> None:
    """``GET /config`` carries the token and our version, and a slash at the end is no matter."""
    with Wire(LOGGED_OUT) as wire:
        assert not get(wire.url + "/api/v1/").authorized
    (request,) = wire.requests
    head = request.decode().split("\r\n")
    assert "GET /api/v1/config HTTP/1.1" == head[0]
    assert f"Authorization: Bearer {TOKEN}" in head
    assert "Accept: application/json" in head
    (agent,) = [line for line in head if line.startswith("User-Agent: ")]
    assert agent.startswith(f"User-Agent: neuro_config/{__version__} python-requests/")


def test_the_request_of_a_refresh() -> None:
    """A refresh is one form, with our version and without an ``Authorization``."""
    with Wire(GRANTED) as wire:
        answer = refresh(wire.url)
    expected = {"access_token": "new", "refresh_token": "newer", "expires_in": 60}
    assert expected == answer
    (request,) = wire.requests
    head, _, body = request.decode().partition("\r\n\r\n")
    assert head.startswith("POST /token HTTP/1.1\r\n")
    assert "Content-Type: application/x-www-form-urlencoded" in head
    assert f"User-Agent: neuro_config/{__version__}" in head
    assert "authorization" not in head.lower()
    fields = {
        "grant_type": ["refresh_token"],
        "refresh_token": [REFRESH],
        "client_id": ["client"],
    }
    assert fields == parse_qs(body)


@pytest.mark.parametrize("token", [None, TOKEN])
def test_netrc(token: Optional[str], tmp_path: Path) -> None:
    """A ``~/.netrc`` neither adds an ``Authorization`` nor replaces ours."""
    netrc = Path(os.environ["HOME"]) / ".netrc"
    netrc.write_text("default login someone password else\n")
    netrc.chmod(0o600)
    with Wire(LOGGED_OUT, GRANTED) as wire:
        PlatformClient().get_config(wire.url, token, Deadline(5))
        refresh(wire.url)
    headers = [
        request.lower().count(b"\r\nauthorization:") for request in wire.requests
    ]
    assert [int(token is not None), 0] == headers
    assert b"Basic" not in b"".join(wire.requests)


@BOTH
def test_the_sessions_own_authorization(call: Call) -> None:
    """What a caller's session puts into ``Authorization`` goes to neither endpoint."""
    with requests.Session() as session, Wire(GRANTED) as wire:
        session.headers["Authorization"] = "Basic c29tZWJvZHk="
        session.headers["X-Own"] = "kept"
        session.auth = ("someone", "else")
        with contextlib.suppress(PlatformError):
            call(wire.url, session=session)
        assert "Basic c29tZWJvZHk=" == session.headers["Authorization"]
    assert b"Basic" not in wire.requests[0]
    assert b"X-Own: kept" in wire.requests[0]


def test_a_token_that_no_header_carries() -> None:
    """A token with a line end is refused before anything is sent."""
    with Wire(LOGGED_OUT) as wire:
        error = failure_of(
            lambda: PlatformClient().get_config(wire.url, f"{TOKEN}\n", Deadline(5))
        )
    expected = "The token is not usable: it is not visible ASCII. Log in again."
    assert (InvalidTokenError, expected) == (type(error), str(error))
    assert [] == wire.peers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@BOTH
def test_no_redirect_is_followed(call: Call, status: int) -> None:
    """A redirect is an error, and the server that it names sees nothing."""
    with Wire(LOGGED_OUT) as other:
        headers = f"Location: {other.url}/elsewhere\r\n"
        with Wire(http({}, status, headers)) as wire:
            error = failure_of(lambda: call(wire.url))
    assert {get: PlatformError, refresh: AuthError}[call] is type(error)
    assert (1, []) == (len(wire.requests), other.peers)


@pytest.mark.parametrize("location", ["http://[", "//", "ftp://\xff", ""])
@BOTH
def test_a_redirect_to_nowhere(call: Call, location: str) -> None:
    """A redirect is the same error wherever it leads to."""
    with Wire(http({}, 302, f"Location: {location}\r\n")) as wire:
        error = failure_of(lambda: call(wire.url))
    assert {get: PlatformError, refresh: AuthError}[call] is type(error)


# ------------------------------------------------------------- what is repeated


SHORT = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{}"


@pytest.mark.parametrize(
    "failure",
    [http(b"", 502), http(b"", 503), http(b"", 504), reset, b"", SHORT],
    ids=["502", "503", "504", "reset", "empty", "short"],
)
def test_the_configuration_is_asked_for_again(failure: Answer) -> None:
    """``GET /config`` outlives a gateway that fails and a connection that breaks."""
    with Wire(failure, LOGGED_OUT) as wire:
        assert not get(wire.url).authorized
    assert 2 == len(wire.requests)


def test_backoff() -> None:
    """After five tries, with growing pauses, the last answer is the outcome."""
    started = time.monotonic()
    with Wire(http(b"busy", 503, "Retry-After: 3600\r\n")) as wire:
        error = failure_of(lambda: get(wire.url))
    assert f"{wire.url}/config: answered 503: busy" == str(error)
    assert 5 == len(wire.requests)
    assert 2.8 <= time.monotonic() - started < 5.0


def test_no_pause_beyond_the_deadline() -> None:
    """Where the deadline leaves no time for the pause, the last answer is the outcome."""
    with Wire(http(b"busy", 503)) as wire:
        error = failure_of(lambda: get(wire.url, 0.35))
    assert 503 == cast(PlatformError, error).status
    assert 2 == len(wire.requests)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 501])
def test_what_is_not_asked_for_again(status: int) -> None:
    """Another status is an answer, not a reason to ask again."""
    with Wire(http(b"no", status)) as wire:
        error = failure_of(lambda: get(wire.url))
    assert (status, 1) == (cast(PlatformError, error).status, len(wire.requests))


@pytest.mark.parametrize("answer", [http(b"", 503), reset, b""])
@pytest.mark.parametrize("insists", [False, True])
def test_a_refresh_is_not_repeated(answer: Answer, insists: bool) -> None:
    """A sent refresh is not sent again, not even by a caller's adapter that would."""
    retry = urllib3.Retry(total=3, allowed_methods=None, status_forcelist=[503])
    adapter = requests.adapters.HTTPAdapter(max_retries=retry)
    with requests.Session() as session, Wire(answer, GRANTED) as wire:
        session.mount("http://", adapter)
        error = failure_of(
            lambda: refresh(wire.url, session=session if insists else None)
        )
    assert not isinstance(error, (AuthError, ConnectionFailedError))
    assert isinstance(error, NetworkError)
    assert 1 == b"".join(wire.requests).count(b"grant_type")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Counting(requests.adapters.HTTPAdapter):
    """Count the tries, and do something before one of them."""

    def __init__(self, number: int = 0, act: Callable[[], object] = int) -> None:
        super().__init__()
        self.tries = 0
        self.number = number
        self.act = act

    def send(self, *args: Any, **options: Any) -> requests.Response:
        self.tries += 1
        if self.tries == self.number:
            self.act()
        return super().send(*args, **options)


@pytest.mark.parametrize(("call", "tries"), [(get, 3), (refresh, 2)])
def test_connecting_is_tried_again(call: Call, tries: int) -> None:
    """Where no connection was made both are tried again in time, the refresh once."""
    url = f"http://127.0.0.1:{free_port()}"
    with requests.Session() as session:
        adapter = Counting()
        session.mount("http://", adapter)
        assert ConnectionFailedError is type(
            failure_of(lambda: call(url, 0.9, session))
        )
    assert tries == adapter.tries


@BOTH
def test_a_server_that_starts(call: Call) -> None:
    """A server that is there for the second try gets the request, once."""
    wire = Wire(GRANTED if call is refresh else LOGGED_OUT, is_late=True)
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(requests.Session())
        adapter = Counting(2, lambda: stack.enter_context(wire))
        session.mount("http://", adapter)
        call(wire.url, session=session)
    assert (2, 1) == (adapter.tries, len(wire.requests))


# -------------------------------------------------------------- what is bounded


@pytest.mark.parametrize(
    "answer",
    [
        http(b"x" * (TOKEN_LIMIT + 1)),
        drip(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, 0),
        drip(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"10000\r\n" + b"x" * 65536 + b"\r\n",
            0,
        ),
        http(gzip.compress(bytes(1 << 26)), headers="Content-Encoding: gzip\r\n"),
        drip(b"HTTP/1.1 503 No\r\n\r\n", b"x" * 65536, 0),
        drip(b"HTTP/1.1 302 No\r\nLocation: /\r\n\r\n", b"x" * 65536, 0),
        drip(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            b"x" * 65536,
            0,
        ),
    ],
    ids=[
        "long",
        "endless",
        "chunks",
        "bomb",
        "endless-503",
        "endless-redirect",
        "endless-chunk",
    ],
)
def test_a_long_body(answer: Answer) -> None:
    """A body is read up to its limit, and unpacked no further."""
    with Wire(answer) as wire:
        error = failure_of(lambda: refresh(wire.url))
    expected = f"{wire.url}/token: unusable answer: is longer than 256 KiB."
    assert (MalformedAnswerError, expected) == (type(error), str(error))


def test_a_known_configuration_is_not_read() -> None:
    """What comes again is told by its source alone; what is new is read."""
    body = {"authorized": True, "clusters": [], "orgs": [{"name": "a", "role": "user"}]}
    client = PlatformClient()
    with Wire(http(body)) as wire:
        first = client.get_config(wire.url, TOKEN, Deadline(5.0))
        again, other = (
            client.get_config(wire.url, TOKEN, Deadline(5.0), known=Known(b"", source))
            for source in (first.source, "0" * 64)
        )
    assert (1, 0, 1) == tuple(len(one.orgs) for one in (first, again, other))
    assert first.source == again.source == other.source
    assert again.authorized


def test_a_long_configuration() -> None:
    """A configuration that unpacks to more than 64 MiB is refused."""
    bomb = gzip.compress(bytes((1 << 26) + 1), 1)
    with Wire(http(bomb, headers="Content-Encoding: gzip\r\n")) as wire:
        error = failure_of(lambda: get(wire.url))
    expected = f"{wire.url}/config: unusable answer: is longer than 65536 KiB."
    assert expected == str(error)


def test_a_packed_body() -> None:
    """A gzip body is unpacked, and what follows it is not read."""
    packed = gzip.compress(json.dumps({"access_token": "new"}).encode()) + b"junk"
    with Wire(http(packed, headers="Content-Encoding: gzip\r\n")) as wire:
        assert {"access_token": "new"} == refresh(wire.url)


@pytest.mark.parametrize(
    ("coding", "body", "expected"),
    [
        ("gzip", b"junk", "is no gzip."),
        ("gzip", gzip.compress(b"{}" * 50)[:-9], "ends too early."),
        ("gzip, gzip", b"", "has a Content-Encoding that was not asked for."),
        ("br", b"", "has a Content-Encoding that was not asked for."),
        (
            "deflate",
            zlib.compress(b"{}"),
            "has a Content-Encoding that was not asked for.",
        ),
    ],
)
def test_packed_badly(coding: str, body: bytes, expected: str) -> None:
    """A body that cannot be unpacked is an unusable answer."""
    with Wire(http(body, headers=f"Content-Encoding: {coding}\r\n")) as wire:
        error = failure_of(lambda: refresh(wire.url))
    assert f"{wire.url}/token: unusable answer: {expected}" == str(error)


@pytest.mark.parametrize(
    "answer",
    [
        hang,
        drip(b"HTTP/1.1 200 OK\r\nX-Long: "),
        drip(b"HTTP/1.1 200 OK\r\n", b"X-More: x\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, 0.1),
    ],
    ids=["silent", "header", "headers", "body", "big-pieces"],
)
@BOTH
def test_a_slow_answer(call: Call, answer: Answer) -> None:
    """However slowly a server answers, the call ends by its deadline."""
    started = time.monotonic()
    with Wire(answer) as wire:
        error = failure_of(lambda: call(wire.url, 0.3))
        assert time.monotonic() - started < 3.0
    assert RequestTimeoutError is type(error)
    assert str(error).endswith(": no whole answer within 0.3 s. Try again later.")


@pytest.mark.parametrize("piece", [b"x", b"x" * 65536])
def test_the_reader_stops_at_the_deadline(piece: bytes) -> None:
    """What is left of a late call ends with the next piece that it reads."""
    with Wire(drip(b"HTTP/1.1 200 OK\r\n\r\n", piece, 0.05)) as wire:
        failure_of(lambda: get(wire.url, 0.2))
        until = time.monotonic() + 5
        while "neuro_config-request" in [one.name for one in threading.enumerate()]:
            assert time.monotonic() < until
            time.sleep(0.01)


@contextlib.contextmanager
def full_house() -> Iterator[str]:
    """A server that does not even take connections."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=0)
        )
        for _ in range(4):
            guest = stack.enter_context(socket.socket())
            guest.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                guest.connect(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@BOTH
def test_no_connection_in_time(call: Call) -> None:
    """A server that takes no connection is told in time, and nothing was sent."""
    started = time.monotonic()
    with full_house() as url:
        error = failure_of(lambda: call(url, 0.5))
    assert time.monotonic() - started < 3.0
    assert ConnectionFailedError is type(error)
    assert str(error).endswith(
        "cannot be reached: no connection in time. Check the network and the settings "
        "of proxies."
    )


def test_a_deadline_that_has_passed() -> None:
    """After the deadline nothing is sent."""
    with Wire(LOGGED_OUT, GRANTED) as wire:
        assert RequestTimeoutError is type(failure_of(lambda: get(wire.url, 0.0)))
        assert ConnectionFailedError is type(failure_of(lambda: refresh(wire.url, 0.0)))
    assert [] == wire.peers


class Slow(requests.adapters.HTTPAdapter):
    """Takes its time, as a name look-up may, before it connects."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.done = threading.Event()

    def send(self, *args: Any, **options: Any) -> requests.Response:
        try:
            time.sleep(self.seconds)
            return super().send(*args, **options)
        finally:
            self.done.set()


def test_a_late_refresh_is_withdrawn() -> None:
    """A refresh that reaches its connection after the deadline is not sent any more."""
    adapter = Slow(0.4)
    with requests.Session() as session, Wire(GRANTED) as wire:
        session.mount("http://", adapter)
        error = failure_of(lambda: refresh(wire.url, 0.2, session))
        assert adapter.done.wait(5)
    assert ConnectionFailedError is type(error)
    assert b"grant_type" not in b"".join(wire.requests)


def test_an_interrupted_refresh_is_withdrawn() -> None:
    """After a Ctrl-C a refresh that has not been sent is not sent any more."""
    adapter = Slow(0.2)
    interrupt = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    with requests.Session() as session, Wire(GRANTED) as wire:
        session.mount("http://", adapter)
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            refresh(wire.url, session=session)
        assert adapter.done.wait(5)
    assert b"grant_type" not in b"".join(wire.requests)


def test_deadline() -> None:
    """A deadline ends at 0 and is not longer than timers of the system can be."""
    assert 0.0 == Deadline(-1).remaining()
    assert LONGEST >= Deadline(float("inf")).remaining() > LONGEST - 60


def test_within_hands_over_the_result() -> None:
    """A call's value and its error come out of its thread."""

    def fail() -> None:
        raise KeyError("own")

    assert 7 == within(Deadline(5), lambda: 7, "https://x.example")
    with pytest.raises(KeyError, match="own"):
        within(Deadline(5), fail, "https://x.example")


def test_no_thread_can_be_started() -> None:
    """Where the system starts no thread, a typed error says so and nothing is sent."""
    size = threading.stack_size(1 << 46)
    try:
        error = failure_of(lambda: refresh("http://127.0.0.1:9"))
    finally:
        threading.stack_size(size)
    assert ConnectionFailedError is type(error)
    assert "OSError (the system starts no thread)" in str(error)


# ------------------------------------------------------------------ what is told


@pytest.mark.parametrize(
    "answer",
    [
        reset,
        b"",
        b"junk\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}",
    ],
)
@BOTH
def test_a_broken_answer(call: Call, answer: Answer) -> None:
    """An answer that breaks off leaves it open whether the request was worked on."""
    with Wire(answer) as wire:
        error = failure_of(lambda: call(wire.url, 0.35))
    assert isinstance(error, NetworkError)
    assert not isinstance(error, (ConnectionFailedError, RequestTimeoutError))


@pytest.mark.parametrize(
    "headers", ["Content-Length: 99", "Transfer-Encoding: chunked"]
)
def test_a_body_that_breaks_off(headers: str) -> None:
    """A body that ends before its end is no answer."""
    with Wire(f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\nxx".encode()) as wire:
        error = failure_of(lambda: refresh(wire.url))
    assert isinstance(error, NetworkError)
    assert not isinstance(error, ConnectionFailedError)


def test_a_broken_connection_in_words() -> None:
    """The error says what happened and what to do."""
    with Wire(reset) as wire:
        error = failure_of(lambda: refresh(wire.url))
    assert (
        f"{wire.url}/token: the connection broke: ConnectionResetError (Connection "
        "reset by peer). Try again later."
    ) == str(error)


@BOTH
def test_nobody_listens(call: Call) -> None:
    """A refused connection means that nothing was sent."""
    url = f"http://127.0.0.1:{free_port()}"
    error = failure_of(lambda: call(url, 0.3))
    assert ConnectionFailedError is type(error)
    assert str(error).endswith(
        "cannot be reached: ConnectionRefusedError (Connection refused). Check the "
        "network and the settings of proxies."
    )


@BOTH
def test_an_unknown_host(call: Call) -> None:
    """A name that does not exist means that nothing was sent."""
    error = failure_of(lambda: call("https://nobody.invalid", 0.3))
    assert ConnectionFailedError is type(error)


@pytest.mark.parametrize("status", [300, 400, 401, 403, 404, 429, 499])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "it does not say why"),
        (b"<html>no\n", "<html>no"),
        (b"[]", "[]"),
        ({"error": 5}, '{"error": 5}'),
        (b"\xff", "\ufffd"),
    ],
)
def test_a_refused_refresh(status: int, body: object, said: str) -> None:
    """A refusal without OAuth's words is told by its status and what the server says."""
    with Wire(http(body, status)) as wire:
        error = failure_of(lambda: refresh(wire.url))
    expected = (
        f"The authorization server refuses: http_{status} ({said}; try "
        "again later, or log in again)."
    )
    assert (AuthError, expected) == (type(error), str(error))


@pytest.mark.parametrize("status", [201, 204, 408, 500, 502, 503, 504])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "it does not say why"),
        ({"error": "invalid_grant"}, '{"error": "invalid_grant"}'),
    ],
)
def test_an_unclear_status(status: int, body: object, said: str) -> None:
    """After any other status the refresh may have been worked on."""
    with Wire(http(b"" if status == 204 else body, status)) as wire:
        error = failure_of(lambda: refresh(wire.url))
    said = "it does not say why" if status == 204 else said
    expected = f"{wire.url}/token: answered {status}: {said}. Try again later."
    assert (PlatformError, expected) == (type(error), str(error))


@pytest.mark.parametrize("code", ["invalid_grant", "invalid_client"])
def test_oauths_words(code: str) -> None:
    """A refusal is told in the server's words; ``invalid_grant`` ends the session."""
    said = {"error": code, "error_description": "Not\nthis one"}
    with Wire(http(said, 400)) as wire:
        error = failure_of(lambda: refresh(wire.url))
    expected = SessionEndedError if code == "invalid_grant" else AuthError
    assert expected is type(error)
    assert f"refuses: {code} (Not this one)." in str(error)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", ""),
        (b"<html>secret</html>", ""),
        (b"[" * 100000, ""),
        (b"[]", ""),
        ({}, "access_token"),
        ({"access_token": 5}, "access_token"),
        ({"access_token": ""}, "access_token"),
        ({"access_token": "two words"}, "access_token"),
        ({"access_token": "x" * (TOKEN_LIMIT - 18), "a": ""}, ""),
        ({"access_token": "new", "refresh_token": 5}, "refresh_token"),
        ({"access_token": "new", "refresh_token": "\ud800"}, "refresh_token"),
        ({"error": "invalid_grant"}, "access_token"),
    ],
)
def test_an_unusable_grant(body: object, where: str) -> None:
    """An answer without usable tokens is unusable, and the error names the place."""
    with Wire(http(body)) as wire:
        error = failure_of(lambda: refresh(wire.url))
    assert MalformedAnswerError is type(error)
    assert where == error.where


@pytest.mark.parametrize("absent", [None, ""])
def test_no_new_refresh_token(absent: Optional[str]) -> None:
    """An empty refresh token is one that was not sent."""
    with Wire(http({"access_token": "new", "refresh_token": absent})) as wire:
        assert {"access_token": "new"} == refresh(wire.url)


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"\xff", {"authorized": 5}]
)
def test_an_unusable_configuration(status: int, body: object) -> None:
    """Whatever comes instead of a configuration is a platform's error."""
    with Wire(http(body, status)) as wire:
        error = failure_of(lambda: get(wire.url))
    expected = MalformedAnswerError if status == 200 else PlatformError
    assert expected is type(error)
    assert cast(NetworkError, error).url == f"{wire.url}/config"


def as_json_may(secret: str) -> str:
    return secret.replace("/", "\\/")


def as_urls_do(secret: str) -> str:
    return urlencode({"": secret})[1:]


def far_on(secret: str) -> str:
    return "x" * 190 + secret


@pytest.mark.parametrize("how", [str, as_json_may, as_urls_do, far_on])
@pytest.mark.parametrize("status", [200, 401, 500])
@BOTH
def test_an_echo(call: Call, status: int, how: Callable[[str], str]) -> None:
    """What a server repeats of a secret is not shown, in whatever form."""
    said = how(TOKEN if call is get else REFRESH)
    for body in (
        f"refused: {said}",
        f'{{"error": "{said}", "error_description": "refused: {said}"}}',
        f'{{"authorized": "{said}", "access_token": "{said} "}}',
    ):
        with Wire(http(body.encode(), status)) as wire:
            failure_of(functools.partial(call, wire.url))


@pytest.mark.parametrize("status", [201, 302, 400, 500])
@pytest.mark.parametrize(
    "body", [{"access_token": "new-one"}, b"refresh_token=new-one&scope=x"]
)
def test_a_grant_with_another_status(status: int, body: object) -> None:
    """New tokens that come with a status which says otherwise are not shown."""
    with Wire(http(body, status)) as wire:
        error = failure_of(lambda: refresh(wire.url))
    assert "new-one" not in str(error)
    assert "it does not say why" in str(error)


def test_no_frame_knows_what_was_said() -> None:
    """The frames that read an unusable answer are not those that an error comes from."""
    body = {"access_token": {"x": "new-one"}}
    with Wire(http(body)) as wire:
        error = failure_of(lambda: refresh(wire.url))
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert "parse_token_answer" == names[-1]
    assert "new-one" not in shown_with_locals(error)


@pytest.mark.parametrize(
    "answer",
    [
        http({"access_token": "secret-one", "long": "x" * TOKEN_LIMIT}),
        http(
            gzip.compress(b'{"access_token": "secret-one"}')[:-9],
            headers="Content-Encoding: gzip\r\n",
        ),
        http(
            gzip.compress(b'{"access_token": "secret-one"}', 0)[:-9] + b"junk" * 9,
            headers="Content-Encoding: gzip\r\n",
        ),
        http({"refresh_token": "secret-two", "access_token": 5}),
        http({"data": {"access_token": "secret-one"}}, 500),
        http({"access_token": "secret-one"}, 400),
    ],
    ids=["long", "cut-off", "no-gzip", "half", "nested", "refused"],
)
def test_the_locals_of_an_unusable_grant(answer: Answer) -> None:
    """A reporter that keeps the locals of our frames sees no token of the answer."""
    with Wire(answer) as wire:
        error = failure_of(lambda: refresh(wire.url))
    assert "secret-one" not in shown_with_locals(error)
    assert "secret-two" not in shown_with_locals(error)


def test_a_granted_token_may_be_the_old_one() -> None:
    """A server that does not rotate sends the same refresh token, and it is kept."""
    same = {"access_token": "new", "refresh_token": REFRESH}
    with Wire(http(same)) as wire:
        assert same == refresh(wire.url)


def test_other_grants_keep_their_secrets() -> None:
    """A login's code and verifier are not shown either."""
    fields = {"code": "secret-code", "code_verifier": "secret-verifier"}
    said = "secret-code secret-verifier"
    body = {"error": said, "error_description": said}
    with Wire(http(body, 400)) as wire:
        error = failure_of(
            lambda: PlatformClient().ask_for_token(wire.url, fields, Deadline(5))
        )
    assert ("*** ***", "*** ***") == error.args


# ------------------------------------------------------------- a caller's session


@responses.activate
@BOTH
def test_a_callers_session_is_used_and_not_closed(call: Call) -> None:
    """A caller's adapters answer, and stay open."""
    closed = []

    class Adapter(requests.adapters.HTTPAdapter):
        def close(self) -> None:
            closed.append(self)

    responses.get("https://x.example/config", json={"authorized": False})
    responses.post("https://x.example/token", json={"access_token": "new"})
    session = requests.Session()
    session.mount("https://", Adapter())
    call("https://x.example", session=session)
    assert (1, []) == (len(responses.calls), closed)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (requests.exceptions.InvalidURL(f"https://{TOKEN}"), ConnectionFailedError),
        (requests.exceptions.RetryError(TOKEN), NetworkError),
        (requests.exceptions.ReadTimeout(TOKEN), RequestTimeoutError),
        (requests.exceptions.ProxyError(TOKEN), ConnectionFailedError),
        (ValueError(TOKEN), ConnectionFailedError),
        (OSError("own words"), NetworkError),
        (urllib3.exceptions.HTTPError(TOKEN), NetworkError),
    ],
)
@responses.activate
def test_what_adapters_raise(raised: Exception, expected: Type[NetworkError]) -> None:
    """Whatever a caller's adapter fails with becomes one of our errors."""
    responses.get("https://x.example/config", body=raised)
    error = failure_of(lambda: get("https://x.example"))
    assert expected is type(error)
    if type(raised) is OSError:
        assert "OSError (own words)" in str(error)


def test_a_fork_drops_connections() -> None:
    """A forked child has connections of its own, and the parent keeps its own."""
    ports: List[int] = []

    def answer_three(wire: Wire, connection: socket.socket) -> None:
        ports.append(connection.getpeername()[1])
        connection.sendall(LOGGED_OUT)
        while read_request(connection):
            ports.append(connection.getpeername()[1])
            connection.sendall(LOGGED_OUT)

    with requests.Session() as session, Wire(answer_three) as wire:
        get(wire.url, session=session)
        assert in_child(lambda: not get(wire.url, session=session).authorized)
        get(wire.url, session=session)
    first, forked, last = ports
    assert first == last
    assert first != forked


# ------------------------------------------------------------ proxies, certificates


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def tls(authority: trustme.CA, *hosts: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*hosts).configure_cert(context)
    return context


@BOTH
def test_the_bundle_of_the_environment(
    call: Call, authority: trustme.CA, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``REQUESTS_CA_BUNDLE`` names whom to trust, as in requests."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    answer = LOGGED_OUT if call is get else GRANTED
    with Wire(answer, tls=tls(authority, "127.0.0.1")) as wire:
        call(wire.url)
    assert 1 == len(wire.requests)


@BOTH
def test_the_bundle_of_the_session(
    call: Call, authority: trustme.CA, bundle: str
) -> None:
    """``verify`` of a caller's session names whom to trust."""
    answer = LOGGED_OUT if call is get else GRANTED
    server = Wire(answer, tls=tls(authority, "127.0.0.1"))
    with server as wire, requests.Session() as session:
        session.verify = bundle
        call(wire.url, session=session)
    assert 1 == len(wire.requests)


@pytest.mark.parametrize("host", ["127.0.0.1", "other.example"])
@BOTH
def test_a_wrong_certificate(
    call: Call,
    host: str,
    authority: trustme.CA,
    bundle: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An unknown authority or another host's certificate stops before anything is sent."""
    if host == "other.example":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    with Wire(GRANTED, tls=tls(authority, host)) as wire:
        error = failure_of(lambda: call(wire.url))
    assert ConnectionFailedError is type(error)
    assert "cannot be reached: " in str(error)
    assert str(error).endswith("of its certificates in REQUESTS_CA_BUNDLE.")
    assert (1, []) == (len(wire.peers), wire.requests)


@BOTH
def test_no_tls(call: Call) -> None:
    """A server that speaks no TLS gets nothing."""
    with Wire(b"HTTP/1.1 400 No\r\n\r\n", is_hasty=True) as wire:
        url = wire.url.replace("http:", "https:")
        error = failure_of(lambda: call(url))
    assert ConnectionFailedError is type(error)
    assert b"secret" not in b"".join(wire.requests)


def test_a_bundle_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``REQUESTS_CA_BUNDLE`` that does not exist is named, and nothing is sent."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    error = failure_of(lambda: refresh("https://127.0.0.1:9"))
    assert ConnectionFailedError is type(error)
    assert "invalid path: /nowhere/ca.pem" in str(error)


@BOTH
def test_a_proxy(
    call: Call, authority: trustme.CA, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment carries the request, which it cannot read."""
    answer = LOGGED_OUT if call is get else GRANTED
    with Wire(answer, tls=tls(authority, "platform.example")) as platform:

        def tunnel(wire: Wire, connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            with socket.create_connection(("127.0.0.1", platform.port)) as onward:
                back = threading.Thread(target=pump, args=(onward, connection))
                back.start()
                pump(connection, onward)
                back.join()

        with Wire(tunnel) as proxy:
            monkeypatch.setenv(
                "HTTPS_PROXY", f"http://someone:pass@127.0.0.1:{proxy.port}"
            )
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
            call("https://platform.example")
    assert proxy.requests[0].startswith(b"CONNECT platform.example:443 ")
    assert b"Proxy-Authorization: Basic " in proxy.requests[0]
    assert b"secret" not in proxy.requests[0]
    assert 1 == len(platform.requests)
    assert b"Proxy-Authorization" not in platform.requests[0]


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        for piece in iter(lambda: source.recv(65536), b""):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)


@BOTH
def test_a_proxy_that_refuses(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of the proxy is shown, once, without its password."""
    with Wire(http(b"", 407)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://x:secret@127.0.0.1:{proxy.port}")
        error = failure_of(lambda: call("https://platform.example"))
    assert ConnectionFailedError is type(error)
    assert "OSError (Tunnel connection failed: 407 Words)" in str(error)
    assert 1 == len(proxy.requests)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@BOTH
def test_loopback_goes_through_no_proxy(
    call: Call, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request to this machine goes through no proxy, wherever that is set."""
    answer = LOGGED_OUT if call is get else GRANTED
    with Wire(http(b"", 500)) as proxy, Wire(answer, answer) as wire:
        for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        url = wire.url.replace("127.0.0.1", host)
        call(url)
        with requests.Session() as session:
            session.proxies = {
                "http": proxy.url,
                f"http://{host}": proxy.url,
                f"all://{host}": proxy.url,
            }
            call(url, session=session)
    assert (2, []) == (len(wire.requests), proxy.peers)


# -------------------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://platform.example/api", False),
        ("HTTPS://platform.example", False),
        ("https://127.0.0.1:8080", True),
        ("http://127.0.0.1:8080/x", True),
        ("http://127.8.9.10", True),
        ("http://localhost", True),
        ("http://LOCALHOST:1", True),
        ("http://[::1]:8080", True),
    ],
)
def test_secure_urls(url: str, expected: bool) -> None:
    """Secrets go by https, and in the clear to this machine."""
    assert expected is require_secure(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "platform.example",
        "http://platform.example",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://127.0.0.1@platform.example",
        "http://platform.example\\@127.0.0.1",
        "http://0.0.0.0",
        "http://[::]",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "https://",
        "https:platform.example",
        "https://platform.example:99999999",
        "https://[::1",
        "http://[::ffff:8.8.8.8]",
    ],
)
@BOTH
def test_insecure_urls(call: Call, url: str) -> None:
    """Any other URL is refused before anything is sent."""
    error = failure_of(lambda: call(url))
    assert InsecureURLError is type(error)


def test_insecure_urls_in_words() -> None:
    """The error says what is wrong with the URL."""
    error = failure_of(
        lambda: require_secure("http://me:secret@platform.example/x?y#z")
    )
    assert (
        "http://platform.example/x: must be https; plain http is for this machine only."
    ) == str(error)
    error = failure_of(lambda: require_secure("https://me:secret@platform.example:x/"))
    assert "https://platform.example:x/: is no URL." == str(error)


@pytest.mark.parametrize(
    ("url", "other", "expected"),
    [
        ("https://a.example/x", "https://A.example:443/y?z", True),
        ("https://a.example", "https://b.example", False),
        ("https://a.example", "http://a.example:443", False),
        ("http://127.0.0.1:1", "http://127.0.0.1:2", False),
        ("http://127.0.0.1:1\\@127.0.0.1:2/", "http://127.0.0.1:2/", False),
        ("ftp://a.example", "ftp://a.example", False),
        ("/x", "/x", False),
        ("http://[", "http://[", False),
    ],
)
def test_same_origin(url: str, other: str, expected: bool) -> None:
    """Two URLs are of one server if what connects goes to the same place."""
    assert expected == is_same_origin(url, other) == is_same_origin(other, url)


URLS = st.text() | st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https", "HTTP", "http ", ""]),
    st.text("a@:\\/?#[]1.", max_size=8),
    st.sampled_from(["127.0.0.1", "localhost", "[::1]", "evil.example"]),
    st.text("a@:\\/?#[]1.", max_size=8),
)


@given(URLS)
def test_requests_sees_the_same_host(url: str) -> None:
    """Where we see this machine, what connects sees it as well, or nothing."""
    try:
        is_loopback = require_secure(url)
    except InsecureURLError:
        return
    try:
        prepared = requests.Request("GET", url).prepare().url
    except (requests.RequestException, ValueError):
        return
    host = str(urllib3.util.parse_url(str(prepared)).host)
    # Not the other way round: 127.0.0.1. and 127.0.0.1a are names, and nobody's address.
    assert not is_loopback or host in ("localhost", "[::1]") or host[:4] == "127."


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://x.example/a?code=secret#secret", "https://x.example/a"),
        ("https://me:secret@x.example:8/a@b", "https://x.example:8/a@b"),
        ("me:secret@x.example", "x.example"),
        ("https:/me:secret@x.example/a", "x.example/a"),
        ("x\ny", "x y"),
        ("", ""),
    ],
)
def test_shown(url: str, expected: str) -> None:
    """What is shown of a URL has no user part, query, fragment or line end."""
    assert expected == shown(url)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b.c", True),
        ("x" * TOKEN_LIMIT, True),
        ("x" * (TOKEN_LIMIT + 1), False),
        ("", False),
        ("a b", False),
        ("a\r\nX: y", False),
        ("ä", False),
        (b"a", False),
        (None, False),
    ],
)
def test_is_token(text: object, expected: bool) -> None:
    """A token is visible ASCII and not longer than an answer may be."""
    assert expected is is_token(text)


@given(
    st.integers(100, 599),
    st.binary(max_size=200)
    | st.builds(
        lambda fields: json.dumps(fields).encode(),
        st.dictionaries(
            st.sampled_from(
                ["access_token", "refresh_token", "error", "error_description"]
            ),
            st.none() | st.integers() | st.text() | st.just(REFRESH) | st.floats(),
        ),
    ),
)
def test_any_answer(status: int, body: bytes) -> None:
    """Any answer of the token endpoint gives a usable token or a typed error."""
    url = "https://x.example/token"
    outcome: Union[Dict[str, Any], ConfigError]
    try:
        outcome = parse_token_answer(url, status, body, [REFRESH])
    except (AuthError, PlatformError) as error:
        outcome = error
    refused = 300 <= status < 500 and status != 408
    assert refused is isinstance(outcome, AuthError)
    if isinstance(outcome, ConfigError):
        assert REFRESH not in f"{outcome} {outcome!r}"
    else:
        assert 200 == status
        assert is_token(outcome["access_token"])
        assert "refresh_token" not in outcome or is_token(outcome["refresh_token"])


def test_late_form() -> None:
    """A form is not given out after its deadline, so a process that wakes sends nothing."""
    form = _Form({"refresh_token": "secret"}, Deadline(0.0))
    with pytest.raises(ValueError, match="too late"):
        list(form)
    assert form.withdraw()
    assert [b"a=b"] == list(_Form({"a": "b"}, Deadline(5.0)))


def test_an_answer_that_came_while_frozen() -> None:
    """What has come while the process was frozen past its deadline is used."""

    class Frozen(Deadline):
        def overdue(self) -> float:
            return FROZEN * 2

    def answer() -> str:
        time.sleep(0.2)
        return "answer"

    assert "answer" == within(Frozen(0.1), answer, "https://x.example")
    assert Deadline(5.0).overdue() == 0.0
    assert Deadline(-1.0).overdue() >= 1.0


def test_cause_of() -> None:
    """The root of an error is named, and no text that may hold a secret."""
    assert "ConnectionRefusedError (Connection refused)" == cause_of(
        requests.ConnectionError(ConnectionRefusedError(111, "Connection refused"))
    )
