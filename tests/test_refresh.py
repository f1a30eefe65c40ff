"""The rarer ways of a refresh, in one process."""

from __future__ import annotations

import errno
import gc
import os
import time
from pathlib import Path
from typing import Dict, List, Optional, Set, Tuple

import attrs
import pytest
from common import Clock, Login, in_thread, passed, wait_for_the_request

from neuro_config import (
    AuthError,
    ConfigStore,
    FileStorage,
    LoggedOut,
    MemoryStorage,
    NotLoggedInError,
    RefreshFailedError,
    RefreshFailure,
    Session,
    SessionEndedError,
    StorageWriteError,
    Token,
)
from neuro_config._memory import MemoryRefresher
from neuro_config._refresh import failure_after, in_words, token_from
from neuro_config._storage import Change
from neuro_config.testing import Platform


class FailingStorage(MemoryStorage):
    """A storage whose disk refuses the commits whose numbers are in ``refused``."""

    def __init__(self) -> None:
        super().__init__()
        self.commits = 0
        self.refused: Set[int] = set()

    def update(
        self,
        change: Change,
        timeout: float,
        *,
        catalog: Optional[bytes] = None,
        replace: bool = False,
    ) -> Optional[Session]:
        self.commits += 1
        if self.commits in self.refused:
            raise StorageWriteError("disk", "is full")
        return super().update(change, timeout, catalog=catalog, replace=replace)

    def refuse_next(self, *numbers: int) -> None:
        """Refuse some of the following commits; the next one is number 1."""
        self.refused = {self.commits + number for number in numbers}


@pytest.fixture
def storage() -> FailingStorage:
    return FailingStorage()


@pytest.fixture
def store(platform: Platform, storage: FailingStorage) -> ConfigStore:
    made = ConfigStore(storage=storage)
    platform.log_in(made)
    return made


def test_unsaved_answer(
    platform: Platform,
    storage: FailingStorage,
    store: ConfigStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An answer that the disk refuses is used at once and saved with the next call."""
    before = store.token()
    storage.refuse_next(2, 3)
    store.refresh_token()
    new = store.token()
    assert before != new
    assert "could not be saved yet" in caplog.text
    stored = storage.read()
    assert stored is not None
    assert before == stored.token.access_token
    store.reload()
    assert new == store.token()
    assert stored == storage.read()
    store.reload()
    assert new == store.token()
    saved = storage.read()
    assert saved is not None
    assert new == saved.token.access_token
    assert saved.refresh_sent is None
    storage.sole_refresher(0).release()


def test_unsaved_answer_outlives_its_store(
    platform: Platform, storage: FailingStorage, store: ConfigStore
) -> None:
    """Another store of the process uses and saves the answer, though its store is gone."""
    storage.refuse_next(2)
    store.refresh_token()
    new = store.token()
    del store
    gc.collect()
    assert new == ConfigStore(storage=storage).token()
    saved = storage.read()
    assert saved is not None
    assert new == saved.token.access_token
    assert 0 == platform.count(reuse_detected=True)


def test_unsaved_answer_and_a_failed_logout(
    platform: Platform, storage: FailingStorage, store: ConfigStore
) -> None:
    """A logout or a login that fails loses no answer that waits to be saved."""
    storage.refuse_next(2, 3, 4)
    store.refresh_token()
    new = store.token()
    with pytest.raises(StorageWriteError):
        store.logout()
    with pytest.raises(StorageWriteError):
        platform.log_in(store)
    assert new == store.token()
    store.reload()
    saved = storage.read()
    assert saved is not None
    assert new == saved.token.access_token


def test_unsaved_answer_is_saved_by_asking_for_a_token(
    platform: Platform, storage: FailingStorage
) -> None:
    """token tries every few seconds to save an answer that waits."""
    clock = Clock(time.time())
    store = ConfigStore(storage=storage, clock=clock)
    platform.log_in(store)
    storage.refuse_next(2)
    store.refresh_token()
    new = store.token()
    commits = storage.commits
    clock.now += 4
    assert (new, commits) == (store.token(), storage.commits)
    clock.now += 2
    assert (new, commits + 1) == (store.token(), storage.commits)
    saved = storage.read()
    assert saved is not None
    assert new == saved.token.access_token


def test_disk_that_goes_on_refusing(
    platform: Platform, storage: FailingStorage
) -> None:
    """When the unsaved token has expired too, the disk is blamed and nothing is sent."""
    clock = Clock(time.time())
    store = ConfigStore(storage=storage, clock=clock)
    platform.log_in(store)
    storage.refuse_next(*range(2, 20))
    store.refresh_token()
    clock.now += 4000
    with pytest.raises(StorageWriteError, match="is full"):
        store.token()
    assert 1 == platform.count("token", grant_type="refresh_token")
    storage.refused = set()
    assert store.token()
    assert 0 == platform.count(reuse_detected=True)


def test_unsaved_answer_survives_a_switch(
    storage: FailingStorage, store: ConfigStore
) -> None:
    """A change in between keeps the answer, and the answer keeps the change."""
    storage.refuse_next(2)
    store.refresh_token()
    new = store.token()
    store.switch_cluster("farm")
    assert new == store.token()
    store.reload()
    saved = storage.read()
    assert saved is not None
    assert (new, "farm") == (saved.token.access_token, saved.choice.cluster_name)


def test_unsaved_answer_and_logout(storage: FailingStorage, store: ConfigStore) -> None:
    """A logout drops an answer that could not be saved, and lets go of its lock."""
    storage.refuse_next(2)
    store.refresh_token()
    store.logout()
    assert LoggedOut() == store.state
    assert storage.read() is None
    storage.sole_refresher(0).release()


def test_unsaved_answer_in_a_child(storage: FailingStorage, store: ConfigStore) -> None:
    """A forked child uses the answer and leaves saving it to its parent."""
    storage.refuse_next(2)
    store.refresh_token()
    new = store.token()
    storage._make_locks()  # as after a fork: this process holds the right no more
    store.reload()
    assert new == store.token()
    stored = storage.read()
    assert stored is not None
    assert new != stored.token.access_token


def test_failure_that_cannot_be_noted(
    platform: Platform,
    storage: FailingStorage,
    store: ConfigStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A failed refresh that cannot be noted leaves the mark, which is the safe side."""
    platform.faults.token.answer(429, {"error": "slow_down"}, count=1)
    storage.refuse_next(2)
    with pytest.raises(AuthError, match="slow_down"):
        store.refresh_token()
    assert "could not be noted" in caplog.text
    stored = storage.read()
    assert stored is not None
    assert stored.refresh_sent is not None


def test_mark_that_the_disk_refuses(
    platform: Platform, storage: FailingStorage, store: ConfigStore
) -> None:
    """Where the disk takes no mark nothing is sent, and the next try may send."""
    storage.refuse_next(1)
    with pytest.raises(StorageWriteError, match="is full"):
        store.refresh_token()
    assert 0 == platform.count("token", grant_type="refresh_token")
    store.refresh_token()
    assert 1 == platform.count("token", grant_type="refresh_token")


def test_early_refresh_on_a_full_disk(
    platform: Platform, storage: FailingStorage, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that takes no mark costs a valid token nothing but a warning a minute."""
    clock = Clock(time.time())
    store = ConfigStore(storage=storage, clock=clock)
    platform.log_in(store)
    valid = store.token()
    clock.now += 3000
    storage.refuse_next(1, 2, 3)
    for _ in range(59):
        assert valid == store.token()
        clock.now += 1
    assert 1 == caplog.text.count("refreshing it failed: disk: is full")
    clock.now += 2
    assert valid == store.token()
    assert 2 == caplog.text.count("refreshing it failed: disk: is full")


def test_failure_noted_at_the_last_moment(platform: Platform) -> None:
    """A failure noted between reading and taking the lock holds an early refresh back."""
    clock = Clock(time.time())

    class Busy(MemoryStorage):
        def sole_refresher(self, timeout: float) -> MemoryRefresher:
            def fail(session: Optional[Session]) -> Optional[Session]:
                assert session is not None
                now = clock() - 1
                failure = RefreshFailure(now, 1, now + 60, "no network")
                return attrs.evolve(session, refresh_failure=failure)

            self.update(fail, timeout)
            return super().sole_refresher(timeout)

    store = ConfigStore(storage=Busy(), clock=clock)
    platform.log_in(store)
    valid = store.token()
    clock.now += 3000
    assert valid == store.token()
    assert 0 == platform.count("token", grant_type="refresh_token")


@pytest.mark.attack("5", "9")
def test_waiter_shares_a_failure(platform: Platform, login: Login) -> None:
    """Who waited for a refresh that failed gets the same failure and sends nothing."""
    store = login()
    platform.faults.token.delay(0.7)
    failures: List[Tuple[int, Dict[str, str], type]] = [
        (429, {"error": "slow_down"}, AuthError),
        (503, {}, RefreshFailedError),
        (400, {"error": "invalid_grant"}, SessionEndedError),
    ]
    for status, body, expected in failures:
        platform.log_in(store)
        platform.faults.token.answer(status, body)
        before = platform.count("token", grant_type="refresh_token")
        first = in_thread(store.refresh_token)
        wait_for_the_request(platform, before)
        second = in_thread(ConfigStore(store.path).refresh_token)
        one, other = first(), second()
        assert expected is type(other)
        if expected is RefreshFailedError:
            assert str(one).partition(": ")[2] in str(other)
        else:
            assert repr(one) == repr(other)
        assert before + 1 == platform.count("token", grant_type="refresh_token")
        platform.faults.token.answer(200, count=0)


@pytest.mark.attack("6")
def test_logout_during_a_failing_refresh(platform: Platform, login: Login) -> None:
    """The failure of a refresh brings nothing back that was logged out meanwhile."""
    store = login()
    platform.faults.token.delay(0.7)
    platform.faults.token.answer(429, {"error": "slow_down"})
    join = in_thread(store.refresh_token)
    wait_for_the_request(platform)
    ConfigStore(store.path).logout()
    assert isinstance(join(), AuthError)
    assert FileStorage(store.path).read() is None


@pytest.mark.attack("6")
def test_logout_during_an_early_refresh(platform: Platform, login: Login) -> None:
    """token returns no token of a login that was logged out meanwhile."""
    clock = Clock(time.time())
    store = login(clock=clock)
    clock.now += 3000
    platform.faults.token.delay(0.7)
    join = in_thread(store.token)
    wait_for_the_request(platform)
    ConfigStore(store.path).logout()
    assert isinstance(join(), NotLoggedInError)
    assert LoggedOut() == store.state


@pytest.mark.attack("mark")
def test_newer_token_after_invalid_grant(platform: Platform, login: Login) -> None:
    """After invalid_grant a newer token on the disk is taken instead of an error."""
    store = login()
    platform.faults.token.delay(0.7)
    platform.faults.token.answer(400, {"error": "invalid_grant"})
    join = in_thread(store.refresh_token)
    wait_for_the_request(platform)
    newer = Token("newer", time.time(), time.time() + 3600, "newer-refresh")

    def change(session: Optional[Session]) -> Optional[Session]:
        assert session is not None
        return attrs.evolve(session, token=newer, refresh_sent=None)

    FileStorage(store.path).update(change, 5)
    assert join() is None
    assert "newer" == store.token()


@pytest.mark.parametrize("is_broken", [False, True])
def test_newer_token_is_forced_to_the_disk(
    login: Login, folder: Path, monkeypatch: pytest.MonkeyPatch, is_broken: bool
) -> None:
    """Another's answer is forced to the disk before it is used, and used even if that fails."""
    store = login()
    before = store.token()
    ConfigStore(folder).refresh_token()
    forced: List[str] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        forced.append(os.readlink(f"/proc/self/fd/{fd}"))
        if is_broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    store.refresh_token()
    assert before != store.token()
    assert [str(folder)] == forced


def test_read_only_passed_config(platform: Platform) -> None:
    """Where nothing may be written a passed configuration logs in, in memory."""
    store = ConfigStore("/sys/neuro_config")
    store.login_with_passed_config(passed(platform, cluster="farm"))
    assert "farm" == ConfigStore(storage=store._storage).cluster_name
    assert str(store.path).startswith("memory")
    with pytest.raises(StorageWriteError, match="nothing was changed"):
        ConfigStore("/proc/neuro_config").login_with_passed_config(passed(platform))
    assert not os.path.exists("/sys/neuro_config")


@pytest.mark.parametrize(
    ("failures", "pause"), [(0, 60), (1, 120), (3, 480), (4, 900), (500, 900)]
)
def test_pauses(login: Login, failures: int, pause: float) -> None:
    """The pause after a failure doubles from 1 minute up to 15."""
    session = FileStorage(login().path).read()
    assert session is not None
    if failures:
        failure = RefreshFailure(1.0, failures, 2.0, "before")
        session = attrs.evolve(session, refresh_failure=failure)
    error = AuthError("code", "why")
    expected = RefreshFailure(1000.0, failures + 1, 1000.0 + pause, "why", "code")
    assert expected == failure_after(session, 1000.0, error)


@pytest.mark.parametrize(
    ("expires_in", "expires_at"),
    [
        (60, 1060.0),
        (0.5, 1000.5),
        ("60", 1060.0),
        (True, None),
        ("", None),
        ("-1", None),
        ("²", None),
        (0, None),
        (-1, None),
        (float("nan"), None),
        (1e12, None),
        ("9" * 5000, None),
        (None, None),
        ({}, None),
    ],
)
def test_expires_in(expires_in: object, expires_at: Optional[float]) -> None:
    """A usable expires_in says when the token ends; an opaque token's end is not known else."""
    answer = {"access_token": "opaque", "expires_in": expires_in}
    expected = Token("opaque", 1000.0, expires_at, "kept")
    assert expected == token_from(answer, 1000.0, "kept")


def test_in_words() -> None:
    """Times are told in UTC."""
    assert "1970-01-01 00:00:01 UTC" == in_words(1.9)
