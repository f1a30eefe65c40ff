"""A process that dies or is interrupted at any system call of a commit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List

import pytest
import scenarios
from beside import DAMAGED, NOBODY, look, seen_as
from samples import catalog, names_in, session
from sweep import Outcome, Sweep, content
from tracer import Fault

from neuro_config._directory import SESSION, catalog_name
from neuro_config._files import FileStorage

WRITERS = sorted(scenarios.AFTER)
NEXT = session("next", "third")


def before(scenario: str) -> str:
    """What a reader sees before a scenario."""
    if scenario == "first_login":
        return NOBODY
    if "damaged" in scenario:
        return DAMAGED
    return seen_as(scenarios.ANN, catalog("first"))


def after(scenario: str) -> str:
    """What a reader sees after it."""
    found = scenarios.AFTER[scenario]
    if found is None:
        return NOBODY
    is_second = found.catalog == scenarios.BOB.catalog
    return seen_as(found, catalog("second" if is_second else "first"))


def require_that_others_go_on(directory: Path) -> None:
    """The next writers succeed at once and leave no litter of the dead one."""
    storage = FileStorage(directory)
    assert NEXT == storage.update(
        lambda old: NEXT, 0.0, catalog=catalog("third"), replace=True
    )
    refresher = storage.sole_refresher(0.0)
    refresher.reserve()
    refresher.release()
    assert seen_as(NEXT, catalog("third")) == look(str(directory))
    assert [] == [name for name in os.listdir(directory) if name.endswith(".tmp")]
    for path in directory.glob("catalog-*"):
        os.utime(path, (0, 0))  # a day later
    storage.update(lambda old: NEXT, 0.0, catalog=catalog("third"))
    rest = names_in(directory) - {SESSION, catalog_name(NEXT.catalog)}
    aside = [name for name in rest if name.startswith(f"{SESSION}.corrupt-")]
    assert rest == set(aside)
    assert len(aside) <= 1


def require_one_step(scenario: str, seen: List[str]) -> None:
    """Readers saw the old state, or the old and then the new one."""
    whole = [before(scenario), after(scenario)]
    assert seen in (whole[:1], whole), seen


@pytest.mark.attack("1", "3", "8")
@pytest.mark.parametrize("scenario", WRITERS)
def test_a_killed_writer_leaves_the_old_or_the_new_state(
    sweep: Sweep, scenario: str
) -> None:
    """SIGKILL at any system call of a commit, beside a reader: one complete state, free locks, litter that goes."""

    def check(fault: Fault, directory: Path, outcome: Outcome) -> None:
        assert outcome.died, fault
        require_one_step(scenario, outcome.seen)
        assert outcome.seen[-1] == look(str(directory))
        require_that_others_go_on(directory)

    sweep.each(scenario, ["kill"], check, outside=False, read=True)


@pytest.mark.attack("1", "3")
@pytest.mark.parametrize("scenario", WRITERS)
def test_an_interrupted_writer_leaves_the_old_or_the_new_state(
    sweep: Sweep, scenario: str
) -> None:
    """Ctrl-C at any system call of a commit: one complete state, no lock, no litter at all."""

    def check(fault: Fault, directory: Path, outcome: Outcome) -> None:
        assert "KeyboardInterrupt" == outcome.error, fault
        # Python itself loses a file whose opening is interrupted; no lock may be lost.
        locks = [name for name in outcome.left if name.endswith(".lock")]
        assert ([], []) == (locks, outcome.held), fault
        require_one_step(scenario, outcome.seen)
        left = [name for name in content(directory) if name.endswith(".tmp")]
        assert [] == left, fault
        require_that_others_go_on(directory)

    sweep.each(scenario, ["interrupt"], check, read=True)
