"""What the commands share: their options, the store, the output, how they end.

A command is a module of this package that has a click command, or a group, called
``command``, and a row in ``COMMANDS`` of the package's ``__init__``::

    @click.command(cls=Command)                 # brings --path, --json, --debug
    @click.argument("name", shell_complete=completing(clusters))
    @click.pass_obj
    def command(settings: Settings, name: str) -> None:
        \"\"\"Say in one sentence what it does.\"\"\"
        store = settings.store()                # opened at --path; works logged out
        settings.say(lambda: the_table(store), {"name": name})

* A group has ``cls=Group``; its subcommands get their options from ``cls=Command``.
  ``cls=SilentCommand`` is for what prints nothing of its own and so has no ``--json``.
* ``say(human, data)`` prints ``data`` as JSON with ``--json``, else ``human``: a text,
  or a function that makes what rich can print (``table`` makes a table). It is called
  only if it is shown, so that rich is imported only then. The keys of ``data`` are
  documented in ``docs/reference/command-line.md``.
* ``note(text)`` tells people something on the standard error, whatever is printed.
* A ``ConfigError`` is not caught: the group turns it into words and an exit code. Who
  finds out by itself that something is wrong raises ``Failure(text, ExitCode)``.
* What comes from elsewhere (names, for example) goes through ``shown`` before a person
  sees it; ``table``, ``say`` and the errors do so by themselves.
* At the top of a module stand click and the standard library only. What is heavier,
  rich and the store included, is imported in the functions: ``token`` has to be fast.
"""

from __future__ import annotations

import enum
import os
import re
import sys
from typing import (
    IO,
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Optional,
    Sequence,
    Type,
    Union,
)

import attrs
import click
from click.shell_completion import CompletionItem

from neuro_config import _errors as errors

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from neuro_config import ConfigStore

WIDE = 1000  # columns, where nobody looks: lines are kept whole for programs
MANY = 12  # names; more of them are not listed in an error

# --------------------------------------------------------------------- exit codes


class ExitCode(enum.IntEnum):
    """How the command ended; the numbers never change."""

    OK = 0
    FAILED = 1
    USAGE = 2  # click's own
    NOT_LOGGED_IN = 3
    CANNOT_REFRESH = 4
    UNKNOWN_NAME = 5
    NETWORK = 6
    LOCKED = 7
    DAMAGED = 8
    STORAGE = 9
    LOGIN_FAILED = 10
    SETTINGS = 11
    PROBLEMS = 12
    BUG = 70
    INTERRUPTED = 130


# An error that is not here has the code of its nearest base.
EXIT_CODES: Dict[Type[errors.ConfigError], ExitCode] = {
    errors.ConfigError: ExitCode.FAILED,
    errors.NotLoggedInError: ExitCode.NOT_LOGGED_IN,
    errors.CannotRefreshError: ExitCode.CANNOT_REFRESH,
    errors.AuthError: ExitCode.CANNOT_REFRESH,
    errors.UnknownNameError: ExitCode.UNKNOWN_NAME,
    errors.NetworkError: ExitCode.NETWORK,
    errors.LockTimeoutError: ExitCode.LOCKED,
    errors.DamagedFileError: ExitCode.DAMAGED,
    errors.NewerSchemaError: ExitCode.DAMAGED,
    errors.StorageError: ExitCode.STORAGE,
    errors.InsecureURLError: ExitCode.STORAGE,
    errors.UnsupportedSystemError: ExitCode.FAILED,
    errors.LoginError: ExitCode.LOGIN_FAILED,
    errors.LoginDeniedError: ExitCode.LOGIN_FAILED,
    errors.CodeRefusedError: ExitCode.LOGIN_FAILED,
    errors.InvalidTokenError: ExitCode.LOGIN_FAILED,
    errors.PassedConfigError: ExitCode.LOGIN_FAILED,
    errors.UserConfigError: ExitCode.SETTINGS,
    errors.SwitchOverriddenError: ExitCode.SETTINGS,
    errors.PluginError: ExitCode.SETTINGS,
}


def exit_code_of(error: Type[errors.ConfigError]) -> ExitCode:
    """Return the exit code of a kind of error."""
    return next(EXIT_CODES[base] for base in error.__mro__ if base in EXIT_CODES)


# ------------------------------------------------------------------------- errors

# The errors speak of calls; here are the commands that do the same.
_COMMANDS_OF_CALLS = {
    r"^Org None does not exist": "No cluster can be used without an org",
    r"log in with login_headless": "use neuro-config login --headless",
    r"\blogin_headless\b": "neuro-config login --headless",
    r"\blogin_with_token\b": "neuro-config login --token",
    r"\bcall (fetch|import_login)\(\)": r"run neuro-config \1",
    r"\bfetch\(\)": "neuro-config fetch",
    r"\bswitch_(cluster|org|project)\(name\)": r"neuro-config switch-\1 NAME",
    r"\bcall (neuro-config)": r"run \1",
    r"\bCall (neuro-config|fetch\(\))": r"Run \1",
    r"Call (reload|neuro_config\.get)\(\) [^.]*\.": "Run the command again.",
}


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
    def of(cls, error: errors.ConfigError) -> Failure:
        """Say an error in the command's own words."""
        return cls(words_of(error), exit_code_of(type(error)))

    def show(self, file: Optional[IO[Any]] = None) -> None:
        """Print it on the standard error."""
        label = "Error:"
        text = f"{label} {shown(self.message)}"
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


def words_of(error: errors.ConfigError) -> str:
    """Return what an error says, calls of the library replaced by commands."""
    if isinstance(error, errors.NotLoggedInError):
        return "Nobody is logged in. Log in with: neuro-config login"
    if isinstance(error, errors.UnknownNameError) and len(error.available) > MANY:
        text = _without_the_list(error)
    else:
        text = str(error)
    for call, command in _COMMANDS_OF_CALLS.items():
        text = re.sub(call, command, text)
    return text


def _without_the_list(error: errors.UnknownNameError) -> str:
    import difflib

    names = [name for name in error.available if name is not None]
    near = difflib.get_close_matches(error.name or "", names, n=3)
    meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    text = f"{error.kind} {error.name!r} does not exist{meant} There are {len(names)}"
    return f"{text}; neuro-config clusters lists them. {error.hint}".rstrip()


# ------------------------------------------------------------------------- output


def shown(text: str) -> str:
    """Return a text without what controls a terminal; line ends stay."""
    return "".join(
        char if char.isprintable() or char == "\n" else repr(char)[1:-1]
        for char in text
    )


def has_colours(stream: IO[str]) -> bool:
    """Tell whether somebody looks who wants colours."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


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


Human = Union[str, Callable[[], "RenderableType"]]


@attrs.define
class Settings:
    """What the options said that all commands have.

    Args:
        path: Where the login is kept, ``None`` for the default.
        as_json: Whether a program reads the output.
        debug: Whether a failure shows where it comes from.
    """

    path: Optional[str] = None
    as_json: bool = False
    debug: bool = False

    def store(self) -> ConfigStore:
        """Open the store; it works logged out as well."""
        from neuro_config import ConfigStore

        return ConfigStore(self.path)

    def say(self, human: Human, data: object) -> None:
        """Print the result of a command.

        Args:
            human: A text, or a function that returns what rich can print.
            data: The same for programs, as ``json.dumps`` takes it.
        """
        if self.as_json:
            import json

            click.echo(json.dumps(data, indent=2))
        elif isinstance(human, str):
            click.echo(shown(human))
        else:
            screen = console(sys.stdout)
            with screen.capture() as printed:
                screen.print(human())
            # Not printed by rich: click knows what to do when nobody reads on.
            lines = [line.rstrip() for line in printed.get().splitlines()]
            click.echo("\n".join(lines), color=True)

    def note(self, text: str) -> None:
        """Tell people something on the standard error."""
        click.echo(shown(text), err=True)


# ------------------------------------------------------------------------ options


def _remember(context: click.Context, option: click.Parameter, value: Any) -> None:
    # Each option can stand before the command's name and after it; the last one counts.
    if value:
        setattr(context.ensure_object(Settings), str(option.name), value)


def _options(*, with_json: bool) -> List[click.Parameter]:
    common: Dict[str, Any] = {"callback": _remember, "expose_value": False}
    path = click.Option(
        ["--path"],
        type=click.Path(file_okay=False),
        metavar="DIR",
        help="The directory; else $NEUROMATION_CONFIG, else ~/.neuro.",
        **common,
    )
    as_json = click.Option(
        ["--json", "as_json"], is_flag=True, help="Print JSON, for programs.", **common
    )
    debug = click.Option(
        ["--debug"], is_flag=True, help="Show where a failure comes from.", **common
    )
    return [path, as_json, debug] if with_json else [path, debug]


class _WithOptions(click.Command):
    with_json = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _options(with_json=self.with_json)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments; there are ``Settings`` in any case."""
        context = super().make_context(*args, **kwargs)
        context.ensure_object(Settings)
        return context


class Command(_WithOptions):
    """A command that prints something, for people or as JSON."""


class SilentCommand(_WithOptions):
    """A command that prints nothing in the two forms."""

    with_json = False


class Group(_WithOptions, click.Group):
    """A group of commands, with the options of all commands."""


# --------------------------------------------------------------------- completion

Completer = Callable[[click.Context, click.Parameter, str], List[CompletionItem]]


def completing(names: Callable[[ConfigStore], Iterable[Optional[str]]]) -> Completer:
    """Make a shell complete names from what is stored: offline, and never an error.

    Args:
        names: Returns all of them; ``None`` is left out.
    """

    def complete(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> List[CompletionItem]:
        try:
            store = context.ensure_object(Settings).store()
            return [
                CompletionItem(name)
                for name in names(store)
                if name is not None and name.startswith(incomplete)
            ]
        except Exception:  # whoever presses a key has not asked for an error
            return []

    return complete


def clusters(store: ConfigStore) -> Iterable[Optional[str]]:
    """Return the names of the clusters."""
    return store.clusters


def orgs(store: ConfigStore) -> Iterable[Optional[str]]:
    """Return the names of all orgs."""
    return store.available_orgs


def projects(store: ConfigStore) -> Iterable[Optional[str]]:
    """Return the names of the projects of the current cluster and org."""
    return (project.name for project in store.cluster_org_projects)
