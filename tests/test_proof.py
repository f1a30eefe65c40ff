"""The page that shows what the attacks did tells of those that there are."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import List

import pytest
from common import HAS_ATHERIS, ROOT
from proof import END, Row, rows_in

LISTER = """
import sys, pytest
sys.path[:0] = ["tests"]

class Lister:
    def pytest_collection_finish(self, session):
        from proof import row_of  # not before pytest, which rewrites it

        for item in session.items:
            print("ROW", *row_of(item), sep="\\t")

sys.exit(pytest.main(["-q", "-m", "attack", "--collect-only"], plugins=[Lister()]))
"""


def attacks() -> List[Row]:
    result = subprocess.run(
        [sys.executable, "-c", LISTER], cwd=ROOT, capture_output=True, text=True
    )
    assert 0 == result.returncode, result.stdout + result.stderr
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    return sorted({Row(*line[1:]) for line in lines if line[0] == "ROW"})


if HAS_ATHERIS:  # elsewhere one attack is missing

    def test_the_page_tells_of_every_attack() -> None:
        """docs/explanation/proof.md has a row for each attack, and no other."""
        page = (ROOT / "docs/explanation/proof.md").read_text()
        assert attacks() == sorted(rows_in(page))


def test_every_promise_is_attacked() -> None:
    """The thirteen promises and the mark each stand in a row."""
    named = {one for row in attacks() for one in row.promises.split(", ")}
    assert {*map(str, range(1, 14)), "mark"} == named


def test_the_page_holds_no_failure() -> None:
    """Nothing but what held is published."""
    page = (ROOT / "docs/explanation/proof.md").read_text()
    table = page.partition("| promise |")[2].partition(END)[0]
    assert "**" not in table
    assert " held |" in table


PYTEST_FILE = '''
import pytest

@pytest.mark.attack("4", "mark")
@pytest.mark.parametrize("number", [1, 2])
def test_something(number, tally, effort):
    """Something is tried."""
    tally(effort(1000))

@pytest.mark.attack("3")
def test_once():
    """It counts as one."""
'''


def test_the_table_is_written(pytester: pytest.Pytester) -> None:
    """A run counts its cases, scaled by the effort, and writes them into the page."""
    pytester.makeconftest(
        f"import sys; sys.path[:0] = [{str(ROOT / 'tests')!r}]\npytest_plugins = ['proof']"
    )
    pytester.makepyfile(PYTEST_FILE)
    page = pytester.path / "page.md"
    page.write_text(
        "before\n<!-- written by a run of the attacks -->\nold\n<!-- end -->\nafter\n"
    )
    result = pytester.runpytest_subprocess(
        "--effort", "2", "--proof", str(page), "-p", "no:cacheprovider"
    )
    assert 0 == result.ret
    result.stdout.fnmatch_lines(["4,001 cases in 2 attacks"])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert [
        Row("3", "It counts as one"),
        Row("4, mark", "Something is tried"),
    ] == rows_in(text)
    assert "| 4, mark | Something is tried | 4,000 | held |" in text


def test_the_promises_name_tests_that_exist() -> None:
    """Each test that the pages in docs/explanation name is there."""
    named = {
        tuple(one)
        for page in (ROOT / "docs/explanation").glob("*.md")
        for one in re.findall(
            r"`(tests/[\w/]+\.py)::(?:\w+::)?(\w+)`", page.read_text(encoding="utf-8")
        )
    }
    assert len(named) > 30
    missing = [
        one
        for one in sorted(named)
        if f"def {one[1]}(" not in (ROOT / one[0]).read_text()
    ]
    assert [] == missing
