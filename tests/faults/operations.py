"""What is disturbed: whole operations of a store, the network included."""

from __future__ import annotations

import time
from typing import Callable, Dict

from neuro_config import ConfigStore, TokenExpired

EXPIRED = 3700.0  # seconds after which the embedded platform's tokens have expired
LATE = 3000.0  # seconds after which a refresh is tried early


def later(directory: str, seconds: float) -> ConfigStore:
    """Open a store whose clock is ahead."""
    return ConfigStore(directory, clock=lambda: time.time() + seconds)


def login(directory: str, url: str, token: str) -> None:
    ConfigStore(directory).login_with_token(token, url=url)


def fetch(directory: str) -> None:
    ConfigStore(directory).fetch()


def switch(directory: str) -> None:
    ConfigStore(directory).switch_cluster("farm")


def refresh(directory: str) -> None:
    store = ConfigStore(directory)
    before = store.token()
    store.refresh_token()
    assert before != store.token()


def expired(directory: str) -> None:
    store = later(directory, EXPIRED)
    before = store.state
    assert isinstance(before, TokenExpired)
    assert before.session.token.access_token != store.token()


def logout(directory: str) -> None:
    ConfigStore(directory).logout()


OPERATIONS: Dict[str, Callable[..., None]] = {
    "whole login": login,
    "whole fetch": fetch,
    "whole switch": switch,
    "whole refresh": refresh,
    "whole expired": expired,
    "whole logout": logout,
}
