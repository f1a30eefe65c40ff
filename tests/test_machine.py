"""The real store on a real directory, held against the pure machine by hypothesis."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional

import pytest
from common import CLUSTERS, PROJECTS, Clock
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from neuro_config import (
    CannotRefreshError,
    Choice,
    ConfigStore,
    FileStorage,
    LoginChangedError,
    NotLoggedInError,
    Session,
    UnknownNameError,
)
from neuro_config._facts import fresh_until
from neuro_config._states import (
    TRANSITIONS,
    Event,
    at,
    fetch,
    log_in,
    log_out,
    refresh,
    step,
    stored,
    switch,
)
from neuro_config.testing import Platform

LIFE = 3600.0
ORGS: Dict[str, List[str]] = {one.name: sorted(map(str, one.orgs)) for one in CLUSTERS}
STORES = st.integers(0, 1)


def first_project(cluster: str, org: str, kept: Optional[str]) -> Optional[str]:
    names = sorted(
        one.name
        for one in PROJECTS
        if (one.cluster_name, one.org_name) == (cluster, org)
    )
    return kept if kept in names else (names[0] if names else None)


class StoreMachine(RuleBasedStateMachine):
    """Two stores share a directory; ``disk`` and ``seen`` are what must be true."""

    platform: Platform

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.clock = Clock(time.time())
        self.disk: Optional[Session] = None
        self.seen: List[Optional[Session]] = [None, None]
        self.stores = [
            ConfigStore(self.folder / "config", clock=self.clock) for _ in range(2)
        ]

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    # ------------------------------------------------------------------ helpers

    def read(self) -> Optional[Session]:
        return FileStorage(self.folder / "config").read()

    def expected_error(self, which: int, event: Event) -> Optional[type]:
        seen = self.seen[which]
        state = at(self.disk, self.clock())
        if event not in TRANSITIONS[type(state)]:
            return NotLoggedInError
        assert self.disk is not None
        if seen is None or seen.login_id != self.disk.login_id:
            return LoginChangedError
        return None

    def refused(self, which: int, event: Event, call: Callable[[], object]) -> bool:
        """Call what must fail, if it must, and tell whether it did."""
        error = self.expected_error(which, event)
        if error is None:
            return False
        with pytest.raises(error):
            call()
        if error is NotLoggedInError:
            self.seen[which] = None
        return True

    def happen(self, which: int, event: Event, *arguments: object) -> None:
        """Step the model and hold the disk against it."""
        state = at(self.disk, self.clock())
        self.disk = stored(step(state, event, *arguments))
        self.seen[which] = self.disk
        assert self.disk == self.read()

    def new_token(self, which: int) -> None:
        """The model cannot know a new token's text: it takes it from the disk."""
        session, old = self.read(), self.disk
        assert session is not None
        assert old is not None
        assert session.token.access_token != old.token.access_token
        assert session.token.refresh_token != old.token.refresh_token
        assert self.clock() + LIFE == session.token.expires_at
        self.happen(which, refresh, session.token)

    # -------------------------------------------------------------------- rules

    @rule(which=STORES, user=st.sampled_from(["alice", "bob"]), bare=st.booleans())
    def log_in(self, which: int, user: str, bare: bool) -> None:
        store = self.stores[which]
        if bare:
            token = self.platform.issue_access_token(user, LIFE * 2)
            store.login_with_token(token, url=self.platform.url)
        else:
            self.platform.log_in(store, user)
        session, old = self.read(), self.disk
        assert session is not None
        assert user == session.username
        assert Choice("default", "acme", "main") == session.choice
        assert bare == (session.token.refresh_token is None)
        assert old is None or old.login_id != session.login_id
        self.happen(which, log_in, session)

    @rule(which=STORES)
    def log_out(self, which: int) -> None:
        self.stores[which].logout()
        self.happen(which, log_out)

    @rule(which=STORES)
    def reload(self, which: int) -> None:
        self.stores[which].reload()
        self.seen[which] = self.disk

    @rule(seconds=st.sampled_from([1.0, 1000.0, 2700.0, 3599.0, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(which=STORES, name=st.sampled_from([*ORGS, "nowhere"]))
    def switch_cluster(self, which: int, name: str) -> None:
        def call() -> None:
            self.stores[which].switch_cluster(name)

        if self.refused(which, switch, call):
            return
        assert self.disk is not None
        if name not in ORGS:
            with pytest.raises(UnknownNameError):
                call()
            return
        call()
        held = self.disk.choice
        org = held.org_name if held.org_name in ORGS[name] else ORGS[name][0]
        project = first_project(name, str(org), held.project_name)
        self.happen(which, switch, Choice(name, org, project))

    @rule(which=STORES, name=st.sampled_from(["acme", "umbrella", "NO_ORG", "evil"]))
    def switch_org(self, which: int, name: str) -> None:
        def call() -> None:
            self.stores[which].switch_org(name)

        if self.refused(which, switch, call):
            return
        assert self.disk is not None
        held = self.disk.choice
        homes = [cluster for cluster in ORGS if name in ORGS[cluster]]
        if not homes:
            with pytest.raises(UnknownNameError):
                call()
            return
        call()
        cluster = held.cluster_name if held.cluster_name in homes else homes[0]
        project = first_project(str(cluster), name, held.project_name)
        self.happen(which, switch, Choice(cluster, name, project))

    @rule(which=STORES, name=st.sampled_from(["main", "side", "labour", "none"]))
    def switch_project(self, which: int, name: str) -> None:
        def call() -> None:
            self.stores[which].switch_project(name)

        if self.refused(which, switch, call):
            return
        assert self.disk is not None
        held = self.disk.choice
        place = held.cluster_name, held.org_name
        homes = [
            (one.cluster_name, one.org_name) for one in PROJECTS if one.name == name
        ]
        if place not in homes:
            with pytest.raises(UnknownNameError):
                call()
            return
        call()
        self.happen(which, switch, Choice(*place, name))

    @rule(which=STORES)
    def fetch(self, which: int) -> None:
        call = self.stores[which].fetch
        if self.refused(which, fetch, call):
            return
        assert self.disk is not None
        if type(at(self.disk, self.clock())).__name__ == "TokenExpired":
            if self.disk.token.refresh_token is None:
                with pytest.raises(CannotRefreshError):
                    call()
                return
            call()
            self.new_token(which)
        else:
            call()
        self.happen(which, fetch, self.disk.catalog, self.disk.auth, self.disk.choice)

    @rule(which=STORES)
    def refresh_token(self, which: int) -> None:
        call = self.stores[which].refresh_token
        if self.refused(which, refresh, call):
            return
        assert self.disk is not None
        seen = self.seen[which]
        assert seen is not None
        expired = type(at(self.disk, self.clock())).__name__ == "TokenExpired"
        if seen.token != self.disk.token and not expired:
            call()
            self.seen[which] = self.disk
        elif self.disk.token.refresh_token is None:
            with pytest.raises(CannotRefreshError):
                call()
        else:
            call()
            self.new_token(which)

    @rule(which=STORES)
    def token(self, which: int) -> None:
        call, seen = self.stores[which].token, self.seen[which]
        if seen is not None and self.clock() < fresh_until(seen, self.clock()):
            assert seen.token.access_token == call()  # whatever the disk says
            return
        if self.refused(which, refresh, call):
            return
        assert self.disk is not None
        if self.clock() < fresh_until(self.disk, self.clock()):
            self.seen[which] = self.disk
            assert self.disk.token.access_token == call()
        elif self.disk.token.refresh_token is None:
            with pytest.raises(CannotRefreshError):
                call()
        else:
            token = call()
            self.new_token(which)
            assert token == self.disk.token.access_token

    # --------------------------------------------------------------- invariants

    @invariant()
    def stores_show_what_they_saw(self) -> None:
        for store, seen in zip(getattr(self, "stores", []), getattr(self, "seen", [])):
            assert at(seen, self.clock()) == store.state

    @invariant()
    def no_litter(self) -> None:
        if hasattr(self, "folder"):
            assert [] == list(self.folder.glob("config/*.tmp"))

    @precondition(lambda self: self.disk is not None)
    @invariant()
    def reuse_is_never_detected(self) -> None:
        assert 0 == self.platform.count(reuse_detected=True)


def test_store_against_the_pure_machine() -> None:
    """Two stores on one directory do what the pure machine does, in any order."""
    with Platform(clusters=CLUSTERS, projects=PROJECTS, users=["bob"]) as platform:
        StoreMachine.platform = platform
        run_state_machine_as_test(
            StoreMachine,
            settings=settings(
                max_examples=120,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
