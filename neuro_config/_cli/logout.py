"""``neuro-config logout``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuro_config._cli._base import Command, Settings

if TYPE_CHECKING:
    from yarl import URL


@click.command(cls=Command)
@click.option("--browser", is_flag=True, help="End the browser's session, too.")
@click.pass_obj
def command(settings: Settings, browser: bool) -> None:
    """Remove the login, whatever its condition."""

    def show(url: URL) -> None:
        from neuro_config._cli._browser import show_page

        show_page(url, "The browser ends its session, too.", settings.note)

    settings.store().logout(show if browser else None)
    settings.say("Logged out.", {"state": "LoggedOut"})
