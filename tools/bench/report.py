"""From samples to a table, a list of goals, and a plot.

A figure is the median of the rounds with the least and the most beside it. A ratio is
made round by round, the best peer's figure of a round by ours of the same round, and
then its median is taken: the machine's speed cancels out.
"""

from __future__ import annotations

import datetime
import os
import platform
import statistics
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional

from measures import FLOOR, SIZES, Samples
from subjects import OURS, PEERS

BEGIN = "<!-- written by tox -e bench -->"
END = "<!-- end -->"

LABELS = tuple(f"{clusters} x {presets}" for clusters, presets in SIZES)
SMALL, _, LARGE = LABELS


class Line(NamedTuple):
    """A line of the table.

    Args:
        measure: Name of the samples.
        text: What is read of them.
        unit: ``s`` for a time, which is shown in a unit that fits, or what to append.
        more: Whether more is better.
    """

    measure: str
    text: str
    unit: str = "s"
    more: bool = False


LINES = (
    Line("packages", "packages installed, itself included", ""),
    Line("installed", "size of the installation", " MiB"),
    Line("import", "process that imports it"),
    Line("valid token", "process that prints a valid token"),
    Line("expired token", "process that finds it expired"),
    Line("memory", "memory of the process with a valid token, at most", " MiB"),
    *(
        Line(f"one {what}", f"`{what}` on an open store")
        for what in ("token", "cluster_name", "presets", "get_user_config")
    ),
    *(
        Line(f"{what}, {size}", f"{text}, {size}")
        for what, text in (
            ("open", "open a store"),
            ("open and presets", "open, and the presets of one cluster"),
            ("switch", "`switch_cluster`"),
            ("fetch", "`fetch`, the same as before"),
            ("fetch of something new", "`fetch` of something new"),
        )
        for size in LABELS
    ),
    Line("herd: last one", "16 processes on an expired token, until all have one"),
    Line("herd: requests", "refreshes that they send", ""),
    Line("herd: without a token", "of them end without a token", ""),
    Line("storm: per second", "switches of 8 processes", " /s", more=True),
    Line("storm: lost", "acknowledged switches that got lost", ""),
    Line("storm: failed", "switches that failed", ""),
)


class Goal(NamedTuple):
    """What was to be reached, and a function that tells how far it is.

    Args:
        text: The goal.
        limit: At most that; at least, where ``more``.
        value: Of the samples.
        unit: As in ``Line``.
        more: Whether it has to be reached from below.
    """

    text: str
    limit: float
    value: Callable[[Samples], float]
    unit: str = ""
    more: bool = False


def ours(measure: str) -> Callable[[Samples], float]:
    return lambda samples: statistics.median(samples[measure, OURS.name])


def most(measure: str) -> Callable[[Samples], float]:
    return lambda samples: max(samples[measure, OURS.name])


def by_floor(measure: str, floor: str) -> Callable[[Samples], float]:
    return lambda samples: _by_round(samples[measure, OURS.name], samples[floor, FLOOR])


def by_size(measure: str) -> Callable[[Samples], float]:
    return lambda samples: _by_round(
        samples[f"{measure}, {LARGE}", OURS.name],
        samples[f"{measure}, {SMALL}", OURS.name],
    )


def times_faster(measure: str) -> Callable[[Samples], float]:
    def value(samples: Samples) -> float:
        found = ratio(samples, measure)
        assert found is not None
        return found

    return value


def more_than_warm(samples: Samples) -> float:
    fresh = samples[f"switch in a fresh process, {LARGE}", OURS.name]
    warm = samples[f"switch, {LARGE}", OURS.name]
    return statistics.median(one - other for one, other in zip(fresh, warm))


GOALS = (
    Goal("process with a valid token: times faster than the best peer", 8, times_faster("valid token"), more=True),
    Goal("... times as long as `import attr, tomli`", 1.5, by_floor("valid token", "import attr, tomli")),
    Goal("process with an expired token: times faster than the best peer", 2.5, times_faster("expired token"), more=True),
    Goal("memory of the process with a valid token", 20, most("memory"), " MiB"),
    Goal("`token()`", 0.5e-6, ours("one token"), "s"),
    Goal("`cluster_name`", 1e-6, ours("one cluster_name"), "s"),
    Goal(f"`switch_cluster`, {LARGE}: times a bare durable write", 2, by_floor(f"switch, {LARGE}", f"durable write, {LARGE}")),
    Goal(f"... times that of {SMALL} (the same, give or take)", 1.2, by_size("switch")),
    Goal("... longer in a fresh process", 0.010, more_than_warm, "s"),
    Goal(f"open, and the presets of one cluster, {LARGE}", 0.010, ours(f"open and presets, {LARGE}"), "s"),
    Goal(f"`fetch`, {LARGE}: times faster than the best peer", 2, times_faster(f"fetch, {LARGE}"), more=True),
    Goal("... of something new", 2, times_faster(f"fetch of something new, {LARGE}"), more=True),
    Goal("packages installed without extras", 16, most("packages")),
    Goal("size of the installation without extras", 12, most("installed"), " MiB"),
    Goal("refreshes sent by 16 processes", 1, most("herd: requests")),
    Goal("acknowledged switches that got lost", 0, most("storm: lost")),
)  # fmt: skip


def ratio(samples: Samples, measure: str) -> Optional[float]:
    """Tell how many times the best peer's figure is ours, pair by pair.

    Returns:
        The median of the rounds; ``None`` where a peer has no figure for each round.
    """
    own = samples[measure, OURS.name]
    peers = [samples.get((measure, peer.name), []) for peer in PEERS]
    complete = [values for values in peers if len(values) == len(own)]
    if not complete or not all(own):
        return None
    best = [min(values) for values in zip(*complete)]
    return _by_round(best, own)


def _by_round(values: List[float], others: List[float]) -> float:
    return statistics.median(one / other for one, other in zip(values, others))


def table(samples: Samples) -> str:
    """Return all figures as Markdown; what was not measured is left out."""
    names = [OURS.name, *(peer.name for peer in PEERS)]
    lines = [
        f"| | {' | '.join(names)} | best peer / ours |",
        f"|---|{'---:|' * (len(names) + 1)}",
    ]
    for line in LINES:
        if (line.measure, OURS.name) not in samples:
            continue
        cells = [_cell(samples.get((line.measure, name)), line.unit) for name in names]
        found = None
        if line.unit == "s":
            found = ratio(samples, line.measure)
        cells.append("" if found is None else f"{found:.3g}")
        lines.append(f"| {line.text} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n" + _floor(samples) + "\n" + _goals(samples)


def _floor(samples: Samples) -> str:
    rows = [
        ("pass", "the bare interpreter"),
        ("import attr, tomli", "`import attr, tomli`"),
        *((f"durable write, {label}", "a bare durable write") for label in LABELS[-1:]),
    ]
    lines = ["| the floor | |", "|---|---:|"]
    lines += [
        f"| {text} | {_cell(samples[name, FLOOR], 's')} |"
        for name, text in rows
        if (name, FLOOR) in samples
    ]
    return "\n".join(lines) + "\n"


def _goals(samples: Samples) -> str:
    lines = ["| goal | | measured | |", "|---|---:|---:|---|"]
    for goal in GOALS:
        try:
            value = goal.value(samples)
        except (KeyError, AssertionError):  # a trial does not measure everything
            continue
        is_met = value >= goal.limit if goal.more else value <= goal.limit
        limit = (
            f"{'at least' if goal.more else 'at most'} {_shown(goal.limit, goal.unit)}"
        )
        met = "reached" if is_met else "**missed**"
        lines.append(f"| {goal.text} | {limit} | {_shown(value, goal.unit)} | {met} |")
    return "\n".join(lines) + "\n"


def _cell(values: Optional[List[float]], unit: str) -> str:
    if not values:
        return ""
    low, middle, high = min(values), statistics.median(values), max(values)
    if low == high:
        return _shown(middle, unit)
    return f"{_shown(middle, unit)} ({_shown(low, unit)} to {_shown(high, unit)})"


def _shown(value: float, unit: str) -> str:
    if unit != "s":
        return f"{value:,.0f}{unit}" if value >= 100 else f"{value:.3g}{unit}"
    for limit, factor, name in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if value < limit:
            return f"{value * factor:.3g} {name}"
    return f"{value:.3g} s"


# ------------------------------------------------------------------ the documents


def publish(samples: Samples, page: Path, plot: Path) -> None:
    """Write the table into a page of the docs, and the plot beside it.

    Args:
        samples: Of a whole run.
        page: Holds the two marks between which the table is written.
        plot: An SVG file.
    """
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    rounds = len(samples["valid token", OURS.name])
    where = (
        f"{datetime.date.today():%B %Y}, Python {platform.python_version()}, "
        f"{platform.system()}, {os.cpu_count()} cores; median of {rounds} rounds, the "
        "least and the most in parentheses:"
    )
    page.write_text(
        f"{head}{BEGIN}\n\n{where}\n\n{table(samples)}\n{END}{tail}", encoding="utf-8"
    )
    draw(samples, plot)


def draw(samples: Samples, path: Path) -> None:
    """Draw how the times compare, on a logarithmic scale, as SVG."""
    import matplotlib

    matplotlib.use("svg")
    # Text as text, and nothing that differs from run to run but the figures.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench"})
    from matplotlib import pyplot, ticker

    lines = [
        line
        for line in LINES
        if line.unit == "s" and (line.measure, OURS.name) in samples
    ][::-1]
    figure, axes = pyplot.subplots(figsize=(8.5, 0.36 * len(lines) + 1))
    for who, color, marker in zip(
        [OURS, *PEERS], ("#0b6e4f", "#c1666b", "#7a6c9d"), "osD"
    ):
        found = [samples.get((line.measure, who.name)) for line in lines]
        rows = [row for row, values in enumerate(found) if values]
        kept = [values for values in found if values]
        middles = [1e3 * statistics.median(values) for values in kept]
        spread = [
            [middle - 1e3 * min(values) for middle, values in zip(middles, kept)],
            [1e3 * max(values) - middle for middle, values in zip(middles, kept)],
        ]
        axes.errorbar(
            middles, rows, xerr=spread, fmt=marker, color=color, label=who.name,
            markersize=5, elinewidth=1,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yticks(range(len(lines)), [line.text.replace("`", "") for line in lines])
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.set_xlabel("milliseconds; left is better")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="upper center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    figure.savefig(path, metadata={"Date": None})
