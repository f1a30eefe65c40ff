"""The command ``neuro-config``; needs the extra ``cli``.

This is the group; ``_base`` says how a command is written. A command's module is
imported when it is asked for, so that ``token`` does not pay for the others.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Dict, List, NoReturn, Optional

import click

from neuro_config._cli._base import ExitCode, Failure, Group, Settings
from neuro_config._errors import ConfigError
from neuro_config._version import __version__

# The command, its module, and its name there if it is not ``command``.
COMMANDS: Dict[str, str] = {
    "login": "login",
    "logout": "logout",
    "status": "status",
    "fetch": "fetch",
    "switch-cluster": "switch:cluster",
    "switch-org": "switch:org",
    "switch-project": "switch:project",
    "clusters": "clusters",
    "presets": "presets",
    "token": "token",
    "user-config": "user_config",
    "import": "import_login",
    "doctor": "doctor",
    "storage": "storage",
    "docker": "docker",
    "demo": "demo",
}

# What may be missing, and which extra brings it.
EXTRAS: Dict[Optional[str], str] = {
    "rich": "cli",
    "tomlkit": "cli",
    "werkzeug": "testing",
}


class Root(Group):
    """The command itself: finds the others, and ends the process as documented."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        """Return the names in the order in which they are explained."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found = importlib.import_module(f"{__name__}.{module}")
        command: click.Command = getattr(found, name or "command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what goes wrong becomes a ``Failure``."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except (EOFError, BrokenPipeError):  # click knows what to do
            raise
        except Exception as error:
            if ctx.ensure_object(Settings).debug:
                import traceback

                traceback.print_exc()
            raise _failure(error) from error

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command line and end the process."""
        for stream in (sys.stdout, sys.stderr):
            # A letter that the terminal lacks, and a name that is no text, are shown.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.ClickException as error:
            said = _said(error)
            said.show()
            code = said.code if isinstance(said, Failure) else said.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("Aborted.", err=True)
            code = ExitCode.INTERRUPTED
        try:
            sys.stdout.flush()
        except OSError:  # said already, and the interpreter would say it again
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        sys.exit(code)


def _said(error: click.ClickException) -> click.ClickException:
    """Give all errors one form; who asks for nothing gets click's help text."""
    is_help = type(error).__name__ == "NoArgsIsHelpError"  # not in older clicks
    if isinstance(error, click.UsageError) and not is_help:
        return Failure.of_usage(error)
    return error


def _failure(error: Exception) -> Failure:
    if isinstance(error, ConfigError):
        return Failure.of(error)
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        extra = EXTRAS[error.name]
        extras = ",".join(sorted({"cli", extra}))
        return Failure(
            f"This needs the extra {extra!r} ({error.name} is missing): "
            f"pip install 'neuro_config[{extras}]'"
        )
    if isinstance(error, OSError):
        return Failure(str(error))
    return Failure(
        f"{type(error).__name__}: {error}\n"
        "This is a mistake in neuro-config; --debug shows where it is.",
        ExitCode.BUG,
    )


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="neuro-config")
def main() -> None:
    """Keep one login on the Neu.ro/Apolo platform for many processes."""
