"""Processes with clocks of their own, in any order of events, held against the true time."""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path
from typing import Callable, Optional

import pytest
from clock_world import AS_LONG_AS_IT_LIVES, LIFE, World, WorldClock
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from proof import Effort, Tally

from neuro_config import ConfigError, ConfigStore

HOUR, YEAR = 3600.0, 365 * 86400.0
SIZES = (1.0, 100.0, 800.0, 2 * HOUR, 30 * HOUR, YEAR, 70 * YEAR, 1e13)
JUMPS = (*SIZES, *(-size for size in SIZES), math.nan, math.inf, -math.inf)
WAITS = (1.0, 30.0, 700.0, 0.76 * LIFE, LIFE, 30 * HOUR)
FAULTS = (None, None, "lose", "drop", "unreachable", 429, 503)
LIVES = (AS_LONG_AS_IT_LIVES, None, "0", "1", "0.5", "1e-9", "1e300", '"60"', "true")
CALLS = (ConfigStore.token, ConfigStore.refresh_token, ConfigStore.fetch)
PROCESSES = st.integers(0, 2)


class Clocks(RuleBasedStateMachine):
    """Three processes share a login; the server knows what time it is."""

    count: Callable[[], None]

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="clocks-"))
        self.world = World(self.folder)
        self.server = self.world.server
        self.clocks = [WorldClock(self.world) for _ in range(3)]
        self.stores = [self.world.open(clock) for clock in self.clocks]
        self.world.log_in(self.stores[0])
        for store in self.stores:
            store.reload()
        self.disturbed_at = self.world.now
        self.count()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def disturb(self) -> None:
        self.disturbed_at = self.world.now

    # -------------------------------------------------------------------- rules

    @rule(seconds=st.sampled_from(WAITS))
    def wait(self, seconds: float) -> None:
        if self.is_disturbed():
            self.disturb()
        self.world.now += seconds

    @rule(which=PROCESSES, seconds=st.sampled_from(JUMPS))
    def jump(self, which: int, seconds: float) -> None:
        self.clocks[which].jump(seconds)
        self.disturb()

    @rule(seconds=st.sampled_from(JUMPS))
    def jump_together(self, seconds: float) -> None:
        for clock in self.clocks:
            clock.jump(seconds)
        self.disturb()

    @rule()
    def mend(self) -> None:
        for clock in self.clocks:
            clock.mend()
        self.disturb()

    @rule(fault=st.sampled_from(FAULTS))
    def change_the_server(self, fault: object) -> None:
        self.server.fault = fault  # type: ignore[assignment]
        self.disturb()

    @rule(life=st.sampled_from(LIVES))
    def change_the_lifetime(self, life: Optional[str]) -> None:
        self.server.expires_in = life
        self.disturb()

    @rule(which=PROCESSES)
    def start_anew(self, which: int) -> None:
        self.stores[which] = self.world.open(self.clocks[which])

    @rule(which=PROCESSES)
    def log_in(self, which: int) -> None:
        self.world.log_in(self.stores[which])
        for store in self.stores:
            store.reload()
        self.disturb()

    @rule(
        which=PROCESSES,
        call=st.sampled_from(CALLS),
        moment=st.integers(1, 12),
        seconds=st.sampled_from((0.0, 0.0, 0.0, *JUMPS)),
    )
    def act(
        self,
        which: int,
        call: Callable[[ConfigStore], object],
        moment: int,
        seconds: float,
    ) -> None:
        """Call, and let the clock jump meanwhile."""
        store, clock = self.stores[which], self.clocks[which]
        if seconds:
            clock.jump_at(moment, seconds)
            self.disturb()
        before = self.server.refreshes
        try:
            call(store)
        except ConfigError:
            assert self.is_excused(call)
        clock.jump_at(0, 0.0)
        # A connection that cannot be made is tried twice, what arrived never.
        assert self.server.refreshes - before <= 1
        self.require_calm(store)

    def is_excused(self, call: object) -> bool:
        """Whether a call may fail: the server does, or an answer of its was lost."""
        session = self.world.session()
        is_over = self.server.ended(str(session.token.refresh_token))
        is_refused = not self.server.is_valid(session.token.access_token)
        return (
            self.server.fault is not None
            or session.refresh_sent is not None
            or is_over
            or (call is ConfigStore.fetch and is_refused)
        )

    def require_calm(self, store: ConfigStore) -> None:
        """Who has got a token asks nobody for another one."""
        try:
            store.token()
        except ConfigError:
            assert self.is_excused(ConfigStore.token)
            return
        before = self.server.refreshes
        tokens = {store.token() for _ in range(3)}
        assert 1 == len(tokens)
        assert before == self.server.refreshes
        session = self.world.session()
        is_alive = not session.refresh_sent and not session.refresh_failure
        if not self.is_disturbed() and is_alive:
            since = self.world.now - self.disturbed_at
            assert since <= 2 * LIFE or self.server.is_valid(tokens.pop())

    def is_disturbed(self) -> bool:
        return (
            self.server.fault is not None
            or self.server.expires_in != AS_LONG_AS_IT_LIVES
            or any(clock.skew or clock.broken is not None for clock in self.clocks)
        )

    # --------------------------------------------------------------- invariants

    @invariant()
    def nothing_is_spent_twice(self) -> None:
        if hasattr(self, "world"):
            assert 0 == self.server.reused

    @invariant()
    def no_login_is_lost(self) -> None:
        if hasattr(self, "world"):
            token = self.world.session().token.refresh_token
            assert not self.server.ended(str(token)) or self.server.lost(str(token))

    @invariant()
    def nobody_holds_a_lock(self) -> None:
        if hasattr(self, "world"):
            self.world.require_free()


@pytest.mark.attack("5", "7", "9", "mark")
def test_any_clocks_in_any_order(tally: Tally, effort: Effort) -> None:
    """Three processes whose clocks jump call in any order, while the server fails at times."""
    Clocks.count = staticmethod(tally)
    run_state_machine_as_test(
        Clocks,
        settings=settings(
            max_examples=effort(60),
            stateful_step_count=25,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
