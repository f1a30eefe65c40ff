"""Attacks on the promises, how much they do, and the table that tells of them.

An attack is a test with the mark ``attack``, which names the promises that it is made
on: ``"1"`` to ``"13"``, ``"mark"`` for that of a refresh. Its docstring is what the
table says. It takes ``effort`` for how much to do, and counts its cases with ``tally``::

    @pytest.mark.attack("1", "3")
    def test_kill(tally: Tally, effort: Effort) -> None:
        \"\"\"A process dies at any system call.\"\"\"
        for case in cases[: effort(200)]:
            ...
            tally()

The plain suite makes an effort of 0.1, CI one of 0.5, ``--effort 10`` is the long form.
``--proof=FILE`` writes the rows of a run into the page ``FILE``.
"""

from __future__ import annotations

import inspect
import platform as machine
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import pytest

BEGIN = "<!-- written by a run of the attacks -->"
END = "<!-- end -->"
PLAIN = 0.1

Tally = Callable[..., None]
Effort = Callable[..., int]

_ROW = re.compile(r"\| (?P<promises>[^|]+) \| (?P<how>[^|]+) \| (?P<cases>[\d,]+) \| ")


class Row(NamedTuple):
    """One line of the table."""

    promises: str
    how: str


class _Outcome:
    """What became of one attack, however many parameters it has."""

    def __init__(self) -> None:
        self.cases = 0
        self.failed = 0
        self.skipped = 0


_COUNTED = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("proof")
    group.addoption(
        "--effort",
        type=float,
        default=PLAIN,
        help="how much the attacks do: 0.1 by default, 10 is the long form",
    )
    group.addoption("--proof", type=Path, help="the page to write the rows into")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "attack(*promises): an attack on promises of docs/explanation"
    )
    config.pluginmanager.register(_Proof(config), "proof-table")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """Count cases: ``tally()`` one, ``tally(n)`` so many."""
    request.node.stash[_COUNTED] = 0

    def count(cases: int = 1) -> None:
        request.node.stash[_COUNTED] += cases

    return count


@pytest.fixture
def effort(request: pytest.FixtureRequest) -> Effort:
    """Tell how many of so many cases to do: ``effort(200, least=10)``."""
    factor: float = request.config.getoption("--effort")

    def scaled(cases: int, least: int = 1) -> int:
        return max(least, round(cases * factor))

    return scaled


def row_of(item: pytest.Item) -> Row:
    """Tell what the table says of an attack."""
    mark = item.get_closest_marker("attack")
    assert mark is not None
    (how, *_) = (inspect.getdoc(getattr(item, "obj", None)) or "").splitlines()
    return Row(", ".join(mark.args), how.rstrip("."))


def rows_in(page: str) -> List[Row]:
    """Read the rows of a page."""
    return [
        Row(match["promises"], match["how"])
        for match in map(_ROW.match, page.splitlines())
        if match and match["promises"] != "promise"
    ]


class _Proof:
    """Gathers the outcomes of a run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._outcomes: Dict[Row, _Outcome] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Any:
        report = yield
        if item.get_closest_marker("attack") is not None:
            outcome = self._outcomes.setdefault(row_of(item), _Outcome())
            outcome.failed += report.failed
            outcome.skipped += report.skipped
            if report.when == "call":
                outcome.cases += item.stash.get(_COUNTED, 1)
        return report

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        cases = sum(outcome.cases for outcome in self._outcomes.values())
        if cases:
            terminalreporter.write_line(
                f"{cases:,} cases in {len(self._outcomes)} attacks"
            )
        path = self._config.getoption("--proof")
        if path is not None:
            head, _, rest = path.read_text().partition(BEGIN)
            tail = rest.partition(END)[2]
            path.write_text(f"{head}{BEGIN}\n\n{self._table()}\n{END}{tail}")

    def _table(self) -> str:
        effort = self._config.getoption("--effort")
        lines = [
            f"`--effort {effort:g}`, Python {machine.python_version()}, "
            f"{machine.system()} {machine.release().split('-')[0]}:",
            "",
            "| promise | how it is attacked | cases | result |",
            "|---|---|---:|---|",
        ]
        ordered = sorted(self._outcomes.items(), key=lambda item: _order(item[0]))
        for row, outcome in ordered:
            result = "held"
            if outcome.failed or outcome.skipped:
                result = f"**{outcome.failed} failed, {outcome.skipped} skipped**"
            lines.append(
                f"| {row.promises} | {row.how} | {outcome.cases:,} | {result} |"
            )
        return "\n".join(lines) + "\n"


def _order(row: Row) -> Tuple[List[int], str]:
    names = row.promises.split(", ")
    return [int(name) if name.isdigit() else 99 for name in names], row.how
