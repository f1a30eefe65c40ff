"""What is disturbed: one change of a directory each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Optional

import attrs
from samples import catalog, session

from neuro_config._deadline import Deadline
from neuro_config._directory import SESSION
from neuro_config._files import FileStorage
from neuro_config._refresh import renew
from neuro_config._session import Choice, Session

WAIT = 5.0  # seconds
NOW = 1.55e9  # the tokens of the samples are valid

ANN = session("ann", "first")
BOB = session("bob", "second")
SWITCHED = attrs.evolve(ANN, choice=Choice("other"))
FETCHED = attrs.evolve(ANN, catalog=BOB.catalog)
REFRESHED = attrs.evolve(
    ANN, token=attrs.evolve(ANN.token, access_token="new", refresh_token="newer")
)
DAMAGED = b"# damaged\n"


def prepare(directory: Path, scenario: str) -> None:
    """Make the directory as it is before a scenario."""
    if scenario == "first_login":
        return
    FileStorage(directory).update(lambda old: ANN, WAIT, catalog=catalog("first"))
    (directory / "refresh.lock").touch(mode=0o600)
    if scenario == "adopt":
        FileStorage(directory).update(lambda old: REFRESHED, WAIT)
    if scenario.endswith("damaged"):
        (directory / SESSION).write_bytes(DAMAGED)


def first_login(storage: FileStorage) -> None:
    storage.update(lambda old: BOB, WAIT, catalog=catalog("second"), replace=True)


def fetch(storage: FileStorage) -> None:
    storage.update(lambda old: FETCHED, WAIT, catalog=catalog("second"))


def switch(storage: FileStorage) -> None:
    storage.update(lambda old: SWITCHED, WAIT)


def logout(storage: FileStorage) -> None:
    storage.update(lambda old: None, WAIT, replace=True)


def refresh(storage: FileStorage) -> None:
    refresher = storage.sole_refresher(WAIT)
    try:
        refresher.reserve()
        refresher.update(lambda old: REFRESHED, WAIT)
    finally:
        refresher.release()


def adopt(storage: FileStorage) -> None:
    """Ask for another token than the one that ``ANN`` has; it is on the disk."""
    client: Any = None  # nothing is sent
    renew(storage, client, lambda: NOW, ANN, doing="adopt", deadline=Deadline(WAIT))


def read(storage: FileStorage) -> None:
    storage.read()


SCENARIOS: Dict[str, Callable[[FileStorage], None]] = {
    "first_login": first_login,
    "login": first_login,
    "login_damaged": first_login,
    "fetch": fetch,
    "switch": switch,
    "logout": logout,
    "logout_damaged": logout,
    "refresh": refresh,
    "read": read,
    "adopt": adopt,
}

AFTER: Dict[str, Optional[Session]] = {
    "first_login": BOB,
    "login": BOB,
    "login_damaged": BOB,
    "fetch": FETCHED,
    "switch": SWITCHED,
    "logout": None,
    "logout_damaged": None,
    "refresh": REFRESHED,
}
