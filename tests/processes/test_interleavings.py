"""One process has loaded; another changes the login; the first one goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional

import pytest
from common import Login
from talk import Talk

from neuro_config import ConfigStore
from neuro_config.testing import Platform

# What the other does, and what then is true on disk.
OTHERS = {
    "switch": "switch_cluster:farm",
    "refresh": "refresh_token",
    "fetch": "fetch",
    "logout": "logout",
    "login as bob": None,
    "login as alice": None,
}
MINE = ["fetch", "switch_cluster:lab", "switch_org:umbrella", "refresh_token", "token"]


@pytest.mark.parametrize("mine", MINE)
@pytest.mark.parametrize("other", OTHERS)
def test_two_processes(
    platform: Platform, login: Login, folder: Path, other: str, mine: str
) -> None:
    """Nothing is lost, nothing resurrected, no users mixed."""
    store = login()
    alices = store.token()
    offset = "2900" if mine == "token" else "0"  # past 75 % of the token's life
    first = Talk("agent.py", str(folder), offset)
    try:
        assert "ready\n" == first.read()
        after = ConfigStore(folder)
        if other.startswith("login"):
            platform.log_in(after, other.split()[-1])
        else:
            second = Talk("agent.py", str(folder), offset)
            try:
                assert "ready\n" == second.read()
                assert [None, None] == second.ask(str(OTHERS[other]))
            finally:
                second.end()
        after.reload()
        before = None if other == "logout" else after.state
        refreshes = platform.count("token", grant_type="refresh_token")
        sent = len(platform.requests)
        result, error = first.ask(mine)
        after.reload()
        if other == "logout":
            assert "NotLoggedInError" == error
            assert "LoggedOut" == type(after.state).__name__
        elif other.startswith("login"):
            assert "LoginChangedError" == error
            assert before == after.state
            assert len(platform.requests) == sent
            assert alices != after.token()
        else:
            assert error is None
            expected: Dict[str, Optional[str]] = {
                "switch_cluster:lab": "lab",
                "switch_org:umbrella": "default",
            }
            kept = "farm" if other == "switch" else "default"
            assert expected.get(mine, kept) == after.cluster_name
            again = platform.count("token", grant_type="refresh_token") - refreshes
            # With the other's refresh on disk the first needs none of its own.
            wants = mine in ("refresh_token", "token")
            assert int(wants and other != "refresh") == again
            assert alices != after.token() or not (wants or other == "refresh")
            if mine == "token":
                assert after.token() == result
        assert 0 == platform.count(reuse_detected=True)
    finally:
        first.end()
