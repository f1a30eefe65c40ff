"""``neuro-config token``."""

from __future__ import annotations

import click

from neuro_config._cli._base import Command, Settings


@click.command(cls=Command)
@click.pass_obj
def command(settings: Settings) -> None:
    """Print a valid token, and nothing else.

    It is refreshed first if that is needed.
    """
    token = settings.store().token()
    settings.say(token, {"token": token})
