"""``MemoryStorage``: a login that lives and dies with the process.

For a passed configuration on a read-only home, and for tests.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
import weakref
from typing import Dict, Mapping, Optional

from ._catalog import digest_of
from ._errors import LockTimeoutError
from ._session import Session
from ._storage import READ_TIMEOUT, Change, Clock


class MemoryStorage:
    """One login in memory, shared by the threads of this process.

    A forked child goes on with a copy of its own.
    """

    def __init__(self) -> None:
        self.location = f"memory-{next(_numbers)}"
        self._session: Optional[Session] = None
        self._catalogs: Dict[str, bytes] = {}
        self._make_locks()
        _storages.add(self)

    def shared_clock(self, clock: Clock) -> Clock:
        """Return the process's own clock."""
        return clock

    def read(self, timeout: float = READ_TIMEOUT) -> Optional[Session]:
        """Return the login, ``None`` for nobody."""
        return self._session

    def update(
        self,
        change: Change,
        timeout: float,
        *,
        catalog: Optional[bytes] = None,
        replace: bool = False,
    ) -> Optional[Session]:
        """Apply a change; see ``Storage.update``.

        Raises:
            LockTimeoutError: Another thread is at it for longer than ``timeout``.
        """
        lock = self._commit
        self._acquire(lock, timeout)
        try:
            old = self._session
            new = change(old)
            if catalog is not None:
                # The last one stays, for whoever still looks at the last session.
                last = "" if old is None else old.catalog
                kept = {
                    key: self._catalogs[key] for key in self._catalogs.keys() & {last}
                }
                self._catalogs = {**kept, digest_of(catalog): catalog}
            self._session = new
            return new
        finally:
            lock.release()

    def read_catalog(
        self, digest: str, offset: int, size: int, timeout: float = READ_TIMEOUT
    ) -> Optional[bytes]:
        """Return up to ``size`` bytes of a catalog, ``None`` if it is gone."""
        catalog = self._catalogs.get(digest)
        return None if catalog is None else catalog[offset : offset + size]

    def sole_refresher(self, timeout: float, *, wait: bool = True) -> MemoryRefresher:
        """Wait to become the only one who may refresh.

        Raises:
            LockTimeoutError: Another thread is at it for longer than ``timeout``.
        """
        lock = self._refresh
        self._acquire(lock, timeout if wait else 0.0)
        return MemoryRefresher(self, lock)

    def describe(self, timeout: float) -> Mapping[str, str]:
        """Say nothing."""
        return {}

    def _acquire(self, lock: threading.Lock, timeout: float) -> None:
        seconds = max(timeout, 0.0)
        if not lock.acquire(timeout=seconds):
            raise LockTimeoutError(self.location, "another thread", seconds)

    def _make_locks(self) -> None:
        self._commit = threading.Lock()
        self._refresh = threading.Lock()


class MemoryRefresher:
    """The right to refresh; see ``Refresher``."""

    def __init__(self, storage: MemoryStorage, lock: threading.Lock) -> None:
        self._storage = storage
        self._lock: Optional[threading.Lock] = lock

    @property
    def held(self) -> bool:
        """Whether this process still holds the right; a forked child does not."""
        return self._lock is self._storage._refresh

    def remaining(self) -> float:
        """Return infinity: the right has no end of its own."""
        return math.inf

    def reserve(self) -> None:
        """Do nothing: memory needs no reserve."""

    def update(self, change: Change, timeout: float) -> Optional[Session]:
        """Apply a change."""
        return self._storage.update(change, timeout)

    def release(self) -> None:
        """Let the next one in; again is harmless."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


_numbers = itertools.count(1)
_storages: weakref.WeakSet[MemoryStorage] = weakref.WeakSet()


def _drop_inherited() -> None:
    for storage in list(_storages):
        # Those who held the locks do not exist in a child.
        storage._make_locks()


os.register_at_fork(after_in_child=_drop_inherited)
