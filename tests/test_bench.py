"""The benchmark: what it concludes from samples, and one small run of it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import List

import measures
import pytest
import report
from common import ROOT, needs_tool, tools
from process import Launcher
from register import Access, lost
from subjects import OURS, PEERS

A = Access(0.0, 1.0, "a")
B = Access(2.0, 3.0, "b")


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        ([], 0),
        ([Access(4.0, 5.0, "b")], 0),
        ([Access(4.0, 5.0, "a")], 1),  # b was acknowledged, and is not there
        ([Access(4.0, 5.0, "a"), Access(6.0, 7.0, "a")], 1),  # the same one
        ([Access(2.5, 2.6, "a")], 0),  # b is under way: either may be seen
        ([Access(2.5, 2.6, "b")], 0),
        ([Access(0.5, 4.0, "a")], 0),
        ([Access(1.5, 1.6, "before")], 1),
        ([Access(0.5, 0.6, "before")], 0),
    ],
)
def test_lost(reads: List[Access], expected: int) -> None:
    """A write is lost if a later read shows what was certainly overwritten by it."""
    assert expected == lost([A, B], reads)


def test_overlapping_writes_may_end_in_any_order() -> None:
    """Of two writes at one moment either may be the last."""
    one, other = Access(0.0, 2.0, "one"), Access(1.0, 3.0, "other")
    for value in ("one", "other"):
        assert 0 == lost([one, other], [Access(4.0, 5.0, value)])


def test_a_process_finds_nothing_where_the_command_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is measured is the installed package, not one in the current folder."""
    (tmp_path / "decoy.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(Launcher()) as launcher:
        assert launcher.run(sys.executable, "pass").seconds > 0
        with pytest.raises(RuntimeError, match="import decoy"):
            launcher.run(sys.executable, "import decoy")


def samples(ours: List[float], *peers: List[float]) -> measures.Samples:
    found = {("import", OURS.name): ours}
    for peer, values in zip(PEERS, peers):
        found["import", peer.name] = values
    return found


def test_ratio_is_made_round_by_round() -> None:
    """A ratio holds where the machine slows down in between."""
    drifting = samples([1.0, 10.0, 1.0], [4.0, 40.0, 4.0], [3.0, 50.0, 5.0])
    assert 4.0 == report.ratio(drifting, "import")
    assert report.ratio(samples([1.0], []), "import") is None


def test_table() -> None:
    """The table shows the median, the least and the most in units that fit."""
    found = samples([0.001, 0.002, 0.0035], [2.0], [3.0])
    (line,) = [
        line for line in report.table(found).splitlines() if "imports it" in line
    ]
    assert "| process that imports it | 2 ms (1 ms to 3.5 ms) | 2 s | 3 s |  |" == line


def test_goals_tell_what_is_missed() -> None:
    """A goal is compared with what was measured, from the right side."""
    found: measures.Samples = {
        ("one token", OURS.name): [0.4e-6],
        ("one cluster_name", OURS.name): [2e-6],
        ("valid token", OURS.name): [1.0],
        ("valid token", PEERS[0].name): [9.0],
        ("expired token", OURS.name): [1.0],
        ("expired token", PEERS[0].name): [2.0],
    }
    text = report.table(found)
    assert "| `token()` | at most 0.5 µs | 0.4 µs | reached |" in text
    assert "| `cluster_name` | at most 1 µs | 2 µs | **missed** |" in text
    assert (
        "valid token: times faster than the best peer | at least 8 | 9 | reached"
        in text
    )
    assert (
        "expired token: times faster than the best peer | at least 2.5 | 2 | **missed**"
        in text
    )


def test_every_goal_is_about_what_is_measured() -> None:
    """No line of the table and no goal waits for a measure that nobody takes."""
    assert len(report.GOALS) == len({goal.text for goal in report.GOALS})
    page = (ROOT / "docs/explanation/speed.md").read_text(encoding="utf-8")
    for goal in report.GOALS:
        assert f"| {goal.text} | " in page
    for line in report.LINES:
        assert f"| {line.text} | " in page


@needs_tool("apolo-sdk/bin/python")
def test_a_small_run(tmp_path: Path) -> None:
    """The benchmark runs beside both peers, and nothing of ours gets lost in it."""
    for peer in PEERS:
        (tmp_path / peer.name).symlink_to(tools() / peer.name)
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "tools" / "bench"),
            *("--small", "--rounds", "1"),
            *("--environments", str(tmp_path), "--disk", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "| refreshes sent by 16 processes | at most 1 | 1 | reached |" in done.stdout
    assert (
        "| acknowledged switches that got lost | at most 0 | 0 | reached |"
        in done.stdout
    )
    assert (
        "| memory of the process with a valid token | at most 20 MiB |" in done.stdout
    )
