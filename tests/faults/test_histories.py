"""Herds of processes and threads on one directory, and a judge of what they tell.

A history is made of short rounds: between two of them nobody is at work, the disk is
looked at, and each round is judged on its own, so its size is bounded.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

import pytest
from lineage import Lineage
from linear import Act, TooMuchError, linearize
from proof import Effort, Tally
from race_spec import Did, Login, Offers, Spec, act, visible
from talk import Talk

from neuro_config import FileStorage
from neuro_config.testing import ClusterSpec, Platform, ProjectSpec

LIFE = 100_000.0  # seconds of a token's life; a test takes less than a thousandth
EVENT = Dict[str, Any]

ORGS = ("acme", "umbrella", "wayne")
NAMES = [f"cluster-{number:02}" for number in range(12)]
OFFERS: Offers = {
    name: {org: ["main", f"{org}-{number}"] for org in ORGS[number % 3 :]}
    for number, name in enumerate(NAMES)
}

# What a thread does next, and how often.
ACTIONS = {
    "token": 30,
    "read": 10,
    "refresh_token": 12,
    "switch_cluster": 12,
    "switch_org": 6,
    "switch_project": 6,
    "fetch": 10,
}
# In some rounds the login itself changes as well.
ENDINGS = {**ACTIONS, "login": 6, "logout": 4}
CALM = 0.7
TOO_MUCH = 4  # rounds
DEADLY = 0.35
# By how much the clock goes on before a round, in hundredths of a token's life.
TIMES = {0: 60, 80: 15, 110: 25}
AFTER_A_LOSS = {0: 30, 80: 20, 110: 50}


def chosen(chance: random.Random, weights: Dict[Any, int]) -> Any:
    return chance.choices(list(weights), list(weights.values()))[0]


class Rounds:
    """Rounds of one herd on one directory."""

    def __init__(
        self, platform: Platform, folder: Path, herd: Talk, chance: random.Random
    ) -> None:
        self._platform = platform
        self._folder = folder
        self._herd = herd
        self._chance = chance
        self._now = 0
        self._start = time.time()
        self._lineage = Lineage(platform, self._start, LIFE)
        self._disk: Optional[Login] = None
        self._known: Set[Tuple[int, int]] = set()  # threads that have a store
        self._seen: Dict[int, int] = {}  # the newest token of each grant
        self._alive: Set[int] = set()  # grants that were seen in this round
        self._lost: Set[int] = set()  # grants of which an answer may be lost
        self._again = 0  # rounds in which who sent a lost one once more may have died
        self._marked = False
        self.too_much = 0  # rounds that could not be judged, and do not count
        self._bound_elsewhere: Set[Tuple[int, int]] = set()

    def round(self, workers: int, threads: int, acts: int) -> int:
        """Have a herd do something, judge it, and return how much it was."""
        self._marked = marked = self._disk is not None and self._disk.spent
        self._now += chosen(self._chance, AFTER_A_LOSS if marked else TIMES)
        deadly = self._chance.random() < DEADLY
        calm = self._chance.random() < CALM
        slow = 0.02 if deadly else 0.0  # so that more die while they wait
        self._platform.faults.token.delay(slow, answer=slow)
        todo = {
            str(worker): [
                self._todo(worker, thread, acts, deadly, ACTIONS if calm else ENDINGS)
                for thread in range(threads)
            ]
            for worker in range(workers)
        }
        some = self._chance.sample(range(workers), min(workers, 2))
        events = self._herd.ask(
            json.dumps(
                {
                    "path": str(self._folder),
                    "url": str(self._platform.url),
                    "offset": self._now * LIFE / 100,
                    "todo": todo,
                    "kill": self._moments([-1, *some[:1]]) if deadly else {},
                    "stop": self._moments(some[1:2]),
                }
            )
        )
        history, died = self._history(events)
        self._judge(history, died)
        return sum(one.what.name != "renew" for one in history)

    def _moments(self, workers: List[int]) -> Dict[str, float]:
        return {str(worker): self._chance.random() * 0.1 for worker in workers}

    def _todo(
        self,
        worker: int,
        thread: int,
        acts: int,
        deadly: bool,
        weights: Dict[str, int],
    ) -> List[Dict[str, Any]]:
        """Choose what a thread does in a round."""
        who = worker, thread
        first = []
        if who not in self._known:
            first = [{"do": "open"}]
            self._known.add(who)
        elif who in self._bound_elsewhere and self._chance.random() < 0.8:
            first = [{"do": "read"}]
        is_over = self._disk is None or self._disk.over
        if is_over and who == (0, 0) and self._chance.random() < 0.7:
            first.append(self._action("login"))
        some = [
            self._action(chosen(self._chance, weights))
            for _ in range(acts - len(first))
        ]
        if not deadly and some and self._chance.random() < 0.1:
            some[-1]["forked"] = True
        return [*first, *some]

    def _action(self, name: str) -> Dict[str, Any]:
        if name == "login":
            grant, answer = self._lineage.begin(self._platform.user)
            return {"do": name, "argument": grant, "answer": answer}
        names = {
            "switch_cluster": NAMES,
            "switch_org": ORGS,
            "switch_project": ["main", *(f"{ORGS[2]}-{one}" for one in range(12))],
        }
        if name in names:
            return {"do": name, "argument": self._chance.choice(names[name])}
        return {"do": name}

    # ---------------------------------------------------------------------- judgment

    def _history(self, events: List[EVENT]) -> Tuple[List[Act], bool]:
        """Make a history of events, and tell whether somebody died."""
        begun: Dict[Tuple[int, int], EVENT] = {}
        history: List[Act] = []
        died = False
        self._bound_elsewhere, self._alive = set(), set()
        for event in events:
            who = event["worker"], event.get("thread", -1)
            if event["event"] == "begin":
                begun[who] = event
            elif event["event"] == "end":
                if event["error"] in ("LoginChangedError", "NotLoggedInError"):
                    self._bound_elsewhere.add(who)
                history += self._acts(begun.pop(who), event)
            elif event["event"] == "died":
                died = True
                worker = event["worker"]
                self._known -= {one for one in self._known if one[0] == worker}
                for one in [one for one in begun if one[0] == worker]:
                    history += self._acts(begun.pop(one), event)
        assert not begun
        return history, died

    def _acts(self, begin: EVENT, end: EVENT) -> List[Act]:
        name, argument = begin["do"], begin["argument"]
        if name == "login":
            choice = NAMES[0], ORGS[0], f"{ORGS[0]}-0"
            argument = Login(argument, 0, self._now, choice)
        did = Did(
            "read" if name == "open" else name,
            self._see(self._lineage.login_told(begin["held"])),
            argument,
        )
        if end["event"] == "died":
            return act(begin["at"], end["at"], did._replace(died=True))
        did = did._replace(error=end["error"], token=self._lineage.label(end["value"]))
        shows = self._see(self._lineage.login_told(end["shows"]))
        if end["error"] is None or name != "fetch":
            did = did._replace(shows=visible(shows))
        return act(begin["at"], end["at"], did)

    def _judge(self, history: List[Act], died: bool) -> None:
        before = self._disk
        self._disk = self._see(self._lineage.login(FileStorage(self._folder).read()))
        now = time.monotonic()
        last = Did("disk", argument=self._disk, shows=None)
        spec = Spec(self._now, OFFERS)
        told = "\n".join(map(str, [self._now, before, *sorted(history), last]))
        whole = [*history, *act(now, now, last)]
        try:
            assert linearize(whole, spec.apply, before) is not None, told
        except TooMuchError:  # too much at one moment; the next round goes on from here
            self.too_much += 1
            assert self.too_much <= TOO_MUCH
            history.clear()
        self._judge_server(died, told)

    def _judge_server(self, died: bool, told: str) -> None:
        """Hold what the authorization server has issued against what has been seen."""
        for grant, number in self._seen.items():
            newest = self._lineage.newest(grant)
            is_stored = self._disk is not None and self._disk.grant == grant
            # What a process sent that died may reach the server rounds later; its mark
            # tells of it.
            is_marked = is_stored and self._disk is not None and self._disk.spent
            if newest != number and (is_marked or (died and grant in self._alive)):
                self._lost.add(grant)
            if is_stored and grant not in self._lost:
                assert newest == number, f"an answer is lost\n{told}"
            # One was under way when the login ended, or whoever asked for it was killed.
            assert newest - number <= 1, told
        self._again += died and self._marked
        bound = len(self._lost) + self._again
        assert self._platform.count(reuse_detected=True) <= bound, told

    def _see(self, found: Optional[Login]) -> Optional[Login]:
        """Note which token somebody has seen."""
        if found is not None:
            self._alive.add(found.grant)
            seen = self._seen.get(found.grant, 0)
            self._seen[found.grant] = max(seen, found.number)
        return found


@pytest.fixture
def platform() -> Iterator[Platform]:
    """A platform with so many clusters that few switches are the same."""
    clusters = [
        ClusterSpec(name=cluster, orgs=tuple(map(str, orgs)))
        for cluster, orgs in OFFERS.items()
    ]
    projects = [
        ProjectSpec(name=project, cluster_name=cluster, org_name=org)
        for cluster, orgs in OFFERS.items()
        for org, names in orgs.items()
        for project in names
    ]
    with Platform(clusters=clusters, projects=projects, token_life=LIFE) as platform:
        yield platform


@pytest.fixture
def herd() -> Iterator[Talk]:
    talk = Talk("../faults/herd.py")
    yield talk
    talk.end()


@pytest.mark.parametrize(
    "size", [(1, 4, 3), (2, 3, 3), (8, 2, 2), (20, 1, 2), (64, 1, 1)], ids=str
)
@pytest.mark.attack("4", "5", "6", "7", "mark")
def test_histories(
    platform: Platform,
    folder: Path,
    herd: Talk,
    tally: Tally,
    effort: Effort,
    size: Tuple[int, int, int],
) -> None:
    """2 to 64 processes and threads, killed and stopped at random, do everything at once."""
    rounds = Rounds(platform, folder, herd, random.Random(f"{size}"))
    done = 0
    # So much at one moment takes long to judge.
    wanted = effort(900 if size[0] < 64 else 200)
    while done < wanted:
        acts = rounds.round(*size)
        done += acts
        tally(acts)
