"""``neuro-config switch-cluster``, ``switch-org`` and ``switch-project``."""

from __future__ import annotations

from typing import Optional

import click

from neuro_config._cli._base import (
    Command,
    Settings,
    clusters,
    completing,
    orgs,
    projects,
)
from neuro_config._cli._where import say_chosen


@click.command(cls=Command)
@click.argument("name", shell_complete=completing(clusters))
@click.pass_obj
def cluster(settings: Settings, name: str) -> None:
    """Choose the cluster NAME.

    The org and the project are kept where the cluster has them.
    """
    store = settings.store()
    store.switch_cluster(name)
    say_chosen(settings, store)


@click.command(cls=Command)
@click.argument("name", required=False, shell_complete=completing(orgs))
@click.option("--none", "no_org", is_flag=True, help="Choose to have no org.")
@click.pass_obj
def org(settings: Settings, name: Optional[str], no_org: bool) -> None:
    """Choose the org NAME.

    If the cluster has not got it, the first cluster that has it is chosen, too.
    """
    if no_org is (name is not None):
        raise click.UsageError("Give either NAME or --none.")
    store = settings.store()
    store.switch_org(name)
    say_chosen(settings, store)


@click.command(cls=Command)
@click.argument("name", shell_complete=completing(projects))
@click.pass_obj
def project(settings: Settings, name: str) -> None:
    """Choose the project NAME of the current cluster and org."""
    store = settings.store()
    store.switch_project(name)
    say_chosen(settings, store)
