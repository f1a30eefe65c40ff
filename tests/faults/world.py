"""A platform and its authorization server on raw sockets, one of whose endpoints fails.

What is not meant to fail is answered well: a configuration, and grants of an
authorization server that rotates its refresh tokens and remembers what it was sent.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import ssl
import threading
from types import TracebackType
from typing import Any, Dict, List, NamedTuple, Optional, Set, Type
from urllib.parse import parse_qsl

import jwt
from common import Clock
from failures import BACKLOG, HANDSHAKE, NAME, REFUSES, Failure
from wire import Answer, Wire, http

LIFE = 3600  # seconds, of an access token
CONFIG, LATER_CONFIG, TOKEN = "config", "config with a token", "token"
REVOKE, METADATA = "revoke", "metadata"
METHODS = {CONFIG: "GET", LATER_CONFIG: "GET", METADATA: "GET"}

FIRST_REFRESH = "canary-refresh-0"
CODE = "canary-code"
HEADERS = {"kid": "canary"}
# What no error, log or traceback may show; the second is how each access token begins.
CANARIES = ("canary-", jwt.encode({}, "k" * 32, headers=HEADERS).partition(".")[0])


class Fault(NamedTuple):
    """A failure, and where it is."""

    failure: Failure
    endpoint: str
    is_worked_on: bool  # before the failure the request is done as it should be


class _Server(Wire):
    """One of the two servers; until it is entered a failing one may not listen."""

    def __init__(
        self, world: World, fault: Fault, tls: Optional[ssl.SSLContext]
    ) -> None:
        super().__init__(b"", tls=tls, is_late=True)
        self._world = world
        self._failure = fault.failure

    def start(self, *, is_failing: bool) -> None:
        if is_failing and self._failure.stage == BACKLOG:
            self._listener.listen(16)
        elif not (is_failing and self._failure.stage == REFUSES):
            self.__enter__()

    def recover(self) -> None:
        if self._accepting.ident is not None:
            return
        self._listener.setblocking(False)
        with contextlib.suppress(OSError):  # what has been waiting is too late
            while True:
                self._listener.accept()[0].close()
        self._listener.setblocking(True)
        self.__enter__()

    def close(self) -> None:
        if self._accepting.ident is None:
            self._listener.close()
        else:
            self.__exit__(None, None, None)

    def _serve(self, connection: Any) -> None:
        if self._tls is None or not self._world.fails_at(HANDSHAKE):
            super()._serve(connection)
            return
        with connection:
            connection.recv(65536)
            connection.sendall(self._failure.answer)

    def answer_to(self, request: bytes) -> Answer:
        return self._world.answer_to(request)


class World:
    """The two servers.

    Args:
        config: What the platform answers to a token.
        clock: Of the client.
        fault: What fails.
        tls: Of the server that fails, where a failure needs TLS.

    Attributes:
        sent: The refresh tokens that came, in the order in which they came.
        seen: The endpoints that were asked.
        live: The refresh tokens that are worth something.
    """

    def __init__(
        self, config: Dict[str, Any], clock: Clock, fault: Fault, tls: ssl.SSLContext
    ) -> None:
        self.sent: List[str] = []
        self.seen: List[str] = []
        self.live: Set[str] = {FIRST_REFRESH}
        self._clock = clock
        self._fault = fault
        self._is_failing = True
        self._numbers = itertools.count(1)
        self._working = threading.Lock()
        needs_tls = fault.failure.stage in (HANDSHAKE, NAME)
        at_api = fault.endpoint in (CONFIG, LATER_CONFIG)
        self.api = _Server(self, fault, tls if needs_tls and at_api else None)
        self.auth = _Server(self, fault, tls if needs_tls and not at_api else None)
        self.failing = self.api if at_api else self.auth
        self.api_url = f"{self._url(self.api)}/api/v1"
        self.oauth: Dict[str, Any] = {
            "auth_url": f"{self._url(self.auth)}/auth",
            "token_url": f"{self._url(self.auth)}/token",
            "client_id": "client",
            "callback_urls": [],
            "headless_callback_url": f"{self._url(self.auth)}/code",
        }
        self.config = {**config, **self.oauth}

    def _url(self, server: _Server) -> str:
        if server is self.failing and self._fault.failure.stage == NAME:
            return f"https://nowhere.invalid:{server.port}"
        return server.url

    def __enter__(self) -> World:
        for server in (self.api, self.auth):
            server.start(is_failing=server is self.failing)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        for server in (self.api, self.auth):
            server.close()

    def recover(self) -> None:
        """Be well from now on."""
        self._is_failing = False
        self.failing.recover()

    def fails_at(self, stage: str) -> bool:
        return self._is_failing and self._fault.failure.stage == stage

    def access_token(self) -> str:
        """Make an access token."""
        claims = {
            "identity": "ann",
            "jti": next(self._numbers),
            "exp": int(self._clock()) + LIFE,
        }
        return jwt.encode(claims, "k" * 32, headers=HEADERS)

    def answer_to(self, request: bytes) -> Answer:
        head, _, body = request.partition(b"\r\n\r\n")
        endpoint = _endpoint_of(head)
        failure = self._fault.failure
        is_failing = self._is_failing and endpoint == self._fault.endpoint
        with self._working:
            self.seen.append(endpoint)
            fields = dict(parse_qsl(body.decode()))
            if endpoint == TOKEN and "refresh_token" in fields:
                self.sent.append(fields["refresh_token"])
            if is_failing and not failure.odd and not self._fault.is_worked_on:
                return failure.answer
            status, answer = self._worked_on(endpoint, fields, is_failing)
        data = json.dumps(answer).encode()
        if not is_failing:
            return http(data, status)
        return failure.odd(data) if failure.odd and status == 200 else failure.answer

    def _worked_on(
        self, endpoint: str, fields: Dict[str, str], is_failing: bool
    ) -> Any:
        if endpoint == TOKEN:
            return self._grant(fields, is_failing)
        if endpoint == LATER_CONFIG:
            return 200, self.config
        if endpoint == CONFIG:
            return 200, {"authorized": False, **self.oauth}
        if endpoint == METADATA:
            url = self.oauth["token_url"]
            return 200, {
                "token_endpoint": url,
                "revocation_endpoint": str(url).replace("/token", "/revoke"),
            }
        self.live.discard(fields.get("token", ""))
        return 200, {}

    def _grant(self, fields: Dict[str, str], is_failing: bool) -> Any:
        spent = fields.get("refresh_token")
        if spent is not None and spent not in self.live:
            self.live.clear()  # a theft, as far as it can know
            return 400, {"error": "invalid_grant", "error_description": "is spent"}
        if not (is_failing and self._fault.failure.odd):
            self.live.discard(spent or "")
        new = f"canary-refresh-{next(self._numbers)}"
        self.live.add(new)
        return 200, {
            "access_token": self.access_token(),
            "refresh_token": new,
            "expires_in": LIFE,
        }


def _endpoint_of(head: bytes) -> str:
    path = head.split(b" ", 2)[1].decode()
    if path.endswith("/config"):
        return LATER_CONFIG if b"\r\nauthorization:" in head.lower() else CONFIG
    if path.endswith("/openid-configuration"):
        return METADATA
    return {"/token": TOKEN, "/revoke": REVOKE}[path]
