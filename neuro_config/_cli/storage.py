"""``neuro-config storage``: where the login is kept."""

from __future__ import annotations

import click

from neuro_config._cli._base import Command, Group, Settings, not_empty, shown

PATIENCE = 30.0  # seconds
LEAVE = ("nothing", "access-token", "everything")


@click.group(cls=Group)
def command() -> None:
    """Move the login between a directory and a cluster of etcd."""


@command.command("copy", cls=Command)
@click.argument("source", metavar="FROM", callback=not_empty)
@click.argument("target", metavar="TO", callback=not_empty)
@click.option(
    "--leave",
    type=click.Choice(LEAVE),
    default=LEAVE[0],
    show_default=True,
    help="What stays at FROM. Only one place may have a refresh token that rotates.",
)
@click.option(
    "--replace", is_flag=True, help="Take the place of a login that is at TO."
)
@click.pass_obj
def copy(
    settings: Settings, source: str, target: str, leave: str, replace: bool
) -> None:
    """Copy the login from FROM to TO, and remove it from FROM.

    Both are a directory or a URL. The user's own settings are not copied.
    """
    from neuro_config._deadline import Deadline
    from neuro_config._files import open_storage
    from neuro_config._move import Leave, copy_login

    begin, end = (open_storage(place).storage for place in (source, target))
    session = copy_login(begin, end, Leave(leave), Deadline(PATIENCE), replace=replace)
    here, there = begin.location, end.location
    stays = {"nothing": "nothing", "access-token": "the access token"}.get(leave)
    settings.say(
        shown(f"The login of {session.username} is in {there} now."),
        {"username": session.username, "from": here, "to": there, "left": leave},
    )
    if stays is None:
        settings.note(
            "Both places have it: where the authorization server rotates refresh tokens, "
            "the second one that refreshes ends the login for both."
        )
    else:
        settings.note(shown(f"In {here} stays {stays}."))
