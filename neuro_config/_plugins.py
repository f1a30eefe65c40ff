"""The parameters that a configuration file may have, and the plugins that add some.

A plugin is an entry point of the group ``neuro_api`` or ``apolo_api``: a callable that
takes the one ``PluginManager``. The platform's own command-line tools are such plugins,
written for the classes of the platform's SDK, hence these rules:

- a parameter may be registered again with the same type. What the library itself knows
  keeps its scope; of the others the scopes add up, since one plugin vouches for each.
- a ``ConfigScope`` of somebody else's is compared by the names of its members.
- the same callable is called once, however often and in whichever group it is found.
- a plugin that fails is a warning and is remembered in ``PluginManager.failures``. What
  it had registered until then stays: dropping it would make files wrong that are right.
  ``KeyboardInterrupt`` and ``SystemExit`` pass: they are about the process.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Optional, Tuple

import attr

from ._errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

GROUPS = ("apolo_api", "neuro_api")


class ConfigScope(enum.Flag):
    """In which files a parameter may stand."""

    GLOBAL = enum.auto()
    LOCAL = enum.auto()
    ALL = GLOBAL | LOCAL


_WORDS = {
    int: ("an integer", "integers"),
    bool: ("true or false", "booleans"),
    float: ("a number", "numbers"),
    str: ("a string", "strings"),
}


@attr.frozen
class Parameter:
    """What a parameter's value must be, and where it may stand.

    Args:
        kind: ``int``, ``bool``, ``float`` or ``str``.
        is_list: Whether the value is a list of these.
        scope: The files in which it may stand.
    """

    kind: type
    is_list: bool = False
    scope: ConfigScope = ConfigScope.ALL

    @property
    def wanted(self) -> str:
        """The type in words."""
        one, many = _WORDS[self.kind]
        return f"a list of {many}" if self.is_list else one


Key = Tuple[str, str]

KNOWN: Dict[Key, Parameter] = {
    ("job", "ps-format"): Parameter(str),
    ("job", "top-format"): Parameter(str),
    ("job", "life-span"): Parameter(str),
    ("job", "cluster-name"): Parameter(str, scope=ConfigScope.LOCAL),
    ("job", "org-name"): Parameter(str, scope=ConfigScope.LOCAL),
    ("job", "project-name"): Parameter(str, scope=ConfigScope.LOCAL),
    ("storage", "cp-exclude"): Parameter(str, is_list=True),
    ("storage", "cp-exclude-from-files"): Parameter(str, is_list=True),
}


@attr.define
class ConfigBuilder:
    """The parameters that are known, to which plugins add theirs.

    The methods are called ``define_<type>`` and ``define_<type>_list``. All take

    Args:
        section: The table in the file, anything but ``alias``.
        name: The key in that table.
        scope: In which files it may stand, in both by default.

    Raises:
        PluginError: The parameter is known with another type, stands in ``alias``, or
            the names or the scope are impossible.
    """

    parameters: Dict[Key, Parameter] = attr.field(factory=KNOWN.copy, init=False)

    def define_int(
        self, section: str, name: str, *, scope: object = ConfigScope.ALL
    ) -> None:
        """Register an integer."""
        self._define(section, name, int, False, scope)

    def define_bool(
        self, section: str, name: str, *, scope: object = ConfigScope.ALL
    ) -> None:
        """Register a boolean."""
        self._define(section, name, bool, False, scope)

    def define_float(
        self, section: str, name: str, *, scope: object = ConfigScope.ALL
    ) -> None:
        """Register a number; a file may have an integer there."""
        self._define(section, name, float, False, scope)

    def define_str(
        self, section: str, name: str, *, scope: object = ConfigScope.ALL
    ) -> None:
        """Register a string."""
        self._define(section, name, str, False, scope)

    def define_int_list(
        self, section: str, name: str, *, scope: object = ConfigScope.ALL
    ) -> None:
        """Register a list of integers."""
        self._define(section, name, int, True, scope)

    def define_bool_list(
        self, section: str, name: str, *, scope: object = ConfigScope.ALL
    ) -> None:
        """Register a list of booleans."""
        self._define(section, name, bool, True, scope)

    def define_float_list(
        self, section: str, name: str, *, scope: object = ConfigScope.ALL
    ) -> None:
        """Register a list of numbers."""
        self._define(section, name, float, True, scope)

    def define_str_list(
        self, section: str, name: str, *, scope: object = ConfigScope.ALL
    ) -> None:
        """Register a list of strings."""
        self._define(section, name, str, True, scope)

    def _define(
        self, section: str, name: str, kind: type, is_list: bool, scope: object
    ) -> None:
        key = f"{section}.{name}"
        for part in (section, name):
            if not isinstance(part, str) or not part:
                raise PluginError(key, "section and name must be non-empty strings.")
        if section == "alias":
            raise PluginError(
                key, "the section alias is free for the user's own names."
            )
        new = Parameter(kind, is_list, _own_scope(key, scope))
        old = self.parameters.get((section, name))
        if old is not None and (old.kind, old.is_list) != (kind, is_list):
            raise PluginError(
                key, f"it is known already as {old.wanted}, not as {new.wanted}."
            )
        if (section, name) not in KNOWN:
            scope = new.scope if old is None else new.scope | old.scope
            self.parameters[section, name] = attr.evolve(new, scope=scope)


class VersionChecker:
    """What the SDK's plugins expect to find; this library checks no versions."""

    def register(self, *args: object, **kwargs: object) -> None:
        """Do nothing."""


@attr.frozen
class Plugin:
    """A plugin that was found, not imported yet.

    Args:
        name: Name of the entry point.
        package: Name of the package that has it.
        load: Imports the plugin and returns what is to be called.
    """

    name: str
    package: str
    load: Callable[[], Any]


@attr.frozen
class PluginFailure:
    """A plugin that failed.

    Args:
        name: Name of the entry point.
        package: Name of the package that has it.
        error: What was raised, one line.
    """

    name: str
    package: str
    error: str

    def __str__(self) -> str:
        return (
            f"the plugin {self.name} of the package {self.package} failed to load: "
            f"{self.error}"
        )


@attr.define
class PluginManager:
    """What a plugin is called with.

    Attributes:
        config: Where parameters are registered.
        version_checker: There for plugins of the SDK; does nothing.
        failures: The plugins that failed.
    """

    config: ConfigBuilder = attr.field(factory=ConfigBuilder, init=False)
    version_checker: VersionChecker = attr.field(factory=VersionChecker, init=False)
    failures: List[PluginFailure] = attr.field(factory=list, init=False)


def load_plugins(found: Optional[Iterable[Plugin]] = None) -> PluginManager:
    """Call every plugin with one new ``PluginManager``.

    Each call imports and warns anew, so keep the result.

    Args:
        found: The plugins, by default those that are installed.

    Returns:
        The manager, with what they registered and which of them failed.
    """
    manager = PluginManager()
    for plugin in find_plugins() if found is None else found:
        try:
            plugin.load()(manager)
        except Exception as error:
            manager.failures.append(_failure(plugin, error))
    return manager


def find_plugins(path: Optional[List[str]] = None) -> List[Plugin]:
    """Find the entry points of the groups ``apolo_api`` and ``neuro_api``.

    Args:
        path: Folders to look into, ``sys.path`` by default.

    Returns:
        Each callable once, sorted by package and name, so that two plugins that
        contradict each other do so in the same order everywhere.
    """
    # distributions() and not entry_points(group=...), which Python 3.8 and 3.9 lack; and
    # it tells the package in every version.
    from importlib.metadata import distributions

    where: Dict[str, Any] = {} if path is None else {"path": path}
    found: Dict[str, Plugin] = {}
    unreadable: List[Plugin] = []
    for dist in distributions(**where):
        try:
            for entry in dist.entry_points:
                if entry.group in GROUPS and not _is_shadowed(dist, entry, where):
                    plugin = Plugin(entry.name, _package(dist), entry.load)
                    found.setdefault(entry.value, plugin)
        except Exception as error:
            # Nobody can tell which plugins an unreadable list has: it fails as one.
            unreadable.append(
                Plugin("entry_points.txt", _package(dist), _raiser(error))
            )
    return sorted(
        [*found.values(), *unreadable],
        key=lambda plugin: (plugin.package, plugin.name),
    )


def _package(dist: Distribution) -> str:
    try:
        return dist.metadata["Name"] or "unknown"
    except Exception:
        return "unknown"


def _is_shadowed(dist: Distribution, entry: object, where: Dict[str, Any]) -> bool:
    # An import takes the first of two versions of a package on sys.path, and an entry
    # point that only the second one has would point to nothing.
    from importlib.metadata import distributions

    first = next(iter(distributions(name=_package(dist), **where)), dist)
    return entry not in first.entry_points


def _raiser(error: Exception) -> Callable[[], Any]:
    def load() -> Any:
        raise error

    return load


def _failure(plugin: Plugin, error: Exception) -> PluginFailure:
    import logging
    import traceback

    # Not str(error), which may fail itself.
    text = " ".join(traceback.format_exception_only(type(error), error)[-1].split())
    failure = PluginFailure(plugin.name, plugin.package, text[:300])
    logger = logging.getLogger("neuro_config")
    logger.warning(
        "The plugin %s of the package %s failed to load: %s",
        *attr.astuple(failure),
    )
    logger.debug("Where the plugin failed:", exc_info=error)
    return failure


def _own_scope(key: str, scope: object) -> ConfigScope:
    if isinstance(scope, enum.Flag):
        # The name of a combination differs between Python versions, a member's does not.
        names = [
            name
            for name, member in type(scope).__members__.items()
            if member in scope and member.value
        ]
    elif isinstance(scope, enum.Enum):
        names = [scope.name]
    else:
        names = []
    own = ConfigScope(0)
    for name in names:
        own |= ConfigScope.__members__.get(name, ConfigScope(0))
    if not own:
        raise PluginError(
            key, f"its scope is {scope!r}, not one of GLOBAL, LOCAL and ALL."
        )
    return own
