"""Two directives that draw the state machine from ``neuro_config._states.TRANSITIONS``.

``state-diagram`` is an inline SVG, ``state-table`` the same table in words. Nothing about
the machine is written here, so the pages cannot say anything else than the code does.
The one edge that is no event is the clock's: ``at`` makes a ``TokenExpired`` of a
``LoggedIn`` whose time has passed.
"""

from __future__ import annotations

from html import escape
from typing import Dict, List, Tuple, Type

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from neuro_config import _states
from neuro_config._states import TRANSITIONS, LoggedIn, State, TokenExpired

GAP = 330  # between the centers of two states
WIDTH, HEIGHT = 150, 48  # of a state
DEPTH = 110  # of an arc below, per state that it passes or reaches
LINE = 17  # of text
MARGIN = 20
PER_LINE = 2  # events on one line of a label

CLOCK = "expires_at passes"

Edge = Tuple[int, int]


class StateDiagram(SphinxDirective):
    """Draw the states in a row, with one arrow per pair of states."""

    def run(self) -> List[nodes.Node]:
        self.env.note_dependency(_states.__file__)
        return [nodes.raw("", draw(), format="html")]


class StateTable(SphinxDirective):
    """Write a table: a row per event, a column per state."""

    def run(self) -> List[nodes.Node]:
        self.env.note_dependency(_states.__file__)
        states = list(TRANSITIONS)
        events = list(
            dict.fromkeys(event for row in TRANSITIONS.values() for event in row)
        )
        head = ["event", *(f"in {state.__name__}" for state in states)]
        body = [
            [
                event.__name__,
                *(_outcome(TRANSITIONS[state].get(event)) for state in states),
            ]
            for event in events
        ]
        return [_table(head, body)]


def _outcome(target: Type[State] | None) -> str:
    return "WrongStateError" if target is None else target.__name__


def _table(head: List[str], body: List[List[str]]) -> nodes.table:
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]
    group += nodes.thead("", _row(head, nodes.inline))
    group += nodes.tbody("", *(_row(cells, nodes.literal) for cells in body))
    return nodes.table("", group)


def _row(cells: List[str], kind: Type[nodes.TextElement]) -> nodes.row:
    row = nodes.row()
    for cell in cells:
        row += nodes.entry("", nodes.paragraph("", "", kind("", cell)))
    return row


def draw() -> str:
    """Draw the table as an SVG that takes its colors from the page."""
    states = list(TRANSITIONS)
    edges: Dict[Edge, List[str]] = {}
    for source, row in TRANSITIONS.items():
        for event, target in row.items():
            edge = (states.index(source), states.index(target))
            edges.setdefault(edge, []).append(event.__name__)
    labels = {edge: _lines(events) for edge, events in edges.items()}
    loops = [
        len(lines) for (source, target), lines in labels.items() if source == target
    ]
    middle = MARGIN + HEIGHT / 2 + 56 + LINE * max(loops, default=0)
    parts = [_edge(edge, lines, middle) for edge, lines in labels.items()]
    clock = (states.index(LoggedIn), states.index(TokenExpired))
    parts.append(_edge(clock, [CLOCK], middle, "clock"))
    parts += [_state(state.__name__, _x(i), middle) for i, state in enumerate(states)]
    width = 2 * MARGIN + WIDTH + GAP * (len(states) - 1)
    longest = max(abs(a - b) for a, b in labels)
    height = middle + HEIGHT / 2 + MARGIN + 0.75 * DEPTH * longest
    names = ", ".join(state.__name__ for state in states)
    return (
        f'<svg class="states" viewBox="0 0 {width} {height:.0f}" role="img" '
        f'aria-label="State diagram of {names}; the table below says the same">'
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" '
        'markerHeight="8" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z"/>'
        f"</marker></defs>{''.join(parts)}</svg>"
    )


def _x(index: int) -> float:
    return MARGIN + WIDTH / 2 + GAP * index


def _lines(events: List[str]) -> List[str]:
    groups = [events[i : i + PER_LINE] for i in range(0, len(events), PER_LINE)]
    return ",\n".join(", ".join(group) for group in groups).split("\n")


def _state(name: str, x: float, y: float) -> str:
    return (
        f'<rect x="{x - WIDTH / 2}" y="{y - HEIGHT / 2}" width="{WIDTH}" '
        f'height="{HEIGHT}" rx="8"/><text class="state" x="{x}" y="{y + 5}">'
        f"{escape(name)}</text>"
    )


def _edge(edge: Edge, lines: List[str], y: float, kind: str = "event") -> str:
    source, target = edge
    start, end = _x(source), _x(target)
    x = (start + end) / 2
    if source == target:
        top = y - HEIGHT / 2
        path = f"M{x - 28} {top}C{x - 60} {top - 64} {x + 60} {top - 64} {x + 28} {top}"
        return _arrow(path, kind) + _text(lines, x, top - 56 - LINE * (len(lines) - 1))
    forward = 1 if target > source else -1
    if abs(target - source) == 1:
        level = y - 10 * forward
        path = f"M{start + forward * WIDTH / 2} {level}H{end - forward * WIDTH / 2}"
        first = level - 8 - LINE * (len(lines) - 1) if forward == 1 else level + 20
        return _arrow(path, kind) + _text(lines, x, first)
    depth = -forward * DEPTH * abs(target - source)
    edge_y = y - forward * HEIGHT / 2
    path = f"M{start} {edge_y}C{start} {edge_y + depth} {end} {edge_y + depth} {end} {edge_y}"
    return _arrow(path, kind) + _text(lines, x, edge_y + 0.75 * depth - 8)


def _arrow(path: str, kind: str) -> str:
    return f'<path class="{kind}" d="{path}" marker-end="url(#tip)"/>'


def _text(lines: List[str], x: float, y: float) -> str:
    return "".join(
        f'<text x="{x}" y="{y + LINE * i}">{escape(line)}</text>'
        for i, line in enumerate(lines)
    )


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directives."""
    app.add_directive("state-diagram", StateDiagram)
    app.add_directive("state-table", StateTable)
    return {"parallel_read_safe": True}
