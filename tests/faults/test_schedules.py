"""Every order in which the steps of a few operations can come, up to so many interruptions."""

from __future__ import annotations

import itertools
import logging
import os
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, List, Tuple

import pytest
from baton import Stage, explore
from proof import Effort, Tally
from shared_world import NOW, Scene, World

from neuro_config.testing import Platform

SHARED_MEMORY = "/dev/shm"  # where there is one; the disk's own time is not the matter

OPERATIONS = (
    "token",
    "refresh_token",
    "fetch",
    "switch_cluster:farm",
    "switch_project:side",
    "login",
    "logout",
    "read",
)
PAIRS = tuple(itertools.combinations_with_replacement(OPERATIONS, 2))

# Three at once, where more can go wrong than between two.
TRIPLES = (
    ("token", "token", "token"),
    ("refresh_token", "refresh_token", "refresh_token"),
    ("refresh_token", "logout", "login"),
    ("refresh_token", "login", "refresh_token"),
    ("token", "logout", "login"),
    ("token", "switch_cluster:lab", "fetch"),
    ("refresh_token", "switch_cluster:farm", "switch_project:side"),
    ("fetch", "fetch", "logout"),
    ("login", "login", "token"),
)

# Somebody gets an answer that the disk refuses, others go on.
UNSAVED = (
    (("refresh_token", "read"), ("read", "refresh_token")),
    (("refresh_token", "login"), ("read", "refresh_token")),
    (("refresh_token", "logout"), ("read", "login", "refresh_token")),
    (("refresh_token", "token"), ("refresh_token",), ("read",)),
    (("refresh_token",), ("logout",)),
    (("refresh_token",), ("login", "refresh_token")),
    (("refresh_token",), ("refresh_token",), ("logout",)),
    (("refresh_token",), ("switch_cluster:farm", "token")),
)

Play = Callable[[Iterable[Scene], int, int], None]


@pytest.fixture
def deaths() -> int:
    """How many actors may be killed in a run."""
    return 0


@pytest.fixture
def play(platform: Platform, tally: Tally, deaths: int) -> Iterator[Play]:
    """Play scenes in so many orders each, with so many interruptions."""
    where = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where) as folder:
        stage = Stage(deaths=deaths)
        world = World(platform, Path(folder) / "config", stage)

        def all_of(scenes: Iterable[Scene], turns: int, limit: int) -> None:
            for scene in scenes:

                def run(prefix: Tuple[int, ...], scene: Scene = scene) -> Any:
                    return world.run(scene, prefix)

                for _ in explore(run, turns=turns, limit=limit):
                    tally()

        logging.disable(logging.WARNING)
        try:
            yield all_of
        finally:
            logging.disable(logging.NOTSET)


def scenes(
    scripts: Iterable[Tuple[str, ...]], *tokens: str, **options: Any
) -> List[Scene]:
    """Each of the scripts, of an operation for each actor, with each of the tokens."""
    return [
        Scene(token, tuple((operation,) for operation in script), **options)
        for script in scripts
        for token in tokens
    ]


@pytest.mark.attack("4", "5", "6", "7", "mark")
def test_two_processes_in_every_order(play: Play, effort: Effort) -> None:
    """Two processes' operations are interleaved in orders with one interruption or two."""
    play(scenes(PAIRS, *NOW), 2, effort(6))


@pytest.mark.attack("4", "5", "6", "7", "mark")
def test_three_processes_in_every_order(play: Play, effort: Effort) -> None:
    """Three processes' operations are interleaved in orders with one interruption or two."""
    play(scenes(TRIPLES, "fresh", "expired"), 2, effort(12))


@pytest.mark.attack("4", "5", "6", "13")
def test_threads_of_one_store_in_every_order(play: Play, effort: Effort) -> None:
    """Two threads of one store are interleaved step by step, and it shows what is stored."""
    play(scenes(PAIRS, "fresh", "expired", cast="one store"), 2, effort(12))


@pytest.mark.parametrize("deaths", [1])
@pytest.mark.attack("4", "6", "7", "mark")
def test_one_dies_at_any_step(play: Play, effort: Effort) -> None:
    """One of two processes is killed at any step, with one interruption before."""
    play(scenes(PAIRS, "fresh", "expired"), 1, effort(8))


@pytest.mark.attack("7", "mark")
def test_answer_lost_before_in_every_order(play: Play, effort: Effort) -> None:
    """Two processes find the mark of a lost answer, in orders with an interruption."""
    pairs = [pair for pair in PAIRS if set(pair) & {"token", "refresh_token", "fetch"}]
    play(scenes(pairs, *NOW, spent=True), 1, effort(4))


@pytest.mark.parametrize("refused", [(1,), (1, 2), (1, 3)])
@pytest.mark.attack("5", "6", "7")
def test_answer_that_the_disk_refuses_in_every_order(
    play: Play, effort: Effort, refused: Tuple[int, ...]
) -> None:
    """Threads share an answer that the disk refuses to take once or twice, step by step."""
    made = [Scene("fresh", scripts, "threads", refused=refused) for scripts in UNSAVED]
    play(made, 2, effort(24))
