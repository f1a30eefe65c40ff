"""What a shell offers when somebody presses a key: names of the platform, from the disk.

The shells insert what they are given as it is. A name that means something to a shell,
``$(...)`` for example, would be run when the line is, so it is not offered.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Callable, Iterable, List, Optional

import click
from click.shell_completion import CompletionItem

from neuro_config._cli._options import Settings

if TYPE_CHECKING:
    from neuro_config import ConfigStore

Completer = Callable[[click.Context, click.Parameter, str], List[CompletionItem]]

# One word in every shell, and no option.
_SAFE = re.compile(r"(?!-)[\w.@%+=:/-]+", re.ASCII)


def offerable(names: Iterable[Optional[str]]) -> List[str]:
    """Return the names that any shell takes as they are; ``None`` is left out."""
    return [name for name in names if name is not None and _SAFE.fullmatch(name)]


def completing(names: Callable[[ConfigStore], Iterable[Optional[str]]]) -> Completer:
    """Make a shell complete names from what is stored: offline, and never an error.

    Args:
        names: Returns all of them; what is not ``offerable`` is left out.
    """

    def complete(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> List[CompletionItem]:
        try:
            store = context.ensure_object(Settings).store()
            return [
                CompletionItem(name)
                for name in offerable(names(store))
                if name.startswith(incomplete)
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
