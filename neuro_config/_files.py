"""``FileStorage``: the ``Storage`` that is a directory.

Its writing half is loaded when something is written.
"""

from __future__ import annotations

from typing import Mapping, Optional

from ._directory import Directory
from ._session import Session
from ._storage import Change, Refresher


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
