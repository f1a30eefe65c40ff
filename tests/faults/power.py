"""A model of a disk that may lose its power: what is on it for sure, and what may be.

A change of a directory is on the disk when that directory has been forced there
(``fsync``), the bytes of a file when the file has. Until then each change may be there
or not, in any combination, which is more than any file system in use allows itself; of
bytes there may be the old ones, the new ones or half of the new ones.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from events import Event

MOST = 10  # changes that are unsure at one moment
IGNORED = (".lock", ".holder")

# Of a directory: name to the number of a file or of a directory.
Names = Dict[str, int]
Tree = Dict[str, Optional[bytes]]  # path to bytes, ``None`` for a directory


class _Change(NamedTuple):
    """A change of one directory: names that are set to a file, or removed."""

    directory: int
    names: Tuple[Tuple[str, Optional[int]], ...]


class Disk:
    """A folder of which all is on the disk for sure, at first.

    Args:
        before: A copy of the folder as it was.
        root: Where it is, by the paths of the events.
    """

    def __init__(self, before: Path, root: Path) -> None:
        self.root = root
        self._numbers = itertools.count(1)
        self._bytes: Dict[int, bytes] = {}  # of files, as they are now
        self._sure: Dict[int, bytes] = {}  # of files, as they are on the disk
        self._offset: Dict[int, int] = {}
        self._now: Dict[int, Names] = {}  # of directories
        self._durable: Dict[int, Names] = {}
        self._pending: List[_Change] = []
        self._top = self._load(before)

    def _load(self, path: Path) -> int:
        number = next(self._numbers)
        if path.is_dir():
            names = {one.name: self._load(one) for one in path.iterdir()}
            self._now[number], self._durable[number] = names, dict(names)
        else:
            self._bytes[number] = self._sure[number] = path.read_bytes()
        return number

    def apply(self, event: Event) -> None:
        """Make the change of a call that was made, as far as it is one."""
        path = self._inside(event.path)
        if path is None or event.path.endswith(IGNORED):
            return
        number = self._find(path)
        directory, name = self._find(os.path.dirname(path)), os.path.basename(path)
        if event.name in ("fsync", "fdatasync") and number is not None:
            self._force(number)
        elif event.name == "write" and number is not None:
            self._write(number, event.written)
        elif event.name == "ftruncate" and number is not None:
            self._bytes[number] = self._bytes[number][: event.number]
        elif event.name == "openat" and number is not None:
            self._offset[number] = 0
            if event.number & os.O_TRUNC:
                self._bytes[number] = b""
        elif directory is None:
            return
        elif event.name == "openat" and event.number & os.O_CREAT:
            self._change(directory, (name, self._new_file()))
        elif event.name == "mkdir" and number is None:
            self._change(directory, (name, self._new_directory()))
        elif event.name == "unlink" and number is not None:
            self._change(directory, (name, None))
        elif event.name in ("link", "linkat") and number is not None:
            self._change(directory, (os.path.basename(event.target), number))
        elif event.name == "rename" and number is not None:
            target = os.path.basename(event.target)
            self._change(directory, (target, number), (name, None))

    def states(self) -> Iterator[Tree]:
        """What may be found after a power cut at this moment, each state once."""
        seen: Set[Tuple[Tuple[str, Optional[bytes]], ...]] = set()
        assert len(self._pending) <= MOST
        for chosen in itertools.product((True, False), repeat=len(self._pending)):
            names = {number: dict(found) for number, found in self._durable.items()}
            for change in itertools.compress(self._pending, chosen):
                _make(names[change.directory], change)
            for tree in self._trees(names):
                key = tuple(sorted(tree.items()))
                if key not in seen:
                    seen.add(key)
                    yield tree

    def _trees(self, names: Dict[int, Names]) -> Iterator[Tree]:
        """All contents that the files of these directories may have."""
        found = dict(_walk(names, self._top, ""))
        files = [
            (path, number) for path, number in found.items() if number not in names
        ]
        unsure = [self._versions(number) for _, number in files]
        for contents in itertools.product(*unsure):
            tree: Tree = dict.fromkeys(found)
            tree.update({path: data for (path, _), data in zip(files, contents)})
            yield tree

    def _versions(self, number: int) -> List[bytes]:
        now, sure = self._bytes[number], self._sure[number]
        return [sure] if now == sure else [now, sure, now[: len(now) // 2]]

    def _inside(self, path: str) -> Optional[str]:
        relative = os.path.relpath(path, self.root)
        return None if relative.startswith("..") else relative

    def _find(self, path: str) -> Optional[int]:
        number = self._top
        for name in path.split("/") if path not in ("", ".") else ():
            found = self._now.get(number, {}).get(name)
            if found is None:
                return None
            number = found
        return number

    def _new_file(self) -> int:
        number = next(self._numbers)
        self._bytes[number] = self._sure[number] = b""
        self._offset[number] = 0
        return number

    def _new_directory(self) -> int:
        number = next(self._numbers)
        self._now[number], self._durable[number] = {}, {}
        return number

    def _change(self, directory: int, *names: Tuple[str, Optional[int]]) -> None:
        change = _Change(directory, names)
        self._pending.append(change)
        _make(self._now[directory], change)

    def _write(self, number: int, data: bytes) -> None:
        old, start = self._bytes[number], self._offset[number]
        end = start + len(data)
        self._bytes[number] = old[:start].ljust(start, b"\0") + data + old[end:]
        self._offset[number] = end

    def _force(self, number: int) -> None:
        if number in self._bytes:
            self._sure[number] = self._bytes[number]
            return
        self._durable[number] = dict(self._now[number])
        self._pending = [one for one in self._pending if one.directory != number]


def _make(names: Names, change: _Change) -> None:
    for name, number in change.names:
        if number is None:
            names.pop(name, None)
        else:
            names[name] = number


def _walk(
    names: Dict[int, Names], directory: int, prefix: str
) -> Iterator[Tuple[str, int]]:
    for name, number in names[directory].items():
        path = f"{prefix}{name}"
        yield path, number
        if number in names:
            yield from _walk(names, number, f"{path}/")


def rebuild(tree: Tree, folder: Path) -> None:
    """Write what was found after a power cut into a new folder."""
    folder.mkdir()
    for path, data in sorted(tree.items(), key=lambda item: item[0].count("/")):
        if data is None:
            (folder / path).mkdir(mode=0o700)
        else:
            (folder / path).write_bytes(data)
