"""Is a history linearizable? The algorithm of Wing and Gong, with memory.

A history is a number of acts, each with the interval in which it took effect and with
what it brought. It is accepted if there is one moment in each interval, so that the
acts, one after the other at these moments, do what a specification allows. What was
tried is remembered (Lowe), so that no pair of a state and a set of acts done is looked
at twice.

A search that has chosen wrongly near its beginning may look at everything behind that
first. So a few short ones in other orders are made before the one that may take long.

An act that is not ``certain`` may also have had no effect: that of a process that died
in between, or a part of another act that is not always needed.
"""

from __future__ import annotations

import contextlib
import random
from typing import Any, Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

FOREVER = float("inf")
STEPS = 100_000  # pairs of a state and acts done that one history may take
SHORT = 20  # searches, of which all but the first are in other orders; together STEPS

Apply = Callable[[Any, Any], Iterable[Any]]


class Act(NamedTuple):
    """One act of a history.

    Args:
        begin: Before it took effect; of the same clock as all others.
        end: After it took effect.
        what: For the specification: what was done, and what it brought.
        certain: Whether it took effect at all.
        reads: Whether it may as well come at once where it is allowed and changes
            nothing: true of what never changes a state back to an earlier one.
    """

    begin: float
    end: float
    what: Any
    certain: bool = True
    reads: bool = False


class TooMuchError(Exception):
    """The history has too much under way at once to be judged."""


class _Place(NamedTuple):
    """Where a search is: the acts that are done, and what that led to."""

    done: int  # a bit for each act
    state: Any
    latest: float  # no later act can have taken effect before
    path: Optional[Tuple[int, Any]]  # the last act, and those before it


def linearize(
    acts: Sequence[Act], apply: Apply, state: Any, *, steps: int = STEPS
) -> Optional[List[Act]]:
    """Put acts into an order that explains a history.

    Args:
        acts: In any order.
        apply: The specification: from a state and ``Act.what`` to the states that it
            may lead to, none if what the act brought is impossible in that state.
        state: Before all acts; can be hashed.
        steps: How much work to do at most.

    Returns:
        The acts that took effect, in an order that is allowed; ``None`` if there is none.

    Raises:
        TooMuchError: ``steps`` are not enough.
    """
    for search in range(SHORT):
        with contextlib.suppress(TooMuchError):
            return _search(acts, apply, state, steps // SHORT, search)
    return _search(acts, apply, state, steps, 0)


def _order(acts: Sequence[Act], search: int) -> List[float]:
    """Rank the acts for a search: in number 0 those that ended first are in front."""
    chance = random.Random(search)
    spread = (
        0.0 if search == 0 else max((act.end - act.begin for act in acts), default=0)
    )
    return [act.end + spread * chance.random() for act in acts]


def _search(
    acts: Sequence[Act], apply: Apply, state: Any, steps: int, search: int
) -> Optional[List[Act]]:
    order = _order(acts, search)
    needed = sum(1 << index for index, act in enumerate(acts) if act.certain)
    seen = set()
    places = [_Place(0, state, -FOREVER, None)]
    while places:
        place = places.pop()
        if place.done & needed == needed:
            return _in_order(acts, place.path)
        if (place.done, place.state) in seen:
            continue
        seen.add((place.done, place.state))
        if len(seen) > steps:
            raise TooMuchError(f"{len(acts)} acts took more than {steps} steps")
        places += _following(acts, apply, place, order)
    return None


def _following(
    acts: Sequence[Act], apply: Apply, place: _Place, order: List[float]
) -> List[_Place]:
    found = []
    possible = _possible(acts, place, order)
    # By then an act that may have had no effect must have had it.
    soon = min(
        (acts[one].end for one in possible if not acts[one].certain), default=FOREVER
    )
    for index in possible:
        for state in apply(place.state, acts[index].what):
            following = _Place(
                place.done | 1 << index,
                state,
                max(place.latest, acts[index].begin),
                (index, place.path),
            )
            is_free = acts[index].certain and acts[index].begin <= soon
            if acts[index].reads and is_free and state == place.state:
                return [following]
            found.append(following)
    found.reverse()  # the last one is tried first
    return found


def _possible(acts: Sequence[Act], place: _Place, order: List[float]) -> List[int]:
    """List the acts that may come next, in the order of this search."""
    left = [index for index in range(len(acts)) if not place.done >> index & 1]
    first_end = min(acts[index].end for index in left if acts[index].certain)
    possible = [
        index
        for index in left
        if acts[index].begin <= first_end and acts[index].end >= place.latest
    ]
    return sorted(possible, key=order.__getitem__)


def _in_order(acts: Sequence[Act], path: Optional[Tuple[int, Any]]) -> List[Act]:
    order: List[Act] = []
    while path is not None:
        index, path = path
        order.append(acts[index])
    return order[::-1]
