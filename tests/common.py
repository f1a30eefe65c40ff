"""What the tests share."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

import pytest

from neuro_config import ConfigError, ConfigStore
from neuro_config.testing import ClusterSpec, Platform, ProjectSpec

ROOT = Path(__file__).parent.parent

# What atheris has wheels for; setup.cfg says the same.
HAS_ATHERIS = (
    (3, 11) <= sys.version_info < (3, 14)
    and sys.platform == "linux"
    and os.uname().machine == "x86_64"
)

CLUSTERS = (
    ClusterSpec(name="default", orgs=("acme", "umbrella")),
    ClusterSpec(name="farm", orgs=("acme",)),
    ClusterSpec(name="lab", orgs=("NO_ORG", "umbrella")),
)
PROJECTS = (
    ProjectSpec(name="main", cluster_name="default", org_name="acme"),
    ProjectSpec(name="side", cluster_name="default", org_name="acme"),
    ProjectSpec(name="main", cluster_name="farm", org_name="acme"),
    ProjectSpec(name="labour", cluster_name="lab", org_name="umbrella"),
)


class Clock:
    """A clock that a test sets; seconds since the epoch."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


Login = Callable[..., ConfigStore]


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test where a program is missing; where CI runs, that is a failure."""
    missing = shutil.which(program) is None and os.environ.get("CI") != "true"
    return pytest.mark.skipif(missing, reason=f"the program {program} is missing")


def tools() -> Path:
    """Return the folder that ``tests/tools`` installs into."""
    return Path(os.environ.get("NEURO_CONFIG_TOOLS") or ROOT / ".tools")


def needs_tool(path: str) -> pytest.MarkDecorator:
    """Skip a test where a file of the tools is missing; in CI that is a failure."""
    missing = not (tools() / path).exists() and os.environ.get("CI") != "true"
    reason = (
        f"{path} is missing in {tools()}: run tests/tools/install_* with that folder"
    )
    return pytest.mark.skipif(missing, reason=reason)


def in_thread(call: Callable[[], object]) -> Callable[[], Optional[ConfigError]]:
    """Start a call and return what waits for the error that it ends with."""
    errors: List[ConfigError] = []

    def run() -> None:
        try:
            call()
        except ConfigError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def join() -> Optional[ConfigError]:
        thread.join()
        return errors[0] if errors else None

    return join


def wait_for_the_request(platform: Platform, before: int = 0) -> None:
    """Wait until one more refresh than before has reached the platform."""
    while platform.count("token", grant_type="refresh_token") == before:
        time.sleep(0.01)


def passed(platform: Platform, **fields: Any) -> str:
    """What the platform passes into a job, with some fields changed."""
    whole = {
        "token": platform.issue_access_token(),
        "cluster": "default",
        "url": str(platform.url),
        **fields,
    }
    return base64.b64encode(json.dumps(whole).encode()).decode()


def free_urls(count: int = 2) -> Tuple[str, ...]:
    """Callback URLs whose ports nobody uses, each with its port."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return tuple(f"http://127.0.0.1:{one.getsockname()[1]}" for one in sockets)
