"""Copying a login from one storage to another, and what stays behind."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Optional

import attrs
import pytest
from cli import ok, run
from common import Login
from samples import WAIT, catalog, session

from neuro_config import (
    ConfigStore,
    FileStorage,
    LockTimeoutError,
    LoginPresentError,
    MemoryStorage,
    NotLoggedInError,
    RefreshMark,
    Session,
    StorageWriteError,
)
from neuro_config._deadline import Deadline
from neuro_config._move import TRIES, Leave, copy_login
from neuro_config._storage import Change
from neuro_config.testing import Platform

ANN = session("ann")
BOB = session("bob", "second")


@pytest.fixture
def source() -> MemoryStorage:
    storage = MemoryStorage()
    storage.update(lambda old: ANN, WAIT, catalog=catalog("first"))
    return storage


@pytest.fixture
def target(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "target")


def copy(
    source: MemoryStorage,
    target: FileStorage,
    leave: Leave = Leave.NOTHING,
    *,
    replace: bool = False,
) -> Session:
    return copy_login(source, target, leave, Deadline(WAIT), replace=replace)


@pytest.mark.parametrize("leave", Leave)
def test_what_stays(source: MemoryStorage, target: FileStorage, leave: Leave) -> None:
    """The login and its catalog are at the target, and at the source what was chosen."""
    marked = attrs.evolve(ANN, refresh_sent=RefreshMark("0" * 64, 1.0))
    source.update(lambda old: marked, WAIT)
    assert marked == copy(source, target, leave)
    assert marked == target.read()
    assert catalog("first") == target.read_catalog(ANN.catalog, 0, 1000)
    bare = attrs.evolve(ANN, token=attrs.evolve(ANN.token, refresh_token=None))
    stays = {
        Leave.NOTHING: None,
        Leave.ACCESS_TOKEN: bare,
        Leave.EVERYTHING: marked,
    }
    assert stays[leave] == source.read()
    source.sole_refresher(0.0).release()


def test_nobody_is_logged_in(target: FileStorage) -> None:
    """Where nobody is logged in there is nothing to copy."""
    with pytest.raises(NotLoggedInError):
        copy(MemoryStorage(), target)


def test_somebody_is_there(source: MemoryStorage, target: FileStorage) -> None:
    """Another login at the target is replaced if that is wanted, and else it stays."""
    target.update(lambda old: BOB, WAIT)
    with pytest.raises(LoginPresentError, match="'bob' is logged in there"):
        copy(source, target)
    assert (ANN, BOB) == (source.read(), target.read())
    copy(source, target, replace=True)
    assert (None, ANN) == (source.read(), target.read())


def test_to_itself(source: MemoryStorage) -> None:
    """A login is not copied to where it is."""
    with pytest.raises(LoginPresentError, match="already"):
        copy_login(source, source, Leave.NOTHING, Deadline(WAIT))
    assert ANN == source.read()


def test_again(source: MemoryStorage, target: FileStorage) -> None:
    """A copy that was interrupted is run again."""
    copy(source, target, Leave.EVERYTHING)
    copy(source, target)
    assert (None, ANN) == (source.read(), target.read())


@pytest.mark.parametrize("damage", [b"no line", b"another\n"])
def test_a_damaged_catalog(
    source: MemoryStorage, target: FileStorage, damage: bytes
) -> None:
    """A catalog that is not what the login names is left out, for a fetch to mend."""
    source._catalogs = {ANN.catalog: damage}
    copy(source, target)
    assert ANN == target.read()
    assert None is target.read_catalog(ANN.catalog, 0, 10)


class Busy(MemoryStorage):
    """A storage in which something happens before a change."""

    def __init__(self, *acts: Callable[[Busy], object]) -> None:
        super().__init__()
        self._session = ANN
        self.acts = list(acts)

    def update(
        self,
        change: Change,
        timeout: float,
        *,
        catalog: Optional[bytes] = None,
        replace: bool = False,
    ) -> Optional[Session]:
        if self.acts:
            self.acts.pop(0)(self)
        return super().update(change, timeout, catalog=catalog, replace=replace)


def changing(number: int) -> Callable[[Busy], object]:
    changed = session("ann", login_id=f"id-{number}")
    return lambda storage: setattr(storage, "_session", changed)


def test_a_login_that_changes(target: FileStorage) -> None:
    """A login that changed since it was copied is copied again before it goes."""
    source = Busy(changing(1))
    copied = copy(source, target)
    assert "id-1" == copied.login_id
    assert (None, copied) == (source.read(), target.read())


def test_a_login_that_goes_on_changing(target: FileStorage) -> None:
    """A login that changes all the time is given up, and stays."""
    source = Busy(*map(changing, range(TRIES)))
    with pytest.raises(LockTimeoutError, match="others"):
        copy(source, target)
    assert source.read() is not None


def test_a_source_that_keeps_it(target: FileStorage) -> None:
    """If it cannot be taken away the error says that it is in both places."""

    def refuse(storage: Busy) -> None:
        raise StorageWriteError(storage.location, "is full.")

    with pytest.raises(StorageWriteError, match="is full. The login is in .*target as"):
        copy(Busy(refuse), target)


def test_the_command(
    platform: Platform, login: Login, folder: Path, tmp_path: Path
) -> None:
    """The command moves a login, says where it is, and leaves what it is told to."""
    store = login()
    end = tmp_path / "end"
    result = run("storage", "copy", folder, end)
    assert (0, f"The login of alice is in {end} now.\n") == (result.code, result.out)
    assert f"In {folder} stays nothing.\n" == result.err
    moved = ConfigStore(end)
    assert store.token() == moved.token()
    moved.refresh_token()
    result = run("storage", "copy", end, folder, "--leave", "everything", "--json")
    assert "ends the login for both" in result.err
    assert {
        "username": "alice",
        "from": str(end),
        "to": str(folder),
        "left": "everything",
    } == result.data
    assert 1 == run("storage", "copy", tmp_path / "none", end).code % 2
    assert "alice" in ok("--path", end, "status")
    assert 0 == platform.count(reuse_detected=True)
