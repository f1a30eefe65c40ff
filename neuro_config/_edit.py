"""Changing a file of the user's: whole or not at all, and nothing else about it.

The file keeps its mode and its owner, and a link stays a link. What a new file in its
place would undo is refused: a mode that says read-only, and another name, a hard link. Who changes it by these
functions takes turns with the others who do, by a lock on the folder; an editor that
does not know of it sees a complete old or a complete new file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
import time
from typing import Callable, Iterator, Optional

from ._commit import force_entry, make_directory
from ._directory import ADVICE
from ._errors import LockTimeoutError, StorageWriteError
from ._local import read_file

TIMEOUT = 10.0  # seconds to wait for another process
POLL = 0.005  # seconds between two tries

_SUFFIX = ".tmp"

Change = Callable[[Optional[bytes]], Optional[bytes]]


def edit(path: str, change: Change, *, timeout: float = TIMEOUT) -> bool:
    """Replace what a file holds by what a function makes of it.

    Args:
        path: The file. A new one is made with mode 0600, and what is missing of the
            folders above it with mode 0700.
        change: From the file's bytes, ``None`` for no file, to the new ones. What it
            raises leaves everything as it was. It may run again.
        timeout: Seconds to wait for another process that changes a file there.

    Returns:
        Whether something was changed.

    Raises:
        UserConfigError: The file cannot be read.
        LockTimeoutError: Another process is at it for too long.
        StorageWriteError: The file is read-only, has another name, or the system refuses
            to write; the old file stands.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    try:
        if not os.path.isdir(folder):
            if change(read_file(path)) is None:
                return False  # what is refused makes no folder either
            make_directory(folder)
        with _alone(folder, path, timeout):
            old = read_file(path)
            new = change(old)
            if new is None or new == old:
                return False
            _require_replaceable(path, target)
            if old is None:
                force_entry(folder)
            _replace(target, new)
            return True
    except OSError as error:
        advice = ADVICE.get(error.errno or 0, f"{error.strerror}.")
        raise StorageWriteError(
            path, f"nothing was changed: {advice}", error.errno
        ) from error


def is_leftover(name: str, of: str) -> bool:
    """Tell whether a killed process has left a file beside another one.

    Args:
        name: Of the file, without its folder.
        of: Name of the file that was to be changed.
    """
    return name.startswith(_prefix(of)) and name.endswith(_SUFFIX)


def _prefix(name: str) -> str:
    return f".{name}-"


@contextlib.contextmanager
def _alone(folder: str, path: str, timeout: float) -> Iterator[None]:
    end = time.monotonic() + timeout
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while not _is_locked(fd):
            if time.monotonic() >= end:
                raise LockTimeoutError(path, "another process", timeout)
            time.sleep(POLL)
        yield
    finally:
        os.close(fd)


def _is_locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without such locks: the rename is atomic all the same.
        return True
    return True


def _require_replaceable(path: str, target: str) -> None:
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return
    # The mode, and not what the system would allow: root may write everything.
    if not found.st_mode & stat.S_IWUSR:
        raise StorageWriteError(
            path,
            f"is read-only (mode {stat.S_IMODE(found.st_mode):04o}), and nothing was "
            f"changed. If it is to be changed: chmod u+w {path}",
            errno.EACCES,
        )
    if found.st_nlink > 1:
        raise StorageWriteError(
            path,
            "has another name as well, a hard link, which would not see the change, and "
            "nothing was changed. Change it with an editor, or make the other name a "
            "symbolic link.",
        )


def _replace(target: str, data: bytes) -> None:
    folder = os.path.dirname(target)
    prefix = _prefix(os.path.basename(target))
    fd, written = tempfile.mkstemp(_SUFFIX, prefix, folder)
    try:
        try:
            _adopt(fd, target)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(written, target)
    except BaseException:
        with contextlib.suppress(OSError):  # the rename may have been done
            os.unlink(written)
        raise
    _sync(folder)


def _adopt(fd: int, target: str) -> None:
    """Give a new file the owner and the mode of the old one."""
    try:
        found = os.stat(target)
    except FileNotFoundError:
        os.fchmod(fd, 0o600)  # whatever the umask took away
        return
    with contextlib.suppress(PermissionError):
        os.fchown(fd, found.st_uid, found.st_gid)
    os.fchmod(fd, stat.S_IMODE(found.st_mode))


def _sync(folder: str) -> None:
    with contextlib.suppress(OSError):  # the new file stands, whatever comes of this
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
