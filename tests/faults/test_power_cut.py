"""Power cuts: whatever a disk may have lost is rebuilt and read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, List, Optional, Sequence, Set, Tuple

import pytest
import scenarios
from beside import DAMAGED, NOBODY, look
from events import Event
from power import Disk, Tree, rebuild
from proof import Effort, Tally
from sweep import Sweep, sample
from test_crash import WRITERS, after, before, require_that_others_go_on
from tracer import Fault

UNREAD = (".tmp", ".lock", ".holder")  # no reader opens those
STORE = "deep/store"  # in a directory that a first login makes, too
CHANGES = {"mkdir", "openat", "write", "ftruncate", "fsync", "rename", "unlink"}
CHANGES |= {"link", "linkat"}


def seconds(left: str) -> List[str]:
    """What can follow on what a dead writer has left."""
    anyway = ["login", "logout"]
    if left in (NOBODY, DAMAGED):
        return anyway
    newer = ["adopt"] if left == after("refresh") else []
    return [*anyway, "fetch", "switch", "refresh", *newer]


class Ground:
    """A new folder per run, and states of it after a power cut."""

    def __init__(self, sweep: Sweep, folder: Path) -> None:
        self._sweep = sweep
        self._folder = folder
        self._count = 0
        self._found: Dict[FrozenSet[Tuple[str, Optional[bytes]]], str] = {}

    def new(self, copied: Path) -> Path:
        """Copy a folder."""
        return Path(shutil.copytree(copied, self._next()))

    def prepared(self, scenario: str) -> Path:
        """Make a folder that is as it is before a scenario."""
        root = self._next()
        root.mkdir()
        scenarios.prepare(root / STORE, scenario)
        return root

    def do(
        self, scenario: str, root: Path, when: int = 0
    ) -> Tuple[List[str], List[Event], str]:
        """Run a scenario, to its end or until it is killed at a call."""
        fault = Fault("kill", when, outside=True, record=True)
        outcome = self._sweep.at(scenario, root / STORE, fault)
        assert (when > 0) == outcome.died
        return outcome.calls, outcome.events, outcome.error or ""

    def rebuilt(self, tree: Tree) -> Path:
        """Make a folder of a state."""
        root = self._next()
        rebuild(tree, root)
        return root

    def found(self, tree: Tree) -> str:
        """Tell what a reader sees of a state."""
        key = frozenset(one for one in tree.items() if not one[0].endswith(UNREAD))
        if key not in self._found:
            root = self.rebuilt(tree)
            self._found[key] = look(str(root / STORE))
            shutil.rmtree(root)
        return self._found[key]

    def _next(self) -> Path:
        self._count += 1
        return self._folder / str(self._count)


@pytest.fixture
def ground(sweep: Sweep, tmp_path: Path) -> Ground:
    return Ground(sweep, tmp_path)


class Cuts:
    """States after power cuts in the course of events, each once.

    Args:
        before: A copy of the folder as it was.
        root: The folder in which the events happen.
    """

    def __init__(self, before: Path, root: Path) -> None:
        self._disk = Disk(before, root)
        self._seen: Set[Tuple[object, ...]] = set()

    def during(self, events: Sequence[Event]) -> Iterator[Tree]:
        """States that were not possible before."""
        yield from self._new()
        for event in events:
            self._disk.apply(event)
            yield from self._new()

    def pass_over(self, events: Sequence[Event]) -> None:
        """Let events happen."""
        for event in events:
            self._disk.apply(event)

    def moved(self, root: Path) -> None:
        """Let the events that follow happen in a copy."""
        self._disk.root = root

    def at_the_end(self) -> Iterator[Tree]:
        """States that are possible now."""
        return self._disk.states()

    def _new(self) -> Iterator[Tree]:
        for tree in self._disk.states():
            key = tuple(sorted(tree.items()))
            if key not in self._seen:
                self._seen.add(key)
                yield tree


@pytest.mark.attack("1", "2")
@pytest.mark.parametrize("scenario", WRITERS)
def test_a_power_cut_leaves_the_old_or_the_new_state(
    ground: Ground, scenario: str, tally: Tally
) -> None:
    """Whatever of the unforced changes a power cut loses at any moment: old or new, and after the call new."""
    root = ground.prepared(scenario)
    template = ground.new(root)
    _, events, error = ground.do(scenario, root)
    assert "" == error
    disk = Cuts(template, root)
    allowed = {before(scenario), after(scenario)}
    possible = set()
    for tree in disk.during(events):
        possible.add(ground.found(tree))
        assert possible <= allowed, tree
        folder = ground.rebuilt(tree)
        require_that_others_go_on(folder / STORE)
        shutil.rmtree(folder)
        tally()
    assert allowed == possible
    for tree in disk.at_the_end():
        assert after(scenario) == ground.found(tree), tree
        if scenario == "login_damaged":
            assert scenarios.DAMAGED in tree.values()
        tally()


@pytest.mark.attack("1", "2")
@pytest.mark.parametrize("first", WRITERS)
def test_what_is_built_on_a_dead_writers_work_survives_a_power_cut(
    ground: Ground, first: str, tally: Tally, effort: Effort
) -> None:
    """A writer dies at any call, another goes on from there, then the power goes: what that one returned for is there."""
    root = ground.prepared(first)
    calls, _, _ = ground.do(first, ground.new(root))
    deaths = [
        Fault("kill", number) for number, name in enumerate(calls, 1) if name in CHANGES
    ]
    for death in sample(deaths, lambda cases: effort(cases // 2)):
        dead = ground.new(root)
        _, done, _ = ground.do(first, dead, death.when)
        left = look(str(dead / STORE))
        for second in seconds(left):
            again = ground.new(dead)
            _, events, error = ground.do(second, again)
            assert "" == error
            now = look(str(again / STORE))
            disk = Cuts(root, dead)
            disk.pass_over(done)
            disk.moved(again)
            for tree in disk.during(events):
                assert ground.found(tree) in {before(first), left, now}, tree
                tally()
            for tree in disk.at_the_end():
                assert now == ground.found(tree), (first, death, second, tree)
                tally()
            shutil.rmtree(again)
        shutil.rmtree(dead)
