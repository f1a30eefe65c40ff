"""Changing a file of the user's: whole or not at all, by many at once."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, List, Optional

import pytest
from samples import (
    NOBODY,
    environment,
    folder_of_ordinary_user,
    identity,
    python,
)

from neuro_config._edit import edit, is_leftover
from neuro_config._errors import LockTimeoutError, StorageWriteError, UserConfigError

COUNT = """
import sys
from neuro_config._edit import edit
for _ in range(10):
    edit(sys.argv[1], lambda old: str(int(old or b"0") + 1).encode())
"""
DIE = """
import os, sys
from neuro_config._edit import edit
os.rename = lambda *names: os._exit(9)
edit(sys.argv[1], lambda old: b"new" * 100000)
"""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def to(data: bytes) -> Callable[[Optional[bytes]], bytes]:
    return lambda old: data


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "one"
    folder.mkdir()
    made = folder / "user.toml"
    made.write_bytes(b"old")
    return made


def test_the_folder_of_a_new_file_is_forced_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first file is on the disk with the folder that it is in, whoever made that."""
    forced: List[str] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        fsync(fd)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            forced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))

    monkeypatch.setattr(os, "fsync", note)
    folder = tmp_path / "above" / "store"
    folder.mkdir(parents=True)
    assert edit(str(folder / "user.toml"), to(b"new"))
    assert ["above", "store"] == forced


def test_what_is_there_is_given_and_replaced(file: Path) -> None:
    """The function gets the old bytes, and what it returns takes their place."""
    given: List[Optional[bytes]] = []

    def change(old: Optional[bytes]) -> bytes:
        given.append(old)
        return b"new"

    assert edit(str(file), change)
    assert [b"old"] == given
    assert b"new" == file.read_bytes()


@pytest.mark.parametrize("result", [None, b"old"])
def test_nothing_new_writes_nothing(file: Path, result: Optional[bytes]) -> None:
    """Where nothing is to be changed, the very file stays."""
    before = identity(file)
    assert not edit(str(file), lambda old: result)
    assert before == identity(file)


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_a_new_file_is_private(umask: int) -> None:
    """A new file is 0600 in folders of 0700, under any umask."""
    with folder_of_ordinary_user() as folder:
        path = folder / "a" / "b" / "user.toml"
        before = os.umask(umask)
        try:
            assert edit(str(path), to(b"new"))
        finally:
            os.umask(before)
        assert b"new" == path.read_bytes()
        modes = [mode_of(one) for one in (path, path.parent, path.parent.parent)]
        assert [0o600, 0o700, 0o700] == modes


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o640])
def test_the_mode_stays(file: Path, mode: int) -> None:
    """A file has the mode that it had, whatever the umask."""
    file.chmod(mode)
    before = os.umask(0o077)
    try:
        edit(str(file), to(b"new"))
    finally:
        os.umask(before)
    assert mode == mode_of(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_stays(file: Path) -> None:
    """Root changes a file of somebody else's, and it stays theirs."""
    os.chown(file, NOBODY, NOBODY)
    edit(str(file), to(b"new"))
    assert (NOBODY, NOBODY) == (file.stat().st_uid, file.stat().st_gid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_an_owner_that_cannot_be_kept() -> None:
    """In a folder of one's own a file of somebody else's can be changed all the same."""
    with folder_of_ordinary_user() as folder:
        path = folder / "user.toml"
        path.write_bytes(b"old")
        path.chmod(0o644)
        os.seteuid(0)
        os.chown(path, 0, 0)
        os.seteuid(NOBODY)
        assert edit(str(path), to(b"new"))
        assert (NOBODY, 0o644) == (path.stat().st_uid, mode_of(path))


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o466])
def test_what_is_read_only_stays(file: Path, mode: int) -> None:
    """A file that its owner may not write is refused, to root as well, with the way out."""
    file.chmod(mode)
    before = identity(file)
    with pytest.raises(StorageWriteError, match="is read-only") as caught:
        edit(str(file), to(b"new"))
    assert f"chmod u+w {file}" in caught.value.reason
    assert caught.value.is_read_only
    assert (before, b"old") == (identity(file), file.read_bytes())
    assert not edit(str(file), to(b"old"))


def test_another_name_is_not_cut_off(file: Path, tmp_path: Path) -> None:
    """A file with a second hard link is refused, and both names go on being one file."""
    os.link(file, tmp_path / "other.toml")
    with pytest.raises(StorageWriteError, match="hard link"):
        edit(str(file), to(b"new"))
    assert b"old" == file.read_bytes()
    assert os.path.samefile(file, tmp_path / "other.toml")
    assert ["user.toml"] == os.listdir(file.parent)


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    """What a link leads to is changed, beside it, and the link is not."""
    link = tmp_path / "link.toml"
    link.symlink_to("one/user.toml")
    assert edit(str(link), to(b"new"))
    assert "one/user.toml" == os.readlink(link)
    assert b"new" == file.read_bytes()
    assert ["user.toml"] == os.listdir(file.parent)


def test_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    """A dangling link is an error, and what it leads to is not made."""
    link = tmp_path / "link.toml"
    link.symlink_to("missing/user.toml")
    with pytest.raises(UserConfigError, match="is a link to something"):
        edit(str(link), to(b"new"))
    assert not (tmp_path / "missing").exists()


def refuse(old: Optional[bytes]) -> bytes:
    raise UserConfigError("user.toml", "is refused.")


def test_a_refusal_changes_nothing(file: Path) -> None:
    """What the function raises leaves the file, and nothing beside it."""
    with pytest.raises(UserConfigError, match="is refused"):
        edit(str(file), refuse)
    assert b"old" == file.read_bytes()
    assert ["user.toml"] == os.listdir(file.parent)


def test_a_refusal_makes_no_folder(tmp_path: Path) -> None:
    """What is refused makes no folder either."""
    with pytest.raises(UserConfigError, match="is refused"):
        edit(str(tmp_path / "missing" / "user.toml"), refuse)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("step", ["write", "fsync", "rename", "fchmod"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EFAULT])
def test_a_failure_leaves_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    """Whichever step the system refuses, the old file stands and there is no litter."""

    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(StorageWriteError) as caught:
            edit(str(file), to(b"new"))
    assert (str(file), number) == (caught.value.path, caught.value.errno)
    assert "nothing was changed: " in str(caught.value)
    assert b"old" == file.read_bytes()
    assert ["user.toml"] == os.listdir(file.parent)


def test_an_interrupt_leaves_no_litter(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C before the rename leaves the old file and nothing else."""

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", interrupt)
        with pytest.raises(KeyboardInterrupt):
            edit(str(file), to(b"new"))
    assert b"old" == file.read_bytes()
    assert ["user.toml"] == os.listdir(file.parent)


def test_a_killed_process_leaves_the_old_file(file: Path) -> None:
    """Who dies before the rename leaves the old file whole, and one with a known name."""
    done = subprocess.run(python(DIE, str(file)), env=environment())
    assert 9 == done.returncode
    assert b"old" == file.read_bytes()
    (left,) = set(os.listdir(file.parent)) - {"user.toml"}
    assert is_leftover(left, "user.toml")
    assert edit(str(file), to(b"new"))


def test_a_slow_disk(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that takes a byte at a time gets them all."""
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:1]))
        edit(str(file), to(b"new words"))
    assert b"new words" == file.read_bytes()


def test_a_folder_that_cannot_be_synced(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the rename the new file stands, even if the folder cannot be synced."""
    fsync = os.fsync

    def fail(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "no")
        fsync(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        assert edit(str(file), to(b"new"))
    assert b"new" == file.read_bytes()


def test_a_folder_without_permission() -> None:
    """A folder that cannot be written is an error that names the file."""
    with folder_of_ordinary_user() as folder:
        folder.chmod(0o500)
        with pytest.raises(StorageWriteError, match="permission denied") as caught:
            edit(str(folder / "user.toml"), to(b"new"))
        assert caught.value.is_read_only
        with pytest.raises(StorageWriteError, match="permission denied"):
            edit(str(folder / "below" / "user.toml"), to(b"new"))


def test_many_at_once(file: Path) -> None:
    """Processes that change one file take turns, and no change is lost."""
    file.write_bytes(b"0")
    processes = [
        subprocess.Popen(python(COUNT, str(file)), env=environment()) for _ in range(6)
    ]
    assert [0] * 6 == [process.wait() for process in processes]
    assert b"60" == file.read_bytes()
    assert ["user.toml"] == os.listdir(file.parent)


def test_nobody_waits_forever(file: Path) -> None:
    """Who holds the folder for too long is an error, after the time that was given."""
    fd = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        start = time.monotonic()
        with pytest.raises(LockTimeoutError) as caught:
            edit(str(file), to(b"new"), timeout=0.1)
        assert 0.1 <= time.monotonic() - start < 5.0
    finally:
        os.close(fd)
    assert str(file) == caught.value.path
    assert b"old" == file.read_bytes()


def test_without_locks(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks takes a change all the same."""

    def fail(*args: Any) -> None:
        raise OSError(errno.ENOLCK, "no")

    monkeypatch.setattr(fcntl, "flock", fail)
    assert edit(str(file), to(b"new"))
    assert b"new" == file.read_bytes()
