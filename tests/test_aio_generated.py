"""How ``neuro_config/aio.py`` is made: it is what its maker writes, and misses nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from common import ROOT
from generate_aio import Generator, NoTwin, main

PACKAGE = ROOT / "neuro_config"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the sources that the generator reads."""
    for name in ("_view.py", "_store.py", "_client.py"):
        shutil.copy(PACKAGE / name, tmp_path)
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert 1 == text.count(old)
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_up_to_date() -> None:
    """The module is what the generator writes of today's sources, on every Python."""
    assert Generator(PACKAGE).module() == (PACKAGE / "aio.py").read_text("utf-8")


def test_check() -> None:
    """The command tells whether the module is up to date."""
    command = [sys.executable, str(ROOT / "tools" / "generate_aio.py"), "--check"]
    assert 0 == subprocess.run(command, check=False).returncode


def test_command(package: Path) -> None:
    """The command writes the module, and finds one that is not up to date."""
    assert 1 == main(["--check"], package)
    assert 0 == main([], package)
    assert 0 == main(["--check"], package)
    assert (PACKAGE / "aio.py").read_text("utf-8") == (package / "aio.py").read_text(
        "utf-8"
    )
    replace(package / "_store.py", "Ask the platform what there is", "Ask for more")
    assert 1 == main(["--check"], package)


def test_a_new_method(package: Path) -> None:
    """A method of the store becomes a coroutine that calls it in a thread."""
    new = '''    def forget(
        self,
        names: Dict[
            str, int
        ],
        everything_that_there_has_ever_been_anywhere_here: bool = False, *, now: Optional[float] = None
    ) -> int:
        """Forget names."""
        return 0

    def fetch(self) -> None:
'''
    replace(package / "_store.py", "    def fetch(self) -> None:\n", new)
    expected = '''    async def forget(
        self,
        names: Dict[str, int],
        everything_that_there_has_ever_been_anywhere_here: bool = False,
        *,
        now: Optional[float] = None,
    ) -> int:
        """Forget names."""
        return await self._run(
            lambda store: store.forget(
                names, everything_that_there_has_ever_been_anywhere_here, now=now
            )
        )
'''
    assert expected in Generator(package).module()


@pytest.mark.parametrize(
    ("module", "old", "new", "error"),
    [
        (
            "_store.py",
            "    def fetch(self)",
            "    limit: int = 5\n\n    def fetch(self)",
            "ConfigStore.limit is no function",
        ),
        (
            "_store.py",
            "    def fetch(self)",
            "    async def later(self) -> None: ...\n\n    def fetch(self)",
            "ConfigStore.later is no function",
        ),
        (
            "_store.py",
            "    def fetch(self)",
            "    limit = 5\n\n    def fetch(self)",
            "ConfigStore.limit is no function",
        ),
        (
            "_store.py",
            "    def fetch(self)",
            "    class Inner: ...\n\n    def fetch(self)",
            "ConfigStore.Inner is no function",
        ),
        (
            "_store.py",
            "    def fetch(self)",
            "    @classmethod\n    def fetch(self)",
            "ConfigStore.fetch is decorated",
        ),
        (
            "_store.py",
            "    def fetch(self)",
            "    @property\n    def fetch(self)",
            "ConfigStore.fetch may read a file",
        ),
        (
            "_store.py",
            "    def fetch(self)",
            "    def fetch(self, *names: str)",
            "fetch has parameters that no rule is for",
        ),
        (
            "_store.py",
            "    def fetch(self)",
            "    def fetch(self, tell: Callable[[str], None])",
            "ConfigStore.fetch.tell is a callback",
        ),
        (
            "_store.py",
            "    def auth(self)",
            "    def authority(self)",
            "ConfigStore.authority may read a file",
        ),
        (
            "_client.py",
            "    def closed(self)",
            "    def is_closed(self)",
            "Client.is_closed has no async twin",
        ),
        (
            "_client.py",
            "    def close(self)",
            "    def end(self)",
            "Client.end has no async twin",
        ),
        (
            "_client.py",
            "def logout(",
            "def log_out(",
            "log_out.show_browser is a callback",
        ),
        (
            "_client.py",
            "def login_with_token(",
            "def login_with_some_token(",
            "no such members: .'login_with_token.token'.",
        ),
    ],
)
def test_no_twin(package: Path, module: str, old: str, new: str, error: str) -> None:
    """A member that no rule is for is an error, and so is a rule without a member."""
    replace(package / module, old, new)
    with pytest.raises(NoTwin, match=error):
        Generator(package).module()
