"""The command line, run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import List

import pytest
from cli import ok, run

from neuro_config import ConfigStore, __version__
from neuro_config.__main__ import main as entry_point
from neuro_config._demo import NotSharedError, _ask
from neuro_config.testing import Platform

ROOT = Path(__file__).parents[1]


def test_demo() -> None:
    """The demo shows each step with its state and one refresh for 8 processes."""
    heading, *lines = (" ".join(line.split()) for line in ok("demo").splitlines())
    assert "step state cluster / org / project" == heading
    assert [
        "start a platform, open a store LoggedOut",
        "log in as alice LoggedIn default / acme / main",
        "fetch LoggedIn default / acme / main",
        "switch_cluster('gpu-farm') LoggedIn gpu-farm / acme / main",
        "switch_org('umbrella') LoggedIn default / umbrella / main",
        "wait until the token has expired TokenExpired default / umbrella / main",
        "8 processes ask for a token LoggedIn default / umbrella / main",
        "all 8 got the same token, and one refresh was sent",
        "logout LoggedOut",
    ] == lines


def test_demo_as_json() -> None:
    """The demo is there for programs, too."""
    steps = json.loads(ok("demo", "--json"))
    assert "logout" == steps[-1]["title"]
    assert "one refresh was sent" in steps[-2]["note"]


def test_demo_would_notice(platform: Platform, tmp_path: Path) -> None:
    """The demo fails where the processes get no common token."""
    store = ConfigStore(tmp_path / "config")
    platform.log_in(store)
    with pytest.raises(NotSharedError, match="1 different tokens and 0 refreshes"):
        _ask(store, platform)


def test_failure_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing demo says what happened without a traceback and ends with exit code 1."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    result = run("demo")
    assert 1 == result.code
    assert "Error: 1 different tokens and 0 refreshes, not 1 and 1\n" == result.err


def test_module() -> None:
    """python -m neuro_config is the command."""
    result = subprocess.run(
        [sys.executable, "-m", "neuro_config", "--help"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "Usage: neuro-config [OPTIONS] COMMAND" in result.stdout


def test_entry_point(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that is installed is the same one, whatever its file is called."""
    monkeypatch.setattr(sys, "argv", ["any", "--version"])
    with pytest.raises(SystemExit) as ended:
        entry_point()
    assert 0 == ended.value.code
    assert f"neuro-config, version {__version__}\n" == capsys.readouterr().out


def test_entry_point_without_click(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without click the entry point names the extra."""
    monkeypatch.setitem(sys.modules, "neuro_config._cli", None)
    with pytest.raises(SystemExit, match=r"needs the extra 'cli'"):
        entry_point()


def test_interrupted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the command is loaded ends it like any other."""

    class Interrupted:
        def find_spec(self, name: str, path: object, target: object = None) -> None:
            if name == "neuro_config._cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "neuro_config._cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        entry_point()
    assert 130 == ended.value.code


def test_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings for developers are not shown, unless Python is told to."""
    monkeypatch.setattr(sys, "argv", ["any", "--version"])
    for options, expected in (([], 0), (["error"], 1)):
        monkeypatch.setattr(sys, "warnoptions", options)
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("always")
            with pytest.raises(SystemExit):
                entry_point()
            warnings.warn("for developers", stacklevel=1)
        assert expected == len(shown)


def test_version() -> None:
    """--version prints the package's version."""
    assert f"neuro-config, version {__version__}\n" == ok("--version")


@pytest.mark.parametrize(
    ("missing", "command", "words"),
    [
        ("click", [], "needs the extra 'cli' (click is missing)"),
        ("werkzeug", ["demo"], "needs the extra 'testing' (werkzeug is missing)"),
        ("rich", ["status"], "needs the extra 'cli' (rich is missing)"),
    ],
)
def test_missing_extra(
    tmp_path: Path, missing: str, command: List[str], words: str
) -> None:
    """Without the packages of an extra the command says which extra it needs."""
    (tmp_path / f"{missing}.py").write_text(
        f"raise ModuleNotFoundError('no {missing}', name='{missing}')"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    result = subprocess.run(
        [sys.executable, "-m", "neuro_config", *command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert 1 == result.returncode
    assert words in result.stderr
    assert "Traceback" not in result.stderr
