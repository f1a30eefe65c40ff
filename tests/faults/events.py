"""What the system calls of a child do to files, read from its registers and memory."""

from __future__ import annotations

import base64
import os
import zlib
from typing import Callable, List, NamedTuple, Optional

FIRST, SECOND, THIRD, FOURTH = 14 * 8, 13 * 8, 12 * 8, 7 * 8  # rdi, rsi, rdx, r10
PATH_LIMIT = 4096


class Event(NamedTuple):
    """A call that changes files, or forces a change to the disk.

    Args:
        name: Of the call.
        path: Of the file or directory.
        target: The new path, of a rename or a link.
        number: The flags of an open, the length of a truncation.
        data: What is written, zlib in base64.
        mode: Of a new file or directory, or a changed one.
    """

    name: str
    path: str
    target: str = ""
    number: int = 0
    data: str = ""
    mode: int = 0

    @property
    def written(self) -> bytes:
        """What is written."""
        return zlib.decompress(base64.b64decode(self.data))


def event_of(thread: int, name: str, register: Callable[[int], int]) -> Optional[Event]:
    """Tell what the call does that a child is about to make."""
    if name in ("mkdir", "chmod", "unlink", "rmdir"):
        return Event(name, _text(thread, register(FIRST)), mode=register(SECOND))
    if name == "fchmod":
        return Event(name, _file(thread, register(FIRST)), mode=register(SECOND))
    if name == "openat":
        path = _text(thread, register(SECOND))
        return Event(name, path, number=register(THIRD), mode=register(FOURTH))
    if name in ("rename", "link", "symlink"):
        target = _text(thread, register(SECOND))
        return Event(name, _text(thread, register(FIRST)), target)
    if name == "linkat":
        target = _text(thread, register(FOURTH))
        return Event(name, _text(thread, register(SECOND)), target)
    if name in ("fsync", "fdatasync"):
        return Event(name, _file(thread, register(FIRST)))
    if name == "ftruncate":
        return Event(name, _file(thread, register(FIRST)), number=register(SECOND))
    if name == "write":
        data = _memory(thread, register(SECOND), register(THIRD))
        packed = base64.b64encode(zlib.compress(data)).decode()
        return Event(name, _file(thread, register(FIRST)), data=packed)
    return None


def events_from(rows: List[List[object]]) -> List[Event]:
    """Read what came as JSON."""
    return [Event(*row) for row in rows]  # type: ignore[arg-type]


def _file(thread: int, fd: int) -> str:
    return os.readlink(f"/proc/{thread}/fd/{fd}")


def _text(thread: int, address: int) -> str:
    return _memory(thread, address, PATH_LIMIT).partition(b"\0")[0].decode()


def _memory(thread: int, address: int, size: int) -> bytes:
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        data = b""
        # Page by page: what follows a text may belong to nobody.
        while len(data) < size:
            memory.seek(address + len(data))
            page = 4096 - (address + len(data)) % 4096
            try:
                data += memory.read(min(page, size - len(data)))
            except OSError:
                break
            if size == PATH_LIMIT and b"\0" in data:
                break
        return data
