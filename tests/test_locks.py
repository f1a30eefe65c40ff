"""Locks: who excludes whom, for how long, and what an error tells about the holder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import json
import os
import signal
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List, Tuple, Type

import filelock
import pytest
from samples import WAIT, environment, in_child, python, session, started

from neuro_config import _locks
from neuro_config._errors import (
    LockTimeoutError,
    StorageError,
    StorageWriteError,
    UnsafePathError,
)
from neuro_config._files import FileStorage
from neuro_config._locks import (
    Lock,
    _close_lock,
    describe_holder,
    process_start,
    read_hint,
)

HOLD = """
import os, sys
from neuro_config._locks import Lock
lock = Lock(sys.argv[1], "commit", 30.0)
print(os.getpid(), flush=True)
"""
UNTIL_STDIN_ENDS = "sys.stdin.read()\n"


@pytest.fixture
def directory(tmp_path: Path) -> str:
    made = tmp_path / "store"
    made.mkdir(mode=0o700)
    return str(made)


@contextlib.contextmanager
def held_elsewhere(directory: str, then: str = UNTIL_STDIN_ENDS) -> Iterator[int]:
    """Another process holds the lock; its process id."""
    with started(HOLD + then, directory) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


def timeout_error(directory: str, timeout: float) -> LockTimeoutError:
    """The error of waiting in vain, which took no longer than it may."""
    start = time.monotonic()
    with pytest.raises(LockTimeoutError) as caught:
        Lock(directory, "commit", timeout)
    waited = time.monotonic() - start
    assert timeout <= waited < timeout + 1.0
    return caught.value


# --------------------------------------------------------------- who waits


def test_a_lock_is_given_back(directory: str) -> None:
    """It is held until ``release``; releasing again takes nothing from the next one."""
    first = Lock(directory, "commit", 0.0)
    assert first.held
    timeout_error(directory, 0.0)
    first.release()
    assert not first.held
    second = Lock(directory, "commit", 0.0)
    first.release()
    assert second.held
    timeout_error(directory, 0.05)
    second.release()


def test_an_interrupt_while_locking_leaves_no_lock(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C right after the kernel's lock was taken: it is free while one sees the error."""
    flock = fcntl.flock

    def interrupted(fd: int, operation: int) -> None:
        flock(fd, operation)
        if operation != fcntl.LOCK_UN:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            Lock(directory, "commit", 0.0)
    Lock(directory, "commit", 0.0).release()
    assert caught.value.__traceback__ is not None
    assert [] == _open_locks(directory)


def test_a_hint_that_fails_in_any_way_leaves_no_lock(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is free while one still holds the error that came after it was taken."""

    def fail(path: str, *arguments: int) -> int:
        raise MemoryError(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fail)
        with pytest.raises(MemoryError) as caught:
            Lock(directory, "commit", 0.0)
    Lock(directory, "commit", 0.0).release()
    assert caught.value.__traceback__ is not None


def test_a_release_that_the_system_refuses_frees_the_lock(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock ends with its file, which is closed whatever comes of unlocking it."""
    lock = Lock(directory, "commit", 0.0)

    def flock(fd: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", flock)
        lock.release()
    assert [] == _open_locks(directory)
    Lock(directory, "commit", 0.0).release()


def test_a_file_with_the_number_of_a_closed_lock_stays_open(directory: str) -> None:
    """Another file may have got the number since; only the lock file itself is closed."""
    path = os.path.join(directory, "commit.lock")
    Path(path).touch()
    with open(os.devnull) as other, open(path) as locked:
        _close_lock(other.fileno(), path)
        _close_lock(None, path)
        assert os.fstat(other.fileno())
        number = os.dup(locked.fileno())
    _close_lock(number, path)
    assert [] == _open_locks(directory)


def test_an_interrupted_release_closes_the_file(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of a release waits for its end."""
    lock = Lock(directory, "commit", 0.0)
    flock = fcntl.flock

    def interrupted(fd: int, operation: int) -> None:
        flock(fd, operation)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lock.release()
    assert [] == _open_locks(directory)


def test_names_do_not_exclude_each_other(directory: str) -> None:
    """The lock of a refresh does not block a commit."""
    refresh = Lock(directory, "refresh", 0.0)
    Lock(directory, "commit", 0.0).release()
    refresh.release()


def test_a_lock_that_is_forgotten_is_free(directory: str) -> None:
    """A lock nobody can release any more does not stay."""
    Lock(directory, "commit", 0.0)
    gc.collect()
    Lock(directory, "commit", 0.0).release()


def test_threads_exclude_each_other(directory: str) -> None:
    """One thread at a time is inside."""
    inside: List[int] = []
    most: List[int] = []

    def work() -> None:
        for number in range(20):
            lock = Lock(directory, "commit", WAIT)
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.0001)
            inside.pop()
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (1, 120) == (max(most), len(most))


def test_processes_exclude_each_other(directory: str) -> None:
    """While another process holds the lock nobody gets it; afterwards somebody does."""
    with held_elsewhere(directory):
        timeout_error(directory, 0.05)
    Lock(directory, "commit", 0.0).release()


def test_a_waiter_gets_it_when_it_is_free(directory: str) -> None:
    """Who waits goes on soon after the release, not only at the timeout."""
    lock = Lock(directory, "commit", 0.0)
    timer = threading.Timer(0.1, lock.release)
    timer.start()
    start = time.monotonic()
    Lock(directory, "commit", WAIT).release()
    assert 0.09 < time.monotonic() - start < 5.0
    timer.join()


@pytest.mark.parametrize("timeout", [0.0, 0.12, 0.3])
def test_nobody_waits_longer_than_the_timeout(directory: str, timeout: float) -> None:
    """A wait in vain ends with the timeout and says how long it was."""
    lock = Lock(directory, "commit", 0.0)
    assert timeout == timeout_error(directory, timeout).seconds
    lock.release()


def test_a_negative_timeout_is_one_try(directory: str) -> None:
    """A deadline that has passed tries once, and the error tells of no negative wait."""
    Lock(directory, "commit", -1.0).release()
    lock = Lock(directory, "commit", 0.0)
    with pytest.raises(LockTimeoutError, match=r"after 0\.0 s"):
        Lock(directory, "commit", -1.0)
    lock.release()


# ------------------------------------------------------- who dies or stands


@pytest.mark.attack("8")
def test_a_killed_holder_does_not_block(directory: str) -> None:
    """After SIGKILL the lock is free at once."""
    with held_elsewhere(directory) as pid:
        os.kill(pid, signal.SIGKILL)
        Lock(directory, "commit", WAIT).release()


@pytest.mark.attack("8")
def test_a_stopped_holder_is_named_and_reading_goes_on(directory: str) -> None:
    """A holder under SIGSTOP costs a writer its timeout, and readers nothing."""
    storage = FileStorage(directory)
    ann = storage.update(lambda old: session("ann"), 1.0)
    with held_elsewhere(directory) as pid:
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(LockTimeoutError) as caught:
            storage.update(lambda old: None, 0.1)
        assert f"process {pid} since 20" in caught.value.holder
        assert f"after 0.1 s, by process {pid} since" in str(caught.value)
        assert ann == storage.read()
        os.kill(pid, signal.SIGKILL)


FORK = """
import time
child = os.fork()
if child == 0:
    time.sleep(30)
    os._exit(0)
print(child, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.attack("8", "13")
def test_a_living_child_of_a_dead_holder_does_not_block(directory: str) -> None:
    """A child forked while the lock was held drops what it inherited."""
    with started(HOLD + FORK, directory) as process:
        assert process.stdout is not None
        process.stdout.readline()
        child = int(process.stdout.readline())
        try:
            Lock(directory, "commit", 5.0).release()
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.attack("8", "13")
def test_a_program_started_by_the_holder_does_not_block(directory: str) -> None:
    """A program that runs on inherits nothing."""
    lock = Lock(directory, "commit", 0.0)
    with subprocess.Popen(["sleep", "30"], close_fds=False) as process:
        lock.release()
        Lock(directory, "commit", 5.0).release()
        process.kill()


def test_a_child_locks_on_its_own_and_the_parent_keeps_its_lock(directory: str) -> None:
    """A forked child holds nothing, cannot release its parent's, and can lock anew."""
    lock = Lock(directory, "commit", 0.0)

    def child() -> bool:
        lock.release()
        Lock(directory, "refresh", 0.0).release()
        try:
            Lock(directory, "commit", 0.0)
        except LockTimeoutError:
            return not lock.held
        return False

    assert in_child(child)
    assert lock.held
    timeout_error(directory, 0.0)
    lock.release()
    assert in_child(lambda: Lock(directory, "commit", 0.0).held)
    Lock(directory, "commit", 0.0).release()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_forks_in_the_middle_of_locking_keep_nothing(directory: str) -> None:
    """Children forked at any moment by another thread never hold a lock."""
    stop = threading.Event()

    def lock() -> None:
        while not stop.is_set():
            Lock(directory, "commit", WAIT).release()

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        for _ in range(40):
            assert in_child(lambda: not _open_locks(directory))
    finally:
        stop.set()
        thread.join()


def _open_locks(directory: str) -> List[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [
        path for path in found if path.startswith(directory) and path.endswith(".lock")
    ]


# ---------------------------------------------------------- what stands there


def test_the_lock_file_stays_and_is_private(directory: str) -> None:
    """It is 0600 under any umask, and never deleted."""
    before = os.umask(0o777)
    try:
        Lock(directory, "commit", 0.0).release()
    finally:
        os.umask(before)
    assert {"commit.lock", "commit.holder"} == set(os.listdir(directory))
    assert 0o600 == stat.S_IMODE(os.stat(f"{directory}/commit.lock").st_mode)


def test_a_lock_file_that_was_removed_by_hand_is_made_anew(directory: str) -> None:
    """Who waits for a lock that somebody deletes ends up with the one in the folder."""
    holder = Lock(directory, "commit", 0.0)
    os.unlink(f"{directory}/commit.lock")
    lock = Lock(directory, "commit", 0.0)
    timeout_error(directory, 0.0)
    lock.release()
    holder.release()


def _target(path: Path) -> Path:
    target = path.parent / "target"
    target.write_text("precious")
    return target


PLANTED = [
    pytest.param(lambda path: path.symlink_to(_target(path)), id="link"),
    pytest.param(lambda path: path.symlink_to("missing"), id="dangling link"),
    pytest.param(lambda path: os.link(_target(path), path), id="hard link"),
    pytest.param(os.mkfifo, id="fifo"),
    pytest.param(os.mkdir, id="directory"),
]


@pytest.mark.parametrize("plant", PLANTED)
def test_only_a_file_of_ours_is_locked(
    tmp_path: Path, plant: Callable[[Path], Any]
) -> None:
    """Nothing is written through a link, a FIFO does not hang: one typed error."""
    plant(tmp_path / "commit.lock")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(UnsafePathError, match=r"commit\.lock"):
        Lock(str(tmp_path), "commit", 0.0)
    assert before == sorted(os.listdir(tmp_path))
    if (tmp_path / "target").exists():
        assert "precious" == (tmp_path / "target").read_text()


def test_another_refusal_of_the_system_is_its_error(tmp_path: Path) -> None:
    """A folder that is gone is an ``OSError``, which the storage makes a typed one."""
    with pytest.raises(FileNotFoundError):
        Lock(str(tmp_path / "missing"), "commit", 0.0)
    with pytest.raises(StorageWriteError, match="No such file"):
        FileStorage(tmp_path / "missing").sole_refresher(0.0)


def told(number: int, words: str) -> Tuple[Type[StorageError], str]:
    """What comes of an error of flock: filelock 3 takes most for a held lock."""
    if filelock.__version__.startswith("3.") and number != errno.ENOSYS:
        return LockTimeoutError, "still locked"
    return StorageWriteError, words


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_is_one_error(
    directory: str, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """It is told at once and in words, and nothing else stands in for the lock."""

    def flock(fd: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", flock)
        error, words = told(number, "has no file locks")
        with pytest.raises(error, match=words):
            FileStorage(directory).update(lambda old: session("ann"), 0.1)
    assert ["commit.lock"] == os.listdir(directory)
    Lock(directory, "commit", 0.0).release()


def test_any_other_failure_of_a_lock_is_the_systems(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no timeout."""

    def flock(fd: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", flock)
        error, words = told(errno.EIO, "input/output error")
        with pytest.raises(error, match=words):
            FileStorage(directory).update(lambda old: session("ann"), 0.1)
    assert [] == _open_locks(directory)


def test_a_lock_file_removed_at_the_last_moment_does_not_count(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who locks a file that was removed since it was opened tries again."""
    flock = fcntl.flock
    removed: List[int] = []

    def remove_first(fd: int, operation: int) -> None:
        if not removed:
            os.unlink(f"{directory}/commit.lock")
            removed.append(fd)
        flock(fd, operation)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", remove_first)
        lock = Lock(directory, "commit", WAIT)
    timeout_error(directory, 0.0)
    lock.release()


# ------------------------------------------------- what the errors are made of


def hint(directory: str, **changes: Any) -> str:
    Lock(directory, "commit", 0.0).release()
    found = {**read_hint(directory, "commit"), **changes}
    Path(directory, "commit.holder").write_text(json.dumps(found))
    return describe_holder(directory, "commit")


def test_a_thread_of_this_process_is_named(directory: str) -> None:
    """Who waits for itself learns so, and since when."""
    words = hint(directory, since=0.0)
    assert "a thread of this process since 1970-01-01 00:00:00 UTC" == words


def test_another_host_is_named(directory: str) -> None:
    """A process of another host is told apart from one here."""
    assert "process 1 on 'moon' since" in hint(directory, pid=1, host="moon")


def test_an_ended_process_is_named_as_such(directory: str) -> None:
    """A process id that somebody else has by now is not blamed."""
    words = hint(directory, pid=1, started="-1")
    assert "a process that process 1 left behind when it ended since" in words


@pytest.mark.parametrize("since", [1e300, float("nan"), float("inf")])
def test_an_impossible_time_is_left_out(directory: str, since: float) -> None:
    """A hint can hold anything; what makes no sense is not said."""
    assert "a thread of this process" == hint(directory, since=since)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"\xff", b'{"pid": true}', b"[" * 600, b'{"pid": 1}']
)
def test_a_useless_hint_is_nobody_in_particular(tmp_path: Path, data: bytes) -> None:
    """Whatever stands in a hint, the error is made."""
    (tmp_path / "commit.holder").write_bytes(data)
    assert "another process or thread" == describe_holder(str(tmp_path), "commit")


def test_a_hint_is_a_file_of_ours_alone(directory: str, tmp_path: Path) -> None:
    """A hint with another name is neither written nor read: the lock works without."""
    other = tmp_path / "other"
    other.write_text('{"pid": 1, "since": 0.0}')
    other.chmod(0o644)
    os.link(other, f"{directory}/commit.holder")
    Lock(directory, "commit", 0.0).release()
    assert '{"pid": 1, "since": 0.0}' == other.read_text()
    assert 0o644 == stat.S_IMODE(other.stat().st_mode)
    assert {} == read_hint(directory, "commit")


def test_a_shorter_hint_leaves_nothing_of_the_old_one(directory: str) -> None:
    """A hint is as long as what it says."""
    Path(directory, "commit.holder").write_text("x" * 999)
    Lock(directory, "commit", 0.0).release()
    assert os.getpid() == read_hint(directory, "commit")["pid"]


def test_a_missing_hint_is_nobody_in_particular(directory: str) -> None:
    """Without a hint nobody is known."""
    assert {} == read_hint(directory, "commit")


def test_the_hint_names_this_process(directory: str) -> None:
    """Host, process, its start and the moment: what tells a holder apart."""
    lock = Lock(directory, "commit", 0.0)
    found = read_hint(directory, "commit")
    since = found.pop("since")
    assert abs(time.time() - since) < WAIT
    expected = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": process_start(os.getpid()),
    }
    assert expected == found
    lock.release()


def test_the_start_of_a_process_is_known() -> None:
    """It is a number of ticks for a living one, and unknown for none."""
    assert (process_start(os.getpid()) or "").isdigit()
    assert None is process_start(-1)


# --------------------------------------------------------- counting together

COUNT = """
import sys, threading
import attrs
from neuro_config._files import FileStorage
storage = FileStorage(sys.argv[1])

def count(old):
    number = str(int(old.choice.project_name) + 1)
    return attrs.evolve(old, choice=attrs.evolve(old.choice, project_name=number))

def work(times):
    for _ in range(times):
        storage.update(count, 60.0)

sys.stdin.readline()
threads = [threading.Thread(target=work, args=(25,)) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_processes_and_threads_lose_no_update(directory: str) -> None:
    """8 processes of 2 threads make 400 increments, and 400 are counted."""
    storage = FileStorage(directory)
    storage.update(lambda old: session("ann"), 1.0)
    processes = [
        subprocess.Popen(
            python(COUNT, directory), env=environment(), stdin=subprocess.PIPE
        )
        for _ in range(8)
    ]
    for process in processes:
        process.communicate(b"\n", timeout=60.0)
    assert [0] * 8 == [process.returncode for process in processes]
    found = storage.read()
    assert found is not None
    assert "400" == found.choice.project_name


def test_what_a_child_inherits_is_closed(directory: str) -> None:
    """What runs in a forked child closes the file of each lock, and holds none."""
    lock = Lock(directory, "commit", 0.0)
    _locks._forking.acquire()  # as before a fork
    _locks._drop_inherited()
    assert not lock.held
    Lock(directory, "commit", 0.0).release()  # here no parent has the file open
    lock.release()
