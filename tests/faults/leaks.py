"""Ways to write a secret, and the search for one in all that anybody is shown.

The search is broad on purpose: a piece of a secret counts, whatever it is written in.
"""

from __future__ import annotations

import base64
import html
import logging
import pickle
import re
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Set
from urllib.parse import quote, quote_plus, unquote

TESTS = str(Path(__file__).parents[1])
EMBEDDED = str(Path("neuro_config", "testing"))
PIECE = 16  # characters

Writing = Callable[[str], str]


def _base64_of(secret: str) -> str:
    return base64.b64encode(secret.encode()).decode()


WRITINGS: Dict[str, Writing] = {
    "as it is": str,
    "quoted for a URL": lambda secret: quote(secret, safe=""),
    "quoted, slashes left": quote,
    "quoted for a form": quote_plus,
    "quoted in lower case": lambda secret: re.sub(
        "%..", lambda found: found.group().lower(), quote(secret, safe="")
    ),
    "quoted twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "all of it quoted": lambda secret: "".join(
        f"%{letter:02X}" for letter in secret.encode()
    ),
    "base64": _base64_of,
    "base64 behind a letter": lambda secret: _base64_of(f"x{secret}"),
    "base64 behind a name": lambda secret: _base64_of(f"client:{secret}"),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(
        secret.encode()
    ).decode(),
    "hex": lambda secret: secret.encode().hex(),
    "JSON with escaped slashes": lambda secret: secret.replace("/", "\\/"),
    "JSON, all escaped": lambda secret: "".join(
        f"\\u{ord(letter):04x}" for letter in secret
    ),
    "repr": repr,
    "escaped bytes": lambda secret: "".join(
        f"\\x{letter:02x}" for letter in secret.encode()
    ),
    "HTML": html.escape,
    "HTML, decimal": lambda secret: "".join(f"&#{ord(each)};" for each in secret),
    "HTML, hexadecimal": lambda secret: "".join(
        f"&#x{ord(each):X};" for each in secret
    ),
    "wrapped": lambda secret: "\n".join(_cut(secret, 20)),
    "wrapped and indented": lambda secret: "\r\n    ".join(_cut(secret, 30)),
    "spaced out": " ".join,
    "in pieces": lambda secret: "'\n    '".join(_cut(secret, 24)),
    "capitals": str.upper,
    "small letters": str.lower,
    "the first half": lambda secret: secret[: len(secret) // 2],
    "the last half": lambda secret: secret[len(secret) // 2 :],
    "far on": lambda secret: "x" * 190 + secret,
    "farther on": lambda secret: "y " * 145 + secret,
    "at the end of what is read": lambda secret: "z" * (4096 - 40) + secret,
    "many times": lambda secret: secret * 9,
}


def _cut(text: str, size: int) -> List[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


class Search:
    """Looks for secrets.

    Args:
        secrets: Each of a few letters or more.
    """

    def __init__(self, *secrets: str) -> None:
        self._pieces: Set[str] = set()
        self._sizes: Set[int] = set()
        for secret in secrets:
            for writing in _encodings(secret):
                for reading in _readings(writing):
                    size = min(PIECE, max(6, len(reading) // 2))
                    self._sizes.add(size)
                    self._pieces |= set(_windows(reading, size))

    def finds(self, text: str) -> List[str]:
        """Return what there is of the secrets in a text."""
        return sorted(
            piece
            for reading in _readings(text)
            for size in self._sizes
            for piece in self._pieces & set(_windows(reading, size))
        )

    def require_none(self, *texts: str, case: object = "") -> None:
        """Demand that nothing of them is in any of the texts."""
        for text in texts:
            found = self.finds(text)
            assert not found, f"{case}: {found[:3]} in {text[:2000]}"


def _encodings(secret: str) -> Iterator[str]:
    data = secret.encode()
    yield secret
    yield data.hex()
    for shift in range(3):
        # What is beside it changes the ends.
        yield base64.b64encode(b"\0" * shift + data).decode()[4:-4]


def _readings(text: str) -> List[str]:
    """Read a text in every way, letters and digits only."""
    readings = [text]
    while len(readings) < 4:
        decoded = html.unescape(unquote(_without_escapes(readings[-1])))
        if decoded == readings[-1]:
            break
        readings.append(decoded)
    return [re.sub(r"[\W_]+", "", reading).casefold() for reading in readings]


def _without_escapes(text: str) -> str:
    return re.sub(
        r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([\"'/\\]))",
        lambda found: found.group(3) or chr(int(found.group(1) or found.group(2), 16)),
        text,
    )


def _windows(text: str, size: int) -> Iterable[str]:
    return (text[start : start + size] for start in range(len(text) - size + 1))


def exposed(error: BaseException) -> str:
    """All that a reporter may keep of an error: chain, attributes, locals of all frames.

    Left out are frames of the tests and of the embedded platform, which know the secrets.
    """
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    parts = [*found.format_exception_only()]
    seen = [found]
    while seen:
        one = seen.pop()
        seen.extend(each for each in (one.__cause__, one.__context__) if each)
        parts += one.format_exception_only()
        for frame in one.stack:
            if not frame.filename.startswith(TESTS) and EMBEDDED not in frame.filename:
                parts.append(f"{frame.filename}:{frame.lineno} {frame.locals!r}")
    parts += _attributes(error)
    return "\n".join(parts)


def _attributes(error: BaseException) -> Iterator[str]:
    chain: List[BaseException] = [error]
    for each in chain:
        chain += [
            one
            for one in (each.__cause__, each.__context__)
            if one is not None and one not in chain
        ]
        yield f"{each!r} {each} {each.args!r} {vars(each)!r}"
        yield pickled(each)


def pickled(value: object) -> str:
    """What a pickle of something shows; nothing where there is none."""
    try:
        return pickle.dumps(value).decode("latin-1")
    except Exception:
        return ""


class Everything(logging.Handler):
    """Keeps what any logger says, its arguments as well, from ``DEBUG`` on."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.said.append(f"{record.getMessage()} {vars(record)!r}")
        if record.exc_info and record.exc_info[1] is not None:
            self.said.append(exposed(record.exc_info[1]))

    def __enter__(self) -> Everything:
        root = logging.getLogger()
        self._level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *error: Any) -> None:
        """Listen no longer."""
        root = logging.getLogger()
        root.removeHandler(self)
        root.setLevel(self._level)

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.said)
