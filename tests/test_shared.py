"""What threads of one process do between two steps of each other."""

from __future__ import annotations

import time
from typing import Callable, List, Optional

import pytest
from common import Clock, in_thread, wait_for_the_request

from neuro_config import (
    ConfigStore,
    MemoryStorage,
    NotLoggedInError,
    Session,
    StorageReadError,
    StorageWriteError,
    _unsaved,
)
from neuro_config._storage import READ_TIMEOUT, Change
from neuro_config.testing import Platform

LATE = (
    3000.0  # seconds to look ahead for a token of one hour to be past 75 % of its life
)
EXPIRED = 3700.0


class Interrupted(MemoryStorage):
    """A storage whose reads and commits let another thread do something first.

    What stands in ``after_reads`` and ``after_commits`` is done once each, in this order,
    after one read or commit each; ``None`` is nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.after_reads: List[Optional[Callable[[], object]]] = []
        self.after_commits: List[Optional[Callable[[], object]]] = []

    def read(self, timeout: float = READ_TIMEOUT) -> Optional[Session]:
        found = super().read(timeout)
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


def test_older_answer(storage: Refusing, store: ConfigStore, clock: Clock) -> None:
    """A token that is saved before another thread's change is not shown without that."""
    clock.now += EXPIRED
    storage.after_commits = [None, other(lambda: store.switch_cluster("farm"))]
    assert store.token() == stored_token(storage)
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


def test_answer_to_the_new_login(
    platform: Platform, storage: Refusing, store: ConfigStore
) -> None:
    """A login does not drop the answer to a refresh of that very login."""
    tokens = []

    def refresh() -> None:
        second = ConfigStore(storage=storage)
        storage.refuse()
        second.refresh_token()
        tokens.append(second.token())

    storage.after_commits = [refresh]
    platform.log_in(store)
    store.reload()
    assert tokens == [store.token()] == [stored_token(storage)]


def test_waiting_for_an_answer_that_is_kept(
    platform: Platform, storage: Refusing, store: ConfigStore
) -> None:
    """Who waits for a refresh whose answer the disk refuses saves and uses that answer."""
    before = store.token()
    platform.faults.token.delay(0.5)
    storage.refuse()
    first = in_thread(store.refresh_token)
    wait_for_the_request(platform)
    second = ConfigStore(storage=storage)
    second.refresh_token()
    assert first() is None
    assert before != second.token() == store.token() == stored_token(storage)
    assert 1 == platform.count("token", grant_type="refresh_token")


def test_answer_of_a_parent_that_ended(
    platform: Platform, storage: Refusing, store: ConfigStore, clock: Clock
) -> None:
    """A forked child saves its parent's answer when the parent has ended without that."""
    storage.refuse()
    store.refresh_token()
    storage._make_locks()  # as after a fork, and as if the parent had ended
    clock.now += EXPIRED
    assert store.token() == stored_token(storage)
    assert 2 == platform.count("token", grant_type="refresh_token")
    assert 0 == platform.count(reuse_detected=True)


@pytest.mark.parametrize("end", ["logout", "login"])
def test_login_that_ends_before_the_answer_is_kept(
    platform: Platform, storage: Refusing, store: ConfigStore, end: str
) -> None:
    """An answer that the disk refuses is not kept when its login is over by then."""
    second = ConfigStore(storage=storage)
    change = second.logout if end == "logout" else lambda: platform.log_in(second)
    storage.refuse()
    storage.before_refusal = other(change)
    expected = "NotLoggedInError" if end == "logout" else "LoginChangedError"
    error = in_thread(store.refresh_token)()
    assert expected == type(error).__name__
    assert _unsaved.find(storage.location) is None
    storage.sole_refresher(0).release()


def test_kept_though_the_disk_cannot_be_read(
    storage: Refusing, store: ConfigStore
) -> None:
    """An answer is kept when the disk refuses to be read as well."""
    storage.refuse()
    storage.before_refusal = lambda: storage.after_reads.append(refuse_reading)
    before = store.token()
    store.refresh_token()
    assert before != store.token()
    store.reload()
    assert store.token() == stored_token(storage)


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
