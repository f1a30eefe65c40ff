"""What commands, children, threads and files show of a login: nothing that is secret."""

from __future__ import annotations

import base64
import itertools
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Callable, Dict, List, Set

import attrs
import pytest
from cli import make_tool_login, run
from common import Login
from leaks import WRITINGS, Everything, Search, exposed
from planted import spread
from proof import Effort, Tally

from neuro_config import ConfigStore, LoggedIn
from neuro_config._docker import answer as ask_helper
from neuro_config._errors import LoginTimeoutError
from neuro_config._files import FileStorage
from neuro_config.testing import Platform

PASSWORD = "pässwörd-of-docker/Xk3Rv8Tz5Qm2"

COMMANDS = (
    ("status",),
    ("fetch",),
    ("clusters",),
    ("presets",),
    ("doctor",),
    ("switch-cluster", "nowhere"),
    ("switch-org", "nowhere"),
    ("switch-project", "nowhere"),
    ("user-config", "list"),
    ("user-config", "set", "job.nothing", "x"),
    ("docker", "install", "--config", "docker"),
    ("import", "tool"),
    ("import", "nowhere"),
    ("login", "--passed-config"),
    ("login", "--token", "-"),
    ("logout",),
    ("token", "--nothing"),
)
OPTIONS = ((), ("--json",), ("--debug",))

Break = Callable[[Platform, Path, str], None]


def echo(platform: Platform, path: Path, said: str) -> None:
    faults = platform.faults
    for endpoint in (faults.config, faults.token, faults.revoke):
        endpoint.answer(400, {"error": said, "error_description": said})


def remove_catalogs(platform: Platform, path: Path, said: str) -> None:
    for each in path.glob("catalog-*"):
        each.unlink()


def write_a_docker_config(platform: Platform, path: Path, said: str) -> None:
    Path("docker").mkdir()
    config = {"auths": {"x": {"auth": PASSWORD}}, "credHelpers": said}
    Path("docker", "config.json").write_text(json.dumps(config))


FAILURES: Dict[str, Break] = {
    "nothing": lambda platform, path, said: None,
    "echoes": echo,
    "a dead token": lambda platform, path, said: platform.revoke_all(),
    "a refusal": lambda platform, path, said: platform.faults.config.refuse_tokens(),
    "damage": lambda platform, path, said: os.truncate(
        path / "session.toml", (path / "session.toml").stat().st_size - 9
    ),
    "an unsafe directory": lambda platform, path, said: path.chmod(0o777),
    "no catalog": remove_catalogs,
    "a docker config": write_a_docker_config,
}


@pytest.fixture
def secrets(login: Login, folder: Path) -> List[str]:
    """The tokens of a login that is stored."""
    state = login().state
    assert isinstance(state, LoggedIn)
    token = state.session.token
    return [str(token.access_token), str(token.refresh_token)]


@pytest.mark.attack("10")
@pytest.mark.parametrize("failure", FAILURES)
def test_commands(
    platform: Platform,
    login: Login,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tally: Tally,
    effort: Effort,
    failure: str,
) -> None:
    """All commands but token, plain, as JSON and with --debug, in good and in bad times: nothing printed and no log has a secret."""
    cases = list(itertools.product(COMMANDS, OPTIONS, WRITINGS))
    for command, options, writing in spread(cases, effort(10)):
        state = login().state
        assert isinstance(state, LoggedIn)
        tokens = [
            state.session.token.access_token,
            str(state.session.token.refresh_token),
        ]
        other = platform.issue_access_token("bob")
        passed = {"token": other, "cluster": "default", "url": [other]}
        data = base64.b64encode(json.dumps(passed).encode()).decode()
        monkeypatch.setenv("APOLO_PASSED_CONFIG", data)
        make_tool_login(Path("tool"), other, platform.url)
        FAILURES[failure](platform, folder, WRITINGS[writing](tokens[1]))
        with Everything() as log:
            found = run(*command, *options, "--path", folder, given=f"{other} x")
        search = Search(*tokens, other, data, PASSWORD)
        case = (command, options, failure, writing)
        search.require_none(found.out, found.err, log.text, case=case)
        _clean(platform, folder)
        tally()


def _clean(platform: Platform, folder: Path) -> None:
    platform.faults.reset()
    folder.chmod(0o700)
    for path in (*Path("tool").glob("*"), *Path("docker").glob("*")):
        path.unlink()
    for path in (Path("tool"), Path("docker")):
        if path.exists():
            path.rmdir()


MISTAKES = (
    ("login", "{}"),
    ("login", "--token", "{}"),
    ("login", "--token", "env:{}"),
    ("login", "--token={}"),
    ("login", "--url", "https://somebody:{}@platform.example/"),
    ("login", "--url", "platform.example?token={}"),
    ("login", "--url", "http://platform.example/?token={}"),
    ("token", "{}"),
    ("logout", "{}"),
)


@pytest.mark.attack("10")
def test_mistakes(tally: Tally) -> None:
    """Somebody gives a token where a file, a variable or nothing belongs: it is not repeated."""
    secret = "eyJhbGciOiJIUzI1NiJ9.eyJpZGVudGl0eSI6ImFubiJ9.Zk3-Vb8_Qx5Lt1Mr7Wc2"
    search = Search(secret)
    for arguments, options in itertools.product(MISTAKES, OPTIONS):
        with Everything() as log:
            found = run(*(each.format(secret) for each in arguments), *options)
        assert found.code != 0
        search.require_none(found.out, found.err, log.text, case=arguments)
        tally()


BROWSER = """
import json, os, sys
with open(sys.argv[1], "w") as file:
    json.dump([sys.argv[2:], dict(os.environ)], file)
"""


@pytest.mark.attack("10", "11")
def test_surroundings(
    platform: Platform, folder: Path, secrets: List[str], tally: Tally, effort: Effort
) -> None:
    """Names of threads and files, hints about holders, catalogs, reprs and the process's own command line while a login is used: no secret."""
    names: Set[str] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.001):
            names.update(each.name for each in threading.enumerate())
            names.update(os.listdir(folder))

    watcher = threading.Thread(target=watch)
    watcher.start()
    store = ConfigStore(folder)
    try:
        for _ in range(effort(8)):
            store.fetch()
            store.refresh_token()
            state = store.state
            assert isinstance(state, LoggedIn)
            token = state.session.token
            secrets += [str(token.access_token), str(token.refresh_token)]
            shown = [
                repr(store),
                repr(state),
                str(state),
                f"{state}",
                repr(vars(store.auth)),
            ]
            shown += [repr(store._binding.snapshot), str(attrs.asdict(state.session))]
            shown += [
                repr(FileStorage(folder).read()),
                repr(FileStorage(folder).read_bytes()),
            ]
            shown += [
                path.read_bytes().decode()
                for path in folder.iterdir()
                if path.name != "session.toml"
            ]
            shown += [
                Path("/proc/self/cmdline").read_bytes().decode(),
                str(dict(os.environ)),
            ]
            Search(*secrets).require_none(*shown)
            tally(len(shown))
    finally:
        stop.set()
        watcher.join()
    Search(*secrets).require_none("\n".join(sorted(names)))


@pytest.mark.attack("10", "11")
def test_browser(
    platform: Platform,
    folder: Path,
    secrets: List[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tally: Tally,
) -> None:
    """The browser that a login starts gets the challenge and no verifier, no token and no code, on its command line or in its environment."""
    script, told = tmp_path / "browser.py", tmp_path / "told.json"
    script.write_text(BROWSER)
    monkeypatch.setenv("BROWSER", f"{sys.executable} {script} {told} %s")
    found: List[str] = []
    store = ConfigStore(folder, login_timeout=0.0)
    with Everything() as log, pytest.raises(LoginTimeoutError) as caught:
        store.login(url=platform.url)
    end = time.monotonic() + 30
    while not (told.exists() and told.read_text()) and time.monotonic() < end:
        time.sleep(0.01)
    found += [told.read_text(), exposed(caught.value)]
    Search(*secrets).require_none(*found, log.text)
    arguments, _ = json.loads(found[0])
    assert "code_challenge_method=S256" in arguments[-1]
    assert "code_verifier" not in found[0] + log.text
    tally(len(found) + 1)


ASKED = (
    '{{"ServerURL": "registry.example", "Username": "token", "Secret": "{}"}}',
    '{{"ServerURL": "registry.example", "Username": "somebody", "Secret": "{}"}}',
    '{{"ServerURL": ["{}"], "Secret": 5}}',
    '{{"Secret": "{}"',
    '["{}"]',
    "{}",
)


@pytest.mark.attack("10")
def test_docker_helper(folder: Path, secrets: List[str], tally: Tally) -> None:
    """docker hands a password to the helper, well-formed or not: it is not repeated."""
    search = Search(PASSWORD, *secrets)
    for action, said in itertools.product(("store", "erase", "get", "list"), ASKED):
        for text in (said.format(PASSWORD), said.format(secrets[0])):
            with Everything() as log:
                given = ask_helper(action, text, lambda: ConfigStore(folder))
            search.require_none(repr(given), given.out, given.note, log.text)
            tally()
