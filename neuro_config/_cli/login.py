"""``neuro-config login``: in a browser here or anywhere, or with a token.

A token is never an argument: any user of the machine sees those with ``ps``.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Optional

import click

from neuro_config._cli._base import (
    Command,
    ExitCode,
    Failure,
    Settings,
    console,
    not_empty,
    shown,
)
from neuro_config._cli._where import say_login

if TYPE_CHECKING:
    from yarl import URL

    from neuro_config import ConfigStore

ENVIRONMENT = "env:"
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
LIMIT = 1 << 20  # characters; no token is nearly as long


@click.command(cls=Command)
@click.option(
    "--url",
    metavar="URL",
    callback=lambda *given: _url(*given),
    help="The platform's API, if not the usual one.",
)
@click.option(
    "--headless",
    is_flag=True,
    help="Log in with a browser on another machine: you bring back a code.",
)
@click.option(
    "--token",
    "source",
    metavar="FILE",
    help="Log in with the token in a file; '-' reads it from the standard input, "
    "env:NAME from an environment variable.",
)
@click.option(
    "--passed-config",
    is_flag=True,
    help="Log in with what the platform has passed into this job.",
)
@click.pass_obj
def command(
    settings: Settings,
    url: Optional[str],
    headless: bool,
    source: Optional[str],
    passed_config: bool,
) -> None:
    """Log in; with a browser, if you do not say otherwise."""
    if (headless, source is not None, passed_config).count(True) > 1:
        raise click.UsageError(
            "Give only one of --headless, --token and --passed-config."
        )
    if passed_config and url is not None:
        raise click.UsageError("--passed-config names the platform: leave --url out.")
    store = settings.store()
    if passed_config:
        store.login_with_passed_config()
    elif source is not None:
        store.login_with_token(_read_token(source), url=url)
    elif headless:
        store.login_headless(lambda page: _ask_for_code(settings, page), url=url)
    else:
        _log_in_with_a_browser(settings, store, url)
    say_login(settings, store)


def _url(
    context: click.Context, option: click.Parameter, url: Optional[str]
) -> Optional[str]:
    not_empty(context, option, url)
    if url is not None:
        from neuro_config import _guard as guard

        if not all(guard.scheme_and_host(url)):
            text = f"{guard.shown(url)!r} is no URL: https://..."  # without a password
            raise click.BadParameter(text, context, option)
    return url


def _log_in_with_a_browser(
    settings: Settings, store: ConfigStore, url: Optional[str]
) -> None:
    from neuro_config._cli._browser import show_page

    why = "Log in with the browser."
    if not sys.stderr.isatty():
        store.login(lambda page: show_page(page, why, settings.note), url=url)
        return
    screen = console(sys.stderr)
    # A spinner of ASCII, for terminals that know nothing else.
    with screen.status("Waiting for the login", spinner="line"):
        # Through the spinner's own console, which keeps both apart.
        store.login(
            lambda page: show_page(
                page,
                why,
                lambda text: screen.print(shown(text, lines=True), soft_wrap=True),
            ),
            url=url,
        )


def _ask_for_code(settings: Settings, url: URL) -> str:
    settings.note(f"Log in with any browser at\n{url}")
    code: str = click.prompt("The code, or the URL of the page that shows it", err=True)
    return code


def _read_token(source: str) -> str:
    if source == "-":
        if sys.stdin.isatty():
            token: str = click.prompt("Token", hide_input=True, err=True)
            return token.strip()
        return sys.stdin.read(LIMIT).strip()
    if source.startswith(ENVIRONMENT):
        name = source[len(ENVIRONMENT) :]
        if name not in os.environ:
            # Only what looks like a name: it may be the token, as in env:$NAME.
            said = f" {name!r}" if _NAME.fullmatch(name) else " of that name"
            text = f"There is no environment variable{said}."
            raise Failure(text, ExitCode.USAGE)
        return os.environ[name].strip()
    try:
        with open(source, encoding="ascii", errors="replace") as file:
            return file.read(LIMIT).strip()
    except (OSError, ValueError) as error:
        # Not the name: somebody may have given the token itself.
        reason = error.strerror if isinstance(error, OSError) else "it is no name"
        raise Failure(
            f"The file with the token cannot be read: {reason}. --token takes a file, "
            "'-' or env:NAME; a token itself does not belong on the command line.",
            ExitCode.USAGE,
        ) from None
