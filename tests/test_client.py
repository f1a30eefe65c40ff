"""``Client``, ``get`` and the functions of the package, against real servers."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import shutil
import socket
import sys
import threading
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Tuple

import pytest
import requests
import requests.adapters
import trustme
from common import CLUSTERS, Clock, Login, passed
from samples import in_child, started
from wire import Answer, Wire, http, read_request
from yarl import URL

import neuro_config
from neuro_config import (
    Client,
    ClientClosedError,
    ConfigStore,
    DamagedFileError,
    FileStorage,
    InsecureURLError,
    LoggedIn,
    LoggedOut,
    MemoryStorage,
    NotLoggedInError,
    PassedConfigError,
    TokenExpired,
)
from neuro_config.testing import Platform

CLOSED = "This client is closed. Call neuro_config.get() for another."
NAMES = ("APOLO_PASSED_CONFIG", "NEURO_PASSED_CONFIG")


@pytest.fixture
def client(login: Login) -> Iterator[Client]:
    """A client of a user who is logged in to the embedded platform."""
    with Client(login()) as client:
        yield client


def once(body: object = b"", status: int = 200, headers: str = "") -> bytes:
    """An answer that ends the connection, as ``Wire`` does."""
    return http(body, status, f"Connection: close\r\n{headers}")


@contextlib.contextmanager
def client_of(
    *answers: Answer,
    host: str = "127.0.0.1",
    admin_url: Optional[str] = None,
    **options: Any,
) -> Iterator[Tuple[Client, Wire]]:
    """A client that is logged in to a server which gives these answers."""
    config = once({"authorized": True, "clusters": [], "admin_url": admin_url})
    with Wire(config, *answers) as wire:
        store = ConfigStore(storage=MemoryStorage(), **options)
        wire.url = wire.url.replace("127.0.0.1", host)
        store.login_with_token(Platform().issue_access_token(), url=wire.url)
        del wire.requests[:], wire.peers[:]
        with Client(store) as client:
            yield client, wire


def header(request: bytes, name: str) -> List[str]:
    """The values of a header, in the bytes of a request."""
    lines = request.decode().partition("\r\n\r\n")[0].split("\r\n")
    found = (line.partition(": ") for line in lines)
    return [value for key, _, value in found if key.lower() == name.lower()]


def write_netrc() -> None:
    netrc = Path(os.environ["HOME"]) / ".netrc"
    netrc.write_text("default login someone password else\n")
    netrc.chmod(0o600)


# ------------------------------------------------------------------------ the client


def test_what_the_store_shows(client: Client) -> None:
    """The user, the cluster and its presets are the store's."""
    assert ("alice", "default") == (client.username, client.cluster_name)
    assert dict(client.config.presets) == dict(client.presets)
    assert len(client.presets) > 0


def test_a_client_is_made_of_a_store() -> None:
    """What is no store is refused at once."""
    with pytest.raises(TypeError, match="ConfigStore"):
        Client("folder")  # type: ignore[arg-type]


def test_one_session(client: Client) -> None:
    """All threads that ask for the session at once get the same one."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    barrier = threading.Barrier(8)
    found: List[requests.Session] = []

    def ask() -> None:
        barrier.wait()
        found.append(client.session)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert [client.session] * 8 == found
    assert isinstance(client.session, requests.Session)


def test_close(client: Client) -> None:
    """A closed client sends nothing, by whatever way, and says so; its store works."""
    session = client.session
    url = client.config.api_url / "config"
    prepared = session.prepare_request(requests.Request("GET", str(url)))
    assert not client.closed
    client.close()
    client.close()
    uses: List[Callable[[], object]] = [
        lambda: client.session,
        lambda: session.get(url),
        lambda: session.send(prepared),
    ]
    for use in uses:
        with pytest.raises(ClientClosedError) as caught:
            use()
        assert CLOSED == str(caught.value)
    assert client.closed
    client.config.fetch()
    assert f"<Client {client.config!r} closed>" == repr(client)


def test_close_before_any_use(login: Login) -> None:
    """A client that was closed before its session was asked for has none."""
    with Client(login()) as client:
        assert f"<Client {client.config!r}>" == repr(client)
    with pytest.raises(ClientClosedError, match="This client is closed"):
        _ = client.session


def test_close_ends_the_connections() -> None:
    """Closing the client closes the connections that it has kept open."""
    ended = threading.Event()

    def answer_and_wait(wire: Wire, connection: socket.socket) -> None:
        connection.sendall(http())
        assert b"" == read_request(connection)
        ended.set()

    with client_of(answer_and_wait) as (client, wire):
        client.session.get(wire.url)
        assert not ended.is_set()
        client.close()
        assert ended.wait(10)


def test_closing_the_session_itself(client: Client) -> None:
    """Who closes the session itself can go on, as with any session of requests."""
    with client.session as session:
        session.get(client.config.api_url / "config")
    assert client.session.get(client.config.api_url / "config").json()["authorized"]


# ----------------------------------------------------------------- where a token goes


@pytest.mark.parametrize("kind", [URL, str, lambda url: str(url).encode()])
def test_the_platform_gets_the_token(
    client: Client, kind: Callable[[URL], Any]
) -> None:
    """A request to the platform carries the token, whatever kind its URL is of."""
    answer = client.session.get(kind(client.config.api_url / "config"))
    assert answer.json()["authorized"]


def test_the_token_is_refreshed(login: Login, platform: Platform) -> None:
    """A request after the token's life carries a new one."""
    clock = Clock(time.time())
    with Client(login(clock=clock)) as client:
        clock.now += 3700
        answer = client.session.get(client.config.api_url / "config")
    assert answer.json()["authorized"]
    assert 1 == platform.count("token", grant_type="refresh_token", status=200)


def test_no_other_server(client: Client) -> None:
    """A request to another server is refused before it has a connection."""
    with Wire(once()) as other, pytest.raises(InsecureURLError):
        client.session.get(other.url)
    assert [] == other.peers


def test_logged_out(client: Client, platform: Platform) -> None:
    """Without a login there is an error and no request."""
    url = client.config.api_url / "config"
    client.config.logout()
    before = platform.count()
    with pytest.raises(NotLoggedInError):
        client.session.get(url)
    assert before == platform.count()


def test_a_redirect_to_another_server() -> None:
    """A redirect to another server is followed without the token, and back too."""
    write_netrc()  # the token is not replaced by a password either
    with Wire(lambda wire, connection: connection.sendall(back)) as other:
        elsewhere = once(b"", 302, f"Location: {other.url}/x\r\n")
        with client_of(elsewhere, once(b"end")) as (client, wire):
            back = once(b"", 302, f"Location: {wire.url}/y\r\n")
            answer = client.session.get(wire.url)
            token = client.config.token()
    first, last = wire.requests
    (foreign,) = other.requests
    assert b"end" == answer.content
    assert [f"Bearer {token}"] == header(first, "Authorization")
    assert [] == header(foreign, "Authorization")
    assert [] == header(last, "Authorization")
    assert token.encode() not in foreign + last


def test_a_redirect_on_the_same_server() -> None:
    """A redirect on the same server keeps the token, whatever ~/.netrc says."""
    write_netrc()
    elsewhere = once(b"", 307, "Location: /x\r\n")
    with client_of(elsewhere, once(b"end")) as (client, wire):
        client.session.get(wire.url)
        token = client.config.token()
    for request in wire.requests:
        assert [f"Bearer {token}"] == header(request, "Authorization")
    assert 2 == len(wire.requests)


@pytest.mark.parametrize("location", ["http://[", "http://127.0.0.1:x/"])
def test_a_redirect_to_nowhere(location: str) -> None:
    """A redirect to what is no URL is an error of requests or a ``ValueError``."""
    nowhere = once(b"", 302, f"Location: {location}\r\n")
    with client_of(nowhere) as (client, wire):
        with pytest.raises((requests.RequestException, ValueError)) as caught:
            client.session.get(wire.url)
        assert client.config.token() not in str(caught.value)
    assert 1 == len(wire.requests)


def test_a_copy_of_the_session(client: Client) -> None:
    """The session is neither copied nor pickled, and shows no token."""
    token = client.config.token()
    for use in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"neuro_config.get\(\)") as caught:
            use(client.session)
        assert token not in str(caught.value)
    with pytest.raises(TypeError):
        pickle.dumps(client)
    shows = f"{client!r} {client.session!r} {vars(client.session)!r}"
    assert token not in shows


# --------------------------------------------------------------------------- timeouts


@pytest.mark.parametrize("timeout", [0, 0.2])
def test_the_timeout_of_the_store(
    client: Client, folder: Path, platform: Platform, timeout: float
) -> None:
    """A request that names no timeout has the store's."""
    url = client.config.api_url / "config"
    platform.faults.config.delay(30)
    with neuro_config.get(folder, timeout=timeout) as hasty:
        prepared = hasty.session.prepare_request(requests.Request("GET", str(url)))
        with pytest.raises(requests.Timeout):
            hasty.session.get(url)
        with pytest.raises(requests.Timeout):
            hasty.session.send(prepared)


def test_a_timeout_of_its_own(client: Client, platform: Platform) -> None:
    """A request that names a timeout has that one."""
    platform.faults.config.delay(20)
    started = time.monotonic()
    with pytest.raises(requests.Timeout):
        client.session.get(client.config.api_url / "config", timeout=0.1)
    assert time.monotonic() - started < 10


def test_an_endless_timeout(client: Client, folder: Path) -> None:
    """A store without a bound has a session that works."""
    with neuro_config.get(folder, timeout=float("inf")) as patient:
        assert 200 == patient.session.get(client.config.api_url / "config").status_code


# --------------------------------------------- the caller's own session, and proxies


class Adapter(requests.adapters.HTTPAdapter):
    """One that counts what goes through it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        self.closed = 0

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.sent += 1
        return super().send(*args, **kwargs)

    def close(self) -> None:
        self.closed += 1
        super().close()


def test_the_callers_certificates(tmp_path: Path) -> None:
    """The certificates that the caller's session trusts are trusted, and no others."""
    authority = trustme.CA()
    paths = [str(tmp_path / name) for name in ("ca.pem", "chain.pem", "key.pem")]
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(paths[0])
    issued.private_key_and_cert_chain_pem.write_to_path(paths[1])
    with Platform(ssl=(paths[1], paths[1])) as platform, requests.Session() as own:
        own.trust_env = False
        own.verify = paths[0]
        store = ConfigStore(http=own)
        store.login_with_token(platform.issue_access_token(), url=platform.url)
        with Client(store) as client:
            assert client.session.get(platform.url / "config").json()["authorized"]
        with neuro_config.get() as client, pytest.raises(requests.exceptions.SSLError):
            client.session.get(platform.url / "config")


def test_the_callers_settings() -> None:
    """Certificate, proxies and trust are taken over, and not shared."""
    with requests.Session() as own:
        own.cert = ("cert.pem", "key.pem")
        own.proxies = {"https": "http://proxy.example"}
        own.trust_env = False
        session = Client(ConfigStore(http=own)).session
        assert (own.cert, own.proxies, own.trust_env) == (
            session.cert,
            session.proxies,
            session.trust_env,
        )
        session.proxies.clear()
        session.mount("https://api.example", requests.adapters.HTTPAdapter())
        assert {"https": "http://proxy.example"} == own.proxies
        assert ["https://", "http://"] == list(own.adapters)


def test_the_callers_adapters() -> None:
    """Requests go through the caller's adapters, which stay open; ours are closed."""
    own, ours = Adapter(), Adapter()
    with requests.Session() as session:
        session.mount("http://", own)
        with client_of(once(), http=session) as (client, wire):
            before = own.sent
            client.session.get(wire.url)
            client.session.mount(f"{wire.url}/ours", ours)
            client.session.get(f"{wire.url}/ours")
        assert (1, 0) == (own.sent - before, own.closed)
        assert (1, 1) == (ours.sent, ours.closed)


def test_the_callers_headers() -> None:
    """What else the caller's session sends is its own."""
    with requests.Session() as session:
        session.headers["X-Own"] = "own"
        session.auth = ("someone", "password")
        with client_of(once(), http=session) as (client, wire):
            client.session.get(wire.url)
            token = client.config.token()
    (request,) = wire.requests
    assert [] == header(request, "X-Own")
    assert [f"Bearer {token}"] == header(request, "Authorization")


def use_proxy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, url)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_goes_through_no_proxy(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes to this machine goes through no proxy, wherever that is set."""
    again = once(b"", 302, "Location: /again\r\n")
    with Wire(once(b"", 500)) as proxy:
        use_proxy(monkeypatch, proxy.url)
        proxies = dict.fromkeys(("http", f"http://{host}", "all"), proxy.url)
        with client_of(again, once(), host=host) as (client, wire):
            session, url = client.session, wire.url
            session.proxies = {**proxies}
            prepared = session.prepare_request(requests.Request("GET", url))
            session.send(prepared)
            session.get(url, proxies=proxies)
            session.trust_env = False
            session.get(url)
    assert [] == proxy.peers
    assert all(header(request, "Authorization") for request in wire.requests)


def test_others_go_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes elsewhere goes through the proxy, which does not see the token."""
    with Wire(once(b"", 407)) as proxy:
        use_proxy(monkeypatch, proxy.url)
        admin_url = "https://platform.example/admin"
        with client_of(once(), admin_url=admin_url) as (client, _):
            with pytest.raises(requests.exceptions.ProxyError):
                client.session.get(admin_url)
            token = client.config.token()
    (request,) = proxy.requests
    assert request.startswith(b"CONNECT platform.example:443 ")
    assert token.encode() not in request


def test_a_redirect_from_here_to_a_proxy() -> None:
    """A redirect from this machine to another one goes through the session's proxy."""
    elsewhere = once(b"", 302, "Location: http://elsewhere.example/x\r\n")
    with Wire(once(b"end")) as proxy, client_of(elsewhere) as (client, wire):
        session = client.session
        session.proxies["http"] = proxy.url
        prepared = session.prepare_request(requests.Request("GET", wire.url))
        answers = [session.get(wire.url), session.send(prepared)]
    assert [b"end"] * 2 == [answer.content for answer in answers]
    for request in proxy.requests:
        assert request.startswith(b"GET http://elsewhere.example/x ")
        assert [] == header(request, "Authorization")
    assert 2 == len(proxy.requests)


# ------------------------------------------------------------------- threads and forks


def answer_all(ports: List[int]) -> Answer:
    """Keep the connection and write down from which port each request came."""

    def answer(wire: Wire, connection: socket.socket) -> None:
        request = b"the first, which was read before"
        while request:
            ports.append(connection.getpeername()[1])
            connection.sendall(http())
            request = read_request(connection)

    return answer


def test_connections_are_kept() -> None:
    """Requests one after the other share a connection."""
    ports: List[int] = []
    with client_of(answer_all(ports)) as (client, wire):
        for _ in range(3):
            client.session.get(wire.url)
    assert [ports[0]] * 3 == ports


@pytest.mark.parametrize("has_own", [False, True])
def test_a_fork(has_own: bool) -> None:
    """A forked child has one connection of its own, and the parent keeps its own."""
    ports: List[int] = []
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(requests.Session()) if has_own else None
        client, wire = stack.enter_context(client_of(answer_all(ports), http=own))

        def ask() -> bool:
            return client.session.get(wire.url).status_code == 200

        ask()
        assert in_child(lambda: ask() and ask())
        ask()
    first, *forked, last = ports
    assert first == last
    assert [forked[0]] * 2 == forked
    assert first != forked[0]


def test_an_adapter_of_another_kind_at_a_fork() -> None:
    """An adapter that is not requests' own does not disturb a fork."""

    class Answering(requests.adapters.BaseAdapter):
        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            answer = requests.Response()
            answer.status_code = 418
            return answer

        def close(self) -> None:
            pass

    with client_of(answer_all([])) as (client, wire):
        session = client.session
        session.mount(f"{wire.url}/own", Answering())

        def ask() -> bool:
            own = session.get(f"{wire.url}/own").status_code
            return (418, 200) == (own, session.get(wire.url).status_code)

        assert ask()
        assert in_child(ask)


def test_locks_at_a_fork() -> None:
    """A fork while another thread holds the session's locks leaves a usable child."""
    with client_of(answer_all([])) as (client, wire):
        session = client.session
        session.get(wire.url)
        adapter: Any = session.get_adapter(wire.url)
        jar: Any = session.cookies
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with adapter.poolmanager.pools.lock, jar._cookies_lock:
                held.set()
                done.wait(60)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        try:
            assert in_child(lambda: session.get(wire.url).status_code == 200)
        finally:
            done.set()
            thread.join()
        assert 200 == session.get(wire.url).status_code


def test_a_failure_shows_no_token(client: Client, platform: Platform) -> None:
    """No frame of a request that failed holds the token, not even of other packages."""
    url, token = client.config.api_url / "config", client.config.token()
    platform.stop()
    with pytest.raises(requests.ConnectionError) as caught:
        client.session.get(url)
    found = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    frames = [repr(frame.locals) for frame in found.stack[1:]]  # not this one
    assert frames
    assert [] == [frame for frame in frames if token in frame]
    assert (None, None) == (found.__cause__, found.__context__)


def test_threads_of_a_forked_child() -> None:
    """Threads of a forked child that ask at once all get their answers."""

    def ask_at_once() -> bool:
        statuses: List[int] = []
        barrier = threading.Barrier(8)

        def ask() -> None:
            barrier.wait()
            statuses.append(client.session.get(wire.url).status_code)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [200] * 8 == statuses

    with client_of(answer_all([])) as (client, wire):
        client.session.get(wire.url)
        assert in_child(ask_at_once)


# -------------------------------------------------------------------------------- get


def login_id(storage: Any) -> str:
    session = storage.read()
    assert session is not None
    return str(session.login_id)


def test_get(login: Login, folder: Path) -> None:
    """Who is logged in is used."""
    store = login("bob")
    with neuro_config.get(folder) as client:
        assert "bob" == client.username
        assert store.path == client.config.path


def test_get_with_everything(platform: Platform) -> None:
    """The arguments are the store's."""
    storage, clock = MemoryStorage(), Clock(time.time())
    ConfigStore(storage=storage).login_with_token(
        platform.issue_access_token(), url=platform.url
    )
    with requests.Session() as own:
        client = neuro_config.get(storage=storage, clock=clock, http=own, timeout=5)
        assert isinstance(client.config.state, LoggedIn)
        clock.now += 7200
        assert isinstance(client.config.state, TokenExpired)
        adapters = [
            own.get_adapter("https://x"),
            client.session.get_adapter("https://x"),
        ]
    assert adapters[0] is adapters[1]


def test_get_without_a_login(folder: Path) -> None:
    """Where nobody is logged in and nothing was passed, the error says so."""
    with pytest.raises(NotLoggedInError) as caught:
        neuro_config.get(folder)
    assert "get needs a login, and nobody is logged in: log in first." == str(
        caught.value
    )
    assert not folder.exists()


@pytest.mark.parametrize("name", NAMES)
def test_get_in_a_job(
    platform: Platform, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody is logged in, what was passed into the job logs in, and stays."""
    monkeypatch.setenv(name, passed(platform, cluster="farm"))
    with neuro_config.get(folder) as client:
        assert ("alice", "farm") == (client.username, client.cluster_name)
        assert client.session.get(platform.url / "config").json()["authorized"]
    monkeypatch.delenv(name)
    assert "farm" == neuro_config.get(folder).cluster_name


def test_get_with_empty_variables(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty variable passes nothing."""
    for name in NAMES:
        monkeypatch.setenv(name, "")
    with pytest.raises(NotLoggedInError):
        neuro_config.get(folder)


def test_get_with_a_malformed_variable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was passed and is malformed is an error, and nothing is stored."""
    monkeypatch.setenv(NAMES[0], "garbage!")
    with pytest.raises(PassedConfigError):
        neuro_config.get(folder)
    assert not folder.exists()


@pytest.mark.parametrize("later", [0, 7200])
def test_get_keeps_a_login(
    login: Login,
    platform: Platform,
    folder: Path,
    later: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A login that is there stays, expired or not, whatever was passed."""
    login("bob")
    monkeypatch.setenv(NAMES[0], passed(platform))
    client = neuro_config.get(folder, clock=lambda: time.time() + later)
    expected = TokenExpired if later else LoggedIn
    assert ("bob", expected) == (client.username, type(client.config.state))


def test_get_on_a_read_only_home(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be written, what was passed is kept in memory."""
    monkeypatch.setenv(NAMES[0], passed(platform))
    with neuro_config.get("/sys/neuro_config") as client:
        client.config.fetch()
        assert str(client.config.path).startswith("memory")


def test_get_with_a_damaged_login(
    login: Login, platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged login is an error, and is not replaced by what was passed."""
    login()
    file = folder / "session.toml"
    file.write_text("garbage")
    monkeypatch.setenv(NAMES[0], passed(platform))
    with pytest.raises(DamagedFileError):
        neuro_config.get(folder)
    assert "garbage" == file.read_text()


def get_while(
    platform: Platform, folder: Path, meanwhile: Callable[[], object]
) -> Future[Client]:
    """Log in with what was passed; meanwhile, before it is stored, something happens."""
    platform.clear_requests()
    platform.faults.config.delay(answer=1.0)
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(neuro_config.get, folder)
        while not platform.count("config"):
            time.sleep(0.01)
        meanwhile()
    platform.faults.config.reset()
    return future


def test_somebody_else_logs_in_before_get(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login that was stored a moment before is used instead of one's own."""
    other = tmp_path / "other"
    platform.log_in(ConfigStore(other), "bob")
    monkeypatch.setenv(NAMES[0], passed(platform))
    folder = tmp_path / "folder"
    future = get_while(platform, folder, lambda: shutil.copytree(other, folder))
    client = future.result()
    assert login_id(FileStorage(other)) == login_id(FileStorage(folder))
    assert ("bob", True) == (client.username, isinstance(client.config.state, LoggedIn))
    client.config.fetch()


def test_a_login_gets_damaged_before_get(
    platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read when the login is to be stored is an error, too."""

    def damage() -> None:
        folder.mkdir(mode=0o700)
        (folder / "session.toml").write_text("garbage")

    monkeypatch.setenv(NAMES[0], passed(platform))
    future = get_while(platform, folder, damage)
    assert isinstance(future.exception(), DamagedFileError)
    assert "garbage" == (folder / "session.toml").read_text()


JOB = """
import sys
import warnings
warnings.filterwarnings("ignore", "Python 3.8 is no longer supported")
import neuro_config
print("ready", flush=True)
sys.stdin.readline()
with neuro_config.get(sys.argv[1]) as client:
    print("open", flush=True)
    sys.stdin.readline()
    client.config.fetch()
    print(client.config.state.session.login_id, client.config.token(), flush=True)
"""


def test_processes_of_one_job(
    platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 8 processes that get at once one stores its login, and all can use it."""
    monkeypatch.setenv(NAMES[0], passed(platform))
    platform.faults.config.delay(0.5)  # so that each of them finds nobody logged in
    with contextlib.ExitStack() as stack:
        jobs = [stack.enter_context(started(JOB, str(folder))) for _ in range(8)]
        said = [tell(jobs), tell(jobs, "get")]
        assert [["ready"] * 8, ["open"] * 8] == said
        assert 8 == platform.count("config")
        lines = tell(jobs, "use")
    store = ConfigStore(folder)
    assert [f"{login_id(FileStorage(folder))} {store.token()}"] * 8 == lines


def tell(jobs: List[Any], order: Optional[str] = None) -> List[str]:
    """Tell processes to go on, and return what each says next."""
    for job in jobs:
        if order is not None:
            job.stdin.write(order + "\n")
            job.stdin.flush()
    return [job.stdout.readline().strip() for job in jobs]


# ---------------------------------------------------------------- the other functions


@pytest.fixture
def listening() -> Iterator[Platform]:
    """A platform that lets a browser answer at a port which was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Platform(clusters=CLUSTERS, callback_urls=[f"http://127.0.0.1:{port}"]) as one:
        yield one


def visit(url: URL) -> str:
    """Be a browser; return where it ends."""
    return str(requests.get(str(url), timeout=30).url)


def can_refresh(folder: Path) -> bool:
    session = FileStorage(folder).read()
    assert session is not None
    return session.token.refresh_token is not None


def test_login(listening: Platform, folder: Path) -> None:
    """A browser logs in, to the platform and the directory that are named."""
    neuro_config.login(visit, url=listening.url, path=folder)
    assert can_refresh(folder)
    assert "alice" == neuro_config.get(folder).username


def test_login_headless(platform: Platform, folder: Path) -> None:
    """Somebody who copies a code logs in the same way."""
    neuro_config.login_headless(visit, url=platform.url, path=folder)
    assert can_refresh(folder)
    assert "alice" == neuro_config.get(folder).username


def test_login_with_token(platform: Platform, folder: Path) -> None:
    """A token logs in the same way, without a refresh token."""
    token = platform.issue_access_token("bob")
    neuro_config.login_with_token(token, url=platform.url, path=folder)
    assert not can_refresh(folder)
    assert "bob" == neuro_config.get(folder).username


def test_login_with_no_text(folder: Path) -> None:
    """What is no text is no token."""
    with pytest.raises(neuro_config.InvalidTokenError):
        neuro_config.login_with_token(None, path=folder)  # type: ignore[arg-type]


def test_logout(login: Login, platform: Platform, folder: Path) -> None:
    """A logout removes the login, and shows where the browser's own session ends."""
    shown: List[URL] = []
    login()
    neuro_config.logout(path=folder, show_browser=shown.append)
    assert isinstance(ConfigStore(folder).state, LoggedOut)
    assert ["/session/end"] == [url.path for url in shown]
    neuro_config.logout(path=folder)
