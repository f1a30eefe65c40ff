"""A process that reads a directory again and again while others change it."""

from __future__ import annotations

import hashlib
import json
import os
import select
from typing import List

from neuro_config._errors import DamagedFileError, StorageError
from neuro_config._files import FileStorage
from neuro_config._session import Session, encode

LIMIT = 1 << 24  # bytes of a catalog
NOBODY = "nobody"
DAMAGED = "damaged"


def look(directory: str) -> str:
    """Tell what a reader sees: nobody, damage, or a login and its catalog by digests."""
    storage = FileStorage(directory)
    try:
        session = storage.read()
        if session is None:
            return NOBODY
        catalog = storage.read_catalog(session.catalog, 0, LIMIT)
    except DamagedFileError:
        return DAMAGED
    except StorageError as error:
        return str(error)
    return "no catalog" if catalog is None else seen_as(session, catalog)


def seen_as(session: Session, catalog: bytes) -> str:
    """Tell how ``look`` calls a login."""
    parts = [hashlib.sha256(data).hexdigest() for data in (encode(session), catalog)]
    return " ".join(parts)


class Reader:
    """A forked process that reads until it is asked what it has seen."""

    def __init__(self) -> None:
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        if os.fork() == 0:
            os.close(self._orders)
            _read_on(orders, answers)
            os._exit(0)
        os.close(orders)
        os.close(answers)

    def start(self, directory: str) -> None:
        """Let it read a directory from now on."""
        os.write(self._orders, directory.encode())
        os.read(self._answers, 1)  # it has read once

    def stop(self) -> List[str]:
        """Let it read a last time, and return what it saw, each change once."""
        os.write(self._orders, b".")
        seen: List[str] = json.loads(os.read(self._answers, 1 << 16))
        return seen


def _read_on(orders: int, answers: int) -> None:
    while True:
        directory = os.read(orders, 4096).decode()
        if not directory:
            return
        seen = [look(directory)]
        os.write(answers, b".")
        while not select.select([orders], [], [], 0)[0]:
            _note(seen, look(directory))
        os.read(orders, 1)
        _note(seen, look(directory))
        os.write(answers, json.dumps(seen).encode())


def _note(seen: List[str], now: str) -> None:
    if seen[-1] != now:
        seen.append(now)
