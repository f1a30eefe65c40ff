"""A process that dies, fails or is interrupted at any system call of a commit."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import pytest
import scenarios
from samples import catalog, environment, names_in, python, session
from traced import Call, Outcome, Zygote, require_strace

from neuro_config._directory import SESSION, catalog_name
from neuro_config._errors import DamagedFileError
from neuro_config._files import FileStorage

WRITERS = sorted(scenarios.AFTER)
ERRORS = ("ENOSPC", "EIO", "EROFS", "EACCES", "EMFILE")
WORKERS = 2
NEXT = session("next", "third")

Check = Callable[[str, Path, Outcome], None]


class Sweep:
    """Runs of one scenario, each with a fault of its own."""

    def __init__(self, zygotes: List[Zygote], folder: Path) -> None:
        self._free: queue.Queue[Zygote] = queue.Queue()
        for zygote in zygotes:
            self._free.put(zygote)
        self._folder = folder

    def calls(self, scenario: str) -> List[Call]:
        """The system calls of a scenario that nothing disturbs."""
        outcome, _ = self.run(scenario)
        assert (False, None) == (outcome.died, outcome.error)
        return outcome.calls

    def run(self, scenario: str, inject: str = "") -> Tuple[Outcome, Path]:
        """Run a scenario in a fresh directory."""
        template = self._folder / f"{scenario}-template"
        directory = self._folder / f"{scenario}-{inject.replace(':', '-')}"
        if template.exists():
            shutil.copytree(template, directory)
        zygote = self._free.get()
        try:
            return zygote.run(scenario, directory, inject), directory
        finally:
            self._free.put(zygote)

    def each(self, scenario: str, faults: List[str], check: Check) -> None:
        """Run with each fault at each system call, and check what it leaves."""
        scenarios.prepare(self._folder / f"{scenario}-template", scenario)
        injections = [
            f"{call.name}:{fault}:when={call.nth}"
            for call in self.calls(scenario)
            for fault in faults
        ]

        def work(inject: str) -> None:
            outcome, directory = self.run(scenario, inject)
            check(inject, directory, outcome)
            shutil.rmtree(directory, ignore_errors=True)

        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(work, injections))


@pytest.fixture(scope="module")
def zygotes() -> Iterator[List[Zygote]]:
    require_strace()
    made = [Zygote() for _ in range(WORKERS)]
    yield made
    for zygote in made:
        zygote.close()


@pytest.fixture
def sweep(zygotes: List[Zygote], tmp_path: Path) -> Sweep:
    return Sweep(zygotes, tmp_path)


def state(directory: Path) -> object:
    """What a reader sees: a complete login, nobody, or the damage."""
    storage = FileStorage(directory)
    try:
        found = storage.read()
    except DamagedFileError:
        return scenarios.DAMAGED
    if found is not None:
        (name,) = [
            name
            for name in ("first", "second", "third")
            if found.catalog == session("", name).catalog
        ]
        assert catalog(name) == storage.read_catalog(found.catalog, 0, 9999)
    return found


def before(scenario: str) -> object:
    if scenario == "first_login":
        return None
    return scenarios.DAMAGED if "damaged" in scenario else scenarios.ANN


def content(directory: Path) -> Dict[str, bytes]:
    if not directory.exists():
        return {}
    return {name: (directory / name).read_bytes() for name in names_in(directory)}


def require_that_others_go_on(directory: Path) -> None:
    """The next writers succeed at once and leave no litter of the dead one."""
    storage = FileStorage(directory)
    assert NEXT == storage.update(
        lambda old: NEXT, 1.0, catalog=catalog("third"), replace=True
    )
    refresher = storage.sole_refresher(1.0)
    refresher.reserve()
    refresher.release()
    assert NEXT == state(directory)
    assert [] == [name for name in os.listdir(directory) if name.endswith(".tmp")]
    for path in directory.glob("catalog-*"):
        os.utime(path, (0, 0))  # a day later
    storage.update(lambda old: NEXT, 1.0, catalog=catalog("third"))
    rest = names_in(directory) - {SESSION, catalog_name(NEXT.catalog)}
    aside = [name for name in rest if name.startswith(f"{SESSION}.corrupt-")]
    assert rest == set(aside)
    assert len(aside) <= 1


@pytest.mark.parametrize("scenario", WRITERS)
def test_a_killed_writer_leaves_the_old_or_the_new_state(
    sweep: Sweep, scenario: str
) -> None:
    """SIGKILL at any system call: one complete state, free locks, litter that goes."""

    def check(inject: str, directory: Path, outcome: Outcome) -> None:
        assert outcome.died, inject
        assert state(directory) in (before(scenario), scenarios.AFTER[scenario]), inject
        require_that_others_go_on(directory)

    sweep.each(scenario, ["signal=SIGKILL"], check)


@pytest.mark.parametrize("scenario", WRITERS)
def test_an_interrupted_writer_leaves_the_old_or_the_new_state(
    sweep: Sweep, scenario: str
) -> None:
    """Ctrl-C at any system call: one complete state, and no litter at all."""

    def check(inject: str, directory: Path, outcome: Outcome) -> None:
        assert "KeyboardInterrupt" == outcome.error, inject
        assert state(directory) in (before(scenario), scenarios.AFTER[scenario]), inject
        left = [name for name in content(directory) if name.endswith(".tmp")]
        assert [] == left, inject
        require_that_others_go_on(directory)

    sweep.each(scenario, ["signal=SIGINT"], check)


@pytest.mark.parametrize("scenario", WRITERS)
def test_a_failing_call_leaves_the_old_state_and_no_litter(
    sweep: Sweep, scenario: str, tmp_path: Path
) -> None:
    """Any system call that fails in any way is survived or is one typed error."""
    after = scenarios.AFTER[scenario]
    words = set()

    def check(inject: str, directory: Path, outcome: Outcome) -> None:
        assert not outcome.died, inject
        if outcome.error is None:
            assert after == state(directory), inject
        else:
            assert "StorageError" in outcome.bases, (inject, outcome.text)
            assert _advice(inject) in outcome.text, (inject, outcome.text)
            words.add(outcome.text.partition(": ")[2].partition(":")[0])
            if "may not survive" in outcome.text:
                assert after == state(directory), inject
                assert scenario in ("refresh", "logout_damaged"), inject
            else:
                template = content(tmp_path / f"{scenario}-template")
                assert template == content(directory), (inject, outcome.text)
        left = [name for name in content(directory) if name.endswith(".tmp")]
        assert [] == left, inject

    sweep.each(scenario, [f"error={name}" for name in ERRORS], check)
    assert "nothing was changed" in words


def _advice(inject: str) -> str:
    name = inject.partition("=")[2].partition(":")[0]
    return {
        "ENOSPC": "no space is left",
        "EIO": "input/output error",
        "EROFS": "read-only",
        "EACCES": "permission denied",
        "EMFILE": "too many open files",
    }[name]


def test_a_failing_read_is_one_typed_error(sweep: Sweep) -> None:
    """No system call of a reader that fails makes a login look like nobody's."""

    def check(inject: str, directory: Path, outcome: Outcome) -> None:
        assert "StorageReadError" == outcome.error, inject
        assert _advice(inject) in outcome.text, inject

    sweep.each("read", [f"error={name}" for name in ERRORS], check)


# ------------------------------------------------------------ the order


def touching(calls: List[Call], directory: Path) -> List[Call]:
    return [call for call in calls if str(directory) in call.arguments]


def test_a_reader_makes_few_calls(sweep: Sweep, tmp_path: Path) -> None:
    """Reading a login is six system calls, takes no lock and writes nothing."""
    scenarios.prepare(tmp_path / "read-template", "read")
    outcome, directory = sweep.run("read")
    calls = [_plain(call.name) for call in touching(outcome.calls, directory)]
    assert ["stat", "open", "stat", "pread64", "pread64", "close"] == calls
    assert len(calls) == len(outcome.calls)


def _plain(name: str) -> str:
    return {"newfstatat": "stat", "fstat": "stat", "openat": "open"}.get(name, name)


def _step(call: Call, directory: Path) -> Optional[str]:
    """Tell what a call does for the durability of a commit, if anything."""
    place = call.arguments.replace(str(directory), "D")
    what = "file" if "D/" in place else "D"
    if call.failed or ".holder" in place:  # a hint may get lost
        return None
    if call.name == "write":
        return f"write {what}"
    if call.name in ("fsync", "fdatasync"):
        return f"fsync {what}"
    if call.name.startswith("rename"):
        return f"rename to {'session' if SESSION in place else 'catalog'}"
    if call.name.startswith("unlink") and SESSION in place:
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
        ("first_login", ["fsync parent", *CATALOG, *LOGIN]),
    ],
)
def test_everything_is_on_the_disk_before_it_counts(
    sweep: Sweep, tmp_path: Path, scenario: str, expected: List[str]
) -> None:
    """Write, fsync, rename, fsync of the directory: catalog first, then the login."""
    scenarios.prepare(tmp_path / f"{scenario}-template", scenario)
    outcome, directory = sweep.run(scenario)
    found = [
        "fsync parent"
        if call.name == "fsync" and call.arguments.endswith(f"<{tmp_path}>")
        else _step(call, directory)
        for call in outcome.calls
    ]
    assert expected == [step for step in found if step is not None]


def test_files_are_private_from_their_creation(sweep: Sweep) -> None:
    """Every file is created 0600 and the directory 0700, and never widened."""
    calls = sweep.calls("first_login")
    created = [call.arguments for call in calls if "O_CREAT" in call.arguments]
    assert len(created) >= 3
    assert {"0600"} == {arguments.rpartition(", ")[2] for arguments in created}
    changed = [
        call
        for call in calls
        if call.name.startswith(("mkdir", "chmod", "fchmod")) and not call.failed
    ]
    assert {"0700", "0600"} == {call.arguments.split(", ")[-1] for call in changed}


# -------------------------------------------- a file system without locks

UPDATE = """
import sys
sys.path.insert(0, sys.argv[2])
import scenarios
from neuro_config._errors import StorageWriteError
from neuro_config._files import FileStorage
try:
    scenarios.switch(FileStorage(sys.argv[1]))
except StorageWriteError as error:
    print(error)
"""


def test_a_file_system_without_locks_is_one_clear_error(tmp_path: Path) -> None:
    """It says what to do, the old state stands, and no soft lock is left."""
    require_strace()
    directory = tmp_path / "store"
    scenarios.prepare(directory, "switch")
    names = sorted(os.listdir(directory))
    inject = "inject=flock:error=ENOSYS"
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", inject]
    done = subprocess.run(
        command + python(UPDATE, str(directory), os.path.dirname(__file__)),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60.0,
    )
    assert "" == done.stderr
    assert "this file system has no file locks. Choose a directory" in done.stdout
    assert names == sorted(os.listdir(directory))
    assert scenarios.ANN == state(directory)
