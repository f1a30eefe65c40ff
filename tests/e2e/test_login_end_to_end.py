"""Browser login with a certified authorization server and a real browser."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
from common import free_urls
from rig import PAYLOAD, Person, Server, needs_all, node, wait_until
from talk import Talk, Workers

from neuro_config import (
    ConfigStore,
    FileStorage,
    LoggedIn,
    LoggedOut,
    LoginDeniedError,
    NetworkError,
    NotLoggedInError,
    RefreshPendingError,
    Session,
    SessionEndedError,
    TokenExpired,
)

pytestmark = needs_all

EXPIRED = 3700.0  # seconds after which a token of one hour has expired
CODE = ("authorization_code", 200)
REFRESH = ("refresh_token", 200)
REUSE = [("refresh_token", 400), "grant.revoked"]

AtBrowser = Callable[..., Person]
LogIn = Callable[..., ConfigStore]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    arguments = [str(PAYLOAD), *free_urls(3)]
    with node("server.mjs", *arguments, folder=tmp_path / "server") as talk:
        server = Server(talk)
        yield server
        server.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """A browser, whose cookies of one test's server mean nothing to another's."""
    folder = tmp_path_factory.mktemp("e2e") / "browser"
    with node("browser.mjs", str(shutil.which("chromium")), folder=folder) as talk:
        assert {"ready": True} == json.loads(talk.read())
        yield talk
    assert not (folder / "profile").exists()


@pytest.fixture
def at_browser(
    browser: Talk, tmp_path: Path, request: pytest.FixtureRequest
) -> AtBrowser:
    """Make somebody who goes to the browser: ``at_browser("login", user="alice")``."""
    shots = Path(os.environ.get("NEURO_CONFIG_SCREENSHOTS") or tmp_path / "shots")
    test = request.node.name[len("test_") :]
    return lambda name, **order: Person(
        browser, shots=str(shots / f"{test}-{name}"), **order
    )


@pytest.fixture
def log_in(server: Server, at_browser: AtBrowser, folder: Path) -> LogIn:
    """Open a store and have somebody log in with the browser."""

    def log_in(user: str = "alice", **options: Any) -> ConfigStore:
        store = ConfigStore(folder, **options)
        person = at_browser("login", user=user)
        store.login(person, url=server.api_url)
        assert "You are logged in" == person.seen.titles[-1]
        assert [CODE] == server.grants()
        return store

    return log_in


def stored(store: ConfigStore) -> Session:
    session = FileStorage(store.path).read()
    assert session is not None
    return session


def secrets_of(session: Session) -> List[str]:
    return [str(session.token.access_token), str(session.token.refresh_token)]


def now_in_words() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())


def test_login(
    server: Server,
    at_browser: AtBrowser,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Somebody logs in with a browser, sees so, day and night, and nothing leaks."""
    caplog.set_level(logging.DEBUG)
    store = ConfigStore(folder)
    person = at_browser("login", user="alice")
    store.login(person, url=server.api_url)

    assert isinstance(store.state, LoggedIn)
    assert ("alice", "barn") == (store.username, store.cluster_name)
    assert server.accepts(store.token())
    assert [CODE] == server.grants()

    seen = person.seen
    assert ["Sign-in", "Sign-in", "You are logged in"] == seen.titles
    assert "as alice; you can close this tab" in seen.text
    assert ([], []) == (seen.outside, seen.complaints)
    light, dark = seen.looks
    assert dark["paper"] < 0.2 < 0.8 < light["paper"]
    assert min(light["contrast"], dark["contrast"]) >= 4.5
    assert light["fits"]
    assert dark["fits"]

    secrets = [*secrets_of(stored(store)), seen.url.query["code"]]
    output = caplog.text + "".join(capfd.readouterr())
    assert "/oauth/token" in output
    assert [] == [secret for secret in secrets if secret in output]

    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert ({0o600}, 0o700) == (modes, stat.S_IMODE(folder.stat().st_mode))


def test_one_refresh(server: Server, log_in: LogIn, workers: Workers) -> None:
    """8 processes with a token that has expired make one request for all of them."""
    store = log_in()
    store.fetch()
    server.set(life=2)
    store.refresh_token()
    old = stored(store).token
    wait_until(lambda: isinstance(store.state, TokenExpired))
    assert not server.accepts(old.access_token)
    assert [REFRESH] == server.grants()

    server.set(life=3600)
    found = workers(8, "fetch", "token")
    assert [None] * 8 == [one["error"] for one in found]
    (token,) = {one["results"][1] for one in found}
    assert server.accepts(token)
    assert [REFRESH] == server.grants()
    assert token == store.token()


def test_logout(server: Server, log_in: LogIn, at_browser: AtBrowser) -> None:
    """A logout ends the login here, at the authorization server and in the browser."""
    store = log_in()
    refresh_token = str(stored(store).token.refresh_token)
    again = at_browser("again")
    store.login(again, url=server.api_url)  # by the browser's cookie
    assert ["Sign-in", "You are logged in"] == again.seen.titles
    newer = str(stored(store).token.refresh_token)
    assert [True] * 2 == [server.is_active(one) for one in (refresh_token, newer)]

    person = at_browser("logout")
    store.logout(person)

    assert isinstance(store.state, LoggedOut)
    with pytest.raises(NotLoggedInError):
        store.token()
    assert not server.is_active(newer)
    assert ["Logout Request", "Sign-out Success"] == person.seen.titles
    assert [] == person.seen.outside
    login = at_browser("login-after", user="bob")
    store.login(login, url=server.api_url)  # which asks for a name
    assert "bob" == store.username


def test_lost_answer(server: Server, log_in: LogIn) -> None:
    """A lost answer is told; nothing is sent again in time, and then the login is over."""
    ahead = 0.0
    store = log_in(clock=lambda: time.time() + ahead)
    valid = store.token()

    server.set(lose=1)
    before = now_in_words()
    with pytest.raises(NetworkError, match="got lost.*until the token.*has expired"):
        store.refresh_token()
    after = now_in_words()
    with pytest.raises(RefreshPendingError, match="got lost"):
        store.refresh_token()
    assert valid == store.token()
    assert [REFRESH] == server.grants()

    ahead = EXPIRED
    with pytest.raises(SessionEndedError, match="log in again") as ended:
        store.token()
    lost_at = str(ended.value.lost_at)
    assert before <= lost_at <= after
    assert f"sent at {lost_at} got lost" in str(ended.value)
    assert REUSE == server.grants()
    with pytest.raises(SessionEndedError, match="got lost"):
        store.refresh_token()
    assert [] == server.grants()
    log_in().refresh_token()


def test_cancelled_login(server: Server, at_browser: AtBrowser, folder: Path) -> None:
    """Who clicks on Cancel is told so by our page, and nobody is logged in."""
    store = ConfigStore(folder)
    person = at_browser("cancel", cancel=True)
    with pytest.raises(LoginDeniedError, match="cancelled"):
        store.login(person, url=server.api_url)
    assert isinstance(store.state, LoggedOut)
    assert ["Sign-in", "The login failed"] == person.seen.titles
    assert "The login was cancelled" in person.seen.text
    assert [] == person.seen.outside
    assert [] == server.grants()


def test_headless_login(server: Server, at_browser: AtBrowser, folder: Path) -> None:
    """Who pastes the address of the page that shows the code is logged in."""
    store = ConfigStore(folder)
    person = at_browser("headless", user="alice")
    store.login_headless(person, url=server.api_url)
    assert "/oauth/show-code" == person.seen.url.path
    assert "alice" == store.username
    store.refresh_token()
    assert server.accepts(store.token())
    assert [CODE, REFRESH] == server.grants()


PROGRAM = """
import logging, sys
from neuro_config import ConfigStore
logging.basicConfig(level=logging.DEBUG)
store = ConfigStore(sys.argv[1])
store.fetch()
store.refresh_token()
"""


def test_output_of_a_program(server: Server, log_in: LogIn) -> None:
    """Neither the log of a program nor the traceback that it ends with has a secret."""
    store = log_in()
    secrets = secrets_of(stored(store))
    server.set(lose=1)
    program = [sys.executable, "-c", PROGRAM, str(store.path)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60)
    output = ended.stdout + ended.stderr
    assert "Traceback" in output
    assert "/api/v1/config" in output
    assert [] == [secret for secret in secrets if secret in output]
    assert [REFRESH] == server.grants()
