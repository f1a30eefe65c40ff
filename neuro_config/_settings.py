"""The user's settings one by one: which hold here, and where each comes from."""

from __future__ import annotations

import datetime
import math
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

import attr

from ._user_config import CheckedFile, merged

Key = Tuple[str, ...]


@attr.frozen
class Setting:
    """One setting that holds here.

    Args:
        key: Its names, from the section on.
        value: What the file says.
        path: The file that says it.
    """

    key: Key
    value: Any
    path: str


def settings_in(files: Sequence[CheckedFile]) -> List[Setting]:
    """List the settings that hold, each with the file that it comes from.

    Args:
        files: As ``checked_files`` returns them.
    """
    table: Dict[str, Any] = {}
    for one in files:
        table = merged(table, _traced(one.table, one.path))
    return list(_leaves(table, ()))


def keys_in(table: Mapping[str, Any]) -> List[Key]:
    """List the settings in one file, right or wrong.

    Args:
        table: What it holds.
    """
    return [one.key for one in _leaves(_traced(table, ""), ())]


def as_json(table: Mapping[str, Any]) -> Dict[str, Any]:
    """Return settings as JSON has them: dates and numbers that JSON lacks as texts."""
    return {key: _json_of(value) for key, value in table.items()}


@attr.frozen
class _Leaf:
    """A value that is not merged any further, and its file."""

    value: Any
    path: str


def _traced(table: Mapping[str, Any], path: str) -> Dict[str, Any]:
    return {
        key: _traced(value, path) if isinstance(value, dict) else _Leaf(value, path)
        for key, value in table.items()
    }


def _leaves(table: Mapping[str, Any], above: Key) -> Iterator[Setting]:
    for name, value in table.items():
        key = (*above, name)
        if isinstance(value, _Leaf):
            yield Setting(key, value.value, value.path)
        else:
            yield from _leaves(value, key)


def _json_of(value: Any) -> Any:
    if isinstance(value, Mapping):
        return as_json(value)
    if isinstance(value, (list, tuple)):
        return [_json_of(item) for item in value]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
