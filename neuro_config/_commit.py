"""The writing half of ``FileStorage``: one commit, and the refresher's reserve.

A commit runs under the lock ``commit``: read, change, write a new file, fsync it,
rename it over the old one, fsync the directory. The rename is the only moment at
which anything changes; whatever fails before it removes what it made, and if that last
fsync fails, the old login is put back.

The refresher holds the lock ``refresh``, taken before ``commit`` and never inside it.
What it reserves is a file of zeros, on disk before the token is spent: the answer is
written over it in place.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import time
from typing import Collection, Iterator, List, NamedTuple, Optional

from ._catalog import digest_of
from ._directory import SESSION, Directory, catalog_name, open_sole
from ._errors import StorageError
from ._locks import Lock
from ._session import Session
from ._storage import Change, to_bytes

RESERVE = 1 << 16  # bytes; an answer is some 3 KB
KEEP_CATALOG = 24 * 3600.0  # seconds since a session named it last

LOCKS = ("commit", "refresh")

# One can write what one cannot read; not every file system can be told to.
_NOTHING_TO_FORCE = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.EROFS)

_CORRUPT = f"{SESSION}.corrupt-"
_COMMIT_LEFTOVER = "commit-"
_REFRESH_LEFTOVER = "refresh-"


def update(
    storage: Directory,
    change: Change,
    timeout: float,
    *,
    catalog: Optional[bytes] = None,
    replace: bool = False,
    reserved: Optional[str] = None,
) -> Optional[Session]:
    """Do what ``Storage.update`` says, for a directory.

    Args:
        storage: The directory.
        change: From what is stored to what shall be.
        timeout: Seconds to wait for the lock.
        catalog: Written first, unless it is there intact.
        replace: Whether an unreadable login is set aside instead of an error.
        reserved: Path of a file that the new login is written into.

    Returns:
        What is stored now.

    Raises:
        LockTimeoutError: The lock is held too long.
        StorageError: Reading or writing failed; the old state stands.
    """
    if not storage.check_directory():
        if change(None) is None:
            return None
        with _typed(storage):
            make_directory(storage.location)
        storage.check_directory()
    with _typed(storage):
        lock = Lock(storage.location, "commit", timeout)
    try:
        old = _read(storage, replace)
        new = change(old.session)
        with _typed(storage):
            _commit(storage, old, new, catalog, reserved)
        return new
    finally:
        lock.release()


class FileRefresher:
    """The lock ``refresh``, held; see ``Refresher``."""

    def __init__(self, storage: Directory, timeout: float) -> None:
        self._storage = storage
        self._reserved: Optional[str] = None
        storage.check_directory()
        with _typed(storage):
            self._lock = Lock(storage.location, "refresh", timeout)

    @property
    def held(self) -> bool:
        """Whether this process still holds the lock."""
        return self._lock.held

    def remaining(self) -> float:
        """Return infinity: the kernel's lock has no end of its own."""
        return math.inf

    def reserve(self) -> None:
        """Put zeros on the disk where the answer will go.

        Raises:
            StorageWriteError: There is no room.
        """
        with _typed(self._storage):
            _remove(self._storage, _REFRESH_LEFTOVER)
            self._reserved = _write_new(
                self._storage, _REFRESH_LEFTOVER, bytes(RESERVE)
            )

    def update(self, change: Change, timeout: float) -> Optional[Session]:
        """Commit, into the reserved file where there is one."""
        reserved = self._reserved if self.held else None
        return update(self._storage, change, timeout, reserved=reserved)

    def release(self) -> None:
        """Remove what is left of the reserve and let the next one in."""
        try:
            if self._reserved is not None and self.held:
                _discard(self._reserved)
        finally:
            self._lock.release()


class _Found(NamedTuple):
    session: Optional[Session]
    data: Optional[bytes]
    damaged: bool


@contextlib.contextmanager
def _typed(storage: Directory) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage.write_error(error) from error


def make_directory(path: str) -> None:
    """Make a directory and what is missing above it, for its owner alone.

    Whoever puts the first file into it calls ``force_entry`` before.
    """
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        make_directory(parent)
    force_entry(parent)
    with contextlib.suppress(FileExistsError):  # another process was faster
        os.mkdir(path, 0o700)
        os.chmod(path, 0o700)  # whatever the umask took away


def force_entry(directory: str) -> None:
    """See to it that a directory itself is on the disk, whoever made it and died."""
    try:
        _sync(os.path.dirname(directory))
    except OSError as error:
        if error.errno not in _NOTHING_TO_FORCE:
            raise


def _read(storage: Directory, replace: bool) -> _Found:
    data = None
    try:
        data = storage.read_bytes()
        return _Found(None if data is None else storage.parse(data), data, False)
    except StorageError as error:
        path = storage.file(SESSION)
        # An unsafe directory is not made safe by a login, nor replaced by a file.
        is_directory = os.path.isdir(path) and not os.path.islink(path)
        if not replace or error.path != path or is_directory:
            raise
        return _Found(None, data, True)


def _commit(
    storage: Directory,
    old: _Found,
    new: Optional[Session],
    catalog: Optional[bytes],
    reserved: Optional[str],
) -> None:
    data = None if new is None else to_bytes(new, storage.location)
    made = None if catalog is None else _write_catalog(storage, catalog)
    try:
        if new is None:
            # Whatever else may hold a token of this login. A refresh under way loses
            # its reserve; its answer is not wanted any more.
            _remove(storage, _CORRUPT, _COMMIT_LEFTOVER, _REFRESH_LEFTOVER)
        if new == old.session and not old.damaged:
            _sync(storage.location)  # who wrote it may have died before
        else:
            if old.data is None and not old.damaged:  # the first login in it
                force_entry(storage.location)
            _note_last_use(storage, old.session, new)
            _replace(storage, old, data, reserved)
    except BaseException:
        # The stored bytes decide: an interrupt can come right after the rename.
        with contextlib.suppress(StorageError):
            if made is not None and storage.read_bytes() != data:
                _discard(made)
        raise
    if catalog is not None:
        named = {catalog_name(one.catalog) for one in (old.session, new) if one}
        _clean_up(storage, named)


def _replace(
    storage: Directory,
    old: _Found,
    data: Optional[bytes],
    reserved: Optional[str],
) -> None:
    """Put new bytes in the place of the login, or remove it."""
    path = storage.file(SESSION)
    aside = None
    # Opened first: after the rename nothing but the fsync itself is left to fail.
    directory = _open_directory(storage.location)
    try:
        if data is None:
            os.unlink(path)
        else:
            written = _write_session(storage, data, reserved)
            try:
                if old.damaged:
                    aside = _set_aside(storage)
                os.rename(written, path)
            except BaseException:
                if aside is not None and os.path.lexists(written):
                    _discard(aside)
                if written != reserved:
                    _discard(written)
                raise
        try:
            os.fsync(directory)
        except OSError as error:
            # An answer of the authorization server stays: it cannot be had again.
            if reserved is None and _put_back(storage, old, aside):
                raise
            raise storage.write_error(
                error, "the change is there but may not survive a power cut"
            ) from error
    finally:
        _close(directory)
    if aside is not None:
        with contextlib.suppress(OSError):
            _remove(storage, _CORRUPT, keep=aside)


def _put_back(storage: Directory, old: _Found, aside: Optional[str]) -> bool:
    """Undo a change that may not be on the disk; tell whether that worked."""
    path = storage.file(SESSION)
    try:
        if aside is not None:
            os.rename(aside, path)
        elif old.damaged:
            return False
        elif old.data is None:
            os.unlink(path)
        else:
            _write_to(storage, path, old.data)
    except OSError:
        return False
    return True


def _write_catalog(storage: Directory, catalog: bytes) -> Optional[str]:
    """Write the catalog unless it is there intact; return the path of a new file."""
    digest = digest_of(catalog)
    with contextlib.suppress(StorageError):
        if catalog == storage.read_catalog(digest, 0, len(catalog) + 1):
            _sync(storage.location)  # who wrote it may have died before
            return None
    path = storage.file(catalog_name(digest))
    is_new = not os.path.lexists(path)
    try:
        _write_to(storage, path, catalog)
        # On disk before the session that names it, in whichever order the disk writes.
        _sync(storage.location)
    except BaseException:
        if is_new:
            _discard(path)
        raise
    return path if is_new else None


def _write_session(storage: Directory, data: bytes, reserved: Optional[str]) -> str:
    fd = None if reserved is None else _open_reserved(reserved)
    if reserved is None or fd is None:
        return _write_new(storage, _COMMIT_LEFTOVER, data)
    _write_durably(fd, data)
    return reserved


def _open_reserved(path: str) -> Optional[int]:
    """Open the reserve, unless an earlier update has used it up or it is not ours."""
    with contextlib.suppress(OSError):
        # Without O_TRUNC: that would give the reserved space away.
        return open_sole(path, os.O_WRONLY)
    return None


def _write_to(storage: Directory, path: str, data: bytes) -> None:
    written = _write_new(storage, _COMMIT_LEFTOVER, data)
    try:
        os.rename(written, path)
    except BaseException:
        _discard(written)
        raise


def _write_new(storage: Directory, prefix: str, data: bytes) -> str:
    path = storage.file(f"{prefix}{os.getpid()}-{os.urandom(8).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        _write_durably(os.open(path, flags, 0o600), data)
    except BaseException:
        _discard(path)
        raise
    return path


def _write_durably(fd: int, data: bytes) -> None:
    try:
        os.fchmod(fd, 0o600)  # whatever the umask took away
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.ftruncate(fd, len(data))
        os.fsync(fd)
    finally:
        os.close(fd)


def _set_aside(storage: Directory) -> Optional[str]:
    # A link and not a rename: nobody may see a moment without a login.
    aside = storage.file(time.strftime(f"{_CORRUPT}%Y%m%dT%H%M%SZ", time.gmtime()))
    _discard(aside)
    with contextlib.suppress(FileNotFoundError):  # it could not even be looked up
        os.link(storage.file(SESSION), aside, follow_symlinks=False)
        return aside
    return None


def _note_last_use(
    storage: Directory, old: Optional[Session], new: Optional[Session]
) -> None:
    if old is not None and (new is None or new.catalog != old.catalog):
        with contextlib.suppress(OSError):
            os.utime(storage.file(catalog_name(old.catalog)), follow_symlinks=False)


def is_ours(name: str) -> bool:
    """Tell whether a file in a directory of a login is one that we make.

    Args:
        name: Of the file, without its directory.
    """
    return (
        name == SESSION
        or name.startswith(_CORRUPT)
        or (name.startswith("catalog-") and name.endswith(".jsonl"))
        or any(
            name in (f"{lock}.lock", f"{lock}.holder") or _is_begun(name, lock)
            for lock in LOCKS
        )
    )


def _is_begun(name: str, lock: str) -> bool:
    return name.startswith(f"{lock}-") and name.endswith(".tmp")


def leftovers(storage: Directory, lock: str, now: float) -> List[str]:
    """List the files that nobody uses, if nobody holds the lock.

    Args:
        storage: The directory.
        lock: ``refresh`` for the reserve of a refresher that died, ``commit`` for the
            rest: what writers that died had begun, what was set aside except the
            newest, catalogs out of use.
        now: Seconds since the epoch.

    Returns:
        Their names, in order.

    Raises:
        OSError: The directory cannot be listed.
    """
    names = sorted(os.listdir(storage.location))
    begun = [one for one in names if _is_begun(one, lock)]
    if lock != "commit":
        return begun
    aside = [name for name in names if name.startswith(_CORRUPT)]
    try:
        session = storage.read()
    except StorageError:
        return [*begun, *aside[:-1]]  # nobody knows which catalog it names
    named = set() if session is None else {catalog_name(session.catalog)}
    unnamed = [name for name in names if _is_out_of_use(storage, name, named, now)]
    return [*begun, *aside[:-1], *unnamed]


def remove_leftovers(
    storage: Directory, lock: str, now: float, timeout: float
) -> List[str]:
    """Remove what ``leftovers`` lists, while holding the lock.

    Args:
        storage: The directory.
        lock: As for ``leftovers``.
        now: As for ``leftovers``.
        timeout: Seconds to wait for the lock.

    Returns:
        The names of what was removed.

    Raises:
        LockTimeoutError: Somebody holds the lock too long.
        StorageError: The system refuses.
    """
    storage.check_directory()
    with _typed(storage):
        held = Lock(storage.location, lock, timeout)
        try:
            names = leftovers(storage, lock, now)
            for name in names:
                _unlink(storage.file(name))
            return names
        finally:
            held.release()


def _clean_up(storage: Directory, named: Collection[str]) -> None:
    """Remove catalogs out of use and files of writers that died; both are harmless."""
    with contextlib.suppress(OSError):
        _remove(storage, _COMMIT_LEFTOVER)
        for name in _files_in(storage):
            now, path = time.time(), storage.file(name)
            if _is_out_of_use(storage, name, named, now):
                os.unlink(path)
            elif name.startswith("catalog-") and os.lstat(path).st_mtime > now:
                # By a clock that was ahead: its day begins now.
                os.utime(path, follow_symlinks=False)


def _is_out_of_use(
    storage: Directory, name: str, named: Collection[str], now: float
) -> bool:
    if not name.startswith("catalog-") or not is_ours(name) or name in named:
        return False
    return now - os.lstat(storage.file(name)).st_mtime > KEEP_CATALOG


def _remove(storage: Directory, *prefixes: str, keep: Optional[str] = None) -> None:
    for name in _files_in(storage):
        path = storage.file(name)
        if name.startswith(prefixes) and is_ours(name) and path != keep:
            _unlink(path)


def _files_in(storage: Directory) -> List[str]:
    """List what is no directory: none is ours, and it would only stop the removal."""
    with os.scandir(storage.location) as entries:
        return [
            entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)
        ]


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # its owner was faster
        os.unlink(path)


def _discard(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _sync(directory: str) -> None:
    fd = _open_directory(directory)
    try:
        os.fsync(fd)
    finally:
        _close(fd)


def _open_directory(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _close(fd: int) -> None:
    with contextlib.suppress(OSError):  # nothing was written through it
        os.close(fd)
