"""The seam: what the store needs of a place that keeps a login.

A directory of files stands behind it, a distributed engine can, and neither knows
the other.
"""

from __future__ import annotations

from typing import Callable, Optional

from ._session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:  # the class itself would cost the token path time for nothing
    from typing import Protocol
else:
    Protocol = object

Change = Callable[[Optional[Session]], Optional[Session]]


class Refresher(Protocol):
    """The right to send a refresh, held by one at a time."""

    def reserve(self) -> None:
        """Set aside the space that the answer's ``update`` will need."""

    def update(self, change: Change, timeout: float) -> Optional[Session]:
        """Do what ``Storage.update`` does, in the reserved space."""

    def release(self) -> None:
        """Let the next one in; again is harmless."""

    @property
    def held(self) -> bool:
        """Whether this process still holds the right (a forked child does not)."""


class Storage(Protocol):
    """What the store needs of a place that keeps a login.

    ``location`` names the place for people.
    """

    location: str

    def read(self) -> Optional[Session]:
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
            timeout: Seconds to wait for others.
            catalog: The bytes of the catalog that the new session names; written
                first unless they are there intact.
            replace: Whether ``change`` gets ``None`` for a login that cannot be read.

        Returns:
            What is stored now.
        """

    def read_catalog(self, digest: str, offset: int, size: int) -> Optional[bytes]:
        """Return up to ``size`` bytes of a catalog, ``None`` if it is gone."""

    def sole_refresher(self, timeout: float) -> Refresher:
        """Wait up to ``timeout`` seconds to become the only one who may refresh."""
