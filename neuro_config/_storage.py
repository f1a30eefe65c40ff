"""The seam: what the store needs of a place that keeps a login.

A directory of files stands behind it, a distributed engine can, and neither knows
the other.
"""

from __future__ import annotations

from typing import Callable, Mapping, Optional

from ._session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:  # the class itself would cost the token path time for nothing
    from typing import Protocol
else:
    Protocol = object

Change = Callable[[Optional[Session]], Optional[Session]]
Clock = Callable[[], float]

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
