"""Checking and merging of user.toml and the local file."""

from __future__ import annotations

import datetime
import pathlib
import tempfile
from typing import Any, Mapping, Optional

import attrs
import pytest
import tomli_w
from hypothesis import given, strategies as st

from neuro_config._errors import UserConfigError
from neuro_config._plugins import ConfigScope, Plugin, PluginManager, load_plugins
from neuro_config._user_config import MAX_DEPTH, load_user_config


def define(manager: PluginManager) -> None:
    config = manager.config
    config.define_int("flow", "int")
    config.define_bool("flow", "bool")
    config.define_float("flow", "float")
    config.define_str("flow", "str")
    config.define_int_list("flow", "ints")
    config.define_bool_list("flow", "bools")
    config.define_float_list("flow", "floats")
    config.define_str("flow", "home", scope=ConfigScope.GLOBAL)
    config.define_int("flow", "odd key")
    config.define_str("me", "mail", scope=ConfigScope.GLOBAL)


FLOW = load_plugins([Plugin("flow", "flow", lambda: define)])


@attrs.frozen
class Files:
    """A user.toml and a local file, both absent at first."""

    folder: pathlib.Path

    @property
    def user(self) -> pathlib.Path:
        return self.folder / "user.toml"

    @property
    def local(self) -> pathlib.Path:
        return self.folder / ".neuro.toml"

    def load(
        self, user: Optional[str] = None, local: Optional[str] = None
    ) -> Mapping[str, Any]:
        for path, text in [(self.user, user), (self.local, local)]:
            if text is not None:
                path.write_text(text, encoding="utf-8")
        return load_user_config(self.user, self.folder, FLOW)

    def fail(
        self, user: Optional[str] = None, local: Optional[str] = None
    ) -> UserConfigError:
        with pytest.raises(UserConfigError) as caught:
            self.load(user, local)
        return caught.value


@pytest.fixture
def files(tmp_path: pathlib.Path) -> Files:
    return Files(tmp_path)


class TestLoad:
    def test_nothing(self, files: Files) -> None:
        """Both files may be absent."""
        assert {} == files.load()
        assert {} == load_user_config(None, "/")

    def test_reference(self, files: Files) -> None:
        """All that is known without a plugin is accepted, with any kind of alias."""
        files.local.write_text(
            """
            [alias.lsl]
            cmd = "ls -l"
            args = [1, "two", {three = 3.5}]
            since = 2020-01-01
            deep.er = true
            [job]
            ps-format = "{id}"
            top-format = "{id}"
            life-span = "1d"
            cluster-name = "c"
            org-name = "o"
            project-name = "p"
            [storage]
            cp-exclude = ["*.pyc", ""]
            cp-exclude-from-files = []
            """
        )
        expected = {
            "alias": {
                "lsl": {
                    "cmd": "ls -l",
                    "args": (1, "two", {"three": 3.5}),
                    "since": datetime.date(2020, 1, 1),
                    "deep": {"er": True},
                }
            },
            "job": {
                "ps-format": "{id}",
                "top-format": "{id}",
                "life-span": "1d",
                "cluster-name": "c",
                "org-name": "o",
                "project-name": "p",
            },
            "storage": {"cp-exclude": ("*.pyc", ""), "cp-exclude-from-files": ()},
        }
        assert expected == load_user_config(None, files.folder, load_plugins([]))

    def test_current_directory_and_installed_plugins(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By default the search begins here, with the plugins that are installed."""
        (files.folder / "deep").mkdir()
        files.local.write_text("job.org-name = 'o'")
        monkeypatch.chdir(files.folder / "deep")

        assert {"job": {"org-name": "o"}} == load_user_config(str(files.user))

    def test_types_of_plugins(self, files: Files) -> None:
        """Every type has its values, and an integer where a number is wanted is one."""
        config = files.load(
            """
            [flow]
            int = 1
            bool = true
            float = 2
            str = ""
            ints = [1]
            bools = [true, false]
            floats = [1, 2.5, nan]
            home = "x"
            "odd key" = 1
            """
        )["flow"]

        assert (1, True, 2.0, "") == tuple(list(config.values())[:4])
        assert float is type(config["float"])
        assert float is type(config["floats"][0])
        assert ((1,), (True, False)) == (config["ints"], config["bools"])

    def test_read_only(self, files: Files) -> None:
        """The result cannot be changed at any depth."""
        config = files.load("[alias.x]\na = {b = [1, {}]}\n[job]\n")

        for table in [
            config,
            config["job"],
            config["alias"],
            config["alias"]["x"]["a"],
            config["alias"]["x"]["a"]["b"][1],
        ]:
            with pytest.raises(TypeError):
                table["new"] = 1
        assert (1, {}) == config["alias"]["x"]["a"]["b"]

    def test_one_local_file(self, files: Files) -> None:
        """Beside .apolo.toml a .neuro.toml is not even looked at."""
        (files.folder / ".apolo.toml").write_text("job.life-span = '1d'")

        config = files.load(local="broken")

        assert {"job": {"life-span": "1d"}} == config


class TestMerge:
    def test_local_wins(self, files: Files) -> None:
        """A key that both files have comes from the local one, others from either."""
        config = files.load(
            'job.ps-format = "user"\njob.life-span = "1d"\nstorage.cp-exclude = ["a"]',
            'job.ps-format = "local"\njob.org-name = "o"\nstorage.cp-exclude = ["b"]',
        )

        expected = {
            "job": {"ps-format": "local", "life-span": "1d", "org-name": "o"},
            "storage": {"cp-exclude": ("b",)},
        }
        assert expected == config

    def test_aliases(self, files: Files) -> None:
        """Aliases are merged key by key as well, at every depth."""
        config = files.load(
            "[alias]\na = {cmd = 'ls', help = 'h', o = {x = 1, y = 2}}\nb = {}",
            "[alias]\na = {cmd = 'cp', o = {x = 3}, help = {}}\nc = {}",
        )

        expected = {
            "a": {"cmd": "cp", "help": {}, "o": {"x": 3, "y": 2}},
            "b": {},
            "c": {},
        }
        assert {"alias": expected} == config


WRONG_VALUES = [
    ("job = 1", "job", "must be a table, not an integer."),
    ("[[job]]", "job", "must be a table, not a list."),
    ("alias = 'x'", "alias", "must be a table, not a string."),
    ("alias.x = 'y'", "alias.x", "must be a table, not a string."),
    ("alias.'a b' = 1.5", "alias.'a b'", "must be a table, not a number with"),
    ("flow.int = true", "flow.int", "must be an integer, not a boolean."),
    ("flow.int = 1.0", "flow.int", "must be an integer, not a number with"),
    ("flow.bool = 1", "flow.bool", "must be true or false, not an integer."),
    ("flow.float = true", "flow.float", "must be a number, not a boolean."),
    ("flow.float = 0x1" + "0" * 999, "flow.float", "is too large."),
    ("flow.str = 2020-01-01", "flow.str", "must be a string, not a date or time."),
    ("flow.str.a = 1", "flow.str", "must be a string, not a table."),
    ("flow.ints = 1", "flow.ints", "must be a list of integers, not an integer."),
    ("flow.ints = [1, '']", "flow.ints[1]", "must be an integer, not a string."),
    (
        "storage.cp-exclude = ['', 1]",
        "storage.cp-exclude[1]",
        "must be a string, not an integer.",
    ),
    ("flow.'odd key' = ''", "flow.'odd key'", "must be an integer, not a string."),
    (
        "storge.x = 1",
        "storge",
        "is no known section; did you mean storage? Known: alias, flow, job, ",
    ),
    ("x = 1", "x", "is no known section. Known: alias, flow, job, "),
    (
        "storage.cp-exlude = []",
        "storage.cp-exlude",
        "is no known key; did you mean cp-exclude? "
        "Known: cp-exclude, cp-exclude-from-files.",
    ),
    ('storage."" = 1', "storage.''", "is no known key."),
    ('"\\u001b\\n" = 1', "'\\x1b\\n'", "is no known section."),
    (f"{'k' * 500} = 1", repr("k" * 60 + "..."), "is no known section."),
    (
        "alias.x" + ".y" * (MAX_DEPTH + 1) + " = 1",
        "alias.x",
        "is nested too deeply.",
    ),
    (
        "alias.x.y = " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "alias.x",
        "is nested too deeply.",
    ),
]


class TestWrong:
    @pytest.mark.parametrize("where", ["user", "local"])
    @pytest.mark.parametrize(("text", "key", "reason"), WRONG_VALUES)
    def test_values(
        self, files: Files, where: str, text: str, key: str, reason: str
    ) -> None:
        """What is wrong in either file is named with the file and the key."""
        error = files.fail(**{where: text})

        assert str(getattr(files, where)) == error.path
        assert key == error.key
        assert error.reason.startswith(reason)
        assert len(error.reason) < 200

    @pytest.mark.parametrize("name", ["cluster-name", "org-name", "project-name"])
    def test_only_local(self, files: Files, name: str) -> None:
        """A choice of cluster, org or project in user.toml is told to move."""
        error = files.fail(user=f"job.{name} = 'x'")

        assert (str(files.user), f"job.{name}") == (error.path, error.key)
        assert "Move it into the local file .neuro.toml" in str(error)

    def test_only_global(self, files: Files) -> None:
        """A key that is only for user.toml is told to move there."""
        error = files.fail(local="flow.home = 'x'")

        assert (str(files.local), "flow.home") == (error.path, error.key)
        assert "Move it into user.toml." in str(error)

    @pytest.mark.parametrize(
        ("where", "text", "expected"),
        [
            (
                "user",
                "job.org-nam = 'x'",
                "is no known key. Known: life-span, ps-format, top-format.",
            ),
            (
                "local",
                "job.org-nam = 'x'",
                "is no known key; did you mean org-name? Known: cluster-name, "
                "life-span, org-name, project-name, ps-format, top-format.",
            ),
            (
                "user",
                "flow.hom = 'x'",
                "is no known key; did you mean home? Known: bool, bools, float, floats, home, "
                "int, ints, odd key, str.",
            ),
            (
                "local",
                "flow.hom = 'x'",
                "is no known key. Known: bool, bools, float, floats, int, ints, odd key, str.",
            ),
            ("local", "me.mial = 'x'", "is no known key. Known: none."),
            (
                "user",
                "mee.mail = 'x'",
                "is no known section; did you mean me? "
                "Known: alias, flow, job, me, storage.",
            ),
            (
                "local",
                "mee.mail = 'x'",
                "is no known section. Known: alias, flow, job, storage.",
            ),
        ],
    )
    def test_known_here(
        self, files: Files, where: str, text: str, expected: str
    ) -> None:
        """What is listed and suggested for an unknown name may stand in that file."""
        assert expected == files.fail(**{where: text}).reason

    def test_empty_name(self, files: Files) -> None:
        """The names in the local file must be names."""
        error = files.fail(local="job.cluster-name = ''")

        assert "job.cluster-name" == error.key

    def test_wrong_files(self, files: Files) -> None:
        """A file that is no TOML or no file is named, whichever it is."""
        assert str(files.local) == files.fail(user="", local="[").path
        assert "(at line 2, column 1)" in str(files.fail(user="\n?"))
        files.user.unlink()
        files.user.mkdir()
        assert f"{files.user}: is a folder" in str(files.fail())

    def test_failed_plugin(self, files: Files) -> None:
        """A plugin that failed is named as what may have defined an unknown key."""

        def setup(manager: PluginManager) -> None:
            raise ValueError("no")

        plugins = load_plugins([Plugin("p", "package", lambda: setup)])
        files.user.write_text("job.tries = 1")

        with pytest.raises(UserConfigError) as caught:
            load_user_config(files.user, files.folder, plugins)

        expected = (
            "; the plugin p of the package package failed to load: ValueError: no; it "
            "may be the one that defines this key."
        )
        assert str(caught.value).endswith(expected)


names = st.one_of(
    st.sampled_from(["alias", "job", "storage", "flow", "ps-format", "cp-exclude"]),
    st.sampled_from(["org-name", "int", "bool", "floats", "str"]),
    st.text(max_size=5),
)
values = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=5),
        st.dates(),
        st.datetimes(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=8,
)
tables = st.dictionaries(names, st.one_of(values, st.dictionaries(names, values)))
aliases = st.fixed_dictionaries(
    {"alias": st.dictionaries(names, st.dictionaries(names, values, max_size=3))}
)


def with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: with_tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(map(with_tuples, value))
    return value


class TestAnything:
    @given(tables, tables)
    def test_any_tables(
        self, user: Mapping[str, Any], local: Mapping[str, Any]
    ) -> None:
        """Any two tables give a mapping or one typed error."""
        with tempfile.TemporaryDirectory() as folder:
            files = Files(pathlib.Path(folder))
            try:
                config = files.load(tomli_w.dumps(user), tomli_w.dumps(local))
            except UserConfigError as error:
                assert error.path in (  # noqa: PT017 (either outcome is right)
                    str(files.user),
                    str(files.local),
                )
            else:
                assert {*user, *local} == {*config}

    @given(aliases)
    def test_any_aliases(self, table: Mapping[str, Any]) -> None:
        """Any alias is taken over as it is, with tuples for lists."""
        with tempfile.TemporaryDirectory() as folder:
            config = Files(pathlib.Path(folder)).load(tomli_w.dumps(table))

        assert with_tuples(table) == config

    @given(st.binary())
    def test_any_bytes(self, data: bytes) -> None:
        """Any bytes in user.toml give a mapping or one typed error."""
        with tempfile.TemporaryDirectory() as folder:
            files = Files(pathlib.Path(folder))
            files.user.write_bytes(data)
            try:
                files.load()
            except UserConfigError as error:
                assert str(files.user) == error.path  # noqa: PT017 (as above)
