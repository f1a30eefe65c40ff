"""The rarer ways of a refresh, in one process."""

from __future__ import annotations

import errno
import gc
import math
import os
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

import attrs
import pytest
from common import Clock, Login, in_thread, passed, wait_for_the_request

from neuro_config import (
    AuthError,
    ConfigStore,
    ConnectionFailedError,
    FileStorage,
    LockTimeoutError,
    LoggedOut,
    MemoryStorage,
    NotLoggedInError,
    RefreshFailedError,
    RefreshFailure,
    RefreshMark,
    RefreshPendingError,
    Session,
    SessionEndedError,
    StorageUnavailableError,
    StorageWriteError,
    Token,
)
from neuro_config._deadline import Deadline
from neuro_config._memory import MemoryRefresher
from neuro_config._platform import PlatformClient
from neuro_config._refresh import RESCUE, failure_after, in_words, renew, token_from
from neuro_config._session import hash_of
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
        def sole_refresher(
            self, timeout: float, *, wait: bool = True
        ) -> MemoryRefresher:
            def fail(session: Optional[Session]) -> Optional[Session]:
                assert session is not None
                now = clock() - 1
                failure = RefreshFailure(now, 1, now + 60, "no network")
                return attrs.evolve(session, refresh_failure=failure)

            self.update(fail, timeout)
            return super().sole_refresher(timeout, wait=wait)

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


class Leased(MemoryStorage):
    """A storage whose right to refresh has ended for its holder before he uses it."""

    def __init__(self) -> None:
        super().__init__()
        self.before_mark: List[Callable[[], object]] = []
        self.left = math.inf
        self.timeouts: List[float] = []

    def sole_refresher(self, timeout: float, *, wait: bool = True) -> MemoryRefresher:
        refresher = Lease(self, super().sole_refresher(timeout, wait=wait))
        refresher.lose()
        return refresher

    def update(
        self,
        change: Change,
        timeout: float,
        *,
        catalog: Optional[bytes] = None,
        replace: bool = False,
    ) -> Optional[Session]:
        if self.before_mark:
            self.before_mark.pop(0)()
        self.timeouts.append(timeout)
        return super().update(change, timeout, catalog=catalog, replace=replace)


class Lease(MemoryRefresher):
    """A right that others can have, too, by now."""

    def __init__(self, storage: Leased, right: MemoryRefresher) -> None:
        super().__init__(storage, storage._refresh)
        self._right = right
        self._leased = storage

    def lose(self) -> None:
        self._right.release()
        self._lock = None

    def remaining(self) -> float:
        return self._leased.left


@pytest.fixture
def leased() -> Leased:
    return Leased()


def sent(platform: Platform) -> int:
    return platform.count("token", grant_type="refresh_token")


def test_overtaken_by_a_refresh(platform: Platform, leased: Leased) -> None:
    """Who lost the right before the mark sends nothing, and takes the other's token."""
    first, second = ConfigStore(storage=leased), ConfigStore(storage=leased)
    platform.log_in(first)
    second.reload()
    leased.before_mark = [second.refresh_token]
    first.refresh_token()
    assert first.token() == second.token()
    assert 1 == sent(platform)
    assert 0 == platform.count(reuse_detected=True)


def test_overtaken_early(platform: Platform, leased: Leased) -> None:
    """An early refresh that is overtaken is left to the other, at once."""
    clock = Clock(time.time())
    first = ConfigStore(storage=leased, clock=clock)
    second = ConfigStore(storage=leased, clock=clock)
    platform.log_in(first)
    second.reload()
    valid = first.token()
    clock.now += 3000
    leased.before_mark = [second.refresh_token]
    assert valid == first.token()
    assert valid != second.token()
    assert 1 == sent(platform)


def test_overtaken_by_a_mark(platform: Platform, leased: Leased) -> None:
    """A mark that is newer than what was read is not written over: its owner sends."""
    store = ConfigStore(storage=leased)
    platform.log_in(store)
    session = leased.read()
    assert session is not None
    assert session.token.refresh_token is not None
    theirs = RefreshMark(hash_of(session.token.refresh_token), time.time())
    marked = attrs.evolve(session, refresh_sent=theirs)
    leased.before_mark = [lambda: setattr(leased, "_session", marked)]
    with pytest.raises(RefreshPendingError):
        store.refresh_token()
    assert 0 == sent(platform)
    assert marked == leased.read()


def test_overtaken_by_a_mark_before_one_is_dated(
    platform: Platform, leased: Leased
) -> None:
    """A mark of a time to come is dated anew only if it is still the one that was read."""
    store = ConfigStore(storage=leased)
    platform.log_in(store)
    session = leased.read()
    assert session is not None
    assert session.token.refresh_token is not None
    theirs = RefreshMark(hash_of(session.token.refresh_token), time.time(), 7)
    marked = attrs.evolve(session, refresh_sent=theirs)
    ahead = attrs.evolve(theirs, sent_at=time.time() + 1e6)
    leased._session = attrs.evolve(session, refresh_sent=ahead)
    leased.before_mark = [lambda: setattr(leased, "_session", marked)]
    with pytest.raises(RefreshPendingError):
        store.refresh_token()
    assert 0 == sent(platform)
    assert marked == leased.read()


def test_overtaken_until_the_deadline(platform: Platform, leased: Leased) -> None:
    """Who is overtaken until his time is over is told so, and has sent nothing."""
    store = ConfigStore(storage=leased, timeout=0.3)
    platform.log_in(ConfigStore(storage=leased))
    store.reload()

    def change() -> None:
        session = leased.read()
        assert session is not None
        token = attrs.evolve(session.token, obtained_at=time.time())
        leased._session = attrs.evolve(session, token=token)
        time.sleep(0.05)
        leased.before_mark.append(change)

    change()
    with pytest.raises(LockTimeoutError, match="faster"):
        store.refresh_token()
    assert 0 == sent(platform)


def test_a_right_that_is_over(platform: Platform, leased: Leased) -> None:
    """Who has no time left with the right sends nothing, and takes the mark away."""
    store = ConfigStore(storage=leased)
    platform.log_in(store)
    leased.left = 0.0
    with pytest.raises(ConnectionFailedError):
        store.refresh_token()
    session = leased.read()
    assert session is not None
    assert None is session.refresh_sent
    assert 0 == sent(platform)


@pytest.mark.parametrize("is_refreshed", [True, False])
def test_a_failure_of_who_lost_the_right(
    platform: Platform, leased: Leased, is_refreshed: bool
) -> None:
    """A failure takes no other mark away, and a newer token is the answer."""
    first, second = ConfigStore(storage=leased), ConfigStore(storage=leased)
    platform.log_in(first)
    second.reload()
    theirs = RefreshMark("0" * 64, time.time(), 7)

    def others() -> None:
        platform.faults.reset()
        if is_refreshed:
            leased._session = refreshed
        else:
            session = leased.read()
            leased._session = session and attrs.evolve(session, refresh_sent=theirs)

    before = leased.read()
    assert before is not None
    refreshed = attrs.evolve(
        before, token=attrs.evolve(before.token, access_token="theirs")
    )
    platform.faults.token.answer(429, {"error": "slow_down"}, count=1)
    leased.before_mark = [lambda: None, others]
    if is_refreshed:
        first.refresh_token()
        assert "theirs" == first.token()
    else:
        with pytest.raises(AuthError):
            first.refresh_token()
        session = leased.read()
        assert session is not None
        assert theirs == session.refresh_sent
        assert None is session.refresh_failure


def test_an_answer_to_who_was_frozen(platform: Platform, leased: Leased) -> None:
    """An answer that comes after the deadline still has a moment to be saved."""
    platform.log_in(ConfigStore(storage=leased))

    class Slow(PlatformClient):
        def refresh(self, auth: Any, refresh_token: str, deadline: Deadline) -> Any:
            answer = super().refresh(auth, refresh_token, deadline)
            time.sleep(1.1)  # as a freeze does, past the deadline of the whole call
            return answer

    held = leased.read()
    assert held is not None
    got = renew(leased, Slow(), time.time, held, doing="test", deadline=Deadline(1.0))
    assert got == leased.read()
    assert got.token != held.token
    assert RESCUE == leased.timeouts[-1]


def test_who_waits_finds_the_token(platform: Platform, storage: FailingStorage) -> None:
    """A right that is never given back holds nobody up who finds a newer token."""
    clock = Clock(time.time())
    store = ConfigStore(storage=storage, clock=clock)
    platform.log_in(store)
    other = ConfigStore(storage=storage)
    refresher = storage.sole_refresher(0.0)
    session = storage.read()
    assert session is not None
    newer = attrs.evolve(session.token, access_token="newer")
    timer = threading.Timer(
        0.2, lambda: setattr(storage, "_session", attrs.evolve(session, token=newer))
    )
    timer.start()
    other.refresh_token()
    assert "newer" == other.token()
    timer.join()
    refresher.release()


def test_who_waits_forces_the_token_to_the_disk(
    login: Login, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that was found without the right is on the disk before it is used."""
    store, storage = login(), FileStorage(folder)
    refresher = storage.sole_refresher(0.0)
    session = storage.read()
    assert session is not None
    token = attrs.evolve(session.token, access_token="newer")
    storage.update(lambda old: old and attrs.evolve(old, token=token), 1.0)
    forced: List[bool] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        forced.append(os.path.samestat(os.fstat(fd), os.stat(folder)))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    store.refresh_token()
    refresher.release()
    assert "newer" == store.token()
    assert [True] == forced


class Away(FailingStorage):
    """A storage that cannot be reached at times."""

    is_away = False
    locks_away = 0

    def read(self, timeout: float = 10.0) -> Optional[Session]:
        if self.is_away:
            raise StorageUnavailableError("cluster", "is away.")
        return super().read(timeout)

    def sole_refresher(self, timeout: float, *, wait: bool = True) -> MemoryRefresher:
        if self.locks_away:
            self.locks_away -= 1
            time.sleep(min(timeout, 0.1))
            raise StorageUnavailableError("cluster", "is away.")
        return super().sole_refresher(timeout, wait=wait)


def test_away_with_a_valid_token(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    """While the storage is away a valid token is served, with a warning a minute."""
    storage, clock = Away(), Clock(time.time())
    store = ConfigStore(storage=storage, clock=clock)
    platform.log_in(store)
    valid = store.token()
    storage.is_away = True
    clock.now += 3000
    for _ in range(3):
        assert valid == store.token()
    assert 1 == caplog.text.count("cluster: is away")
    clock.now += 700
    with pytest.raises(StorageUnavailableError):
        store.token()
    storage.is_away = False
    assert valid != store.token()


def test_away_when_opened(platform: Platform) -> None:
    """A store that was opened while the storage was away finds the login later."""
    storage = Away()
    platform.log_in(ConfigStore(storage=storage))
    storage.is_away = True
    store = ConfigStore(storage=storage)
    with pytest.raises(StorageUnavailableError):
        store.token()
    storage.is_away = False
    with pytest.raises(StorageUnavailableError):
        store.username  # noqa: B018
    assert store.token()
    assert "alice" == store.username


def test_away_when_the_right_is_taken(platform: Platform) -> None:
    """A storage that is away for a moment only costs that moment, else it is told."""
    storage = Away()
    store = ConfigStore(storage=storage, timeout=0.4)
    platform.log_in(ConfigStore(storage=storage))
    store.reload()
    storage.locks_away = 1
    store.refresh_token()
    storage.locks_away = 1000
    with pytest.raises(StorageUnavailableError):
        store.refresh_token()


def test_a_right_that_is_never_given_back(
    platform: Platform, storage: FailingStorage
) -> None:
    """Who waits for the right until his time is over is told who has it, and for how long."""
    platform.log_in(ConfigStore(storage=storage))
    store = ConfigStore(storage=storage, timeout=0.7)
    refresher = storage.sole_refresher(0.0)
    with pytest.raises(LockTimeoutError, match="another thread") as caught:
        store.refresh_token()
    refresher.release()
    assert 0.7 == caught.value.seconds
    assert 0 == sent(platform)
