from __future__ import annotations

from typing import Iterator

import pytest
import requests

from neuro_config.testing import Platform


@pytest.fixture
def http() -> Iterator[requests.Session]:
    """A session that no proxy of the environment gets between."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform() as running:
        yield running
