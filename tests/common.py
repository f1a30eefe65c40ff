"""What the tests share."""

from __future__ import annotations

import base64
import json
import os
import shutil
import threading
import time
from typing import Any, Callable, List, Optional

import pytest

from neuro_config import ConfigError, ConfigStore
from neuro_config.testing import ClusterSpec, Platform, ProjectSpec

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
