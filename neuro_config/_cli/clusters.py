"""``neuro-config clusters``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Tuple

import click

from neuro_config._cli._base import Command, Settings, table
from neuro_config._cli._where import Names, chosen_if_known

if TYPE_CHECKING:
    from neuro_config import Cluster, ConfigStore

FACTS = ("location", "timezone")
URLS = (
    "registry_url",
    "storage_url",
    "monitoring_url",
    "secrets_url",
    "disks_url",
    "buckets_url",
)
HEADINGS = ("", "Cluster", "Org", "Projects")

Place = Tuple[Optional[str], Optional[str]]


@click.command(cls=Command)
@click.pass_obj
def command(settings: Settings) -> None:
    """List the clusters, with their orgs and your projects.

    They are those of the last fetch.
    """
    store = settings.store()
    projects = _projects(store)  # fails before there is a warning
    # A local file that is wrong does not keep anybody from seeing what there is.
    current = chosen_if_known(settings, store)
    found = [
        _cluster(cluster, current, projects) for cluster in store.clusters.values()
    ]
    settings.say(lambda: table(HEADINGS, _rows(found)), found)


def _projects(store: ConfigStore) -> Dict[Place, List[str]]:
    projects: Dict[Place, List[str]] = {}
    for key in store.projects:
        place = key.cluster_name, key.org_name
        projects.setdefault(place, []).append(key.project_name)
    return projects


def _cluster(
    cluster: Cluster, current: Optional[Names], projects: Dict[Place, List[str]]
) -> Dict[str, Any]:
    from neuro_config._choice import in_order

    orgs = in_order(cluster.orgs) or [None]
    urls = {name: getattr(cluster, name) for name in URLS}
    return {
        "name": cluster.name,
        "is_current": _is_current(current, cluster=cluster.name),
        **{name: getattr(cluster, name) for name in FACTS},
        **{name: None if url is None else str(url) for name, url in urls.items()},
        "orgs": [
            {
                "name": org,
                "is_current": _is_current(current, cluster=cluster.name, org=org),
                "projects": sorted(projects.get((cluster.name, org), [])),
            }
            for org in orgs
        ],
    }


def _is_current(current: Optional[Names], **names: Optional[str]) -> Optional[bool]:
    """Tell whether names are the current ones; ``None`` is that nobody knows."""
    if current is None:
        return None
    return all(current[kind] == name for kind, name in names.items())


def _rows(clusters: List[Dict[str, Any]]) -> Iterator[Tuple[Optional[str], ...]]:
    for cluster in clusters:
        name = cluster["name"]
        for org in cluster["orgs"]:
            mark = "*" if org["is_current"] else ""
            yield mark, name, org["name"], ", ".join(org["projects"]) or None
            name = ""  # once for all of its orgs
