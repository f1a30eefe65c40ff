"""The errors, one tree; ``ConfigError`` itself is never raised.

::

    ConfigError (a RuntimeError)
    ├── WrongStateError              the state does not allow the call
    │   ├── NotLoggedInError         nobody is logged in
    │   ├── CannotRefreshError       the login has no refresh token
    │   ├── LoginChangedError        somebody logged in anew since the snapshot
    │   └── StaleSnapshotError       the snapshot's catalog has been cleaned up
    ├── UnknownNameError             (also a KeyError) a name that does not exist; lists all
    │   ├── UnknownClusterError
    │   ├── UnknownOrgError
    │   ├── UnknownProjectError
    │   ├── UnknownPresetError
    │   └── NoClusterError           the user has no cluster at all
    ├── NoProjectError               no project is chosen
    ├── SwitchOverriddenError        the local file would override the switch
    ├── UserConfigError              a user.toml or local file that is wrong
    │   └── ProjectRootNotFoundError
    ├── PluginError                  a plugin registers something impossible
    ├── ClientClosedError            a client that was closed is used
    ├── StoreClosedError             an AsyncConfigStore that is not open is used
    ├── InvalidTokenError            a token that cannot be used
    ├── PassedConfigError            APOLO_PASSED_CONFIG is absent or malformed
    ├── StorageError                 the directory or a file in it
    │   ├── UnsafePathError          others could change the login
    │   ├── DamagedFileError         our own file does not hold what we wrote
    │   ├── NewerSchemaError         written by a newer version of the library
    │   ├── LockTimeoutError         another process holds the lock too long
    │   ├── LoginPresentError        somebody is logged in where a login was to go
    │   ├── StorageUnavailableError  the cluster that keeps the login cannot be reached
    │   ├── StorageURLError          a URL that names no storage
    │   ├── StorageReadError         the system refuses to read
    │   ├── StorageWriteError        full, read-only, no permission
    │   └── UnsupportedSystemError   not a POSIX system
    ├── LoginError                   a login that did not come about
    │   ├── LoginNotOfferedError     the platform names no such way to log in
    │   ├── CallbackPortError        every port for the browser's answer is taken
    │   ├── LoginTimeoutError        nobody logged in in time
    │   ├── InvalidCodeError         what was given is no code of this login
    │   └── ImportLoginError         another tool's login cannot be taken over
    ├── AuthError                    the authorization server refuses
    │   ├── LoginDeniedError         the user cancelled, or may not log in
    │   ├── CodeRefusedError         the code of a login is not accepted
    │   └── SessionEndedError        the refresh token is dead: log in again
    └── NetworkError                 the network or the platform fails
        ├── ConnectionFailedError    nothing was sent
        ├── RequestTimeoutError      no whole answer within the deadline
        ├── RefreshPendingError      a sent refresh whose outcome is not known
        ├── RefreshFailedError       somebody has just tried in vain
        ├── InsecureURLError         plain http to another machine, foreign host
        └── PlatformError            the server answered something unusable
            ├── TokenRefusedError    authorized: false
            └── MalformedAnswerError names the path to the bad value

Errors carry what happened as attributes; ``str()`` says what happened, to which
file or name, and what to do next. No error holds a secret.
"""

from __future__ import annotations

from errno import EACCES, EPERM, EROFS
from typing import Iterable, Optional, Tuple, TypeVar

E = TypeVar("E", bound=BaseException)


class ConfigError(RuntimeError):
    """Base of everything that this library raises."""


def bare(error: E) -> E:
    """Return an error without the frames that it comes from, which may hold secrets."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


# ---------------------------------------------------------------- the state


class WrongStateError(ConfigError):
    """The state does not allow the event.

    Attributes:
        state: Name of the state, ``"LoggedOut"`` for example.
        event: Name of the event that the state's row lacks.
    """

    def __init__(self, state: str, event: str) -> None:
        super().__init__(state, event)
        self.state = state
        self.event = event

    def __str__(self) -> str:
        return f"{self.event} is not possible in the state {self.state}."


class NotLoggedInError(WrongStateError):
    """Nobody is logged in."""

    def __str__(self) -> str:
        return f"{self.event} needs a login, and nobody is logged in: log in first."


class CannotRefreshError(WrongStateError):
    """The login has no refresh token; it is kept as it is."""

    def __str__(self) -> str:
        when = "now" if self.state == "TokenExpired" else "when it has expired"
        return (
            "The token cannot be refreshed, because the login came without a refresh "
            f"token or without a place to send it to. Log in again {when}."
        )


class LoginChangedError(WrongStateError):
    """Another login than the snapshot's is stored now.

    Attributes:
        username: Who is logged in now.
    """

    def __init__(self, state: str, event: str, username: str) -> None:
        super().__init__(state, event)
        self.args = (state, event, username)
        self.username = username

    def __str__(self) -> str:
        return (
            f"{self.event} was stopped: since this store was opened somebody logged "
            f"in anew, now as {self.username!r}. Call reload() to go on with that login."
        )


class StaleSnapshotError(WrongStateError):
    """The catalog that the snapshot names is gone, a newer one is stored.

    Attributes:
        path: The file that is gone.
    """

    def __init__(self, state: str, event: str, path: str) -> None:
        super().__init__(state, event)
        self.args = (state, event, path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"{self.event} needs {self.path}, which has been cleaned up after newer "
            "fetches. Call reload() to see what is stored now."
        )


# -------------------------------------------------------------------- names


def _listed(names: Iterable[object]) -> str:
    return ", ".join(repr(name) for name in names) or "none"


class UnknownNameError(ConfigError, KeyError):
    """A name that does not exist.

    Attributes:
        name: What was asked for.
        available: The names that exist.
        hint: What to do next, a sentence, or an empty string.
    """

    kind = "Name"

    def __init__(
        self, name: Optional[str], available: Iterable[Optional[str]], hint: str = ""
    ) -> None:
        self.name = name
        self.available: Tuple[Optional[str], ...] = tuple(available)
        self.hint = hint
        super().__init__(self.name, self.available, self.hint)

    def __str__(self) -> str:
        text = f"{self.kind} {self.name!r} does not exist; available: "
        return f"{text}{_listed(self.available)}. {self.hint}".rstrip()


class UnknownClusterError(UnknownNameError):
    """No cluster of that name is available to the user."""

    kind = "Cluster"


class UnknownOrgError(UnknownNameError):
    """No org of that name is available; ``None`` stands for "no org"."""

    kind = "Org"


class UnknownProjectError(UnknownNameError):
    """No project of that name exists in the current cluster and org."""

    kind = "Project"


class UnknownPresetError(UnknownNameError):
    """The cluster has no preset of that name."""

    kind = "Preset"


class NoClusterError(UnknownNameError):
    """The user has no cluster at all."""

    def __init__(self) -> None:
        super().__init__(None, ())
        self.args = ()

    def __str__(self) -> str:
        return (
            "You have no access to any cluster yet. Ask an administrator for access, "
            "then call fetch()."
        )


class NoProjectError(ConfigError):
    """No project is chosen."""

    def __str__(self) -> str:
        return "No project is chosen: call switch_project(name) first."


class SwitchOverriddenError(ConfigError):
    """The local file names what the switch would change.

    Attributes:
        key: The key in the file, ``job.cluster-name`` for example.
        value: What the file says.
        path: The local file.
    """

    def __init__(self, key: str, value: str, path: str) -> None:
        super().__init__(key, value, path)
        self.key = key
        self.value = value
        self.path = path

    def __str__(self) -> str:
        return (
            f"{self.path} says {self.key} = {self.value!r}, which would override the "
            "switch. Edit or remove that line instead."
        )


# ------------------------------------------------------- the user's own files


class UserConfigError(ConfigError):
    """A configuration file of the user's that is wrong.

    Attributes:
        path: The file.
        key: The key or section in it, or ``None`` where the whole file is wrong.
        reason: What is wrong, a sentence.
    """

    def __init__(self, path: str, reason: str, key: Optional[str] = None) -> None:
        super().__init__(path, reason, key)
        self.path = path
        self.reason = reason
        self.key = key

    def __str__(self) -> str:
        where = self.path if self.key is None else f"{self.path}: {self.key}"
        return f"{where}: {self.reason}"


class ProjectRootNotFoundError(UserConfigError):
    """No parent folder has a local configuration file."""

    def __str__(self) -> str:
        return (
            f"Neither {self.path} nor a folder above it has a file .neuro.toml or "
            ".apolo.toml. Create one in the root folder of your project."
        )


class PluginError(ConfigError):
    """A plugin registers a parameter that it must not register.

    Attributes:
        key: The parameter, ``section.name``.
        reason: What is wrong, a sentence.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"The parameter {self.key} cannot be registered: {self.reason}"


class ClientClosedError(ConfigError):
    """A client that was closed is used."""

    def __str__(self) -> str:
        return "This client is closed. Call neuro_config.get() for another."


class StoreClosedError(ConfigError):
    """An ``AsyncConfigStore`` that is not open, or not any more, is used."""

    def __str__(self) -> str:
        return (
            "This store is not open, or not any more. Open one with `async with`, and use "
            "it inside of the block."
        )


# ------------------------------------------------------------------- tokens


class InvalidTokenError(ConfigError):
    """A token that cannot be used; the text says why and holds none of it."""


class PassedConfigError(ConfigError):
    """The configuration passed into a job is absent or malformed."""


# ------------------------------------------------------------------ storage


class StorageError(ConfigError):
    """The store's directory or a file in it.

    Attributes:
        path: The file or directory.
        reason: What is wrong, a sentence.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class UnsafePathError(StorageError):
    """Somebody else could change the login through this path."""


class DamagedFileError(StorageError):
    """One of our files does not hold what we wrote."""


class NewerSchemaError(StorageError):
    """The file was written by a newer version of the library."""


class LockTimeoutError(StorageError):
    """Another process or thread has held the lock for too long.

    Attributes:
        holder: Who holds it and since when, as far as is known.
        seconds: How long this call has waited.
    """

    def __init__(self, path: str, holder: str, seconds: float) -> None:
        super().__init__(path, f"locked by {holder}")
        self.args = (path, holder, seconds)
        self.holder = holder
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f"{self.path} is still locked after {self.seconds:.1f} s, by {self.holder}. "
            "Wait for it to finish, or end it if it hangs, then try again."
        )


class LoginPresentError(StorageError):
    """Somebody is logged in where another login was to be put."""


class StorageUnavailableError(StorageError):
    """The cluster that keeps the login cannot be reached, or does not answer."""


class StorageURLError(StorageError):
    """The URL names no storage that can be used here."""


class StorageReadError(StorageError):
    """The system refuses to read the file."""


class StorageWriteError(StorageError):
    """The system refuses to write; the old state stands.

    Attributes:
        errno: The system's error number, ``None`` where it gave none.
    """

    def __init__(self, path: str, reason: str, errno: Optional[int] = None) -> None:
        super().__init__(path, reason)
        self.args = (path, reason, errno)
        self.errno = errno

    @property
    def is_read_only(self) -> bool:
        """Whether writing is not allowed there, rather than failing now."""
        return self.errno in (EACCES, EPERM, EROFS)


class UnsupportedSystemError(StorageError):
    """Not a POSIX system."""


# -------------------------------------------------------------------- logins


class LoginError(ConfigError):
    """A login that did not come about; whoever was logged in still is."""


class LoginNotOfferedError(LoginError):
    """The platform names no such way to log in."""


class CallbackPortError(LoginError):
    """No port at which the platform lets a browser answer can be had.

    Attributes:
        urls: The callback URLs that the platform lists.
        reason: Why the last of them cannot be had, in the system's words.
    """

    def __init__(self, urls: Iterable[str], reason: str) -> None:
        self.urls = tuple(urls)
        self.reason = reason
        super().__init__(self.urls, reason)

    def __str__(self) -> str:
        return (
            "The browser has no way to answer: none of the ports can be had at which "
            f"the platform expects it ({', '.join(self.urls)}: {self.reason}). End "
            "another login that is under way, or log in with login_headless."
        )


class LoginTimeoutError(LoginError):
    """Nobody logged in in time.

    Attributes:
        seconds: How long this call has waited.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f"No browser has brought an answer within {self.seconds:g} s. Log in again "
            "and open the URL that is shown; without a browser on this machine use "
            "login_headless."
        )


class InvalidCodeError(LoginError):
    """What was given is no code, or one of another login; the text holds none of it."""


class ImportLoginError(LoginError):
    """Another tool's login cannot be taken over.

    Attributes:
        path: The file of that tool.
        reason: What is wrong, a sentence.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


# ------------------------------------------------- the authorization server


class AuthError(ConfigError):
    """The authorization server refuses.

    Attributes:
        code: OAuth's error code (RFC 6749, 5.2), ``invalid_client`` for example.
        description: What the server says about it, or an empty string.
    """

    def __init__(self, code: str, description: str = "") -> None:
        super().__init__(code, description)
        self.code = code
        self.description = description

    def __str__(self) -> str:
        said = f" ({self.description})" if self.description else ""
        return f"The authorization server refuses: {self.code}{said}."


class LoginDeniedError(AuthError):
    """The user cancelled the login, or is not allowed to log in."""

    def __str__(self) -> str:
        said = f" ({self.description})" if self.description else ""
        return (
            f"The login was cancelled, or is not allowed for this user{said}. Log in "
            "again, perhaps as somebody else."
        )


class CodeRefusedError(AuthError):
    """The authorization server does not accept the code of a login."""

    def __str__(self) -> str:
        said = f" ({self.description})" if self.description else ""
        return (
            f"The authorization server does not accept the code{said}: it is too old, "
            "was used before, or belongs to another login. Log in again."
        )


class SessionEndedError(AuthError):
    """The refresh token is not accepted any more; the stored login is kept.

    Attributes:
        lost_at: When the refresh was sent whose answer got lost, in words, or ``None``.
    """

    def __init__(
        self, code: str, description: str = "", lost_at: Optional[str] = None
    ) -> None:
        super().__init__(code, description)
        self.args = (code, description, lost_at)
        self.lost_at = lost_at

    def __str__(self) -> str:
        text = f"{super().__str__()} The login is over: log in again."
        if self.lost_at is None:
            return text
        return (
            f"{text} The answer to the refresh sent at {self.lost_at} got lost on its "
            "way, and with it the refresh token that replaced the old one."
        )


# ---------------------------------------------------------------- the network


class NetworkError(ConfigError):
    """The network or the platform fails.

    Attributes:
        url: Whom the request was for, without its query.
        reason: What happened, a sentence.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.url}: {self.reason}"

    def explain(self, sentence: str) -> None:
        """Add to the reason what only a caller of the network knows."""
        self.reason = f"{self.reason} {sentence}"
        self.args = (self.url, self.reason, *self.args[2:])


class ConnectionFailedError(NetworkError):
    """No connection was made, so nothing was sent."""


class RequestTimeoutError(NetworkError):
    """No whole answer came within the deadline."""


class RefreshPendingError(NetworkError):
    """A refresh was sent and its outcome is not known, so it is not sent again."""


class RefreshFailedError(NetworkError):
    """Somebody has just tried and failed: nothing was sent again."""


class InsecureURLError(NetworkError):
    """The request would show a secret to somebody who must not see it."""


class PlatformError(NetworkError):
    """The server answered something unusable.

    Attributes:
        status: The HTTP status, or ``None`` where there is none to tell.
    """

    def __init__(self, url: str, reason: str, status: Optional[int] = None) -> None:
        super().__init__(url, reason)
        self.args = (url, reason, status)
        self.status = status


class TokenRefusedError(PlatformError):
    """The platform does not accept the token (or its own auth service is down).

    Attributes:
        advice: What to do if trying again later does not help.
    """

    def __init__(self, url: str, advice: str = "log in again") -> None:
        super().__init__(
            url,
            "the platform does not accept the token, or its auth service is down; it "
            "tells both in the same words. Try again later; if that does not help, "
            f"{advice}.",
        )
        self.args = (url, advice)
        self.advice = advice


class MalformedAnswerError(PlatformError):
    """The answer is not what the platform sends.

    Attributes:
        where: Path to the bad value, ``clusters[0].name``; empty for the whole body.
    """

    def __init__(
        self, url: str, reason: str, where: str = "", status: Optional[int] = None
    ) -> None:
        super().__init__(url, reason, status)
        self.args = (url, reason, where, status)
        self.where = where

    def __str__(self) -> str:
        where = f" at {self.where}" if self.where else ""
        return f"{self.url}: unusable answer{where}: {self.reason}"
