"""The command line, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest
from click.testing import CliRunner

from neuro_config import __version__
from neuro_config.__main__ import main as entry_point
from neuro_config._cli import main
from neuro_config._demo import _ask, run
from neuro_config.testing import Platform

ROOT = Path(__file__).parents[1]


def test_demo() -> None:
    """The demo shows each step with its states and one refresh for 8 processes."""
    lines: List[str] = []
    run(lines.append)
    steps = [" ".join(line.split()) for line in lines[2:]]
    assert [
        "log in as alice LoggedOut -> LoggedIn default / acme / main",
        "fetch LoggedIn -> LoggedIn default / acme / main",
        "switch_cluster('gpu-farm') LoggedIn -> LoggedIn gpu-farm / acme / main",
        "switch_org('umbrella') LoggedIn -> LoggedIn default / umbrella / main",
        "wait until the token has expired LoggedIn -> TokenExpired default / umbrella / main",
        "8 processes ask for a token TokenExpired -> LoggedIn default / umbrella / main",
        "all 8 got the same token, and one refresh was sent",
        "logout LoggedIn -> LoggedOut",
    ] == steps


def test_demo_command() -> None:
    """The command prints the demo and ends with exit code 0."""
    result = CliRunner().invoke(main, ["demo"])
    assert 0 == result.exit_code, result.output
    assert "one refresh was sent" in result.output


def test_demo_would_notice(platform: Platform, tmp_path: Path) -> None:
    """The demo fails where the processes get no common token."""
    from neuro_config import ConfigStore

    store = ConfigStore(tmp_path / "config")
    platform.log_in(store)
    with pytest.raises(RuntimeError, match="1 different tokens and 0 refreshes"):
        _ask(store, platform)


def test_failure_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing demo says what happened without a traceback and ends with exit code 1."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    result = CliRunner().invoke(main, ["demo"])
    assert 1 == result.exit_code
    assert "Error: 1 different tokens and 0 refreshes, not 1 and 1" in result.output


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


def test_demo_without_werkzeug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra testing the demo names it."""
    monkeypatch.setitem(sys.modules, "neuro_config._demo", None)
    result = CliRunner().invoke(main, ["demo"])
    assert 1 == result.exit_code
    assert "needs the extra 'testing'" in result.output


def test_version() -> None:
    """--version prints the package's version."""
    result = CliRunner().invoke(main, ["--version"])
    assert f"neuro-config, version {__version__}\n" == result.output


@pytest.mark.parametrize(
    ("missing", "command", "words"),
    [
        ("click", [], "needs the extra 'cli' (click is missing)"),
        ("werkzeug", ["demo"], "needs the extra 'testing' (werkzeug is missing)"),
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
