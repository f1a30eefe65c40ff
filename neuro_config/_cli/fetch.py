"""``neuro-config fetch``."""

from __future__ import annotations

import click

from neuro_config._cli._base import Command, Settings, counted
from neuro_config._cli._where import chosen, in_words


@click.command(cls=Command)
@click.pass_obj
def command(settings: Settings) -> None:
    """Ask the platform what there is, and keep it.

    If what is chosen is gone, this fails; what was fetched is kept all the same, so
    that you can switch.
    """
    store = settings.store()
    store.fetch()
    counts = {"clusters": len(store.clusters), "projects": len(store.projects)}
    names = chosen(store)
    settings.say(
        f"Fetched {counted(counts['clusters'], 'cluster')} and "
        f"{counted(counts['projects'], 'project')}.\nNow: {in_words(names)}.",
        {**counts, **names},
    )
