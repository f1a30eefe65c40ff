"""What is run under ``strace``: one change of a directory each, and the zygote."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import attrs
from samples import catalog, session

from neuro_config._directory import SESSION
from neuro_config._files import FileStorage
from neuro_config._session import Choice, Session

PR_SET_PTRACER = 0x59616D61
PR_SET_PTRACER_ANY = -1
WAIT = 5.0  # seconds

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


def _run(scenario: str, storage: FileStorage) -> Dict[str, Any]:
    try:
        SCENARIOS[scenario](storage)
    except BaseException as error:
        bases = [base.__name__ for base in type(error).__mro__]
        return {"error": bases[0], "bases": bases, "text": str(error)}
    return {"error": None, "bases": [], "text": ""}


def _serve(connection: socket.socket) -> None:
    with tempfile.TemporaryDirectory() as warm:  # nothing is imported later on
        for scenario in SCENARIOS:
            prepare(Path(warm) / scenario, scenario)
            _run(scenario, FileStorage(os.path.join(warm, scenario)))
    libc = ctypes.CDLL(None)
    gc.disable()
    while True:
        request = connection.recv(4096).split()
        if not request:
            return
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            storage = FileStorage(request[1].decode())
            # Where Yama guards processes only a parent may trace, unless one agrees.
            libc.prctl(PR_SET_PTRACER, ctypes.c_ulong(PR_SET_PTRACER_ANY), 0, 0, 0)
            connection.send(b"%d" % os.getpid())  # from now on all calls are counted
            connection.recv(16)  # go
            outcome = _run(request[0].decode(), storage)
            connection.send(json.dumps({"died": False, **outcome}).encode())
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            connection.send(b'{"died": true, "error": null, "bases": [], "text": ""}')


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
