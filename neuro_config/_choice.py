"""The rules that pick a cluster, an org and a project.

They are the newest SDK's: a new cluster keeps the org if it has it and else takes its
first in alphabetical order; a new org stays on the cluster if that has it and else
moves to the first cluster, in the platform's order, that does; the project is kept if
it exists there, else the first in alphabetical order, else none. No org is ``None``
and sorts last. What a local file names wins over what is stored.
"""

from __future__ import annotations

from typing import Iterable, List, Optional

import attr

from ._catalog import Catalog
from ._errors import (
    NoClusterError,
    UnknownClusterError,
    UnknownOrgError,
    UnknownProjectError,
)
from ._session import Choice


def first_choice(catalog: Catalog) -> Choice:
    """Choose for somebody who has not chosen yet."""
    for name in catalog.orgs_of:
        return _settle(catalog, name, orgs_in(catalog, name)[0], None)
    return Choice()


def choose_cluster(
    catalog: Catalog, choice: Choice, name: str, hint: str = ""
) -> Choice:
    """Move to a cluster.

    Args:
        hint: What to do about a cluster that does not exist, a sentence.

    Raises:
        NoClusterError: There is no cluster at all.
        UnknownClusterError: There is none of that name.
    """
    orgs = orgs_in(catalog, name, hint)
    org_name = choice.org_name if choice.org_name in orgs else orgs[0]
    return _settle(catalog, name, org_name, choice.project_name)


def choose_org(catalog: Catalog, choice: Choice, name: Optional[str]) -> Choice:
    """Move to an org, ``None`` for "no org", and to a cluster that has it.

    Raises:
        NoClusterError: There is no cluster at all.
        UnknownOrgError: No cluster has it.
    """
    if not catalog.orgs_of:
        raise NoClusterError
    candidates = [choice.cluster_name, *catalog.orgs_of]
    for cluster_name in candidates:
        if cluster_name in catalog.orgs_of and name in orgs_in(catalog, cluster_name):
            return _settle(catalog, cluster_name, name, choice.project_name)
    raise UnknownOrgError(name, available_orgs(catalog))


def choose_project(catalog: Catalog, choice: Choice, name: str) -> Choice:
    """Move to a project of the cluster and org.

    Raises:
        UnknownProjectError: They have none of that name.
    """
    chosen = attr.evolve(choice, project_name=name)
    _require_project(
        catalog, checked(catalog, attr.evolve(choice, project_name=None)), name
    )
    return chosen


def effective(
    catalog: Catalog, stored: Choice, local: Choice, hint: str = ""
) -> Choice:
    """Lay a local file's names over the stored choice, for display.

    Args:
        hint: What to do about a cluster that does not exist, a sentence.

    Raises:
        UnknownClusterError: The cluster that is meant does not exist.
    """
    if local.cluster_name is None and local.org_name is None:
        return attr.evolve(
            stored, project_name=local.project_name or stored.project_name
        )
    cluster_name = local.cluster_name or stored.cluster_name
    orgs = orgs_in(catalog, cluster_name, hint)
    org_name = local.org_name or (
        stored.org_name if stored.org_name in orgs else orgs[0]
    )
    settled = _settle(catalog, cluster_name, org_name, stored.project_name)
    return attr.evolve(settled, project_name=local.project_name or settled.project_name)


def checked(catalog: Catalog, choice: Choice, hint: str = "") -> Choice:
    """Hold a choice against what there is.

    Args:
        hint: What to do about a cluster that does not exist, a sentence.

    Returns:
        The choice.

    Raises:
        NoClusterError: There is no cluster at all.
        UnknownClusterError: Its cluster is gone.
        UnknownOrgError: The cluster does not have its org.
        UnknownProjectError: Cluster and org do not have its project.
    """
    orgs = orgs_in(catalog, choice.cluster_name, hint)
    if choice.org_name not in orgs:
        raise UnknownOrgError(
            choice.org_name, orgs, f"The cluster is {choice.cluster_name!r}."
        )
    if choice.project_name is not None:
        _require_project(catalog, choice, choice.project_name)
    return choice


def _require_project(catalog: Catalog, choice: Choice, name: str) -> None:
    projects = catalog.projects_of(str(choice.cluster_name), choice.org_name)
    if name not in projects:
        raise UnknownProjectError(
            name,
            projects,
            f"The cluster is {choice.cluster_name!r}, the org {choice.org_name!r}.",
        )


def orgs_in(
    catalog: Catalog, cluster_name: Optional[str], hint: str = ""
) -> List[Optional[str]]:
    """Return the orgs of a cluster in order; a cluster without any is for "no org".

    Raises:
        NoClusterError: There is no cluster at all.
        UnknownClusterError: There is no such cluster.
    """
    orgs_of = catalog.orgs_of
    if not orgs_of:
        raise NoClusterError
    if cluster_name is None or cluster_name not in orgs_of:
        raise UnknownClusterError(cluster_name, orgs_of, hint)
    return in_order(orgs_of[cluster_name]) or [None]


def available_orgs(catalog: Catalog) -> List[Optional[str]]:
    """Return the orgs of all clusters in order."""
    return in_order({org for name in catalog.orgs_of for org in orgs_in(catalog, name)})


def in_order(orgs: Iterable[Optional[str]]) -> List[Optional[str]]:
    """Sort orgs by name, "no org" last."""
    return sorted(orgs, key=lambda name: (name is None, name or ""))


def _settle(
    catalog: Catalog,
    cluster_name: Optional[str],
    org_name: Optional[str],
    project_name: Optional[str],
) -> Choice:
    projects = catalog.projects_of(str(cluster_name), org_name)
    if project_name not in projects:
        project_name = projects[0] if projects else None
    return Choice(cluster_name, org_name, project_name)
