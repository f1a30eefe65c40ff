"""What the tests share."""

from __future__ import annotations

import os
import shutil
from typing import Callable

import pytest

from neuro_config import ConfigStore
from neuro_config.testing import ClusterSpec, ProjectSpec

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
