"""Catalogs in etcd: pieces of 1 MiB, each compressed for itself.

A request to etcd has 1.5 MiB at most. Pieces are cut before they are compressed, so it
does not matter whose zlib made which, and a part of a catalog is read without the rest.

Beside the pieces stands ``unused/<digest>`` from before the first piece is written until
a session names the catalog, and again from when none does. What has been there for a
day is removed, by who writes a catalog.
"""

from __future__ import annotations

import contextlib
import zlib
from typing import List, Optional, Tuple

from ._catalog import digest_of
from ._deadline import Deadline
from ._errors import StorageError
from ._etcd_client import EtcdClient, OutcomeUnknown
from ._etcd_keys import Payload, after, delete, put, same, there

PIECE = 1 << 20  # bytes, before they are compressed
KEEP = 24 * 3600.0  # seconds since a session named it last
MANY = 64  # out of use, looked at in one go


class EtcdCatalogs:
    """The catalogs under a prefix.

    Args:
        client: Asks the cluster.
        prefix: Of all keys, with a slash at its end.
    """

    def __init__(self, client: EtcdClient, prefix: bytes) -> None:
        self._client = client
        self._prefix = prefix
        self._read_last: Tuple[bytes, bytes] = b"", b""  # a key and its piece

    def read(
        self, digest: str, offset: int, size: int, deadline: Deadline
    ) -> Optional[bytes]:
        """Return up to ``size`` bytes of a catalog, ``None`` if it is gone."""
        parts: List[bytes] = []
        number, begin = divmod(offset, PIECE)
        while size > 0:
            piece = self._piece(digest, number, deadline)
            part = piece[begin : begin + size]
            if not part:
                break
            parts.append(part)
            size -= len(part)
            number, begin = number + 1, 0
            if len(piece) < PIECE:
                break
        if not parts and not self._piece(digest, 0, deadline):
            return None
        return b"".join(parts)

    def write(self, catalog: bytes, now: float, deadline: Deadline) -> None:
        """Write a catalog unless it is there intact; as yet nobody uses it.

        Args:
            catalog: Its bytes.
            now: Seconds since the epoch, by the shared clock.
            deadline: Of the whole call.
        """
        digest = digest_of(catalog)
        self._read_last = b"", b""
        if self.read(digest, 0, len(catalog) + 1, deadline) == catalog:
            return
        self._do([put(self._unused(digest), str(now).encode())], deadline)
        self._do([delete(*self._all(digest))], deadline)
        for number in range(0, -(-len(catalog) // PIECE)):
            piece = catalog[number * PIECE : (number + 1) * PIECE]
            key = self._key(digest, number)
            self._do([put(key, zlib.compress(piece))], deadline)

    def require(self, catalog: bytes) -> List[Payload]:
        """Return what a transaction has to compare, so that a catalog is there."""
        return [there(self._key(digest_of(catalog), 0))]

    def note_use(
        self, old: Optional[str], new: Optional[str], now: float
    ) -> List[Payload]:
        """Return what a transaction has to do so that only unused ones are removed.

        Args:
            old: Digest that a session named until now.
            new: Digest that it names from now on.
            now: Seconds since the epoch, by the shared clock.
        """
        done = [] if new is None else [delete(self._unused(new))]
        if old not in (None, new):
            done.append(put(self._unused(str(old)), str(now).encode()))
        return done

    def clean_up(self, now: float, deadline: Deadline) -> None:
        """Remove what no session has named for a day; it does not matter if that fails."""
        with contextlib.suppress(StorageError):
            unused = self._prefix + b"unused/"
            found = self._client.range(unused, after(unused), deadline, limit=str(MANY))
            for key, stored in found.items():
                if now - _seconds(stored.value) > KEEP:
                    digest = key[len(unused) :].decode(errors="replace")
                    self._remove(digest, key, stored.revision, deadline)

    def _remove(
        self, digest: str, key: bytes, revision: int, deadline: Deadline
    ) -> None:
        with contextlib.suppress(
            OutcomeUnknown
        ):  # it may be done, or the next one does
            self._client.transact(
                [same(key, revision)],
                [delete(key), delete(*self._all(digest))],
                deadline,
            )

    def _do(self, what: List[Payload], deadline: Deadline) -> None:
        self._client.transact([], what, deadline, repeat=True)

    def _piece(self, digest: str, number: int, deadline: Deadline) -> bytes:
        """Return a piece, empty where there is none; damage shows in the digest."""
        key = self._key(digest, number)
        last, piece = self._read_last
        if key == last:
            return piece
        stored = self._client.range(key, key + b"\0", deadline).get(key)
        if stored is None:
            return b""
        with contextlib.suppress(zlib.error):
            piece = zlib.decompressobj().decompress(stored.value, PIECE)
            self._read_last = key, piece
            return piece
        return b""

    def _key(self, digest: str, number: int) -> bytes:
        return self._all(digest)[0] + b"%04d" % number

    def _all(self, digest: str) -> Tuple[bytes, bytes]:
        begin = self._prefix + b"catalog/" + digest.encode() + b"/"
        return begin, after(begin)

    def _unused(self, digest: str) -> bytes:
        return self._prefix + b"unused/" + digest.encode()


def _seconds(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
