"""The user's settings one by one: where each comes from, and how one is changed.

A change is made in the text of the file, so that its comments and its layout stay. It
is checked by the rules of ``_user_config`` before anything is written, and read back
from the new text: where that does not hold exactly what was meant, nothing is written.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

import attrs
import tomli

from ._edit import edit
from ._errors import UserConfigError
from ._local import parse_toml
from ._plugins import ConfigScope, Parameter, PluginManager
from ._user_config import (
    MAX_DEPTH,
    CheckedFile,
    checked,
    dotted,
    is_deeper,
    merged,
)

Key = Tuple[str, ...]

_PART = r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'"""
_KEY = re.compile(rf"(?:{_PART})(?:\.(?:{_PART})){{0,{MAX_DEPTH + 1}}}")
_TEXT = Parameter(str)


@attrs.frozen
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


def as_json(table: Mapping[str, Any]) -> Dict[str, Any]:
    """Return settings as JSON has them: dates and numbers that JSON lacks as texts."""
    return {key: _json_of(value) for key, value in table.items()}


def parse_key(text: str, path: str) -> Key:
    """Read the name of a setting.

    Args:
        text: Names and dots as in a TOML file; a name may stand in quotes.
        path: The file that it is for, for errors.

    Raises:
        UserConfigError: It is no such name.
    """
    try:
        if not _KEY.fullmatch(text):
            raise ValueError
        text.encode()
        table = tomli.loads(f"{text} = 0")
    except (ValueError, RecursionError):
        raise UserConfigError(
            path, "is no key. Write it as section.name.", repr(text[:60])
        ) from None
    names = []
    while isinstance(table, dict):
        ((name, table),) = table.items()
        names.append(name)
    return tuple(names)


def set_setting(
    path: str,
    scope: ConfigScope,
    key: Key,
    texts: Sequence[str],
    plugins: PluginManager,
) -> bool:
    """Set one key in a file.

    Args:
        path: The file; made if it is missing.
        scope: Which of the two files it is.
        key: The key's names.
        texts: The value as words, read as the key's type; a list takes any number.
            For an alias one word is a string, and several are a list of strings.
        plugins: Which parameters are known.

    Returns:
        Whether the file was changed.

    Raises:
        UserConfigError: The key is not known, the value is of another type, or the
            file is wrong.
        LockTimeoutError: Another process changes the file for too long.
        StorageWriteError: The system refuses to write.
    """
    value = _read_value(path, key, texts, plugins)

    def change(table: Dict[str, Any]) -> Dict[str, Any]:
        wanted = _with(path, table, key, value)
        checked(path, scope, wanted, plugins)
        return wanted

    def write(document: Any) -> None:
        import tomlkit
        from tomlkit.items import InlineTable

        for name in key[:-1]:
            if name not in document:
                is_inline = isinstance(document, InlineTable)
                document[name] = (
                    tomlkit.inline_table() if is_inline else tomlkit.table()
                )
            document = document[name]
        document[key[-1]] = value

    return _change(path, change, write)


def unset_setting(
    path: str, scope: ConfigScope, key: Key, plugins: PluginManager
) -> bool:
    """Remove one key from a file; the rest of it may be wrong.

    Args:
        path: The file.
        scope: Which of the two files it is.
        key: The key's names; those of a whole section will do.
        plugins: Which parameters are known.

    Returns:
        Whether the file was changed: not if the key does not stand there.

    Raises:
        UserConfigError: The key is neither there nor known, or the file is no TOML.
        LockTimeoutError: Another process changes the file for too long.
        StorageWriteError: The system refuses to write.
    """

    def change(table: Dict[str, Any]) -> Dict[str, Any]:
        if not _has(table, key):
            _require_known(path, scope, key, plugins)
            return table
        return _without(table, key)

    def write(document: Any) -> None:
        for name in key[:-1]:
            document = document[name]
        del document[key[-1]]

    return _change(path, change, write)


# ------------------------------------------------------------------ the machinery


@attrs.frozen
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


def _read_value(
    path: str, key: Key, texts: Sequence[str], plugins: PluginManager
) -> Any:
    name = dotted(*key)
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise UserConfigError(path, "must be text in UTF-8.", name) from None
    if key[0] == "alias":
        return texts[0] if len(texts) == 1 else list(texts)
    # What is not known is refused later, by those who know what is.
    known = _parameter(key, plugins) or _TEXT
    if known.is_list:
        return [
            _read_one(path, f"{name}[{number}]", known, text)
            for number, text in enumerate(texts)
        ]
    if len(texts) != 1:
        raise UserConfigError(
            path, f"must be {known.wanted}: one value, not {len(texts)}.", name
        )
    return _read_one(path, name, known, texts[0])


def _read_one(path: str, name: str, parameter: Parameter, text: str) -> Any:
    one = attrs.evolve(parameter, is_list=False)
    try:
        return _READERS[one.kind](text)
    except (KeyError, ValueError):
        raise UserConfigError(path, f"must be {one.wanted}.", name) from None


_READERS: Mapping[type, Callable[[str], Any]] = {
    int: int,
    bool: {"true": True, "false": False}.__getitem__,
    float: float,
    str: str,
}


def _with(path: str, table: Mapping[str, Any], key: Key, value: Any) -> Dict[str, Any]:
    name, rest = key[0], key[1:]
    if not rest:
        return {**table, name: value}
    inner = table.get(name, {})
    if not isinstance(inner, dict):
        raise UserConfigError(
            path, "is no table, so nothing can be set in it. Unset it first.", name
        )
    return {**table, name: _with(path, inner, rest, value)}


def _has(table: Any, key: Key) -> bool:
    for name in key:
        if not isinstance(table, dict) or name not in table:
            return False
        table = table[name]
    return True


def _without(table: Mapping[str, Any], key: Key) -> Dict[str, Any]:
    name, rest = key[0], key[1:]
    result = dict(table)
    if rest:
        result[name] = _without(table[name], rest)
    else:
        del result[name]
    return result


def _require_known(
    path: str, scope: ConfigScope, key: Key, plugins: PluginManager
) -> None:
    sections = {"alias", *(section for section, _ in plugins.config.parameters)}
    known = _parameter(key, plugins)
    if known is None and (key[0] == "alias" or (len(key) == 1 and key[0] in sections)):
        return
    value: Any = {int: 0, bool: False, float: 0.0, str: "x"}[(known or _TEXT).kind]
    if known is not None and known.is_list:
        value = []
    checked(path, scope, _with(path, {}, key, value), plugins)


def _parameter(key: Key, plugins: PluginManager) -> Optional[Parameter]:
    return plugins.config.parameters.get((key[0], key[1])) if len(key) == 2 else None


def _change(
    path: str,
    change: Callable[[Dict[str, Any]], Dict[str, Any]],
    write: Callable[[Any], None],
) -> bool:
    def edited(old: Optional[bytes]) -> Optional[bytes]:
        table = {} if old is None else parse_toml(path, old)
        if is_deeper(table, MAX_DEPTH + 2):  # no more than an alias may be
            raise UserConfigError(path, "is nested too deeply.")
        wanted = change(table)
        if _shape(wanted) == _shape(table):
            return old
        new = _written(old or b"", write)
        if not _holds(new, wanted):
            raise UserConfigError(
                path,
                "is written in a way that cannot be changed without harm. Change it "
                "with an editor; nothing was written.",
            )
        return new

    return edit(path, edited)


def _written(old: bytes, write: Callable[[Any], None]) -> bytes:
    import tomlkit

    try:
        document = tomlkit.parse(old.decode())
        write(document)
        text = tomlkit.dumps(document)
        return (text if text.endswith("\n") else f"{text}\n").encode()
    except Exception:
        # Whatever it is: the text is TOML, and this writer cannot deal with it.
        return b""


def _holds(data: bytes, wanted: Mapping[str, Any]) -> bool:
    try:
        return _shape(tomli.loads(data.decode())) == _shape(wanted)
    except (ValueError, RecursionError):
        return False


def _shape(table: Mapping[str, Any]) -> str:
    """Return a text that is the same for tables that hold the same, NaN included."""
    return json.dumps(table, sort_keys=True, default=repr)
