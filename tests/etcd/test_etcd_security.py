"""Who may ask an etcd, and who answers: TLS, client certificates, users and passwords."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Tuple

import pytest
import trustme
from etcd_cluster import TLS, Cluster, running
from etcd_relay import Relay
from samples import WAIT, session

from neuro_config import (
    ConfigStore,
    EtcdStorage,
    StorageError,
    StorageReadError,
    StorageUnavailableError,
    StorageURLError,
    StorageWriteError,
)
from neuro_config._etcd_client import PASSWORD
from neuro_config._etcd_keys import text_of

ANN = session("ann")
SECRET = "hunter2-of-the-fleet"


def write(folder: Path, name: str, blob: trustme.Blob) -> str:
    path = folder / name
    blob.write_to_path(str(path))
    return str(path)


def certificate(
    ca: trustme.CA, folder: Path, name: str, identity: str
) -> Tuple[str, str]:
    made = ca.issue_cert(identity)
    return (
        write(folder, f"{name}.pem", made.cert_chain_pems[0]),
        write(folder, f"{name}-key.pem", made.private_key_pem),
    )


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TLS:
    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    return TLS(
        certificate(ca, folder, "server", "127.0.0.1"),
        write(folder, "ca.pem", ca.cert_pem),
        certificate(ca, folder, "client", "fleet@example.org"),
    )


@pytest.fixture(scope="module")
def guarded(tls: TLS) -> Iterator[Cluster]:
    """A cluster with mutual TLS, users, and a role with the least rights."""
    with running(1, "--auth-token-ttl", "2", tls=tls) as cluster:
        post = cluster.members[0].post
        for name in ("root", "reader", "fleet"):
            post("auth/user/add", name=name, password=SECRET)
            post("auth/role/add", name=name)
            post("auth/user/grant", user=name, role=name)
        for name, kind in (("fleet", 2), ("reader", 0)):
            permission = {
                "permType": kind,
                "key": text_of(b"neuro/"),
                "range_end": text_of(b"neuro0"),
            }
            post("auth/role/grant", name=name, perm=permission)
        post("auth/enable")
        yield cluster


def url_of(cluster: Cluster, tls: TLS, user: str = "", prefix: str = "neuro") -> str:
    assert tls.client is not None
    certificate, key = tls.client
    url = cluster.url(prefix).replace("://", f"://{user}@" if user else "://")
    return f"{url}?ca={tls.ca}&cert={certificate}&key={key}"


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(PASSWORD, SECRET)
    return SECRET


def test_a_user_with_the_least_rights(
    guarded: Cluster, tls: TLS, password: str
) -> None:
    """With a role for the prefix alone everything works that a fleet needs."""
    storage = EtcdStorage(url_of(guarded, tls, "fleet"))
    assert ANN == storage.update(lambda old: ANN, WAIT)
    refresher = storage.sole_refresher(WAIT)
    assert ANN == storage.read()
    refresher.release()
    storage.sole_refresher(WAIT).release()
    health = storage.health(WAIT)
    assert 1 == len(health.answering)
    assert "" == health.trouble


def test_a_password_file(guarded: Cluster, tls: TLS, tmp_path: Path) -> None:
    """The password comes from a file, which is read anew for each login there."""
    path = tmp_path / "password"
    path.write_text("wrong\n")
    url = f"{url_of(guarded, tls, 'fleet')}&password_file={path}"
    storage = EtcdStorage(url)
    with pytest.raises(StorageReadError, match="authentication failed"):
        storage.read()
    path.write_text(f"{SECRET}\n")
    storage.read()


def test_a_token_that_has_ended(guarded: Cluster, tls: TLS, password: str) -> None:
    """When etcd does not know its own token any more, another one is fetched."""
    storage = EtcdStorage(url_of(guarded, tls, "fleet"))
    storage.update(lambda old: ANN, WAIT)
    for token in ("no.1", '"', None):
        storage._client._token = token
        assert ANN == storage.read()


@pytest.mark.parametrize("user", ["", "nobody", "fleet"])
def test_who_is_refused(
    guarded: Cluster, tls: TLS, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    """No user, an unknown one and a wrong password are one error without the password."""
    wrong = f"wrong-{SECRET}"
    monkeypatch.setenv(PASSWORD, wrong)
    storage = EtcdStorage(url_of(guarded, tls, user))
    with pytest.raises(StorageReadError, match="password and the role") as caught:
        storage.read()
    assert SECRET not in str(caught.value) + repr(caught.value)


def test_a_reader(guarded: Cluster, tls: TLS, password: str) -> None:
    """Who may only read is told so when he writes, as on a read-only disk."""
    storage = EtcdStorage(url_of(guarded, tls, "reader"))
    storage.read()
    with pytest.raises(StorageWriteError, match="nothing was changed") as caught:
        storage.update(lambda old: session("new"), WAIT)
    assert caught.value.is_read_only


def test_another_prefix(guarded: Cluster, tls: TLS, password: str) -> None:
    """A role for one prefix gives no right to another."""
    storage = EtcdStorage(url_of(guarded, tls, "fleet", "others"))
    with pytest.raises(StorageReadError, match="permission denied"):
        storage.read()


def test_no_password(guarded: Cluster, tls: TLS, tmp_path: Path) -> None:
    """A user without a password, or a file that is not there, is said before asking."""
    url = url_of(guarded, tls, "fleet")
    with pytest.raises(StorageURLError, match="has no password"):
        EtcdStorage(url).read()
    with pytest.raises(StorageURLError, match="missing"):
        EtcdStorage(f"{url}&password_file={tmp_path}/missing").read()


def test_no_client_certificate(guarded: Cluster, tls: TLS) -> None:
    """Without the client certificate that the server asks for there is no answer."""
    url = f"{guarded.url()}?ca={tls.ca}"
    with pytest.raises(StorageUnavailableError):
        EtcdStorage(url).read(1.0)


def test_another_authority(
    guarded: Cluster, tls: TLS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of another authority gets nothing, whatever the environment says."""
    assert tls.client is not None
    other = write(tmp_path, "other.pem", trustme.CA().cert_pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls.ca)
    url = url_of(guarded, tls).replace(tls.ca, other)
    with pytest.raises(StorageUnavailableError, match="certificate"):
        EtcdStorage(url).read(1.0)
    with pytest.raises(StorageUnavailableError, match="certificate"):
        EtcdStorage(guarded.url()).read(1.0)


def test_a_missing_file(guarded: Cluster, tls: TLS) -> None:
    """A file of certificates that is not there is told."""
    url = url_of(guarded, tls).replace(tls.ca, "/missing/ca.pem")
    with pytest.raises(StorageError, match="missing/ca.pem"):
        EtcdStorage(url).read(1.0)


def test_no_proxy_and_no_redirect(
    relay: Relay, far: EtcdStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's proxies see nothing, and no redirect is followed."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    relay.answer("kv/range", 307, b"")
    assert None is far.read(WAIT)


def test_a_user_where_none_is_asked_for(url: str, password: str) -> None:
    """A cluster without users takes the password for nothing, and works."""
    storage = EtcdStorage(url.replace("://", "://fleet@"))
    assert ANN == storage.update(lambda old: ANN, WAIT)
    assert "fleet" not in storage.location


def test_a_token_that_is_none(
    relay: Relay, far: EtcdStorage, url: str, password: str
) -> None:
    """What is no token is sent in no header."""
    storage = EtcdStorage(relay.place(url).replace("://", "://fleet@"))
    relay.answer("auth/authenticate", 200, {"token": "line\nbreak"})
    assert None is storage.read(WAIT)
    assert 2 == relay.seen.count("auth/authenticate")


def test_no_secret_is_shown(guarded: Cluster, tls: TLS, password: str) -> None:
    """Neither a repr nor a location shows the password or etcd's token."""
    url = url_of(guarded, tls, "fleet")
    storage = EtcdStorage(url)
    store = ConfigStore(storage=storage)
    shown = repr(store) + store.location + repr(storage) + repr(vars(storage._client))
    assert SECRET not in shown
    assert storage._client._token
    assert str(storage._client._token) not in shown
