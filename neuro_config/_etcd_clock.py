"""The clock that all hosts of a fleet share: that of the cluster, as its answers tell it.

Hosts' clocks differ, and times that one writes down are read by the others. Every answer
of a member has a ``Date``; a host whose clock is further off than that header is rough is
put right by it, and goes on by its own uptime until the next answer.
"""

from __future__ import annotations

import functools
import time
from email.utils import mktime_tz, parsedate_tz
from typing import Optional, Tuple

from ._storage import Clock


class Times:
    """When a member last said what time it is."""

    def __init__(self) -> None:
        self.seen: Optional[Tuple[float, float, float]] = None

    def note(self, date: str, before: float, after: float) -> None:
        """Keep a ``Date``, and when this host's uptime was before and after it."""
        try:
            parsed = parsedate_tz(date)
            if parsed is not None:
                self.seen = float(mktime_tz(parsed)), before, after
        except (ValueError, OverflowError):
            pass

    def shared(self, clock: Clock) -> Clock:
        """Return a host's clock, put right."""
        return functools.partial(_right, self, clock)


def uptime() -> float:
    """Return seconds since this host has started, sleep included where that is known."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _right(times: Times, clock: Clock) -> float:
    now, seen = clock(), times.seen
    if seen is None:
        return now
    date, before, after = seen
    up = uptime()
    # The header has no fractions; within its second this host's own clock may be right.
    return min(max(now, date + up - after), date + 1 + up - before)
