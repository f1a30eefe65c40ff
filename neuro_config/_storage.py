"""The seam: what the store needs of a place that keeps a login.

A directory of files stands behind it, a distributed engine can, and neither knows
the other.
"""

from __future__ import annotations

from errno import EINVAL
from typing import Callable, Mapping, Optional

from ._errors import (
    DamagedFileError,
    NewerSchemaError,
    StorageError,
    StorageWriteError,
)
from ._session import NewerSchema, SecretBytes, Session, Unreadable, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:  # the class itself would cost the token path time for nothing
    from typing import Protocol
else:
    Protocol = object

Change = Callable[[Optional[Session]], Optional[Session]]
Clock = Callable[[], float]

SESSION_LIMIT = 1 << 20  # bytes; ours are about 3 KB
READ_TIMEOUT = 10.0  # seconds, of a read that belongs to no call with a deadline


class Refresher(Protocol):
    """The right to send a refresh, held by one at a time."""

    def reserve(self) -> None:
        """Set aside the space that the answer's ``update`` will need."""

    def update(self, change: Change, timeout: float) -> Optional[Session]:
        """Do what ``Storage.update`` does, in the reserved space."""

    def release(self) -> None:
        """Let the next one in; again is harmless."""

    def remaining(self) -> float:
        """Return the seconds for which nobody else surely gets the right."""

    @property
    def held(self) -> bool:
        """Whether an answer is this process's to save (a forked child's is not)."""


class Storage(Protocol):
    """What the store needs of a place that keeps a login.

    ``location`` names the place for people. A ``timeout`` is the seconds that a whole
    call may take, waiting for others and for a network included; what lies on a local
    disk waits for others only.
    """

    location: str

    def shared_clock(self, clock: Clock) -> Clock:
        """Return the one clock of all who use the place, made of this host's.

        Args:
            clock: Returns seconds since the epoch.
        """

    def read(self, timeout: float = READ_TIMEOUT) -> Optional[Session]:
        """Return the stored login, ``None`` for nobody."""

    def update(
        self,
        change: Change,
        timeout: float,
        *,
        catalog: Optional[bytes] = None,
        replace: bool = False,
    ) -> Optional[Session]:
        """Read the newest login, apply ``change``, commit.

        Args:
            change: A pure function from what is stored to what shall be; it may run
                again, and an error it raises leaves everything as it was.
            timeout: Seconds that it may take.
            catalog: The bytes of the catalog that the new session names; written
                first unless they are there intact.
            replace: Whether ``change`` gets ``None`` for a login that cannot be read.

        Returns:
            What is stored now.
        """

    def read_catalog(
        self, digest: str, offset: int, size: int, timeout: float = READ_TIMEOUT
    ) -> Optional[bytes]:
        """Return up to ``size`` bytes of a catalog, ``None`` if it is gone."""

    def sole_refresher(self, timeout: float, *, wait: bool = True) -> Refresher:
        """Become the one who may refresh; who sends is decided by the mark.

        Args:
            timeout: Seconds that it may take.
            wait: Whether to wait for somebody who is at it.
        """

    def describe(self, timeout: float) -> Mapping[str, str]:
        """Say what there is to say of the place, in words by heading; may be nothing."""


def parse(data: bytes, path: str) -> Session:
    """Read a login from the bytes in which every storage keeps it.

    Args:
        data: What is stored.
        path: Where, for errors.

    Raises:
        DamagedFileError: They are no login.
        NewerSchemaError: A newer version wrote them.
    """
    data = SecretBytes(data)
    if not data or len(data) > SESSION_LIMIT:
        reason = "is too big to be ours" if data else "is empty"
        raise DamagedFileError(path, f"{reason}. {_MEND_SESSION}")
    failure: StorageError
    try:
        return decode(data)
    except Unreadable as error:
        failure = DamagedFileError(path, f"{error}. {_MEND_SESSION}")
    except NewerSchema as error:
        failure = NewerSchemaError(
            path, f"{error}. Update neuro_config here, or log in again."
        )
    raise failure  # out here, away from the parser, which holds what it has read


def to_bytes(session: Session, location: str) -> bytes:
    """Write a login to bytes that ``parse`` reads back to the same, or refuse it.

    Args:
        session: The login.
        location: Where it is to be stored, for errors.

    Raises:
        StorageWriteError: It holds a value that could not be read again.
    """
    try:
        data = encode(session)
        if len(data) <= SESSION_LIMIT and decode(data) == session:
            return data
    except ValueError:  # what came in a text or a number; it may be secret
        pass
    raise StorageWriteError(
        location,
        "nothing was changed: the new login holds a value that could not be read again.",
        EINVAL,
    )


_MEND_SESSION = (
    "Log in again: that sets this file aside under another name, so nothing is lost."
)
