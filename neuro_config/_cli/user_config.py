"""``neuro-config user-config``: show the settings, set and unset one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Iterable, List, Tuple

import click
from click.shell_completion import CompletionItem

from neuro_config._cli._base import Command, Group, Settings, offerable, shown, table
from neuro_config._errors import ConfigError

if TYPE_CHECKING:
    from neuro_config._plugins import ConfigScope, PluginManager
    from neuro_config._settings import Key, Setting

LOCAL = click.option(
    "--local", is_flag=True, help="In the project's .neuro.toml or .apolo.toml."
)
KEY = click.argument("key", shell_complete=lambda *args: _complete(_settable, *args))
SET_KEY = click.argument("key", shell_complete=lambda *args: _complete(_set, *args))


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Show the settings that hold here, or change one.

    They come from user.toml and, with more weight, from the project's local file.
    """
    if context.invoked_subcommand is not None:
        return
    from neuro_config._settings import as_json
    from neuro_config._user_config import checked_files, dotted, merged

    settings = context.ensure_object(Settings)
    files = checked_files(_user_file(settings), plugins=_plugins())
    found = _settings_in(files)
    values: Any = {}
    for one in files:
        values = merged(values, one.table)
    settings.say(
        lambda: (
            table(
                ("key", "value", "file"),
                [(dotted(*one.key), _toml(one.value), one.path) for one in found],
            )
            if found
            else "No setting is set."
        ),
        {
            "settings": as_json(values),
            "origins": {dotted(*one.key): one.path for one in found},
        },
    )


@command.command("set", cls=Command)
@KEY
@click.argument("values", nargs=-1, metavar="[VALUE]...")
@LOCAL
@click.pass_obj
def set_command(
    settings: Settings, key: str, values: Tuple[str, ...], local: bool
) -> None:
    """Set KEY, section.name, to VALUE.

    A list takes any number of values, none for an empty list. A value that begins with
    a dash needs -- before it. The rest of the file stays as it is, comments included; a
    list with comments in it is not changed.
    """
    from neuro_config._change_setting import parse_key, set_setting, takes_no_words
    from neuro_config._user_config import dotted

    path, scope = _file(settings, local)
    names = parse_key(key, path)
    plugins = _plugins()
    if not values and not takes_no_words(names, plugins):
        raise click.UsageError("Missing argument 'VALUE'.")
    is_changed = set_setting(path, scope, names, values, plugins)
    name, file = dotted(*names), shown(path)
    settings.say(
        f"{name} is set in {file}." if is_changed else f"{file} says so already.",
        {"key": name, "path": path, "changed": is_changed},
    )
    _note_winner(settings, names, path, plugins)


@command.command("unset", cls=Command)
@SET_KEY
@LOCAL
@click.pass_obj
def unset_command(settings: Settings, key: str, local: bool) -> None:
    """Remove KEY, section.name, from the file.

    This works in a file that holds something wrong, too.
    """
    from neuro_config._change_setting import parse_key, unset_setting
    from neuro_config._user_config import dotted

    path, scope = _file(settings, local)
    names = parse_key(key, path)
    is_changed = unset_setting(path, scope, names, _plugins())
    name, file = dotted(*names), shown(path)
    settings.say(
        f"{name} is removed from {file}."
        if is_changed
        else f"{name} is not set in {file}.",
        {"key": name, "path": path, "changed": is_changed},
    )


def _user_file(settings: Settings) -> str:
    from neuro_config._files import open_storage

    return open_storage(settings.path).directory.file("user.toml")


def _file(settings: Settings, local: bool) -> Tuple[str, ConfigScope]:
    from neuro_config._files import open_storage
    from neuro_config._local import find_local_file, find_project_root
    from neuro_config._plugins import ConfigScope

    if local:
        path = find_local_file() or str(find_project_root())  # which says what to do
        return path, ConfigScope.LOCAL
    directory = open_storage(settings.path).directory
    directory.check_directory()
    return directory.file("user.toml"), ConfigScope.GLOBAL


def _plugins() -> PluginManager:
    from neuro_config._plugins import load_plugins

    return load_plugins()


def _settings_in(files: Any) -> List[Setting]:
    from neuro_config._settings import settings_in

    return settings_in(files)


def _toml(value: Any) -> str:
    import tomlkit

    return str(tomlkit.item(value).as_string())


def _note_winner(
    settings: Settings, names: Key, path: str, plugins: PluginManager
) -> None:
    """Tell who has set something that another file overrides."""
    from neuro_config._user_config import checked_files, dotted

    try:
        found = _settings_in(checked_files(_user_file(settings), plugins=plugins))
    except ConfigError:  # of the other file, which nobody asked for
        return
    for one in found:
        if one.key == names and one.path != path:
            file = shown(one.path)
            settings.note(f"{file} sets {dotted(*names)}, too, and wins here.")


def _complete(
    keys: Callable[[Settings, bool], Iterable[Key]],
    context: click.Context,
    parameter: click.Parameter,
    incomplete: str,
) -> List[CompletionItem]:
    from neuro_config._user_config import dotted

    settings = context.ensure_object(Settings)
    try:
        found = keys(settings, bool(context.params.get("local")))
        names = sorted(offerable(dotted(*key) for key in found))
    except Exception:  # whoever presses a key has not asked for an error
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _settable(settings: Settings, local: bool) -> Iterable[Key]:
    from neuro_config._change_setting import known_keys
    from neuro_config._plugins import ConfigScope

    scope = ConfigScope.LOCAL if local else ConfigScope.GLOBAL
    return known_keys(scope, _plugins())


def _set(settings: Settings, local: bool) -> Iterable[Key]:
    from neuro_config._local import read_toml
    from neuro_config._settings import keys_in

    path, _ = _file(settings, local)
    return keys_in(read_toml(path) or {})
