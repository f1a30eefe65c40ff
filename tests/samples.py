"""Logins, catalogs and users for the tests of the storage."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Set, Tuple

import attrs

import neuro_config
from neuro_config._catalog import digest_of
from neuro_config._cluster_line import ClusterLine, line_of
from neuro_config._session import AuthConfig, Choice, Session, Token

NOBODY = 65534
WAIT = 30.0  # seconds that nothing here should take


def catalog(name: str, lines: int = 3) -> bytes:
    """The bytes of a catalog that is told apart by a name."""
    body = b"".join(b'{"name":"%d"}\n' % number for number in range(lines))
    return b'{"schema":1,"name":"%s"}\n' % name.encode() + body


def as_line(raw: Dict[str, Any]) -> ClusterLine:
    """A cluster as a fetch hands it on, unchecked."""
    return line_of(raw, tuple(raw.get("orgs") or [None]))


def raw_of(line: ClusterLine) -> Any:
    """The platform's object of a cluster."""
    return json.loads(bytes(line.text))


def session(name: str, catalog_name: str = "first", **changes: Any) -> Session:
    """A login of a user, as a browser makes one."""
    made = Session(
        login_id=f"id-of-{name}",
        username=name,
        api_url="https://api.example/api/v1",
        token=Token(f"access-{name}", 1.5e9, 1.6e9, f"refresh-{name}"),
        catalog=digest_of(catalog(catalog_name)),
        choice=Choice("default", None, "0"),
        auth=AuthConfig("https://a.example", "https://t.example", "client"),
    )
    return attrs.evolve(made, **changes)


def names_in(directory: Path) -> Set[str]:
    """The names in a directory, locks left out."""
    return {
        name
        for name in os.listdir(directory)
        if not name.endswith((".lock", ".holder"))
    }


def identity(path: Path) -> Tuple[int, int]:
    """Tell one version of a file from another, whatever it holds."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def import_path() -> str:
    """Where a child finds what this process has imported."""
    root = str(Path(neuro_config.__file__).parents[1])
    return os.pathsep.join([root, os.path.dirname(__file__), *filter(None, sys.path)])


def environment() -> Dict[str, str]:
    """The environment of a child in which ``neuro_config`` and this can be imported."""
    return {**os.environ, "PYTHONPATH": import_path()}


def python(code: str, *arguments: str) -> List[str]:
    """The command that runs code in a new process."""
    return [sys.executable, "-W", "error", "-c", code, *arguments]


@contextlib.contextmanager
def started(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run code in a new process, which is gone afterwards."""
    process = subprocess.Popen(
        python(code, *arguments),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def in_child(work: Callable[[], bool]) -> bool:
    """Whether work in a forked child returns true."""
    child = os.fork()
    if child == 0:
        good = False
        try:
            good = work()
        finally:
            _save_coverage()
            os._exit(0 if good else 1)
    return os.waitpid(child, 0) == (child, 0)


def _save_coverage() -> None:
    with contextlib.suppress(ImportError):
        import coverage

        current = coverage.Coverage.current()
        if current is not None:
            current.stop()
            current.save()


@contextlib.contextmanager
def folder_of_ordinary_user() -> Iterator[Path]:
    """A folder of ours, and no privileges of root over it, even if we are root."""
    with tempfile.TemporaryDirectory() as name:
        is_root = os.geteuid() == 0
        if is_root:
            os.chown(name, NOBODY, -1)
            os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            if is_root:
                os.seteuid(0)
            os.chmod(name, 0o700)


def folder_of_somebody_else(folder: Path) -> Path:
    """A folder that belongs to another user id than ours."""
    if os.geteuid() != 0:
        return Path("/usr")
    os.chown(folder, NOBODY, -1)
    return folder
