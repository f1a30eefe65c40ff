"""A point in time by which a whole call has to end."""

from __future__ import annotations

import time

LONGEST = 86400.0  # seconds; the system's timers overflow


class Deadline:
    """A point in time by which a whole call has to end.

    Args:
        seconds: From now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = min(seconds, LONGEST)
        self._end = time.monotonic() + self.seconds

    def remaining(self) -> float:
        """Return the seconds that are left, never less than 0."""
        return max(0.0, self._end - time.monotonic())

    def overdue(self) -> float:
        """Return the seconds since it passed, never less than 0."""
        return max(0.0, time.monotonic() - self._end)
