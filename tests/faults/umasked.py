"""All that makes files, done in forked children under any umask, perhaps under strace.

A request is a name of ``WORKS``, a umask in octal and an empty folder. The answer is JSON:
the modes of everything that is in the folder afterwards, and what went wrong.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import signal
import socket
import sqlite3
import stat
import sys
import tempfile
import time
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Callable, Dict, List

import attrs
import jwt
from samples import NOBODY, as_line, session

from neuro_config import ConfigStore
from neuro_config._catalog import digest_of, encode
from neuro_config._commit import remove_leftovers
from neuro_config._doctor import CHECKS, Examined, Patient, mend
from neuro_config._files import FileStorage
from neuro_config._payload import ServerConfig
from neuro_config._session import Choice

PR_SET_PTRACER = 0x59616D61
PR_SET_PTRACER_ANY = -1
WAIT = 5.0  # seconds

CLUSTER: Dict[str, Any] = {
    "name": "default",
    "registry_url": "https://registry.example",
    "storage_url": "https://storage.example",
    "blob_storage_url": "https://blob.example",
    "users_url": "https://users.example",
    "monitoring_url": "https://monitoring.example",
    "secrets_url": "https://secrets.example",
    "disks_url": "https://disks.example",
    "buckets_url": "https://buckets.example",
    "resource_presets": [],
    "orgs": ["acme"],
}
CATALOG = encode(
    ServerConfig(authorized=True, clusters=(as_line(CLUSTER),)),
    "https://api.example/api/v1",
)
OTHER = encode(ServerConfig(authorized=True), "https://api.example/api/v1")
ANN = session("ann", catalog=digest_of(CATALOG), choice=Choice("default", "acme"))
BOB = session("bob", catalog=digest_of(OTHER))
TOKEN = jwt.encode({"identity": "ann"}, "k" * 32)


def log_in(folder: Path) -> FileStorage:
    """Log in at ``folder/a/b``, of which nothing is there."""
    storage = FileStorage(folder / "a" / "b")
    storage.update(lambda old: ANN, WAIT, catalog=CATALOG, replace=True)
    return storage


def everything(folder: Path) -> None:
    """Log in, fetch, refresh, set damage aside, clean up, log out."""
    storage = log_in(folder)
    refresher = storage.sole_refresher(WAIT)
    refresher.reserve()
    note_modes(folder)  # while the reserve is there
    refresher.update(lambda old: ANN, WAIT)
    refresher.release()
    fetched = attrs.evolve(ANN, catalog=BOB.catalog)
    storage.update(lambda old: fetched, WAIT, catalog=OTHER)
    os.truncate(storage.file("session.toml"), 9)
    storage.update(lambda old: BOB, WAIT, catalog=OTHER, replace=True)
    for lock in ("commit", "refresh"):
        remove_leftovers(storage, lock, time.time(), WAIT)
    note_modes(folder)
    os.chmod(storage.file("session.toml"), 0o400)
    patient = Patient(storage, "", plugins=())
    mend([Examined("files", finding) for finding in CHECKS["files"].run(patient)])
    note_modes(folder)
    storage.update(lambda old: None, WAIT, replace=True)


def import_login(folder: Path) -> None:
    """Take over a tool's login, whose log is to be copied."""
    with private_copies_in(folder):
        ConfigStore(folder / "store").import_login(TOOL)


@contextlib.contextmanager
def private_copies_in(folder: Path) -> Any:
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def commands(folder: Path) -> None:
    """Run all commands that write something of the user's."""
    log_in(folder)
    at = ["--path", str(folder / "a" / "b")]
    docker = ["--config", str(folder / "docker")]
    run("docker", "install", *docker, *at)
    run("docker", "uninstall", *docker, *at)
    run("user-config", "set", "job.life-span", "1d", *at)
    run("user-config", "unset", "job.life-span", *at)
    run("status", *at)


def completions(folder: Path) -> None:
    """Ask for what the shells' completion needs, which is printed and not written."""
    log_in(folder)
    for shell in ("bash", "zsh", "fish"):
        os.environ["_NEURO_CONFIG_COMPLETE"] = f"{shell}_source"
        try:
            run()
        finally:
            del os.environ["_NEURO_CONFIG_COMPLETE"]


def run(*arguments: str) -> None:
    from neuro_config._cli import main

    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with redirect_stdout(said), redirect_stderr(said):
        try:
            main([*arguments], prog_name="neuro-config")
        except SystemExit as ended:
            if ended.code:
                said.seek(0)
                raise AssertionError(f"{arguments}: {said.read()}") from None


WORKS: Dict[str, Callable[[Path], None]] = {
    "everything": everything,
    "import": import_login,
    "commands": commands,
    "completions": completions,
}

TOOL = ""  # the file of another tool, made once
_seen: Dict[str, List[int]] = {}


def note_modes(folder: Path) -> None:
    """Write down which modes there are at this moment."""
    for path in folder.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        _seen.setdefault(str(path.relative_to(folder)), []).append(mode)


def make_tool_login(folder: str) -> str:
    path = os.path.join(folder, "db")
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE main (token TEXT, url TEXT, clusters TEXT)")
    row = TOKEN, "https://api.example/api/v1", json.dumps([CLUSTER])
    db.execute("INSERT INTO main VALUES (?, ?, ?)", row)
    db.commit()
    kept.append(db)  # closing it would take the log away
    return path


kept: List[Any] = []


def work(name: str, umask: int, folder: Path) -> Dict[str, Any]:
    """Do the work of one request."""
    if os.geteuid() == 0:  # whom no mode stops that a umask has made
        os.chown(folder, NOBODY, NOBODY)
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    os.environ["HOME"] = str(folder)
    os.umask(umask)
    failure = ""
    try:
        WORKS[name](folder)
    except BaseException as error:
        failure = f"{type(error).__name__}: {error}"
    note_modes(folder)
    return {"modes": _seen, "failure": failure}


def serve(connection: socket.socket) -> None:
    """Answer requests until the other end is closed."""
    global TOOL
    os.umask(0o022)
    libc = ctypes.CDLL(None)
    with tempfile.TemporaryDirectory() as shared:
        os.chmod(shared, 0o755)
        TOOL = make_tool_login(shared)
        for file in os.listdir(shared):
            os.chmod(os.path.join(shared, file), 0o666)
        with tempfile.TemporaryDirectory() as warm:  # nothing is imported later on
            os.environ["HOME"] = warm
            for name in WORKS:
                folder = Path(warm, name)
                folder.mkdir()
                WORKS[name](folder)
        _seen.clear()
        while True:
            request = connection.recv(4096).decode().split()
            if not request:
                return
            child = os.fork()
            if child == 0:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                # Where Yama guards processes only a parent may trace, unless one agrees.
                libc.prctl(PR_SET_PTRACER, ctypes.c_ulong(PR_SET_PTRACER_ANY), 0, 0, 0)
                connection.send(b"%d" % os.getpid())
                connection.recv(16)  # go
                found = work(request[0], int(request[1], 8), Path(request[2]))
                connection.send(json.dumps(found).encode())
                os._exit(0)
            os.waitpid(child, 0)


if __name__ == "__main__":
    with closing(socket.socket(fileno=int(sys.argv[1]))) as channel:
        serve(channel)
