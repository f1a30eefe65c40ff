"""How a command is written, and all that one needs for it.

A command is a module of this package that has a click command, or a group, called
``command``, and a row in ``COMMANDS`` of the package's ``__init__``::

    @click.command(cls=Command)                 # brings --path, --json, --debug
    @click.argument("name", shell_complete=completing(clusters))
    @click.pass_obj
    def command(settings: Settings, name: str) -> None:
        \"\"\"Say in one sentence what it does.\"\"\"
        store = settings.store()                # opened at --path; works logged out
        settings.say(lambda: the_table(store), {"name": name})

* A group has ``cls=Group``; its subcommands get their options from ``cls=Command``.
* ``say(human, data)`` prints ``data`` as JSON with ``--json``, else ``human``: a text,
  or a function that makes what rich can print (``table`` makes a table). It is called
  only if it is shown, so that rich is imported only then. The keys of ``data`` are
  documented in ``docs/reference/command-line.md``.
* ``note(text)`` tells people something on the standard error, whatever is printed.
* A ``ConfigError`` is not caught: the group turns it into words and an exit code. Who
  finds out by itself that something is wrong raises ``Failure(text, ExitCode)``.
* What comes from elsewhere (names, for example) goes through ``shown`` before a person
  sees it. ``table`` and the errors do so by themselves; ``say`` and ``note`` too, but
  they keep line ends, so a name in their text has been through ``shown`` before.
* An option whose value must not be empty has ``callback=not_empty``. Completion offers
  only what is ``offerable``.
* At the top of a module stand click and the standard library only. What is heavier,
  rich and the store included, is imported in the functions: ``token`` has to be fast.
"""

from __future__ import annotations

from typing import Any

import click

from neuro_config._cli._completion import (
    clusters,
    completing,
    offerable,
    orgs,
    projects,
)
from neuro_config._cli._exit_codes import ExitCode
from neuro_config._cli._options import Settings, not_empty, options
from neuro_config._cli._output import Failure, console, table
from neuro_config._words import counted, shown, words_of

__all__ = [
    "Command",
    "ExitCode",
    "Failure",
    "Group",
    "Settings",
    "clusters",
    "completing",
    "console",
    "counted",
    "not_empty",
    "offerable",
    "orgs",
    "projects",
    "shown",
    "table",
    "words_of",
]


class Command(click.Command):
    """A command that prints something, for people or as JSON."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += options()

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments; there are ``Settings`` in any case."""
        context = super().make_context(*args, **kwargs)
        context.ensure_object(Settings)
        return context


class Group(Command, click.Group):
    """A group of commands, with the options of all commands."""
