"""What the commands that change something say: who is logged in, and what is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional

from neuro_config._cli._base import Settings, shown, words_of
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


def chosen_if_known(settings: Settings, store: ConfigStore) -> Optional[Names]:
    """Return what is chosen, or warn of what keeps it from being told."""
    try:
        return chosen(store)
    except ConfigError as error:
        settings.note(f"Warning: {words_of(error)}")
        return None


def in_words(names: Names) -> str:
    """Say what is chosen."""
    return ", ".join(
        f"no {kind}" if name is None else f"{kind} {shown(name)}"
        for kind, name in names.items()
    )


def say_chosen(settings: Settings, store: ConfigStore) -> None:
    """Print what is chosen now."""
    names = chosen(store)
    settings.say(f"Now: {in_words(names)}.", names)


def say_login(settings: Settings, store: ConfigStore) -> None:
    """Print who is logged in now, whatever a local file says."""
    text = f"Logged in to {store.api_url} as {shown(store.username)}."
    names = chosen_if_known(settings, store)
    if names is None:
        names = dict.fromkeys(("cluster", "org", "project"))
    else:
        text += f"\nNow: {in_words(names)}."
    data = {"username": store.username, "api_url": str(store.api_url), **names}
    settings.say(text, data)
