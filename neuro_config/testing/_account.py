"""Who may log in, and what they see; changed while the platform runs."""

from __future__ import annotations

import threading
from typing import Any, FrozenSet, Iterable, Mapping, Optional, Tuple

import attr

from neuro_config.testing._model import ClusterSpec, ProjectSpec


@attr.frozen(eq=False)
class Snapshot:
    """One consistent state of the account; a change makes another one.

    Args:
        clusters: In the order in which they are sent.
        given_orgs: Name to role, or ``None``: those of the clusters, as ``user``.
        given_projects: Or ``None``: one named ``main`` per cluster and org.
    """

    clusters: Tuple[ClusterSpec, ...]
    given_orgs: Optional[Mapping[str, str]] = None
    given_projects: Optional[Tuple[ProjectSpec, ...]] = None

    @property
    def orgs(self) -> Mapping[str, str]:
        if self.given_orgs is not None:
            return self.given_orgs
        names = (org for cluster in self.clusters for org in cluster.orgs)
        return {name: "user" for name in names if name is not None}

    @property
    def projects(self) -> Tuple[ProjectSpec, ...]:
        if self.given_projects is not None:
            return self.given_projects
        return tuple(
            ProjectSpec(name="main", cluster_name=cluster.name, org_name=org)
            for cluster in self.clusters
            for org in cluster.orgs
        )


class Account:
    """Hold what the users of the platform see; every user sees the same.

    Reached as ``platform.account``. Each change is seen by the next ``GET /config``.

    Args:
        users: The logins that the platform knows.
        snapshot: What they see at first.
    """

    def __init__(self, users: Iterable[str], snapshot: Snapshot) -> None:
        self._lock = threading.Lock()
        self._snapshot = snapshot
        self.users: FrozenSet[str] = frozenset(users)

    def __repr__(self) -> str:
        return f"<Account clusters={len(self.clusters)} users={sorted(self.users)}>"

    @property
    def snapshot(self) -> Snapshot:
        """What is sent now, all of one moment."""
        return self._snapshot

    @property
    def clusters(self) -> Tuple[ClusterSpec, ...]:
        """The clusters, in the order in which they are sent."""
        return self._snapshot.clusters

    @clusters.setter
    def clusters(self, clusters: Iterable[ClusterSpec]) -> None:
        self._change(clusters=tuple(clusters))

    @property
    def orgs(self) -> Mapping[str, str]:
        """Org name to role; follows the clusters until it is set."""
        return self._snapshot.orgs

    @orgs.setter
    def orgs(self, orgs: Mapping[str, str]) -> None:
        self._change(given_orgs=dict(orgs))

    @property
    def projects(self) -> Tuple[ProjectSpec, ...]:
        """The projects; they follow the clusters until they are set."""
        return self._snapshot.projects

    @projects.setter
    def projects(self, projects: Iterable[ProjectSpec]) -> None:
        self._change(given_projects=tuple(projects))

    def add_cluster(self, cluster: ClusterSpec) -> None:
        """Give the users one cluster more, after the others.

        Args:
            cluster: Its name must be new.

        Raises:
            ValueError: There is a cluster of that name.
        """
        with self._lock:
            if cluster.name in (known.name for known in self.clusters):
                raise ValueError(f"there is a cluster named {cluster.name!r} already")
            self._snapshot = attr.evolve(
                self._snapshot, clusters=(*self.clusters, cluster)
            )

    def remove_cluster(self, name: str) -> None:
        """Take a cluster away; projects that were set by hand stay.

        Args:
            name: Of a cluster that there is.

        Raises:
            ValueError: There is no cluster of that name.
        """
        with self._lock:
            left = tuple(known for known in self.clusters if known.name != name)
            if left == self.clusters:
                raise ValueError(f"there is no cluster named {name!r}")
            self._snapshot = attr.evolve(self._snapshot, clusters=left)

    def clear(self) -> None:
        """Take all clusters, orgs and projects away; the users can still log in."""
        self._change(clusters=(), given_orgs={}, given_projects=())

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self._snapshot = attr.evolve(self._snapshot, **changes)
