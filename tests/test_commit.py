"""Commits: what is stored, what is set aside, what is cleaned up, and what never is."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import stat
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Type

import attrs
import pytest
from samples import (
    catalog,
    folder_of_ordinary_user,
    in_child,
    names_in,
    session,
)

from neuro_config._catalog import digest_of
from neuro_config._commit import KEEP_CATALOG, RESERVE
from neuro_config._directory import SESSION, catalog_name
from neuro_config._errors import (
    DamagedFileError,
    LockTimeoutError,
    StorageError,
    StorageWriteError,
    UnsafePathError,
)
from neuro_config._files import FileStorage
from neuro_config._session import Session, encode
from neuro_config._storage import SESSION_LIMIT, Change

ANN = session("ann", "first")
BOB = session("bob", "second")
FIRST = catalog_name(ANN.catalog)
SECOND = catalog_name(BOB.catalog)
NEWER = b"schema = 2\n" + encode(ANN).partition(b"\n")[2]


def to(new: Optional[Session]) -> Change:
    return lambda old: new


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def storage(directory: Path) -> FileStorage:
    """A directory in which ann is logged in."""
    made = FileStorage(directory)
    made.update(to(ANN), 1.0, catalog=catalog("first"))
    return made


# --------------------------------------------------------------- a change


def test_the_first_login_makes_everything(directory: Path) -> None:
    """Directory, catalog and login are there, and nothing else."""
    storage = FileStorage(directory)
    assert ANN == storage.update(to(ANN), 1.0, catalog=catalog("first"))
    assert ANN == FileStorage(directory).read()
    assert catalog("first") == storage.read_catalog(ANN.catalog, 0, 1000)
    assert {SESSION, FIRST} == names_in(directory)
    assert {"commit.lock", "commit.holder", SESSION, FIRST} == set(
        os.listdir(directory)
    )


def test_a_change_gets_what_is_stored(storage: FileStorage) -> None:
    """The change is applied to the newest login, and its result is what is returned."""
    seen: List[Optional[Session]] = []

    def change(old: Optional[Session]) -> Optional[Session]:
        seen.append(old)
        return BOB

    assert BOB == storage.update(change, 1.0)
    assert [ANN] == seen
    assert BOB == storage.read()


def test_no_change_writes_nothing(storage: FileStorage, directory: Path) -> None:
    """A change to the same login leaves the very same file."""
    before = (directory / SESSION).stat()
    assert ANN == storage.update(lambda old: old, 1.0)
    after = (directory / SESSION).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_nothing_from_nothing_makes_no_directory(directory: Path) -> None:
    """A change from nobody to nobody leaves no trace."""
    assert None is FileStorage(directory).update(lambda old: old, 1.0)
    assert not directory.exists()


def test_a_missing_directory_is_made_with_those_above(directory: Path) -> None:
    """Parents that are missing are made as well."""
    FileStorage(directory / "a" / "b").update(to(ANN), 1.0)
    assert {SESSION} == names_in(directory / "a" / "b")


def test_a_directory_in_an_unreadable_one_is_made() -> None:
    """A parent that one can write but not read is enough."""
    with folder_of_ordinary_user() as folder:
        folder.chmod(0o300)
        FileStorage(folder / "store").update(to(ANN), 1.0)
        assert ANN == FileStorage(folder / "store").read()
        folder.chmod(0o700)


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """What is forced to the disk, and the renames in between, by their names."""
    fsync, rename = os.fsync, os.rename
    found: List[str] = []

    def note_fsync(fd: int) -> None:
        fsync(fd)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            found.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))

    def note_rename(old: str, new: str) -> None:
        rename(old, new)
        found.append(f"rename to {os.path.basename(new)[:7]}")

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    return found


def test_a_directory_of_a_dead_process_is_forced_to_the_disk(
    tmp_path: Path, forced: List[str]
) -> None:
    """Who finds a directory without a login does not know whether it is on the disk."""
    directory = tmp_path / "above" / "store"
    directory.mkdir(mode=0o700, parents=True)
    FileStorage(directory).update(to(ANN), 1.0)
    assert ["above", "rename to session", "store"] == forced


def test_what_is_above_a_new_directory_is_forced_to_the_disk(
    tmp_path: Path, forced: List[str]
) -> None:
    """A dead process may have made the parent, so its entry is forced as well."""
    (tmp_path / "above" / "parent").mkdir(parents=True)
    FileStorage(tmp_path / "above" / "parent" / "store").update(to(ANN), 1.0)
    assert ["above", "parent", "rename to session", "store"] == forced


@pytest.mark.usefixtures("storage")
def test_a_catalog_of_a_dead_process_is_forced_to_the_disk(
    directory: Path, forced: List[str]
) -> None:
    """An intact catalog that nobody names yet is on the disk before the login is."""
    (directory / SECOND).write_bytes(catalog("second"))
    FileStorage(directory).update(to(BOB), 1.0, catalog=catalog("second"))
    assert ["store", "rename to session", "store"] == forced


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EROFS, errno.EIO])
def test_a_parent_that_cannot_be_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A file system that knows no such thing is good enough, a broken disk is not."""
    directory = tmp_path / "store"
    directory.mkdir(mode=0o700)
    fsync = os.fsync

    def fail(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), tmp_path.stat()):
            raise OSError(number, os.strerror(number))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", fail)
    storage = FileStorage(directory)
    if number == errno.EIO:
        with pytest.raises(StorageWriteError, match="nothing was changed"):
            storage.update(to(ANN), 1.0, catalog=catalog("first"))
        assert set() == names_in(directory)
    else:
        storage.update(to(ANN), 1.0, catalog=catalog("first"))
        assert ANN == storage.read()


def test_somebody_else_may_make_the_directory_first(directory: Path) -> None:
    """Two first logins at the same moment both go well."""

    def change(old: Optional[Session]) -> Optional[Session]:
        if not directory.exists():
            FileStorage(directory).update(to(BOB), 1.0)
        return ANN

    assert ANN == FileStorage(directory).update(change, 1.0)


@pytest.mark.parametrize(
    "error", [ValueError("of the change"), OSError("of the change")]
)
@pytest.mark.parametrize("exists", [True, False])
def test_an_error_of_the_change_is_the_callers(
    directory: Path, error: Exception, exists: bool
) -> None:
    """It comes out as it is, nothing has changed, and the lock is free."""
    storage = FileStorage(directory)
    if exists:
        storage.update(to(ANN), 1.0)

    def change(old: Optional[Session]) -> Optional[Session]:
        raise error

    with pytest.raises(type(error)) as caught:
        storage.update(change, 1.0, catalog=catalog("second"), replace=True)
    assert error is caught.value
    assert exists == directory.exists()
    assert (ANN if exists else None) == storage.read()
    storage.update(to(BOB), 0.0)


def test_a_held_lock_is_an_error(storage: FileStorage) -> None:
    """A change inside of a change waits for its timeout, then fails."""

    def change(old: Optional[Session]) -> Optional[Session]:
        return storage.update(to(BOB), 0.05)

    with pytest.raises(LockTimeoutError, match="a thread of this process since"):
        storage.update(change, 1.0)
    assert ANN == storage.read()


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"username": "\ud800"}, id="half of a pair"),
        pytest.param({"username": "x" * SESSION_LIMIT}, id="too big"),
        pytest.param(
            {"token": attrs.evolve(ANN.token, expires_at=1e13)}, id="impossible time"
        ),
        pytest.param({"catalog": "../../x"}, id="no digest"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(
    storage: FileStorage, directory: Path, bad: Any
) -> None:
    """A login that a reader would call damaged is refused, without a word of it."""
    with pytest.raises(StorageWriteError, match="nothing was changed") as caught:
        storage.update(to(attrs.evolve(BOB, **bad)), 1.0, catalog=catalog("second"))
    assert not caught.value.is_read_only
    assert "access-bob" not in str(caught.value)
    assert ANN == storage.read()
    assert {SESSION, FIRST} == names_in(directory)


def test_a_hard_link_to_the_login_keeps_the_old_one(
    storage: FileStorage, directory: Path, tmp_path: Path
) -> None:
    """A commit replaces the file and never writes into it."""
    os.link(directory / SESSION, tmp_path / "copy")
    storage.update(to(BOB), 1.0)
    assert encode(ANN) == (tmp_path / "copy").read_bytes()
    assert BOB == storage.read()


# ------------------------------------------------------- what is unreadable

DAMAGES = [
    pytest.param(b"", id="empty"),
    pytest.param(b"\0" * 3000, id="zeros"),
    pytest.param(b"#" * (SESSION_LIMIT + 10), id="too big"),
    pytest.param(NEWER, id="newer"),
]


@pytest.mark.parametrize("data", DAMAGES)
def test_a_login_sets_aside_what_is_damaged(
    storage: FileStorage, directory: Path, data: bytes
) -> None:
    """With ``replace`` the change gets ``None`` and the damaged bytes are kept, whole."""
    (directory / SESSION).write_bytes(data)
    (directory / f"{SESSION}.corrupt-20200101T000000Z").touch()
    seen: List[Optional[Session]] = []

    def change(old: Optional[Session]) -> Optional[Session]:
        seen.append(old)
        return BOB

    assert BOB == storage.update(change, 1.0, replace=True)
    assert [None] == seen
    assert BOB == storage.read()
    (aside,) = directory.glob(f"{SESSION}.corrupt-*")
    assert data == aside.read_bytes()
    assert {SESSION, FIRST, aside.name} == names_in(directory)
    moment = time.strptime(aside.name.rpartition("-")[2], "%Y%m%dT%H%M%SZ")
    assert abs(time.time() - time.mktime(moment) + time.timezone) < 7200


def test_only_the_last_damaged_login_is_kept(
    storage: FileStorage, directory: Path
) -> None:
    """Two damages within the same second leave the second one."""
    for data in (b"one", b"two"):
        (directory / SESSION).write_bytes(data)
        storage.update(to(BOB), 1.0, replace=True)
    (aside,) = directory.glob(f"{SESSION}.corrupt-*")
    assert b"two" == aside.read_bytes()


def _link(path: Path) -> None:
    target = path.parent.parent / "target"
    target.write_text("precious")
    path.symlink_to(target)


@pytest.mark.parametrize("plant", [_link, os.mkfifo])
def test_a_login_sets_aside_what_is_no_file(
    storage: FileStorage, directory: Path, plant: Callable[[Path], None]
) -> None:
    """A link or a FIFO goes aside itself; what a link leads to is not touched."""
    (directory / SESSION).unlink()
    plant(directory / SESSION)
    before = (directory / SESSION).lstat().st_ino
    storage.update(to(BOB), 1.0, replace=True)
    (aside,) = directory.glob(f"{SESSION}.corrupt-*")
    assert before == aside.lstat().st_ino
    assert BOB == storage.read()
    if (directory.parent / "target").exists():
        assert "precious" == (directory.parent / "target").read_text()


@pytest.mark.parametrize("new", [BOB, None])
def test_a_directory_in_place_of_the_login_is_not_touched(
    storage: FileStorage, directory: Path, new: Optional[Session]
) -> None:
    """No file can replace it, so a login and a logout say that it must be moved away."""
    (directory / SESSION).unlink()
    (directory / SESSION).mkdir()
    with pytest.raises(UnsafePathError, match="Move it away"):
        storage.update(to(new), 1.0, replace=True)
    assert {SESSION, FIRST} == names_in(directory)


def test_an_unreadable_login_is_replaced() -> None:
    """A login without permission to read is set aside like a damaged one."""
    with folder_of_ordinary_user() as folder:
        (folder / SESSION).touch(mode=0)
        FileStorage(folder).update(to(BOB), 1.0, replace=True)
        assert BOB == FileStorage(folder).read()


def test_an_unreadable_login_may_vanish(storage: FileStorage, directory: Path) -> None:
    """If nothing is there any more to set aside, the login goes on."""
    (directory / SESSION).write_bytes(b"")

    def change(old: Optional[Session]) -> Optional[Session]:
        (directory / SESSION).unlink()
        return BOB

    assert BOB == storage.update(change, 1.0, replace=True)
    assert {SESSION, FIRST} == names_in(directory)


# ------------------------------------------------------------------ logout


@pytest.mark.parametrize("data", [*DAMAGES, pytest.param(encode(ANN), id="good")])
def test_a_removal_removes_every_trace_of_a_token(
    storage: FileStorage, directory: Path, data: bytes
) -> None:
    """Login, damaged ones, and leftovers that can hold a token go; the catalog stays."""
    (directory / SESSION).write_bytes(data)
    for name in ("session.toml.corrupt-1", "commit-1-ab.tmp", "refresh-1-ab.tmp"):
        (directory / name).touch()
    (directory / "user.toml").touch()
    assert None is storage.update(to(None), 1.0, replace=True)
    assert None is storage.read()
    assert {FIRST, "user.toml"} == names_in(directory)


def test_a_second_removal_is_harmless(storage: FileStorage, directory: Path) -> None:
    """It still removes what is left."""
    storage.update(to(None), 1.0)
    (directory / "session.toml.corrupt-1").touch()
    assert None is storage.update(to(None), 1.0)
    assert {FIRST} == names_in(directory)


# ---------------------------------------------------------------- catalogs


def test_an_intact_catalog_is_not_written_again(
    storage: FileStorage, directory: Path
) -> None:
    """The same catalog stays the same file."""
    before = (directory / FIRST).stat()
    storage.update(to(session("bob", "first")), 1.0, catalog=catalog("first"))
    after = (directory / FIRST).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        catalog("first")[:-1],
        catalog("first") + b"\n",
        catalog("first")[:-9] + b"x" + catalog("first")[-8:],
        None,
    ],
)
def test_a_damaged_catalog_heals(
    storage: FileStorage, directory: Path, data: Optional[bytes]
) -> None:
    """One byte too few, too many or wrong, or no file at all: it is written anew."""
    (directory / FIRST).unlink()
    if data is not None:
        (directory / FIRST).write_bytes(data)
    storage.update(lambda old: old, 1.0, catalog=catalog("first"))
    assert catalog("first") == (directory / FIRST).read_bytes()
    assert {SESSION, FIRST} == names_in(directory)


def test_a_link_in_place_of_a_catalog_heals(
    storage: FileStorage, directory: Path
) -> None:
    """The link is replaced, and what it leads to is not touched."""
    (directory / FIRST).unlink()
    _link(directory / FIRST)
    storage.update(lambda old: old, 1.0, catalog=catalog("first"))
    assert catalog("first") == (directory / FIRST).read_bytes()
    assert "precious" == (directory.parent / "target").read_text()


def test_a_directory_in_place_of_a_catalog_is_an_error(
    storage: FileStorage, directory: Path
) -> None:
    """Nothing has changed then, and nothing is left behind."""
    (directory / SECOND).mkdir()
    with pytest.raises(StorageWriteError, match="nothing was changed"):
        storage.update(to(BOB), 1.0, catalog=catalog("second"))
    assert ANN == storage.read()
    assert {SESSION, FIRST, SECOND} == names_in(directory)


def test_a_catalog_out_of_use_stays_for_a_day(
    storage: FileStorage, directory: Path
) -> None:
    """What the last session named was in use until now, however old it is."""
    os.utime(directory / FIRST, (0, 0))
    storage.update(to(BOB), 1.0, catalog=catalog("second"))
    storage.update(to(BOB), 1.0, catalog=catalog("second"))
    assert {SESSION, FIRST, SECOND} == names_in(directory)

    ago = time.time() - KEEP_CATALOG
    os.utime(directory / FIRST, (ago + 60, ago + 60))
    storage.update(to(BOB), 1.0, catalog=catalog("second"))
    assert {SESSION, FIRST, SECOND} == names_in(directory)

    os.utime(directory / FIRST, (ago - 60, ago - 60))
    storage.update(to(session("cat", "second")), 1.0)
    assert {SESSION, FIRST, SECOND} == names_in(directory)  # only a catalog cleans up

    os.utime(directory / SECOND, (ago - 60, ago - 60))
    storage.update(to(BOB), 1.0, catalog=catalog("second"))
    assert {SESSION, SECOND} == names_in(directory)


def test_a_catalog_of_a_clock_that_was_ahead_stays_for_a_day(
    storage: FileStorage, directory: Path
) -> None:
    """A time to come does not keep a catalog for ever: its day begins now."""
    ahead = time.time() + 1e6
    storage.update(to(BOB), 1.0, catalog=catalog("second"))
    os.utime(directory / FIRST, (ahead, ahead))
    storage.update(to(BOB), 1.0, catalog=catalog("second"))
    assert (directory / FIRST).stat().st_mtime <= time.time() + 1
    assert {SESSION, FIRST, SECOND} == names_in(directory)


def test_a_logout_counts_as_the_last_use(storage: FileStorage, directory: Path) -> None:
    """A catalog stays for a day after the logout, too."""
    os.utime(directory / FIRST, (0, 0))
    storage.update(to(None), 1.0)
    storage.update(to(BOB), 1.0, catalog=catalog("second"))
    assert {SESSION, FIRST, SECOND} == names_in(directory)


def test_leftovers_of_dead_writers_are_removed(
    storage: FileStorage, directory: Path
) -> None:
    """A commit that writes a catalog cleans up; what it cannot remove is no error."""
    (directory / "commit-1-ab.tmp").touch()
    (directory / "user.toml").touch()
    storage.update(to(BOB), 1.0, catalog=catalog("second"))
    assert {SESSION, FIRST, SECOND, "user.toml"} == names_in(directory)
    (directory / "commit-1-ab.tmp").mkdir()
    assert ANN == storage.update(to(ANN), 1.0, catalog=catalog("first"))


def test_directories_stop_nobody(storage: FileStorage, directory: Path) -> None:
    """A directory named as a leftover keeps nobody from refreshing or logging out."""
    names = ("commit-1-ab.tmp", "refresh-1-ab.tmp", f"{SESSION}.corrupt-1")
    for name in names:
        (directory / name).mkdir()
    refresher = storage.sole_refresher(1.0)
    refresher.reserve()
    refresher.release()
    storage.update(to(None), 1.0, replace=True)
    assert {FIRST, *names} == names_in(directory)


def test_the_use_of_a_catalog_is_not_noted_through_a_link(
    storage: FileStorage, directory: Path, tmp_path: Path
) -> None:
    """The file that a link in place of a catalog leads to keeps its times."""
    target = tmp_path / "target"
    target.touch()
    os.utime(target, (1, 1))
    (directory / FIRST).unlink()
    (directory / FIRST).symlink_to(target)
    storage.update(to(None), 1.0)
    assert 1.0 == target.stat().st_mtime


def test_files_of_the_users_own_stay(storage: FileStorage, directory: Path) -> None:
    """A file that only begins as ours do is nobody's leftover, however old."""
    own = {"commit-message.txt", "refresh-notes.md", "catalog-of-books.txt"}
    for name in own:
        (directory / name).touch()
        os.utime(directory / name, (1, 1))
    storage.update(to(BOB), 1.0, catalog=catalog("second"))
    storage.sole_refresher(1.0).release()
    storage.update(to(None), 1.0, replace=True)
    assert own <= names_in(directory)


# ------------------------------------------------------------- the refresher


def reserve_of(directory: Path) -> Path:
    (found,) = directory.glob("refresh-*.tmp")
    return found


def test_there_is_one_refresher(storage: FileStorage) -> None:
    """The next one waits for its timeout; changes by others go on meanwhile."""
    refresher = storage.sole_refresher(0.0)
    assert refresher.held
    with pytest.raises(LockTimeoutError):
        storage.sole_refresher(0.02)
    storage.update(to(BOB), 0.0)
    refresher.release()
    refresher.release()
    assert not refresher.held
    storage.sole_refresher(0.0).release()


def test_the_answer_goes_into_the_reserve(
    storage: FileStorage, directory: Path
) -> None:
    """The reserve is zeros on the disk and becomes the login, of the right length."""
    refresher = storage.sole_refresher(0.0)
    refresher.reserve()
    reserve = reserve_of(directory).stat()
    assert bytes(RESERVE) == reserve_of(directory).read_bytes()
    assert reserve.st_blocks * 512 >= RESERVE
    assert BOB == refresher.update(to(BOB), 1.0)
    assert reserve.st_ino == (directory / SESSION).stat().st_ino
    assert encode(BOB) == (directory / SESSION).read_bytes()
    assert ANN == refresher.update(to(ANN), 1.0)  # used up: an ordinary commit
    refresher.release()
    assert {SESSION, FIRST} == names_in(directory)


@pytest.mark.parametrize("plant", [os.link, os.symlink])
def test_a_reserve_that_is_not_ours_is_not_written(
    storage: FileStorage, directory: Path, tmp_path: Path, plant: Callable[..., None]
) -> None:
    """The answer does not go into what has come into the reserve's place."""
    target = tmp_path / "target"
    target.write_text("precious")
    refresher = storage.sole_refresher(0.0)
    refresher.reserve()
    reserve = reserve_of(directory)
    reserve.unlink()
    plant(target, reserve)
    assert BOB == refresher.update(to(BOB), 1.0) == storage.read()
    refresher.release()
    assert "precious" == target.read_text()
    assert {SESSION, FIRST} == names_in(directory)


def test_an_unused_reserve_is_removed(storage: FileStorage, directory: Path) -> None:
    """Releasing leaves nothing, with a reserve or without."""
    refresher = storage.sole_refresher(0.0)
    refresher.update(to(BOB), 1.0)
    refresher.reserve()
    refresher.release()
    assert {SESSION, FIRST} == names_in(directory)


def test_an_interrupted_release_lets_the_next_one_in(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the reserve is removed: the right to refresh is given back."""
    refresher = storage.sole_refresher(0.0)
    refresher.reserve()

    def interrupted(path: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            refresher.release()
    storage.sole_refresher(0.0).release()


def test_the_reserve_of_a_dead_refresher_is_removed(
    storage: FileStorage, directory: Path
) -> None:
    """The next one to reserve removes it."""
    (directory / "refresh-1-ab.tmp").write_bytes(bytes(RESERVE))
    refresher = storage.sole_refresher(0.0)
    refresher.reserve()
    assert "refresh-1-ab.tmp" != reserve_of(directory).name
    refresher.release()


def test_a_logout_takes_the_reserve_and_the_refresher_goes_on(
    storage: FileStorage, directory: Path
) -> None:
    """A refresh under way finds nobody logged in, and commits nothing."""
    refresher = storage.sole_refresher(0.0)
    refresher.reserve()
    storage.update(to(None), 1.0)
    assert {FIRST} == names_in(directory)
    assert None is refresher.update(lambda old: old, 1.0)
    assert BOB == refresher.update(to(BOB), 1.0)
    refresher.release()
    assert {SESSION, FIRST} == names_in(directory)


def test_a_refused_answer_keeps_the_reserve(
    storage: FileStorage, directory: Path
) -> None:
    """A commit that fails can be tried again in the same space."""
    refresher = storage.sole_refresher(0.0)
    refresher.reserve()
    reserve = reserve_of(directory).stat().st_ino
    (directory / SESSION).unlink()
    (directory / SESSION).mkdir()  # a rename over it must fail
    (directory / SESSION).rename(directory / "away")

    def change(old: Optional[Session]) -> Optional[Session]:
        (directory / "away").rename(directory / SESSION)
        return BOB

    with pytest.raises(StorageWriteError):
        refresher.update(change, 1.0)
    (directory / SESSION).rmdir()
    assert BOB == refresher.update(to(BOB), 1.0)
    assert reserve == (directory / SESSION).stat().st_ino
    refresher.release()


def test_a_forked_child_leaves_the_reserve_alone(
    storage: FileStorage, directory: Path
) -> None:
    """Neither its release nor its commit takes what its parent has reserved."""
    refresher = storage.sole_refresher(0.0)
    refresher.reserve()
    reserve = reserve_of(directory)

    def work() -> bool:
        good = not refresher.held and refresher.update(to(BOB), 1.0) == BOB
        refresher.release()
        return good

    assert in_child(work)
    assert refresher.held
    assert bytes(RESERVE) == reserve.read_bytes()
    assert BOB == storage.read()
    refresher.release()


# ------------------------------------------------- a commit that fails halfway


@contextlib.contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes; that holds for the tests' own log, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


BIG = attrs.evolve(BOB, username="b" * 5000)


@pytest.mark.parametrize("old", [encode(ANN), b"damaged", None])
@pytest.mark.parametrize("new", [None, catalog("second")])
def test_a_failed_write_leaves_no_litter(
    storage: FileStorage, directory: Path, old: Optional[bytes], new: Optional[bytes]
) -> None:
    """A new login that is written only in part is gone, and so is its catalog."""
    (directory / SESSION).unlink()
    if old is not None:
        (directory / SESSION).write_bytes(old)
    before = names_in(directory)
    too_large = pytest.raises(StorageWriteError, match="nothing was changed: File too")
    with too_large, no_file_beyond(4096):
        storage.update(to(BIG), 1.0, catalog=new, replace=True)
    assert before == names_in(directory)
    if old is not None:
        assert old == (directory / SESSION).read_bytes()


@pytest.mark.parametrize("is_healed", [True, False])
def test_a_failed_catalog_leaves_no_litter(
    storage: FileStorage, directory: Path, is_healed: bool
) -> None:
    """A catalog that is written only in part is gone; a damaged one stays as it was."""
    big = catalog("big", 1000)
    name = catalog_name(digest_of(big))
    if is_healed:
        (directory / name).write_bytes(b"damaged")
    before = names_in(directory)
    with pytest.raises(StorageWriteError), no_file_beyond(4096):
        storage.update(to(BOB), 1.0, catalog=big)
    assert ANN == storage.read()
    assert before == names_in(directory)
    if is_healed:
        assert b"damaged" == (directory / name).read_bytes()


def test_an_answer_that_was_refused_can_be_written_again(
    storage: FileStorage, directory: Path
) -> None:
    """A commit into the reserve that fails keeps it for the next try."""
    refresher = storage.sole_refresher(0.0)
    refresher.reserve()
    reserve = reserve_of(directory).stat().st_ino
    too_big = attrs.evolve(BOB, username="b" * RESERVE)
    refused = pytest.raises(StorageWriteError, match="nothing was changed")
    with refused, no_file_beyond(RESERVE):
        refresher.update(to(too_big), 1.0)
    assert ANN == storage.read()
    refresher.update(to(BOB), 1.0)
    assert reserve == (directory / SESSION).stat().st_ino
    refresher.release()


@pytest.mark.parametrize("old", [encode(ANN), b"damaged"])
def test_a_failed_rename_leaves_no_litter(
    storage: FileStorage,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: bytes,
) -> None:
    """The new file is gone, and what had been set aside stands where it was."""
    (directory / SESSION).write_bytes(old)

    def rename(one: str, other: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", rename)
        with pytest.raises(StorageWriteError, match="read-only") as caught:
            storage.update(to(BOB), 1.0, replace=True)
    assert caught.value.is_read_only
    assert old == (directory / SESSION).read_bytes()
    assert {SESSION, FIRST} == names_in(directory)


@pytest.fixture
def broken_disk(monkeypatch: pytest.MonkeyPatch) -> List[Callable[[], None]]:
    """From the second fsync of a directory on they fail, after what is listed here.

    The first one is that of the catalog.
    """
    fsync = os.fsync
    doing: List[Callable[[], None]] = []
    seen: List[int] = []

    def fail(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            seen.append(fd)
            if len(seen) > 1:
                for do in doing:
                    do()
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", fail)
    return doing


def test_a_first_login_that_is_not_surely_on_the_disk_is_taken_back(
    storage: FileStorage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the fsync after the rename fails, nobody is logged in, as before."""
    (directory / SESSION).unlink()
    before = names_in(directory)
    fsync = os.fsync

    def fail(fd: int) -> None:
        if (directory / SESSION).exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageWriteError, match="nothing was changed"):
        storage.update(to(BOB), 1.0, catalog=catalog("second"))
    assert before == names_in(directory)


@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize("old", [encode(ANN), None, b"", b"#" * SESSION_LIMIT * 2])
def test_a_change_that_is_not_surely_on_the_disk_is_put_back(
    directory: Path,
    old: Optional[bytes],
    request: pytest.FixtureRequest,
) -> None:
    """If the last fsync fails, every byte is as it was, and no new catalog is left."""
    (directory / SESSION).unlink()
    if old is not None:
        (directory / SESSION).write_bytes(old)
    before = names_in(directory)
    request.getfixturevalue("broken_disk")
    with pytest.raises(StorageWriteError, match="nothing was changed"):
        FileStorage(directory).update(
            to(BOB), 1.0, catalog=catalog("second"), replace=True
        )
    assert before == names_in(directory)
    if old is not None:
        assert old == (directory / SESSION).read_bytes()


def test_a_login_that_cannot_be_put_back_is_complete(
    storage: FileStorage,
    directory: Path,
    broken_disk: List[Callable[[], None]],
) -> None:
    """If putting back fails, too, the error says so and the new catalog stays."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # What is put back is written anew, which fails now.
    broken_disk.append(
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    )
    try:
        with pytest.raises(StorageWriteError, match="the change is there but"):
            storage.update(to(BOB), 1.0, catalog=catalog("second"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert BOB == storage.read()
    assert {SESSION, FIRST, SECOND} == names_in(directory)


@pytest.mark.usefixtures("broken_disk")
@pytest.mark.parametrize("data", [b"", encode(ANN)])
def test_a_logout_that_is_not_surely_on_the_disk(directory: Path, data: bytes) -> None:
    """A good login is put back; a damaged one is gone, and the error says so."""
    directory.mkdir(mode=0o700)
    (directory / SESSION).write_bytes(data)
    _sync_once(directory)
    words = "nothing was changed" if data else "the change is there but"
    with pytest.raises(StorageWriteError, match=words):
        FileStorage(directory).update(to(None), 1.0, replace=True)
    assert ({SESSION} if data else set()) == names_in(directory)


def _sync_once(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def test_an_answer_stays_even_so(
    storage: FileStorage,
    directory: Path,
    broken_disk: List[Callable[[], None]],
) -> None:
    """What was written into a reserve is not put back: it cannot be had again."""
    _sync_once(directory)
    refresher = storage.sole_refresher(0.0)
    refresher.reserve()
    with pytest.raises(StorageWriteError, match="may not survive a power cut"):
        refresher.update(to(BOB), 1.0)
    assert BOB == storage.read()
    refresher.release()


def test_an_interrupt_right_after_the_rename_keeps_the_catalog(
    storage: FileStorage,
    directory: Path,
    broken_disk: List[Callable[[], None]],
) -> None:
    """Whatever stops a commit, a login that is stored has its catalog."""
    broken_disk.append(lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        storage.update(to(BOB), 1.0, catalog=catalog("second"))
    assert BOB == storage.read()
    assert {SESSION, FIRST, SECOND} == names_in(directory)


@pytest.mark.usefixtures("storage")
def test_no_change_on_a_broken_disk_is_an_error(
    directory: Path, broken_disk: List[Callable[[], None]]
) -> None:
    """Even what was stored by others is not said to be stored unless it surely is."""
    _sync_once(directory)
    with pytest.raises(StorageWriteError, match="nothing was changed"):
        FileStorage(directory).update(lambda old: old, 1.0)
    assert ANN == FileStorage(directory).read()


@pytest.mark.parametrize("kind", [DamagedFileError, StorageError])
def test_all_errors_are_of_the_storage(
    storage: FileStorage, directory: Path, kind: Type[StorageError]
) -> None:
    """Whoever catches ``StorageError`` catches what a damaged file leads to."""
    (directory / SESSION).write_bytes(b"")
    with pytest.raises(kind):
        storage.update(to(ANN), 1.0)
    assert digest_of(catalog("first")) == ANN.catalog
