"""Converters: from what the platform sent to our values, or ``Malformed``.

The rules:

- an unknown field is ignored, and ``null`` is the same as an absent field;
- a field without a default in our value is required; the platform of some era leaves
  out each of the others;
- what is there must have its type and range: ``true`` is no number, no count or size
  is negative, every URL is absolute;
- of several things with one name the last counts;
- an error names the path to the bad value and never quotes the value.

A converter raises ``Malformed`` with the path from there on. Each level puts its own
part in front, so that a path costs nothing until something is wrong.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from datetime import time
from decimal import Decimal
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, cast

import attr
from yarl import URL

Converter = Callable[[Any], Any]
Table = Mapping[str, Converter]
Rows = List[Tuple[str, str, Converter]]
Fields = Dict[str, Any]

_SAME_NAMES: Mapping[str, str] = {}

# In a text of JSON; 1,000 clusters x 50 presets have a million.
VALUES_LIMIT = 1 << 22

# Nothing real is larger, and sums and products of what is smaller stay harmless.
_LIMIT = 2**63
_DECIMAL = re.compile(r"[0-9]{1,64}(\.[0-9]{1,64})?([Ee][+-]?[0-9]{1,2})?")
# Stricter than yarl about the host, on which its versions differ.
_URL = re.compile(
    r"https?://(\[[0-9a-f:.]+\]|[\w.-]+)(:[0-9]{1,5})?([/?#].*)?", re.IGNORECASE
)
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


class Malformed(ValueError):
    """A value is not what the platform sends.

    Attributes:
        where: Path to it, ``clusters[0].name``; empty for the whole.
        reason: What is wrong with it, in a few words.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" if self.where else self.reason

    def under(self, parent: str) -> Malformed:
        """Return the error as it looks from one level up."""
        dot = "." if parent and self.where[:1] not in ("", "[") else ""
        return Malformed(f"{parent}{dot}{self.where}", self.reason)


def parse_json(body: bytes) -> Any:
    """Read JSON (RFC 8259) whose strings are text and whose numbers are finite.

    Args:
        body: UTF-8 without a byte order mark.

    Raises:
        Malformed: It is anything else, or more than ``VALUES_LIMIT``.
    """
    require_bounded(body)
    try:
        text = body.decode()
        value = json.loads(text, parse_float=finite, parse_constant=finite)
        # UTF-8 has no lone surrogates, so only an escape can bring one in.
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except Malformed:
        raise
    except UnicodeDecodeError as error:
        raise Malformed("", f"not UTF-8 at byte {error.start}") from None
    except UnicodeEncodeError:
        raise Malformed("", "a string has half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise Malformed("", f"not JSON: {error.msg} (at {error.pos})") from None
    except ValueError:
        raise Malformed("", "an integer has too many digits") from None
    except RecursionError:
        raise Malformed("", "nested too deeply") from None
    return value


def require_bounded(body: bytes) -> None:
    """Refuse a text of JSON that would fill the memory.

    Raises:
        Malformed: It has more than ``VALUES_LIMIT``.
    """
    # The smallest of values takes thirty times its bytes in memory.
    if sum(map(body.count, (b",", b"[", b"{"))) > VALUES_LIMIT:
        raise Malformed("", "too many values")


def finite(text: str) -> float:
    """Read a number, which must be finite.

    Raises:
        Malformed: It is not.
    """
    number = float(text)
    if math.isfinite(number):
        return number
    raise Malformed("", "a number is not finite")


# -------------------------------------------------------------- single values


def text(raw: Any) -> str:
    if type(raw) is str:
        return raw
    raise Malformed("", "not a string")


def text_or_none(raw: Any) -> Optional[str]:
    return None if raw is None else text(raw)


def flag(raw: Any) -> bool:
    if type(raw) is bool:
        return raw
    raise Malformed("", "neither true nor false")


def count(raw: Any) -> int:
    # type() and not isinstance(): true is no integer here.
    if type(raw) is int and 0 <= raw < _LIMIT:
        return raw
    raise Malformed("", "not an integer from 0 to 2**63")


def mebibytes(raw: Any) -> int:
    return count(raw) * 2**20


def number(raw: Any) -> float:
    if (type(raw) is float or type(raw) is int) and 0 <= raw < _LIMIT:
        return float(raw)
    raise Malformed("", "not a number from 0 to 2**63")


def decimal(raw: Any) -> Decimal:
    if type(raw) is str and _DECIMAL.fullmatch(raw):
        return Decimal(raw)
    raise Malformed("", "not a decimal number in a string")


def weekday(raw: Any) -> int:
    if type(raw) is int and 1 <= raw <= 7:
        return raw
    raise Malformed("", "not a weekday from 1 to 7")


def clock_time(raw: Any) -> time:
    match = _TIME.fullmatch(text(raw))
    if match is None:
        raise Malformed("", "not a time of the form HH:MM")
    return time(int(match.group(1)), int(match.group(2)))


def url(raw: Any) -> URL:
    # yarl drops control characters silently; no real URL has any.
    found = _URL.fullmatch(raw) if type(raw) is str and raw.isprintable() else None
    if found is not None:
        try:
            value = URL(raw)
            if found[1].startswith("["):  # which yarl may look into too late
                ipaddress.IPv6Address(found[1].strip("[]"))
            # Decoding a host takes long, and only that of punycode can fail.
            is_punycode = "xn--" in str(value.raw_host)
            return value.with_host(str(value.host)) if is_punycode else value
        except ValueError:
            pass
    raise Malformed("", "not an absolute http or https URL")


def url_text(raw: Any) -> str:
    url(raw)
    return cast(str, raw)


# ----------------------------------------------------------- lists and objects


def list_of(convert: Converter) -> Converter:
    def convert_list(raw: Any) -> Tuple[Any, ...]:
        if type(raw) is not list:
            raise Malformed("", "not a list")
        values: List[Any] = []
        try:
            for value in raw:
                values.append(convert(value))
        except Malformed as error:
            raise error.under(f"[{len(values)}]") from None
        return tuple(values)

    return convert_list


def unique(convert: Converter, key: Callable[[Any], Any]) -> Converter:
    convert_list = list_of(convert)

    def convert_unique(raw: Any) -> Dict[Any, Any]:
        return {key(value): value for value in convert_list(raw)}

    return convert_unique


def by_name(convert: Converter) -> Converter:
    return unique(convert, lambda value: value.name)


def read_fields(raw: Any, rows: Rows) -> Fields:
    if type(raw) is not dict:
        raise Malformed("", "not an object")
    fields = {}
    find = raw.get
    try:
        for key, name, convert in rows:
            value = find(key)
            if value is not None:
                fields[name] = convert(value)
    except Malformed as error:
        raise error.under(key) from None
    return fields


def object_of(
    kind: Callable[..., Any],
    table: Table,
    old_names: Mapping[str, str] = _SAME_NAMES,
    mend: Optional[Callable[[Fields], None]] = None,
) -> Converter:
    """Make the converter of an object.

    Args:
        kind: The class of our value.
        table: The converters of its fields, by the platform's names. Of several names
            of one field the last counts.
        old_names: Our names of fields that have another one there.
        mend: What else it takes to turn the fields of any era into our own.
    """
    rows = [(key, old_names.get(key, key), table[key]) for key in table]
    required = [
        field.name
        for field in attr.fields(cast(Any, kind))
        if field.default is attr.NOTHING
    ]

    def convert(raw: Any) -> Any:
        fields = read_fields(raw, rows)
        if mend is not None:
            mend(fields)
        for name in required:
            if name not in fields:
                raise Malformed(name, "missing")
        return kind(**fields)

    return convert


def at_path(where: str, convert: Converter, raw: object) -> Any:
    try:
        return convert(raw)
    except Malformed as error:
        raise error.under(where) from None


texts = list_of(text)
