"""Single settings: where each comes from, and how one is changed."""

from __future__ import annotations

import datetime
import json
import pathlib
import stat
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, Sequence, Tuple

import attrs
import pytest
import tomli
from cli import Result, environment, run as run_command
from click.shell_completion import ShellComplete
from hypothesis import given, strategies as st
from samples import identity

from neuro_config import ConfigStore
from neuro_config._change_setting import parse_key, set_setting, unset_setting
from neuro_config._cli import main
from neuro_config._errors import UnsafePathError, UserConfigError
from neuro_config._plugins import ConfigScope, Plugin, PluginManager, load_plugins
from neuro_config._settings import Setting, as_json, settings_in
from neuro_config._user_config import checked_files


def define(manager: PluginManager) -> None:
    config = manager.config
    config.define_int("flow", "int")
    config.define_bool("flow", "bool")
    config.define_float("flow", "float")
    config.define_str("flow", "str")
    config.define_int_list("flow", "ints")
    config.define_bool_list("flow", "bools")
    config.define_float_list("flow", "floats")
    config.define_str_list("flow", "strs")
    config.define_str("flow", "home", scope=ConfigScope.GLOBAL)
    config.define_int("flow", "odd key")


FLOW = load_plugins([Plugin("flow", "flow", lambda: define)])


@attrs.frozen
class File:
    """A file of settings."""

    path: pathlib.Path
    scope: ConfigScope = ConfigScope.GLOBAL

    def set(self, key: str, *values: str) -> bool:
        names = parse_key(key, str(self.path))
        return set_setting(str(self.path), self.scope, names, values, FLOW)

    def unset(self, key: str) -> bool:
        names = parse_key(key, str(self.path))
        return unset_setting(str(self.path), self.scope, names, FLOW)

    def fail(self, key: str, *values: str) -> UserConfigError:
        """Set something that is refused; the file stays as it is, or is not made."""
        before = self.path.read_bytes() if self.path.exists() else None
        with pytest.raises(UserConfigError) as caught:
            self.set(key, *values)
        assert before == (self.path.read_bytes() if self.path.exists() else None)
        assert str(self.path) == caught.value.path
        return caught.value

    def write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")

    @property
    def text(self) -> str:
        return self.path.read_bytes().decode()

    @property
    def table(self) -> Dict[str, Any]:
        return tomli.loads(self.text)


@pytest.fixture
def file(tmp_path: pathlib.Path) -> File:
    return File(tmp_path / "user.toml")


class TestOrigins:
    def test_each_key_has_its_file(self, tmp_path: pathlib.Path) -> None:
        """A key has the file that wins it, an alias key by key."""
        user, local = tmp_path / "user.toml", tmp_path / ".neuro.toml"
        user.write_text(
            'job.life-span = "1d"\njob.ps-format = "p"\n'
            "[alias.a]\ncmd = 'ls'\nhelp = 'h'\n[alias.b]"
        )
        local.write_text("job.life-span = '4h'\nalias.a.cmd = 'cp'\nflow.float = 2")

        found = settings_in(checked_files(user, tmp_path, FLOW))

        assert [
            Setting(("job", "life-span"), "4h", str(local)),
            Setting(("job", "ps-format"), "p", str(user)),
            Setting(("alias", "a", "cmd"), "cp", str(local)),
            Setting(("alias", "a", "help"), "h", str(user)),
            Setting(("flow", "float"), 2.0, str(local)),
        ] == found

    def test_nothing(self, tmp_path: pathlib.Path) -> None:
        """Without a file there is no setting."""
        assert [] == settings_in(checked_files(None, tmp_path, FLOW))

    def test_json(self) -> None:
        """What JSON lacks is a text; the rest is as it is."""
        table = {
            "day": datetime.date(2020, 1, 2),
            "at": datetime.datetime(2020, 1, 2, 3, 4),
            "time": datetime.time(3, 4),
            "nan": float("nan"),
            "list": (1, float("-inf"), {"x": 1.5}),
            "true": True,
        }
        expected = {
            "day": "2020-01-02",
            "at": "2020-01-02T03:04:00",
            "time": "03:04:00",
            "nan": "nan",
            "list": [1, "-inf", {"x": 1.5}],
            "true": True,
        }
        assert expected == as_json(table)
        json.dumps(as_json(table), allow_nan=False)


class TestKeys:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("job.life-span", ("job", "life-span")),
            ("alias", ("alias",)),
            ("flow.'odd key'", ("flow", "odd key")),
            ('alias."a.b".cmd', ("alias", "a.b", "cmd")),
            (r'alias."\"\u00e9".x', ("alias", '"é', "x")),
        ],
    )
    def test_right(self, text: str, expected: Tuple[str, ...]) -> None:
        """A key is written as in a TOML file."""
        assert expected == parse_key(text, "user.toml")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ".",
            "job.",
            "job..x",
            "job life",
            "job.x = 1 #",
            "job.x\nflow",
            "[job]",
            "'a",
            r'"\q"',
            "'\udcff'.x",
            "a" + ".a" * 34,
        ],
    )
    def test_wrong(self, text: str) -> None:
        """Anything else is an error that shows what was given."""
        with pytest.raises(UserConfigError, match="is no key. Write it as") as caught:
            parse_key(text, "user.toml")
        assert ("user.toml", repr(text[:60])) == (caught.value.path, caught.value.key)


RIGHT: List[Tuple[str, Sequence[str], Any]] = [
    ("flow.int", ["-5"], -5),
    ("flow.bool", ["true"], True),
    ("flow.bool", ["false"], False),
    ("flow.float", ["2"], 2.0),
    ("flow.float", ["inf"], float("inf")),
    ("flow.str", [""], ""),
    ("flow.str", ['a"b\\\n\x00é\x7f'], 'a"b\\\n\x00é\x7f'),
    ("flow.str", ["true"], "true"),
    ("flow.ints", [], []),
    ("flow.ints", ["1", "2"], [1, 2]),
    ("flow.bools", ["true", "false"], [True, False]),
    ("flow.floats", ["1", "2.5"], [1.0, 2.5]),
    ("flow.strs", ["*.tmp"], ["*.tmp"]),
    ("flow.'odd key'", ["1"], 1),
    ("job.life-span", ["1d"], "1d"),
    ("storage.cp-exclude", ["a", "b c"], ["a", "b c"]),
    ("alias.x.cmd", ["ls -l"], "ls -l"),
    ("alias.x.cmd", ["1"], "1"),
    ("alias.x.options", ["-a", "-b"], ["-a", "-b"]),
    ("alias.'a b'.deep.er", ["x"], "x"),
]

WRONG: List[Tuple[str, Sequence[str], str, str]] = [
    ("flow.int", ["x"], "flow.int", "must be an integer."),
    ("flow.int", ["1.5"], "flow.int", "must be an integer."),
    ("flow.int", [], "flow.int", "must be an integer: one value, not 0."),
    ("flow.int", ["1", "2"], "flow.int", "must be an integer: one value, not 2."),
    ("flow.bool", ["yes"], "flow.bool", "must be true or false."),
    ("flow.float", ["x"], "flow.float", "must be a number."),
    ("flow.ints", ["1", "x"], "flow.ints[1]", "must be an integer."),
    ("flow.str", ["\udcff"], "flow.str", "must be text in UTF-8."),
    ("alias.x.y", ["\udcff"], "alias.x.y", "must be text in UTF-8."),
    ("flow.itn", ["1"], "flow.itn", "is no known key; did you mean int? Known: bool"),
    ("flwo.int", ["1"], "flwo", "is no known section; did you mean flow? Known: alias"),
    ("job", ["1"], "job", "must be a table, not a string."),
    ("alias.x", ["1"], "alias.x", "must be a table, not a string."),
    ("job.life-span.x", ["1"], "job.life-span", "must be a string, not a table."),
    ("job.org-name", ["x"], "job.org-name", "is a setting of one project. Move it"),
]


class TestSet:
    @pytest.mark.parametrize(("key", "values", "expected"), RIGHT)
    def test_values(
        self, file: File, key: str, values: Sequence[str], expected: Any
    ) -> None:
        """A value is read as the key's type, and read back as what was meant."""
        assert file.set(key, *values)
        found: Any = file.table
        for name in parse_key(key, ""):
            found = found[name]
        assert (expected, type(expected)) == (found, type(found))
        assert 0o600 == stat.S_IMODE(file.path.stat().st_mode)

    @pytest.mark.parametrize(("key", "values", "expected"), RIGHT)
    def test_again(
        self, file: File, key: str, values: Sequence[str], expected: Any
    ) -> None:
        """To set what is set already changes nothing."""
        file.set(key, *values)
        before = identity(file.path)
        assert not file.set(key, *values)
        assert before == identity(file.path)

    def test_nan(self, file: File) -> None:
        """NaN, which is not equal to itself, can be set, once."""
        assert file.set("flow.float", "nan")
        assert "[flow]\nfloat = nan\n" == file.text
        assert not file.set("flow.float", "nan")

    @pytest.mark.parametrize(("key", "values", "name", "reason"), WRONG)
    def test_wrong(
        self, file: File, key: str, values: Sequence[str], name: str, reason: str
    ) -> None:
        """What is not right is an error that names the key, and nothing is written."""
        error = file.fail(key, *values)
        assert name == error.key
        assert error.reason.startswith(reason)

    def test_a_wrong_file(self, file: File) -> None:
        """Into a file that is wrong elsewhere nothing is written."""
        file.write("[flow]\nint = 'x'\n")
        assert "flow.int" == file.fail("flow.str", "x").key
        file.write("[flow\n")
        assert "is not TOML" in file.fail("flow.str", "x").reason
        file.path.write_bytes(b"a = '\xff'")
        assert "is not UTF-8" in file.fail("flow.str", "x").reason

    def test_a_wrong_value_is_mended(self, file: File) -> None:
        """Setting a key anew mends a wrong value."""
        file.write("[flow]\nint = 'x' # why\n")
        assert file.set("flow.int", "1")
        assert "[flow]\nint = 1 # why\n" == file.text

    def test_in_what_is_no_table(self, file: File) -> None:
        """A value that stands where a table must be is not thrown away."""
        file.write("[alias.x]\ncmd = 'ls'\n")
        error = file.fail("alias.x.cmd.y", "1")
        assert "is no table, so nothing can be set in it" in error.reason
        assert "alias.x.cmd" == error.key

    @pytest.mark.parametrize(
        "text",
        [
            "[1, # one\n 2]",
            "[\n # none\n]",
            "['''#''', # one\n]",
            '["""\\""""", # one\n]',
            '["a\\"", # "\n]',
        ],
    )
    def test_comments_in_a_list(self, file: File, text: str) -> None:
        """A list with comments in it is refused: they would get lost."""
        file.write(f"[alias.x]\nlist = {text}\n")
        error = file.fail("alias.x.list", "1", "2")
        assert "holds comments, which would get lost" in error.reason
        assert "alias.x.list" == error.key
        assert file.unset("alias.x.list")

    @pytest.mark.parametrize(
        "text",
        ["['#', \"#\"] # why", '[\'\'\'\n#\'\'\', """#""""] # why', "[\n1,\n] # why"],
    )
    def test_no_comments_in_a_list(self, file: File, text: str) -> None:
        """A number sign in a text is no comment, and one behind the list stays."""
        file.write(f"[alias.x]\nlist = {text}\n")
        assert file.set("alias.x.list", "1", "2")
        assert '[alias.x]\nlist = ["1", "2"] # why\n' == file.text

    @pytest.mark.parametrize(
        ("key", "value"),
        [("flow.int", "2"), ("flow.str", "a\nb"), ("job.life-span", "1d")],
    )
    def test_line_ends(self, file: File, key: str, value: str) -> None:
        """In a file whose line ends are all CRLF, so are the new ones."""
        file.path.write_bytes(b"# mine\r\n[flow]\r\nint = 1 # one\r\n")
        assert file.set(key, value)
        assert file.text.count("\n") == file.text.count("\r\n") > 2
        section, name = key.split(".")
        assert value == str(file.table[section][name])
        assert file.unset(key)
        assert file.text.count("\n") == file.text.count("\r\n")

    def test_mixed_line_ends(self, file: File) -> None:
        """In a file of both kinds, each line end stays as it is."""
        file.path.write_bytes(b"# mine\r\n# too\n[flow]\r\nint = 1\n")
        assert file.set("flow.int", "2")
        assert "# mine\r\n# too\n[flow]\r\nint = 2\n" == file.text

    def test_local_only(self, tmp_path: pathlib.Path) -> None:
        """The local file takes the keys of one project, and checks their names."""
        file = File(tmp_path / ".neuro.toml", ConfigScope.LOCAL)
        assert file.set("job.org-name", "acme")
        assert {"job": {"org-name": "acme"}} == file.table
        assert "job.org-name" == file.fail("job.org-name", "").key
        assert "flow.home" == file.fail("flow.home", "x").key

    def test_comments_and_layout(self, file: File) -> None:
        """All that was not meant stays, to the letter."""
        file.write(
            "# mine\n\n[flow]   # the flow\nint=1  # one\nstr = 'a' # two\n"
            "ints = [\n  1, # first\n]\n\n# about\n[job]\nlife-span = '''1d'''\n# end\n"
        )
        before = file.text
        assert file.set("flow.int", "2")
        assert before.replace("int=1", "int=2") == file.text
        assert file.set("job.ps-format", "x")
        assert before.replace("int=1", "int=2") in file.text.replace(
            'ps-format = "x"\n', ""
        )

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n",
            "# only a comment",
            "flow = {int = 1}",
            "flow = {}\njob = {life-span = '1d'}",
            "flow.int = 1\nflow.float = 2.0",
            "[flow]\nint = 1\n[job]\nlife-span = 'x'\n[alias.x]\ncmd = 'y'",
            "[alias.y.z]\na = 1\n[flow]\n[alias.x]\ncmd = 'y'\n",
            "[flow]\r\nint = 1\r\n\r\n[job]\r\nlife-span = 'x'\r\n",
            "alias.y = {}\n[alias.x]\ncmd = 'z'",
            "alias = {x = {}}",
            "[alias.x.deep]\n[alias.x]\ncmd = 'y'\n",
        ],
    )
    @pytest.mark.parametrize(
        ("key", "value"),
        [("flow.int", "7"), ("job.life-span", "9"), ("alias.x.cmd", "ls")],
    )
    def test_any_layout(self, file: File, text: str, key: str, value: str) -> None:
        """In whatever way a file is written, one key changes and no other."""
        file.write(text)
        expected = file.table
        section, *names = key.split(".")
        inner = expected.setdefault(section, {})
        for name in names[:-1]:
            inner = inner.setdefault(name, {})
        inner[names[-1]] = 7 if value == "7" else value
        assert file.set(key, value)
        assert expected == file.table
        assert not file.set(key, value)

    def test_what_the_writer_cannot_do(
        self, file: File, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the new text would say something else, nothing is written."""
        import tomlkit

        file.write("[flow]\nint = 1\n")
        for wrong in ("[flow]\nint = 3\n", "[flow\n"):
            monkeypatch.setattr(tomlkit, "dumps", lambda document, text=wrong: text)
            reason = file.fail("flow.int", "2").reason
            assert "cannot be changed without harm" in reason

        def fail(text: str) -> None:
            raise RuntimeError

        monkeypatch.setattr(tomlkit, "parse", fail)
        assert "cannot be changed without harm" in file.fail("flow.int", "2").reason

    def test_a_deep_file(self, file: File) -> None:
        """A file that is nested beyond all measure is one typed error."""
        file.write("alias.x" + ".y" * 32 + " = 1\n")
        assert file.set("flow.int", "1")
        file.write("alias.x" + ".y" * 33 + " = 1\n")
        assert "is nested too deeply." == file.fail("flow.int", "1").reason
        with pytest.raises(UserConfigError, match="is nested too deeply") as caught:
            file.unset("flow.int")
        assert None is caught.value.key

    def test_a_link(self, file: File, tmp_path: pathlib.Path) -> None:
        """A user.toml that is a link stays one, and what it leads to keeps its mode."""
        target = tmp_path / "dotfiles.toml"
        target.write_text("# mine\n")
        target.chmod(0o644)
        file.path.symlink_to("dotfiles.toml")
        assert file.set("flow.int", "1")
        assert file.path.is_symlink()
        assert "# mine\n" in target.read_text()
        assert 0o644 == stat.S_IMODE(target.stat().st_mode)

    @given(st.text(), st.lists(st.text()))
    def test_any_text(self, word: str, words: List[str]) -> None:
        """Any text can be set, and is read back."""
        with tempfile.TemporaryDirectory() as folder:
            file = File(pathlib.Path(folder) / "user.toml")
            file.set("flow.str", word)
            file.set("flow.strs", *words)
            assert {"str": word, "strs": words} == file.table["flow"]


class TestUnset:
    def test_one_key(self, file: File) -> None:
        """The key is removed, and all else stays to the letter."""
        file.write("# mine\n[flow] # the flow\nint = 1\nstr = 'x' # s\n\n[job]\n")
        assert file.unset("flow.int")
        assert "# mine\n[flow] # the flow\nstr = 'x' # s\n\n[job]\n" == file.text

    @pytest.mark.parametrize(
        "text",
        [
            "[flow]\nint = 1\nstr = 'x'\n[alias.x]\ncmd = 'y'\nhelp = 'z'\n",
            "flow = {int = 1, str = 'x'}\nalias = {x = {cmd = 'y', help = 'z'}}",
            "flow.int = 1\nflow.str = 'x'\nalias.x.cmd = 'y'\nalias.x.help = 'z'",
            "[alias.x]\ncmd = 'y'\nhelp = 'z'\n[flow]\nint = 1\nstr = 'x'\n[alias.y]\n",
        ],
    )
    def test_any_layout(self, file: File, text: str) -> None:
        """In whatever way a file is written, one key goes and no other."""
        file.write(text)
        expected = file.table
        del expected["flow"]["int"], expected["alias"]["x"]["cmd"]
        assert file.unset("flow.int")
        assert file.unset("alias.x.cmd")
        assert expected == file.table

    def test_a_section(self, file: File) -> None:
        """A whole section can be removed, an alias too."""
        file.write("[flow]\nint = 1\n[alias.x]\ncmd = 'y'\n[alias.z]\ncmd = 'y'\n")
        assert file.unset("flow")
        assert file.unset("alias.x")
        assert {"alias": {"z": {"cmd": "y"}}} == file.table
        assert file.text.endswith("\n")

    @pytest.mark.parametrize(
        "key",
        ["flow.int", "flow.ints", "flow", "alias", "alias.x", "alias.x.y", "job"],
    )
    def test_what_is_not_there(self, file: File, key: str) -> None:
        """To remove what is known and not set is no error, and makes no file."""
        assert not file.unset(key)
        assert not file.path.exists()

    @pytest.mark.parametrize(
        ("key", "name"),
        [("flow.itn", "flow.itn"), ("flwo", "flwo"), ("job.org-name", "job.org-name")],
    )
    def test_what_is_not_known(self, file: File, key: str, name: str) -> None:
        """What is neither there nor known is the same error as for setting it."""
        with pytest.raises(UserConfigError) as caught:
            file.unset(key)
        assert name == caught.value.key

    def test_what_is_wrong(self, file: File) -> None:
        """An unknown key can be removed, in a file with other faults, too."""
        file.write("[flow]\nitn = 1\nint = 'x'\n[none]\n")
        assert file.unset("flow.itn")
        assert file.unset("none")
        assert {"flow": {"int": "x"}} == file.table


# ------------------------------------------------------------------ the command


def run(*arguments: str) -> Result:
    return run_command("user-config", *arguments)


@attrs.frozen
class Here:
    """A directory of the store and a project in the current one."""

    user: pathlib.Path
    local: pathlib.Path


@pytest.fixture
def here(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setenv("NEUROMATION_CONFIG", str(folder))
    return Here(folder / "user.toml", pathlib.Path.cwd() / ".neuro.toml")


class TestCommand:
    def test_show(self, here: Here) -> None:
        """Each setting is shown with its value and its file."""
        assert 0 == run("set", "job.life-span", "1d").code
        here.local.write_text("storage.cp-exclude = ['*.tmp']")
        result = run()
        assert 0 == result.code
        shown = [line.split() for line in result.out.splitlines()]
        assert ["job.life-span", '"1d"', str(here.user)] in shown
        assert ["storage.cp-exclude", '["*.tmp"]', str(here.local)] in shown

    def test_show_nothing(self, here: Here) -> None:
        """Without a setting a sentence says so."""
        assert "No setting is set.\n" == run().out

    def test_show_as_json(self, here: Here) -> None:
        """Programs get the merged settings, and the file of each key."""
        run("set", "job.life-span", "1d")
        here.local.write_text("job.org-name = 'acme'\nalias.x.on = 2020-01-02")
        assert {
            "settings": {
                "job": {"life-span": "1d", "org-name": "acme"},
                "alias": {"x": {"on": "2020-01-02"}},
            },
            "origins": {
                "job.life-span": str(here.user),
                "job.org-name": str(here.local),
                "alias.x.on": str(here.local),
            },
        } == json.loads(run("--json").out)

    def test_set_and_unset(self, here: Here) -> None:
        """A key is set, found set, removed, and found removed."""
        expected = [
            f"job.life-span is set in {here.user}.\n",
            f"{here.user} says so already.\n",
            f"job.life-span is removed from {here.user}.\n",
            f"job.life-span is not set in {here.user}.\n",
        ]
        printed = [
            run(*arguments).out
            for arguments in (
                ("set", "job.life-span", "1d"),
                ("set", "job.life-span", "1d"),
                ("unset", "job.life-span"),
                ("unset", "job.life-span"),
            )
        ]
        assert expected == printed

    def test_as_json(self, here: Here) -> None:
        """Programs are told the key, the file, and whether it was changed."""
        expected = {"key": "job.life-span", "path": str(here.user), "changed": True}
        for arguments in (
            ("set", "--json", "job.life-span", "1d"),
            ("unset", "--json", "job.life-span"),
        ):
            assert expected == json.loads(run(*arguments).out)

    def test_local(self, here: Here) -> None:
        """--local changes the nearest local file, and makes none."""
        result = run("set", "--local", "job.org-name", "acme")
        assert 11 == result.code
        assert "Create one in the root folder of your project." in result.err
        here.local.write_text("# mine\n")
        assert 0 == run("set", "--local", "job.org-name", "acme").code
        assert '# mine\n\n[job]\norg-name = "acme"\n' == here.local.read_text()
        assert 0 == run("unset", "--local", "job.org-name").code
        assert "# mine\n\n[job]\n" == here.local.read_text()
        assert not here.user.exists()

    @pytest.mark.parametrize("text", ["job.life-span = '4h'", ""])
    def test_what_is_overridden(self, here: Here, text: str) -> None:
        """Who sets what the local file sets as well is told so."""
        here.local.write_text(text)
        result = run("set", "job.life-span", "1d")
        assert 0 == result.code
        expected = f"{here.local} sets job.life-span, too, and wins here.\n"
        assert (expected if text else "") == result.err

    def test_a_wrong_local_file(self, here: Here) -> None:
        """A fault in the other file does not keep one from setting something."""
        here.local.write_text("[")
        assert 0 == run("set", "job.life-span", "1d").code
        assert 11 == run().code

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["set", "job.lif-span", "1d"], "did you mean life-span?"),
            (["set", "job.life-span", "1d", "2d"], "one value, not 2"),
            (["unset", "job.lif-span"], "did you mean life-span?"),
            (["set", "job life", "1d"], "is no key"),
        ],
    )
    def test_errors(self, here: Here, arguments: List[str], words: str) -> None:
        """A mistake is one line on the standard error, and exit code 11."""
        result = run(*arguments)
        assert 11 == result.code
        assert words in result.err
        assert "" == result.out
        assert not here.user.parent.exists()

    @pytest.mark.parametrize("key", ["job.life-span", "job.lif-span"])
    def test_a_missing_value(self, here: Here, key: str) -> None:
        """Where a value has to be, none is a usage error; a list and an alias take none."""
        result = run("set", key)
        assert 2 == result.code
        assert "Missing argument 'VALUE'." in result.err
        for takes_none in ("storage.cp-exclude", "alias.x.y"):
            assert 0 == run("set", takes_none).code

    def test_an_unsafe_directory(self, here: Here) -> None:
        """Nothing is written into a directory that others can write, and nothing read."""
        here.user.parent.mkdir()
        here.user.write_text("[alias.x]\ncmd = 'rm'\n")
        here.user.parent.chmod(0o777)
        assert 9 == run("set", "job.life-span", "1d").code
        result = run()
        assert (9, "") == (result.code, result.out)
        assert "can be written by others" in result.err
        with pytest.raises(UnsafePathError):
            ConfigStore().get_user_config()
        here.local.write_text("")
        assert 0 == run("set", "--local", "job.life-span", "1d").code
        assert "[alias.x]\ncmd = 'rm'\n" == here.user.read_text()

    def test_a_file_that_others_may_read(
        self, here: Here, tmp_path: pathlib.Path
    ) -> None:
        """In a directory of one's own, user.toml may be a link, and readable by others."""
        (tmp_path / "dotfiles.toml").write_text("job.life-span = '1d'")
        (tmp_path / "dotfiles.toml").chmod(0o644)
        here.user.parent.mkdir(mode=0o755)
        here.user.symlink_to(tmp_path / "dotfiles.toml")
        assert "1d" == ConfigStore().get_user_config()["job"]["life-span"]

    def test_a_read_only_file(self, here: Here) -> None:
        """A read-only user.toml stays, and one is told how to change it."""
        run("set", "job.life-span", "1d")
        here.user.chmod(0o444)
        result = run("set", "job.life-span", "2d")
        assert 9 == result.code
        assert f"chmod u+w {here.user}" in result.err

    def test_path(self, here: Here, tmp_path: pathlib.Path) -> None:
        """--path chooses the directory, before and after the name of the command."""
        other = str(tmp_path / "other")
        assert 0 == run("set", "--path", other, "job.life-span", "1d").code
        assert "1d" in run("--path", other).out
        assert not here.user.exists()

    @pytest.mark.parametrize(
        ("incomplete", "expected"),
        [
            ("job.l", ["job.life-span"]),
            ("storage.cp-exclude-", ["storage.cp-exclude-from-files"]),
            ("x", []),
        ],
    )
    def test_completion(self, here: Here, incomplete: str, expected: List[str]) -> None:
        """The names of keys complete."""
        assert expected == complete(incomplete)

    def test_completion_of_what_can_be_set(self, here: Here) -> None:
        """Keys of one project are offered with --local only, and all in order."""
        assert complete("job.") == ["job.life-span", "job.ps-format", "job.top-format"]
        found = complete("job.", "set", "--local")
        assert {"job.cluster-name", "job.life-span"} < set(found)
        assert sorted(found) == found

    def test_completion_of_what_is_set(self, here: Here) -> None:
        """What can be removed is what is set, in order, in that file, if a shell takes it."""
        assert [] == complete("", "unset")
        run("set", "job.life-span", "1d")
        run("set", "alias.b.cmd", "x")
        run("set", "alias.'$(id)'.cmd", "x")
        here.local.write_text("job.org-name = 'acme'\nnone.x = 1\n")
        assert ["alias.b.cmd", "job.life-span"] == complete("", "unset")
        assert ["job.org-name", "none.x"] == complete("", "unset", "--local")

    def test_completion_never_fails(
        self, here: Here, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever presses a key gets no error."""

        def fail() -> None:
            raise RuntimeError

        monkeypatch.setattr("neuro_config._plugins.load_plugins", fail)
        assert [] == complete("job")

    def test_process(self, here: Here) -> None:
        """As a process it does the same, and loads no HTTP library."""
        code = "import sys\nfrom neuro_config.__main__ import main\ntry:\n    main()\nfinally:\n    print('requests' in sys.modules, file=sys.stderr)"
        values = ["storage.cp-exclude", "--", "-x", "y"]
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, "user-config", "set", *values],
            capture_output=True,
            text=True,
            env=environment(),
        )
        assert (0, "False\n") == (done.returncode, done.stderr)
        assert '[storage]\ncp-exclude = ["-x", "y"]\n' == here.user.read_text()


def complete(incomplete: str, *words: str) -> List[str]:
    completer = ShellComplete(main, {}, "neuro-config", "_NEURO_CONFIG_COMPLETE")
    found = completer.get_completions(["user-config", *(words or ["set"])], incomplete)
    return [item.value for item in found]
