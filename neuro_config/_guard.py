"""What may go where, and what an error may show of it."""

from __future__ import annotations

import base64
import contextlib
import html
import ipaddress
import json
import re
from typing import Iterator, Match, Optional, Set, Tuple
from urllib.parse import quote, unquote

from urllib3.util import parse_url

from ._errors import InsecureURLError, InvalidTokenError, MalformedAnswerError
from ._session import Secret

_PORTS = {"http": 80, "https": 443}
TOKEN_LIMIT = 1 << 18  # bytes
QUOTED = 4096  # characters of what somebody says; more is not looked at

_BLOT = "***"
_PIECE = 16  # letters and digits in a row, by which a secret is known
_LEAST = 6  # of one that is short
_LAYERS = 3  # of escapes around each other
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|\\[nrtfvb]")
_NO_LETTER = re.compile(r"[\W_]+")


def require_secure(url: str) -> bool:
    """Refuse a URL that would carry a secret in the clear.

    Args:
        url: Where a secret is about to go.

    Returns:
        Whether it leads to this very machine.

    Raises:
        InsecureURLError: Neither https nor plain http to loopback.
    """
    scheme, host = scheme_and_host(url)
    if not host:
        raise InsecureURLError(shown(url), "is no URL.")
    if not (scheme == "https" or (scheme == "http" and is_loopback(host))):
        raise InsecureURLError(
            shown(url), "must be https; plain http is for this machine only."
        )
    return is_loopback(host)


def require_bare(url: str) -> None:
    """Refuse a URL that carries a user name or password, which would be stored.

    Raises:
        InsecureURLError: It does.
    """
    with contextlib.suppress(ValueError):  # what is no URL is told when it is used
        if parse_url(url).auth is None:
            return
        raise InsecureURLError(
            shown(url), "holds a user name or a password: leave them out of the URL."
        )


def scheme_and_host(url: str) -> Tuple[str, str]:
    """Tell a URL's scheme and host, both empty where it is no URL."""
    # By the parser of the library that connects: another one may see another host.
    with contextlib.suppress(ValueError):
        parts = parse_url(url)
        return parts.scheme or "", (parts.host or "").strip("[]")
    return "", ""


def is_same_origin(url: str, other: str) -> bool:
    """Tell whether two URLs lead to one server; what is no URL leads nowhere."""
    origin = _origin(url)
    return origin is not None and origin == _origin(other)


def _origin(url: str) -> Optional[Tuple[str, str, int]]:
    with contextlib.suppress(ValueError):  # the same parser as in scheme_and_host
        parts = parse_url(url)
        if parts.scheme in _PORTS and parts.host:
            return parts.scheme, parts.host, parts.port or _PORTS[parts.scheme]
    return None


def is_loopback(host: str) -> bool:
    """Tell whether a host is this very machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """Return a URL without its user part, query and fragment, which may hold secrets."""
    head, _, _ = url.partition("?")
    head, _, _ = head.partition("#")
    scheme, separator, rest = head.partition("://")
    if not separator:
        return words(head.rpartition("@")[2])
    authority, slash, path = rest.partition("/")
    return words(scheme + separator + authority.rpartition("@")[2] + slash + path)


def bearer(token: str) -> str:
    """Return the ``Authorization`` header of a token.

    Raises:
        InvalidTokenError: No header can carry it.
    """
    if not is_token(token):
        raise InvalidTokenError(
            "The token is not usable: it is not visible ASCII. Log in again."
        )
    return Secret(f"Bearer {token}")


def require_usable(token: object, url: str, where: str) -> str:
    """Require a token that an HTTP header and a form can carry.

    Raises:
        MalformedAnswerError: It is no such text.
    """
    if not is_token(token):
        raise MalformedAnswerError(url, "is no token.", where)
    return str(token)


def is_token(text: object) -> bool:
    """Tell whether something is a token: visible ASCII (RFC 6749, appendix A)."""
    return (
        isinstance(text, str)
        and 0 < len(text) <= TOKEN_LIMIT
        and all("!" <= letter <= "~" for letter in text)
    )


def without(text: str, *secrets: str) -> str:
    """Return a text with secrets blotted out.

    Where one is left in another writing, or a piece of it, nothing of the text is.
    """
    said = blotted(text[:QUOTED], *secrets)
    is_told = any(_tells(said, secret) for secret in filter(None, secrets))
    return _BLOT if is_told else said


def blotted(text: str, *secrets: str) -> str:
    """Return a text with secrets blotted out, as they are and as URLs and JSON do."""
    for secret in filter(None, secrets):
        for form in (
            secret,
            quote(secret, safe=""),
            json.dumps(secret)[1:-1],
            secret.replace("/", "\\/"),
        ):
            text = text.replace(form, _BLOT)
    return text


def _tells(text: str, secret: str) -> bool:
    letters = len(_NO_LETTER.sub("", secret))
    size = min(_PIECE, max(_LEAST, letters // 2))
    told = _pieces_of(text, size)
    return any(
        not told.isdisjoint(_pieces_of(writing, size)) for writing in _writings(secret)
    )


def _pieces_of(text: str, size: int) -> Set[str]:
    """Read a text in all ways, and give all pieces of a size, which overlap."""
    return {
        reading[start : start + size]
        for reading in _readings(text)
        for start in range(len(reading) - size + 1)
    }


def _writings(secret: str) -> Iterator[str]:
    """Write a secret in the ways of which no letter stays what it is."""
    data = secret.encode()
    yield secret
    yield data.hex()
    for shift in range(3):  # of three bytes base64 makes one piece
        # Its ends depend on what stands beside it.
        yield base64.b64encode(bytes(shift) + data).decode()[4:-4]


def _readings(text: str) -> Set[str]:
    """Undo what escapes letters, and leave only letters and digits, in one case."""
    readings = [text]
    for _ in range(_LAYERS):
        text = html.unescape(unquote(_ESCAPED.sub(_letter, text)))
        readings.append(text)
    return {_NO_LETTER.sub("", reading).casefold() for reading in readings}


def _letter(escaped: Match[str]) -> str:
    number = escaped.group(1) or escaped.group(2)
    return chr(int(number, 16)) if number else ""  # a line end and its like


def words(text: str) -> str:
    """Return what somebody says, short and on one line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]
