"""What plugins may register, and what happens to those that fail."""

from __future__ import annotations

import enum
import logging
import os
import pathlib
import subprocess
import sys
from typing import Any, Callable, List, Optional, Tuple, Type

import pytest

import neuro_config
from neuro_config._errors import PluginError
from neuro_config._plugins import (
    KNOWN,
    ConfigBuilder,
    ConfigScope,
    Parameter,
    Plugin,
    PluginFailure,
    PluginManager,
    find_plugins,
    load_plugins,
)


class SDKScope(enum.Flag):
    """A scope as in the platform's SDK: other values, the same names."""

    LOCAL = 4
    GLOBAL = 16
    ALL = GLOBAL | LOCAL


class BareScope(enum.Flag):
    """A scope without a name for both together."""

    NONE = 0
    GLOBAL = 1
    OTHER = 2
    LOCAL = 8


class PlainScope(enum.Enum):
    """A scope that is no flag."""

    GLOBAL = "g"
    LOCAL = "l"
    ALL = "a"
    SOME = "s"


def install(
    folder: pathlib.Path, package: str, entry_points: str, source: str, name: str = ""
) -> None:
    """Lay out a package as an installer does."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(entry_points)
    (folder / f"{name or package}.py").write_text(source)


def found(path: pathlib.Path, *more: pathlib.Path) -> List[Tuple[str, str]]:
    plugins = find_plugins([str(path), *map(str, more)])
    return [(plugin.package, plugin.name) for plugin in plugins]


def run(code: str, *path: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Run the code in a process of its own that has the folders on its path."""
    here = pathlib.Path(neuro_config.__path__[0]).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [here, *path]))}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )


class TestConfigBuilder:
    @pytest.mark.parametrize(
        ("method", "expected"),
        [
            ("define_int", Parameter(int)),
            ("define_bool", Parameter(bool)),
            ("define_float", Parameter(float)),
            ("define_str", Parameter(str)),
            ("define_int_list", Parameter(int, is_list=True)),
            ("define_bool_list", Parameter(bool, is_list=True)),
            ("define_float_list", Parameter(float, is_list=True)),
            ("define_str_list", Parameter(str, is_list=True)),
        ],
    )
    def test_types(self, method: str, expected: Parameter) -> None:
        """Each method registers its type for both files."""
        builder = ConfigBuilder()

        getattr(builder, method)("flow", "name")

        assert {**KNOWN, ("flow", "name"): expected} == builder.parameters

    def test_builders_are_independent(self) -> None:
        """What one builder learns no other one knows."""
        ConfigBuilder().define_int("flow", "name")

        assert KNOWN == ConfigBuilder().parameters
        assert ("flow", "name") not in KNOWN

    def test_known_again(self) -> None:
        """The library's own parameters may be registered again and stay as they are."""
        builder = ConfigBuilder()

        builder.define_str("job", "ps-format", scope=ConfigScope.LOCAL)
        builder.define_str("job", "cluster-name")
        builder.define_str_list("storage", "cp-exclude")

        assert KNOWN == builder.parameters

    @pytest.mark.parametrize(
        ("first", "second", "expected"),
        [
            (ConfigScope.LOCAL, ConfigScope.LOCAL, ConfigScope.LOCAL),
            (ConfigScope.LOCAL, ConfigScope.GLOBAL, ConfigScope.ALL),
            (ConfigScope.ALL, ConfigScope.GLOBAL, ConfigScope.ALL),
        ],
    )
    def test_scopes_add_up(
        self, first: ConfigScope, second: ConfigScope, expected: ConfigScope
    ) -> None:
        """A parameter of two plugins may stand wherever one of them wants it."""
        builder = ConfigBuilder()

        builder.define_int("flow", "name", scope=first)
        builder.define_int("flow", "name", scope=second)

        assert expected is builder.parameters["flow", "name"].scope

    @pytest.mark.parametrize(
        ("define", "reason"),
        [
            (
                lambda builder: builder.define_int("job", "ps-format"),
                "job.ps-format cannot be registered: it is known already as a string, "
                "not as an integer.",
            ),
            (
                lambda builder: builder.define_str("storage", "cp-exclude"),
                "known already as a list of strings, not as a string.",
            ),
            (lambda builder: builder.define_str("alias", "x"), "section alias is free"),
            (lambda builder: builder.define_str("", "x"), "non-empty strings"),
            (lambda builder: builder.define_str("flow", None), "non-empty strings"),
        ],
    )
    def test_impossible(
        self, define: Callable[[ConfigBuilder], None], reason: str
    ) -> None:
        """What contradicts is refused by name, and nothing changes."""
        builder = ConfigBuilder()

        with pytest.raises(PluginError) as caught:
            define(builder)

        assert reason in str(caught.value)
        assert KNOWN == builder.parameters

    @pytest.mark.parametrize(
        ("scope", "expected"),
        [
            (SDKScope.GLOBAL, ConfigScope.GLOBAL),
            (SDKScope.LOCAL, ConfigScope.LOCAL),
            (SDKScope.ALL, ConfigScope.ALL),
            (SDKScope.LOCAL | SDKScope.GLOBAL, ConfigScope.ALL),
            (BareScope.GLOBAL | BareScope.LOCAL, ConfigScope.ALL),
            (BareScope.LOCAL | BareScope.OTHER, ConfigScope.LOCAL),
            (PlainScope.LOCAL, ConfigScope.LOCAL),
            (PlainScope.ALL, ConfigScope.ALL),
        ],
    )
    def test_foreign_scope(self, scope: object, expected: ConfigScope) -> None:
        """Somebody else's scope is compared by the names of its members."""
        builder = ConfigBuilder()

        builder.define_int("flow", "name", scope=scope)

        assert expected is builder.parameters["flow", "name"].scope

    @pytest.mark.parametrize(
        "scope", [BareScope.NONE, BareScope.OTHER, PlainScope.SOME, "LOCAL", None, 1]
    )
    def test_impossible_scope(self, scope: object) -> None:
        """A scope that names neither file is refused."""
        with pytest.raises(PluginError, match="not one of GLOBAL, LOCAL and ALL"):
            ConfigBuilder().define_int("flow", "name", scope=scope)


class TestLoadPlugins:
    def test_one_manager(self) -> None:
        """Every plugin is called with the same manager, which is returned."""
        managers: List[PluginManager] = []
        plugin = Plugin("p", "package", lambda: managers.append)

        manager = load_plugins([plugin, plugin])

        assert [manager, manager] == managers
        assert managers[0] is managers[1]
        assert [] == manager.failures

    def test_as_the_platforms_tools(self) -> None:
        """A plugin written for the SDK finds all that it uses."""

        def setup(manager: Any) -> None:
            manager.config.define_str("job", "ps-format")
            manager.config.define_str("job", "org-name", scope=SDKScope.LOCAL)
            manager.config.define_str_list("storage", "cp-exclude")
            manager.version_checker.register("tool", setup, delay=3600, exclusive=True)

        manager = load_plugins([Plugin("tool", "tool", lambda: setup)])

        assert [] == manager.failures
        assert KNOWN == manager.config.parameters

    def test_failures(self, caplog: pytest.LogCaptureFixture) -> None:
        """A plugin that fails is a warning, keeps what it registered, stops no other."""

        def halfway(manager: PluginManager) -> None:
            manager.config.define_int("half", "way")
            manager.config.define_int("job", "ps-format")

        def absent() -> Any:
            raise ImportError("No module\nnamed 'gone'")

        def good(manager: PluginManager) -> None:
            manager.config.define_int("good", "one")

        manager = load_plugins(
            [
                Plugin("a", "one", lambda: halfway),
                Plugin("b", "two", absent),
                Plugin("c", "three", lambda: "not callable"),
                Plugin("d", "four", lambda: good),
            ]
        )

        expected = [
            PluginFailure(
                "a",
                "one",
                "neuro_config._errors.PluginError: The parameter job.ps-format cannot "
                "be registered: it is known already as a string, not as an integer.",
            ),
            PluginFailure("b", "two", "ImportError: No module named 'gone'"),
            PluginFailure("c", "three", "TypeError: 'str' object is not callable"),
        ]
        assert expected == manager.failures
        added = manager.config.parameters.keys() - KNOWN.keys()
        assert {("half", "way"), ("good", "one")} == added
        warnings = [
            record.getMessage()
            for record in caplog.records
            if record.levelno == logging.WARNING
        ]
        assert [f"T{str(failure)[1:]}" for failure in expected] == warnings
        assert {"neuro_config"} == {record.name for record in caplog.records}

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_end_of_the_process(self, kind: Type[BaseException]) -> None:
        """What is about the process, and not about the plugin, passes."""

        def setup(manager: PluginManager) -> None:
            raise kind

        with pytest.raises(kind):
            load_plugins([Plugin("p", "package", lambda: setup)])

    def test_installed_by_default(self) -> None:
        """Without an argument the installed plugins are called, whatever they are."""
        assert KNOWN.items() <= load_plugins().config.parameters.items()


class TestFindPlugins:
    def test_groups(self, tmp_path: pathlib.Path) -> None:
        """Both groups are found, others are not, in the order of their names."""
        install(tmp_path, "one", "[neuro_api]\nz = one:z\n[apolo_api]\ny = one:y\n", "")
        install(tmp_path, "another", "[neuro_api]\nx = another\n[x]\nw = one:w\n", "")

        assert [("another", "x"), ("one", "y"), ("one", "z")] == found(tmp_path)

    def test_same_callable(self, tmp_path: pathlib.Path) -> None:
        """One callable that is in both groups, or found twice, is one plugin."""
        entries = "[neuro_api]\na = one:setup\n[apolo_api]\nb = one:setup\n"
        install(tmp_path, "one", entries, "")

        assert [("one", "a")] == found(tmp_path, tmp_path, tmp_path / "absent")

    def test_shadowed(self, tmp_path: pathlib.Path) -> None:
        """Of two versions of a package only the one that an import takes counts."""
        install(tmp_path / "new", "one", "[neuro_api]\na = one:new\n", "")
        install(tmp_path / "old", "one", "[neuro_api]\nb = one:old\n", "")

        assert [("one", "a")] == found(tmp_path / "new", tmp_path / "old")

    @pytest.mark.parametrize("metadata", [None, b"Version: 1.0\n", b"Name: \xff\n"])
    def test_nameless(self, tmp_path: pathlib.Path, metadata: Optional[bytes]) -> None:
        """A package whose name cannot be read still has its plugins."""
        install(tmp_path, "one", "[neuro_api]\na = one:setup\n", "")
        (tmp_path / "one-1.0.dist-info" / "METADATA").unlink()
        if metadata is not None:
            (tmp_path / "one-1.0.dist-info" / "METADATA").write_bytes(metadata)

        assert [("unknown", "a")] == found(tmp_path)

    def test_unreadable_list(self, tmp_path: pathlib.Path) -> None:
        """A package with an unreadable list of entry points is a failed plugin."""
        install(tmp_path, "one", "", "")
        install(tmp_path, "two", "[neuro_api]\na = two:setup\n", "")
        (tmp_path / "one-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff[")

        plugins = find_plugins([str(tmp_path)])

        names = [(plugin.package, plugin.name) for plugin in plugins]
        assert [("one", "entry_points.txt"), ("two", "a")] == names
        failures = load_plugins(plugins[:1]).failures
        assert ["one"] == [failure.package for failure in failures]
        assert "UnicodeDecodeError" in failures[0].error


class TestInstalled:
    """With packages laid out as installed, in a process of their own."""

    CODE = (
        "from neuro_config._user_config import load_user_config\n"
        "from neuro_config._errors import UserConfigError\n"
        "try:\n"
        "    print(dict(load_user_config({!r}, '/')['flow']))\n"
        "except UserConfigError as error:\n"
        "    print(error)\n"
    )

    @pytest.mark.parametrize("group", ["neuro_api", "apolo_api"])
    def test_accepted(self, tmp_path: pathlib.Path, group: str) -> None:
        """The keys of an installed plugin are accepted."""
        install(
            tmp_path,
            "flow-plugin",
            f"[{group}]\nflow = flow_plugin:setup\n",
            "def setup(manager):\n    manager.config.define_int('flow', 'tries')\n",
            "flow_plugin",
        )
        (tmp_path / "user.toml").write_text("flow.tries = 3")

        done = run(self.CODE.format(str(tmp_path / "user.toml")), tmp_path)

        assert ("{'tries': 3}\n", "") == (done.stdout, done.stderr)

    def test_broken(self, tmp_path: pathlib.Path) -> None:
        """A broken plugin is a warning, and named when a key is unknown."""
        install(
            tmp_path, "broken", "[neuro_api]\nflow = broken:setup\n", "import absent\n"
        )
        (tmp_path / "user.toml").write_text("flow.tries = 3")

        done = run(self.CODE.format(str(tmp_path / "user.toml")), tmp_path)

        failed = (
            "the plugin flow of the package broken failed to load: "
            "ModuleNotFoundError: No module named 'absent'"
        )
        assert f"T{failed[1:]}\n" == done.stderr
        assert "flow: is no known section. Known: alias, job, storage" in done.stdout
        assert f"; {failed}; it may be the one that defines this" in done.stdout
