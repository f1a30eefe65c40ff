"""One row out of another tool's SQLite file, read without a trace.

The rules:

- the tool's files are never changed, and nothing is left beside them. SQLite's
  read-only mode does not do: it makes ``-wal`` and ``-shm`` where there are none, and
  writes into a ``-shm``. So a file without a write-ahead log is read as an immutable
  one; a file with one is copied with it into a private folder, and read there;
- neither takes a lock. So what was read counts if the files are afterwards what they
  were before, else they are read again;
- the files may hold anything. Only a real table counts, and only its stored columns;
  nothing of the schema may run; size and time are bounded. No error quotes them;
- all texts are ``SecretBytes``.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
import time
from contextlib import closing
from typing import BinaryIO, Dict, Mapping, Optional, Tuple, Union
from urllib.parse import quote

from ._deadline import Deadline
from ._errors import ImportLoginError
from ._session import SecretBytes

SIZE_LIMIT = 64 << 20  # bytes, of the file and its log; real ones are below 10 MiB
ATTEMPTS = 5
PAUSE = 0.1  # seconds between two attempts
_STEPS = 10_000  # of SQLite's machine between two looks at the clock

ADVICE = "Log in anew here instead."
DAMAGED = f"SQLite cannot read it: it is damaged or something else. {ADVICE}"
NO_LOGIN = f"nobody is logged in there. {ADVICE}"
_TOO_LARGE = f"is larger than {SIZE_LIMIT >> 20} MiB. {ADVICE}"
_TOO_LONG = f"reading it takes too long. {ADVICE}"
_UNDER_CHANGE = "another program keeps changing it. Stop that program, then try again."
_HALF_WRITTEN = (
    "a program was stopped in the middle of a change to it. Run a command of that "
    f"tool, which mends it, then try again. {ADVICE}"
)

Row = Dict[str, Union[SecretBytes, float, None]]
_Files = Tuple[Optional[Tuple[int, ...]], ...]


def read_row(path: str, columns: Mapping[str, str], deadline: Deadline) -> Row:
    """Read the latest row of the table ``main``.

    Args:
        path: The file.
        columns: Names of columns, each with ``TEXT`` or ``REAL``, to which its value
            is cast. The latest row is that with the greatest ``timestamp``.
        deadline: Of the reading.

    Returns:
        The values of those columns that the table has.

    Raises:
        ImportLoginError: There is no such file, table or row, or it cannot be read.
    """
    real_path = os.path.realpath(path)
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE if attempt else 0)
        row: Row = {}
        files, failure = _look(real_path), ""
        try:
            row = _read(real_path, columns, deadline, has_log=files[1] is not None)
        except _UnfitError as error:
            failure = str(error)
        except OSError as error:
            failure = f"cannot be read: {error.strerror}. {ADVICE}"
        except (sqlite3.Error, sqlite3.Warning, ValueError):
            # A ValueError where a message of SQLite's is not UTF-8.
            failure = DAMAGED if deadline.remaining() else _TOO_LONG
        if _look(real_path) != files:
            continue
        if failure:
            raise ImportLoginError(real_path, failure)
        return row
    raise ImportLoginError(real_path, _UNDER_CHANGE)


class _UnfitError(Exception):
    """SQLite reads it, but it holds no login."""


def _look(path: str) -> _Files:
    """Tell file, log and journal by what changes when they do.

    Raises:
        ImportLoginError: They are not to be read.
    """
    found = [_stat(path + suffix) for suffix in ("", "-wal", "-journal")]
    if found[0] is None:
        raise ImportLoginError(path, f"there is no such file. {ADVICE}")
    if sum(each.st_size for each in found if each) > SIZE_LIMIT:
        raise ImportLoginError(path, _TOO_LARGE)
    # A journal is not replayed: it can name any file, and SQLite would remove that.
    if found[2] and found[2].st_size:
        raise ImportLoginError(path, _HALF_WRITTEN)
    # An empty log is as good as none.
    return tuple(
        (each.st_dev, each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns)
        if each and (each.st_size or number == 0)
        else None
        for number, each in enumerate(found)
    )


def _stat(path: str) -> Optional[os.stat_result]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ImportLoginError(
            path, f"cannot be read: {error.strerror}. {ADVICE}"
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise ImportLoginError(path, f"is no regular file. {ADVICE}")
    return found


def _read(
    path: str, columns: Mapping[str, str], deadline: Deadline, *, has_log: bool
) -> Row:
    if not has_log:
        return _query(path, "mode=ro&immutable=1", columns, deadline)
    with tempfile.TemporaryDirectory(prefix="neuro-config-") as folder:
        os.chmod(folder, 0o700)  # whatever the umask took away
        copy = os.path.join(folder, "db")
        for suffix in ("", "-wal"):
            _copy(path + suffix, copy + suffix)
        return _query(copy, "mode=ro", columns, deadline)


def _copy(source: str, target: str) -> None:
    # Non-blocking, because a pipe put there meanwhile would wait for its other end.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with open(os.open(source, flags), "rb") as old, _private(target) as new:
        new.write(old.read(SIZE_LIMIT))


def _private(path: str) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    os.fchmod(fd, 0o600)  # whatever the umask took away
    return open(fd, "wb")


def _query(path: str, mode: str, columns: Mapping[str, str], deadline: Deadline) -> Row:
    uri = f"file://{quote(os.fsencode(path))}?{mode}"
    with closing(sqlite3.connect(uri, uri=True)) as db:
        db.text_factory = SecretBytes
        db.set_progress_handler(lambda: not deadline.remaining(), _STEPS)
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        # A log may claim any number of pages, and with it values of any size.
        pages, size = (_one(db, f"PRAGMA page_{what}") for what in ("count", "size"))
        if pages * size > SIZE_LIMIT:
            raise _UnfitError(_TOO_LARGE)
        # Views and virtual tables have no page of their own.
        if not _one(
            db,
            "SELECT count(*) FROM sqlite_master "
            "WHERE type = 'table' AND name = 'main' AND rootpage > 0",
        ):
            raise _UnfitError(NO_LOGIN)
        # The generated columns are not among them.
        stored = {bytes(each[1]) for each in db.execute("PRAGMA table_info(main)")}
        names = [name for name in columns if name.encode() in stored]
        fields = [f"CAST({name} AS {columns[name]})" for name in names]
        latest = "CAST(timestamp AS REAL) DESC" if "timestamp" in names else "rowid"
        # The whole of one row only: sorting would hold the whole of all.
        words = (
            "SELECT", ", ".join(fields) or "NULL", "FROM main NOT INDEXED",
            "WHERE rowid = (SELECT rowid FROM main NOT INDEXED ORDER BY", latest,
            "LIMIT 1)",
        )  # fmt: skip
        row = db.execute(" ".join(words)).fetchone()
    if row is None:
        raise _UnfitError(NO_LOGIN)
    return dict(zip(names, row))


def _one(db: sqlite3.Connection, sql: str) -> int:
    (value,) = db.execute(sql).fetchone()
    return int(value)
