"""Logins at the embedded platform that whole operations are tried on."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import List, Optional

import attrs
from beside import look
from common import Login
from sweep import Outcome, Sweep
from tracer import Fault

from neuro_config import ConfigStore, FileStorage, LoggedIn, Session, Token
from neuro_config._refresh import token_from
from neuro_config.testing import ClusterSpec, Platform

LATER = ClusterSpec(name="later", orgs=("acme",))
LIFE = 3600.0  # seconds, of the platform's tokens
REFRESHES = ("whole refresh", "whole expired")


def stored(directory: Path) -> Session:
    """The login that is on the disk."""
    session = FileStorage(directory).read()
    assert session is not None
    return session


class Trial:
    """One run of an operation on a login of its own, and what there was before it.

    Attributes:
        directory: Of the store.
        old: The login before.
        seen_before: What a reader saw before.
        requests: How many refreshes had been sent before.
    """

    def __init__(self, platform: Platform, directory: Path, old: Session) -> None:
        self.platform = platform
        self.directory = directory
        self.old = old
        self.seen_before = look(str(directory))
        self.requests = self.sent()

    def sent(self) -> int:
        """How many refreshes have been sent and worked on."""
        return self.platform.count(
            "token", grant_type="refresh_token"
        ) - self.platform.count("token", grant_type="refresh_token", outcome="pending")

    def wait_for_the_platform(self, outcome: Outcome, fault: Fault, sends: int) -> bool:
        """Tell whether the refresh was sent, once the platform has worked on it.

        Args:
            outcome: Of the run.
            fault: The call that it hit was not made.
            sends: How many calls it takes to send the request.
        """
        made = outcome.calls[: fault.when - 1] + outcome.calls[fault.when :]
        if made.count("sendto") < sends:
            return False
        end = time.monotonic() + 60.0
        while self.sent() == self.requests:
            assert time.monotonic() < end
            time.sleep(0.001)
        return True


class Trials:
    """Runs of one whole operation."""

    def __init__(
        self, operation: str, sweep: Sweep, platform: Platform, login: Login
    ) -> None:
        self.operation = operation
        self.platform = platform
        self._sweep = sweep
        self._template = login().path
        assert self._template is not None
        self._count = 0
        self._token: Optional[Token] = None
        self._arguments: List[str] = []
        if operation == "whole login":
            token = platform.issue_access_token("bob")
            self._arguments = [str(platform.url), token]
        if operation == "whole fetch":
            platform.account.clusters = (*platform.account.clusters, LATER)

    def new(self) -> Trial:
        """Make a login that no other run has to do with."""
        self._count += 1
        directory = self._template.parent / f"trial-{self._count}"
        shutil.copytree(self._template, directory)
        if self.operation in (*REFRESHES, "whole logout"):
            token = self._token or token_from(self.platform.authorize(), time.time())
            self._token = None
            FileStorage(directory).update(
                lambda old: old and attrs.evolve(old, token=token), 5.0
            )
        return Trial(self.platform, directory, stored(directory))

    def use_again(self, trial: Trial) -> None:
        """Let the next run begin with the tokens that this one has left."""
        now = time.time()
        token = stored(trial.directory).token
        self._token = attrs.evolve(token, obtained_at=now, expires_at=now + LIFE)

    def run(self, trial: Trial, fault: Fault) -> Outcome:
        """Do the operation, with a reader beside."""
        return self._sweep.at(
            self.operation, trial.directory, fault, *self._arguments, read=True
        )


def require_that_it_works(directory: Path) -> None:
    """The next process goes on at once, and the platform takes the login's token."""
    storage = FileStorage(directory)
    storage.update(lambda session: session, 0.0)
    storage.sole_refresher(0.0).release()
    store = ConfigStore(directory)
    store.fetch()
    assert isinstance(store.state, LoggedIn)
    assert [] == [one.name for one in directory.glob("*.tmp")]
