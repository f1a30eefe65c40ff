"""docs/reference/command-line.md: what it documents is what there is."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Set

import click
import pytest
from cli import ROOT, make_tool_login, ok, run

from neuro_config import ConfigStore
from neuro_config._cli import COMMANDS, main
from neuro_config._cli._exit_codes import EXIT_CODES, ExitCode
from neuro_config._cli._options import Settings, options
from neuro_config.testing import Platform

PAGE = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")

# Mappings whose keys are names and not part of the form.
BY_NAME = {"nvidia_migs": True, "origins": True, "settings": False}


def sections() -> Dict[str, str]:
    """Return the page's part for each command."""
    parts = re.split(r"^### `neuro-config ([\w-]+)`$", PAGE, flags=re.MULTILINE)
    last = parts[-1].split("\n## ")[0]
    return dict(zip(parts[1::2], [*parts[2:-1:2], last]))


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Return the path of each value in JSON that is no mapping and no list."""
    name = path.rpartition(".")[2]
    if isinstance(value, dict) and BY_NAME.get(name, True):
        yield from (
            each
            for key, one in value.items()
            for each in paths(one, f"{path}.{'NAME' if name in BY_NAME else key}")
        )
    elif isinstance(value, list) and not path.endswith("]"):
        for one in value:
            yield from paths(one, f"{path}[]")
    else:
        yield path


def leaves(values: List[Any]) -> Set[str]:
    """Return the paths of all, without those that are ``null`` here and more there."""
    found = {each for value in values for each in paths(value)}
    return {each for each in found if not any(is_above(each, one) for one in found)}


def is_above(path: str, other: str) -> bool:
    return other.startswith((f"{path}.", f"{path}["))


def logged_in(arguments: List[str]) -> Callable[[Path], List[Any]]:
    """Return how to get the JSON of a command that is run logged in."""
    return lambda home: [run(*arguments, "--json").data]


def logins(home: Path) -> List[Any]:
    token = ConfigStore().token()
    url = ConfigStore().api_url
    return [
        json.loads(ok("login", "--url", url, "--token", "-", "--json", given=token))
    ]


def imports(home: Path) -> List[Any]:
    store = ConfigStore()
    db = make_tool_login(home / "tool", store.token(), store.api_url)
    return [run("import", db, "--json").data]


def settings(home: Path) -> List[Any]:
    changes = [
        ["set", "job.life-span", "1d"],
        ["unset", "job.life-span"],
        ["set", "job.life-span", "2d"],
    ]
    changed = [run("user-config", *each, "--json").data for each in changes]
    return [*changed, run("user-config", "--json").data]


def docker(home: Path) -> List[Any]:
    folder = home / "docker"
    folder.mkdir()
    return [
        run("docker", each, "--config", folder, "--json").data
        for each in ("install", "uninstall")
    ]


def storage(home: Path) -> List[Any]:
    place = os.environ["NEUROMATION_CONFIG"]
    return [run("storage", "copy", place, home / "other", "--json").data]


OUTPUTS: Dict[str, Callable[[Path], List[Any]]] = {
    "login": logins,
    "logout": logged_in(["logout"]),
    "status": logged_in(["status"]),
    "fetch": logged_in(["fetch"]),
    "switch-cluster": logged_in(["switch-cluster", "default"]),
    "switch-org": logged_in(["switch-org", "acme"]),
    "switch-project": logged_in(["switch-project", "main"]),
    "clusters": logged_in(["clusters"]),
    "presets": logged_in(["presets"]),
    "token": logged_in(["token"]),
    "user-config": settings,
    "import": imports,
    "doctor": logged_in(["doctor"]),
    "storage": storage,
    "docker": docker,
    "demo": logged_in(["demo"]),
}


def test_sections() -> None:
    """Each command has its section, and each is run here."""
    assert list(COMMANDS) == list(sections()) == list(OUTPUTS)


@pytest.mark.parametrize("name", OUTPUTS)
def test_json(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys that are documented are those that are printed."""
    monkeypatch.setenv("NEUROMATION_CONFIG", str(tmp_path / "config"))
    blocks = re.findall(r"^```json\n(.*?)^```$", sections()[name], re.M | re.S)
    with Platform() as platform:
        platform.log_in(ConfigStore())
        printed = OUTPUTS[name](tmp_path)
    documented = leaves([json.loads(block) for block in blocks])
    assert documented
    assert documented == leaves(printed)


def test_options() -> None:
    """Every option of a command is documented with it, and those of all in one place."""
    common = {option.name for option in options()}
    context = click.Context(main, obj=Settings())
    for name, text in sections().items():
        command = main.get_command(context, name)
        assert command is not None
        found = [command]
        if isinstance(command, click.Group):
            found += command.commands.values()
        for option in (option for each in found for option in each.params):
            if isinstance(option, click.Option) and option.name not in common:
                assert f"`{option.opts[0]}" in text, (name, option.name)
    for option in options():
        assert f"| `{option.opts[0]}" in PAGE


def test_exit_codes() -> None:
    """Every exit code is documented, with the errors that have it."""
    table = PAGE.split("## Exit codes")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| (\d+) \| [^|]+ \|([^|]*)\|$", table, re.M))
    assert [str(int(code)) for code in ExitCode] == list(rows)
    documented = {
        (int(code), name)
        for code, names in rows.items()
        for name in re.findall(r"`(\w+)`", names)
    }
    assert {(int(code), one.__name__) for one, code in EXIT_CODES.items()} == documented


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """The variable that the page names makes the script of the shell."""
    from click.shell_completion import get_completion_class

    assert f"_NEURO_CONFIG_COMPLETE={shell}_source neuro-config" in PAGE
    assert get_completion_class(shell) is not None
