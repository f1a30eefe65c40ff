"""The doctor: what it finds, what it mends, and what it leaves alone."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

import attrs
import pytest
import requests
from cli import command, environment, run, spawn
from common import Clock, Login
from hypothesis import given, settings, strategies as st
from samples import (
    folder_of_ordinary_user,
    folder_of_somebody_else,
    names_in,
    session as login_of,
    started,
)
from wire import Wire, hang, http

from neuro_config import ConfigStore, _store
from neuro_config._attempts import RefreshFailure, RefreshMark
from neuro_config._commit import leftovers, remove_leftovers
from neuro_config._directory import SESSION, Directory, catalog_name
from neuro_config._doctor import (
    CHECKS,
    Examined,
    Finding,
    Level,
    Patient,
    cure,
    examine,
    mend,
)
from neuro_config._errors import (
    LockTimeoutError,
    NetworkError,
    StorageWriteError,
)
from neuro_config._locks import Lock, is_held
from neuro_config._mounts import Mount, mount_of, parse_mounts
from neuro_config._plugins import Plugin
from neuro_config._session import Session, encode, hash_of
from neuro_config._skew import skew_of
from neuro_config.testing import Platform

HOLD = """
import sys
from neuro_config._locks import Lock
lock = Lock(sys.argv[1], sys.argv[2], 30.0)
print(flush=True)
sys.stdin.read()
"""
DAY = 24 * 3600.0
NO_PLATFORM = "http://platform.example/api/v1"  # which must not be asked in the clear
LOGIN = login_of("alice", api_url=NO_PLATFORM)


@pytest.fixture
def store(login: Login) -> ConfigStore:
    return login()


def patient(folder: Path, **options: Any) -> Patient:
    """Who is examined; without a login, no platform is asked."""
    options.setdefault("api_url", NO_PLATFORM)
    options.setdefault("plugins", [])
    return Patient(Directory(folder), **options)


def found(folder: Path, check: str, **options: Any) -> List[Finding]:
    """What one check finds."""
    all_found = examine(patient(folder, **options))
    return [one.finding for one in all_found if one.check == check]


def bad(folder: Path, check: str, **options: Any) -> List[Finding]:
    """What one check finds wrong."""
    return [one for one in found(folder, check, **options) if one.level is not Level.OK]


def only(folder: Path, check: str, **options: Any) -> Finding:
    """The one thing that a check finds."""
    (finding,) = found(folder, check, **options)
    return finding


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def mended(folder: Path, **options: Any) -> List[Tuple[str, bool]]:
    """Mend everything; what was said, and whether it worked."""
    return [
        (one.said, one.is_mended) for one in mend(examine(patient(folder, **options)))
    ]


def contents(folder: Path) -> Dict[str, Tuple[int, bytes]]:
    """All that is in a directory, and its modes."""
    return {
        name: (mode_of(folder / name), (folder / name).read_bytes())
        for name in os.listdir(folder)
    }


def aged(path: Path, seconds: float) -> Path:
    """Make a file look older."""
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)
    return path


# ------------------------------------------------------------------- the whole


def test_a_healthy_login(store: ConfigStore) -> None:
    """Of a healthy login every check says that it is all right."""
    everything = examine(patient(store.path))
    assert list(CHECKS) == list(dict.fromkeys(one.check for one in everything))
    assert {Level.OK} == {one.finding.level for one in everything}
    assert [] == mend(everything)


def test_nothing_is_changed(store: ConfigStore) -> None:
    """To examine changes nothing in the directory, whatever is found."""
    for name in ("commit-1.tmp", "refresh-1.tmp", f"{SESSION}.corrupt-1", "user.toml"):
        (store.path / name).write_bytes(b"[")
    store.path.chmod(0o755)
    before = contents(store.path)
    assert bad(store.path, "leftovers")
    assert before == contents(store.path)


def test_without_a_directory(tmp_path: Path) -> None:
    """Without a directory the checks that look into it are left out, and none fails."""
    folder = tmp_path / "missing"
    names = {one.check for one in examine(patient(folder))}
    assert {"directory", "file system", "clock", "settings", "plugins"} == names
    finding = only(folder, "directory")
    assert (Level.OK, str(folder)) == (finding.level, finding.path)
    assert "does not exist yet" in finding.what
    assert [] == mended(folder)
    assert not folder.exists()


def test_logged_out(store: ConfigStore) -> None:
    """Logged out nothing is wrong."""
    store.logout()
    levels = {one.finding.level for one in examine(patient(store.path))}
    assert {Level.OK, Level.WARNING} == levels  # without the network
    assert "Nobody is logged in." == only(store.path, "login").what
    assert "No login names one." == only(store.path, "catalog").what


@pytest.mark.parametrize("data", [b"", b"\0" * 3000, b"schema = 99\n"])
def test_damage(store: ConfigStore, data: bytes) -> None:
    """A damaged login is an error that names the file, and is not mended."""
    (store.path / SESSION).write_bytes(data)
    finding = only(store.path, "login")
    assert (Level.ERROR, str(store.path / SESSION)) == (finding.level, finding.path)
    assert "og in again" in finding.advice
    assert [] == mended(store.path)
    assert data == (store.path / SESSION).read_bytes()


def test_what_a_check_raises_is_a_finding(
    store: ConfigStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that the system stops is an error, and the others go on."""

    def fail(path: str) -> List[str]:
        raise OSError(errno.EIO, "Input/output error", path)

    monkeypatch.setattr(os, "listdir", fail)
    finding = only(store.path, "files")
    expected = Finding(Level.ERROR, "Input/output error", str(store.path))
    assert expected == finding
    assert Level.OK is only(store.path, "login").level


def test_a_failing_fix_is_told(store: ConfigStore) -> None:
    """What cannot be mended is told, and the rest is mended."""

    def fail() -> str:
        raise OSError(errno.EROFS, "Read-only file system")

    findings = [
        Examined("a", Finding(Level.ERROR, "x", fix=fail)),
        Examined("b", Finding(Level.ERROR, "x")),
        Examined("c", Finding(Level.ERROR, "x", fix=lambda: "Done.")),
    ]
    outcomes = mend(findings)
    assert ["a", "c"] == [one.check for one in outcomes]
    assert [False, True] == [one.is_mended for one in outcomes]
    assert "Read-only file system" in outcomes[0].said
    assert "Done." == outcomes[1].said


# --------------------------------------------------------- directory and files


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o711])
def test_a_directory_that_others_can_look_into(store: ConfigStore, mode: int) -> None:
    """A directory that others can look into is a warning, and is made private."""
    (store.path / "user.toml").touch()
    store.path.chmod(mode)
    finding = only(store.path, "directory")
    assert (Level.WARNING, str(store.path)) == (finding.level, finding.path)
    assert f"mode {mode:04o}" in finding.what
    assert [("The mode is 0700 now.", True)] == mended(store.path)
    assert 0o700 == mode_of(store.path)
    assert Level.OK is only(store.path, "directory").level


def test_a_directory_that_is_not_only_ours(store: ConfigStore) -> None:
    """Where there is something else as well, a person decides who may look."""
    (store.path / "homework.txt").touch()
    store.path.chmod(0o755)
    finding = only(store.path, "directory")
    assert f"chmod 700 {store.path}" == finding.advice
    assert [] == mended(store.path)
    assert 0o755 == mode_of(store.path)


def test_a_directory_that_others_can_write(store: ConfigStore) -> None:
    """In a directory that others can write, nothing is looked into nor mended."""
    (store.path / SESSION).chmod(0o644)
    store.path.chmod(0o777)
    assert Level.ERROR is only(store.path, "directory").level
    checks = {one.check for one in examine(patient(store.path))}
    assert not checks & {"files", "leftovers", "login", "catalog", "locks"}
    assert [] == mended(store.path)
    assert ([], []) == (cure(patient(store.path))[1], bad(store.path, "files"))
    assert (0o777, 0o644) == (mode_of(store.path), mode_of(store.path / SESSION))


def test_a_directory_of_somebody_else(tmp_path: Path) -> None:
    """A directory of somebody else's is an error, and what to do is its advice."""
    foreign = folder_of_somebody_else(tmp_path)
    finding = only(foreign, "directory")
    assert Level.ERROR is finding.level
    assert finding.advice.startswith("Choose a directory of your own")
    assert f"belongs to the user id {foreign.stat().st_uid}" in finding.what


def test_a_directory_that_cannot_be_written() -> None:
    """A directory that one cannot write, or not make, is a warning."""
    with folder_of_ordinary_user() as folder:
        folder.chmod(0o500)
        assert ["cannot be written, so no login"] == [
            one.what[:30] for one in bad(folder, "directory")
        ]
        (finding,) = bad(folder / "a" / "b", "directory")
        assert "Choose another directory (NEUROMATION_CONFIG)." == finding.advice
        assert f"cannot be made: {folder} cannot be written" in finding.what


@pytest.mark.parametrize("mode", [0o000, 0o300, 0o077])
def test_a_directory_that_one_cannot_look_into(mode: int) -> None:
    """A directory that one may not look into oneself is an error with the way out."""
    with folder_of_ordinary_user() as folder:
        folder.chmod(mode & ~0o022)
        finding = only(folder, "directory")
        assert Level.ERROR is finding.level
        assert "you cannot look into it (mode " in finding.what
        assert f"chmod 700 {folder}" == finding.advice
        checks = {one.check for one in examine(patient(folder))}
        assert not checks & {"files", "leftovers", "login", "catalog", "locks"}
        assert [] == mended(folder)


def test_a_path_through_a_file(tmp_path: Path) -> None:
    """A path that cannot be is an error."""
    (tmp_path / "file").touch()
    assert Level.ERROR is only(tmp_path / "file" / "x", "directory").level


@pytest.mark.parametrize(
    ("mode", "level", "words"),
    [
        (0o644, Level.WARNING, "others can read it"),
        (0o640, Level.WARNING, "others can read it"),
        (0o620, Level.ERROR, "others can write it"),
        (0o666, Level.ERROR, "others can write it"),
        (0o400, Level.ERROR, "you cannot read and write it"),
        (0o700, Level.WARNING, "its mode is not what it was made with"),
    ],
)
@pytest.mark.parametrize("name", [SESSION, "commit.lock", "commit.holder", "catalog"])
def test_modes(
    store: ConfigStore, name: str, mode: int, level: Level, words: str
) -> None:
    """A file with another mode is found and made private, its content untouched."""
    if name == "catalog":
        (name,) = (one for one in os.listdir(store.path) if one.startswith(name))
    path = store.path / name
    before = path.read_bytes()
    path.chmod(mode)
    finding = only(store.path, "files")
    assert (level, str(path)) == (finding.level, finding.path)
    assert finding.what == f"{words} (mode {mode:04o})."
    assert [("The mode is 0600 now.", True)] == mended(store.path)
    assert (0o600, before) == (mode_of(path), path.read_bytes())


def test_the_users_own_files_are_left_alone(store: ConfigStore) -> None:
    """The modes of what is not ours are nobody's business."""
    (store.path / "user.toml").touch(mode=0o644)
    (store.path / "notes.txt").touch(mode=0o644)
    assert Level.OK is only(store.path, "files").level
    assert Level.OK is only(store.path, "settings").level
    (store.path / "user.toml").chmod(0o666)
    finding = only(store.path, "settings")
    assert (Level.WARNING, None) == (finding.level, finding.fix)
    assert "others can write it (mode 0666)." == finding.what


@pytest.mark.parametrize("name", [SESSION, "commit.lock", f"catalog-{'a' * 64}.jsonl"])
@pytest.mark.parametrize(
    "plant", [lambda path: path.symlink_to("x"), os.mkdir, os.mkfifo]
)
def test_what_is_no_file(
    store: ConfigStore, name: str, plant: Callable[[Path], None]
) -> None:
    """In the place of a file, anything else is an error, and is left alone."""
    path = store.path / name
    if path.exists():
        path.unlink()
    plant(path)
    (finding,) = bad(store.path, "files")
    expected = (Level.ERROR, "is no file of yours.", str(path))
    assert expected == (finding.level, finding.what, finding.path)
    mended(store.path)
    assert os.path.lexists(path)


@pytest.mark.parametrize("plant", [os.link, os.symlink])
def test_what_has_come_meanwhile(
    store: ConfigStore, tmp_path: Path, plant: Callable[..., None]
) -> None:
    """What has come into a file's place since it was examined keeps its mode."""
    target = tmp_path / "target"
    target.touch(mode=0o644)
    path = store.path / SESSION
    path.chmod(0o644)
    found = examine(patient(store.path))
    path.unlink()
    plant(target, path)
    (outcome,) = mend(found)
    assert "is something else by now" in outcome.said
    assert not outcome.is_mended
    assert 0o644 == mode_of(target)


def test_a_lock_with_two_names(store: ConfigStore) -> None:
    """A lock file that is a hard link is an error, and its mode is not changed."""
    path = store.path / "commit.lock"
    path.chmod(0o644)
    os.link(path, store.path / "another")
    whats = [one.what for one in bad(store.path, "files")]
    assert "has another name as well, a hard link." == whats[0]
    assert 2 == len(whats)
    assert [] == mended(store.path)


def test_a_file_that_goes_away(
    store: ConfigStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that its owner removes meanwhile is no finding."""
    (store.path / "commit-1.tmp").touch(mode=0o644)
    lstat = os.lstat

    def without(path: Any, **options: Any) -> os.stat_result:
        if str(path).endswith("commit-1.tmp"):
            os.unlink(path)
        return lstat(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", without)
        assert Level.OK is only(store.path, "files").level


# ------------------------------------------------------------------- leftovers


def catalogs(folder: Path) -> Set[str]:
    return {name for name in os.listdir(folder) if name.startswith("catalog-")}


def plant_leftovers(folder: Path) -> Set[str]:
    """Leave behind all that can be left behind, and tell its names."""
    made = {
        "commit-1-ab.tmp",
        "refresh-1-ab.tmp",
        f"{SESSION}.corrupt-20200101T000000Z",
        f"{SESSION}.corrupt-20210101T000000Z",
        f"catalog-{'a' * 64}.jsonl",
    }
    for name in made:
        (folder / name).touch(mode=0o600)
    aged(folder / f"catalog-{'a' * 64}.jsonl", DAY + 60)
    (folder / f"{SESSION}.corrupt-20220101T000000Z").touch(mode=0o600)
    (folder / f"catalog-{'b' * 64}.jsonl").touch(mode=0o600)
    return made


def test_leftovers(store: ConfigStore) -> None:
    """What nobody uses any more is found and removed, and nothing else."""
    before = names_in(store.path)
    made = plant_leftovers(store.path)
    names = {os.path.basename(one.path or "") for one in bad(store.path, "leftovers")}
    assert made == names
    assert [("It is removed.", True)] * 5 == mended(store.path)
    kept = {f"{SESSION}.corrupt-20220101T000000Z", f"catalog-{'b' * 64}.jsonl"}
    assert before | kept == names_in(store.path)
    assert Level.OK is only(store.path, "leftovers").level
    store.reload()
    assert store.presets


@pytest.mark.parametrize("data", [None, b""])
def test_leftovers_without_a_login(store: ConfigStore, data: Optional[bytes]) -> None:
    """Where nobody knows which catalog a login names, none is removed."""
    if data is None:
        store.logout()
    else:
        (store.path / SESSION).write_bytes(data)
    for name in catalogs(store.path):
        aged(store.path / name, DAY + 60)
    (store.path / "commit-1.tmp").touch(mode=0o600)
    assert {("It is removed.", True)} == set(mended(store.path))
    assert (0 if data is None else 1) == len(catalogs(store.path))
    assert data is None or b"" == (store.path / SESSION).read_bytes()


@pytest.mark.parametrize(
    ("lock", "names"),
    [
        ("commit", {"refresh-1-ab.tmp"}),
        ("refresh", {"commit-1-ab.tmp", f"catalog-{'a' * 64}.jsonl"}),
    ],
)
def test_what_is_in_use_is_no_leftover(
    store: ConfigStore, lock: str, names: Set[str]
) -> None:
    """Under a lock that another process holds nothing is found, nor removed."""
    made = plant_leftovers(store.path)
    with started(HOLD, str(store.path), lock) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found_names = {
            os.path.basename(one.path or "") for one in bad(store.path, "leftovers")
        }
        assert names == {one for one in found_names if "corrupt" not in one}
        everything = examine(patient(store.path))
        mend(everything)
        assert {one for one in made if one.startswith(f"{lock}-")} <= names_in(
            store.path
        )


def test_a_lock_that_is_taken_meanwhile(store: ConfigStore) -> None:
    """What somebody began to use after it was found is not removed."""
    (store.path / "commit-1.tmp").touch(mode=0o600)
    everything = examine(patient(store.path))
    with started(HOLD, str(store.path), "commit") as process:
        assert process.stdout is not None
        process.stdout.readline()
        (outcome,) = mend(everything)
    assert not outcome.is_mended
    assert f"by process {process.pid}" in outcome.said
    assert (store.path / "commit-1.tmp").exists()


def test_a_catalog_that_is_named_meanwhile(store: ConfigStore) -> None:
    """A catalog that a login names by the time it is to be removed is kept."""
    (name,) = catalogs(store.path)
    session = Directory(store.path).read()
    assert session is not None
    aged(store.path / name, DAY + 60)
    store.logout()
    aged(store.path / name, DAY + 60)
    everything = examine(patient(store.path))
    (store.path / SESSION).write_bytes(encode(session))
    (outcome,) = mend(everything)
    assert "It is kept: somebody uses it by now." == outcome.said
    assert (store.path / name).exists()


def test_leftovers_that_cannot_be_removed(store: ConfigStore) -> None:
    """What the system does not let us remove is a typed error."""
    (store.path / "commit-1.tmp").mkdir()
    with pytest.raises(StorageWriteError):
        remove_leftovers(Directory(store.path), "commit", time.time(), 1.0)
    assert not is_held(str(store.path), "commit")
    assert ["commit-1.tmp"] == leftovers(Directory(store.path), "commit", time.time())


def test_only_ours_is_a_leftover(store: ConfigStore) -> None:
    """What merely begins like one of ours is the user's."""
    (store.path / "commit-message.txt").touch(mode=0o600)
    assert Level.OK is only(store.path, "leftovers").level


def test_a_login_that_was_set_aside(store: ConfigStore) -> None:
    """A damaged login is kept; after a month somebody is reminded of it."""
    path = store.path / f"{SESSION}.corrupt-20220101T000000Z"
    path.touch(mode=0o600)
    assert Level.OK is only(store.path, "leftovers").level
    aged(path, 31 * DAY)
    finding = only(store.path, "leftovers")
    assert (Level.WARNING, str(path), None) == (
        finding.level,
        finding.path,
        finding.fix,
    )
    assert "may hold a token" in finding.what


def test_a_half_written_user_toml(store: ConfigStore) -> None:
    """What a change of user.toml left behind is removed when it is a day old."""
    path = store.path / ".user.toml-abc.tmp"
    path.touch(mode=0o600)
    assert Level.OK is only(store.path, "leftovers").level
    aged(path, DAY + 60)
    everything = examine(patient(store.path))
    assert ["It is removed."] == [one.said for one in mend(everything)]
    assert not path.exists()
    assert ["It is removed."] == [one.said for one in mend(everything)]


@pytest.mark.parametrize("name", [".user.toml-notes", "user.toml-abc.tmp", ".tmp"])
def test_a_file_that_is_named_like_a_leftover(store: ConfigStore, name: str) -> None:
    """What is only named like a change that was cut short is the user's."""
    aged_file = store.path / name
    aged_file.touch(mode=0o600)
    aged(aged_file, DAY + 60)
    assert Level.OK is only(store.path, "leftovers").level


NAMES = [
    SESSION,
    "user.toml",
    ".user.toml-abcd_123.tmp",
    ".user.toml-zzzzzzzz.tmp",
    "commit.lock",
    "refresh.lock",
    "commit.holder",
    "commit-1-ab.tmp",
    "refresh-1-ab.tmp",
    f"{SESSION}.corrupt-20200101T000000Z",
    f"{SESSION}.corrupt-20210101T000000Z",
    f"catalog-{'a' * 64}.jsonl",
    f"catalog-{'b' * 64}.jsonl",
    "notes.txt",
]


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.tuples(st.sampled_from([0o600, 0o644, 0o666, 0o400, 0o000]), st.booleans()),
    ),
    st.sampled_from([0o700, 0o755, 0o750, 0o500]),
)
@settings(deadline=None)
def test_one_cure_is_enough(files: Dict[str, Tuple[int, bool]], mode: int) -> None:
    """After one run that mends, another finds nothing more that can be mended."""
    with folder_of_ordinary_user() as folder:
        for name, (file_mode, is_old) in files.items():
            path = folder / name
            path.write_bytes(encode(LOGIN) if name == SESSION else b"")
            aged(path, 400 * DAY if is_old else 0)
            path.chmod(file_mode)
        folder.chmod(mode)
        _, outcomes = cure(patient(folder))
        if mode == 0o500:
            return  # nothing can be made or removed there
        assert all(one.is_mended for one in outcomes)
        left = [one for one in examine(patient(folder)) if one.finding.fix is not None]
        assert [] == left


def test_a_half_written_user_toml_is_known(store: ConfigStore) -> None:
    """A change that is under way or was cut short keeps no directory from its mode."""
    (store.path / ".user.toml-abcd_123.tmp").touch(mode=0o600)
    store.path.chmod(0o755)
    assert [("The mode is 0700 now.", True)] == mended(store.path)


def test_what_is_mended_counts_for_the_next_check() -> None:
    """A login that is readable again tells which catalogs are out of use, at once."""
    with folder_of_ordinary_user() as folder:
        (folder / SESSION).write_bytes(encode(LOGIN))
        (folder / SESSION).chmod(0o000)
        name = f"catalog-{'a' * 64}.jsonl"
        (folder / name).touch(mode=0o600)
        aged(folder / name, DAY + 60)
        _, outcomes = cure(patient(folder))
        assert ["files", "leftovers"] == [one.check for one in outcomes]
        assert not (folder / name).exists()


def test_an_age_that_nobody_knows(
    store: ConfigStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that goes away while it is looked at is not old."""
    (store.path / ".user.toml-abc.tmp").symlink_to("x")
    lstat = os.lstat

    def gone(path: Any, **options: Any) -> os.stat_result:
        if str(path).endswith(".user.toml-abc.tmp"):
            raise FileNotFoundError(errno.ENOENT, "gone", path)
        return lstat(path, **options)

    monkeypatch.setattr(os, "lstat", gone)
    assert Level.OK is only(store.path, "leftovers").level


# ------------------------------------------------------------ login and catalog


def change(store: ConfigStore, **changes: Any) -> Session:
    """Store another version of the login."""
    directory = Directory(store.path)
    session = directory.read()
    assert session is not None
    session = attrs.evolve(session, **changes)
    (store.path / SESSION).write_bytes(encode(session))
    return session


def test_a_login_that_is_over(store: ConfigStore) -> None:
    """A dead refresh token is an error."""
    failure = RefreshFailure(1.0, 1, 2.0, "refused", "invalid_grant")
    change(store, refresh_failure=failure)
    finding = only(store.path, "login")
    assert (Level.ERROR, "Log in again.") == (finding.level, finding.advice)
    assert "does not accept the refresh token any more" in finding.what


def test_a_token_that_has_expired(platform: Platform, folder: Path) -> None:
    """A token that has expired and cannot be refreshed is an error."""
    store = ConfigStore(folder)
    store.login_with_token(platform.issue_access_token(), url=platform.url)
    assert Level.OK is only(folder, "login").level
    finding = only(folder, "login", clock=lambda: time.time() + 7200)
    assert Level.ERROR is finding.level
    assert "there is no refresh token" in finding.what


def test_a_token_that_can_be_refreshed(store: ConfigStore) -> None:
    """A token that has expired and can be refreshed is all right."""
    assert Level.OK is only(store.path, "login", clock=lambda: time.time() + 7200).level


def test_an_answer_that_got_lost(store: ConfigStore) -> None:
    """A refresh whose answer is not known is a warning, once it is not under way."""
    session = Directory(store.path).read()
    assert session is not None
    assert session.token.refresh_token is not None
    mark = RefreshMark(hash_of(session.token.refresh_token), 1.5e9)
    change(store, refresh_sent=mark)
    assert Level.OK is only(store.path, "login", clock=Clock(1.5e9 + 30)).level
    finding = only(store.path, "login", clock=Clock(1.5e9 + 61))
    assert Level.WARNING is finding.level
    assert "sent at 2017-07-14 02:40:00 UTC got lost" in finding.what


def test_a_refresh_that_failed(store: ConfigStore) -> None:
    """A refresh that failed is a warning that says why."""
    change(store, refresh_failure=RefreshFailure(1.5e9, 2, 2.0, "no network"))
    finding = only(store.path, "login")
    assert Level.WARNING is finding.level
    assert (
        "the latest refresh, at 2017-07-14 02:40:00 UTC, failed: no network"
        == finding.what
    )


def test_a_catalog_that_is_gone(store: ConfigStore) -> None:
    """A missing catalog is an error that names the file."""
    (name,) = catalogs(store.path)
    (store.path / name).unlink()
    finding = only(store.path, "catalog")
    assert (Level.ERROR, str(store.path / name)) == (finding.level, finding.path)
    assert ("is missing.", "Call fetch() to get it again.") == (
        finding.what,
        finding.advice,
    )


@pytest.mark.parametrize(
    ("at", "words"), [(5, ["line 1 is not"]), (-5, ["cluster 'lab' is not"])]
)
def test_a_damaged_catalog(store: ConfigStore, at: int, words: List[str]) -> None:
    """Damage anywhere in the catalog is found, with the part that is damaged."""
    (name,) = catalogs(store.path)
    data = bytearray((store.path / name).read_bytes())
    data[at] ^= 1
    (store.path / name).write_bytes(data)
    whats = [one.what for one in bad(store.path, "catalog")]
    assert [True] == [word in what for word, what in zip(words, whats)]
    assert [] == mended(store.path)
    store.fetch()
    assert Level.OK is only(store.path, "catalog").level


def test_each_damaged_cluster(store: ConfigStore) -> None:
    """Each cluster that is damaged is named."""
    session = Directory(store.path).read()
    assert session is not None
    path = store.path / catalog_name(session.catalog)
    first = path.read_bytes().partition(b"\n")[0]
    path.write_bytes(first + b"\n")
    assert 3 == len(bad(store.path, "catalog"))


# ------------------------------------------------------------------------ locks


def test_a_lock_that_is_held(store: ConfigStore) -> None:
    """Who holds a lock is told, and after a minute that is a warning."""
    with started(HOLD, str(store.path), "commit") as process:
        assert process.stdout is not None
        process.stdout.readline()
        path = str(store.path / "commit.lock")
        finding = only(store.path, "locks")
        assert (Level.OK, path) == (finding.level, finding.path)
        assert f"is held by process {process.pid} since 2" in finding.what
        finding = only(store.path, "locks", clock=lambda: time.time() + 61)
        assert (Level.WARNING, path) == (finding.level, finding.path)
        assert "end it if it hangs" in finding.advice


def test_a_lock_that_was_held(store: ConfigStore) -> None:
    """A lock whose holder has died is free, whatever its hint says."""
    with started(HOLD, str(store.path), "commit") as process:
        assert process.stdout is not None
        process.stdout.readline()
    finding = only(store.path, "locks")
    assert Level.OK is finding.level
    assert finding.what.startswith("is free, taken last at 2")


def test_a_hint_from_the_end_of_time(store: ConfigStore) -> None:
    """A time that no calendar has is shown as it is."""
    (store.path / "commit.holder").write_text('{"since": 1e300}')
    assert "is free, taken last at 1e+300." == only(store.path, "locks").what


@pytest.mark.parametrize("hint", ["", "[]", '{"since": "x"}', "\xff"])
def test_a_hint_that_says_nothing(store: ConfigStore, hint: str) -> None:
    """A hint that is none is passed over, whether the lock is held or not."""
    (store.path / "commit.holder").write_text(hint)
    assert "Nobody has taken one." == only(store.path, "locks").what
    fd = os.open(store.path / "commit.lock", os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        finding = only(store.path, "locks", clock=lambda: time.time() + 7200)
        expected = (Level.OK, "is held by another process or thread.")
        assert expected == (finding.level, finding.what)
    finally:
        os.close(fd)


def test_without_locks(store: ConfigStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks is an error that says so."""

    def fail(*args: object) -> None:
        raise OSError(errno.ENOLCK, "no")

    monkeypatch.setattr(fcntl, "flock", fail)
    finding = only(store.path, "locks")
    assert Level.ERROR is finding.level
    assert "has no file locks" in finding.what


class TestIsHeld:
    def test_by_us(self, folder: Path) -> None:
        """A lock is held from when it is taken until it is released."""
        folder.mkdir()
        assert not is_held(str(folder), "commit")
        lock = Lock(str(folder), "commit", 1.0)
        assert is_held(str(folder), "commit")
        lock.release()
        assert not is_held(str(folder), "commit")

    def test_nobody_is_kept_out(self, folder: Path) -> None:
        """To ask takes nothing away: two may ask at once, and then take the lock."""
        folder.mkdir()
        Lock(str(folder), "commit", 1.0).release()
        fd = os.open(folder / "commit.lock", os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            assert not is_held(str(folder), "commit")
            with pytest.raises(LockTimeoutError):
                Lock(str(folder), "commit", 0.0)
        finally:
            os.close(fd)
        Lock(str(folder), "commit", 0.0).release()

    @pytest.mark.parametrize("number", [errno.EIO, errno.EINTR])
    def test_a_broken_disk(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        """What the system says otherwise is raised as it is."""
        folder.mkdir()
        (folder / "commit.lock").touch()

        def fail(*args: object) -> None:
            raise OSError(number, "no")

        monkeypatch.setattr(fcntl, "flock", fail)
        with pytest.raises(OSError, match="no"):
            is_held(str(folder), "commit")


# ------------------------------------------------------------------ file system

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw - proc proc rw
30 22 0:40 / /home rw,relatime - nfs4 files.example:/export/home rw,vers=4.2
31 30 8:2 / /home/alice/local rw master:1 propagate_from:2 - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/with\040space\134 rw - cifs //server/share\040one rw
33 22 0:42 / /mnt/ssh rw - fuse.sshfs alice@far.example: rw
34 22 0:43 / /auto rw - autofs systemd-1 rw
35 34 0:44 / /auto rw - nfs files:/auto rw
36 22 0:45 / /strange rw - newfs files.example:/export rw
37 22 0:46 / /zfs rw - zfs tank/home rw
38 22 0:47 / /overlay rw - overlay overlay rw
39 22 0:48 / /fuse rw - fuse.encfs encfs rw
not a line
40 22 0:49 / /short
41 22 0:50 / /none rw -
42 22 - ext4 /dev/sdc rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "is_network"),
    [
        ("/", "ext4", False),
        ("/root/.neuro", "ext4", False),
        ("/homework/.neuro", "ext4", False),
        ("/home/alice/.neuro", "nfs4", True),
        ("/home", "nfs4", True),
        ("/home/alice/local/.neuro", "xfs", False),
        ("/home/alice/locals/.neuro", "nfs4", True),
        ("/mnt/with space\\/x", "cifs", True),
        ("/mnt/ssh/x", "fuse.sshfs", True),
        ("/auto/x", "nfs", True),
        ("/strange/x", "newfs", True),
        ("/zfs/x", "zfs", False),
        ("/overlay/x", "overlay", False),
        ("/fuse/x", "fuse.encfs", False),
        ("/short/x", "ext4", False),
        ("/none/x", "ext4", False),
    ],
)
def test_mounts(path: str, kind: str, is_network: bool) -> None:
    """Of the kernel's table the mount is found that a path lies on, and judged."""
    mount = mount_of(parse_mounts(MOUNTS), path)
    assert mount is not None
    assert (kind, is_network) == (mount.kind, mount.is_network)


def test_no_mounts() -> None:
    """An empty table says nothing."""
    assert [] == parse_mounts("")
    assert None is mount_of([], "/home")
    share = Mount("/mnt/with space\\", "cifs", "//server/share one")
    assert share in parse_mounts(MOUNTS)


@pytest.mark.parametrize(
    "kind",
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "9p",
        "ceph",
        "lustre",
        "fuse.glusterfs",
        "afs",
        "vboxsf",
        "prl_fs",
    ],
)
def test_kinds(kind: str) -> None:
    """The network file systems are known by name."""
    assert Mount("/", kind, "any").is_network


def test_a_network_file_system(store: ConfigStore, tmp_path: Path) -> None:
    """A directory on a network file system is a warning that names it."""
    table = tmp_path / "mountinfo"
    table.write_text("1 0 0:1 / / rw - nfs4 files:/ rw\n")
    finding = only(store.path, "file system", mountinfo=str(table))
    assert (Level.WARNING, str(store.path)) == (finding.level, finding.path)
    assert "(nfs4, mounted at /)" in finding.what


def test_the_real_table(tmp_path: Path) -> None:
    """This system's own table is read, or its lack is told."""
    assert only(tmp_path, "file system").level in (Level.OK, Level.WARNING)
    finding = only(tmp_path, "file system", mountinfo=str(tmp_path / "missing"))
    assert (Level.OK, None) == (finding.level, finding.path)
    assert "does not tell" in finding.what
    (tmp_path / "empty").touch()
    finding = only(tmp_path, "file system", mountinfo=str(tmp_path / "empty"))
    assert "It is a local one." == finding.what


# ------------------------------------------------------------------------ clock


@pytest.mark.parametrize(
    ("wrong", "level", "words"),
    [
        (0, Level.OK, "It agrees"),
        (20, Level.OK, "It agrees"),
        (-20, Level.OK, "It agrees"),
        (120, Level.WARNING, "s ahead of that of"),
        (-120, Level.WARNING, "s behind that of"),
        (3600, Level.ERROR, "s ahead of that of"),
        (-3600, Level.ERROR, "s behind that of"),
    ],
)
def test_the_clock(store: ConfigStore, wrong: int, level: Level, words: str) -> None:
    """A clock that is wrong by more than 30 s is found, by more than 300 s an error."""
    finding = only(store.path, "clock", clock=lambda: time.time() + wrong)
    assert level is finding.level
    assert words in finding.what
    if level is not Level.OK:
        told = float(finding.what.split()[3])
        assert abs(wrong) - 10 < told < abs(wrong) + 10


def test_the_request(store: ConfigStore, platform: Platform) -> None:
    """One request without a token is sent, to the platform of the login."""
    platform.clear_requests()
    only(store.path, "clock")
    (request,) = platform.requests
    assert "/api/v1/config" == request.path
    assert None is request.user


def test_logged_out_the_default_platform_is_asked(
    platform: Platform, tmp_path: Path
) -> None:
    """Without a login the platform is asked at which one would log in."""
    finding = only(tmp_path, "clock", api_url=str(platform.url))
    assert Level.OK is finding.level
    assert 1 == platform.count("config")


def test_without_the_network(tmp_path: Path) -> None:
    """Without the network there is a warning, soon."""
    start = time.monotonic()
    finding = only(tmp_path, "clock", api_url="http://127.0.0.1:1/api/v1")
    assert Level.WARNING is finding.level
    assert finding.what.startswith(
        "http://127.0.0.1:1/api/v1/config: cannot be reached"
    )
    assert time.monotonic() - start < 10.0


def test_in_the_clear(tmp_path: Path) -> None:
    """A platform that must not be asked is a warning."""
    finding = only(tmp_path, "clock")
    assert "must be https" in finding.what


def test_a_server_that_is_silent() -> None:
    """A server that says nothing is given up after a while."""
    with Wire(hang) as wire, pytest.raises(NetworkError, match="within 0.3 s"):
        skew_of(wire.url, time.time, patience=0.3)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Date: yesterday\r\n",
        "Date: Thu, 99 Jan 99999 00:00:00 GMT\r\n",
        "Date: \r\n",
    ],
)
def test_a_server_that_tells_no_time(tmp_path: Path, header: str) -> None:
    """A server that tells no time is no fault of the clock's."""
    with Wire(http({}, headers=header)) as wire:
        finding = only(tmp_path, "clock", api_url=wire.url)
    expected = (Level.OK, f"{wire.url} does not tell the time.")
    assert expected == (finding.level, finding.what)


def test_an_answer_that_is_broken(tmp_path: Path) -> None:
    """The time counts, whatever else is wrong with the answer."""
    head = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Encoding: br\r\n"
    with Wire(http(b"x", headers=head)) as wire:
        finding = only(tmp_path, "clock", api_url=wire.url)
    assert Level.ERROR is finding.level
    assert "ahead of that of" in finding.what


def test_a_session_of_the_callers(tmp_path: Path, platform: Platform) -> None:
    """The request goes over the session that is given."""
    opened = []

    def open_session() -> requests.Session:
        opened.append(requests.Session())
        return opened[0]

    only(tmp_path, "clock", api_url=str(platform.url), open_session=open_session)
    assert 1 == len(opened)


# --------------------------------------------------------- settings and plugins


def test_settings(store: ConfigStore, tmp_path: Path) -> None:
    """Both files of the user's are checked, each by itself."""
    (store.path / "user.toml").write_text("[job]\nlif-span = '1d'\n")
    (tmp_path / ".neuro.toml").write_text("[")
    user, local = bad(store.path, "settings", start=tmp_path)
    assert (Level.ERROR, str(store.path / "user.toml")) == (user.level, user.path)
    assert user.what.startswith("job.lif-span: is no known key")
    assert (Level.ERROR, str(tmp_path / ".neuro.toml")) == (local.level, local.path)
    assert local.what.startswith("is not TOML")


def test_right_settings(store: ConfigStore) -> None:
    """Right files are right."""
    (store.path / "user.toml").write_text("[job]\nlife-span = '1d'\n")
    assert Level.OK is only(store.path, "settings").level


def test_settings_in_an_unsafe_directory(store: ConfigStore, tmp_path: Path) -> None:
    """In an unsafe directory user.toml is not read; the local file is checked as ever."""
    (store.path / "user.toml").write_text("[")
    (tmp_path / ".neuro.toml").write_text("[")
    store.path.chmod(0o777)
    user, local = bad(store.path, "settings", start=tmp_path)
    expected = (Level.WARNING, f"is not read, because of {store.path}.")
    assert expected == (user.level, user.what)
    assert str(store.path / "user.toml") == user.path
    assert (Level.ERROR, str(tmp_path / ".neuro.toml")) == (local.level, local.path)


def test_settings_without_permission() -> None:
    """A user.toml that one cannot read is an error."""
    with folder_of_ordinary_user() as folder:
        (folder / "user.toml").touch(mode=0o200)
        finding = only(folder, "settings")
        assert Level.ERROR is finding.level
        assert "cannot be read: Permission denied" in finding.what


def test_plugins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A plugin that fails is a warning, told once."""

    def fail() -> None:
        raise ImportError("no module")

    plugins = [Plugin("report", "my-report", fail)]
    finding = only(tmp_path, "plugins", plugins=plugins)
    assert Level.WARNING is finding.level
    expected = (
        "the plugin report of the package my-report failed to load: ImportError: no "
        "module."
    )
    assert expected == finding.what
    assert "Update or remove the package my-report." == finding.advice
    assert [] == caplog.records


# ------------------------------------------------------------------ the command


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logged out, the command asks no platform either."""
    monkeypatch.setattr(_store, "DEFAULT_API_URL", NO_PLATFORM)


class TestCommand:
    def test_healthy(self, store: ConfigStore) -> None:
        """When all is well, each check says so, and the exit code is 0."""
        result = run("doctor", "--path", store.path)
        assert 0 == result.code
        for name in CHECKS:
            assert any(line.startswith(name) for line in result.out.splitlines())
        assert "error" not in result.out
        assert "warning" not in result.out

    def test_as_json(self, store: ConfigStore) -> None:
        """Programs get each finding with its level."""
        (store.path / SESSION).chmod(0o644)
        result = run("doctor", "--path", store.path, "--json")
        assert 12 == result.code
        (wrong,) = (one for one in result.data["findings"] if one["level"] != "ok")
        path = str(store.path / SESSION)
        assert {
            "check": "files",
            "level": "warning",
            "path": path,
            "what": "others can read it (mode 0644).",
            "advice": f"chmod 600 {path}",
            "can_be_fixed": True,
            "is_fixed": False,
            "fix_said": None,
        } == wrong

    def test_fix(self, store: ConfigStore) -> None:
        """--fix mends, says what it did, and then all is well."""
        (store.path / SESSION).chmod(0o644)
        (store.path / "commit-1.tmp").touch(mode=0o600)
        assert 12 == run("doctor", "--path", store.path).code
        result = run("doctor", "--path", store.path, "--fix")
        assert 0 == result.code
        assert "mended" in result.out
        assert "The mode is 0600 now." in result.out
        assert "It is removed." in result.out
        assert 0o600 == mode_of(store.path / SESSION)
        assert "mended" not in run("doctor", "--path", store.path, "--fix").out

    def test_fix_as_json(self, store: ConfigStore) -> None:
        """Programs are told what was mended."""
        (store.path / SESSION).chmod(0o644)
        result = run("doctor", "--path", store.path, "--fix", "--json")
        assert 0 == result.code
        (wrong,) = (one for one in result.data["findings"] if one["level"] != "ok")
        expected = (True, "The mode is 0600 now.")
        assert expected == (wrong["is_fixed"], wrong["fix_said"])

    def test_what_cannot_be_fixed(self, store: ConfigStore) -> None:
        """What --fix cannot mend stays wrong, and so does the exit code."""
        (name,) = catalogs(store.path)
        (store.path / name).write_bytes(b"")
        (store.path / "commit-1.tmp").touch(mode=0o600)
        lock = Lock(str(store.path), "commit", 1.0)
        lock.release()
        result = run("doctor", "--path", store.path, "--fix")
        assert 12 == result.code
        assert "Run neuro-config fetch to mend it." in result.out
        findings = run("doctor", "--path", store.path, "--json").data["findings"]
        (wrong,) = (one for one in findings if one["level"] != "ok")
        assert "Run neuro-config fetch to mend it." == wrong["advice"]
        store.fetch()
        assert 0 == run("doctor", "--path", store.path).code

    def test_a_fix_that_fails(
        self, store: ConfigStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A fix that fails says why."""
        (store.path / SESSION).chmod(0o644)

        def fail(path: str, mode: int) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        with monkeypatch.context() as patch:
            patch.setattr(os, "chmod", fail)
            result = run("doctor", "--path", store.path, "--fix")
        assert 12 == result.code
        assert "Read-only file system" in result.out

    def test_without_a_directory(self, folder: Path) -> None:
        """Without a login and the network the command does not fail, but says so."""
        proxy = {"HTTPS_PROXY": "http://127.0.0.1:1"}
        result = spawn("doctor", "--path", folder, env=proxy)
        assert (12, "") == (result.code, result.err)
        assert "does not exist yet" in result.out

    def test_processes(self, store: ConfigStore) -> None:
        """Several doctors at once do not hinder each other."""
        plant_leftovers(store.path)
        line = command("doctor", "--path", store.path, "--fix", "--json")
        doctors = [
            subprocess.Popen(line, stdout=subprocess.PIPE, env=environment())
            for _ in range(4)
        ]
        outputs = [json.loads(doctor.communicate()[0]) for doctor in doctors]
        assert 4 == len(outputs)
        assert 0 == run("doctor", "--path", store.path).code

    def test_secrets(self, store: ConfigStore) -> None:
        """No output holds a token, damaged or not."""
        session = Directory(store.path).read()
        assert session is not None
        secrets = [session.token.access_token, session.token.refresh_token or ""]
        for data in (None, (store.path / SESSION).read_bytes()[:-40]):
            if data is not None:
                (store.path / SESSION).write_bytes(data)
            for form in ((), ("--json",)):
                out = run("doctor", "--path", store.path, *form).out
                assert not any(str(one) in out for one in secrets)
