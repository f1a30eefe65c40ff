"""Threads that run one at a time, and every order in which their steps can come.

An actor is a thread that holds the baton while it runs. At each step it may lose it to
another, who goes on from its own last step. Which one goes on is decided by a list of
choices, and a run tells where there were others, so all runs can be made one by one: first
those in which nobody is interrupted, then those with one interruption, and so on.

A step is a call that others can notice: a lock that is taken or let go, a file that is
opened, renamed, removed or looked for, a request that is sent or answered, and what
threads of one process share. An actor can be killed at any step: the kernel lets its
locks go, and nothing else that it does has an effect.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import pytest

from neuro_config import ConfigStore, _http, _locks, _unsaved

PATIENCE = 60.0  # seconds that a single step may take
LONG = 100.0  # seconds after which nobody waits any more
PIECE = 1.0  # seconds by which the clock is moved when all wait

Prefix = Tuple[int, ...]


class Killed(BaseException):
    """What an actor that was killed feels."""


class Stuck(Exception):
    """All wait for each other."""


class _Choice(NamedTuple):
    """Where a run could have gone on in several ways.

    Args:
        taken: Index of the way that was taken.
        costs: For each way, how many interruptions it is, and how many deaths.
    """

    taken: int
    costs: List[Tuple[int, int]]


class Actor:
    """One thread on the stage; ``killed`` tells the label of the step before which."""

    def __init__(self, play: Callable[[], None]) -> None:
        self.go = threading.Lock()
        self.go.acquire()
        self.play = play
        self.done = False
        self.waits_since: Optional[int] = None  # number of locks let go by then
        self.killed: Optional[str] = None
        self.locks: List[_locks.Lock] = []


class Stage:
    """Runs actors by choices; ``deaths`` says how many may be killed."""

    def __init__(self, *, deaths: int = 0) -> None:
        self.clock = 0
        self._deaths = deaths
        self._by_thread: Dict[int, Actor] = {}
        self._actors: List[Actor] = []
        self._prefix: Prefix = ()
        self._trace: List[_Choice] = []
        self._released = 0
        self.skipped = 0.0  # seconds that all have waited
        self._all_done = threading.Lock()

    # ------------------------------------------------------------------ the director

    def run(self, plays: List[Callable[[], None]], prefix: Prefix) -> List[_Choice]:
        """Run the actors until all are done.

        Args:
            plays: What each one does.
            prefix: What to choose at the first places; the first way after that.

        Raises:
            Stuck: Nobody can go on.
        """
        self._actors = [Actor(play) for play in plays]
        self._prefix, self._trace = prefix, []
        self._released = 0
        self.skipped = 0.0
        self._all_done.acquire()
        threads = [
            threading.Thread(target=self._act, args=(actor,), daemon=True)
            for actor in self._actors
        ]
        for thread in threads:
            thread.start()
        self._next(None, "begin")
        assert self._all_done.acquire(timeout=PATIENCE), "a step takes too long"
        self._all_done.release()
        for thread in threads:
            thread.join(PATIENCE)
        self._by_thread.clear()
        if self.skipped > LONG:
            raise Stuck
        return self._trace

    @property
    def actors(self) -> List[Actor]:
        """The actors of the last run."""
        return self._actors

    def tick(self) -> int:
        """Return a moment, later than all before."""
        self.clock += 1
        return self.clock

    def _act(self, actor: Actor) -> None:
        self._by_thread[threading.get_ident()] = actor
        self._await_turn(actor)
        with contextlib.suppress(Killed):
            if actor.killed is None:
                actor.play()
        actor.done = True
        self._next(actor, "end")

    def _next(self, actor: Optional[Actor], label: str) -> Optional[Actor]:
        """Choose who goes on, and give the baton away."""
        if all(one.done for one in self._actors):
            self._all_done.release()
            return None
        if not any(map(self._is_able, self._actors)):
            self.skipped += PIECE
            self._released += 1  # all look once more, some of them for the last time
        ways = self._ways(actor)
        if self.skipped > LONG:
            ways = [(one, 0, 1) for one in self._actors if not one.done]
        taken = 0
        if len(ways) > 1:
            place = len(self._trace)
            taken = self._prefix[place] if place < len(self._prefix) else 0
            costs = [(turns, deaths) for _, turns, deaths in ways]
            self._trace.append(_Choice(taken, costs))
        chosen, _, deaths = ways[taken]
        if deaths:
            self._kill(chosen, label)
        if chosen is not actor:
            chosen.go.release()
        return chosen

    def _ways(self, actor: Optional[Actor]) -> List[Tuple[Actor, int, int]]:
        able = [one for one in self._actors if self._is_able(one)]
        goes_on = actor is not None and actor in able
        able.sort(key=lambda one: one is not actor)
        ways = [(one, int(goes_on and one is not actor), 0) for one in able]
        dead = sum(one.killed is not None for one in self._actors)
        if actor is not None and not actor.done and dead < self._deaths:
            ways.append((actor, 0, 1))
        return ways

    def _is_able(self, actor: Actor) -> bool:
        return not actor.done and actor.waits_since != self._released

    def _kill(self, actor: Actor, label: str) -> None:
        actor.killed = label
        actor.waits_since = None
        for lock in actor.locks:
            _release(lock)
        self._released += 1

    def _await_turn(self, actor: Actor) -> None:
        assert actor.go.acquire(timeout=PATIENCE), "a step takes too long"

    # -------------------------------------------------------------------- the actors

    def step(self, label: str) -> None:
        """Let others go first, if that is what is chosen."""
        actor = self._by_thread.get(threading.get_ident())
        if actor is None:
            return
        self._require_alive(actor)
        if self._next(actor, label) is not actor:
            self._await_turn(actor)
        self._require_alive(actor)

    def wait(self) -> None:
        """Wait until a lock has been let go."""
        actor = self._by_thread[threading.get_ident()]
        self._require_alive(actor)
        actor.waits_since = self._released
        self.step("wait")
        actor.waits_since = None

    def let_go(self) -> None:
        """Tell those who wait that a lock has been let go."""
        self._released += 1

    @property
    def me(self) -> Optional[Actor]:
        """The actor whose thread this is, if it is one's."""
        return self._by_thread.get(threading.get_ident())

    def _require_alive(self, actor: Actor) -> None:
        if actor.killed is not None:
            raise Killed


class StageLock:
    """A lock of threads, of the kind that its holder can take again."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._holder: Optional[Actor] = None
        self._depth = 0

    def __enter__(self) -> None:
        self._stage.step("thread lock")
        while self._depth and self._holder is not self._stage.me:
            self._stage.wait()
        self._holder = self._stage.me
        self._depth += 1

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        self._stage.let_go()


_release = _locks.Lock.release

# What others can notice, and what they cannot but a dead one cannot do either.
_NOTICED = ("rename", "unlink", "link", "listdir")
_UNNOTICED = ("write", "fsync", "utime", "mkdir")
_SHARED = ("find", "keep", "drop", "save")


@contextlib.contextmanager
def staged(stage: Stage, refuses: Callable[[str, Any], None]) -> Iterator[None]:
    """Make what the package does steps of a stage.

    Args:
        refuses: Called with the name of a call of the system and its first argument, to
            raise what the system would.
    """

    def stepping(
        owner: Any, name: str, *, label: str = "", noticed: bool = True
    ) -> None:
        original = getattr(owner, name)

        def stepped(*args: Any, **options: Any) -> Any:
            actor = stage.me
            if actor is not None:
                if noticed:
                    stage.step(label or name)
                elif actor.killed is not None:
                    raise Killed
                refuses(name, args[0] if args else None)
            return original(*args, **options)

        patch.setattr(owner, name, stepped)

    open_file, take = os.open, _locks.Lock._take
    sleep, monotonic = time.sleep, time.monotonic

    def open_stepped(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if stage.me is not None:
            if flags & os.O_CREAT or str(path).endswith((".lock", ".holder")):
                stage._require_alive(stage.me)
            else:
                stage.step("open")
        return open_file(path, flags, *args, **options)

    def take_stepped(lock: _locks.Lock, path: str) -> bool:
        stage.step("take")
        taken = take(lock, path)
        if taken and stage.me is not None:
            stage.me.locks.append(lock)
        return taken

    def release_stepped(lock: _locks.Lock) -> None:
        stage.step("release")
        _release(lock)
        stage.let_go()

    def sleep_stepped(seconds: float) -> None:
        if stage.me is None:
            sleep(seconds)
        else:
            stage.wait()

    def send_stepped(deadline: Any, call: Callable[[], Any], url: str) -> Any:
        stage.step("send")
        answer = call()
        stage.step("answer")
        return answer

    with pytest.MonkeyPatch.context() as patch:
        for name in _NOTICED:
            stepping(os, name)
        for name in _UNNOTICED:
            stepping(os, name, noticed=False)
        for name in _SHARED:
            stepping(_unsaved, name, label=f"answer: {name}")
        stepping(ConfigStore, "_show", label="show")
        patch.setattr(os, "open", open_stepped)
        patch.setattr(time, "sleep", sleep_stepped)
        patch.setattr(time, "monotonic", lambda: monotonic() + stage.skipped)
        patch.setattr(_http, "within", send_stepped)
        patch.setattr(_locks.Lock, "_take", take_stepped)
        patch.setattr(_locks.Lock, "release", release_stepped)
        # Nobody forks here, and other processes would not wait for it.
        patch.setattr(_locks, "_forking", contextlib.nullcontext())
        yield


def explore(
    run: Callable[[Prefix], List[_Choice]], *, turns: int, limit: int
) -> Iterator[Prefix]:
    """Make run after run, those with the fewest interruptions and deaths first.

    Args:
        run: Makes one and tells where it could have gone on otherwise.
        turns: How many interruptions a run may have.
        limit: How many runs to make at most; those are spread evenly, the same each time.

    Yields:
        What was chosen, after each run.
    """
    even = random.Random(limit)
    waiting: Dict[int, List[Prefix]] = {0: [()]}
    for _ in range(limit):
        levels = [level for level, prefixes in waiting.items() if prefixes]
        if not levels:
            return
        level = waiting[min(levels)]
        prefix = level.pop(even.randrange(len(level)))
        trace = run(prefix)
        yield prefix
        for place in range(len(prefix), len(trace)):
            for cost, other in _others(trace, place, turns):
                waiting.setdefault(cost, []).append(other)


def _others(
    trace: List[_Choice], place: int, turns: int
) -> Iterator[Tuple[int, Prefix]]:
    """Tell what else could have been chosen at a place, and how much that costs."""
    taken = [choice.costs[choice.taken] for choice in trace[:place]]
    interruptions = sum(turn for turn, _ in taken)
    deaths = sum(death for _, death in taken)
    for way, (turn, death) in enumerate(trace[place].costs):
        if way != trace[place].taken and interruptions + turn <= turns:
            cost = interruptions + turn + deaths + death
            yield cost, (*(choice.taken for choice in trace[:place]), way)
