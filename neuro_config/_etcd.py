"""``EtcdStorage``: the ``Storage`` that is a cluster of etcd, for any number of hosts.

Under the prefix::

    session                  the bytes of session.toml; no such key: nobody is logged in
    commits                  random names of the latest changes, the newest last
    catalog/<digest>/<n>     what the platform offers; never modified
    unused/<digest>          a catalog that no session names, and since when
    refresher                who refreshes, for the length of a lease
    set-aside                a damaged session that a login has replaced

A change is one transaction: if session and commits are as they were read, write both. On
a conflict it is read and decided anew. When an answer does not come, the change may have
been made: its name among the commits tells.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from typing import TYPE_CHECKING, Dict, List, Mapping, NamedTuple, Optional

from ._deadline import Deadline
from ._errors import LockTimeoutError, StorageError, StorageUnavailableError
from ._etcd_catalogs import EtcdCatalogs
from ._etcd_client import EtcdClient, OutcomeUnknown
from ._etcd_keys import NOTHING, Payload, Stored, delete, put, same
from ._etcd_refresher import EtcdRefresher, take
from ._etcd_url import parse_url
from ._session import Session
from ._storage import READ_TIMEOUT, SESSION_LIMIT, Change, Clock, parse, to_bytes

if TYPE_CHECKING:
    from ._etcd_health import Health

COMMITS = 64  # names that are kept
PAUSE = 0.004  # seconds after a conflict, doubling
LONGEST_PAUSE = 0.25  # seconds


class EtcdStorage:
    """A cluster of etcd, shared by any number of hosts; needs the extra ``etcd``.

    Threads may share one. Nothing is sent before it is used.

    Args:
        url: ``etcd+https://user@host1,host2,host3/prefix?ca=FILE``, or ``etcd+http`` for
            this very machine; also ``cert``, ``key`` and ``password_file``. The
            password comes from that file, else from ``$NEUROMATION_CONFIG_PASSWORD``.

    Raises:
        StorageURLError: It is no such URL, or etcd3gw is not installed.
    """

    def __init__(self, url: str) -> None:
        self._client = EtcdClient(parse_url(url))
        self.location = self._client.location
        self._prefix = f"{self._client.url.prefix}/".encode()
        self._session = self._prefix + b"session"
        self._commits = self._prefix + b"commits"
        self._catalogs = EtcdCatalogs(self._client, self._prefix)
        self._changing = threading.local()
        self._now = self.shared_clock(time.time)

    def __repr__(self) -> str:
        return f"<EtcdStorage {self.location}>"

    def shared_clock(self, clock: Clock) -> Clock:
        """Return the cluster's clock, as far as its answers have told it."""
        return self._client.shared_clock(clock)

    def read(self, timeout: float = READ_TIMEOUT) -> Optional[Session]:
        """Return the stored login, ``None`` for nobody.

        Raises:
            StorageUnavailableError: The cluster does not answer.
            StorageError: It refuses, or what it has is damaged.
        """
        stored = self._find(Deadline(timeout)).session
        return self._parse(stored) if stored.revision else None

    def read_catalog(
        self, digest: str, offset: int, size: int, timeout: float = READ_TIMEOUT
    ) -> Optional[bytes]:
        """Return up to ``size`` bytes of a catalog, ``None`` if it is gone."""
        # What a change reads has no more time than the change.
        deadline = getattr(self._changing, "deadline", None) or Deadline(timeout)
        return self._catalogs.read(digest, offset, size, deadline)

    def update(
        self,
        change: Change,
        timeout: float,
        *,
        catalog: Optional[bytes] = None,
        replace: bool = False,
    ) -> Optional[Session]:
        """Read, change and commit, again if somebody was faster; see ``Storage.update``.

        Raises:
            StorageUnavailableError: The cluster does not answer; the text says whether
                the change may have been made.
            StorageError: It refuses, or what it has is damaged; nothing was changed.
        """
        deadline = Deadline(timeout)
        sent: Dict[bytes, Optional[Session]] = {}
        found, tries = _Found(NOTHING, NOTHING), 0
        while True:
            base, found = found, self._found_again(found, sent, deadline)
            done = sent.keys() & set(found.names)
            if done:
                return sent[done.pop()]
            if found.commits != base.commits:
                sent.clear()  # it compares the commits, so it is refused by now
            old, is_damaged = self._old(found, replace)
            new = self._changed(change, old, deadline)
            if catalog is None and new == old and not is_damaged:
                return new
            if catalog is not None:
                self._catalogs.write(catalog, self._now(), deadline)
            name = secrets.token_hex(8).encode()
            sent[name] = new
            try:
                if self._commit(found, name, old, new, catalog, is_damaged, deadline):
                    if catalog is not None:
                        self._catalogs.clean_up(self._now(), deadline)
                    return new
                del sent[name]
            except OutcomeUnknown:
                pass
            tries += 1
            self._pause(tries, deadline)
            if not sent and not deadline.remaining():
                raise LockTimeoutError(
                    self.location, "others, which were faster", deadline.seconds
                )

    def sole_refresher(self, timeout: float, *, wait: bool = True) -> EtcdRefresher:
        """Become the one who may refresh; see ``Storage.sole_refresher``.

        Raises:
            LockTimeoutError: Somebody else is at it.
            StorageError: The cluster does not answer, or refuses.
        """
        key = self._prefix + b"refresher"
        return take(self, self._client, key, Deadline(timeout), wait=wait)

    def describe(self, timeout: float) -> Mapping[str, str]:
        """Say how the cluster is; see ``Storage.describe``."""
        from ._etcd_health import in_words

        return in_words(self.health(timeout))

    def health(self, timeout: float) -> Health:
        """Ask the members how they are; whoever does not answer is part of that."""
        from ._etcd_health import health_of

        key = self._prefix + b"refresher"
        return health_of(self._client, key, Deadline(timeout))

    # ----------------------------------------------------------------- machinery

    def _find(self, deadline: Deadline) -> _Found:
        found = self._client.range(self._commits, self._session + b"\0", deadline)
        return _Found(
            found.get(self._session, NOTHING), found.get(self._commits, NOTHING)
        )

    def _found_again(
        self, base: _Found, sent: Mapping[bytes, object], deadline: Deadline
    ) -> _Found:
        """Read; what was sent and is not among the commits then was surely not made.

        Args:
            base: What was read before that.
            sent: The names of changes whose outcome is not known.
            deadline: Of the whole call.
        """
        try:
            found = self._find(deadline)
        except StorageUnavailableError as error:
            if not sent:
                raise
            raise self._unknown(error.reason) from None
        if sent and not sent.keys() & set(found.names) and not found.follows(base):
            raise self._unknown("too much has been changed since.")
        return found

    def _unknown(self, reason: str) -> StorageUnavailableError:
        return StorageUnavailableError(
            self.location,
            f"it is not known whether the change was made: {reason} Look at what is "
            "stored before you try again.",
        )

    def _parse(self, stored: Stored) -> Session:
        return parse(stored.value, f"{self.location}/session")

    def _old(self, found: _Found, replace: bool) -> _Old:
        if not found.session.revision:
            return _Old(None, False)
        try:
            return _Old(self._parse(found.session), False)
        except StorageError:
            if not replace:
                raise
            return _Old(None, True)

    def _changed(
        self, change: Change, old: Optional[Session], deadline: Deadline
    ) -> Optional[Session]:
        self._changing.deadline = deadline
        try:
            return change(old)
        finally:
            self._changing.deadline = None

    def _commit(
        self,
        found: _Found,
        name: bytes,
        old: Optional[Session],
        new: Optional[Session],
        catalog: Optional[bytes],
        is_damaged: bool,
        deadline: Deadline,
    ) -> bool:
        aside = self._prefix + b"set-aside"
        compare = [
            same(self._session, found.session.revision),
            same(self._commits, found.commits.revision),
        ]
        success: List[Payload] = [
            put(self._commits, b"\n".join([*found.names, name][-COMMITS:])),
            *self._catalogs.note_use(
                None if old is None else old.catalog,
                None if new is None else new.catalog,
                self._now(),
            ),
        ]
        if catalog is not None:
            compare += self._catalogs.require(catalog)
        if new is None:
            success += [delete(self._session), delete(aside)]
        else:
            success.append(put(self._session, to_bytes(new, self.location)))
            if is_damaged:
                success.append(put(aside, found.session.value[:SESSION_LIMIT]))
        return self._client.transact(compare, success, deadline)

    def _pause(self, tries: int, deadline: Deadline) -> None:
        longest = min(PAUSE * 2.0 ** min(tries, 10), LONGEST_PAUSE)
        time.sleep(min(random.uniform(0, longest), deadline.remaining()))  # noqa: S311


class _Found(NamedTuple):
    session: Stored
    commits: Stored

    @property
    def names(self) -> List[bytes]:
        """The names of the latest changes."""
        return self.commits.value.split()

    def follows(self, base: _Found) -> bool:
        """Whether the names tell all that has been changed since."""
        if base.names:
            return base.names[-1] in self.names
        return len(self.names) < COMMITS


class _Old(NamedTuple):
    session: Optional[Session]
    is_damaged: bool
