"""``neuro-config docker``: let docker use the login for the platform's registries."""

from __future__ import annotations

from typing import Optional

import click

from neuro_config._cli._base import Command, Failure, Group, Settings, not_empty, shown

CONFIG = click.option(
    "--config",
    "folder",
    type=click.Path(file_okay=False),
    callback=not_empty,
    metavar="DIR",
    help="docker's directory; else $DOCKER_CONFIG, else ~/.docker.",
)


@click.group(cls=Group)
def command() -> None:
    """Let docker use the login for the clusters' registries.

    docker then runs docker-credential-neuro-config whenever it needs a password, and
    gets a token that is valid at that moment.
    """


@command.command("install", cls=Command)
@CONFIG
@click.pass_obj
def install_command(settings: Settings, folder: Optional[str]) -> None:
    """Make docker ask for the token, for the registries of all clusters.

    Run it again when there are new clusters.
    """
    import os
    import shutil

    from neuro_config._docker import PROGRAM, registry_hosts
    from neuro_config._docker_config import config_file, install
    from neuro_config._files import open_storage

    store = settings.store()
    hosts = registry_hosts(store)
    if not hosts:
        raise Failure("No cluster has a registry. Run neuro-config fetch.")
    path = config_file(folder)
    new = install(path, hosts)
    lines = [shown(f"{path}: docker uses this login for {', '.join(hosts)}.")]
    lines += [
        shown(f"For {host} it used {helper!r} until now.")
        for host, helper in new.items()
        if helper is not None
    ]
    settings.say(
        "\n".join(lines),
        {"path": path, "registries": hosts, "installed": list(new)},
    )
    if shutil.which(PROGRAM) is None:
        settings.note(
            f"docker will not find {PROGRAM}: put the directory of neuro-config's own "
            "program into the PATH that docker runs with."
        )
    if open_storage().storage.location != store.location:
        place = store.location  # of a URL all is needed, of a directory the whole path
        if not os.path.isabs(place):
            place = str(settings.path)
        settings.note(
            f"docker has to be run with NEUROMATION_CONFIG={shown(place)}, because the "
            "helper knows of no --path."
        )


@command.command("uninstall", cls=Command)
@CONFIG
@click.pass_obj
def uninstall_command(settings: Settings, folder: Optional[str]) -> None:
    """Take it out of docker's configuration again."""
    from neuro_config._docker_config import config_file, uninstall

    path = config_file(folder)
    removed = uninstall(path)
    settings.say(
        f"{shown(path)}: docker does not use this login any more."
        if removed
        else f"{shown(path)} does not name neuro-config.",
        {"path": path, "uninstalled": list(removed)},
    )
