"""Targets: what the platform, a browser or a person sends."""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import socket
from typing import Any, Mapping, Optional, Tuple, cast

import attrs
from looks import (
    API,
    LATER,
    NOW,
    PAYLOAD,
    SESSION_OF_ALICE,
    STATE,
    allowing,
    use_auth,
    use_catalog,
    use_session,
    use_url,
    use_values,
)

from neuro_config import ConfigError
from neuro_config._authorization import AuthorizationRequest
from neuro_config._callback import Answer, Listener, _handler
from neuro_config._catalog import (
    Catalog,
    encode,
    in_memory,
)
from neuro_config._choice import (
    first_choice,
)
from neuro_config._claims import expiry_of, issue_time_of, username_of
from neuro_config._cluster_line import Known, origin_of
from neuro_config._convert import Malformed, url as to_url
from neuro_config._deadline import Deadline
from neuro_config._errors import (
    AuthError,
    InsecureURLError,
    InvalidCodeError,
    InvalidTokenError,
    PassedConfigError,
    PlatformError,
    UnknownNameError,
)
from neuro_config._guard import (
    is_same_origin,
    is_token,
    require_bare,
    require_secure,
    shown,
)
from neuro_config._new_login import NewLogins
from neuro_config._pages import NOT_FOUND
from neuro_config._payload import ServerConfig, parse_config
from neuro_config._platform import PlatformClient, parse_token_answer
from neuro_config._refresh import failure_after
from neuro_config._session import (
    AuthConfig,
    Choice,
    Session,
    Token,
    decode,
    encode as encode_session,
)

# ------------------------------------------------------------------- the wire

CANARY = "canary-code"
STATUSES = (200, 400, 401, 404, 408, 500, 503)


def with_status(data: bytes) -> Tuple[int, bytes]:
    """Take a status off the front: a digit and a space, else 200."""
    if data[:1].isdigit() and data[1:2] == b" ":
        return STATUSES[int(data[:1]) % len(STATUSES)], data[2:]
    return 200, data


def new_session(token: Token, catalog: Catalog, auth: Optional[AuthConfig]) -> Session:
    choice = Choice()
    with allowing(UnknownNameError):
        choice = first_choice(catalog)
    return Session("id", "alice", API, token, catalog.digest, choice, auth)


def payload(data: bytes) -> None:
    """An answer to ``GET /config``; see ``with_status``."""
    status, body = with_status(data)
    with allowing(PlatformError):
        config = parse_config(body, url=API, status=status)
        use_values(attrs.evolve(config, clusters=()))
        if config.auth is not None:
            use_auth(config.auth)
            with allowing(ConfigError), contextlib.suppress(OSError):
                for url in config.auth.callback_urls:
                    require_secure(url)
        file = encode(config, API)
        made = in_memory(file)
        use_catalog(made)
        assert [line.name for line in config.clusters] == list(made.clusters)
        assert config.projects == tuple(made.projects.values())
        assert config.orgs == made.orgs
        assert (config.admin_url, config.vcluster_url) == (
            made.admin_url,
            made.vcluster_url,
        )
        for cluster in made.clusters.values():
            origins = made.origins
            assert origin_of(str(cluster.storage_url)) in origins
        found = new_session(Token("t", NOW), made, config.auth)
        assert found == decode(encode_session(found))


def token_answer(data: bytes) -> None:
    """An answer of the token endpoint, and the login made of it; see ``with_status``."""
    status, body = with_status(data)
    with allowing(AuthError, PlatformError, InvalidTokenError):
        try:
            answer = parse_token_answer(API, status, body, [CANARY])
        except ConfigError as error:
            _is_noted(error)
            raise
        assert is_token(answer["access_token"])
        login = NewLogins(_Platform(), lambda: NOW).with_answer(
            answer, API, Deadline(LATER)
        )
        use_session(login.session)


def _is_noted(error: ConfigError) -> None:
    """Hold that a failure can be stored, without what was sent."""
    failure = failure_after(SESSION_OF_ALICE, NOW, error)
    assert CANARY not in f"{error} {failure}"
    failed = attrs.evolve(SESSION_OF_ALICE, refresh_failure=failure)
    assert failed == decode(encode_session(failed))


class _Platform(PlatformClient):
    """A platform that accepts every token, for what is made of the answer."""

    def get_config(
        self,
        api_url: str,
        token: Optional[str],
        deadline: Deadline,
        *,
        known: Optional[Known] = None,
    ) -> ServerConfig:
        require_secure(api_url)
        return parse_config(PAYLOAD, url=api_url)


def claims(data: bytes) -> None:
    """The claims of a JWT, or, if they are no JSON object, a whole token."""
    text = data.decode("latin-1")
    tokens = [text]
    for header in (b'{"alg":"HS256","typ":"JWT"}', b'{"alg":"none"}', data):
        parts = (header, data, b"signature")
        tokens.append(
            ".".join(
                base64.urlsafe_b64encode(one).decode().rstrip("=") for one in parts
            )
        )
    for token in tokens:
        for time_of in (expiry_of, issue_time_of):
            moment = time_of(token)
            assert moment is None or 1 < moment < 1e12
        with allowing(InvalidTokenError):
            name = username_of(token)
            name.encode()
            assert name.isprintable()


def url(data: bytes) -> None:
    """A URL that the platform names, or that somebody types."""
    text = data.decode(errors="surrogateescape")
    shown(text).encode()
    with allowing(InsecureURLError):
        require_bare(text)
    with allowing(InsecureURLError):
        require_secure(text)
        is_same_origin(text, API)
    try:
        accepted = to_url(text)
    except Malformed:
        return
    assert text.isprintable()  # it is shown and stored as it is
    use_url(accepted)
    origin_of(text)
    origin_of(str(accepted))
    auth = AuthConfig(text, text, "client", callback_urls=(text,))
    use_auth(auth)
    with allowing(InsecureURLError):
        require_secure(text)
        assert is_same_origin(text, text)


# ----------------------------------------------------------------- the browser


def query(data: bytes) -> None:
    """The query of a redirect, and what somebody pastes."""
    auth = AuthConfig("https://auth.example/a", "https://auth.example/t", "client")
    request = AuthorizationRequest(auth, "http://127.0.0.1:54540", STATE, "verifier")
    for text in (data.decode("latin-1"), data.decode(errors="surrogateescape")):
        if request.is_answer(text):
            with allowing(AuthError, InsecureURLError, InvalidCodeError):
                use_code(request.token_request(text))
        with allowing(AuthError, InsecureURLError, InvalidCodeError):
            use_code(request.token_request_of_pasted(text))


def use_code(fields: Mapping[str, str]) -> None:
    assert fields["code"]
    assert fields["code_verifier"] == "verifier"
    from urllib.parse import urlencode

    urlencode(fields).encode()


class _Shown:
    """Gives each browser its page at once."""

    def put(self, event: Answer) -> None:
        event._page.put(NOT_FOUND)


@functools.lru_cache(maxsize=None)
def _listener(pid: int) -> Listener:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    listener = Listener([f"http://127.0.0.1:{port}/back"])
    auth = AuthConfig("https://auth.example/a", "https://auth.example/t", "client")
    request = AuthorizationRequest(auth, listener.url, STATE, "verifier")
    listener.listen_for(request.is_answer)
    listener._events = cast(Any, _Shown())
    return listener


def callback(data: bytes) -> None:
    """What a browser, or somebody else, sends to the loopback server."""
    listener = _listener(os.getpid())
    listener._answer = None
    browser, server = socket.socketpair()
    with browser, server:
        browser.sendall(data[: 1 << 16])
        browser.shutdown(socket.SHUT_WR)
        browser.settimeout(LATER)
        handler = _handler(listener._page_for, LATER)
        handler(server, ("127.0.0.1", 1), cast(Any, listener._server))
        server.shutdown(socket.SHUT_WR)
        said = b""
        while True:
            piece = browser.recv(1 << 16)
            if not piece:
                break
            said += piece
    begins = said[:9].lower()
    assert not said or begins.startswith((b"http/1.", b"<!doctype")), said[:100]


def passed_config(data: bytes) -> None:
    """What the platform passes into a job, as base64 and before it was base64."""
    logins = NewLogins(_Platform(), lambda: NOW)
    for text in (data.decode("latin-1"), base64.b64encode(data).decode()):
        with allowing(
            PassedConfigError, InsecureURLError, InvalidTokenError, UnknownNameError
        ):
            login = logins.with_passed_config(text, Deadline(LATER))
            use_session(login.session)
