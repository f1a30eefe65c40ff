"""What a store shows: one snapshot of the session, and the catalog behind it.

Properties read neither the session nor a user file again, so a script that reads
several of them sees one consistent state. They raise ``NotLoggedInError`` when nobody
is logged in, ``StorageError`` where the store could not be read, ``UserConfigError``
where a name depends on a local file that is wrong, ``StaleSnapshotError`` where the
snapshot's catalog is gone.
"""

from __future__ import annotations

import functools
import os
import time
from typing import (
    TYPE_CHECKING,
    Callable,
    Mapping,
    NoReturn,
    Optional,
    Tuple,
    Union,
    cast,
)

import attr

from ._errors import (
    DamagedFileError,
    NoClusterError,
    NoProjectError,
    NotLoggedInError,
    StaleSnapshotError,
    StorageError,
)
from ._facts import FOREVER, fresh_until
from ._local import LocalChoice
from ._session import Choice, Session, in_range
from ._storage import READ_TIMEOUT, Storage

if TYPE_CHECKING:
    from pathlib import Path

    from yarl import URL

    from ._catalog import Catalog
    from ._states import State
    from ._values import Cluster, Preset, Project, ResourcePool


class Snapshot:
    """What one read of the store showed; ``error`` where it could not be read.

    It is fresh from ``taken_at`` on: a clock that shows less has been set back.
    """

    __slots__ = (
        "access_token", "error", "fresh_until", "local", "session", "taken_at",
    )  # fmt: skip

    def __init__(
        self,
        session: Optional[Session],
        local: LocalChoice,
        error: Optional[StorageError] = None,
        taken_at: float = 0.0,
        look_again_at: float = FOREVER,
    ) -> None:
        self.session = session
        self.local = local
        self.error = error
        self.taken_at = taken_at
        self.access_token = "" if session is None else str(session.token.access_token)
        self.fresh_until = min(fresh_until(session, taken_at), look_again_at)

    def is_fresh(self, now: float) -> bool:
        """Tell whether the token may be used without a look at anything else."""
        return self.taken_at <= now < self.fresh_until

    @property
    def login_id(self) -> Optional[str]:
        """The login, ``None`` for nobody's."""
        return None if self.session is None else self.session.login_id

    def known(self, doing: str) -> Session:
        """Return the session, or raise what there is instead."""
        if self.session is None:
            error = self.error or NotLoggedInError("LoggedOut", doing)
            raise error.with_traceback(None)
        return self.session

    def named(self) -> Choice:
        """Return the local file's names, or raise what is wrong with it."""
        if self.local.error is not None:
            raise self.local.error.with_traceback(None)
        return self.local.choice

    def hint(self) -> str:
        """Say what to do when the current cluster does not exist."""
        if self.local.choice.cluster_name is not None:
            return f"It is named in {self.local.path}: mend that line."
        return "fetch() may find newer ones; switch_cluster(name) chooses another."


class Binding:
    """The login that a store is bound to, and the newest snapshot of it.

    A login, a logout and a reload bind the store anew, with another object. A call that
    began before goes on with the one that it began with, so that what it brings home
    too late is not shown.
    """

    __slots__ = ("snapshot",)

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    @property
    def login_id(self) -> Optional[str]:
        """The login, ``None`` for nobody's."""
        return self.snapshot.login_id


def _resolved(storage: Optional[Storage]) -> Storage:
    return cast(Storage, storage)  # None only until the store resolves the path


def _reading(clock: Callable[[], float]) -> float:
    return in_range(clock())


def _in_range(clock: Callable[[], float]) -> Callable[[], float]:
    if clock is time.time:
        return (
            clock  # the kernel lets nobody set it out of range, and each token asks it
        )
    return functools.partial(_reading, clock)


_PATH = attr.validators.optional(attr.validators.instance_of((str, os.PathLike)))


@attr.define(eq=False, repr=False)
class StoreView:
    """The reading half of ``ConfigStore``."""

    _path: Union[str, os.PathLike[str], None] = attr.field(
        default=None, validator=_PATH
    )
    _storage: Storage = attr.field(default=None, converter=_resolved, kw_only=True)
    _clock: Callable[[], float] = attr.field(
        default=time.time, converter=_in_range, kw_only=True
    )
    _binding: Binding = attr.field(init=False)
    _opened: Optional[Catalog] = attr.field(default=None, init=False)

    def __repr__(self) -> str:
        error = self._snapshot.error
        state = type(self.state if error is None else error)
        return f"<ConfigStore {self._storage.location} {state.__name__}>"

    @property
    def state(self) -> State:
        """The snapshot as ``LoggedOut``, ``LoggedIn`` or ``TokenExpired``, as of now."""
        snapshot = self._snapshot
        if snapshot.error is not None:
            raise snapshot.error.with_traceback(None)
        from ._states import at

        return at(snapshot.session, self._clock())

    @property
    def path(self) -> Path:
        """The directory, resolved; where there is none, what ``location`` says."""
        from pathlib import Path

        return Path(self._storage.location)

    @property
    def location(self) -> str:
        """The place of the login in words, a directory or a URL without its user."""
        return self._storage.location

    @property
    def username(self) -> str:
        """The platform's name of the user."""
        return self._session("username").username

    @property
    def api_url(self) -> URL:
        """The platform that the login belongs to."""
        from ._convert import Malformed, url

        try:
            found: URL = url(self._session("api_url").api_url)
        except Malformed:
            raise DamagedFileError(
                self._storage.location,
                "the login that is stored names a platform that is no URL. Log in again.",
            ) from None
        return found

    @property
    def admin_url(self) -> Optional[URL]:
        """The platform's admin API; ``None`` where it names none."""
        return self._catalog("admin_url").admin_url

    @property
    def vcluster_url(self) -> Optional[URL]:
        """The platform's vcluster API; ``None`` where it names none."""
        return self._catalog("vcluster_url").vcluster_url

    @property
    def service_accounts_url(self) -> URL:
        """The platform's API of service accounts."""
        return self.api_url / "service_accounts"

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        """The clusters by name, in the platform's order; each is read when asked for."""
        return self._catalog("clusters").clusters

    @property
    def projects(self) -> Mapping[Project.Key, Project]:
        """The projects by key; they may lie in clusters that are not available."""
        return self._catalog("projects").projects

    @property
    def available_orgs(self) -> Tuple[Optional[str], ...]:
        """The orgs of all clusters in alphabetical order; ``None`` is "no org"."""
        from ._choice import available_orgs

        return tuple(available_orgs(self._catalog("available_orgs")))

    @property
    def cluster_name(self) -> str:
        """The current cluster.

        Raises:
            NoClusterError: The user has no cluster.
        """
        snapshot = self._snapshot
        session, local = snapshot.known("cluster_name"), snapshot.named()
        name = local.cluster_name or session.choice.cluster_name
        if name is None:
            raise NoClusterError
        return name

    @property
    def org_name(self) -> Optional[str]:
        """The current org; ``None`` is "no org"."""
        return self._choice("org_name").org_name

    @property
    def project_name(self) -> Optional[str]:
        """The current project, or ``None``."""
        return self._choice("project_name").project_name

    @property
    def project_name_or_raise(self) -> str:
        """The current project.

        Raises:
            NoProjectError: There is none.
        """
        name = self.project_name
        if name is None:
            raise NoProjectError
        return name

    @property
    def cluster_orgs(self) -> Tuple[Optional[str], ...]:
        """The orgs of the current cluster in alphabetical order."""
        from ._choice import orgs_in

        return tuple(orgs_in(self._catalog("cluster_orgs"), self.cluster_name))

    @property
    def cluster_org_projects(self) -> Tuple[Project, ...]:
        """The projects of the current cluster and org, by name."""
        cluster_name, org_name = self.cluster_name, self.org_name
        found = [
            project
            for key, project in self.projects.items()
            if (key.cluster_name, key.org_name) == (cluster_name, org_name)
        ]
        return tuple(sorted(found, key=lambda project: project.name))

    @property
    def presets(self) -> Mapping[str, Preset]:
        """The presets of the current cluster by name."""
        from ._catalog import Presets

        return Presets(self._cluster)

    @property
    def resource_pools(self) -> Mapping[str, ResourcePool]:
        """The resource pools of the current cluster by name."""
        return self._cluster.resource_pools

    @property
    def registry_url(self) -> URL:
        """The Docker registry of the current cluster."""
        return self._cluster.registry_url

    @property
    def storage_url(self) -> URL:
        """The storage API of the current cluster."""
        return self._cluster.storage_url

    @property
    def monitoring_url(self) -> URL:
        """The monitoring API of the current cluster."""
        return self._cluster.monitoring_url

    @property
    def secrets_url(self) -> Optional[URL]:
        """The secrets API of the current cluster; ``None`` where it has none."""
        return self._cluster.secrets_url

    @property
    def disk_api_url(self) -> Optional[URL]:
        """The disks API of the current cluster; ``None`` where it has none."""
        return self._cluster.disks_url

    @property
    def bucket_api_url(self) -> Optional[URL]:
        """The buckets API of the current cluster; ``None`` where it has none."""
        return self._cluster.buckets_url

    def get_cluster(self, name: str) -> Cluster:
        """Return a cluster.

        Args:
            name: Of any available cluster.

        Raises:
            UnknownClusterError: There is none of that name.
        """
        return self.clusters[name]

    def get_project_key(
        self,
        cluster_name: Optional[str] = None,
        org_name: Optional[str] = None,
        project_name: Optional[str] = None,
    ) -> Project.Key:
        """Build the key of a project, the current names standing in for missing ones.

        Args:
            cluster_name: Else the current cluster.
            org_name: Else the current org.
            project_name: Else the current project.

        Raises:
            NoClusterError: No cluster is given and there is none.
            NoProjectError: No project is given and none is chosen.
        """
        from ._values import Project

        return Project.Key(
            cluster_name=cluster_name or self.cluster_name,
            org_name=org_name or self.org_name,
            project_name=project_name or self.project_name_or_raise,
        )

    # ---------------------------------------------------------------- machinery

    @property
    def _snapshot(self) -> Snapshot:
        return self._binding.snapshot

    @property
    def _cluster(self) -> Cluster:
        from ._choice import orgs_in

        snapshot, name = self._snapshot, self.cluster_name
        catalog = self._open(snapshot.known("cluster"), "cluster")
        orgs_in(catalog, name, snapshot.hint())
        return catalog.cluster(name)

    def _session(self, doing: str) -> Session:
        return self._snapshot.known(doing)

    def _choice(self, doing: str) -> Choice:
        snapshot = self._snapshot
        session, local = snapshot.known(doing), snapshot.named()
        if local == Choice():
            return session.choice
        from ._choice import effective

        catalog = self._open(session, doing)
        return effective(catalog, session.choice, local, snapshot.hint())

    def _catalog(self, doing: str) -> Catalog:
        return self._open(self._session(doing), doing)

    def _open(self, session: Session, doing: str) -> Catalog:
        opened = self._opened
        if opened is None or opened.digest != session.catalog:
            self._opened = opened = self._opened_anew(session, doing)
        return opened

    def _opened_anew(
        self,
        session: Session,
        doing: str,
        left: Callable[[], float] = lambda: READ_TIMEOUT,
    ) -> Catalog:
        """Open the catalog of a session.

        Args:
            session: It names the catalog.
            doing: The call that asks, for errors.
            left: Returns the seconds that a read of it may take.
        """
        from ._catalog import Catalog

        path = os.path.join(self._storage.location, f"catalog-{session.catalog}.jsonl")

        def read(offset: int, size: int) -> bytes:
            data = self._storage.read_catalog(session.catalog, offset, size, left())
            return self._gone(session, doing, path, left()) if data is None else data

        return Catalog(session.catalog, read, path)

    def _gone(self, session: Session, doing: str, path: str, left: float) -> NoReturn:
        newest = self._storage.read(left)
        if newest is not None and newest.catalog == session.catalog:
            raise DamagedFileError(path, "is missing. Call fetch() to get it again.")
        from ._states import at

        state = type(at(session, self._clock())).__name__
        raise StaleSnapshotError(state, doing, path)
