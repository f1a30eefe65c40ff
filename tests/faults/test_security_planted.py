"""What somebody has planted in the directory: never followed, written to or waited for."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
from pathlib import Path
from typing import Callable, Dict, Optional, Set

import attrs
import pytest
from planted import (
    OTHERS,
    Planter,
    Victims,
    clear,
    is_directory,
    no_hanging,
    planters,
    says_nothing,
    spread,
)
from proof import Effort, Tally
from samples import NOBODY, session

from neuro_config import ConfigStore
from neuro_config._catalog import digest_of, encode
from neuro_config._commit import remove_leftovers
from neuro_config._directory import SESSION, catalog_name
from neuro_config._doctor import CHECKS, Examined, Patient, mend
from neuro_config._errors import (
    ConfigError,
    LockTimeoutError,
    StorageError,
    UnsafePathError,
)
from neuro_config._files import FileStorage
from neuro_config._locks import describe_holder, read_hint
from neuro_config._payload import ServerConfig
from neuro_config._session import Choice, Session

FIRST, SECOND = (
    encode(ServerConfig(authorized=True), f"https://{name}.example/api/v1")
    for name in ("first", "second")
)
ANN = session("ann", catalog=digest_of(FIRST))
BOB = session("bob", catalog=digest_of(SECOND))
SWITCHED = attrs.evolve(ANN, choice=Choice("other"))
FETCHED = attrs.evolve(ANN, catalog=BOB.catalog)
LATER = 2e10  # seconds since the epoch; any file is old then

Work = Callable[[FileStorage], object]


def refresh(storage: FileStorage) -> None:
    refresher = storage.sole_refresher(0.0)
    try:
        refresher.reserve()
        refresher.update(lambda old: SWITCHED, 0.0)
    finally:
        refresher.release()


def ask_for_the_holder(storage: FileStorage) -> object:
    return [
        (read_hint(storage.location, lock), describe_holder(storage.location, lock))
        for lock in ("commit", "refresh")
    ]


def clean_up(storage: FileStorage) -> object:
    return [
        remove_leftovers(storage, lock, LATER, 0.0) for lock in ("commit", "refresh")
    ]


def consult_the_doctor(storage: FileStorage) -> None:
    patient = Patient(storage, "", plugins=())
    inside = [check for check in CHECKS.values() if check.is_inside]
    for check in (CHECKS["directory"], *(inside if patient.is_usable() else ())):
        try:
            for finding in check.run(patient):
                says_nothing(repr(finding))
                if finding.fix is not None:
                    says_nothing(finding.fix())
        except (OSError, StorageError) as error:  # the doctor makes a finding of it
            says_nothing(str(error))


WORKS: Dict[str, Work] = {
    "read": lambda storage: storage.read(),
    "open": lambda storage: ConfigStore(storage.location).state,
    "read a catalog": lambda storage: list(ConfigStore(storage.location).clusters),
    "switch": lambda storage: storage.update(lambda old: SWITCHED, 0.0),
    "fetch": lambda storage: storage.update(lambda old: FETCHED, 0.0, catalog=SECOND),
    "login": lambda storage: storage.update(
        lambda old: BOB, 0.0, catalog=SECOND, replace=True
    ),
    "logout": lambda storage: storage.update(lambda old: None, 0.0, replace=True),
    "refresh": refresh,
    "ask for the holder": ask_for_the_holder,
    "clean up": clean_up,
    "doctor": consult_the_doctor,
}
NAMES = (
    SESSION,
    catalog_name(ANN.catalog),
    catalog_name(BOB.catalog),
    catalog_name("0" * 64),
    "commit.lock",
    "commit.holder",
    "refresh.lock",
    "refresh.holder",
    "commit-1-0123456789abcdef.tmp",
    "refresh-1-0123456789abcdef.tmp",
    f"{SESSION}.corrupt-20200101T000000Z",
    f"{SESSION}.corrupt-99990101T000000Z",
)

NEEDED = (*NAMES[:3], "refresh.lock")


class Scene:
    """A directory with a login of ann's, and victims beside it."""

    def __init__(self, folder: Path) -> None:
        self.victims = Victims(folder / "victims")
        self.directory = folder / "store"
        self._template = folder / "template"
        storage = FileStorage(self._template)
        storage.update(lambda old: ANN, 0.0, catalog=FIRST)
        storage.sole_refresher(0.0).release()

    def storage(self) -> FileStorage:
        """A fresh directory."""
        if self.directory.is_symlink():
            self.directory.unlink()
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.copytree(self._template, self.directory)
        return FileStorage(self.directory)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def done(work: Work, storage: FileStorage) -> Optional[ConfigError]:
    """Do work; what it says is nobody else's, whether it works or not."""
    with no_hanging():
        try:
            found = work(storage)
        except ConfigError as error:
            says_nothing(str(error), repr(error), repr(error.__cause__))
            return error
    says_nothing(repr(found))
    if isinstance(found, Session):
        says_nothing(found.username, found.token.access_token)
    return None


def may_fail(name: str, kind: str, doing: str) -> bool:
    """Tell what a plant may keep somebody from; for a logout that is next to nothing."""
    if name == "commit.lock" or (name == SESSION and is_directory(kind)):
        return True
    if doing in ("clean up", "doctor") and is_directory(kind):
        return True  # nobody but its owner knows what it is for
    return doing != "logout" and name in NEEDED


@pytest.mark.attack("1", "3", "10")
def test_planted(scene: Scene, tally: Tally, effort: Effort) -> None:
    """Links, hard links, FIFOs, sockets, directories, devices and foreign files under every name of ours, in every operation."""
    cases = [
        (name, kind, doing) for name in NAMES for kind in planters() for doing in WORKS
    ]
    for name, kind, doing in spread(cases, effort(len(cases) // 6)):
        storage = scene.storage()
        place = scene.directory / name
        clear(place)
        planters()[kind](place, scene.victims)
        before = set(os.listdir(scene.directory))
        error = done(WORKS[doing], storage)
        scene.victims.require_untouched(times=not kind.startswith("hard link"))
        case = f"{doing}, {kind} at {name}: {error}"
        assert error is None or isinstance(error, StorageError), case
        assert error is None or may_fail(name, kind, doing), case
        assert not isinstance(error, LockTimeoutError), case
        if error is not None:
            require_no_litter(scene.directory, before)
        if doing == "logout" and error is None:
            assert not os.path.lexists(scene.directory / SESSION), case
        tally()


def require_no_litter(directory: Path, before: Set[str]) -> None:
    more = set(os.listdir(directory)) - before
    assert set() == {name for name in more if not name.endswith((".lock", ".holder"))}


def swapping(place: Callable[[], Path], planter: Planter, victims: Victims) -> Work:
    """Change a login; on the way something else comes into a place."""

    def change(old: Optional[Session]) -> Optional[Session]:
        clear(place())
        planter(place(), victims)
        return BOB

    return lambda storage: storage.update(change, 0.0, catalog=SECOND, replace=True)


def swapping_the_reserve(planter: Planter, victims: Victims) -> Work:
    def work(storage: FileStorage) -> None:
        refresher = storage.sole_refresher(0.0)
        try:
            refresher.reserve()
            (reserve,) = Path(storage.location).glob("refresh-*.tmp")
            clear(reserve)
            planter(reserve, victims)
            refresher.update(lambda old: SWITCHED, 0.0)
        finally:
            refresher.release()

    return work


def swapping_before_a_cure(name: str, planter: Planter, victims: Victims) -> Work:
    """Mend a mode, after something else has come into the file's place."""

    def work(storage: FileStorage) -> None:
        place = Path(storage.file(name))
        place.touch()
        place.chmod(0o644)
        found = list(CHECKS["files"].run(Patient(storage, "", plugins=())))
        clear(place)
        planter(place, victims)
        mend([Examined("files", finding) for finding in found])

    return work


@pytest.mark.attack("1", "10")
def test_swapped(scene: Scene, tally: Tally, effort: Effort) -> None:
    """The same, put in the place of a file between two steps of one operation."""
    victims = scene.victims
    works = {
        f"{kind} at {name}": work
        for kind, planter in planters().items()
        for name, work in (
            ("the reserve", swapping_the_reserve(planter, victims)),
            *(
                (each, swapping(functools.partial(Path, scene.directory, each), planter, victims))
                for each in NAMES
            ),
            *(
                (f"{each} that is mended", swapping_before_a_cure(each, planter, victims))
                for each in NAMES
            ),
        )
    }  # fmt: skip
    for case in spread(sorted(works), effort(len(works) // 3)):
        storage = scene.storage()
        error = done(works[case], storage)
        victims.require_untouched(times="hard link" not in case)
        assert error is None or isinstance(error, StorageError), case
        if case.endswith("the reserve"):
            assert error is None, f"{case}: {error}"
            assert SWITCHED == storage.read(), case
        tally()


UNSAFE = [mode for mode in range(0o700, 0o1000) if mode & 0o022]
SAFE = [mode for mode in range(0o700, 0o1000) if not mode & 0o022]


def contents(directory: Path) -> Dict[str, object]:
    return {
        each.name: (each.lstat().st_mode, each.read_bytes())
        for each in directory.iterdir()
    }


@pytest.mark.attack("3", "10")
def test_unsafe_directory(scene: Scene, tally: Tally, effort: Effort) -> None:
    """Every mode of the directory, with and without sticky bit, and a foreign owner: refused wherever others can write it, and nothing in it changes."""
    owners = (0, NOBODY) if os.geteuid() == 0 else (os.geteuid(),)
    cases = [
        (mode | special, owner, doing)
        for mode in (*UNSAFE, *SAFE)
        for special in (0, 0o1000, 0o2000)
        for owner in owners
        for doing in WORKS
    ]
    for mode, owner, doing in spread(cases, effort(400)):
        storage = scene.storage()
        os.chown(scene.directory, owner, -1)
        scene.directory.chmod(mode)
        before = contents(scene.directory)
        error = done(WORKS[doing], storage)
        case = f"{doing}, {mode:o}, {owner}: {error}"
        if (mode & 0o022 or owner != os.geteuid()) and doing not in UNGUARDED:
            assert isinstance(error, UnsafePathError) or doing == "open", case
            assert before == contents(scene.directory), case
        else:
            assert error is None, case
        tally()


# They look at nothing of the login's, or say themselves what is wrong.
UNGUARDED = ("ask for the holder", "doctor")

PLACES: Dict[str, Planter] = {
    **OTHERS,
    "link": lambda place, victims: place.symlink_to(victims.folder),
    "dangling link": lambda place, victims: place.symlink_to(
        victims.folder / "missing"
    ),
    "link to itself": lambda place, victims: place.symlink_to(place.name),
    "link to a file": lambda place, victims: place.symlink_to(victims.login),
    "hard link": lambda place, victims: os.link(victims.login, place),
}


@pytest.mark.attack("1", "10")
def test_replaced_directory(scene: Scene, tally: Tally) -> None:
    """The directory itself replaced between two calls, by a link to another one of the user's for example: nothing is read there or written."""
    for kind, doing in itertools.product(PLACES, WORKS):
        storage = scene.storage()
        shutil.rmtree(scene.directory)
        PLACES[kind](scene.directory, scene.victims)
        error = done(WORKS[doing], storage)
        scene.victims.require_untouched()
        if "link" in kind and doing not in ("open", "read a catalog", *UNGUARDED):
            # A store that is opened anew goes where the link leads to.
            assert isinstance(error, UnsafePathError), (kind, doing, error)
        clear(scene.directory)
        tally()
