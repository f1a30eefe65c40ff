"""The private directory: what is read from it, what is refused, and with which error."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Callable, Type

import pytest
from samples import (
    folder_of_ordinary_user,
    folder_of_somebody_else,
    names_in,
    session,
)

from neuro_config._directory import SESSION, open_sole
from neuro_config._errors import (
    DamagedFileError,
    NewerSchemaError,
    StorageError,
    StorageReadError,
    StorageWriteError,
    UnsafePathError,
    UnsupportedSystemError,
)
from neuro_config._files import FileStorage
from neuro_config._session import encode
from neuro_config._storage import SESSION_LIMIT

ANN = session("ann")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "store"
    made.mkdir(mode=0o700)
    return made


def read_error(directory: Path, kind: Type[StorageError]) -> StorageError:
    with pytest.raises(StorageError) as caught:
        FileStorage(directory).read()
    assert kind is type(caught.value)
    return caught.value


# ------------------------------------------------------------------ where it is


def test_an_argument_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A given path is taken, and the variable is not looked at."""
    monkeypatch.setenv("NEUROMATION_CONFIG", str(tmp_path / "b"))
    assert str(tmp_path / "a") == FileStorage(tmp_path / "a").location


def test_the_environment_wins_over_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a path ``$NEUROMATION_CONFIG`` is taken."""
    monkeypatch.setenv("NEUROMATION_CONFIG", str(tmp_path / "b"))
    assert str(tmp_path / "b") == FileStorage().location


@pytest.mark.parametrize("empty", ["", None])
def test_the_home_is_the_default(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    """Without a path and a variable, or with empty ones, it is ``~/.neuro``."""
    monkeypatch.setenv("NEUROMATION_CONFIG", "")
    assert (
        os.path.realpath(f"{os.environ['HOME']}/.neuro") == FileStorage(empty).location
    )


def test_an_unknown_home_is_not_a_folder_named_tilde() -> None:
    """A ``~`` that leads nowhere is an error, not a directory in the current one."""
    with pytest.raises(UnsafePathError, match="home directory is not known"):
        FileStorage("~nobody-of-this-name/.neuro")


def test_it_is_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a change of directory nor of a link moves a store that is open."""
    (tmp_path / "one").mkdir(mode=0o700)
    (tmp_path / "two").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("one")
    monkeypatch.chdir(tmp_path)
    storage = FileStorage("link")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("two")
    monkeypatch.chdir("/")
    storage.update(lambda old: ANN, 1.0)
    assert {SESSION} == names_in(tmp_path / "one")
    assert set() == names_in(tmp_path / "two")


def test_a_link_that_has_come_since_is_refused(tmp_path: Path) -> None:
    """A link in place of the directory leads a store that is open nowhere else."""
    (tmp_path / "other").mkdir(mode=0o700)
    storage = FileStorage(tmp_path / "store")
    (tmp_path / "store").symlink_to("other")
    with pytest.raises(UnsafePathError):
        storage.read()
    with pytest.raises(UnsafePathError):
        storage.update(lambda old: ANN, 1.0)
    assert set() == names_in(tmp_path / "other")


def test_elsewhere_than_on_posix_it_is_one_error() -> None:
    """A system without modes and locks is refused at once."""
    from neuro_config._directory import Directory

    with pytest.raises(UnsupportedSystemError):
        Directory("somewhere", system="nt")


# -------------------------------------------------------------- what is read


def test_nothing_is_nobody(directory: Path) -> None:
    """Neither a missing directory nor a missing file is an error, and none is made."""
    assert None is FileStorage(directory / "missing").read()
    assert None is FileStorage(directory).read()
    assert None is FileStorage(directory).read_catalog("0" * 64, 0, 10)
    assert [] == os.listdir(directory)


def test_a_login_is_read(directory: Path) -> None:
    """What was encoded is read, from a hard link as well."""
    (directory / "other").write_bytes(encode(ANN))
    os.link(directory / "other", directory / SESSION)
    assert ANN == FileStorage(directory).read()


def test_a_directory_that_others_can_read_is_read(directory: Path) -> None:
    """Only writing by others makes a directory unsafe: the files are 0600."""
    directory.chmod(0o755)
    assert None is FileStorage(directory).read()


def test_a_part_of_a_catalog_is_read(directory: Path) -> None:
    """``read_catalog`` returns the bytes from the offset on, as many as there are."""
    (directory / f"catalog-{'a' * 64}.jsonl").write_bytes(b"0123456789")
    assert b"789" == FileStorage(directory).read_catalog("a" * 64, 7, 100)


NEWER = b"schema = 2\n" + encode(ANN).partition(b"\n")[2]

BAD_BYTES = [
    pytest.param(b"", DamagedFileError, "is empty", id="empty"),
    pytest.param(b"\0" * 3000, DamagedFileError, "not TOML", id="zeros"),
    pytest.param(encode(ANN)[:200], DamagedFileError, "", id="cut off"),
    pytest.param(b"\xff" * 99, DamagedFileError, "UTF-8", id="no UTF-8"),
    pytest.param(b"#" * (SESSION_LIMIT + 1), DamagedFileError, "too big", id="big"),
    pytest.param(NEWER, NewerSchemaError, "schema 2", id="newer"),
]


@pytest.mark.parametrize(("data", "kind", "text"), BAD_BYTES)
def test_bad_bytes_are_an_error_that_names_the_file(
    directory: Path, data: bytes, kind: Type[StorageError], text: str
) -> None:
    """Bytes that are no login are a typed error and never "logged out"."""
    (directory / SESSION).write_bytes(data)
    error = read_error(directory, kind)
    assert str(directory / SESSION) == error.path
    assert text in str(error)
    assert "access-ann" not in str(error)
    assert "og in again" in str(error)
    assert None is error.__cause__


@pytest.mark.parametrize(("data", "kind", "text"), BAD_BYTES)
def test_bad_bytes_stop_an_ordinary_update(
    directory: Path, data: bytes, kind: Type[StorageError], text: str
) -> None:
    """Without ``replace`` an unreadable login is kept to the last byte."""
    (directory / SESSION).write_bytes(data)
    with pytest.raises(kind):
        FileStorage(directory).update(lambda old: ANN, 1.0)
    assert data == (directory / SESSION).read_bytes()
    assert {SESSION} == names_in(directory)


def test_a_huge_file_is_not_read_whole(directory: Path) -> None:
    """A sparse file of a terabyte is refused without being read into memory."""
    with open(directory / SESSION, "wb") as file:
        file.truncate(1 << 40)
    assert "too big" in str(read_error(directory, DamagedFileError))


# ----------------------------------------------------------- what stands there


def _link(path: Path) -> None:
    target = path.parent.parent / "target"
    target.write_bytes(encode(ANN))
    path.symlink_to(target)


def _dangling(path: Path) -> None:
    path.symlink_to(path.parent.parent / "missing")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's path must be short
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


PLANTED = [
    pytest.param(_link, UnsafePathError, id="link"),
    pytest.param(_dangling, UnsafePathError, id="dangling link"),
    pytest.param(os.mkfifo, UnsafePathError, id="fifo"),
    pytest.param(os.mkdir, UnsafePathError, id="directory"),
    pytest.param(_socket, StorageReadError, id="socket"),
]


@pytest.mark.parametrize(("plant", "kind"), PLANTED)
def test_what_is_no_file_is_refused(
    directory: Path, plant: Callable[[Path], None], kind: Type[StorageError]
) -> None:
    """A link is not followed, a FIFO does not hang, and each is one typed error."""
    plant(directory / SESSION)
    assert str(directory / SESSION) == read_error(directory, kind).path


@pytest.mark.parametrize(("plant", "kind"), PLANTED)
def test_what_is_no_catalog_is_refused(
    directory: Path, plant: Callable[[Path], None], kind: Type[StorageError]
) -> None:
    """The same holds for a catalog."""
    plant(directory / f"catalog-{'a' * 64}.jsonl")
    with pytest.raises(kind):
        FileStorage(directory).read_catalog("a" * 64, 0, 10)


def test_a_file_without_permission_is_an_error() -> None:
    """A login that the system does not let us read is an error, not "logged out"."""
    with folder_of_ordinary_user() as folder:
        (folder / SESSION).touch(mode=0o200)
        assert "permission denied" in str(read_error(folder, StorageReadError))


def test_a_file_of_somebody_else_is_refused() -> None:
    """A login in our directory that another user owns is not ours."""
    with folder_of_ordinary_user() as folder:
        (folder / SESSION).write_bytes(encode(ANN))
        uid = os.geteuid()
        if os.getuid() == 0:
            os.seteuid(0)
            os.chown(folder / SESSION, 0, -1)
            os.chmod(folder / SESSION, 0o644)
            os.seteuid(uid)
            read_error(folder, UnsafePathError)


# ------------------------------------------------------------ the directory


def update_error(directory: Path) -> StorageError:
    with pytest.raises(StorageError) as caught:
        FileStorage(directory).update(lambda old: session("eve"), 1.0, replace=True)
    return caught.value


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_directory_that_others_can_write_is_refused(
    directory: Path, mode: int
) -> None:
    """Reading and writing are refused, and the error says what to do."""
    directory.chmod(mode)
    assert f"chmod 700 {directory}" in str(read_error(directory, UnsafePathError))
    assert UnsafePathError is type(update_error(directory))
    with pytest.raises(UnsafePathError):
        FileStorage(directory).sole_refresher(0.0)
    assert [] == os.listdir(directory)


def test_a_directory_of_somebody_else_is_refused(directory: Path) -> None:
    """Reading and writing are refused, and the error names both users."""
    foreign = folder_of_somebody_else(directory)
    owner = foreign.stat().st_uid
    error = read_error(foreign, UnsafePathError)
    assert f"user id {owner}, you are {os.geteuid()}" in str(error)
    assert UnsafePathError is type(update_error(foreign))


def test_a_directory_that_becomes_unsafe_stops_a_login(directory: Path) -> None:
    """Even a login that replaces what is damaged does not write into it."""
    (directory / SESSION).write_bytes(b"")
    directory.chmod(0o777)
    assert UnsafePathError is type(update_error(directory))
    assert [SESSION] == os.listdir(directory)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    """A path that is a file is an error that says so."""
    (tmp_path / "file").touch()
    error = read_error(tmp_path / "file", UnsafePathError)
    assert "is not a directory" in str(error)


def test_a_path_through_a_file_is_an_error(tmp_path: Path) -> None:
    """A path below a file can be neither read nor written."""
    (tmp_path / "file").touch()
    assert "ot a directory" in str(read_error(tmp_path / "file/x", StorageReadError))


def test_a_ring_of_links_is_an_error(tmp_path: Path) -> None:
    """A directory that can never be reached is one typed error."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    read_error(tmp_path / "a", UnsafePathError)


def test_a_read_only_directory_is_read_and_not_written() -> None:
    """Reading works; writing is an error that can be told from a passing one."""
    with folder_of_ordinary_user() as folder:
        FileStorage(folder).update(lambda old: ANN, 1.0)
        folder.chmod(0o500)
        before = sorted(os.listdir(folder))
        assert ANN == FileStorage(folder).read()
        error = update_error(folder)
        assert isinstance(error, StorageWriteError)
        assert error.is_read_only
        assert "nothing was changed: permission denied" in str(error)
        assert before == sorted(os.listdir(folder))
        assert ANN == FileStorage(folder).read()


def test_an_unknown_refusal_is_told_in_the_systems_words(tmp_path: Path) -> None:
    """An error without advice of ours still says what happened."""
    error = read_error(tmp_path / ("x" * 300), StorageReadError)
    assert "File name too long" in str(error)


# -------------------------------------------------------------------- modes


@pytest.mark.parametrize("others", [0, 0o022, 0o027, 0o077])
@pytest.mark.parametrize("own", range(0, 0o1000, 0o100))
def test_modes_do_not_depend_on_the_umask(own: int, others: int) -> None:
    """Directories are made 0700 and files 0600, also those above, under any umask."""
    with folder_of_ordinary_user() as folder:
        storage = FileStorage(folder / "a" / "b")
        before = os.umask(own | others)
        try:
            storage.update(lambda old: ANN, 1.0, catalog=b"{}\n")
            refresher = storage.sole_refresher(1.0)
            refresher.reserve()
            found = {
                stat.S_IMODE((folder / "a" / "b" / name).stat().st_mode)
                for name in os.listdir(storage.location)
            }
            refresher.update(lambda old: session("bob"), 1.0)
            refresher.release()
        finally:
            os.umask(before)
        assert {0o600} == found
        assert 0o600 == stat.S_IMODE((folder / "a/b" / SESSION).stat().st_mode)
        assert 0o700 == stat.S_IMODE((folder / "a/b").stat().st_mode)
        assert 0o700 == stat.S_IMODE((folder / "a").stat().st_mode)


def test_what_is_not_ours_is_not_left_open(tmp_path: Path) -> None:
    """A file with a second name is refused, and its descriptor is closed."""
    (tmp_path / "one").touch()
    os.link(tmp_path / "one", tmp_path / "other")
    free = os.open(tmp_path, os.O_RDONLY)
    os.close(free)
    with pytest.raises(PermissionError):
        open_sole(str(tmp_path / "one"), os.O_RDONLY)
    again = os.open(tmp_path, os.O_RDONLY)
    os.close(again)
    assert free == again
