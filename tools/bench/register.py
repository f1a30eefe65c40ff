"""Whether acknowledged writes of one value survived, judged by what was read.

A write is ``(start, end, value)``, a read as well. A read contradicts a write that
had ended before the read began if it shows a value whose every write had ended before
that one began: the write is lost.
"""

from __future__ import annotations

from typing import List, NamedTuple, Set


class Access(NamedTuple):
    """One write or read, its times in seconds on one clock."""

    start: float
    end: float
    value: str


def lost(writes: List[Access], reads: List[Access]) -> int:
    """Count the writes that a read contradicts.

    Args:
        writes: Those that were acknowledged.
        reads: What was seen, by anybody.
    """
    contradicted: Set[Access] = set()
    for read in reads:
        before = [write for write in writes if write.end < read.start]
        if not before:
            continue  # what was there first is nobody's write
        newest = max(before, key=lambda write: write.start)
        explained = any(
            write.value == read.value
            and write.start <= read.end
            and write.end >= newest.start
            for write in writes
        )
        if not explained:
            contradicted.add(newest)
    return len(contradicted)
