"""The platform's own face: starting, stopping, forking, TLS, the log."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import warnings
from pathlib import Path
from typing import Tuple

import pytest
import requests
from yarl import URL

from neuro_config import testing
from neuro_config.testing import (
    DEFAULT_CLUSTER,
    ERAS,
    Platform,
    RequestRecord,
    make_clusters,
)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_url(platform: Platform, http: requests.Session) -> None:
    """The URL is the API's on a loopback port, and answers."""
    assert URL(f"http://127.0.0.1:{platform.url.port}/api/v1") == platform.url
    answer = http.get(str(platform.url / "config"))
    assert 200 == answer.status_code


def test_no_url_before_start() -> None:
    """A platform that was never started has no URL to give."""
    with pytest.raises(RuntimeError, match="no URL before"):
        _ = Platform().url


def test_restart_keeps_port_and_logins(http: requests.Session) -> None:
    """A stopped platform refuses connections; started again it knows its tokens."""
    platform = Platform()
    with platform:
        url = platform.url
        tokens = platform.authorize()
    with pytest.raises(requests.ConnectionError):
        http.get(f"{url}/config")
    with platform:
        assert url == platform.url
        body = http.get(f"{url}/config", headers=bearer(tokens["access_token"])).json()
    assert body["authorized"] is True


def test_start_twice(platform: Platform) -> None:
    """A running platform cannot be started."""
    with pytest.raises(RuntimeError, match="running already"):
        platform.start()


def test_stop_twice(platform: Platform) -> None:
    """Stopping a stopped platform does nothing."""
    platform.stop()
    platform.stop()
    assert not platform.running


def test_port_taken(platform: Platform) -> None:
    """A taken port is an ``OSError`` and leaves the platform stopped."""
    other = Platform(port=platform.url.port or 0)
    with pytest.raises(OSError, match="in use"):
        other.start()
    assert not other.running


def test_unknown_era(platform: Platform) -> None:
    """An unknown era is refused, and the known ones are named."""
    with pytest.raises(ValueError, match=ERAS[0]):
        Platform(era="1999-01")
    with pytest.raises(ValueError, match=ERAS[-1]):
        platform.era = "1999-01"
    assert ERAS[-1] == platform.era


def test_repr_has_no_secrets(platform: Platform) -> None:
    """No repr shows a token, and the platform's says where it is."""
    tokens = platform.authorize()
    shown = f"{platform} {platform.account} {platform.tokens} {platform.requests}"
    assert str(platform.url.origin()) in shown
    assert "running" in shown
    for name in ("access_token", "refresh_token"):
        assert tokens[name] not in shown
    assert "never started" in repr(Platform())
    assert "alice" == platform.user


def test_stop_ends_threads(platform: Platform) -> None:
    """``stop()`` ends threads of clients that are silent or wait for an answer."""
    platform.faults.config.delay(60)
    port = platform.url.port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port)) as silent:
        with socket.create_connection(("127.0.0.1", port)) as waiting:
            waiting.sendall(b"GET /api/v1/config HTTP/1.1\r\nHost: x\r\n\r\n")
            while not platform.count("config"):
                time.sleep(0.01)
            before = time.monotonic()
            platform.stop()
            assert before + 10 > time.monotonic()
            assert b"" == waiting.recv(1)
        assert b"" == silent.recv(1)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("platform")]
    assert ["dropped"] == [record.outcome for record in platform.requests]


def test_stop_during_answer_delay(platform: Platform) -> None:
    """``stop()`` loses an answer that is being delayed."""
    platform.faults.config.delay(answer=60)
    failed = threading.Event()

    def client() -> None:
        with requests.Session() as session:
            session.trust_env = False
            try:
                session.get(str(platform.url / "config"))
            except requests.ConnectionError:
                failed.set()

    thread = threading.Thread(target=client)
    thread.start()
    while not platform.count("config"):
        time.sleep(0.01)
    time.sleep(0.1)
    platform.stop()
    thread.join()
    assert failed.is_set()
    assert 1 == platform.count("config", outcome="lost", status=None)


def test_fork_closes_the_childs_sockets(http: requests.Session) -> None:
    """A forked child serves nothing and does not keep the parent's port alive."""
    platform = Platform()
    platform.start()
    port = platform.url.port
    assert port is not None
    ready, tell_ready = os.pipe()
    go_on, tell_go_on = os.pipe()
    with socket.create_connection(("127.0.0.1", port)):
        while threading.active_count() < 3:
            time.sleep(0.01)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads and fork
            pid = os.fork()
        if pid == 0:
            try:
                platform.stop()
                os.write(tell_ready, b"r" if platform.running else b"s")
                os.read(go_on, 1)
            finally:
                os._exit(0)
        said = os.read(ready, 1)
        assert 200 == http.get(str(platform.url / "config")).status_code
        platform.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    os.write(tell_go_on, b"g")
    os.waitpid(pid, 0)
    for descriptor in (ready, tell_ready, go_on, tell_go_on):
        os.close(descriptor)
    assert b"s" == said


def test_fork_skips_closed_connections(platform: Platform) -> None:
    """A connection that is closed already does not trouble the forked child."""
    server = platform._server
    assert server is not None
    with socket.create_connection(("127.0.0.1", server.port)):
        while not server._connections:
            time.sleep(0.01)
        # what the hook does in the child, on copies of the descriptors
        (connection,) = server._connections.values()
        copies = [server.socket.dup(), connection.dup(), socket.socket()]
        copies[2].close()
        from neuro_config.testing._server import Server

        child = Server.__new__(Server)
        child.socket = copies[0]
        child._connections = {
            threading.Thread(): copies[1],
            threading.Thread(): copies[2],
        }
        child.abandon()
        assert [-1, -1, -1] == [copy.fileno() for copy in copies]


def test_fork_hook_forgets_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hook abandons each server of the parent once."""
    from neuro_config.testing import _server

    class Known:
        abandoned = 0

        def abandon(self) -> None:
            self.abandoned += 1

    known = Known()
    monkeypatch.setattr(_server, "_servers", {known})
    _server._after_fork_in_child()
    _server._after_fork_in_child()
    assert 1 == known.abandoned


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Tuple[str, str]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        f" -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {cert}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    return str(cert), str(key)


def test_tls_with_files(certificate: Tuple[str, str]) -> None:
    """With a certificate all URLs are https, and a silent client holds up nobody."""
    with Platform(ssl=certificate) as platform:
        port = platform.url.port
        assert port is not None
        with socket.create_connection(("127.0.0.1", port)):
            assert "https" == platform.url.scheme
            assert "refresh_token" in platform.authorize()


def test_tls_with_context(certificate: Tuple[str, str]) -> None:
    """A ready-made ``SSLContext`` serves as well, and ``verify`` says what to trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with Platform(ssl=context) as platform:
        assert "refresh_token" in platform.authorize(verify=certificate[0])
        with pytest.raises(requests.exceptions.SSLError):
            platform.authorize()


def test_tls_file_missing(tmp_path: Path) -> None:
    """A certificate that is not there is an ``OSError`` and leaks no socket."""
    missing = str(tmp_path / "cert.pem")
    with pytest.raises(FileNotFoundError):
        Platform(ssl=(missing, missing)).start()


def test_log(platform: Platform, http: requests.Session) -> None:
    """The log tells of each request in order, without queries and secrets."""
    before = time.time()
    http.get(f"{platform.url}/config?x=1", headers={"User-Agent": "me/1"})
    platform.authorize()
    first, second, third = platform.requests
    expected = RequestRecord(
        time=first.time,
        endpoint="config",
        method="GET",
        path="/api/v1/config",
        user_agent="me/1",
        outcome="answered",
        status=200,
    )
    assert expected == first
    assert before <= first.time <= second.time <= third.time <= time.time()
    assert ("auth", 302, None) == (second.endpoint, second.status, second.grant_type)
    assert ("token", "authorization_code") == (third.endpoint, third.grant_type)


def test_log_tells_whose_token(platform: Platform, http: requests.Session) -> None:
    """The log tells whose valid token a request carried, at any path."""
    jobs = f"{platform.url}/jobs"
    for token in (
        platform.issue_access_token(),
        platform.issue_access_token("nobody"),
        platform.issue_access_token(life=-5),
        "garbage",
    ):
        assert 404 == http.get(jobs, headers=bearer(token)).status_code
    http.get(jobs)
    assert 1 == platform.count("other", path="/api/v1/jobs", user="alice")
    assert 4 == platform.count("other", user=None)


def test_count(platform: Platform) -> None:
    """``count`` counts the records whose fields have the given values."""
    platform.authorize()
    assert 2 == platform.count()
    assert 1 == platform.count("token")
    assert 1 == platform.count("token", grant_type="authorization_code", status=200)
    assert 0 == platform.count("token", grant_type="refresh_token")
    assert 1 == platform.count(endpoint="auth")
    platform.clear_requests()
    assert 0 == platform.count()


def test_count_knows_its_words(platform: Platform) -> None:
    """A misspelt endpoint or field is an error instead of a zero."""
    with pytest.raises(ValueError, match="discovery"):
        platform.count("tokens")
    with pytest.raises(ValueError, match="grant_type"):
        platform.count(grant="refresh_token")


def test_large_account_stays_fast(http: requests.Session) -> None:
    """A large configuration is rendered once, so that the next request is fast."""
    clusters = make_clusters(200, 60)
    with Platform(clusters=clusters) as platform:
        headers = bearer(platform.issue_access_token())
        first = http.get(str(platform.url / "config"), headers=headers)
        before = time.monotonic()
        second = http.get(str(platform.url / "config"), headers=headers)
        assert before + 1 > time.monotonic()
    assert first.content == second.content
    sizes = {len(cluster["resource_presets"]) for cluster in first.json()["clusters"]}
    assert (200, {60}) == (len(first.json()["clusters"]), sizes)
    assert len(first.content) > 4_000_000


def test_make_clusters() -> None:
    """Made clusters have distinct names and presets of all kinds."""
    made = make_clusters(3, 50, orgs=("a", None))
    assert ["cluster-0000", "cluster-0001", "cluster-0002"] == [c.name for c in made]
    assert 50 == len({preset.name for preset in made[0].presets})
    assert ("a", None) == made[0].orgs
    kinds = len(DEFAULT_CLUSTER.presets)
    assert made[0].presets[kinds].cpu == DEFAULT_CLUSTER.presets[0].cpu


def test_exported_names() -> None:
    """Every name of ``__all__`` can be had, and no other one."""
    assert sorted(testing.__all__) == sorted(set(testing.__all__))
    for name in testing.__all__:
        assert getattr(testing, name) is not None
    assert set(testing._HOMES) < set(testing.__all__)
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = testing.nothing_here
