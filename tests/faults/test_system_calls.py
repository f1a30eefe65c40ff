"""How many system calls each operation makes, and what the documentation says of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict

import pytest
import scenarios
from common import ROOT
from sweep import Sweep
from tracer import Fault

# Other versions of Python and filelock make fewer, and filelock one more for each folder
# that the directory lies in.
NEARLY = 14  # calls

_ROW = re.compile(r"^\| (\w[\w ]*) \| (\d+) \| ", re.MULTILINE)
_NAMES = {
    "read": "read a login",
    "switch": "switch",
    "fetch": "fetch something new",
    "refresh": "refresh",
    "logout": "logout",
}


def told() -> Dict[str, int]:
    page = (ROOT / "docs/explanation/speed.md").read_text(encoding="utf-8")
    return {name: int(count) for name, count in _ROW.findall(page)}


@pytest.mark.parametrize("scenario", sorted(_NAMES))
def test_as_many_calls_as_the_page_says(
    sweep: Sweep, tmp_path: Path, scenario: str
) -> None:
    """Each operation makes about as many system calls as documented."""
    scenarios.prepare(tmp_path / f"{scenario}-template", scenario)
    outcome, _ = sweep.run(scenario, Fault(outside=True))
    expected = told()[_NAMES[scenario]]
    assert abs(expected - len(outcome.calls)) <= NEARLY, outcome.calls
