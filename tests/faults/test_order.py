"""The system calls of a commit and of a reader, and their order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Optional

import pytest
import scenarios
from events import Event
from sweep import Sweep
from tracer import Fault

from neuro_config._directory import SESSION


def test_a_reader_makes_few_calls(sweep: Sweep, tmp_path: Path) -> None:
    """Reading a login is six system calls, takes no lock and writes nothing."""
    scenarios.prepare(tmp_path / "read-template", "read")
    outcome, _ = sweep.run("read", Fault(outside=True))
    calls = [_plain(name) for name in outcome.calls]
    assert ["stat", "open", "stat", "pread64", "pread64", "close"] == calls


def _plain(name: str) -> str:
    return {"newfstatat": "stat", "fstat": "stat", "openat": "open"}.get(name, name)


def events_of(sweep: Sweep, folder: Path, scenario: str) -> List[Event]:
    """What a scenario does to files in ``folder / "store"``."""
    directory = folder / "store"
    scenarios.prepare(directory, scenario)
    return sweep.at(scenario, directory, Fault(outside=True, record=True)).events


def _step(event: Event, directory: str) -> Optional[str]:
    """Tell what a call does for the durability of a commit, if anything."""
    above = os.path.dirname(directory)
    places = {directory: "D", above: "parent", os.path.dirname(above): "grandparent"}
    what = places.get(event.path, "file")
    if event.path.endswith((".holder", ".lock")):  # they may get lost
        return None
    if event.name == "write":
        return f"write {what}"
    if event.name in ("fsync", "fdatasync"):
        return f"fsync {what}"
    if event.name == "rename":
        return f"rename to {'session' if SESSION in event.target else 'catalog'}"
    if event.name == "unlink" and event.path.endswith(f"/{SESSION}"):
        return "unlink session"
    return None


FILE = ["write file", "fsync file"]
CATALOG = [*FILE, "rename to catalog", "fsync D"]
LOGIN = [*FILE, "rename to session", "fsync D"]


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("switch", LOGIN),
        ("logout", ["unlink session", "fsync D"]),
        ("refresh", [*FILE, *LOGIN]),
        ("fetch", [*CATALOG, *LOGIN]),
        ("first_login", ["fsync grandparent", *CATALOG, "fsync parent", *LOGIN]),
    ],
)
def test_everything_is_on_the_disk_before_it_counts(
    sweep: Sweep, tmp_path: Path, scenario: str, expected: List[str]
) -> None:
    """Write, fsync, rename, fsync of the directory: catalog first, then the login."""
    root = tmp_path / "root"
    root.mkdir()
    events = events_of(sweep, root, scenario)
    found = [_step(event, str(root / "store")) for event in events]
    assert expected == [step for step in found if step is not None]


def test_files_are_private_from_their_creation(sweep: Sweep, tmp_path: Path) -> None:
    """Every file is created 0600 and the directory 0700, and never widened."""
    events = events_of(sweep, tmp_path, "first_login")
    opened = [event for event in events if event.name == "openat"]
    created = [event for event in opened if event.number & os.O_CREAT]
    assert len(created) >= 3
    assert {0o600} == {event.mode for event in created}
    made = {
        event.path: event.mode for event in reversed(events) if event.name == "mkdir"
    }
    assert {str(tmp_path / "store"): 0o700} == made
    changed = {event.mode for event in events if event.name in ("chmod", "fchmod")}
    assert {0o700, 0o600} == changed
