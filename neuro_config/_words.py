"""What the programs of this package say to people, without the command line's packages.

The library's errors speak of calls; here they speak of commands. What comes from
elsewhere, a name for example, goes through ``shown`` before a person sees it.
"""

from __future__ import annotations

import re

from . import _errors as errors

MANY = 12  # names; more of them are not listed in an error

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


def shown(text: str, *, lines: bool = False) -> str:
    """Return a text without what controls a terminal.

    Args:
        lines: Whether line ends stay; else they are shown, too, so that a name makes
            no line of its own.
    """
    return "".join(
        char if char.isprintable() or (lines and char == "\n") else repr(char)[1:-1]
        for char in text
    )


def counted(count: int, what: str) -> str:
    """Say how many there are of something."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


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
