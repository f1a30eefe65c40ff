"""What is chosen and why, for who looks: also what is wrong with it."""

from __future__ import annotations

from typing import Dict, Mapping, Optional

import attr

from ._errors import ConfigError, NoClusterError, UnknownNameError
from ._session import Choice
from ._view import StoreView

KINDS = ("cluster", "org", "project")
STORED, LOCAL, RULE = "stored", "local", "rule"


@attr.frozen
class Name:
    """A current name, and where it comes from.

    Args:
        name: ``None`` for none.
        source: ``LOCAL`` where the local file names it, ``STORED`` where it is what is
            stored, ``RULE`` where it follows from the other names.
    """

    name: Optional[str]
    source: str


@attr.frozen
class Explanation:
    """What is chosen and why.

    Args:
        local_file: The local file that is looked at.
        names: By kind; those that cannot be told are left out.
        error: Why one cannot be told, or that one does not exist.
    """

    local_file: Optional[str]
    names: Mapping[str, Name] = attr.field(factory=dict)
    error: Optional[ConfigError] = None


def explain(store: StoreView) -> Explanation:
    """Explain what is chosen; logged out, that is nothing."""
    path = store._snapshot.local.path
    names: Dict[str, Name] = {}
    if store._snapshot.session is None:
        return Explanation(path)
    try:
        for kind in KINDS:
            names[kind] = _name(store, f"{kind}_name")
        _require_local_names(store, names)
    except ConfigError as error:
        return Explanation(path, names, error)
    return Explanation(path, names)


def _name(store: StoreView, field: str) -> Name:
    snapshot = store._snapshot
    try:
        name: Optional[str] = getattr(store, field)
    except NoClusterError:
        name = None
    if getattr(snapshot.named(), field) is not None:
        return Name(name, LOCAL)
    is_stored = name == getattr(snapshot.known(field).choice, field)
    return Name(name, STORED if is_stored else RULE)


def _require_local_names(store: StoreView, names: Dict[str, Name]) -> None:
    """Require that what is chosen exists, where a local file has a part in it."""
    from ._choice import checked

    snapshot = store._snapshot
    if snapshot.named() == Choice():
        return
    choice = Choice(*(names[kind].name for kind in KINDS))
    try:
        checked(store._catalog("choice"), choice, snapshot.hint())
    except UnknownNameError as error:
        kind = error.kind.lower()
        if kind not in ("org", "project") or names[kind].source != LOCAL:
            raise
        if kind == "org" and names["project"].source != LOCAL:
            del names["project"]  # nothing follows from an org that does not exist
        hint = f"{error.hint} It is named in {snapshot.local.path}: mend that line."
        raise type(error)(error.name, error.available, hint) from None
