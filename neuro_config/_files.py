"""``FileStorage``: the ``Storage`` that is a directory; and what a path or a URL opens.

Its writing half is loaded when something is written, and what a URL needs when there is
one.
"""

from __future__ import annotations

import os
from typing import Mapping, NamedTuple, Optional, Union

from ._directory import HOME, PLACE, Directory
from ._session import Session
from ._storage import Change, Refresher, Storage


class FileStorage(Directory):
    """A private directory on a local disk, shared by any number of processes.

    Args:
        path: The directory; else ``$NEUROMATION_CONFIG``, else ``~/.neuro``. It is
            resolved once, and made when something is written.

    Raises:
        UnsafePathError: It begins with ``~``, and there is no such home directory.
        UnsupportedSystemError: Not a POSIX system.
    """

    def update(
        self,
        change: Change,
        timeout: float,
        *,
        catalog: Optional[bytes] = None,
        replace: bool = False,
    ) -> Optional[Session]:
        """Read, change and commit under the lock; see ``Storage.update``.

        Raises:
            LockTimeoutError: Somebody holds the lock too long.
            StorageError: It cannot be read or written; the old state stands.
        """
        from ._commit import update

        return update(self, change, timeout, catalog=catalog, replace=replace)

    def sole_refresher(self, timeout: float, *, wait: bool = True) -> Refresher:
        """Become the only one who may refresh; see ``Storage.sole_refresher``.

        Raises:
            LockTimeoutError: Somebody else is at it for longer than ``timeout``.
            StorageError: The lock cannot be taken.
        """
        from ._commit import FileRefresher

        return FileRefresher(self, timeout if wait else 0.0)

    def describe(self, timeout: float) -> Mapping[str, str]:
        """Say nothing: the location of a directory says it all."""
        return {}


class Opened(NamedTuple):
    """What a path or a URL names.

    Args:
        storage: Where the login is.
        directory: Where the user's own files are.
    """

    storage: Storage
    directory: Directory


def open_storage(path: Union[str, os.PathLike[str], None] = None) -> Opened:
    """Open what a path or a URL names; nothing is read yet.

    Args:
        path: A directory or the URL of a storage; else ``$NEUROMATION_CONFIG``, else
            ``~/.neuro``, where the user's own files are in the case of a URL, too.

    Raises:
        StorageURLError: It names no storage that can be used here.
        UnsafePathError, UnsupportedSystemError: As ``FileStorage``.
    """
    place = os.fspath(path or os.environ.get(PLACE) or HOME)
    if "://" not in place and not place.startswith("etcd+"):
        directory = FileStorage(place)
        return Opened(directory, directory)
    from ._etcd import EtcdStorage

    return Opened(EtcdStorage(place), Directory(HOME))
