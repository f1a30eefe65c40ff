"""One login as frozen values, and its TOML form.

The file is the whole truth about a login: who, where, the tokens and their times
(seconds since the epoch), the choice of cluster, org and project, which catalog
belongs to it, and whether a refresh is under way. A missing key is ``None``.

A file of a newer schema is refused by name; in an older one, what it lacks takes
its default. Hence the rule for changes: a new field has a default and raises
``SCHEMA``.
"""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypeVar,
)

import attr
import tomli

from . import _toml

if TYPE_CHECKING:
    from ._attempts import RefreshFailure, RefreshMark

SCHEMA = 1
LATEST = 1e11  # seconds since the epoch, the year 5138; what comes later is no time

T = TypeVar("T")


class Secret(str):
    """A text that no repr shows: no value's, no log's, no traceback's with locals."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class SecretBytes(bytes):
    """Bytes that no repr shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'***'"


def _secret(text: Optional[str]) -> Optional[Secret]:
    return None if text is None else Secret(text)


@attr.frozen
class AuthConfig:
    """How the platform lets people log in; what its ``/config`` says without a token.

    URLs are strings as the platform sent them.
    """

    auth_url: str
    token_url: str
    client_id: str
    audience: Optional[str] = None
    logout_url: Optional[str] = None
    callback_urls: Tuple[str, ...] = ()
    headless_callback_url: Optional[str] = None
    success_redirect_url: Optional[str] = None


@attr.frozen
class Token:
    """An access token, what renews it, and its times in seconds since the epoch.

    ``expires_at`` is ``None`` for a token whose end is not known: it counts as valid
    until the platform refuses it.
    """

    access_token: str = attr.field(converter=Secret)
    obtained_at: float
    expires_at: Optional[float] = None
    refresh_token: Optional[str] = attr.field(default=None, converter=_secret)


@attr.frozen
class Choice:
    """Which cluster, org and project are meant; ``None`` is "none"."""

    cluster_name: Optional[str] = None
    org_name: Optional[str] = None
    project_name: Optional[str] = None


@attr.frozen
class Session:
    """One login, whole.

    Args:
        login_id: Random name of this login; a new login has a new one.
        username: The platform's name of the user.
        api_url: The platform, without a trailing slash.
        catalog: Digest that names the catalog file.
    """

    login_id: str
    username: str
    api_url: str
    token: Token
    catalog: str
    choice: Choice = Choice()
    auth: Optional[AuthConfig] = None
    refresh_sent: Optional[RefreshMark] = None
    refresh_failure: Optional[RefreshFailure] = None


def hash_of(token: str) -> str:
    """Tell the hash by which a mark names a refresh token."""
    import hashlib

    return hashlib.sha256(token.encode()).hexdigest()


class Unreadable(ValueError):
    """The bytes are no session; the text says what is wrong and holds no value."""


class NewerSchema(ValueError):
    """The bytes are of a newer schema than ``SCHEMA``."""


def decode(data: bytes) -> Session:
    """Read a session from its TOML form.

    Args:
        data: The whole file.

    Returns:
        The session.

    Raises:
        Unreadable: Anything else than what ``encode`` writes.
        NewerSchema: A newer version wrote it.
    """
    try:
        table = _toml.loads(data.decode())
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8 at byte {error.start}") from None
    except tomli.TOMLDecodeError as error:
        # Only the position: the message of a parser may quote the text.
        raise Unreadable(f"not TOML: {_position(error)}") from None
    except RecursionError:
        raise Unreadable("not TOML: nested too deeply") from None
    except ValueError:  # Python's own limit on the digits of an integer
        raise Unreadable("not TOML: a number is too long") from None
    schema = _integer(table, "schema")
    if schema > SCHEMA:
        raise NewerSchema(f"has schema {schema}, this version reads up to {SCHEMA}")
    return Session(
        login_id=_get(table, "login_id", str),
        username=_get(table, "username", str),
        api_url=_get(table, "api_url", str),
        catalog=_digest(_get(table, "catalog", str)),
        token=_decode_token(_get(table, "token", dict)),
        choice=_section(table, "choice", _decode_choice) or Choice(),
        auth=_section(table, "auth", _decode_auth),
        refresh_sent=_section(table, "refresh_sent", _decode_mark),
        refresh_failure=_section(table, "refresh_failure", _decode_failure),
    )


def encode(session: Session) -> bytes:
    """Write a session in its TOML form.

    Args:
        session: What to write.

    Returns:
        UTF-8 that ``decode`` reads back to an equal value.
    """
    import tomli_w

    table = {
        "schema": SCHEMA,
        **_without_none(attr.asdict(session, retain_collection_types=True)),
    }
    return SecretBytes(tomli_w.dumps(table).encode())


def _without_none(table: Mapping[str, Any]) -> Dict[str, Any]:
    result = {}
    for key, value in table.items():
        if isinstance(value, dict):
            value = _without_none(value)
        if value is not None:
            result[key] = value
    return result


def _decode_token(table: Mapping[str, Any]) -> Token:
    return Token(
        access_token=_get(table, "access_token", str),
        obtained_at=_number(table, "obtained_at"),
        expires_at=_number(table, "expires_at") if "expires_at" in table else None,
        refresh_token=_optional(table, "refresh_token", str),
    )


def _decode_choice(table: Mapping[str, Any]) -> Choice:
    return Choice(
        cluster_name=_optional(table, "cluster_name", str),
        org_name=_optional(table, "org_name", str),
        project_name=_optional(table, "project_name", str),
    )


def _decode_auth(table: Mapping[str, Any]) -> AuthConfig:
    callback_urls = _get(table, "callback_urls", list)
    if not all(isinstance(url, str) for url in callback_urls):
        raise Unreadable("callback_urls is not a list of strings")
    return AuthConfig(
        auth_url=_get(table, "auth_url", str),
        token_url=_get(table, "token_url", str),
        client_id=_get(table, "client_id", str),
        audience=_optional(table, "audience", str),
        logout_url=_optional(table, "logout_url", str),
        callback_urls=tuple(callback_urls),
        headless_callback_url=_optional(table, "headless_callback_url", str),
        success_redirect_url=_optional(table, "success_redirect_url", str),
    )


def _decode_mark(table: Mapping[str, Any]) -> RefreshMark:
    from ._attempts import RefreshMark

    return RefreshMark(
        token_hash=_get(table, "token_hash", str),
        sent_at=_number(table, "sent_at"),
        attempts=_integer(table, "attempts"),
    )


def _decode_failure(table: Mapping[str, Any]) -> RefreshFailure:
    from ._attempts import RefreshFailure

    return RefreshFailure(
        failed_at=_number(table, "failed_at"),
        count=_integer(table, "count"),
        no_early_refresh_before=_number(table, "no_early_refresh_before"),
        reason=_get(table, "reason", str),
        code=_optional(table, "code", str),
    )


def _get(table: Mapping[str, Any], key: str, kind: Type[T]) -> T:
    value = table.get(key)
    # type() and not isinstance(): true is no integer here.
    if type(value) is not kind:
        raise Unreadable(f"{key} is missing or is no {kind.__name__}")
    return value


def _integer(table: Mapping[str, Any], key: str) -> int:
    value = _get(table, key, int)
    # What is larger overflows elsewhere, and nobody has counted that far.
    if not 0 <= value < 2**63:
        raise Unreadable(f"{key} is out of range")
    return value


def _optional(table: Mapping[str, Any], key: str, kind: Type[T]) -> Optional[T]:
    return _get(table, key, kind) if key in table else None


def _section(
    table: Mapping[str, Any], key: str, decode_section: Callable[[Mapping[str, Any]], T]
) -> Optional[T]:
    return decode_section(_get(table, key, dict)) if key in table else None


def _number(table: Mapping[str, Any], key: str) -> float:
    value = table.get(key)
    # The range leaves out NaN and what no clock shows: 0 to the year 33658.
    if isinstance(value, (int, float)) and value is not True and 0 <= value <= 1e12:
        return float(value)
    raise Unreadable(f"{key} is missing or is no time")


def in_range(reading: float) -> float:
    """Bring what a clock shows into the range of times that a session can hold.

    Args:
        reading: Seconds since the epoch, or whatever a broken clock shows.

    Returns:
        The nearest time that there is, the epoch for NaN.
    """
    return min(max(0.0, reading), LATEST)


def _digest(text: str) -> str:
    # The digest becomes a file's name, so it must be nothing but hex.
    if len(text) != 64 or text.strip("0123456789abcdef"):
        raise Unreadable("catalog is no SHA-256 in hex")
    return text


def _position(error: tomli.TOMLDecodeError) -> str:
    text = str(error)
    return text[text.rfind("(at") + 1 : -1] if text.endswith(")") else "bad syntax"
