"""Fixtures of the sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List

import pytest
from proof import Effort, Tally
from sweep import WORKERS, Sweep, Worker, require_tracing


@pytest.fixture(scope="session")
def fault_workers() -> Iterator[List[Worker]]:
    """Processes whose children run scenarios."""
    require_tracing()
    made = [Worker() for _ in range(WORKERS)]
    yield made
    for worker in made:
        worker.close()


@pytest.fixture
def sweep(
    fault_workers: List[Worker], tmp_path: Path, tally: Tally, effort: Effort
) -> Sweep:
    """Run scenarios, each with a fault at another system call."""
    return Sweep(fault_workers, tmp_path, tally, effort)
