"""Any bytes: kept cases, changed documents, a fuzzer that follows the branches, bounds.

The targets say what is read and what must hold: ``targets.py``.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import pytest
from common import HAS_ATHERIS, ROOT
from mutate import changed
from proof import Effort, Tally
from samples import import_path, in_child
from targets import TARGETS, memory, work_in
from worst import JSON, TOML, Make

CORPUS = Path(__file__).parent / "corpus"
RUNS = 1000  # of the fuzzer, for each target
MIB = 1 << 20


@pytest.fixture(autouse=True)
def _place() -> Iterator[None]:
    with tempfile.TemporaryDirectory(dir=memory()) as place:
        work_in(Path(place))
        yield


def corpus(name: str) -> List[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def test_every_target_has_a_corpus() -> None:
    """Each target has a folder of cases, and each folder a target."""
    assert sorted(TARGETS) == sorted(path.name for path in CORPUS.iterdir())


@pytest.mark.attack("12")
@pytest.mark.parametrize("name", TARGETS)
def test_kept_cases(name: str, tally: Tally) -> None:
    """Files and answers of every kind, and all that a fuzzer has found so far, are read or refused with one typed error."""
    cases = corpus(name)
    assert cases
    for data in cases:
        TARGETS[name](data)
        tally()


@pytest.mark.attack("12")
@pytest.mark.parametrize("name", TARGETS)
def test_changed_documents(name: str, tally: Tally, effort: Effort) -> None:
    """Valid files and answers with pieces left out, swapped, repeated or replaced by odd ones are read or refused with one typed error."""
    # By no engine of hypothesis: on Python 3.8 it and a full stack end the process.
    rng, documents = random.Random(name), corpus(name)
    for _ in range(effort(300)):
        data = rng.choice(documents)
        for _ in range(rng.choice((1, 1, 3))):
            data = changed(data, rng)
        try:
            TARGETS[name](data)
        except Exception as error:
            raise AssertionError(f"{name} of {data!r}") from error
        tally()


WORST: Dict[str, Dict[str, Make]] = {
    "session": TOML,
    "user_config": TOML,
    "catalog": JSON,
    "docker_config": JSON,
    "payload": JSON,
    "token_answer": JSON,
    "claims": JSON,
    "passed_config": JSON,
    "holder": JSON,
}


def _within(bound: int, seconds: int, work: Callable[[], None]) -> Callable[[], bool]:
    """Give a child so many bytes more than it has, and so much time of the processor."""

    def run() -> bool:
        if sys.version_info < (3, 10):
            # It aborts where the collector calls something at the recursion limit.
            gc.disable()
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        now = pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + bound, now + bound))
        used = resource.getrusage(resource.RUSAGE_SELF)
        so_far = int(used.ru_utime + used.ru_stime) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (so_far + seconds, so_far + seconds))
        work()
        return True

    return run


@pytest.mark.attack("12")
@pytest.mark.parametrize("name", WORST)
def test_worst_documents(name: str, tally: Tally, effort: Effort) -> None:
    """Documents that are deep, wide or long where it hurts take a time and a memory in proportion to their length."""
    size = min(effort(MIB // 8), MIB - 4096)
    for about, make in WORST[name].items():
        data = make(size).encode()
        work = _within(
            64 * MIB + 700 * size,
            10 + 30 * size // MIB,
            lambda: TARGETS[name](data),  # noqa: B023
        )
        assert in_child(work), about
        tally()


if HAS_ATHERIS:  # elsewhere there is no such test

    @pytest.mark.attack("12")
    @pytest.mark.timeout(3600)
    def test_coverage_guided(tmp_path: Path, tally: Tally, effort: Effort) -> None:
        """A fuzzer that follows the branches which its inputs take finds nothing but values and typed errors."""
        if importlib.util.find_spec("atheris") is None:
            reason = "the package atheris is missing: install the extra tests"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        runs = effort(RUNS)
        result = subprocess.run(
            [
                sys.executable,
                str(ROOT / "tests/fuzz/run.py"),
                "all",
                f"-runs={runs}",
                f"-max_total_time={max(60, runs // 50)}",
                f"-artifact_prefix={tmp_path}/",
            ],
            env={**os.environ, "PYTHONPATH": import_path()},
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert 0 == result.returncode, result.stderr[-8000:]
        done = re.findall(r"^Done (\d+) runs", result.stderr, re.MULTILINE)
        assert len(TARGETS) == len(done)
        tally(sum(map(int, done)))
