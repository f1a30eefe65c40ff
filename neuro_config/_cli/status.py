"""``neuro-config status``: who is logged in, what is chosen and why, and where it is kept."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import click

from neuro_config._cli._base import Command, Settings, counted, shown

if TYPE_CHECKING:
    from rich.table import Table

    from neuro_config import Session

PATIENCE = 3.0  # seconds, to ask the storage how it is
KINDS = ("cluster", "org", "project")
UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))

Row = Tuple[str, str, str]


@click.command(cls=Command)
@click.pass_obj
def command(settings: Settings) -> None:
    """Show who is logged in, what is chosen and why."""
    import attr

    from neuro_config._explain import explain
    from neuro_config._states import stored

    store = settings.store()
    session = stored(store.state)
    why = explain(store)
    data: Dict[str, Any] = {
        "state": type(store.state).__name__,
        "username": None,
        "api_url": None,
        **dict.fromkeys(KINDS),
        "token": None,
        "local_file": why.local_file,
        "storage": store.location,
    }
    details = dict(store._storage.describe(PATIENCE))
    if details:
        data["storage_details"] = details
    if session is not None:
        data["username"] = session.username
        data["api_url"] = session.api_url
        data["token"] = _token(session)
        for kind, name in why.names.items():
            data[kind] = attr.asdict(name)
    settings.say(lambda: _table(data), data)
    if why.error is not None:
        raise why.error


def _token(session: Session) -> Dict[str, Any]:
    from neuro_config._facts import can_refresh, is_over

    failure = session.refresh_failure
    return {
        "expires_at": session.token.expires_at,
        "is_refreshable": can_refresh(session) and not is_over(session),
        "refresh_failure": None if failure is None else failure.reason,
    }


# -------------------------------------------------------------------- for people


def _table(data: Dict[str, Any]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", style="dim")
    for row in _rows(data):
        table.add_row(*(Text(shown(cell)) for cell in row))
    return table


def _rows(data: Dict[str, Any]) -> List[Row]:
    storage = [("Storage", _short(data["storage"]), "")]
    for heading, words in data.get("storage_details", {}).items():
        storage.append((heading, words, ""))
    if data["username"] is None:
        nobody = ("User", "nobody is logged in", "log in with: neuro-config login")
        return [nobody, *storage]
    rows = [("User", data["username"], ""), ("Platform", data["api_url"], "")]
    for kind in KINDS:
        rows.append((kind.capitalize(), *_named(kind, data[kind], data["local_file"])))
    return [*rows, *_life(data["token"]), *storage]


def _named(
    kind: str, choice: Optional[Dict[str, Any]], local_file: Optional[str]
) -> Tuple[str, str]:
    local = "" if local_file is None else f"from {_short(local_file)}"
    if choice is None:
        return "?", local
    name, source = choice["name"], choice["source"]
    rule = "" if name is None else "the first there"
    sources = {"stored": "stored", "local": local, "rule": rule}
    return f"no {kind}" if name is None else name, sources[source]


def _life(token: Dict[str, Any]) -> List[Row]:
    """Say how long the token is valid, and what comes then."""
    expires_at, failure = token["expires_at"], token["refresh_failure"]
    then = "refreshed by itself" if token["is_refreshable"] else "then log in again"
    left = None if expires_at is None else expires_at - time.time()
    if left is None:
        life = "valid until it is refused"
    elif left > 0:
        life = f"valid for {_duration(left)}"
    else:
        life = f"expired {_duration(-left)} ago"
        then = then.replace("then ", "")
    rows = [("Token", life, then)]
    if failure is not None:
        rows.append(("Refresh", f"failed: {failure}", ""))
    return rows


def _duration(seconds: float) -> str:
    """Say a time in one unit, or in two where one alone would be rough."""
    for (unit, size), (smaller, part) in zip(UNITS, UNITS[1:]):
        count, rest = divmod(int(seconds), size)
        if count > 2 or (count and rest < part):
            return counted(count, unit)
        if count:
            return f"{counted(count, unit)} {counted(rest // part, smaller)}"
    return counted(int(seconds), "second")


def _short(path: str) -> str:
    home = os.path.expanduser("~")
    return f"~{path[len(home) :]}" if path.startswith(f"{home}/") else path
