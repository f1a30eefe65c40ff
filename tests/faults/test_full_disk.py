"""A disk that is full, nearly full or read-only: real ones, small and private."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest
from proof import Tally
from samples import environment, python
from traced import require

# Each step runs on a file system of its own in a mount namespace of its own, and
# prints what it saw.
PREPARE = """
import json, os, subprocess, sys
sys.path.insert(0, sys.argv[2])
import scenarios
from pathlib import Path
from samples import catalog, names_in
from neuro_config._errors import StorageError
from neuro_config._files import FileStorage

disk = Path(sys.argv[1])
store = disk / "store"

def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)

def fill():
    with open(disk / "filler", "ab", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                full = error.strerror
    return full

def seen(storage):
    found = storage.read()
    return [found and found.token.access_token, sorted(names_in(store))]

def attempt(work, *arguments):
    try:
        work(*arguments)
    except StorageError as error:
        return [type(error).__name__, str(error), error.is_read_only]
    return None

def report(**found):
    print(json.dumps(found))
"""
SMALL_DISK = """
mount("-t", "tmpfs", "-o", "size=512k,mode=700", "tmpfs", str(disk))
"""
READ_ONLY = """
mount("--bind", str(disk), str(disk))
mount("-o", "remount,ro,bind", str(disk))
"""
LOGIN = """
storage = FileStorage(store)
scenarios.prepare(store, "fetch")
before = seen(storage)
"""


@pytest.fixture
def namespace() -> List[str]:
    """The command that runs another one in a mount namespace of its own."""
    command = ["unshare", "--mount"]
    if os.geteuid() != 0:
        command.append("--map-root-user")
    require(*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt")
    return command


def run(namespace: List[str], disk: Path, code: str) -> Dict[str, Any]:
    """What code reports that runs where mounts are its own."""
    done = subprocess.run(
        namespace + python(PREPARE + code, str(disk), os.path.dirname(__file__)),
        env=environment(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=60.0,
    )
    found: Dict[str, Any] = json.loads(done.stdout)
    return found


WORDS = "nothing was changed: no space is left. Free some, then try again."


@pytest.mark.attack("3")
@pytest.mark.parametrize("scenario", ["switch", "fetch", "login"])
def test_a_full_disk_leaves_the_old_state(
    namespace: List[str], tmp_path: Path, scenario: str
) -> None:
    """A change fails with words about the space; login and names are as before."""
    code = f"""
full = fill()
failed = attempt(scenarios.SCENARIOS[{scenario!r}], storage)
report(full=full, failed=failed, before=before, after=seen(storage))
"""
    found = run(namespace, tmp_path, SMALL_DISK + LOGIN + code)
    assert "No space left on device" == found["full"]
    error = ["StorageWriteError", f"{tmp_path}/store: {WORDS}", False]
    assert error == found["failed"]
    assert found["before"] == found["after"]


@pytest.mark.attack("1", "3")
@pytest.mark.parametrize("scenario", ["switch", "fetch", "login", "refresh"])
def test_a_disk_with_little_room_takes_all_or_nothing(
    namespace: List[str], tmp_path: Path, scenario: str, tally: Tally
) -> None:
    """A disk has room for so many pages more, and takes part of a write: the whole change, or the old state and no litter."""
    code = f"""
large = catalog("second", 3000)
scenarios.catalog = lambda name: large if name == "second" else catalog(name)
found = []
for pages in range(24):
    fill()
    os.truncate(disk / "filler", max(os.path.getsize(disk / "filler") - 4096 * pages, 0))
    error = attempt(scenarios.SCENARIOS[{scenario!r}], storage)
    found.append([pages, error, seen(storage)])
    if error is None:
        break
report(found=found, before=before)
"""
    found = run(namespace, tmp_path, SMALL_DISK + LOGIN + code)
    *refused, (pages, error, after) = found["found"]
    assert refused
    for _, (kind, text, _), seen in refused:
        assert ["StorageWriteError", f"{tmp_path}/store: {WORDS}"] == [kind, text]
        assert found["before"] == seen
    assert error is None, pages
    assert not [name for name in after[1] if name.endswith(".tmp")]
    assert found["before"] != after or scenario == "switch"
    tally(len(refused) + 1)


@pytest.mark.attack("3")
def test_a_first_login_on_a_full_disk_is_nobodys(
    namespace: List[str], tmp_path: Path
) -> None:
    """It fails with words about the space, and nobody is logged in."""
    code = """
full = fill()
storage = FileStorage(store)
failed = attempt(scenarios.first_login, storage)
report(failed=failed, read=storage.read())
"""
    found = run(namespace, tmp_path, SMALL_DISK + code)
    error = ["StorageWriteError", f"{tmp_path}/store: {WORDS}", False]
    assert error == found["failed"]
    assert None is found["read"]


@pytest.mark.attack("3")
def test_a_logout_needs_no_space(namespace: List[str], tmp_path: Path) -> None:
    """On a full disk one can still log out."""
    code = """
fill()
failed = attempt(scenarios.logout, storage)
report(failed=failed, after=seen(storage))
"""
    found = run(namespace, tmp_path, SMALL_DISK + LOGIN + code)
    assert None is found["failed"]
    assert None is found["after"][0]


@pytest.mark.attack("7", "mark")
def test_a_reserve_keeps_room_for_the_answer(
    namespace: List[str], tmp_path: Path
) -> None:
    """After ``reserve`` and the mark the answer is stored though the disk is full."""
    code = """
refresher = storage.sole_refresher(1.0)
refresher.reserve()
storage.update(lambda old: scenarios.SWITCHED, 1.0)  # as the mark
full = fill()
others = attempt(scenarios.fetch, storage)
failed = attempt(refresher.update, lambda old: scenarios.REFRESHED, 1.0)
refresher.release()
report(full=full, others=others, failed=failed, after=seen(storage), before=before)
"""
    found = run(namespace, tmp_path, SMALL_DISK + LOGIN + code)
    assert "No space left on device" == found["full"]
    assert "StorageWriteError" == found["others"][0]
    assert None is found["failed"]
    assert ["new", found["before"][1]] == found["after"]


@pytest.mark.attack("7", "mark")
def test_no_room_for_a_reserve_is_told_before_anything_is_sent(
    namespace: List[str], tmp_path: Path
) -> None:
    """On a full disk ``reserve`` itself fails and leaves nothing."""
    code = """
fill()
refresher = storage.sole_refresher(1.0)
failed = attempt(refresher.reserve)
refresher.release()
report(failed=failed, before=before, after=seen(storage))
"""
    found = run(namespace, tmp_path, SMALL_DISK + LOGIN + code)
    error = ["StorageWriteError", f"{tmp_path}/store: {WORDS}", False]
    assert error == found["failed"]
    assert found["before"] == found["after"]


@pytest.mark.attack("3")
def test_a_read_only_disk_is_read(namespace: List[str], tmp_path: Path) -> None:
    """Reading works; every kind of writing is an error that says it is not allowed."""
    code = """
names = ["switch", "fetch", "login", "logout", "refresh"]
failed = {name: attempt(scenarios.SCENARIOS[name], storage) for name in names}
report(failed=failed, before=before, after=seen(storage))
"""
    found = run(namespace, tmp_path, LOGIN + READ_ONLY + code)
    text = f"{tmp_path}/store: nothing was changed: the file system is read-only."
    for error in found["failed"].values():
        assert ["StorageWriteError", text, True] == error
    assert "access-ann" == found["before"][0]
    assert found["before"] == found["after"]


@pytest.mark.attack("3")
def test_a_read_only_home_takes_no_first_login(
    namespace: List[str], tmp_path: Path
) -> None:
    """Where not even the directory can be made, the error says it is not allowed."""
    code = """
storage = FileStorage(store)
report(failed=attempt(scenarios.first_login, storage), read=storage.read())
"""
    found = run(namespace, tmp_path, READ_ONLY + code)
    text = f"{tmp_path}/store: nothing was changed: the file system is read-only."
    assert ["StorageWriteError", text, True] == found["failed"]
    assert None is found["read"]
