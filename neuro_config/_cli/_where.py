"""What the commands that change something say: who is logged in, and what is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional

from neuro_config._cli._base import Settings, words_of
from neuro_config._errors import ConfigError, NoClusterError

if TYPE_CHECKING:
    from neuro_config import ConfigStore

Names = Dict[str, Optional[str]]


def chosen(store: ConfigStore) -> Names:
    """Return the current cluster, org and project.

    Raises:
        ConfigError: A local file is wrong, or names what does not exist.
    """
    try:
        cluster: Optional[str] = store.cluster_name
    except NoClusterError:
        cluster = None
    return {"cluster": cluster, "org": store.org_name, "project": store.project_name}


def in_words(names: Names) -> str:
    """Say what is chosen."""
    return ", ".join(
        f"no {kind}" if name is None else f"{kind} {name}"
        for kind, name in names.items()
    )


def say_chosen(settings: Settings, store: ConfigStore) -> None:
    """Print what is chosen now."""
    names = chosen(store)
    settings.say(f"Now: {in_words(names)}.", names)


def say_login(settings: Settings, store: ConfigStore) -> None:
    """Print who is logged in now, whatever a local file says."""
    text = f"Logged in to {store.api_url} as {store.username}."
    try:
        names = chosen(store)
        text += f"\nNow: {in_words(names)}."
    except ConfigError as error:
        settings.note(f"Warning: {words_of(error)}")
        names = dict.fromkeys(("cluster", "org", "project"))
    data = {"username": store.username, "api_url": str(store.api_url), **names}
    settings.say(text, data)
