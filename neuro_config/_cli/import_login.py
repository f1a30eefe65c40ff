"""``neuro-config import``."""

from __future__ import annotations

from typing import Optional

import click

from neuro_config._cli._base import Command, Settings
from neuro_config._cli._where import say_login


@click.command("import", cls=Command)
@click.argument("source", metavar="[PATH]", required=False, type=click.Path())
@click.pass_obj
def command(settings: Settings, source: Optional[str]) -> None:
    """Take over the login of the tool 'neuro' or 'apolo'.

    PATH is the tool's directory, or the file 'db' in it; without it, the newer login of
    ~/.neuro and ~/.apolo is taken. The tool's files stay as they are. Do not use both
    from then on: two programs that spend one refresh token end the login of both.
    """
    store = settings.store()
    store.import_login(source)
    say_login(settings, store)
    settings.note("What the platform offers may have changed: neuro-config fetch")
