"""Clocks that jump, are wrong, or show nonsense, and lifetimes that make no sense."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import pytest
from clock_world import AS_LONG_AS_IT_LIVES, LIFE, World, WorldClock
from proof import Effort, Tally

from neuro_config import ConfigStore

HOUR = 3600.0
DAY = 24 * HOUR
YEAR = 365 * DAY

JUMPS = [
    *(sign * size for size in (1.0, 800.0, 1000.0, 3 * HOUR, YEAR) for sign in (1, -1)),
    *(50 * YEAR, -50 * YEAR, 1e13, -1e13, math.nan, math.inf, -math.inf),
]
# What one call does, and how old the token is then.
CALLS: Dict[str, Tuple[Callable[[ConfigStore], object], float]] = {
    "expired": (ConfigStore.token, LIFE + 1),
    "early": (ConfigStore.token, 0.8 * LIFE),
    "asked": (ConfigStore.refresh_token, 10.0),
    "fetch": (ConfigStore.fetch, LIFE + 1),
}


def begin(folder: Path, age: float) -> Tuple[World, WorldClock, ConfigStore]:
    """A world with one process whose token has an age."""
    world = World(folder)
    clock = WorldClock(world)
    store = world.open(clock)
    world.log_in(store)
    world.now += age
    return world, clock, store


def require_calm(world: World, stores: List[ConfigStore], most: int = 1) -> None:
    """At one moment many calls of many processes send few requests."""
    before = world.server.refreshes
    for _ in range(3):
        for store in stores:
            store.token()
    assert world.server.refreshes - before <= most
    world.require_free()


def require_recovery(world: World, stores: List[ConfigStore]) -> None:
    """With right clocks tokens are truly valid again, at the latest after two lives."""
    before, begun = world.server.refreshes, world.now
    while world.now < begun + 4 * LIFE:
        for store in stores:
            token = store.token()
            if world.now >= begun + 2 * LIFE:
                assert world.server.is_valid(token)
            assert world.server.dead_for(token) < LIFE
        world.now += 450
    assert world.server.refreshes - before <= 1 + 4 / 0.75
    assert 0 == world.server.reused
    assert stores[0].token() == world.session().token.access_token


@pytest.mark.attack("5", "7", "9", "mark")
@pytest.mark.parametrize("name", CALLS)
def test_a_clock_that_jumps_at_any_moment(
    name: str, tmp_path: Path, tally: Tally, effort: Effort
) -> None:
    """The clock jumps by seconds to for ever between any two of its readings in a call."""
    call, age = CALLS[name]
    world, clock, store = begin(tmp_path / "undisturbed", age)
    read = clock.readings
    call(store)
    moments = range(1, clock.readings - read + 2)  # and once after the call
    cases = [(moment, jump) for moment in moments for jump in JUMPS]
    random.Random(name).shuffle(cases)
    for number, (moment, jump) in enumerate(cases[: effort(30)]):
        world, clock, store = begin(tmp_path / str(number), age)
        clock.jump_at(moment, jump)
        call(store)
        assert world.server.refreshes <= 2
        world.require_free()
        stores = [store, world.open(clock)]
        require_calm(world, stores)
        clock.mend()
        require_calm(world, stores)
        require_recovery(world, stores)
        tally()


LIVES: List[Optional[str]] = [
    *(
        AS_LONG_AS_IT_LIVES,
        None,
        "null",
        "true",
        "false",
        "0",
        "-1",
        "-0.0",
        "1",
        "0.5",
    ),
    *("0.09", "1e-9", "1e-400", "1e999", "-1e999", "NaN", "Infinity", "-Infinity"),
    *("1e300", "9" * 400, "9" * 5000, '"3600"', '"0"', '"-1"', '"1e3"', '"soon"', '""'),
    *('"' + "9" * 5000 + '"', "[]", "[3600]", '{"seconds": {"n": [1, {}]}}', "2.5"),
]
CLAIMS: List[Dict[str, Any]] = [
    {},
    {"iat": None},
    {"exp": None},
    {"exp": 0},
    {"exp": -1e300},
    {"exp": 1.0, "iat": 5e9},
    {"exp": 1e300, "iat": None},
    {"exp": 1.8e9, "iat": 1.8e9},
]
SKEWS = (0.0, 5 * HOUR, -5 * HOUR, 40 * YEAR, -40 * YEAR)


@pytest.mark.attack("5", "9", "12")
@pytest.mark.parametrize("life", [1.0, LIFE])
def test_a_lifetime_that_makes_no_sense(
    life: float, tmp_path: Path, tally: Tally, effort: Effort
) -> None:
    """Tokens of a second or an hour come with any expires_in, exp and iat, to any clock."""
    cases = [(one, two, skew) for one in LIVES for two in CLAIMS for skew in SKEWS]
    random.Random(life).shuffle(cases)
    for number, (expires_in, claims, skew) in enumerate(cases[: effort(40)]):
        world = World(tmp_path / str(number))
        world.server.life = life
        clocks = [WorldClock(world, skew) for _ in range(2)]
        stores = [world.open(clock) for clock in clocks]
        world.server.expires_in, world.server.claims = expires_in, claims
        if expires_in == "9" * 5000:  # a number that no answer of ours may hold
            world.server.expires_in = "8" * 400
        world.log_in(stores[0])
        stores[1].reload()
        stores[0].refresh_token()
        assert world.server.is_valid(stores[0].token())
        for _ in range(12):
            require_calm(world, stores)
            tokens = {store.token() for store in stores}
            is_told = expires_in in (AS_LONG_AS_IT_LIVES, str(int(life)))
            assert not is_told or all(map(world.server.is_valid, tokens))
            world.now += LIFE / 4
        assert world.server.refreshes <= 1 + 12
        assert 0 == world.server.reused
        tally()


@pytest.mark.attack("5", "9")
def test_many_processes_whose_clocks_are_wrong(
    tmp_path: Path, tally: Tally, effort: Effort
) -> None:
    """Eight processes with clocks hours apart ask every five minutes, for half a day."""
    hours, processes = 12, 8
    for seed in range(effort(4)):
        chance = random.Random(seed)
        world = World(tmp_path / str(seed))
        clocks = [
            WorldClock(world, chance.choice([0.0, chance.uniform(-6, 6) * HOUR]))
            for _ in range(processes)
        ]
        stores = [world.open(clock) for clock in clocks]
        world.log_in(stores[0])
        for store in stores:
            store.reload()
        for _ in range(hours * 12):
            for store in stores:
                token = store.token()
                assert world.server.dead_for(token) < LIFE
                tally()
            world.now += 300
        assert 0 == world.server.reused
        assert world.server.refreshes <= processes * (1 + hours / 0.75)


@pytest.mark.attack("9")
@pytest.mark.parametrize("fault", [429, 503, "drop", "unreachable"])
def test_an_outage_and_a_clock_that_jumps(
    fault: object, tmp_path: Path, tally: Tally, effort: Effort
) -> None:
    """In an outage the clock of all processes jumps to and fro; a token is still valid."""
    for seed in range(effort(3)):
        chance = random.Random(seed)
        world = World(tmp_path / f"{fault}-{seed}")
        world.server.life = 30 * DAY
        clock = WorldClock(world)
        stores = [world.open(clock) for _ in range(4)]
        world.log_in(stores[0])
        valid = stores[0].token()
        for store in stores:
            store.reload()
        world.now += 0.76 * 30 * DAY
        world.server.fault = fault  # type: ignore[assignment]
        jumps = 0
        for _minute in range(240):
            if chance.random() < 0.05:
                jumps += 1
                clock.mend()
                # never past the end, where each call has to try
                clock.jump(chance.choice([0, 100, 2 * HOUR, -HOUR, -DAY, -3 * YEAR]))
            for store in (*stores, world.open(clock)):
                assert valid == store.token()
                tally()
            world.now += 60
        pauses = 4 + 240 / 15
        assert world.server.refreshes <= pauses + 2 * jumps
        world.server.fault = None
        clock.mend()
        world.now += 0.25 * 30 * DAY
        assert world.server.is_valid(stores[0].token())
        assert 0 == world.server.reused
