"""The storage in a real etcd of one member: changes, catalogs, the right to refresh."""

from __future__ import annotations

import os
import sys
import threading
import time
import zlib
from typing import Any, Callable, Dict, List, Optional

import attrs
import pytest
from etcd_cluster import Cluster, running
from etcd_relay import Relay
from samples import WAIT, catalog, in_child, session
from test_secrets import shown

from neuro_config import (
    DamagedFileError,
    EtcdStorage,
    LockTimeoutError,
    NewerSchemaError,
    Session,
    StorageError,
    StorageReadError,
    StorageUnavailableError,
    StorageURLError,
    StorageWriteError,
    _etcd,
    _etcd_catalogs,
    _etcd_http,
    _etcd_refresher,
)
from neuro_config._catalog import digest_of
from neuro_config._deadline import Deadline
from neuro_config._etcd_keys import after, put, text_of
from neuro_config._session import encode
from neuro_config._storage import READ_TIMEOUT, Change

ANN = session("ann", "first")
BOB = session("bob", "second")


def key(storage: EtcdStorage, name: str) -> bytes:
    prefix = storage.location.rpartition("/")[2]
    return f"{prefix}/{name}".encode()


def keys(cluster: Cluster, storage: EtcdStorage) -> List[str]:
    """The names of all keys of a storage."""
    begin = key(storage, "")
    found = storage._client.range(begin, after(begin), Deadline(WAIT))
    return [name[len(begin) :].decode() for name in found]


def write(cluster: Cluster, storage: EtcdStorage, name: str, value: bytes) -> None:
    """Write a key as an administrator would."""
    cluster.members[0].post(
        "kv/put", key=text_of(key(storage, name)), value=text_of(value)
    )


def remove(cluster: Cluster, storage: EtcdStorage, name: str) -> None:
    cluster.members[0].post("kv/deleterange", key=text_of(key(storage, name)))


def set_to(new: Optional[Session]) -> Change:
    return lambda old: new


# ------------------------------------------------------------------------ changes


def test_it_starts_with_nobody(storage: EtcdStorage, url: str) -> None:
    """A new prefix holds no login and no catalog, and reading writes nothing."""
    assert None is storage.read()
    assert None is storage.read_catalog(ANN.catalog, 0, 10)
    assert url == storage.location
    assert f"<EtcdStorage {url}>" == repr(storage)


def test_a_change_is_kept(cluster: Cluster, storage: EtcdStorage, url: str) -> None:
    """What the change returns is returned, stored, and given to the next change."""
    seen: List[Optional[Session]] = []
    other = EtcdStorage(url)
    assert ANN == storage.update(set_to(ANN), WAIT)
    assert ANN == other.read()
    assert None is other.update(seen.append, WAIT)
    assert [ANN] == seen
    assert None is storage.read()
    assert ["commits", f"unused/{ANN.catalog}"] == keys(cluster, storage)


def test_no_change_writes_nothing(cluster: Cluster, storage: EtcdStorage) -> None:
    """A change that changes nothing makes no commit."""
    storage.update(set_to(ANN), WAIT)
    before = storage._find(Deadline(WAIT))
    assert ANN == storage.update(lambda old: old, WAIT)
    assert before == storage._find(Deadline(WAIT))


def test_a_change_that_fails_changes_nothing(storage: EtcdStorage) -> None:
    """An error of the change leaves everything as it was."""
    storage.update(set_to(ANN), WAIT)

    def fail(old: Optional[Session]) -> Optional[Session]:
        raise OSError("of the change")

    with pytest.raises(OSError, match="of the change"):
        storage.update(fail, WAIT)
    assert ANN == storage.read()


def test_a_value_that_cannot_be_read_again(storage: EtcdStorage) -> None:
    """A login that could not be read back is refused before anything is written."""
    storage.update(set_to(ANN), WAIT)
    with pytest.raises(StorageWriteError, match="nothing was changed"):
        storage.update(set_to(session("x" * (1 << 20))), WAIT)
    assert ANN == storage.read()


def test_threads_lose_no_update(url: str) -> None:
    """Increments by many threads through several storages are all there in the end."""
    storages = [EtcdStorage(url) for _ in range(3)]
    storages[0].update(set_to(session("0")), WAIT)

    def count(old: Optional[Session]) -> Optional[Session]:
        assert old is not None
        return session(str(int(old.username) + 1))

    def work(number: int) -> None:
        for _ in range(10):
            storages[number % 3].update(count, WAIT)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session("60") == storages[0].read()


def test_others_are_always_faster(storage: EtcdStorage, url: str) -> None:
    """Who loses every race until the deadline is told so, and has changed nothing."""
    other, numbers = EtcdStorage(url), iter(range(10_000))

    def overtaken(old: Optional[Session]) -> Optional[Session]:
        other.update(set_to(session(str(next(numbers)))), WAIT)
        return ANN

    # Either way it says so: before a transaction, or in the middle of one.
    with pytest.raises((LockTimeoutError, StorageUnavailableError)):
        storage.update(overtaken, 0.5)
    found = other.read()
    assert found is not None
    assert "ann" != found.username


def test_what_a_change_reads_ends_with_it(
    far: EtcdStorage, relay: Relay, storage: EtcdStorage
) -> None:
    """A catalog that a change reads has no more time than the change."""
    storage.update(set_to(ANN), WAIT, catalog=catalog("first"))
    begun = time.monotonic()

    def change(old: Optional[Session]) -> Optional[Session]:
        for _ in range(20):
            relay.plan("kv/range", "hold")
        far.read_catalog(ANN.catalog, 0, 1)
        return old

    with pytest.raises(StorageUnavailableError):
        far.update(change, 1.0)
    assert time.monotonic() - begun < READ_TIMEOUT / 2
    assert ANN == storage.read()


# ------------------------------------------------------------------------- damage


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (b"", DamagedFileError),
        (b"half = ", DamagedFileError),
        (b"\xff\xfe", DamagedFileError),
        (b"schema = 99", NewerSchemaError),
    ],
)
def test_damage(
    cluster: Cluster, storage: EtcdStorage, damage: bytes, error: type
) -> None:
    """Damage is an error that names the key; only a login sets it aside, and it stays."""
    storage.update(set_to(ANN), WAIT)
    write(cluster, storage, "session", damage)
    with pytest.raises(error, match="/session"):
        storage.read()
    with pytest.raises(error, match="/session"):
        storage.update(set_to(BOB), WAIT)
    assert BOB == storage.update(set_to(BOB), WAIT, replace=True)
    assert BOB == storage.read()
    aside = key(storage, "set-aside")
    found = storage._client.range(aside, aside + b"\0", Deadline(WAIT))
    assert [damage] == [one.value for one in found.values()]
    storage.update(set_to(None), WAIT)
    assert "set-aside" not in keys(cluster, storage)


def test_no_error_holds_what_is_stored(
    cluster: Cluster, far: EtcdStorage, relay: Relay
) -> None:
    """What an error shows, locals of its frames included, holds no token."""
    token = str(ANN.token.access_token)
    far.update(set_to(ANN), WAIT)
    relay.answer("kv/txn", 400, {"code": 7, "message": "etcdserver: permission denied"})
    errors = [failure_of(lambda: far.update(set_to(BOB), WAIT))]
    relay.answer("kv/txn", 400, {"code": 7, "message": "etcdserver: permission denied"})
    errors.append(failure_of(lambda: far.update(set_to(None), WAIT)))
    stored = {"key": text_of(key(far, "session")), "value": text_of(encode(ANN))}
    relay.answer("kv/range", 200, {"kvs": [stored]})
    errors.append(failure_of(far.read))
    write(cluster, far, "session", encode(ANN) + b"damage")
    errors.append(failure_of(far.read))
    errors.append(failure_of(lambda: far.update(set_to(BOB), WAIT)))
    for error in errors:
        for secret in (token, text_of(encode(ANN))[:60], text_of(encode(BOB))[:60]):
            assert secret not in shown(error)


def failure_of(call: Callable[[], object]) -> StorageError:
    with pytest.raises(StorageError) as caught:
        call()
    return caught.value


def test_logout_of_a_damaged_login(cluster: Cluster, storage: EtcdStorage) -> None:
    """A logout removes what cannot be read."""
    write(cluster, storage, "session", b"damage")
    assert None is storage.update(set_to(None), WAIT, replace=True)
    assert None is storage.read()


def test_a_key_that_somebody_else_writes(
    cluster: Cluster, storage: EtcdStorage, url: str
) -> None:
    """A session that was written past the storage counts: nothing overwrites it unseen."""
    storage.update(set_to(ANN), WAIT)
    seen: List[Optional[Session]] = []

    def change(old: Optional[Session]) -> Optional[Session]:
        if not seen:
            write(cluster, storage, "session", encode(BOB))
        seen.append(old)
        return old and session("new", "second")

    storage.update(change, WAIT)
    assert [ANN, BOB] == seen


# ---------------------------------------------------------------- unknown outcomes


@pytest.mark.parametrize("how", ["lose", "drop", "hold"])
def test_an_answer_that_does_not_come(
    far: EtcdStorage, relay: Relay, storage: EtcdStorage, how: str
) -> None:
    """A change whose answer is lost is made once, whether it had arrived or not."""
    calls: List[Optional[Session]] = []

    def count(old: Optional[Session]) -> Optional[Session]:
        calls.append(old)
        return session(str(1 if old is None else int(old.username) + 1))

    relay.plan("kv/txn", how)
    assert session("1") == far.update(count, WAIT)
    assert session("1") == storage.read()
    assert (1 if how == "lose" else 2) == len(calls)


def test_a_lost_answer_and_others_after_it(
    far: EtcdStorage, relay: Relay, storage: EtcdStorage
) -> None:
    """A change whose answer is lost is not made again over what others did since."""
    relay.plan("kv/txn", "lose")
    relay.plan("kv/range", "pass")
    relay.plan("kv/range", "pass", lambda: storage.update(set_to(BOB), WAIT))
    assert ANN == far.update(set_to(ANN), WAIT)
    assert BOB == storage.read()


def test_a_change_that_arrives_late(
    far: EtcdStorage, relay: Relay, storage: EtcdStorage
) -> None:
    """A change that was given up and others overtook is made on what is there then."""
    storage.update(set_to(ANN), WAIT)
    relay.plan("kv/txn", "drop", lambda: storage.update(set_to(BOB), WAIT))
    seen: List[Optional[Session]] = []

    def change(old: Optional[Session]) -> Optional[Session]:
        seen.append(old)
        return session("new")

    assert session("new") == far.update(change, WAIT)
    assert [ANN, BOB] == seen


def test_a_login_that_came_and_went(
    far: EtcdStorage, relay: Relay, storage: EtcdStorage
) -> None:
    """A change is not made on what is as it was read only by chance: it is decided anew."""

    def come_and_go() -> None:
        storage.update(set_to(BOB), WAIT)
        storage.update(set_to(None), WAIT)

    calls: List[Optional[Session]] = []

    def change(old: Optional[Session]) -> Optional[Session]:
        calls.append(old)
        return ANN

    relay.plan("kv/txn", "pass", come_and_go)
    assert ANN == far.update(change, WAIT)
    assert [None, None] == calls
    assert 3 == len(storage._find(Deadline(WAIT)).names)


@pytest.mark.parametrize("begin", [0, 1])
def test_too_many_changes_since(
    far: EtcdStorage, relay: Relay, storage: EtcdStorage, begin: int
) -> None:
    """Where the names do not reach back, the outcome is said to be unknown."""
    for number in range(begin):
        storage.update(set_to(session(f"before-{number}")), WAIT)

    def many() -> None:
        for number in range(_etcd.COMMITS + 1):
            storage.update(set_to(session(str(number))), WAIT)

    relay.plan("kv/txn", "drop", many)
    with pytest.raises(StorageUnavailableError, match="not known whether"):
        far.update(set_to(ANN), WAIT)


def test_away_after_a_change_was_sent(far: EtcdStorage, relay: Relay) -> None:
    """If nobody answers after a change was sent, the error says what is not known."""
    relay.plan("kv/txn", "lose")
    relay.plan("kv/range", "pass")
    for _ in range(200):
        relay.plan("kv/range", "drop")
    with pytest.raises(StorageUnavailableError, match="not known whether"):
        far.update(set_to(ANN), 1.0)


def test_away_before_a_change_was_sent(far: EtcdStorage, relay: Relay) -> None:
    """If nobody answers at first, nothing is said to be unknown."""
    for _ in range(200):
        relay.plan("kv/range", "drop")
    with pytest.raises(StorageUnavailableError, match="does not answer") as caught:
        far.update(set_to(ANN), 0.5)
    assert "not known" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


# ----------------------------------------------------------------------- catalogs


def big(name: str, size: int) -> bytes:
    """A catalog of some size that does not compress to nothing."""
    head = b'{"schema":1,"name":"%s"}\n' % name.encode()
    return head + bytes(number * 7919 % 251 for number in range(size))


SIZES = [0, 1, _etcd_catalogs.PIECE - 1, _etcd_catalogs.PIECE, 3 * _etcd_catalogs.PIECE]


@pytest.mark.parametrize("size", SIZES)
def test_a_catalog_is_kept(storage: EtcdStorage, url: str, size: int) -> None:
    """Any part of a catalog of any size is read as it was written."""
    data = big("first", size)
    named = session("ann", token=ANN.token)
    named = attrs.evolve(named, catalog=digest_of(data))
    storage.update(set_to(named), WAIT, catalog=data)
    reader = EtcdStorage(url)
    piece = _etcd_catalogs.PIECE
    for offset, wanted in [(0, 10), (5, len(data)), (piece - 3, 6), (len(data), 5)]:
        expected = data[offset : offset + wanted]
        assert expected == reader.read_catalog(named.catalog, offset, wanted)


def test_a_catalog_is_written_once(
    far: EtcdStorage, relay: Relay, storage: EtcdStorage
) -> None:
    """A catalog that is there intact is not written again; one that is damaged is."""
    data = catalog("first")
    storage.update(set_to(ANN), WAIT, catalog=data)
    far.update(set_to(ANN), WAIT, catalog=data)
    assert 1 == relay.seen.count("kv/txn")
    storage._client.transact(
        [],
        [put(key(storage, f"catalog/{ANN.catalog}/0000"), b"no zlib")],
        Deadline(WAIT),
    )
    assert None is EtcdStorage(storage.location).read_catalog(ANN.catalog, 0, 10)
    far.update(set_to(ANN), WAIT, catalog=data)
    assert data == EtcdStorage(storage.location).read_catalog(ANN.catalog, 0, 1000)


def names_of_catalogs(cluster: Cluster, storage: EtcdStorage) -> Dict[str, int]:
    """How many keys there are of which kind."""
    found: Dict[str, int] = {}
    for name in keys(cluster, storage):
        kind = name.partition("/")[0]
        found[kind] = found.get(kind, 0) + 1
    return found


def test_catalogs_out_of_use(cluster: Cluster, storage: EtcdStorage) -> None:
    """What no session has named for a day goes with the next catalog, and nothing else."""
    storage.update(set_to(ANN), WAIT, catalog=catalog("first"))
    storage.update(set_to(BOB), WAIT, catalog=catalog("second"))
    assert catalog("first") == storage.read_catalog(ANN.catalog, 0, 1000)
    assert 1 == names_of_catalogs(cluster, storage)["unused"]
    long_ago = str(time.time() - _etcd_catalogs.KEEP - 60).encode()
    write(cluster, storage, f"unused/{ANN.catalog}", long_ago)
    write(cluster, storage, f"unused/{BOB.catalog}", long_ago)  # which is named
    write(cluster, storage, "unused/nonsense", b"no time")
    storage.update(set_to(BOB), WAIT, catalog=catalog("second"))
    assert None is EtcdStorage(storage.location).read_catalog(ANN.catalog, 0, 1)
    assert catalog("second") == storage.read_catalog(BOB.catalog, 0, 1000)
    assert {"catalog": 1, "commits": 1, "session": 1} == names_of_catalogs(
        cluster, storage
    )


def test_a_catalog_that_is_used_again(
    far: EtcdStorage, relay: Relay, cluster: Cluster, storage: EtcdStorage
) -> None:
    """A clean-up removes nothing that a session has named since it looked."""
    storage.update(set_to(ANN), WAIT, catalog=catalog("first"))
    storage.update(set_to(BOB), WAIT, catalog=catalog("second"))
    long_ago = str(time.time() - _etcd_catalogs.KEEP - 60).encode()
    write(cluster, storage, f"unused/{ANN.catalog}", long_ago)
    again = session("again", "first")
    relay.plan("kv/txn", "pass")  # the commit; then comes the removal
    relay.plan("kv/txn", "pass", lambda: storage.update(set_to(again), WAIT))
    far.update(set_to(BOB), WAIT, catalog=catalog("second"))
    assert catalog("first") == EtcdStorage(storage.location).read_catalog(
        ANN.catalog, 0, 1000
    )


def test_a_clean_up_that_fails(
    far: EtcdStorage, relay: Relay, cluster: Cluster, storage: EtcdStorage
) -> None:
    """A clean-up whose answer gets lost costs the commit nothing."""
    storage.update(set_to(ANN), WAIT, catalog=catalog("first"))
    long_ago = str(time.time() - _etcd_catalogs.KEEP - 60).encode()
    write(cluster, storage, "unused/old", long_ago)
    relay.plan("kv/txn", "pass")
    relay.plan("kv/txn", "lose")
    assert ANN == far.update(set_to(ANN), WAIT, catalog=catalog("first"))


def test_a_catalog_that_is_removed_before_the_commit(
    far: EtcdStorage, relay: Relay, cluster: Cluster, storage: EtcdStorage
) -> None:
    """A commit does not name a catalog that is gone: it is written anew."""
    for _ in range(3):  # unused, the pieces removed, the piece
        relay.plan("kv/txn", "pass")
    gone = f"catalog/{ANN.catalog}/0000"
    relay.plan("kv/txn", "pass", lambda: remove(cluster, storage, gone))
    far.update(set_to(ANN), WAIT, catalog=catalog("first"))
    assert catalog("first") == storage.read_catalog(ANN.catalog, 0, 1000)


def test_a_bomb(cluster: Cluster, storage: EtcdStorage) -> None:
    """A piece that unpacks to more than a piece is read up to a piece's size."""
    packed = zlib.compress(bytes(64 << 20))
    write(cluster, storage, f"catalog/{ANN.catalog}/0000", packed)
    found = storage.read_catalog(ANN.catalog, 0, 1 << 30)
    assert found is not None
    assert _etcd_catalogs.PIECE == len(found)


# ----------------------------------------------------------- the right to refresh


def test_the_right_to_refresh(cluster: Cluster, storage: EtcdStorage, url: str) -> None:
    """One has it at a time, the others are told who; given back, the next one may."""
    first = storage.sole_refresher(WAIT)
    first.reserve()
    assert first.held
    assert ANN == first.update(set_to(ANN), WAIT)
    assert 0 < first.remaining() < _etcd_refresher.LEASE
    other = EtcdStorage(url)
    with pytest.raises(LockTimeoutError, match="process .* since 20.* UTC"):
        other.sole_refresher(WAIT, wait=False)
    with pytest.raises(LockTimeoutError, match="process"):
        other.sole_refresher(0.3)
    first.release()
    assert not first.held
    second = other.sole_refresher(WAIT)
    first.release()
    with pytest.raises(LockTimeoutError):
        storage.sole_refresher(WAIT, wait=False)
    second.release()
    assert ["commits", "session"] == keys(cluster, storage)


def test_it_waits(storage: EtcdStorage, url: str) -> None:
    """Who waits gets it as soon as it is given back."""
    first = storage.sole_refresher(WAIT)
    timer = threading.Timer(0.5, first.release)
    timer.start()
    EtcdStorage(url).sole_refresher(WAIT).release()
    timer.join()


def test_a_dead_holder(
    storage: EtcdStorage, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder that died keeps the others for the length of its lease only."""
    monkeypatch.setattr(_etcd_refresher, "LEASE", 2)
    dead = storage.sole_refresher(WAIT)
    EtcdStorage(url).sole_refresher(WAIT).release()
    assert 0.0 == dead.remaining()


@pytest.mark.parametrize(
    "hint", [b"", b"{", b"[]", b'{"pid":1}', b'{"pid":1,"since":9e99}']
)
def test_any_hint(hint: bytes) -> None:
    """Whatever is written where a holder's hint should be, it is said in words."""
    assert _etcd_refresher.describe(hint) in (
        "another process or host",
        "process 1 on None",
    )


def test_a_lost_answer_to_the_lock(
    far: EtcdStorage, relay: Relay, storage: EtcdStorage
) -> None:
    """Who took the right without being told so has it."""
    relay.plan("kv/txn", "lose")
    refresher = far.sole_refresher(WAIT, wait=False)
    with pytest.raises(LockTimeoutError):
        storage.sole_refresher(WAIT, wait=False)
    refresher.release()


def test_a_lock_that_was_not_taken(
    far: EtcdStorage, relay: Relay, storage: EtcdStorage
) -> None:
    """Who is overtaken after he looked gives his lease back, and is told who has it."""
    taken: List[Any] = []
    relay.plan("kv/txn", "drop", lambda: taken.append(storage.sole_refresher(WAIT)))
    with pytest.raises(LockTimeoutError):
        far.sole_refresher(WAIT, wait=False)
    assert 1 == relay.seen.count("lease/revoke")
    taken[0].release()


def test_a_lease_that_is_gone(far: EtcdStorage, relay: Relay, cluster: Cluster) -> None:
    """A lease that ends before the lock is taken gives no right; another one does."""

    def end_all() -> None:
        found = cluster.members[0].post("lease/leases").get("leases", [])
        for one in found:
            cluster.members[0].post("lease/revoke", ID=one["ID"])

    relay.plan("kv/txn", "pass", end_all)
    far.sole_refresher(WAIT).release()
    assert 2 == relay.seen.count("kv/txn")


def test_a_lock_at_an_etcd_that_is_away(far: EtcdStorage, relay: Relay) -> None:
    """A cluster that is away is not said to be locked."""
    for _ in range(100):
        relay.plan("kv/range", "drop")
    with pytest.raises(StorageUnavailableError):
        far.sole_refresher(0.5)


def test_release_at_an_etcd_that_is_away(far: EtcdStorage, relay: Relay) -> None:
    """To give the right back to a cluster that is away is no error."""
    refresher = far.sole_refresher(WAIT)
    for _ in range(100):
        relay.plan("lease/revoke", "drop")
    refresher.release()
    assert not refresher.held


def test_a_forked_child(storage: EtcdStorage) -> None:
    """A child has no right of its parent's, gives none back, and uses no connection."""
    storage.update(set_to(ANN), WAIT)
    refresher = storage.sole_refresher(WAIT)

    def work() -> bool:
        good = not refresher.held
        refresher.release()
        return good and storage.update(set_to(BOB), WAIT) == BOB

    assert in_child(work)
    assert BOB == storage.read()
    assert refresher.held
    with pytest.raises(LockTimeoutError):
        storage.sole_refresher(WAIT, wait=False)
    refresher.release()


# ------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (200, {"kvs": [{"key": "a"}]}, StorageReadError, "no etcd"),
        (200, {"kvs": 7}, StorageReadError, "no etcd"),
        (
            400,
            {"code": 3, "message": "etcdserver: nonsense"},
            StorageReadError,
            "nonsense",
        ),
        (403, {"code": 7, "error": "permission denied"}, StorageReadError, "the role"),
    ],
)
def test_refusals(
    far: EtcdStorage, relay: Relay, status: int, body: object, error: type, words: str
) -> None:
    """What the cluster refuses, or says otherwise than etcd does, is one typed error."""
    relay.answer("kv/range", status, body)
    with pytest.raises(error, match=words):
        far.read(WAIT)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"[]"),
        (200, b"no json"),
        (404, b"not found"),
        (503, {"code": 14, "message": "etcdserver: no leader"}),
        (503, b"a proxy's page"),
        (429, {"code": 8, "message": "etcdserver: too many requests"}),
        (200, b"{}" + b" " * _etcd_http.ANSWER_LIMIT),
    ],
)
def test_answers_that_pass(
    far: EtcdStorage, relay: Relay, storage: EtcdStorage, status: int, body: object
) -> None:
    """An answer of something that is ill is asked for again."""
    storage.update(set_to(ANN), WAIT)
    relay.answer("kv/range", status, body)
    assert ANN == far.read(WAIT)
    assert 2 == relay.seen.count("kv/range")


@pytest.mark.parametrize(
    ("code", "message", "error_number", "words"),
    [
        (8, "etcdserver: mvcc: database space exceeded", 28, "quota"),
        (7, "etcdserver: permission denied", 13, "the role"),
        (3, "etcdserver: request is too large", None, "too large"),
    ],
)
def test_refused_changes(
    far: EtcdStorage,
    relay: Relay,
    code: int,
    message: str,
    error_number: Optional[int],
    words: str,
) -> None:
    """A change that is refused says why, and that nothing was changed."""
    relay.answer("kv/txn", 400, {"code": code, "message": message})
    with pytest.raises(StorageWriteError, match=words) as caught:
        far.update(set_to(ANN), WAIT)
    assert error_number == caught.value.errno
    assert "nothing was changed" in str(caught.value)
    assert None is far.read()


def test_a_silent_member(far: EtcdStorage, relay: Relay) -> None:
    """A member that never answers costs the timeout and no more."""
    for _ in range(50):
        relay.plan("kv/range", "hold")
    begun = time.monotonic()
    with pytest.raises(StorageUnavailableError, match="no whole answer"):
        far.read(0.7)
    assert time.monotonic() - begun < 10


def test_no_time_at_all(storage: EtcdStorage) -> None:
    """A timeout of nothing is one error and no request."""
    with pytest.raises(StorageUnavailableError):
        storage.read(0.0)


def test_quota() -> None:
    """A cluster whose quota is used up refuses a change and is read all the same."""
    with running(1, "--quota-backend-bytes", str(4 << 20)) as cluster:
        storage = EtcdStorage(cluster.url())
        storage.update(set_to(ANN), WAIT)
        with pytest.raises(StorageWriteError, match="quota") as caught:
            fill(storage)
        assert 28 == caught.value.errno
        assert ANN == storage.read()
        health = storage.health(WAIT)
        assert ("NOSPACE",) == health.alarms
        assert "NOSPACE" in storage.describe(WAIT)["Alarms"]


def fill(storage: EtcdStorage) -> None:
    for number in range(30):
        what = put(key(storage, f"big-{number}"), os.urandom(1 << 20))
        storage._client.transact([], [what], Deadline(WAIT), repeat=True)


def test_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where etcd3gw is not installed, the error says how to install it."""
    monkeypatch.setitem(sys.modules, "etcd3gw.client", None)
    with pytest.raises(StorageURLError, match="neuro_config\\[etcd\\]"):
        EtcdStorage("etcd+https://h/p")


def test_every_error_is_typed(far: EtcdStorage, relay: Relay) -> None:
    """Whatever the outcome, it is a StorageError that names the place."""
    relay.answer("kv/range", 400, {"code": 3, "message": "x"})
    with pytest.raises(StorageError) as caught:
        far.read()
    assert far.location == caught.value.path
