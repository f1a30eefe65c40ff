"""The project's own file: where it is, and the three names in it.

The file is ``.apolo.toml`` or ``.neuro.toml``; in one folder the first one wins and is
the only one read. It is searched from the current folder up to the root. The marker is
a regular file or a link to one: anything else of that name is passed over, because a
folder called ``.neuro.toml`` says nothing about a project.

A process that only wants a token comes through here. Therefore nothing of weight is
imported, no plugin is loaded, nothing but the three names is looked at, and a wrong file
is an error only for those who ask for the names.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, Dict, Mapping, NamedTuple, Optional, Union

import tomli

from . import _toml
from ._errors import ProjectRootNotFoundError, UserConfigError
from ._session import Choice

if TYPE_CHECKING:
    import pathlib

LOCAL_NAMES = (".apolo.toml", ".neuro.toml")
MAX_SIZE = 1 << 20

StrPath = Union[str, "os.PathLike[str]"]


class LocalChoice(NamedTuple):
    """What the nearest local file says about cluster, org and project.

    Args:
        path: The local file, or ``None`` where there is none.
        choice: The names in it; all ``None`` if ``error`` is set.
        error: What is wrong with the file, for whoever asks for the names to raise.
    """

    path: Optional[str] = None
    choice: Choice = Choice()
    error: Optional[UserConfigError] = None


def find_project_root(path: Optional[StrPath] = None) -> pathlib.Path:
    """Find the nearest folder that has a local configuration file.

    Args:
        path: Where the search begins, the current directory by default. A relative path
            counts from the current directory; from a file or from something that does
            not exist the search goes on in the folder above it.

    Returns:
        The folder, absolute; links in ``path`` are kept as they are.

    Raises:
        ProjectRootNotFoundError: The search has reached the root, or the current
            directory has been deleted.
    """
    import pathlib

    found = find_local_file(path)
    if found is None:
        raise ProjectRootNotFoundError(
            _absolute(path) or os.curdir, "no local configuration file was found"
        )
    return pathlib.Path(found).parent


def find_local_file(start: Optional[StrPath] = None) -> Optional[str]:
    """Find the nearest local configuration file.

    Args:
        start: Where the search begins, as in ``find_project_root``.

    Returns:
        Its absolute path, or ``None`` where no folder up to the root has one.
    """
    folder = _absolute(start)
    while folder is not None:
        # By hand: whoever opens a store or switches passes each folder up to the root.
        folder = folder.rstrip("/")
        for name in LOCAL_NAMES:
            path = f"{folder}/{name}"
            # A folder that we may not look into has no file for us: isfile() is False.
            if os.path.isfile(path):
                return path
        folder = folder.rpartition("/")[0] if folder else None
    return None


def read_local_choice(start: Optional[StrPath] = None) -> LocalChoice:
    """Read the names that the nearest local file chooses; never fail for a wrong file.

    Args:
        start: Where the search begins, as in ``find_project_root``.

    Returns:
        The names, or the error to be raised when somebody asks for them.
    """
    path = find_local_file(start)
    if path is None:
        return LocalChoice()
    try:
        choice = choice_in(path, read_toml(path) or {})
    except UserConfigError as error:
        # A new one: the caught one would keep alive, through its traceback, what was read.
        return LocalChoice(
            path, error=UserConfigError(error.path, error.reason, error.key)
        )
    return LocalChoice(path, choice)


def choice_in(path: str, table: Mapping[str, Any]) -> Choice:
    """Pick the three names out of a local file.

    Args:
        path: The file, for errors.
        table: What it holds; only ``job`` is looked at.

    Returns:
        The names; ``None`` for those that are not there.

    Raises:
        UserConfigError: ``job`` is no table, or a name is no string or empty.
    """
    job = table.get("job", {})
    if not isinstance(job, dict):
        raise UserConfigError(path, "must be a table.", "job")
    for key in ("cluster-name", "org-name", "project-name"):
        name = job.get(key, "default")
        if not isinstance(name, str) or not name:
            raise UserConfigError(
                path,
                "must be a name in quotes, and not an empty one. Remove the line to "
                "keep what was chosen with a switch.",
                f"job.{key}",
            )
    return Choice(job.get("cluster-name"), job.get("org-name"), job.get("project-name"))


def read_toml(path: str) -> Optional[Dict[str, Any]]:
    """Read one TOML file of the user's.

    Args:
        path: The file; it may be a link and may be readable by others.

    Returns:
        What it holds, or ``None`` if it does not exist.

    Raises:
        UserConfigError: Anything else than a readable regular file of at most
            ``MAX_SIZE`` bytes that holds TOML in UTF-8.
    """
    data = read_file(path)
    return None if data is None else parse_toml(path, data)


def read_file(path: str) -> Optional[bytes]:
    """Read the bytes of one file of the user's.

    Args:
        path: The file; it may be a link and may be readable by others.

    Returns:
        Its bytes, or ``None`` if it does not exist.

    Raises:
        UserConfigError: Anything else than a readable regular file of at most
            ``MAX_SIZE`` bytes.
    """
    try:
        return _read_bytes(path)
    except FileNotFoundError:
        if os.path.islink(path):
            raise UserConfigError(
                path, "is a link to something that does not exist. Mend or remove it."
            ) from None
        return None
    except OSError as error:
        raise UserConfigError(path, f"cannot be read: {error.strerror}.") from None


def _absolute(path: Optional[StrPath]) -> Optional[str]:
    try:
        return os.getcwd() if path is None else os.path.abspath(path)
    except OSError:
        # The current directory has been deleted: it is nobody's project any more.
        return None


def _read_bytes(path: str) -> bytes:
    # Non-blocking, because a pipe of that name would wait for its other end forever.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise UserConfigError(path, "is a folder where a file must be.")
        if not stat.S_ISREG(mode):
            raise UserConfigError(path, "is a pipe or a device where a file must be.")
        data = b""
        while len(data) <= MAX_SIZE:
            chunk = os.read(fd, 1 << 16)
            if not chunk:
                return data
            data += chunk
    finally:
        os.close(fd)
    raise UserConfigError(path, f"is larger than {MAX_SIZE >> 20} MiB.")


def parse_toml(path: str, data: bytes) -> Dict[str, Any]:
    """Read TOML.

    Args:
        path: The file, for errors.
        data: Its bytes.

    Returns:
        What it holds.

    Raises:
        UserConfigError: It is no TOML in UTF-8; tells where.
    """
    if data.startswith(b"\xef\xbb\xbf"):
        raise UserConfigError(
            path, "begins with a byte order mark (BOM). Save it as UTF-8 without one."
        )
    try:
        return _toml.loads(data.decode())
    except UnicodeDecodeError as error:
        place = _end(data[: error.start].decode())
        reason = f"is not UTF-8 at {place}. Save it as UTF-8."
    except tomli.TOMLDecodeError as error:
        reason = f"is not TOML: {_clipped(_placed(str(error), data.decode()))}."
    except RecursionError:
        reason = "is nested too deeply."
    except ValueError:
        # The one other thing that the parser lets through: Python's bound for digits.
        reason = "holds an integer with too many digits."
    raise UserConfigError(path, reason)


def _placed(message: str, document: str) -> str:
    # The one place that the parser does not count: where the document ends.
    end = "(at end of document)"
    if not message.endswith(end):
        return message
    # The last line is the last that has something, not the empty one behind it.
    last = document.rstrip("\r\n")
    return f"{message[: -len(end)]}(at {_end(last)})"


def _end(text: str) -> str:
    # As the parser counts: both from 1, in characters.
    line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    return f"line {line}, column {column}"


def _clipped(text: str) -> str:
    # The parser may quote a key of any length; the position is at the end.
    return text if len(text) <= 200 else f"{text[:100]}...{text[-60:]}"
