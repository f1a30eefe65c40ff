"""A refresh that is interrupted, killed or put to sleep between the mark and the rename."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Set, Tuple

import pytest
from common import CLUSTERS, PROJECTS
from proof import Effort, Tally
from refresher import INTERRUPTED
from samples import environment
from traced import require_strace

from neuro_config import (
    ConfigStore,
    FileStorage,
    RefreshPendingError,
    Session,
    SessionEndedError,
)
from neuro_config._refresh import in_words
from neuro_config.testing import Platform

LATE = (
    3000.0  # seconds to look ahead for a token of an hour to be past 75 % of its life
)
EXPIRED = 3700.0  # and for it to have expired
LIMIT = 30.0  # seconds that nothing here should take


class Refresher:
    """The process of ``refresher.py``."""

    def __init__(self, warm: Path) -> None:
        script = os.path.join(os.path.dirname(__file__), "refresher.py")
        self._process = subprocess.Popen(
            [sys.executable, script, str(warm)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert "ready\n" == self.read()

    def read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def __call__(self, path: Path, *numbers: int, at: int = 0) -> Dict[str, Any]:
        """Refresh, with signals at a line; return the status and the lines."""
        self.write(json.dumps({"path": str(path), "numbers": numbers, "at": at}))
        found: Dict[str, Any] = json.loads(self.read())
        return found

    def traced(self, path: Path, log: Path, *injection: str) -> Dict[str, Any]:
        """Refresh under ``strace``, all threads."""
        self.write(json.dumps({"path": str(path), "waits": True}))
        pid = self.read().strip()
        command = ["strace", "-f", "-y", "-s", "16", "-o", str(log), "-p", pid]
        command += [part for one in injection for part in ("-e", one)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            line = strace.stderr.readline()
            assert "attached" in line, line + strace.stderr.read()
            self.write("go")
            found: Dict[str, Any] = json.loads(self.read())
            strace.stderr.read()
        return found

    def close(self) -> None:
        self._process.communicate(timeout=LIMIT)


class Place:
    """Logins one after the other on one platform, each in a directory of its own."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        self._folder = folder
        self._number = 0
        self._before = 0, 0

    def log_in(self) -> ConfigStore:
        self._number += 1
        store = ConfigStore(self._folder / str(self._number))
        self.platform.log_in(store)
        return store

    def sent(self) -> int:
        return self.platform.count("token", grant_type="refresh_token")

    def worked_on(self) -> int:
        """Tell how many refreshes the platform has granted since ``begin``."""
        return self._granted() - self._before[1]

    @property
    def sent_since(self) -> int:
        """Tell how many refreshes have arrived since ``begin``."""
        return self.sent() - self._before[0]

    def begin(self, path: Path) -> Session:
        """Count from now on; return what is stored."""
        self._before = self.sent(), self._granted()
        return stored(path)

    def _granted(self) -> int:
        return self.platform.count("token", grant_type="refresh_token", status=200)

    def settle(self) -> None:
        """Wait until the platform has done with every connection made so far."""
        server = self.platform._server
        assert server is not None
        # Those made before it have been taken up when this one has been.
        with socket.create_connection(("127.0.0.1", server.port), LIMIT) as one:
            one.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while one.recv(4096):
                pass
        end = time.monotonic() + LIMIT
        while server._connections and time.monotonic() < end:
            time.sleep(0.001)
        assert {} == server._connections


@pytest.fixture(params=[True, False], ids=["rotating", "not-rotating"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with Platform(
        clusters=CLUSTERS, projects=PROJECTS, users=["bob"], rotate=request.param
    ) as platform:
        yield Place(platform, tmp_path / "logins")


@pytest.fixture
def refresher(place: Place) -> Iterator[Refresher]:
    made = Refresher(place.log_in().path)
    yield made
    made.close()


def stored(path: Path) -> Session:
    session = FileStorage(path).read()
    assert session is not None
    return session


def later(path: Path, seconds: float) -> ConfigStore:
    """Another process, some time later."""
    return ConfigStore(path, clock=lambda: time.time() + seconds, timeout=5.0)


def require_life(place: Place, path: Path) -> None:
    """The login lives on, and nobody holds a lock."""
    before = stored(path).token.access_token
    FileStorage(path).sole_refresher(0.0).release()
    store = later(path, 0.0)
    store.refresh_token()
    assert before != store.token()


def require_step_5(place: Place, path: Path, was_worked_on: bool) -> None:
    """A marked login does exactly what step 5 of a refresh says."""
    marked = stored(path)
    assert marked.refresh_sent is not None
    valid, sent = marked.token.access_token, place.sent()
    assert valid == later(path, LATE).token()
    for seconds in (0.0, LATE):
        with pytest.raises(RefreshPendingError):
            later(path, seconds).refresh_token()
    assert sent == place.sent()
    expired = later(path, EXPIRED)
    if was_worked_on and place.platform.tokens.rotate:
        for _ in range(2):
            with pytest.raises(SessionEndedError) as ended:
                expired.token()
            assert in_words(marked.refresh_sent.sent_at) in str(ended.value)
        assert marked.token == stored(path).token  # nothing is deleted
    else:
        assert valid != expired.token()
        assert stored(path).refresh_sent is None
    assert sent + 1 == place.sent()  # it is sent once more, and that is all


def require_all_or_the_mark(place: Place, path: Path, before: Session) -> str:
    """Whatever happened, it is one of three: not sent, saved, or marked."""
    place.settle()
    worked_on, after = place.worked_on(), stored(path)
    if after.token != before.token:
        assert (1, None) == (worked_on, after.refresh_sent)
        require_life(place, path)
        return "saved"
    if after.refresh_sent is None:
        assert 0 == place.sent_since
        require_life(place, path)
        return "not sent"
    FileStorage(path).sole_refresher(0.0).release()
    require_step_5(place, path, bool(worked_on))
    return "marked"


@pytest.mark.attack("7", "mark")
@pytest.mark.parametrize("place", [True], indirect=True, ids=["rotating"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_line_of_a_refresh(
    place: Place, refresher: Refresher, number: int, tally: Tally, effort: Effort
) -> None:
    """SIGINT or SIGTERM comes at any line: nothing was sent, or the answer is saved first."""
    expected = INTERRUPTED << 8 if number == signal.SIGINT else int(signal.SIGTERM)
    lines = refresher(place.log_in().path)["lines"]
    outcomes = set()
    for at in spread(lines, effort(50, least=12)):
        path = place.log_in().path
        before = place.begin(path)
        found = refresher(path, number, at=at)
        assert expected == found["status"], at
        outcomes.add(require_all_or_the_mark(place, path, before))
        tally()
    assert {"not sent", "saved"} == outcomes


@pytest.mark.attack("7", "mark")
def test_a_second_interrupt_at_any_line_of_a_refresh(
    place: Place, refresher: Refresher, tally: Tally, effort: Effort
) -> None:
    """Two SIGINTs come at any line: not sent, saved, or marked as what may be spent."""
    lines = refresher(place.log_in().path)["lines"]
    for at in spread(lines, effort(24, least=8)):
        path = place.log_in().path
        before = place.begin(path)
        found = refresher(path, signal.SIGINT, signal.SIGINT, at=at)
        assert found["status"] in (INTERRUPTED << 8, 1 << 8), at
        require_all_or_the_mark(place, path, before)
        tally()


@pytest.mark.attack("5", "7", "mark")
def test_killed_at_any_line_of_a_refresh(
    place: Place, refresher: Refresher, tally: Tally, effort: Effort
) -> None:
    """SIGKILL comes at any line; the next processes do what the mark asks of them."""
    lines = refresher(place.log_in().path)["lines"]
    outcomes = set()
    for at in spread(lines, effort(24, least=8)):
        path = place.log_in().path
        before = place.begin(path)
        found = refresher(path, signal.SIGKILL, at=at)
        assert int(signal.SIGKILL) == found["status"], at
        outcomes.add(require_all_or_the_mark(place, path, before))
        tally()
    assert {"not sent", "saved", "marked"} >= outcomes
    assert "marked" in outcomes


@pytest.mark.attack("5", "7", "mark")
def test_killed_at_any_system_call_between_the_mark_and_the_rename(
    place: Place, refresher: Refresher, tmp_path: Path, tally: Tally, effort: Effort
) -> None:
    """SIGKILL comes at any call of any thread; the next ones do what the mark asks."""
    require_strace()
    log = tmp_path / "log"
    path = place.log_in().path
    assert 0 == refresher.traced(path, log)["status"]
    calls = between_the_renames(log)
    random.Random(place.platform.tokens.rotate).shuffle(calls)
    for call in calls[: effort(12)]:
        path = place.log_in().path
        before = place.begin(path)
        inject = f"inject={call.name}:signal=SIGKILL:when={call.nth}"
        found = refresher.traced(path, log, inject)
        if found["status"] == 0:
            continue  # an answer came in fewer pieces this time
        assert int(signal.SIGKILL) == found["status"], call
        if require_all_or_the_mark(place, path, before) == "not sent":
            # Another thread made so many of these calls first, before the mark.
            assert not any(map(is_commit, log.read_text().splitlines())), call
        else:
            tally()


class Call(NamedTuple):
    """One system call of one thread."""

    name: str
    nth: int  # of its name in its thread, from 1


_CALL = re.compile(r"^(\d+) +(\w+)\(")


def is_commit(line: str) -> bool:
    """Tell whether a line of the log puts another login in place."""
    return " rename" in line and "session.toml" in line


def between_the_renames(log: Path) -> List[Call]:
    """The calls after the mark is there until the answer is, the last one included.

    Those that wait are left out: how often they are made is up to the moment. So are
    those that another thread has made as often before: it would be killed at its own.
    """
    seen: Dict[Tuple[str, str], int] = {}
    before: Set[Call] = set()
    found: List[Call] = []
    renames = 0
    for line in log.read_text().splitlines():
        match = _CALL.match(line)
        if match is None:
            continue
        thread, name = match.groups()
        nth = seen[thread, name] = seen.get((thread, name), 0) + 1
        if not renames:
            before.add(Call(name, nth))
        is_rename = is_commit(line)
        if renames == 1 and not name.startswith(("futex", "poll", "exit", "rt_")):
            found.append(Call(name, nth))
        renames += is_rename
    assert 2 == renames
    return sorted(set(found) - before)


def spread(lines: int, cases: int) -> List[int]:
    """So many of the lines, from the first to the last."""
    step = max(1, lines // cases)
    return list(range(1, lines + 1, step))
