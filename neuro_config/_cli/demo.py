"""``neuro-config demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, List

import click

from neuro_config._cli._base import Command, Failure, Settings

if TYPE_CHECKING:
    from neuro_config._demo import Step


@click.command(cls=Command)
@click.pass_obj
def command(settings: Settings) -> None:
    """Show the states on an embedded platform.

    It needs the extra 'testing' and no account, and does not touch your own login.
    """
    from neuro_config._demo import NotSharedError, run

    try:
        if settings.as_json:
            _as_json(settings, run())
        else:
            _as_lines(run())
    except NotSharedError as error:
        raise Failure(str(error)) from error


def _as_json(settings: Settings, steps: Iterator[Step]) -> None:
    import attr

    done: List[object] = [attr.asdict(step) for step in steps]
    settings.say("", done)


def _as_lines(steps: Iterator[Step]) -> None:
    # Each when it is done, so that there is something to see.
    click.echo(_row("step", "state", "cluster / org / project"))
    for step in steps:
        names = (step.cluster, step.org, step.project)
        where = " / ".join(name for name in names if name is not None)
        click.echo(_row(step.title, step.state, where))
        if step.note is not None:
            click.echo(f"  {step.note}")


def _row(title: str, state: str, where: str) -> str:
    return f"{title:<33} {state:<13} {where}".rstrip()
