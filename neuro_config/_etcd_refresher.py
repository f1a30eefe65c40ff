"""The right to refresh, as a key in etcd that lives as long as a lease.

Who waits looks at the key, which is cheap, and tries to make it when it is gone: a lease
in a queue would grow old there. The lease is short, is not renewed and is given back
early: who dies or freezes with it keeps the others for its length only (a new leader of
the cluster begins it anew). So it can end before its holder knows. Who may send is
decided elsewhere, by the mark.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import time
from typing import Any, Dict, Optional

from ._deadline import Deadline
from ._errors import LockTimeoutError, StorageError, StorageUnavailableError
from ._etcd_client import EtcdClient, LeaseGone, OutcomeUnknown
from ._etcd_keys import NOTHING, put, same
from ._session import Session
from ._storage import Change, Storage

LEASE = 10  # seconds
MARGIN = 1.0  # seconds before its end in which nothing is begun
PAUSE = 0.03  # seconds between two looks at first
LONGEST_PAUSE = 0.3  # seconds; it grows up to this
RELEASE = 1.0  # seconds to give a lease back; it ends by itself


class EtcdRefresher:
    """The right to refresh; see ``Refresher``.

    Args:
        storage: What it is the right for.
        client: Asks the cluster.
        lease: Its number.
        end: When it surely is not over, by the monotonic clock.
    """

    def __init__(
        self, storage: Storage, client: EtcdClient, lease: str, end: float
    ) -> None:
        self._storage = storage
        self._client = client
        self._lease = lease
        self._end = end
        self._pid: Optional[int] = os.getpid()

    @property
    def held(self) -> bool:
        """Whether this process has it, or had it when it sent; a forked child has not."""
        return self._pid == os.getpid()

    def remaining(self) -> float:
        """Return the seconds for which nobody else surely gets the right."""
        return max(0.0, self._end - MARGIN - time.monotonic())

    def reserve(self) -> None:
        """Do nothing: the mark proves that the cluster takes a commit."""

    def update(self, change: Change, timeout: float) -> Optional[Session]:
        """Apply a change."""
        return self._storage.update(change, timeout)

    def release(self) -> None:
        """Give the lease back; again is harmless, and so is a failure."""
        if self.held:
            self._pid = None
            give_back(self._client, self._lease)


def take(
    storage: Storage, client: EtcdClient, key: bytes, deadline: Deadline, *, wait: bool
) -> EtcdRefresher:
    """Become the one who may refresh; see ``Storage.sole_refresher``.

    Raises:
        LockTimeoutError: Somebody else is at it, until the deadline.
        StorageError: The cluster is away, or refuses.
    """
    begun, pause, holder = time.monotonic(), PAUSE, NOTHING
    while True:
        try:
            found = client.range(key, key + b"\0", deadline).get(key)
        except StorageUnavailableError:
            if holder == NOTHING or deadline.remaining():
                raise
            found = holder  # no time was left to look again
        if found is None:
            taken = _try(storage, client, key, deadline)
            if taken is not None:
                return taken
        holder = found or NOTHING
        if not wait or not deadline.remaining():
            waited = time.monotonic() - begun
            who = describe(holder.value)
            raise LockTimeoutError(f"{client.location}/refresher", who, waited)
        time.sleep(min(pause * random.uniform(0.5, 1), deadline.remaining()))  # noqa: S311
        pause = min(1.5 * pause, LONGEST_PAUSE)


def _try(
    storage: Storage, client: EtcdClient, key: bytes, deadline: Deadline
) -> Optional[EtcdRefresher]:
    end = time.monotonic() + LEASE
    # Granting twice is harmless: the other lease ends by itself.
    answer = client.ask("lease/grant", {"TTL": LEASE, "ID": 0}, deadline, writes=True)
    lease = str(answer.get("ID"))
    hint = {
        "id": secrets.token_hex(8),
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "since": time.time(),
    }
    value = json.dumps(hint).encode()
    is_mine = False
    try:
        with contextlib.suppress(LeaseGone):
            try:
                is_mine = client.transact(
                    [same(key, 0)], [put(key, value, lease)], deadline
                )
            except OutcomeUnknown:
                stored = client.range(key, key + b"\0", deadline).get(key)
                is_mine = stored is not None and stored.value == value
    finally:
        if not is_mine:
            give_back(client, lease)
    return EtcdRefresher(storage, client, lease, end) if is_mine else None


def give_back(client: EtcdClient, lease: str) -> None:
    """End a lease before its time, if that can be done quickly."""
    with contextlib.suppress(LeaseGone, StorageError, OutcomeUnknown):
        client.ask("lease/revoke", {"ID": lease}, Deadline(RELEASE), writes=True)


def describe(value: bytes) -> str:
    """Say in words who holds the right and since when, as far as is known."""
    hint: Dict[str, Any] = {}
    with contextlib.suppress(ValueError, RecursionError):
        hint = json.loads(value)
    if not isinstance(hint, dict) or type(hint.get("pid")) is not int:
        return "another process or host"
    who = f"process {hint['pid']} on {hint.get('host')!r}"
    with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError, OSError):
        since = time.gmtime(hint["since"])
        who += time.strftime(" since %Y-%m-%d %H:%M:%S UTC", since)
    return who
