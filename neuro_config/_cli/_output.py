"""What people see: tables, colours, and the one form in which errors are said."""

from __future__ import annotations

import os
import re
import sys
from typing import IO, TYPE_CHECKING, Any, Iterable, Optional, Sequence

import click

from neuro_config._cli._exit_codes import ExitCode, exit_code_of
from neuro_config._errors import ConfigError
from neuro_config._words import shown, words_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE = 1000  # columns, where nobody looks: lines are kept whole for programs
_EXTRA = re.compile(r"(unexpected extra arguments?) \(.*\)", re.DOTALL)
DUMB = {"dumb", "unknown"}  # what TERM says of a terminal that obeys nothing


def has_colours(stream: IO[str]) -> bool:
    """Tell whether somebody looks who wants colours and can have them."""
    return (
        stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") not in DUMB
    )


def console(stream: IO[str]) -> Console:
    """Make the console that prints to a stream."""
    from rich.console import Console

    looked_at = stream.isatty()
    return Console(
        file=stream,
        force_terminal=looked_at,
        color_system="auto" if has_colours(stream) else None,
        width=None if looked_at else WIDE,
        markup=False,
        emoji=False,
        highlight=False,
    )


def table(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> Table:
    """Make a table for people.

    Args:
        columns: The headings; one that begins with ``>`` is of numbers.
        rows: The cells, as text; ``None`` is shown as a dash.
    """
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in columns:
        justify: Any = "right" if heading.startswith(">") else "left"
        words = heading.lstrip(">")
        words = words[:1].upper() + words[1:]
        made.add_column(words, justify=justify, overflow="fold")
    for row in rows:
        made.add_row(*(Text("-" if cell is None else shown(str(cell))) for cell in row))
    return made


class Failure(click.ClickException):
    """The end of a command that failed: one or two lines and an exit code.

    Args:
        message: What happened and what to do next.
        code: How the process ends.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def of(cls, error: ConfigError) -> Failure:
        """Say an error in the command's own words."""
        return cls(words_of(error), exit_code_of(type(error)))

    @classmethod
    def of_usage(cls, error: click.UsageError) -> Failure:
        """Say what is wrong with the command line, and where help is."""
        # Without the argument: it may be a token, given where none belongs.
        text = shown(_EXTRA.sub(r"\1.", error.format_message()))
        if error.ctx is not None:
            text += f"\nTry '{error.ctx.command_path} --help'."
        return cls(text, ExitCode.USAGE)

    def show(self, file: Optional[IO[Any]] = None) -> None:
        """Print it on the standard error."""
        label = "Error:"
        text = f"{label} {shown(self.message, lines=True)}"
        if sys.stderr.isatty():
            text = _wrapped(text)
        if has_colours(sys.stderr):
            text = click.style(label, fg="red", bold=True) + text[len(label) :]
        click.echo(text, file=file, err=True, color=True)


def _wrapped(text: str) -> str:
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns
    # Paths and URLs stay whole, so that they can be copied.
    lines = (
        textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )
    return "\n".join(each for wrapped in lines for each in wrapped)
