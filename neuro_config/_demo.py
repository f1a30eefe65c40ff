"""``neuro-config demo``: the three states on a platform of its own, in seconds."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional

import attr

from ._states import LoggedOut, TokenExpired
from ._store import ConfigStore
from .testing import ClusterSpec, Platform

LIFE = 2.0  # seconds, of the first token
PROCESSES = 8
ASK = "import sys, neuro_config; print(neuro_config.ConfigStore(sys.argv[1]).token())"


class NotSharedError(RuntimeError):
    """The processes did not share one refresh."""


@attr.frozen
class Step:
    """What was done, and where that led to.

    Args:
        title: What was done.
        state: The state that followed.
        cluster: The cluster that followed; ``org`` and ``project`` alike.
        note: What else there is to say.
    """

    title: str
    state: str
    cluster: Optional[str] = None
    org: Optional[str] = None
    project: Optional[str] = None
    note: Optional[str] = None


def run() -> Iterator[Step]:
    """Show what the library does, on an embedded platform and in a temporary directory.

    Yields:
        Each step when it is done.

    Raises:
        ConfigError: A step failed.
        NotSharedError: The processes did not share one refresh.
    """
    clusters = [
        ClusterSpec(name="default", orgs=("acme", "umbrella")),
        ClusterSpec(name="gpu-farm", orgs=("acme",)),
    ]
    with tempfile.TemporaryDirectory(prefix="neuro-config-demo-") as folder, Platform(
        clusters=clusters, token_life=LIFE
    ) as platform:
        store = ConfigStore(Path(folder) / "config")
        steps: Dict[str, Callable[[], Optional[str]]] = {
            "start a platform, open a store": lambda: None,
            "log in as alice": lambda: platform.log_in(store),
            "fetch": store.fetch,
            "switch_cluster('gpu-farm')": lambda: store.switch_cluster("gpu-farm"),
            "switch_org('umbrella')": lambda: store.switch_org("umbrella"),
            "wait until the token has expired": lambda: _wait_for_expiry(store),
            f"{PROCESSES} processes ask for a token": lambda: _ask(store, platform),
            "logout": store.logout,
        }
        for title, action in steps.items():
            note = action()
            yield _step(title, store, note)


def _step(title: str, store: ConfigStore, note: Optional[str]) -> Step:
    state = store.state
    if isinstance(state, LoggedOut):
        return Step(title, type(state).__name__, note=note)
    return Step(
        title,
        type(state).__name__,
        store.cluster_name,
        store.org_name,
        store.project_name,
        note,
    )


def _wait_for_expiry(store: ConfigStore) -> None:
    while not isinstance(store.state, TokenExpired):
        time.sleep(0.05)


@contextlib.contextmanager
def _started(command: List[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a process that is gone afterwards, and says nothing if it is ended."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us, and we end it
        text=True,
    )
    with process:  # which waits for it
        try:
            yield process
        finally:
            process.kill()


def _ask(store: ConfigStore, platform: Platform) -> str:
    platform.tokens.life = 3600
    before = platform.count("token", grant_type="refresh_token")
    command = [sys.executable, "-c", ASK, str(store.path)]
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_started(command)) for _ in range(PROCESSES)]
        tokens = {process.communicate()[0].strip() for process in processes}
    refreshes = platform.count("token", grant_type="refresh_token") - before
    store.reload()
    if {store.token()} != tokens or refreshes != 1:
        raise NotSharedError(
            f"{len(tokens)} different tokens and {refreshes} refreshes, not 1 and 1"
        )
    return f"all {PROCESSES} got the same token, and one refresh was sent"
