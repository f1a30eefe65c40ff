"""Fixtures of all tests."""

from __future__ import annotations

import os
import signal
import webbrowser
from pathlib import Path
from typing import Iterator, Optional

import pytest
from common import CLUSTERS, PROJECTS, Login
from talk import Talk, Workers

from neuro_config import ConfigStore
from neuro_config.testing import Platform

pytest_plugins = ["proof", "pytester"]

# A suite that a shell starts in the background would ignore it, and so would its children.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's home, settings and environment."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    for name in (
        "NEUROMATION_CONFIG",
        "APOLO_PASSED_CONFIG",
        "NEURO_PASSED_CONFIG",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    # It keeps the browser that $BROWSER named once, for good.
    monkeypatch.setattr(webbrowser, "_tryorder", None)
    monkeypatch.setattr(webbrowser, "_browsers", {})
    os.umask(0o022)


@pytest.fixture
def platform() -> Iterator[Platform]:
    """A platform with three clusters and a rotating authorization server."""
    with Platform(clusters=CLUSTERS, projects=PROJECTS, users=["bob"]) as platform:
        yield platform


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a store keeps its files; not made yet."""
    return tmp_path / "config"


@pytest.fixture
def login(platform: Platform, folder: Path) -> Login:
    """Open a store and log it in."""

    def make(user: Optional[str] = None, **options: object) -> ConfigStore:
        store = ConfigStore(folder, **options)  # type: ignore[arg-type]
        platform.log_in(store, user)
        return store

    return make


@pytest.fixture(scope="session")
def zygote() -> Iterator[Talk]:
    talk = Talk("zygote.py")
    yield talk
    talk.end()


@pytest.fixture
def workers(zygote: Talk, folder: Path) -> Workers:
    """Start ``workers(16, "token")``: so many processes, each doing the actions."""
    return Workers(zygote, folder)
