"""What can be wrong with a directory and around it, and what of it is safe to mend.

Each check is a function from a ``Patient`` to what it found wrong; ``CHECKS`` is the
table of them, in the order in which they run: what is mended is mended before the next
check looks. A check reads, waits for no lock and keeps nobody waiting, and works logged
out, without a directory and on damage. What a finding's ``fix`` does is safe at any time:
it makes our own files private again, and removes what surely nobody uses, under the lock
that proves it. It touches neither a login nor a file of the user's, and nothing in an
unsafe directory.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import logging
import os
import stat
import time
from typing import (
    TYPE_CHECKING,
    Callable,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
)

import attr

from ._catalog import Catalog
from ._commit import LOCKS, is_ours, leftovers, remove_leftovers
from ._directory import SESSION, Directory, catalog_name, has_one_name
from ._edit import is_leftover
from ._errors import (
    ConfigError,
    DamagedFileError,
    NetworkError,
    StorageError,
    StorageUnavailableError,
    UnsafePathError,
    UserConfigError,
)
from ._facts import can_refresh, is_expired, is_over, is_spent
from ._local import StrPath, find_local_file, read_toml
from ._locks import describe_holder, is_held, read_hint
from ._mounts import mount_of, parse_mounts
from ._plugins import ConfigScope, Plugin, PluginManager, load_plugins
from ._session import Session
from ._storage import Storage
from ._user_config import checked

if TYPE_CHECKING:
    import requests

USER_FILE = "user.toml"
BUSY = 60.0  # seconds; who holds a lock for longer hangs
OLD = 24 * 3600.0  # seconds; a half-written file of this age is nobody's any more
SET_ASIDE = 30 * OLD  # seconds after which a damaged login is not wanted any more
SKEW = 30.0  # seconds that a clock may be wrong
BAD_SKEW = 300.0  # seconds from which on tokens are misjudged
READ_PATIENCE = 3.0  # seconds that a read may take
LOCK_PATIENCE = 2.0  # seconds to wait for a lock before mending


class Level(enum.Enum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@attr.frozen
class Finding:
    """What a check found.

    Args:
        level: How bad it is.
        what: What is the case, a sentence.
        path: The file or directory, ``None`` where there is none.
        advice: What to do, a sentence, or an empty string.
        fix: Mends it and says what was done; ``None`` where a person has to.
    """

    level: Level
    what: str
    path: Optional[str] = None
    advice: str = ""
    fix: Optional[Callable[[], str]] = attr.field(default=None, eq=False, repr=False)


@attr.define
class Patient:
    """What is examined, and what is needed for it.

    Args:
        directory: Of the login; need not exist.
        api_url: The platform to ask for the time when nobody is logged in.
        start: Where the search for the project's file begins.
        plugins: The plugins, by default those that are installed.
        clock: Returns seconds since the epoch.
        open_session: Makes a ``requests.Session``, by default its class.
        mountinfo: The kernel's table of mounts.
        storage: Where the login is, if it is in no directory.
        checks: What is done, by default ``CHECKS``.
    """

    directory: Directory
    api_url: str
    start: Optional[StrPath] = None
    plugins: Optional[Iterable[Plugin]] = None
    clock: Callable[[], float] = time.time
    open_session: Optional[Callable[[], requests.Session]] = None
    mountinfo: str = "/proc/self/mountinfo"
    storage: Optional[Storage] = None
    checks: Optional[Mapping[str, Check]] = None
    _manager: Optional[PluginManager] = attr.field(default=None, init=False)
    _away: Optional[StorageUnavailableError] = attr.field(default=None, init=False)

    @property
    def manager(self) -> PluginManager:
        """The parameters that are known; loads the plugins once."""
        if self._manager is None:
            with _unlogged():  # a failure is a finding
                self._manager = load_plugins(self.plugins)
        return self._manager

    def session(self) -> Optional[Session]:
        """Return the stored login, ``None`` also for one that cannot be read."""
        with contextlib.suppress(StorageError):
            return self.read()
        return None

    def read(self) -> Optional[Session]:
        """Return the stored login; a storage that is away is asked once."""
        if self._away is not None:
            raise self._away
        try:
            return (self.storage or self.directory).read(READ_PATIENCE)
        except StorageUnavailableError as error:
            self._away = error
            raise

    def read_catalog(self, digest: str, offset: int, size: int) -> Optional[bytes]:
        """Return a part of a catalog."""
        place = self.storage or self.directory
        return place.read_catalog(digest, offset, size, READ_PATIENCE)

    def file(self, name: str) -> str:
        """Return where something of the login's is, for people."""
        if self.storage is None:
            return self.directory.file(name)
        return f"{self.storage.location}/{name.partition('.')[0]}"

    def is_usable(self) -> bool:
        """Tell whether there is a directory, ours alone, and we can look into it."""
        with contextlib.suppress(StorageError):
            path = self.directory.location
            return self.directory.check_directory() and _is_allowed(path, os.R_OK)
        return False


class Check(NamedTuple):
    """One row of the table.

    Args:
        run: Returns what is wrong or worth saying; whatever it raises is a finding.
        fine: What to say when that is nothing.
        is_inside: Whether it looks into the directory; then it is left out where there
            is none, or an unsafe one.
    """

    run: Callable[[Patient], Iterable[Finding]]
    fine: str
    is_inside: bool = False


class Examined(NamedTuple):
    """A finding, and the name of its check."""

    check: str
    finding: Finding


class Mended(NamedTuple):
    """A finding, and what came of mending it."""

    check: str
    finding: Finding
    said: str
    is_mended: bool


def examine(patient: Patient) -> List[Examined]:
    """Run all checks, each of which has one finding at least.

    Args:
        patient: What to examine.
    """
    return [one for findings in _examined(patient) for one in findings]


def cure(patient: Patient) -> Tuple[List[Examined], List[Mended]]:
    """Run all checks, and mend what is safe to mend before the next one runs.

    Args:
        patient: What to examine.

    Returns:
        What ``examine`` and ``mend`` return.
    """
    found: List[Examined] = []
    mended: List[Mended] = []
    for findings in _examined(patient):
        found += findings
        mended += mend(findings)
    return found, mended


def _examined(patient: Patient) -> Iterator[List[Examined]]:
    for name, check in (patient.checks or CHECKS).items():
        if not check.is_inside or patient.storage is not None or patient.is_usable():
            yield [Examined(name, finding) for finding in _findings(check, patient)]


def mend(found: Iterable[Examined]) -> List[Mended]:
    """Mend what is safe to mend.

    Args:
        found: As ``examine`` returns it.

    Returns:
        What had a ``fix``, and what came of it.
    """
    mended = []
    for name, finding in found:
        if finding.fix is not None:
            try:
                mended.append(Mended(name, finding, finding.fix(), True))
            except (OSError, ConfigError) as error:
                mended.append(Mended(name, finding, str(error), False))
    return mended


def _findings(check: Check, patient: Patient) -> List[Finding]:
    try:
        found = list(check.run(patient))
    except StorageError as error:
        return [_of_storage(error)]
    except (OSError, ConfigError) as error:
        path = getattr(error, "filename", None)
        return [
            Finding(Level.ERROR, getattr(error, "strerror", None) or str(error), path)
        ]
    return found or [Finding(Level.OK, check.fine)]


def _of_storage(error: StorageError) -> Finding:
    # The first sentence says what is the case, the rest what to do.
    what, stop, advice = error.reason.partition(". ")
    return Finding(Level.ERROR, f"{what}." if stop else what, error.path, advice)


# ------------------------------------------------------------------ the directory


def check_directory(patient: Patient) -> Iterator[Finding]:
    """Find out whether the directory is private, and can be used."""
    directory = patient.directory
    path = directory.location
    if not directory.check_directory():
        above = _existing(path)
        if not _is_writable(above):
            yield Finding(
                Level.WARNING,
                f"does not exist, and cannot be made: {above} cannot be written.",
                path,
                "Choose another directory (NEUROMATION_CONFIG).",
            )
        else:
            yield Finding(Level.OK, "does not exist yet; a login makes it.", path)
        return
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o500 != 0o500:
        yield Finding(
            Level.ERROR,
            f"you cannot look into it (mode {mode:04o}).",
            path,
            f"chmod 700 {path}",
        )
        return
    if mode & 0o077:
        yield Finding(
            Level.WARNING,
            f"others can look into it (mode {mode:04o}).",
            path,
            f"chmod 700 {path}",
            functools.partial(_make_private, path, 0o700)
            if all(map(_is_known, os.listdir(path)))
            else None,
        )
    if not _is_writable(path):
        yield Finding(
            Level.WARNING,
            "cannot be written, so no login can be stored or refreshed here.",
            path,
            "Check its owner and mode, or choose another (NEUROMATION_CONFIG).",
        )


def check_files(patient: Patient) -> Iterator[Finding]:
    """Find out whether each of our files is one, and private."""
    for name in _our_names(patient.directory):
        path = patient.directory.file(name)
        with contextlib.suppress(FileNotFoundError):  # its owner was faster
            yield from _file_findings(path, os.lstat(path))


def _file_findings(path: str, found: os.stat_result) -> Iterator[Finding]:
    is_lock = path.endswith(".lock")
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        yield Finding(
            Level.ERROR, "is no file of yours.", path, "Look at it, and move it away."
        )
        return
    if is_lock and found.st_nlink > 1:
        yield Finding(
            Level.ERROR, "has another name as well, a hard link.", path, "Remove it."
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode == 0o600:
        return
    level, what = Level.WARNING, "its mode is not what it was made with"
    if mode & 0o600 != 0o600:
        level, what = Level.ERROR, "you cannot read and write it"
    elif mode & 0o022:
        level, what = Level.ERROR, "others can write it"
    elif mode & 0o044:
        what = "others can read it"
    yield Finding(
        level,
        f"{what} (mode {mode:04o}).",
        path,
        f"chmod 600 {path}",
        functools.partial(_make_private, path, 0o600) if found.st_nlink == 1 else None,
    )


def _our_names(directory: Directory) -> List[str]:
    return sorted(filter(is_ours, os.listdir(directory.location)))


def _is_known(name: str) -> bool:
    return is_ours(name) or name == USER_FILE or is_leftover(name, USER_FILE)


def _make_private(path: str, mode: int) -> str:
    found = os.lstat(path)  # once more: time has passed since it was examined
    if not (stat.S_ISDIR(found.st_mode) or has_one_name(found)):
        raise UnsafePathError(path, "is something else by now. Look at it.")
    os.chmod(path, mode)
    return f"The mode is {mode:04o} now."


def _existing(path: str) -> str:
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _is_writable(path: str) -> bool:
    return _is_allowed(path, os.W_OK)


def _is_allowed(path: str, what: int) -> bool:
    is_effective = os.access in os.supports_effective_ids
    return os.access(path, what | os.X_OK, effective_ids=is_effective)


# ---------------------------------------------------------------------- leftovers


def check_leftovers(patient: Patient) -> Iterator[Finding]:
    """Find files that nobody uses any more."""
    directory, now = patient.directory, patient.clock()
    for lock in LOCKS:
        if is_held(directory.location, lock):
            continue  # its holder uses them, or will remove them
        names = leftovers(directory, lock, now)
        fix = functools.partial(_remove_leftovers, directory, lock, now)
        for name in names:
            yield Finding(
                Level.WARNING,
                "is left over, and nobody uses it any more.",
                directory.file(name),
                "neuro-config doctor --fix removes it.",
                functools.partial(fix, name),
            )
    aside = [one for one in _our_names(directory) if one.startswith(f"{SESSION}.c")]
    for name in aside[-1:]:
        path = directory.file(name)
        if _age(path, now) > SET_ASIDE:
            yield Finding(
                Level.WARNING,
                "is a damaged login that was set aside long ago; it may hold a token.",
                path,
                "Remove it if you do not want to look at it any more.",
            )
    yield from _half_edited(directory, now)


def _half_edited(directory: Directory, now: float) -> Iterator[Finding]:
    for name in sorted(os.listdir(directory.location)):
        path = directory.file(name)
        if is_leftover(name, USER_FILE) and _age(path, now) > OLD:
            yield Finding(
                Level.WARNING,
                "is left over from a change of user.toml that was cut short.",
                path,
                "neuro-config doctor --fix removes it.",
                functools.partial(_remove, path),
            )


def _age(path: str, now: float) -> float:
    try:
        return now - os.lstat(path).st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(path: str) -> str:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return "It is removed."


def _remove_leftovers(directory: Directory, lock: str, now: float, name: str) -> str:
    # All of them at once; for the second one there is nothing left to do.
    remove_leftovers(directory, lock, now, LOCK_PATIENCE)
    if os.path.lexists(directory.file(name)):
        return "It is kept: somebody uses it by now."
    return "It is removed."


# ---------------------------------------------------------------------- the login


def check_login(patient: Patient) -> Iterator[Finding]:
    """Find out whether the login can be read, and is of use."""
    session, now = patient.read(), patient.clock()
    path = patient.file(SESSION)
    if session is None:
        yield Finding(Level.OK, "Nobody is logged in.")
        return
    mark, failure = session.refresh_sent, session.refresh_failure
    if is_over(session):
        yield Finding(
            Level.ERROR,
            "the authorization server does not accept the refresh token any more.",
            path,
            "Log in again.",
        )
    elif is_expired(session, now) and not can_refresh(session):
        yield Finding(
            Level.ERROR,
            "the token has expired, and there is no refresh token.",
            path,
            "Log in again.",
        )
    elif mark is not None and is_spent(session) and now - mark.sent_at > BUSY:
        yield Finding(
            Level.WARNING,
            f"the answer to a refresh sent at {_moment(mark.sent_at)} got lost; the "
            "login may end with its token.",
            path,
            "Log in again when it is convenient.",
        )
    elif failure is not None:
        yield Finding(
            Level.WARNING,
            f"the latest refresh, at {_moment(failure.failed_at)}, failed: "
            f"{failure.reason}",
            path,
            "It is tried again when it is needed.",
        )


def check_catalog(patient: Patient) -> Iterator[Finding]:
    """Find out whether what the platform offers is stored as it was written."""
    session = patient.session()
    if session is None:
        yield Finding(Level.OK, "No login names one.")
        return
    digest = session.catalog
    path = patient.file(catalog_name(digest))

    def read(offset: int, size: int) -> bytes:
        data = patient.read_catalog(digest, offset, size)
        if data is None:
            raise DamagedFileError(path, "is missing. Call fetch() to get it again.")
        return data

    catalog = Catalog(digest, read, path)
    for name in catalog.orgs_of:
        try:
            catalog.line(name)
        except DamagedFileError as error:
            yield _of_storage(error)


# ------------------------------------------------------------------------- around


def check_locks(patient: Patient) -> Iterator[Finding]:
    """Tell who holds the locks."""
    location = patient.directory.location
    for name in LOCKS:
        path = patient.directory.file(f"{name}.lock")
        since = read_hint(location, name).get("since")
        took = f"taken last at {_moment(since)}" if type(since) is float else ""
        if is_held(location, name):
            is_long = type(since) is float and patient.clock() - since > BUSY
            yield Finding(
                Level.WARNING if is_long else Level.OK,
                f"is held by {describe_holder(location, name)}.",
                path,
                "Wait for it to finish, or end it if it hangs." if is_long else "",
            )
        elif took:
            yield Finding(Level.OK, f"is free, {took}.", path)


def check_file_system(patient: Patient) -> Iterator[Finding]:
    """Find out whether the directory lies on a disk of this host."""
    path = patient.directory.location
    try:
        with open(
            patient.mountinfo, encoding="utf-8", errors="surrogateescape"
        ) as file:
            mounts = parse_mounts(file.read())
    except OSError:
        yield Finding(Level.OK, "This system does not tell what the directory lies on.")
        return
    mount = mount_of(mounts, path)
    if mount is not None and mount.is_network:
        yield Finding(
            Level.WARNING,
            f"lies on a network file system ({mount.kind}, mounted at {mount.point}): "
            "between hosts nothing is promised.",
            path,
            "Choose a directory on a local disk, another on each host "
            "(NEUROMATION_CONFIG).",
        )


def check_clock(patient: Patient) -> Iterator[Finding]:
    """Hold the clock against the platform's."""
    from ._skew import skew_of

    session = patient.session()
    url = patient.api_url if session is None else session.api_url
    try:
        ahead = skew_of(url, patient.clock, patient.open_session)
    except NetworkError as error:
        yield Finding(
            Level.WARNING,
            f"{error.url}: {error.reason}",
            advice="Without the network, the clock is not checked.",
        )
        return
    if ahead is None:
        yield Finding(Level.OK, f"{url} does not tell the time.")
    elif abs(ahead) > SKEW:
        yield Finding(
            Level.ERROR if abs(ahead) > BAD_SKEW else Level.WARNING,
            f"The clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} "
            f"that of {url}, so the expiry of tokens is misjudged.",
            advice="Set the clock, by NTP for example.",
        )


def check_settings(patient: Patient) -> Iterator[Finding]:
    """Find out whether the user's own files are right."""
    user_file: Optional[str] = patient.directory.file(USER_FILE)
    try:
        patient.directory.check_directory()
    except StorageError as error:
        yield Finding(
            Level.WARNING,
            f"is not read, because of {error.path}.",
            user_file,
            "Mend the directory first.",
        )
        user_file = None
    for path, scope in (
        (user_file, ConfigScope.GLOBAL),
        (find_local_file(patient.start), ConfigScope.LOCAL),
    ):
        if path is None:
            continue
        try:
            table = read_toml(path)
            if table is not None:
                checked(path, scope, table, patient.manager)
        except UserConfigError as error:
            where = "" if error.key is None else f"{error.key}: "
            yield Finding(Level.ERROR, f"{where}{error.reason}", path)
    if user_file is None:
        return
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(os.stat(user_file).st_mode)
        if mode & 0o022:
            yield Finding(
                Level.WARNING,
                f"others can write it (mode {mode:04o}).",
                user_file,
                f"chmod go-w {user_file}",
            )


def check_plugins(patient: Patient) -> Iterator[Finding]:
    """Find plugins that fail."""
    for failure in patient.manager.failures:
        yield Finding(
            Level.WARNING,
            f"{failure}.",
            advice=f"Update or remove the package {failure.package}.",
        )


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    def drop(record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("neuro_config")
    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)


def _moment(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"


CHECKS: Mapping[str, Check] = {
    "directory": Check(check_directory, "It is yours alone."),
    "files": Check(check_files, "All files are yours alone.", is_inside=True),
    "leftovers": Check(check_leftovers, "Nothing is left over.", is_inside=True),
    "login": Check(check_login, "The login can be used.", is_inside=True),
    "catalog": Check(check_catalog, "It is what was fetched.", is_inside=True),
    "locks": Check(check_locks, "Nobody has taken one.", is_inside=True),
    "file system": Check(check_file_system, "It is a local one."),
    "clock": Check(check_clock, "It agrees with the platform's."),
    "settings": Check(check_settings, "The user's files are right."),
    "plugins": Check(check_plugins, "All plugins load."),
}
