"""The directory of a login, and how it is read: without a lock, writing nothing.

In the directory (0700, ours alone)::

    session.toml             the login; replaced by one atomic rename
    catalog-<digest>.jsonl   what the platform offers; never modified
    user.toml                the user's own
    *.lock                   the kernel's lock and a hint about its holder; never deleted
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Optional, Union

from ._errors import (
    StorageError,
    StorageReadError,
    StorageWriteError,
    UnsafePathError,
    UnsupportedSystemError,
)
from ._session import SecretBytes, Session
from ._storage import READ_TIMEOUT, SESSION_LIMIT, Clock, parse

SESSION = "session.toml"
PLACE = "NEUROMATION_CONFIG"  # the variable that names the directory, or a URL
HOME = "~/.neuro"

ADVICE = {
    errno.ENOSPC: "no space is left. Free some, then try again.",
    errno.EDQUOT: "your disk quota is used up. Free some space, then try again.",
    errno.EROFS: "the file system is read-only.",
    errno.EACCES: "permission denied. Check the owner and the mode of the directory.",
    errno.EPERM: "not permitted. Check the owner and the attributes of the file.",
    errno.EMFILE: "this process has too many open files.",
    errno.ENFILE: "this machine has too many open files.",
    errno.EIO: "the disk reports an input/output error.",
}


class Directory:
    """A private directory on a local disk; what is written there is ``_commit``'s.

    Args:
        path: The directory; else ``$NEUROMATION_CONFIG``, else ``~/.neuro``. It is
            resolved once, and made when something is written.

    Raises:
        UnsafePathError: It begins with ``~``, and there is no such home directory.
        UnsupportedSystemError: Not a POSIX system.
    """

    def __init__(
        self, path: Union[str, os.PathLike[str], None] = None, *, system: str = os.name
    ) -> None:
        given = path or os.environ.get(PLACE) or HOME
        expanded = os.path.expanduser(given)
        self.location = os.path.realpath(expanded)
        if expanded.startswith("~"):
            # It would be taken for a directory of that name in the current one.
            raise UnsafePathError(
                expanded,
                "the home directory is not known. Set HOME, or choose a directory "
                "(NEUROMATION_CONFIG).",
            )
        if system != "posix":
            raise UnsupportedSystemError(
                self.location, "file locks and modes need a POSIX system."
            )

    def file(self, name: str) -> str:
        """Return the path of a file in the directory."""
        return os.path.join(self.location, name)

    def shared_clock(self, clock: Clock) -> Clock:
        """Return the host's own clock: a directory serves one host."""
        return clock

    def read(self, timeout: float = READ_TIMEOUT) -> Optional[Session]:
        """Return the stored login, ``None`` for nobody.

        Raises:
            StorageError: The directory or the file is unsafe, damaged, of a newer
                schema, or the system refuses to read it.
        """
        data = self.read_bytes()
        return None if data is None else self.parse(data)

    def read_bytes(self) -> Optional[bytes]:
        """Return the bytes of the stored login, ``None`` where there is no file."""
        data = self._read(SESSION, 0, SESSION_LIMIT + 1)
        return None if data is None else SecretBytes(data)

    def parse(self, data: bytes) -> Session:
        """Read a login from the bytes of its file.

        Raises:
            DamagedFileError: They are no login.
            NewerSchemaError: A newer version wrote them.
        """
        return parse(data, self.file(SESSION))

    def read_catalog(
        self, digest: str, offset: int, size: int, timeout: float = READ_TIMEOUT
    ) -> Optional[bytes]:
        """Return up to ``size`` bytes of a catalog, ``None`` if it is gone."""
        return self._read(catalog_name(digest), offset, size)

    def check_directory(self) -> bool:
        """Tell whether the directory is there, and refuse one that is not ours alone.

        Raises:
            UnsafePathError: Others can write it, or somebody else owns it.
        """
        try:
            # It was resolved once: a link there has come since, and leads elsewhere.
            found = os.lstat(self.location)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self.read_error(error, "") from error
        if not stat.S_ISDIR(found.st_mode):
            raise UnsafePathError(
                self.location, "is not a directory. Move it away, or choose another."
            )
        if found.st_uid != os.geteuid():
            raise UnsafePathError(
                self.location,
                f"belongs to the user id {found.st_uid}, you are {os.geteuid()}. "
                "Choose a directory of your own (NEUROMATION_CONFIG), or change its "
                "owner.",
            )
        if found.st_mode & 0o022:
            raise UnsafePathError(
                self.location,
                "can be written by others. If they are trusted no more than that, "
                f"check what is in it, then: chmod 700 {self.location}",
            )
        return True

    def read_error(self, error: OSError, name: str) -> StorageError:
        """Make a typed error of the system's refusal to read."""
        path = self.file(name) if name else self.location
        if error.errno == errno.ELOOP:
            return UnsafePathError(
                path, "is a symbolic link, which is never followed. Remove it."
            )
        return StorageReadError(path, f"cannot be read: {_advice(error)}")

    def write_error(
        self, error: OSError, outcome: str = "nothing was changed"
    ) -> StorageWriteError:
        """Make a typed error of the system's refusal to write."""
        return StorageWriteError(
            self.location, f"{outcome}: {_advice(error)}", error.errno
        )

    def _read(self, name: str, offset: int, size: int) -> Optional[bytes]:
        if not self.check_directory():
            return None
        # O_NONBLOCK: a planted FIFO must not hang us.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = os.open(self.file(name), flags)
            try:
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                    raise UnsafePathError(
                        self.file(name),
                        "is not a file of yours. Move it away, then log in again.",
                    )
                return _read_all(fd, offset, size)
            finally:
                os.close(fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.read_error(error, name) from error


def has_one_name(found: os.stat_result) -> bool:
    """Tell whether something is a file of ours that no other name leads to."""
    is_file = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
    return is_file and found.st_uid == os.geteuid()


def open_sole(path: str, flags: int) -> int:
    """Open a file of ours that no other name leads to, or make it.

    Args:
        path: The file; its last part is not followed if it is a link.
        flags: ``os.O_RDONLY`` and its like, with ``os.O_CREAT`` to make it.

    Returns:
        The file descriptor.

    Raises:
        OSError: ``EPERM`` if something else is in its place.
    """
    safe = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    fd = os.open(path, flags | safe, 0o600)
    try:
        # Only now: opened, nobody can put something else in its place.
        if not has_one_name(os.fstat(fd)):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    except BaseException:
        os.close(fd)
        raise
    return fd


def catalog_name(digest: str) -> str:
    """Name the file of a catalog."""
    return f"catalog-{digest}.jsonl"


def _read_all(fd: int, offset: int, size: int) -> bytes:
    parts = []
    while size > 0:
        part = os.pread(fd, size, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        size -= len(part)
    return b"".join(parts)


def _advice(error: OSError) -> str:
    return ADVICE.get(error.errno or 0, f"{error.strerror}.")
