"""The kernel's locks of a directory, and hints about who holds them.

Every acquisition makes a ``FileLock`` of its own: one object that threads share would
let several of them in at once. The lock belongs to the open file, so it ends with its
process however that dies; there are no soft locks. A forked child inherits the open
file and would keep the lock alive after its parent's death: it closes what it
inherited. Who holds a lock stands beside it, a hint for error messages only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import os
import threading
import time
import weakref
from typing import Any, Dict, Optional

import filelock

from ._directory import has_one_name, open_sole
from ._errors import LockTimeoutError, StorageWriteError, UnsafePathError
from ._signals import deferred

POLL = 0.005  # seconds between two tries

_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)

_held: weakref.WeakSet[filelock.BaseFileLock] = weakref.WeakSet()
# Held while an open lock file is not in ``_held``: nobody forks in that moment.
_forking = threading.RLock()


class Lock:
    """A lock that this process holds, until ``release``.

    Args:
        directory: A directory that only we can write.
        name: Of the lock, without a suffix.
        timeout: Seconds to wait for the holder.

    Raises:
        LockTimeoutError: It was held for all that time.
        UnsafePathError: In its place stands something else than a file of ours.
        StorageWriteError: The file system has no such locks.
        OSError: The lock file cannot be opened.
    """

    def __init__(self, directory: str, name: str, timeout: float) -> None:
        path = os.path.join(directory, f"{name}.lock")
        os.stat(directory)  # filelock of Python 3.8 and 3.9 would make it
        self._lock = _file_lock(path)
        end = time.monotonic() + timeout
        try:
            while not self._take(path):
                left = end - time.monotonic()
                if left <= 0:
                    holder = describe_holder(directory, name)
                    raise LockTimeoutError(path, holder, max(timeout, 0.0))
                time.sleep(min(POLL, left))
            _write_hint(directory, name)
        except BaseException:
            self.release()  # nobody else will: the caller has no lock to release
            raise

    @property
    def held(self) -> bool:
        """Whether this process still holds it; a forked child does not."""
        return self._lock.is_locked

    def release(self) -> None:
        """Let the next one in; again is harmless."""
        with deferred(), _forking:  # an interrupt must not keep the file open
            _held.discard(self._lock)
            fd = self._lock._context.lock_file_fd
            try:
                self._lock.release()
            except OSError:
                # The lock ends with the file, which version 3 of filelock leaves open.
                _close_lock(fd, self._lock.lock_file)

    def _take(self, path: str) -> bool:
        with deferred(), _forking:  # an interrupt would lose the open file
            _require_ours(path)
            try:
                self._lock.acquire(timeout=0)
            except filelock.Timeout:
                return False
            except NotImplementedError:
                raise _no_locks(path) from None
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    raise _no_locks(path) from None
                raise
            _held.add(self._lock)
        # A soft lock is none. A file that somebody removed is not what the others lock.
        if isinstance(self._lock, filelock.UnixFileLock) and os.path.lexists(path):
            return True
        self.release()
        # One whose unlocking failed refuses to be taken again.
        self._lock = _file_lock(path)
        return False


def _close_lock(fd: Optional[int], path: str) -> None:
    """Close a lock file, unless it is closed or its number is another file's by now."""
    with contextlib.suppress(OSError):
        if fd is not None and os.path.samestat(os.fstat(fd), os.stat(path)):
            os.close(fd)


def _drop_inherited() -> None:
    for lock in list(_held):
        # Version 4 of filelock forgets inherited locks by itself. Before it, closing
        # leaves the parent its lock, where releasing would take it away.
        context = lock._context
        fd, context.lock_file_fd = context.lock_file_fd, None
        if fd is not None:
            os.close(fd)
    _held.clear()
    _forking.release()


os.register_at_fork(
    before=_forking.acquire,
    after_in_parent=_forking.release,
    after_in_child=_drop_inherited,
)


def _file_lock(path: str) -> filelock.BaseFileLock:
    # Not shared: ``thread_local=False`` lets another thread release it, no more.
    # Older versions, which have no soft fallback, ignore that it is not wanted.
    options: Dict[str, Any] = {"thread_local": False, "fallback_to_soft": False}
    return filelock.FileLock(path, mode=0o600, **options)


def _require_ours(path: str) -> None:
    # Before filelock opens it: on Python 3.8 and 3.9 that follows a link and truncates.
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not has_one_name(found):
        raise UnsafePathError(
            path,
            "is a link, or else no file of yours, and is not written to. Remove it.",
        )


def _no_locks(path: str) -> StorageWriteError:
    return StorageWriteError(
        path,
        "this file system has no file locks. Choose a directory on a local disk "
        "(NEUROMATION_CONFIG).",
    )


def _write_hint(directory: str, name: str) -> None:
    pid = os.getpid()
    hint = {
        "host": os.uname().nodename,
        "pid": pid,
        "started": own_start(pid),
        "since": time.time(),
    }
    with contextlib.suppress(OSError):  # a hint: a full disk shows soon enough
        fd = _open_hint(directory, name, os.O_WRONLY | os.O_CREAT)
        try:
            os.fchmod(fd, 0o600)  # whatever the umask took away
            os.ftruncate(fd, 0)
            os.write(fd, json.dumps(hint).encode())
        finally:
            os.close(fd)


@functools.lru_cache(maxsize=1)
def own_start(pid: int) -> Optional[str]:
    """Tell when this process started: each commit asks, and it changes with a fork only."""
    return process_start(pid)


def read_hint(directory: str, name: str) -> Dict[str, Any]:
    """Read who took the lock last; empty where that is not known."""
    try:
        fd = _open_hint(directory, name, os.O_RDONLY)
        try:
            hint = json.loads(os.read(fd, 512))
        finally:
            os.close(fd)
    except (OSError, ValueError, RecursionError):
        return {}
    return hint if isinstance(hint, dict) else {}


def _open_hint(directory: str, name: str, flags: int) -> int:
    return open_sole(os.path.join(directory, f"{name}.holder"), flags)


def is_held(directory: str, name: str) -> bool:
    """Tell whether somebody holds a lock at this moment; nobody has to wait for that.

    Raises:
        StorageWriteError: The file system has no such locks.
        OSError: The lock file cannot be opened.
    """
    path = os.path.join(directory, f"{name}.lock")
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with _forking:  # a child that inherited it would go on holding it
        try:
            fd = os.open(path, flags)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise _no_locks(path) from None
            raise
        finally:
            os.close(fd)
    return False


def describe_holder(directory: str, name: str) -> str:
    """Say in words who holds a lock and since when, as far as is known."""
    hint = read_hint(directory, name)
    pid, since = hint.get("pid"), hint.get("since")
    if type(pid) is not int or type(since) is not float:
        return "another process or thread"
    who = "a thread of this process" if pid == os.getpid() else f"process {pid}"
    if hint.get("host") != os.uname().nodename:
        who += f" on {hint.get('host')!r}"
    elif process_start(pid) != hint.get("started"):
        who = f"a process that {who} left behind when it ended"
    with contextlib.suppress(OverflowError, OSError, ValueError):
        who += time.strftime(" since %Y-%m-%d %H:%M:%S UTC", time.gmtime(since))
    return who


def process_start(pid: int) -> Optional[str]:
    """Tell when a process started, in the kernel's clock ticks; ``None`` if it ended.

    Also ``None`` where the system has no ``/proc``.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may hold spaces; 20 fields after it comes the start.
            return file.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return None
