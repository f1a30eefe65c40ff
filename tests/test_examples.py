"""Every Python block of README.md and docs/ runs, against the embedded platform.

The rules of a page:

* Its blocks run in order and share one namespace, in which ``platform`` is the running
  platform. It is also the default platform, and the environment has a token and a
  passed configuration for it. Nobody is logged in at first.
* A block whose first line is a comment that names a file is saved under that name; a
  ``test_*.py`` is run by pytest, anything else as a script.
* A ``text`` block right after it is what it prints, ``...`` standing for anything.
* A comment ``<!-- example`` holds a block that readers do not see.
* In a ``console`` block each ``neuro-config`` command runs and prints what is below it,
  for a user whose home is ``/home/alice``; how many blanks there are does not count.
"""

from __future__ import annotations

import base64
import doctest
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, cast

import attrs
import click
import pytest
from cli import run

import neuro_config
from neuro_config import ConfigStore, LoggedIn, _errors, _states as states, aio, testing
from neuro_config._cli import main as cli
from neuro_config._cli._base import ExitCode
from neuro_config.testing import ExpiresIn, Platform

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in ROOT.glob("docs/**/*.md") if "_build" not in path.parts),
]
IDS = [str(path.relative_to(ROOT)) for path in PAGES]

BLOCK = re.compile(
    r"^(?:```(?P<language>python|text|console)|<!-- example)\n(?P<code>.*?)^(?:```|-->)$",
    re.MULTILINE | re.DOTALL,
)
FILE_NAME = re.compile(r"# (\w+\.py)\n")
FENCES = ["console", "ini", "json", "python", "shell", "text", "toml", "yaml"]

COMMANDS = {
    "demo": "python3 -m venv .venv && .venv/bin/pip install -q '.[cli,testing]' "
    "&& .venv/bin/neuro-config demo",
    "tests": "python3 -m venv .venv && .venv/bin/pip install -q -e "
    "'.[cli,testing,tests]' && .venv/bin/python -m pytest",
}


# Goes where a URL leads; the value of $BROWSER is split as a shell does.
BROWSER = "import sys, requests; requests.get(sys.argv[1])"


@attrs.frozen
class Example:
    """A block of Python.

    Args:
        code: The block, behind as many empty lines as stand before it in the page, so
            that a traceback shows the page's own lines.
        prints: What it prints, ``None`` where the page does not say.
        file_name: What it is saved as, ``None`` for a block that is run in place.
        is_console: It holds commands, each with what it prints.
    """

    code: str
    prints: Optional[str]
    file_name: Optional[str]
    is_console: bool = False


def examples(page: Path) -> Iterator[Example]:
    text = page.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    for block, after in zip(blocks, [*blocks[1:], None]):
        if block["language"] == "text":
            continue
        if block["language"] == "console":
            yield Example(block["code"], None, None, is_console=True)
            continue
        prints = None
        if after is not None and after["language"] == "text":
            is_next = not text[block.end() : after.start()].strip()
            prints = after["code"] if is_next else None
        lines = text.count("\n", 0, block.start("code"))
        name = FILE_NAME.match(block["code"])
        yield Example("\n" * lines + block["code"], prints, name and name[1])


def command(file_name: str) -> list[str]:
    if not file_name.startswith("test_"):
        return [sys.executable, file_name]
    plugin = "neuro_config.testing.pytest_plugin"
    return [sys.executable, "-m", "pytest", "-q", "-p", plugin, file_name]


def environment() -> Dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


def assert_same(expected: str, printed: str, options: int = 0) -> None:
    same = doctest.OutputChecker().check_output(
        expected, printed, doctest.ELLIPSIS | options
    )
    assert same, f"{printed!r} is not {expected!r}"


def run_console(code: str) -> None:
    """Run the commands of a block that are ours alone, and compare what they print."""
    for shown in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        line, _, expected = shown.partition("\n")
        if not line.startswith("neuro-config ") or "|" in line:
            continue
        result = run(*shlex.split(line)[1:])
        assert result.code in (ExitCode.OK, ExitCode.PROBLEMS), result
        if expected:
            expected = expected.replace("/home/alice", os.environ["HOME"])
            assert_same(expected, result.out, doctest.NORMALIZE_WHITESPACE)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """The platform that the pages speak to."""
    with Platform() as platform:
        token = platform.issue_access_token()
        passed = {"token": token, "cluster": "default", "url": str(platform.url)}
        encoded = base64.b64encode(json.dumps(passed).encode()).decode()
        monkeypatch.setenv("APOLO_TOKEN", token)
        monkeypatch.setenv("APOLO_URL", str(platform.url))
        monkeypatch.setenv("APOLO_PASSED_CONFIG", encoded)
        monkeypatch.setenv("BROWSER", f"{sys.executable} -c '{BROWSER}' %s")
        monkeypatch.setattr("neuro_config._store.DEFAULT_API_URL", str(platform.url))
        yield platform


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_examples(
    page: Path, embedded: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a page shows works, and prints what the page says."""
    namespace: Dict[str, Any] = {"__name__": "example", "platform": embedded}
    for example in examples(page):
        if example.is_console:
            run_console(example.code)
            continue
        if example.file_name is None:
            exec(compile(example.code, str(page), "exec", dont_inherit=True), namespace)
            printed = capsys.readouterr().out
        else:
            Path(example.file_name).write_text(example.code, encoding="utf-8")
            done = subprocess.run(
                command(example.file_name),
                env=environment(),
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            printed = done.stdout
            assert 0 == done.returncode, printed
        if example.prints is not None:
            assert_same(example.prints, printed)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_fences(page: Path) -> None:
    """No page hides Python in a fence that is not run."""
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^[ >]*(?:```+|~~~+)(.*)$", text, re.MULTILINE)
    opened = [fence for fence in fences[::2] if not fence.startswith("{")]
    assert [] == [fence for fence in opened if fence not in FENCES]
    assert {""} >= set(fences[1::2])
    assert text.count("```python") == len(
        re.findall(r"^```python$", text, re.MULTILINE)
    )
    assert not re.search(r"\{(code|code-block|sourcecode)\}|^>>> ", text, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(name: str) -> None:
    """README has the two commands, each on one line of its own."""
    assert f"\n```shell\n{COMMANDS[name]}\n```\n" in PAGES[0].read_text(
        encoding="utf-8"
    )


def commands(page: Path) -> Iterator[List[str]]:
    """The neuro-config commands that a page shows, each as the shell would split it."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```(?:console|shell)\n(.*?)^```$", text, re.M | re.S):
        for line in re.findall(
            r"(?<![\w-])neuro-config(?: [^|;&\n]*)?(?=[|;&\n])", block
        ):
            if not line.startswith("neuro-config-"):
                yield shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_exist(page: Path) -> None:
    """Every command that a page shows has the name and the options that it shows."""
    for arguments in commands(page):
        words, command = list(arguments), cast(click.Command, cli)
        while isinstance(command, click.Group) and words and words[0][:1] != "-":
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, arguments
            command = found
        command.make_context("neuro-config", words, resilient_parsing=True)


def test_no_token_in_an_argument() -> None:
    """No page shows a command that has a token among its arguments."""
    shown = [page.name for page in PAGES if "$(neuro-config token" in page.read_text()]
    assert [] == shown


def test_readme_draws_the_table() -> None:
    """README's diagram names every state and every event."""
    drawn = PAGES[0].read_text(encoding="utf-8").split("## Three states")[1]
    events = {event for row in states.TRANSITIONS.values() for event in row}
    names = [named.__name__ for named in (*states.TRANSITIONS, *events)]
    assert [] == [name for name in names if not re.search(rf"\b{name}\b", drawn)]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_named_files_exist(page: Path) -> None:
    """A file or a test that a page names is there, and so is what it links to."""
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|docs|neuro_config)/[\w./-]+)(?:::(\w+))?`", text)
    for path, test in named:
        assert (ROOT / path).exists(), path
        if test:
            source = (ROOT / path).read_text(encoding="utf-8")
            assert re.search(rf"\bdef {test}\b", source), f"{path}::{test}"
    for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
        assert (page.parent / link).exists(), link


def test_reference_is_complete() -> None:
    """Every public name has its place in the reference."""
    pages = sorted((ROOT / "docs" / "reference").glob("*.md"))
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    public = {*neuro_config.__all__, *aio.__all__, *testing.__all__} - {
        "__version__",
        *vars(_errors),
    }
    assert [] == sorted(name for name in public if not re.search(rf"\b{name}\b", text))


@pytest.mark.parametrize(
    ("name", "file_name"), [("signals.md", "worker.py"), ("asyncio.md", "service.py")]
)
def test_sigterm_in_a_thread(embedded: Platform, name: str, file_name: str) -> None:
    """With the line that the how-to shows, SIGTERM loses no answer of a thread's."""
    page = ROOT / "docs" / "howto" / name
    (script,) = (one for one in examples(page) if one.file_name == file_name)
    Path(file_name).write_text(script.code, encoding="utf-8")
    embedded.tokens.expires_in = 0.2
    store = ConfigStore()
    embedded.log_in(store)
    time.sleep(0.3)
    embedded.tokens.expires_in = ExpiresIn.LIFE
    embedded.faults.token.delay(answer=1.0)
    worker = subprocess.Popen([sys.executable, file_name], env=environment())
    while not embedded.count("token", grant_type="refresh_token"):
        assert worker.poll() is None
        time.sleep(0.01)
    worker.send_signal(signal.SIGTERM)
    assert 143 == worker.wait(30)
    store.reload()
    assert isinstance(store.state, LoggedIn)
    assert 1 == embedded.count("token", grant_type="refresh_token")


def test_runner(tmp_path: Path) -> None:
    """The runner finds blocks, what they print, and the names of files."""
    page = tmp_path / "page.md"
    page.write_text(
        textwrap.dedent(
            """\
            ```python
            print(1)
            ```

            ```text
            1
            ```
            <!-- example
            x = 1
            -->
            ```python
            # script.py
            ```
            Words.
            ```text
            no output
            ```
            """
        )
    )
    expected = [
        Example("\nprint(1)\n", "1\n", None),
        Example("\n" * 8 + "x = 1\n", None, None),
        Example("\n" * 11 + "# script.py\n", None, "script.py"),
    ]
    assert expected == list(examples(page))
