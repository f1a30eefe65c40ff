"""The command ``neuro-config``; needs the extra ``cli``."""

from __future__ import annotations

import click

from ._errors import ConfigError
from ._version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="neuro-config")
def main() -> None:
    """Keep one login on the Neu.ro/Apolo platform for many processes."""


@main.command()
def demo() -> None:
    """Show the states on an embedded platform; needs the extra 'testing'."""
    try:
        from ._demo import run
    except ImportError as error:
        raise click.ClickException(
            f"The demo needs the extra 'testing' ({error.name} is missing): "
            "pip install 'neuro_config[cli,testing]'"
        ) from None
    try:
        run(click.echo)
    except (ConfigError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
