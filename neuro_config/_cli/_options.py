"""The options of all commands, and what they said: ``Settings``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Union

import attr
import click
from click.shell_completion import CompletionItem

from neuro_config._cli._output import console
from neuro_config._words import shown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from neuro_config import ConfigStore

Human = Union[str, Callable[[], "RenderableType"]]


@attr.define
class Settings:
    """What the options said that all commands have.

    Args:
        path: Where the login is kept, ``None`` for the default.
        as_json: Whether a program reads the output.
        debug: Whether a failure shows where it comes from.
    """

    path: Optional[str] = None
    as_json: bool = False
    debug: bool = False

    def store(self) -> ConfigStore:
        """Open the store; it works logged out as well."""
        from neuro_config import ConfigStore

        return ConfigStore(self.path)

    def say(self, human: Human, data: object) -> None:
        """Print the result of a command.

        Args:
            human: A text, whose line ends stay, or a function that returns what rich
                can print.
            data: The same for programs, as ``json.dumps`` takes it.
        """
        if self.as_json:
            import json

            click.echo(json.dumps(data, indent=2))
        elif isinstance(human, str):
            click.echo(shown(human, lines=True))
        else:
            screen = console(sys.stdout)
            with screen.capture() as printed:
                screen.print(human())
            # Not printed by rich: click knows what to do when nobody reads on.
            lines = [line.rstrip() for line in printed.get().splitlines()]
            click.echo("\n".join(lines), color=True)

    def note(self, text: str) -> None:
        """Tell people something on the standard error; line ends stay."""
        click.echo(shown(text, lines=True), err=True)


def not_empty(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Refuse an empty value: a shell variable that is not set is no default."""
    if value == "":
        raise click.BadParameter("must not be empty.", context, option)
    return value


def _remember(context: click.Context, option: click.Parameter, value: Any) -> None:
    # Each option can stand before the command's name and after it; the last one counts.
    if not_empty(context, option, value) not in (None, False):
        setattr(context.ensure_object(Settings), str(option.name), value)


def _folders(
    context: click.Context, option: click.Parameter, incomplete: str
) -> List[CompletionItem]:
    return [CompletionItem(incomplete, type="dir")]


def options() -> List[click.Parameter]:
    """Make the options of one command."""
    common: Dict[str, Any] = {"callback": _remember, "expose_value": False}
    path = click.Option(
        ["--path"],
        metavar="PLACE",
        help="A directory or a URL (etcd+https://...); else $NEUROMATION_CONFIG, else "
        "~/.neuro.",
        shell_complete=_folders,
        **common,
    )
    as_json = click.Option(
        ["--json", "as_json"], is_flag=True, help="Print JSON, for programs.", **common
    )
    debug = click.Option(
        ["--debug"], is_flag=True, help="Show where a failure comes from.", **common
    )
    return [path, as_json, debug]
