"""Run the command line: in this process, and as a user does."""

from __future__ import annotations

import io
import json
import os
import pty
import sqlite3
import subprocess
import sys
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import attrs
import pytest

from neuro_config._cli import main

ROOT = Path(__file__).parents[1]


@attrs.frozen
class Result:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What was printed, as JSON."""
        return json.loads(self.out)


class Stream(io.TextIOWrapper):
    """A standard stream; perhaps one at which somebody looks."""

    looked_at = False

    def isatty(self) -> bool:
        return self.looked_at


def stream(text: str = "", *, looked_at: bool = False) -> Stream:
    """Make one that holds a text."""
    made = Stream(io.BytesIO(text.encode()), encoding="utf-8", write_through=True)
    made.looked_at = looked_at
    return made


def run(
    *arguments: object, given: Optional[str] = None, looked_at: bool = False
) -> Result:
    """Run a command in this process.

    Args:
        arguments: As on a command line.
        given: What comes from the standard input; ``None`` leaves it alone.
        looked_at: Whether all streams are a terminal.
    """
    out, err = stream(looked_at=looked_at), stream(looked_at=looked_at)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(
        err
    ):
        if given is not None:
            patch.setattr("sys.stdin", stream(given, looked_at=looked_at))
        with pytest.raises(SystemExit) as ended:
            main([str(one) for one in arguments], prog_name="neuro-config")
    texts = []
    for each in (out, err):
        each.seek(0)
        texts.append(each.read())
    return Result(int(ended.value.code or 0), *texts)


def ok(*arguments: object, **options: Any) -> str:
    """Run a command that succeeds in silence, and return what it prints."""
    result = run(*arguments, **options)
    assert Result(0, result.out, "") == result
    return result.out


def command(*arguments: object) -> List[str]:
    """Return the command line of a process that is the command."""
    return [sys.executable, "-m", "neuro_config", *map(str, arguments)]


def environment(**changes: str) -> Dict[str, str]:
    """Return the environment of a process that finds this package."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def spawn(
    *arguments: object, given: Optional[str] = None, env: Mapping[str, str] = {}
) -> Result:
    """Run a command as a process, whose streams are pipes."""
    done = subprocess.run(
        command(*arguments),
        env=environment(**env),
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@attrs.define
class Terminal:
    """A process in a terminal of 80 columns.

    Args:
        process: Whatever runs there.
        fd: The end of the terminal at which a person sits.
    """

    process: subprocess.Popen[bytes]
    fd: int
    seen: str = ""

    @classmethod
    def start(cls, arguments: List[str], **env: str) -> Terminal:
        """Start a process in a new terminal."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            arguments,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env=environment(**{"COLUMNS": "80", "LINES": "24", "TERM": "xterm", **env}),
        )
        os.close(theirs)
        return cls(process, ours)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        """See to it that the process is gone."""
        self.process.kill()
        self.process.wait()

    def send(self, keys: str) -> None:
        """Press keys."""
        os.write(self.fd, keys.encode())

    def wait_for(self, text: str) -> None:
        """Read until the terminal has shown a text."""
        while text not in self.seen:
            self.seen += os.read(self.fd, 1 << 16).decode(errors="replace")

    def end(self) -> Result:
        """Wait for the end, and return everything that was shown."""
        while True:
            try:
                self.seen += os.read(self.fd, 1 << 16).decode(errors="replace")
            except OSError:  # Linux's way to say that the other end is closed
                break
        os.close(self.fd)
        return Result(self.process.wait(), self.seen.replace("\r\n", "\n"), "")


def make_tool_login(folder: Path, token: str, url: object) -> Path:
    """Write the file of a ``neuro`` command-line tool that is logged in."""
    folder.mkdir()
    path = folder / "db"
    with closing(sqlite3.connect(str(path))) as database:
        database.execute("CREATE TABLE main (token TEXT, url TEXT)")
        database.execute("INSERT INTO main VALUES (?, ?)", (token, str(url)))
        database.commit()
    return path
