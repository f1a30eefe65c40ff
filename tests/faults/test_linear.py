"""The judge of histories, held against histories whose verdict is known."""

from __future__ import annotations

import itertools
import random
from typing import Any, Iterator, List, Optional, Sequence, Tuple

import pytest
from linear import FOREVER, Act, TooMuchError, linearize

READ = "read"
WRITE = "write"
ADD = "add"


def register(state: int, what: Any) -> Iterator[int]:
    """A number that is read, written, and added to with what it was before."""
    name, value = what
    if name == WRITE:
        yield value
    elif name == ADD and value in (None, state):
        yield state + 1
    elif name == READ and value == state:
        yield state


def judged(*acts: Tuple[float, float, str, Optional[int]]) -> bool:
    """Whether acts, given as begin, end, name and value, are linearizable from 0."""
    history = [Act(begin, end, (name, value)) for begin, end, name, value in acts]
    return linearize(history, register, 0) is not None


@pytest.mark.parametrize(
    "acts",
    [
        (),
        ((0, 1, WRITE, 1), (2, 3, READ, 1)),
        ((0, 3, WRITE, 1), (1, 2, READ, 0)),
        ((0, 3, WRITE, 1), (1, 2, READ, 1)),
        ((0, 5, WRITE, 1), (0, 5, WRITE, 2), (1, 2, READ, 2), (3, 4, READ, 1)),
        ((0, 9, ADD, 0), (0, 9, ADD, 1), (0, 9, ADD, 2)),
    ],
)
def test_accepted(acts: Sequence[Any]) -> None:
    """What some order explains is accepted."""
    assert judged(*acts)


@pytest.mark.parametrize(
    "acts",
    [
        ((0, 1, WRITE, 1), (2, 3, READ, 0)),  # stale
        ((0, 1, READ, 1), (2, 3, WRITE, 1)),  # from the future
        ((0, 9, ADD, 0), (0, 9, ADD, 0)),  # one of two is lost
        ((0, 9, WRITE, 1), (1, 2, READ, 1), (3, 4, READ, 0)),  # back again
        ((0, 1, WRITE, 1), (0, 1, WRITE, 2), (2, 3, READ, 1), (4, 5, READ, 2)),
        ((0, 1, READ, 7),),  # from nowhere
    ],
)
def test_rejected(acts: Sequence[Any]) -> None:
    """What no order explains is rejected."""
    assert not judged(*acts)


@pytest.mark.parametrize("found", [0, 1])
def test_died(found: int) -> None:
    """The act of somebody who died may have had its effect or not."""
    history = [
        Act(0, FOREVER, (ADD, None), certain=False),
        Act(1, 2, (READ, found)),
    ]
    assert linearize(history, register, 0) is not None


def test_died_before() -> None:
    """What somebody who died has done, he did before his death."""
    history = [
        Act(0, 1, (ADD, None), certain=False),
        Act(2, 3, (READ, 0)),
        Act(4, 5, (READ, 1)),
    ]
    assert linearize(history, register, 0) is None
    assert linearize(history[::2], register, 0) is not None


def test_order() -> None:
    """The order that is returned is one that explains it, without what had no effect."""
    last = Act(0, 9, (READ, 2))
    first, second = Act(0, 9, (ADD, 0)), Act(1, 9, (ADD, 1))
    died = Act(0, 9, (ADD, None), certain=False)
    assert [first, second, last] == linearize([last, died, second, first], register, 0)


def test_bounded() -> None:
    """A history that takes too much work is an error, and not accepted."""
    history = [Act(0, 9, (WRITE, number)) for number in range(30)]
    with pytest.raises(TooMuchError, match="31 acts"):
        linearize([*history, Act(0, 9, (READ, 99))], register, 0, steps=500)


def by_definition(history: Sequence[Act]) -> bool:
    """Try all orders, of all acts that are certain and any of the others."""

    def explains(order: Sequence[Act]) -> bool:
        states: List[int] = [0]
        for position, act in enumerate(order):
            if any(later.end < act.begin for later in order[position:]):
                return False
            states = [after for one in states for after in register(one, act.what)]
        return bool(states)

    certain = [act for act in history if act.certain]
    others = [act for act in history if not act.certain]
    return any(
        explains(order)
        for count in range(len(others) + 1)
        for some in itertools.combinations(others, count)
        for order in itertools.permutations([*certain, *some])
    )


def test_all_orders() -> None:
    """The verdict is that of trying all orders, for random histories."""
    chance = random.Random(1)
    verdicts = []
    for _ in range(300):
        history = []
        for _ in range(5):
            begin, end = sorted(chance.sample(range(12), 2))
            name = chance.choice((READ, WRITE, ADD))
            what = (name, chance.randrange(3))
            certain = chance.random() < 0.8
            history.append(Act(begin, end, what, certain, reads=name == READ))
        verdicts.append(by_definition(history))
        assert verdicts[-1] == (linearize(history, register, 0) is not None), history
    assert 50 < sum(verdicts) < 250
