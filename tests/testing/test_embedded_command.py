"""``python -m neuro_config.testing`` and the pytest plugin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Iterator, List

import pytest
import requests

from neuro_config.testing import Platform
from neuro_config.testing.__main__ import main
from neuro_config.testing.pytest_plugin import neuro_platform  # noqa: F401

ROOT = Path(__file__).parents[2]
MODULE = "neuro_config.testing"


def environment(**more: str) -> dict[str, str]:
    """Let a subprocess import the library from wherever it is tested."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def authorized(http: requests.Session, lines: List[str]) -> bool:
    url, token = lines
    headers = {"Authorization": f"Bearer {token}"}
    return bool(http.get(f"{url}/config", headers=headers).json()["authorized"])


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_command(end: signal.Signals, http: requests.Session) -> None:
    """The command prints URL and token, serves, and ends with 0 on a signal."""
    command = [
        sys.executable,
        "-W",
        "error::ResourceWarning",
        "-m",
        MODULE,
        "--user",
        "bob",
    ]
    process = subprocess.Popen(
        command,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline().strip() for _ in range(2)]
        assert authorized(http, lines)
        process.send_signal(end)
        rest = process.stdout.read(), process.stderr.read()
    assert (0, "") == (process.returncode, rest[0])
    assert not [word for word in ("ResourceWarning", "Error") if word in rest[1]]


@pytest.fixture
def signalled() -> Iterator[None]:
    """Send this process SIGTERM soon, to a thread that waits for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    here = threading.get_ident()

    def send() -> None:
        time.sleep(0.5)
        signal.pthread_kill(here, signal.SIGTERM)

    thread = threading.Thread(target=send)
    thread.start()
    yield
    thread.join()
    signal.sigtimedwait([signal.SIGTERM], 0)  # it must not hit what comes next
    assert {signal.SIGTERM} <= signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(*arguments: str) -> object:
    """Run the command in this process and return its exit code."""
    try:
        return main(list(arguments))
    except SystemExit as ended:
        return ended.code


@pytest.mark.usefixtures("signalled")
def test_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """All arguments are taken, and the signals are unblocked at the end."""
    arguments = "--era 2021-12 --token-life 60 --no-rotate --clusters 2x3 --port 0"
    assert 0 == run(*arguments.split())
    url, token = capsys.readouterr().out.split()
    assert url.startswith("http://127.0.0.1:")
    assert 2 == token.count(".")


def test_taken_port(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    """A taken port is told in one line, with exit code 2."""
    assert 2 == run("--port", str(platform.url.port))
    assert "in use" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["x", "2", "axb", "-1x2", "1x-2"])
def test_wrong_clusters(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A size that is not ``NxM`` is told so, with exit code 2."""
    assert 2 == run(f"--clusters={text}")
    assert f"invalid NxM value: '{text}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--port=99999", "argument --port: 99999 is not a port from 0 to 65535"),
        ("--port=-1", "argument --port: -1 is not a port from 0 to 65535"),
        ("--port=http", "argument --port: invalid port value: 'http'"),
        ("--token-life=-5", "argument --token-life: -5 is not a number of seconds"),
        ("--token-life=0", "argument --token-life: 0 is not a number of seconds"),
        ("--token-life=nan", "argument --token-life: nan is not a number of seconds"),
        ("--token-life=inf", "argument --token-life: inf is not a number of seconds"),
        ("--token-life=1h", "argument --token-life: invalid number value: '1h'"),
        ("--user=", "argument --user: '' is not a name"),
        ("--user= ", "argument --user: ' ' is not a name"),
        ("--user=a\nb", "argument --user: 'a\\nb' is not a name"),
        ("--era=2020-01", "argument --era: invalid choice: '2020-01'"),
    ],
)
def test_wrong_arguments(
    argument: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An argument that would serve nobody is told so, with exit code 2."""
    assert 2 == run(argument)
    printed = capsys.readouterr()
    assert "" == printed.out
    assert expected in printed.err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """--help says what every option is for, and what the two lines are."""
    assert 0 == run("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "the first is the API URL, the second the access token" in text
    for words in (
        "where to listen; default: a free port",
        "who logs in; default: alice",
        "the month whose JSON is spoken; default: 2026-08",
        "how long an access token is valid; default: 3600",
        "let a refresh token be spent more than once",
        "N clusters with M presets each",
    ):
        assert words in text


# ------------------------------------------------------------------ the pytest plugin


def test_fixture(neuro_platform: Platform, http: requests.Session) -> None:  # noqa: F811
    """The fixture is a running platform."""
    assert neuro_platform.running
    assert 200 == http.get(str(neuro_platform.url / "config")).status_code


def test_fixture_without_the_extra(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without werkzeug the fixture says what to install."""
    monkeypatch.setitem(sys.modules, f"{MODULE}._platform", None)
    with pytest.raises(pytest.fail.Exception, match=r"neuro_config\[testing\]"):
        request.getfixturevalue("neuro_platform")


def test_plugin_in_another_project(tmp_path: Path) -> None:
    """A project's tests get the fixture, and a clear error without werkzeug."""
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_without(request, monkeypatch):\n"
        "    monkeypatch.setitem(sys.modules, 'werkzeug.serving', None)\n"
        "    request.getfixturevalue('neuro_platform')\n"
        "def test_with(neuro_platform):\n"
        "    assert neuro_platform.running\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", f"{MODULE}.pytest_plugin", "-q"]
    done = subprocess.run(
        [*command, "-W", "error::pytest.PytestWarning", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert "1 failed, 1 passed" in done.stdout
    assert (
        "pip install 'neuro_config[testing]' (import of werkzeug.serving" in done.stdout
    )


def test_plugin_is_light() -> None:
    """Importing the plugin imports nothing but itself and its package."""
    code = (
        "import sys, typing, importlib, pytest, neuro_config\n"
        "before = set(sys.modules)\n"
        "import neuro_config.testing.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert [MODULE, f"{MODULE}.pytest_plugin"] == loaded.stdout.split()
