"""What threads of one process do between two steps of each other."""

from __future__ import annotations

import time
from typing import Callable, List, Optional

import pytest
from common import Clock, in_thread

from neuro_config import (
    ConfigStore,
    MemoryStorage,
    NotLoggedInError,
    Session,
    StorageReadError,
    StorageWriteError,
    _unsaved,
)
from neuro_config._storage import Change
from neuro_config.testing import Platform

LATE = (
    3000.0  # seconds to look ahead for a token of one hour to be past 75 % of its life
)


class Interrupted(MemoryStorage):
    """A storage whose reads and commits let another thread do something first.

    What stands in ``after_reads`` and ``after_commits`` is done once each, in this order,
    after one read or commit each; ``None`` is nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.after_reads: List[Optional[Callable[[], object]]] = []
        self.after_commits: List[Optional[Callable[[], object]]] = []

    def read(self) -> Optional[Session]:
        found = super().read()
        _next(self.after_reads)
        return found

    def update(
        self,
        change: Change,
        timeout: float,
        *,
        catalog: Optional[bytes] = None,
        replace: bool = False,
    ) -> Optional[Session]:
        saved = super().update(change, timeout, catalog=catalog, replace=replace)
        _next(self.after_commits)
        return saved


def _next(todo: List[Optional[Callable[[], object]]]) -> None:
    done = todo.pop(0) if todo else None
    if done is not None:
        done()


class Refusing(Interrupted):
    """Refuses every commit while ``refuses`` is positive, and counts it down."""

    def __init__(self) -> None:
        super().__init__()
        self.granted = 0
        self.refuses = 0
        self.before_refusal: Callable[[], object] = lambda: None

    def refuse(self, after: int = 1, count: int = 1) -> None:
        """Refuse so many commits after so many that are granted."""
        self.granted, self.refuses = after, count

    def update(
        self,
        change: Change,
        timeout: float,
        *,
        catalog: Optional[bytes] = None,
        replace: bool = False,
    ) -> Optional[Session]:
        if self.granted:
            self.granted -= 1
        elif self.refuses:
            self.refuses -= 1
            self.before_refusal()
            raise StorageWriteError("disk", "is full")
        return super().update(change, timeout, catalog=catalog, replace=replace)


@pytest.fixture
def storage() -> Refusing:
    return Refusing()


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture
def store(platform: Platform, storage: Refusing, clock: Clock) -> ConfigStore:
    made = ConfigStore(storage=storage, clock=clock)
    platform.log_in(made)
    return made


def stored_token(storage: MemoryStorage) -> str:
    found = MemoryStorage.read(storage)
    assert found is not None
    return str(found.token.access_token)


def refuse_reading() -> None:
    raise StorageReadError("disk", "cannot be read")


def other(call: Callable[[], object]) -> Callable[[], None]:
    """Do a call in another thread, without an error."""

    def run() -> None:
        error = in_thread(call)()
        assert error is None, error

    return run


@pytest.mark.parametrize("name", ["reload", "token"])
def test_older_look(
    storage: Refusing, store: ConfigStore, clock: Clock, platform: Platform, name: str
) -> None:
    """What a thread has read before another one's change is not shown after it."""
    platform.faults.token.answer(503)
    clock.now += LATE
    storage.after_reads = [other(lambda: store.switch_cluster("farm"))]
    getattr(store, name)()
    assert "farm" == store.cluster_name


def test_second_look_fails(storage: Refusing, store: ConfigStore) -> None:
    """If the disk cannot be read then, what the other thread has shown stays."""
    storage.after_reads = [
        other(lambda: store.switch_cluster("farm")),
        refuse_reading,
    ]
    store.reload()
    assert "farm" == store.cluster_name


def test_failure_stays_in_memory(
    platform: Platform, storage: Refusing, store: ConfigStore, clock: Clock
) -> None:
    """A failed refresh that the disk refuses to note is shown after another thread's look."""
    before = store.token()
    platform.faults.token.answer(503)
    clock.now += LATE
    storage.refuse()
    storage.before_refusal = other(store.token)
    assert before == store.token()
    assert 1 == platform.count("token", grant_type="refresh_token")
    assert before == store.token()
    assert 1 == platform.count("token", grant_type="refresh_token")


def test_saved_during_a_look(storage: Refusing, store: ConfigStore) -> None:
    """An answer that is saved while a store reads the disk is seen by it."""
    storage.refuse()
    store.refresh_token()
    new = store.token()
    save = other(lambda: _unsaved.save(storage.location, 1.0))
    storage.refuse(after=0)
    storage.after_reads = [save]
    store.reload()
    assert new == store.token() == stored_token(storage)


def test_logout_elsewhere_is_final(storage: Refusing, store: ConfigStore) -> None:
    """What a thread has read before a logout that another one noticed is not shown."""
    second = ConfigStore(storage=storage)

    def leave() -> None:
        second.logout()
        with pytest.raises(NotLoggedInError):
            store.switch_cluster("farm")

    storage.after_reads = [leave]
    store.reload()
    assert "LoggedOut" == type(store.state).__name__
