"""``neuro-config demo``: the three states on a platform of its own, in seconds."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict

from ._states import LoggedOut, TokenExpired
from ._store import ConfigStore
from .testing import ClusterSpec, Platform

LIFE = 2.0  # seconds, of the first token
PROCESSES = 8
ASK = "import sys, neuro_config; print(neuro_config.ConfigStore(sys.argv[1]).token())"


def run(say: Callable[[str], None]) -> None:
    """Show what the library does, on an embedded platform and in a temporary directory.

    Args:
        say: Gets each line.

    Raises:
        ConfigError: A step failed.
        RuntimeError: The processes did not share one refresh.
    """
    clusters = [
        ClusterSpec(name="default", orgs=("acme", "umbrella")),
        ClusterSpec(name="gpu-farm", orgs=("acme",)),
    ]
    with tempfile.TemporaryDirectory(prefix="neuro-config-demo-") as folder, Platform(
        clusters=clusters, token_life=LIFE
    ) as platform:
        store = ConfigStore(Path(folder) / "config")
        say(f"An embedded platform answers at {platform.url}")
        say(_row("step", "before", "after", "cluster / org / project"))
        steps: Dict[str, Callable[[], object]] = {
            "log in as alice": lambda: platform.log_in(store),
            "fetch": store.fetch,
            "switch_cluster('gpu-farm')": lambda: store.switch_cluster("gpu-farm"),
            "switch_org('umbrella')": lambda: store.switch_org("umbrella"),
            "wait until the token has expired": lambda: _wait_for_expiry(store),
            f"{PROCESSES} processes ask for a token": lambda: _ask(store, platform),
            "logout": store.logout,
        }
        for title, action in steps.items():
            before = type(store.state)
            note = action()
            after = type(store.state)
            say(_row(title, before.__name__, after.__name__, _where(store)))
            if isinstance(note, str):
                say(f"  {note}")


def _row(title: str, before: str, after: str, where: str) -> str:
    return f"{title:<33} {before:>12} -> {after:<12}  {where}".rstrip()


def _where(store: ConfigStore) -> str:
    if isinstance(store.state, LoggedOut):
        return ""
    return f"{store.cluster_name} / {store.org_name} / {store.project_name}"


def _wait_for_expiry(store: ConfigStore) -> None:
    while not isinstance(store.state, TokenExpired):
        time.sleep(0.05)


def _ask(store: ConfigStore, platform: Platform) -> str:
    platform.tokens.life = 3600
    before = platform.count("token", grant_type="refresh_token")
    command = [sys.executable, "-c", ASK, str(store.path)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    tokens = {process.communicate()[0].strip() for process in processes}
    refreshes = platform.count("token", grant_type="refresh_token") - before
    store.reload()
    if {store.token()} != tokens or refreshes != 1:
        raise RuntimeError(
            f"{len(tokens)} different tokens and {refreshes} refreshes, not 1 and 1"
        )
    return f"all {PROCESSES} got the same token, and one refresh was sent"
