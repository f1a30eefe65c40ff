"""Wrong servers: bad certificates, redirects and proxies get nothing that is secret."""

from __future__ import annotations

import datetime
import functools
import itertools
import socket
import ssl
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

import pytest
import requests
import trustme
from leaks import Search
from planted import spread
from proof import Effort, Tally
from samples import as_line, session
from umasked import CLUSTER
from wire import Wire, http

from neuro_config import Client, ConfigStore, MemoryStorage
from neuro_config._catalog import digest_of, encode
from neuro_config._deadline import Deadline
from neuro_config._docker import answer as ask_helper
from neuro_config._errors import ConfigError
from neuro_config._payload import ServerConfig
from neuro_config._session import AuthConfig, Choice, Token

ACCESS = "access.4ccess-canary.Vq7Zt2Lm9Xc4Bn6W"
REFRESH = "refresh-canary-Hj3Kd8Sf5Gp1Yr0T"
CODE = "code-canary-Uw6Ei2Oa9Qz4Mx7C"
SEARCH = Search(ACCESS, REFRESH, CODE)
REDIRECTS = (301, 302, 303, 307, 308)
NOW = time.time()


class Hosts:
    """Names that lead to loopback, as a name server that lies may say.

    Everything ``*.example`` is this machine; a port is kept.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._real = socket.getaddrinfo
        patch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: Any, *more: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name.endswith(".example"):
            host = "127.0.0.1"
        return self._real(host, *more, **options)


@pytest.fixture(autouse=True)
def _world(
    monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, tmp_path: Path
) -> None:
    Hosts(monkeypatch)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    netrc = "".join(
        f"machine {host} login somebody password netrc-password\n"
        for host in ("127.0.0.1", "localhost", "api.example", "evil.example")
    )
    (Path.home() / ".netrc").write_text(netrc)
    (Path.home() / ".netrc").chmod(0o600)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def login_at(
    url: str, token_url: str, clusters: Tuple[Dict[str, Any], ...] = ()
) -> ConfigStore:
    """A login at a platform whose authorization server may be elsewhere."""
    lines = tuple(map(as_line, clusters))
    catalog = encode(ServerConfig(authorized=True, clusters=lines), url)
    made = session(
        "ann",
        api_url=url,
        catalog=digest_of(catalog),
        choice=Choice(),
        token=Token(ACCESS, NOW - 9000, NOW + 9e5, REFRESH),
        auth=AuthConfig(f"{token_url}/auth", f"{token_url}/token", "client"),
    )
    storage = MemoryStorage()
    storage.update(lambda old: made, 1.0, catalog=catalog)
    return ConfigStore(storage=storage, timeout=10.0)


def redeem(url: str) -> None:
    store = ConfigStore(storage=MemoryStorage(), timeout=10.0)
    fields = {"grant_type": "authorization_code", "code": CODE, "code_verifier": CODE}
    store._client().ask_for_token(f"{url}/token", fields, Deadline(10.0))


def use_the_session(method: str, url: str) -> None:
    with Client(login_at(url, url)) as client:
        client.session.request(method, f"{url}/config", timeout=10.0)


def use_the_auth(url: str) -> None:
    with requests.Session() as http_session:
        http_session.get(f"{url}/config", auth=login_at(url, url).auth, timeout=10.0)


CALLS: Dict[str, Callable[[str], object]] = {
    "fetch": lambda url: login_at(url, url).fetch(),
    "refresh": lambda url: login_at(url, url).refresh_token(),
    "logout": lambda url: login_at(url, url).logout(),
    "login with a token": lambda url: ConfigStore(
        storage=MemoryStorage(), timeout=10.0
    ).login_with_token(ACCESS, url=url),
    "redeem": redeem,
    "session, GET": functools.partial(use_the_session, "GET"),
    "session, POST": functools.partial(use_the_session, "POST"),
    "auth": use_the_auth,
}


def done(call: Callable[[], object]) -> Optional[BaseException]:
    try:
        call()
    except (ConfigError, requests.RequestException) as error:
        return error
    return None


def context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(made)
    return made


def certificates(authority: trustme.CA) -> Dict[str, ssl.SSLContext]:
    """Certificates that nobody should trust for ``api.example``."""
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    other = trustme.CA()
    return {
        "another host": context(authority.issue_cert("evil.example")),
        "a host above": context(authority.issue_cert("example")),
        "a host below": context(authority.issue_cert("x.api.example")),
        "another wildcard": context(authority.issue_cert("*.api.example")),
        "an address": context(authority.issue_cert("127.0.0.1")),
        "expired": context(authority.issue_cert("api.example", not_after=now - day)),
        "another authority": context(other.issue_cert("api.example")),
        "an authority of its own": context(
            other.create_child_ca().issue_cert("api.example")
        ),
    }


@pytest.mark.attack("10", "11")
def test_certificates(authority: trustme.CA, tally: Tally) -> None:
    """Certificates of other hosts, expired, of other authorities, and servers without TLS, in every call that carries a secret: refused, and the server gets no request."""
    for (name, tls), call in itertools.product(certificates(authority).items(), CALLS):
        with Wire(http({"access_token": "x"}), tls=tls) as wire:
            url = f"https://api.example:{wire.port}"
            error = done(functools.partial(CALLS[call], url))
        assert error is not None or call == "logout", (name, call)
        assert [] == wire.requests, (name, call)
        assert wire.peers, (name, call)
        tally()
    for call in CALLS:
        with Wire(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", is_hasty=True
        ) as wire:
            done(functools.partial(CALLS[call], f"https://api.example:{wire.port}"))
        assert b"canary" not in b"".join(wire.requests), call
        with Wire(http()) as wire:
            done(functools.partial(CALLS[call], f"http://api.example:{wire.port}"))
        assert [] == wire.peers, call
        tally(2)


def test_a_good_certificate(authority: trustme.CA) -> None:
    """With the certificate of the very host each call sends its secret."""
    tls = context(authority.issue_cert("api.example"))
    for call in CALLS:
        with Wire(http({"access_token": "x"}), tls=tls) as wire:
            done(functools.partial(CALLS[call], f"https://api.example:{wire.port}"))
        assert wire.requests, call


TARGETS = (
    "https://evil.example:{other}/config",
    "http://evil.example:{plain}/config",
    "http://api.example:{plain}/config",
    "http://127.0.0.1:{plain}/config",
    "https://api.example:{other}/config",
    "//evil.example:{other}/token",
    "https://api.example@evil.example:{other}/",
    "https://api.example:{own}@evil.example:{other}/",
    "https://evil.example:{other}\\@api.example:{own}/",
    "http://localhost:{plain}/?next=",
)


@pytest.mark.attack("10", "11")
def test_redirects(authority: trustme.CA, tally: Tally, effort: Effort) -> None:
    """Redirects of each status to other hosts, ports and schemes, from every call that carries a secret: nobody but the platform gets anything secret."""
    tls = context(authority.issue_cert("api.example", "evil.example"))
    cases = list(itertools.product(REDIRECTS, TARGETS, CALLS))
    with Wire(http(b"{}"), tls=tls) as other, Wire(http(b"{}")) as plain:
        for status, target, call in spread(cases, effort(120)):
            ports = {"other": other.port, "plain": plain.port, "own": 0}
            other.requests.clear()
            plain.requests.clear()

            def redirect(
                wire: Wire,
                connection: socket.socket,
                status: int = status,
                target: str = target,
                ports: Dict[str, int] = ports,
            ) -> None:
                where = target.format(**{**ports, "own": wire.port})
                connection.sendall(http(b"", status, f"Location: {where}\r\n"))

            with Wire(redirect, tls=tls) as wire:
                url = f"https://api.example:{wire.port}"
                done(functools.partial(CALLS[call], url))
            case = (status, target, call)
            for request in (*other.requests, *plain.requests):
                SEARCH.require_none(request.decode("latin-1"), case=case)
                # The session that uses store.auth is the caller's own, ~/.netrc and all.
                assert call == "auth" or b"uthorization" not in request, case
            assert wire.requests, case
            tally()


@pytest.mark.attack("11")
def test_same_origin_redirects(authority: trustme.CA, tally: Tally) -> None:
    """A redirect to the same origin: our own calls follow none, and a refresh token is sent once."""
    tls = context(authority.issue_cert("api.example"))
    for status, call in itertools.product(REDIRECTS, CALLS):
        redirect = http(b"", status, "Location: /elsewhere\r\n")
        with Wire(redirect, http(b"{}"), tls=tls) as wire:
            done(functools.partial(CALLS[call], f"https://api.example:{wire.port}"))
        followed = [one for one in wire.requests if b" /elsewhere " in one]
        if not call.startswith(("session", "auth")):
            assert [] == followed, (status, call)
        assert sum(REFRESH.encode() in one for one in wire.requests) <= 1
        tally()


ENDPOINTS = (
    "https://evil.example:{other}/revoke",
    "https://api.example:{other}/revoke",
    "http://api.example:{plain}/revoke",
    "http://127.0.0.1:{plain}/revoke",
    "https://api.example:{own}@evil.example:{other}/revoke",
    "//evil.example:{other}/revoke",
    "https://evil.example:{other}\\@api.example:{own}/",
    "/revoke",
    "",
)


@pytest.mark.attack("11")
def test_revocation(authority: trustme.CA, tally: Tally) -> None:
    """Metadata that names a revocation endpoint of another host, port or scheme, or an endpoint that redirects there: the refresh token is not sent to it."""
    tls = context(authority.issue_cert("api.example", "evil.example"))
    with Wire(http(b"{}"), tls=tls) as other, Wire(http(b"{}")) as plain:

        def discover(
            endpoint: str, status: int, wire: Wire, connection: socket.socket
        ) -> None:
            ports = {"other": other.port, "plain": plain.port, "own": wire.port}
            own = f"https://api.example:{wire.port}"
            where = endpoint.format(**ports)
            if b" /.well-known/" not in wire.requests[-1]:
                connection.sendall(http(b"", status, f"Location: {where}\r\n"))
                return
            named = f"{own}/revoke" if status != 200 else where
            metadata = {"token_endpoint": f"{own}/token", "revocation_endpoint": named}
            connection.sendall(http(metadata))

        for status, endpoint in itertools.product((200, *REDIRECTS), ENDPOINTS):
            with Wire(functools.partial(discover, endpoint, status), tls=tls) as wire:
                url = f"https://api.example:{wire.port}"
                assert None is done(login_at(url, url).logout)
            assert [] == other.peers + plain.peers, (status, endpoint)
            sent = [one for one in wire.requests if REFRESH.encode() in one]
            assert (status != 200) == bool(sent), (status, endpoint)
            tally()


@pytest.mark.attack("10", "11")
def test_proxies(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    """Proxies of the environment and passwords of ~/.netrc: nothing for this machine goes through one, no secret in the clear through any, and no password goes to anybody."""
    tls = context(authority.issue_cert("127.0.0.1", "localhost"))
    with Wire(http(b"", 500)) as proxy:
        for name in (
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "HTTPS_PROXY",
            "ALL_PROXY",
        ):
            monkeypatch.setenv(name, proxy.url)
        for call, host, is_secure in itertools.product(
            CALLS, ("127.0.0.1", "localhost"), (True, False)
        ):
            answer = http({"access_token": "x"})
            with Wire(answer, tls=tls if is_secure else None) as wire:
                scheme = "https" if is_secure else "http"
                done(functools.partial(CALLS[call], f"{scheme}://{host}:{wire.port}"))
            case = (call, host, is_secure)
            assert wire.requests or call == "auth", case
            assert b"netrc" not in b"".join(wire.requests), case
            assert b"Basic" not in b"".join(wire.requests), case
            if call != "auth":  # whose session is the caller's own
                assert [] == proxy.peers, case
            proxy.peers.clear()
            tally()
        for call in CALLS:
            done(functools.partial(CALLS[call], "https://api.example"))
            tally()
    for request in proxy.requests:
        if request.startswith(b"CONNECT api.example"):
            SEARCH.require_none(request.decode("latin-1"))
            assert b"netrc" not in request


@pytest.mark.attack("11")
def test_foreign_hosts(authority: trustme.CA, tally: Tally) -> None:
    """Other hosts, ports and schemes are asked with the client's session and with store.auth: nothing is sent to them."""
    tls = context(authority.issue_cert("api.example", "evil.example"))
    with Wire(http(b"{}"), tls=tls) as other, Wire(http(b"{}")) as plain:
        ports = {"other": other.port, "plain": plain.port, "own": 443}
        store = login_at("https://api.example", "https://auth.example")
        for target, method in itertools.product(TARGETS, ("GET", "POST", "DELETE")):
            url = target.format(**ports)
            with Client(store) as client:
                error = done(functools.partial(client.session.request, method, url))
            assert error is not None, url
            with requests.Session() as own:
                asked = functools.partial(own.request, method, url, auth=store.auth)
                assert done(asked) is not None, url
            tally(2)
        assert [] == other.requests + plain.requests


SERVERS = (
    "evil.example",
    "https://evil.example",
    "api.example.evil.example",
    "https://api.example@evil.example",
    "evil.example/https://registry.example",
    "https://registry.example:444",
    "http://registry.example",
    "registry.example.",
    "registry.example\\@evil.example",
    "registry.example\nevil.example",
    "registry.example\x00.evil.example",
    "",
    "ftp://registry.example",
)


@pytest.mark.attack("11")
def test_docker_helper(tally: Tally) -> None:
    """The helper of docker's is asked for other servers, in odd writings: it gives no token."""
    store = login_at("https://api.example", "https://auth.example", (CLUSTER,))
    assert ACCESS in ask_helper("get", "https://registry.example", lambda: store).out
    for server in SERVERS:
        for action in ("get", "store", "erase", "list"):
            given = ask_helper(action, server, lambda: store)
            SEARCH.require_none(repr(given), given.out, given.note, case=server)
            tally()
