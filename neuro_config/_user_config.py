"""The user's settings: ``user.toml`` and the project's local file, checked and merged.

Each file is checked whole and by itself, so that an error names the file and the key.
Then tables are merged key by key at every depth, and the local file wins. ``alias`` is
no exception: a key that only ``user.toml`` gives to an alias stays.

``user.toml`` is the user's own, may be a link and may be read by others; but what stands
in a directory that others can write counts as theirs, and is refused as the login is.

The result is read-only to its depth: tables are read-only mappings, lists are tuples,
and an integer where a number is wanted has become a float.
"""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

import attr

from ._directory import Directory
from ._errors import UserConfigError
from ._local import StrPath, choice_in, find_local_file, read_toml
from ._plugins import ConfigScope, Parameter, PluginManager, load_plugins

MAX_DEPTH = 32

_FOUND = {
    dict: "a table",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number with a fraction",
}
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def load_user_config(
    global_file: Optional[StrPath],
    start: Optional[StrPath] = None,
    plugins: Optional[PluginManager] = None,
) -> Mapping[str, Any]:
    """Read, check and merge the user's configuration files.

    Args:
        global_file: Path of ``user.toml``, which need not exist; ``None`` for no such
            file.
        start: Where the search for the local file begins, the current directory by
            default.
        plugins: Which parameters are known; by default the installed plugins are
            loaded, if there is a file at all.

    Returns:
        Read-only mapping of section to mapping of key to value, with what the files
        have and nothing else.

    Raises:
        StorageError: The directory of ``user.toml`` is not the user's alone.
        UserConfigError: A file is wrong; names the file and the key.
    """
    result: Dict[str, Any] = {}
    for one in checked_files(global_file, start, plugins):
        result = merged(result, one.table)
    return _read_only_table(result)


@attr.frozen
class CheckedFile:
    """One file of the user's settings, found right.

    Args:
        path: The file.
        table: What it holds, an integer where a number is wanted made a float.
    """

    path: str
    table: Mapping[str, Any]


def checked_files(
    global_file: Optional[StrPath],
    start: Optional[StrPath] = None,
    plugins: Optional[PluginManager] = None,
) -> List[CheckedFile]:
    """Read and check the user's configuration files.

    Args:
        global_file: As for ``load_user_config``.
        start: As for ``load_user_config``.
        plugins: As for ``load_user_config``.

    Returns:
        The files that exist, the one that wins last.

    Raises:
        StorageError: The directory of ``user.toml`` is not the user's alone.
        UserConfigError: A file is wrong; names the file and the key.
    """
    if global_file is not None:
        Directory(os.path.dirname(os.path.abspath(global_file))).check_directory()
    paths = (
        (None if global_file is None else os.fspath(global_file), ConfigScope.GLOBAL),
        (find_local_file(start), ConfigScope.LOCAL),
    )
    files: List[Tuple[str, ConfigScope, Dict[str, Any]]] = []
    for path, scope in paths:
        if path is not None:
            table = read_toml(path)
            if table is not None:
                files.append((path, scope, table))
    if not files:
        return []
    known = load_plugins() if plugins is None else plugins
    return [
        CheckedFile(path, checked(path, scope, table, known))
        for path, scope, table in files
    ]


def checked(
    path: str, scope: ConfigScope, table: Mapping[str, Any], plugins: PluginManager
) -> Dict[str, Any]:
    """Check what one file holds.

    Args:
        path: The file, for errors.
        scope: Which of the two files it is.
        table: What it holds.
        plugins: Which parameters are known.

    Returns:
        The same, an integer where a number is wanted made a float.

    Raises:
        UserConfigError: It is wrong; names the file and the key.
    """
    return _Checker(path, scope, plugins).checked(table)


def dotted(*names: str) -> str:
    """Name a key for people, as one would write it in a file, but not at any length."""
    # repr: a name in quotes may hold line ends and whatever controls a terminal.
    return ".".join(
        name if name and _BARE.issuperset(name) else repr(name)
        for name in (name if len(name) <= 60 else f"{name[:60]}..." for name in names)
    )


def merged(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> Dict[str, Any]:
    """Merge two tables key by key, at every depth; what ``strong`` says wins."""
    result = {**weak, **strong}
    for key in weak.keys() & strong.keys():
        if isinstance(weak[key], dict) and isinstance(strong[key], dict):
            result[key] = merged(weak[key], strong[key])
    return result


@attr.frozen
class _Checker:
    """Checks one file against the parameters that are known."""

    path: str
    scope: ConfigScope
    plugins: PluginManager

    def checked(self, table: Mapping[str, Any]) -> Dict[str, Any]:
        parameters = self.plugins.config.parameters
        known = {section for section, _ in parameters}
        result = {}
        for section, values in table.items():
            if section != "alias" and section not in known:
                here = {one for one, name in parameters if self._is_here(one, name)}
                raise self._unknown("section", section, {*here, "alias"}, (section,))
            if not isinstance(values, dict):
                raise self._wrong_type("a table", values, section)
            check = self._aliases if section == "alias" else self._section
            result[section] = check(section, values)
        if self.scope is ConfigScope.LOCAL:
            choice_in(self.path, table)
        return result

    def _section(self, section: str, values: Mapping[str, Any]) -> Dict[str, Any]:
        parameters = self.plugins.config.parameters
        names = {name for known, name in parameters if known == section}
        result = {}
        for name, value in values.items():
            if name not in names:
                here = {one for one in names if self._is_here(section, one)}
                raise self._unknown("key", name, here, (section, name))
            parameter = parameters[section, name]
            key = dotted(section, name)
            if not self._is_here(section, name):
                raise UserConfigError(self.path, _misplaced(self.scope), key)
            result[name] = self._value(parameter, value, key)
        return result

    def _is_here(self, section: str, name: str) -> bool:
        scope = self.plugins.config.parameters[section, name].scope
        return bool(scope & self.scope)

    def _value(self, parameter: Parameter, value: object, key: str) -> object:
        if not parameter.is_list:
            return self._item(parameter, value, key)
        if not isinstance(value, list):
            raise self._wrong_type(parameter.wanted, value, key)
        item = attr.evolve(parameter, is_list=False)
        return [self._item(item, one, f"{key}[{i}]") for i, one in enumerate(value)]

    def _item(self, parameter: Parameter, value: object, key: str) -> object:
        # type() and not isinstance(): true is no integer here.
        if type(value) is parameter.kind:
            return value
        if parameter.kind is float and type(value) is int:
            try:
                return float(value)
            except OverflowError:
                raise UserConfigError(self.path, "is too large.", key) from None
        raise self._wrong_type(parameter.wanted, value, key)

    def _aliases(self, section: str, values: Mapping[str, Any]) -> Dict[str, Any]:
        for name, value in values.items():
            key = dotted(section, name)
            if not isinstance(value, dict):
                raise self._wrong_type("a table", value, key)
            # Whoever walks through the result shall not run out of stack.
            if is_deeper(value, MAX_DEPTH):
                raise UserConfigError(self.path, "is nested too deeply.", key)
        return dict(values)

    def _wrong_type(self, wanted: str, value: object, key: str) -> UserConfigError:
        # Not the value itself: it may be of any length.
        found = _FOUND.get(type(value), "a date or time")
        return UserConfigError(self.path, f"must be {wanted}, not {found}.", key)

    def _unknown(
        self, what: str, name: str, known: Iterable[str], names: Tuple[str, ...]
    ) -> UserConfigError:
        # ``known`` is what may stand in this file: to name more would mislead.
        import difflib

        names_known = sorted(known)
        near = difflib.get_close_matches(name[:100], names_known, n=1)
        meant = f"; did you mean {near[0]}?" if near else "."
        reason = f"is no known {what}{meant} Known: {', '.join(names_known) or 'none'}"
        for failure in self.plugins.failures:
            reason += f"; {failure}; it may be the one that defines this {what}"
        return UserConfigError(self.path, f"{reason}.", dotted(*names))


def _misplaced(scope: ConfigScope) -> str:
    if scope is ConfigScope.GLOBAL:
        return (
            "is a setting of one project. Move it into the local file .neuro.toml or "
            ".apolo.toml in the project's folder."
        )
    return "is a setting for all projects. Move it into user.toml."


def is_deeper(value: object, depth: int) -> bool:
    """Tell whether tables and lists are nested deeper than so many times."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return False
    return depth == 0 or any(is_deeper(item, depth - 1) for item in value)


def _read_only_table(table: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType({key: _read_only(value) for key, value in table.items()})


def _read_only(value: Any) -> Any:
    if isinstance(value, dict):
        return _read_only_table(value)
    if isinstance(value, list):
        return tuple(_read_only(item) for item in value)
    return value
