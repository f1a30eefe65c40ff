"""What somebody may have put in the place of a file of ours, and what must not change.

Each planter takes the place and a ``Victims``, whose files nobody may touch.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import stat
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from samples import NOBODY, catalog, session

from neuro_config._session import encode

EVE = session("eve", "evil")
PRECIOUS = b"precious-to-somebody\n"
HANG = 60.0  # seconds; nothing here waits for anybody

_MARKS = ("precious", "access-eve", "refresh-eve", "id-of-eve")


class Victims:
    """Files outside that links lead to.

    Args:
        folder: A folder that is not there yet.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.file = folder / "file"
        self.file.write_bytes(PRECIOUS)
        self.login = folder / "login"
        self.login.write_bytes(encode(EVE))
        self.catalog = folder / "catalog"
        self.catalog.write_bytes(catalog("evil"))
        self.folder = folder / "folder"
        self.folder.mkdir(mode=0o755)
        self.foreign = folder / "foreign"
        self.foreign.write_bytes(encode(EVE))
        self.foreign.chmod(0o666)
        if os.geteuid() == 0:
            os.chown(self.foreign, NOBODY, NOBODY)
        for path in (self.file, self.login, self.catalog):
            path.chmod(0o644)
        for path in folder.iterdir():
            os.utime(path, (1e9, 1e9))
        self._folder = folder
        self._before = self._seen()

    def require_untouched(self, *, times: bool = True) -> None:
        """Content, mode, owner, names and perhaps times are what they were."""
        before, now = self._before, self._seen()
        if not times:  # a file is in use, whichever of its names says so
            before, now = _without_times(before), _without_times(now)
        changed = {
            path for path in {**before, **now} if before.get(path) != now.get(path)
        }
        assert set() == changed
        self._before = self._seen()

    def _seen(self) -> Dict[str, Tuple[Any, ...]]:
        return {str(path): _identity(path) for path in sorted(self._folder.rglob("*"))}


def _identity(path: Path) -> Tuple[Any, ...]:
    found = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(found.st_mode) else b""
    return found.st_mode, found.st_uid, found.st_gid, content, found.st_mtime_ns


def _without_times(seen: Dict[str, Tuple[Any, ...]]) -> Dict[str, Tuple[Any, ...]]:
    return {path: identity[:-1] for path, identity in seen.items()}


Planter = Callable[[Path, Victims], None]


def _socket(place: Path, victims: Victims) -> None:
    here = os.open(".", os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(place.parent)  # a socket's path must be short
        try:
            one.bind(place.name)
        finally:
            os.fchdir(here)
            os.close(here)


def _full_directory(place: Path, victims: Victims) -> None:
    place.mkdir()
    (place / "inside").write_bytes(PRECIOUS)


def _device(major: int, minor: int, kind: int = stat.S_IFCHR) -> Planter:
    def plant(place: Path, victims: Victims) -> None:
        os.mknod(place, 0o666 | kind, os.makedev(major, minor))

    return plant


def _foreign_file(place: Path, victims: Victims) -> None:
    place.write_bytes(encode(EVE))
    place.chmod(0o666)
    os.chown(place, NOBODY, NOBODY)


LINKS: Dict[str, Planter] = {
    "link": lambda place, victims: place.symlink_to(victims.file),
    "link to a login": lambda place, victims: place.symlink_to(victims.login),
    "link to a catalog": lambda place, victims: place.symlink_to(victims.catalog),
    "link to a folder": lambda place, victims: place.symlink_to(victims.folder),
    "dangling link": lambda place, victims: place.symlink_to(
        victims.folder / "missing"
    ),
    "link to a file of somebody's": lambda place, victims: place.symlink_to(
        victims.foreign
    ),
    "link to itself": lambda place, victims: place.symlink_to(place.name),
    "hard link": lambda place, victims: os.link(victims.file, place),
}
OTHERS: Dict[str, Planter] = {
    "fifo": lambda place, victims: os.mkfifo(place),
    "socket": _socket,
    "directory": lambda place, victims: place.mkdir(),
    "full directory": _full_directory,
}
OF_ROOT: Dict[str, Planter] = {
    "hard link to a file of somebody's": lambda place, victims: os.link(
        victims.foreign, place
    ),
    "file of somebody's": _foreign_file,
    "/dev/null": _device(1, 3),
    "/dev/zero": _device(1, 5),
    "/dev/full": _device(1, 7),
    "a terminal": _device(5, 0),
    "no disk": _device(7, 250, stat.S_IFBLK),
}


def planters() -> Dict[str, Planter]:
    """All that can be planted by whoever runs this."""
    more = OF_ROOT if os.geteuid() == 0 else {}
    return {**LINKS, **OTHERS, **more}


def is_directory(kind: str) -> bool:
    """Tell whether a kind is a directory itself."""
    return kind.endswith("directory")


def clear(place: Path) -> None:
    """Make a place free."""
    if place.is_dir() and not place.is_symlink():
        for inside in place.iterdir():
            inside.unlink()
        place.rmdir()
    elif os.path.lexists(place):
        place.unlink()


def says_nothing(*texts: str) -> None:
    """No text tells what is in a file of somebody's."""
    for text in texts:
        assert [] == [mark for mark in _MARKS if mark in text], text


@contextlib.contextmanager
def no_hanging() -> Iterator[None]:
    """End what waits for somebody who never comes."""

    def end(number: int, frame: Optional[FrameType]) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, HANG)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def spread(cases: List[Any], count: int) -> List[Any]:
    """Take so many of the cases from all over, the same ones each time."""
    return random.Random(0).sample(cases, min(count, len(cases)))
