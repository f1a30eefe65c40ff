"""Setting and unsetting one of the user's settings, in the text of its file.

All that was not meant stays to the letter: comments, layout, line ends. A change is
checked by the rules of ``_user_config`` before anything is written, and read back from the
new text: where that does not hold exactly what was meant, nothing is written.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import attr
import tomli

from ._edit import edit
from ._errors import UserConfigError
from ._local import parse_toml
from ._plugins import ConfigScope, Parameter, PluginManager
from ._settings import Key
from ._user_config import MAX_DEPTH, checked, dotted, is_deeper

_PART = r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'"""
_KEY = re.compile(rf"(?:{_PART})(?:\.(?:{_PART})){{0,{MAX_DEPTH + 1}}}")
_TEXT = Parameter(str)
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""+'
    r"|'''.*?'''+"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)


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


def takes_no_words(key: Key, plugins: PluginManager) -> bool:
    """Tell whether a setting may be set to no word at all, as an empty list.

    Args:
        key: The key's names.
        plugins: Which parameters are known.
    """
    known = _parameter(key, plugins)
    return key[0] == "alias" or (known is not None and known.is_list)


def known_keys(scope: ConfigScope, plugins: PluginManager) -> List[Key]:
    """List the settings that may stand in a file, in alphabetical order.

    Args:
        scope: Which of the two files it is.
        plugins: Which parameters are known.
    """
    parameters = plugins.config.parameters
    return sorted(key for key, one in parameters.items() if one.scope & scope)


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
        StorageWriteError: The file is read-only, or the system refuses to write.
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
        if key[-1] in document and _has_comments(document[key[-1]]):
            raise UserConfigError(
                path,
                "holds comments, which would get lost. Change it with an editor, or unset "
                "it first; nothing was written.",
                dotted(*key),
            )
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
        StorageWriteError: The file is read-only, or the system refuses to write.
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
    one = attr.evolve(parameter, is_list=False)
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


def _with(
    path: str, table: Mapping[str, Any], key: Key, value: Any, depth: int = 0
) -> Dict[str, Any]:
    name = key[depth]
    if depth == len(key) - 1:
        return {**table, name: value}
    inner = table.get(name, {})
    if not isinstance(inner, dict):
        raise UserConfigError(
            path,
            "is no table, so nothing can be set in it. Unset it first.",
            dotted(*key[: depth + 1]),
        )
    return {**table, name: _with(path, inner, key, value, depth + 1)}


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
    except UserConfigError:
        raise
    except Exception:
        # Whatever it is: the text is TOML, and this writer cannot deal with it.
        return b""
    text = text if text.endswith("\n") else f"{text}\n"
    if 0 < old.count(b"\n") == old.count(b"\r\n"):
        text = re.sub(r"(?<!\r)\n", "\r\n", text)
    return text.encode()


def _has_comments(item: Any) -> bool:
    from tomlkit.items import Array

    return isinstance(item, Array) and "#" in _STRING.sub("", item.as_string())


def _holds(data: bytes, wanted: Mapping[str, Any]) -> bool:
    try:
        return _shape(tomli.loads(data.decode())) == _shape(wanted)
    except (ValueError, RecursionError):
        return False


def _shape(table: Mapping[str, Any]) -> str:
    """Return a text that is the same for tables that hold the same, NaN included."""
    return json.dumps(table, sort_keys=True, default=repr)
