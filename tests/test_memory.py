"""The storage that is no directory."""

from __future__ import annotations

import threading
from typing import List, Optional

import pytest
from samples import WAIT, catalog, in_child, session

from neuro_config._catalog import digest_of
from neuro_config._errors import LockTimeoutError
from neuro_config._memory import MemoryStorage
from neuro_config._session import Session

ANN = session("ann", "first")
BOB = session("bob", "second")
CAT = session("cat", "third")


def test_it_starts_with_nobody() -> None:
    """A new storage holds no login and no catalog."""
    storage = MemoryStorage()
    assert None is storage.read()
    assert None is storage.read_catalog(ANN.catalog, 0, 10)
    assert storage.location.startswith("memory-")
    assert storage.location != MemoryStorage().location
    assert {} == storage.describe(1.0)


def test_a_change_is_kept() -> None:
    """What the change returns is returned, stored and given to the next change."""
    storage = MemoryStorage()
    seen: List[Optional[Session]] = []
    assert ANN == storage.update(lambda old: ANN, 0.0)
    assert ANN == storage.read()
    assert None is storage.update(seen.append, 0.0)
    assert [ANN] == seen
    assert None is storage.read()


def test_a_change_that_fails_changes_nothing() -> None:
    """An error of the change leaves login and catalog, and the lock is free."""
    storage = MemoryStorage()
    storage.update(lambda old: ANN, 0.0, catalog=catalog("first"))

    def fail(old: Optional[Session]) -> Optional[Session]:
        raise OSError("of the change")

    with pytest.raises(OSError, match="of the change"):
        storage.update(fail, 0.0, catalog=catalog("second"))
    assert ANN == storage.read()
    assert None is storage.read_catalog(BOB.catalog, 0, 10)
    storage.update(lambda old: None, 0.0)


def test_the_last_catalog_stays() -> None:
    """Who still looks at the last session finds its catalog; older ones are gone."""
    storage = MemoryStorage()
    storage.update(lambda old: ANN, 0.0, catalog=catalog("first"))
    storage.update(lambda old: BOB, 0.0, catalog=catalog("second"))
    assert catalog("first") == storage.read_catalog(ANN.catalog, 0, 1000)
    assert catalog("second")[2:5] == storage.read_catalog(BOB.catalog, 2, 3)
    storage.update(lambda old: CAT, 0.0, catalog=catalog("third"))
    assert None is storage.read_catalog(ANN.catalog, 0, 1)
    assert digest_of(catalog("third")) == CAT.catalog


@pytest.mark.parametrize("timeout", [0.05, 0.0, -1.0])
def test_nobody_waits_longer_than_the_timeout(timeout: float) -> None:
    """A refresher and a change that take long are an error for the others."""
    storage = MemoryStorage()
    refresher = storage.sole_refresher(timeout)
    with pytest.raises(LockTimeoutError):
        storage.sole_refresher(timeout)
    refresher.release()

    def nested(old: Optional[Session]) -> Optional[Session]:
        return storage.update(lambda old: ANN, timeout)

    with pytest.raises(LockTimeoutError):
        storage.update(nested, timeout)


def test_the_right_to_refresh_is_given_back() -> None:
    """After ``release`` the next one may; releasing again takes nothing from them."""
    storage = MemoryStorage()
    first = storage.sole_refresher(0.0)
    first.reserve()
    assert first.held
    assert ANN == first.update(lambda old: ANN, 0.0)
    first.release()
    assert not first.held
    second = storage.sole_refresher(0.0)
    first.release()
    assert second.held
    with pytest.raises(LockTimeoutError):
        storage.sole_refresher(0.0)


def test_threads_lose_no_update() -> None:
    """Increments by many threads are all there in the end."""
    storage = MemoryStorage()
    storage.update(lambda old: session("0"), 0.0)

    def count(old: Optional[Session]) -> Optional[Session]:
        assert old is not None
        return session(str(int(old.username) + 1))

    def work() -> None:
        for _ in range(50):
            storage.update(count, WAIT)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session("400") == storage.read()


def test_a_forked_child_goes_on_alone() -> None:
    """Locks that are held at the fork are free in the child, which holds no right."""
    storage = MemoryStorage()
    refresher = storage.sole_refresher(0.0)

    def work() -> bool:
        good = not refresher.held and storage.update(lambda old: BOB, 0.0) == BOB
        refresher.release()
        return good and storage.sole_refresher(0.0).held

    def fork(old: Optional[Session]) -> Optional[Session]:
        assert in_child(work)
        return ANN

    storage.update(fork, 0.0)
    assert refresher.held
    assert ANN == storage.read()
