"""What the platform offers, as a file of which one can read a part.

Line 1 is an index; then comes one line per cluster, the JSON that the platform sent
for it, in its own writing where that is one line (``_cluster_line``). So a newer
version of this library finds fields that this one does not know, and a fetch recognises
the clusters that it has checked before (``_walk``). The catalog's digest is SHA-256 of line 1, and line 1 holds the SHA-256 of each
other line: whatever part is read, it is proven to be what was written.

A switch reads the index, ``presets`` the index and one line.
"""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
    TypeVar,
)

import attr

from ._catalog_index import (
    SCHEMA,
    SIZE_LIMIT,
    BadIndex,
    NewerIndex,
    origins_of_clusters,
    parse_index,
)
from ._cluster_line import ClusterLine, Known, origin_of, to_json
from ._errors import (
    DamagedFileError,
    MalformedAnswerError,
    NewerSchemaError,
    UnknownClusterError,
    UnknownPresetError,
)
from ._version import __version__

if TYPE_CHECKING:
    from yarl import URL

    from ._payload import ServerConfig
    from ._values import Cluster, Org, Preset, Project

FIRST_READ = 1 << 16  # bytes
INDEX_LIMIT = 1 << 26  # bytes

FETCH_HINT = "fetch() may find newer ones."

Read = Callable[[int, int], bytes]
Line = TypeVar("Line", bytes, memoryview)


def encode(config: ServerConfig, api_url: str) -> bytes:
    """Write a catalog.

    Args:
        config: What the platform answered.
        api_url: The platform, one of the hosts that a token may go to.

    Returns:
        The bytes of the file.

    Raises:
        MalformedAnswerError: It is too much.
    """
    origins = {origin_of(api_url)}
    clusters: Dict[str, Any] = {}
    offset = 0
    for line in config.clusters:
        size = len(line.text) + 1
        clusters[line.name] = [offset, size, line.digest, line.orgs]
        origins.update(line.origins)
        offset += size
    for url in (config.admin_url, config.vcluster_url):
        if url is not None:
            origins.add(origin_of(str(url)))
    places = {origin: place for place, origin in enumerate(sorted(origins))}
    index = {
        "schema": SCHEMA,
        "size": offset,
        "source": config.source,
        "admin_url": config.admin_url and str(config.admin_url),
        "vcluster_url": config.vcluster_url and str(config.vcluster_url),
        "origins": [*places],
        "orgs": [[org.name, org.role] for org in config.orgs],
        "projects": [_project_json(project) for project in config.projects],
        "clusters": clusters,
        "checked_by": __version__,
        "cluster_origins": [
            [places[origin] for origin in line.origins] for line in config.clusters
        ],
    }
    first = to_json(index)
    if len(first) > INDEX_LIMIT or offset > SIZE_LIMIT:
        raise MalformedAnswerError(api_url, "is more than can be stored.")
    return b"\n".join([first, *(line.text for line in config.clusters), b""])


def digest_of(catalog: bytes) -> str:
    """Tell the digest of a catalog.

    Args:
        catalog: The bytes of the file, or at least its first line.

    Returns:
        SHA-256 in hex.
    """
    return hashlib.sha256(catalog[: catalog.index(b"\n") + 1]).hexdigest()


def in_memory(data: bytes) -> Catalog:
    """Open a catalog that is not stored yet."""
    return Catalog(
        digest_of(data), lambda offset, size: data[offset : offset + size], path=""
    )


@attr.define(eq=False)
class Catalog:
    """A stored catalog, read as far as it is asked for.

    Args:
        digest: Its name.
        read: Returns up to ``size`` bytes from ``offset``; may raise what it wants.
        path: The file, for errors.
    """

    digest: str
    _read: Read = attr.field(repr=False)
    path: str
    _index: Optional[Dict[str, Any]] = attr.field(default=None, init=False, repr=False)
    _orgs_of: Optional[Dict[str, List[Optional[str]]]] = attr.field(
        default=None, init=False, repr=False
    )
    _start: int = attr.field(default=0, init=False, repr=False)
    _parsed: Dict[str, Cluster] = attr.field(factory=dict, init=False, repr=False)
    _projects: Optional[Mapping[Project.Key, Project]] = attr.field(
        default=None, init=False, repr=False
    )
    _is_loaded: bool = attr.field(default=False, init=False, repr=False)

    def load(self) -> None:
        """Read all of it into memory, unparsed; nothing is read afterwards."""
        if self._is_loaded:
            return
        size: int = self.index["size"]
        start = self._start
        data = self._read(start, size)
        self._read = lambda offset, size: data[offset - start : offset - start + size]
        self._is_loaded = True

    def whole(self) -> Known:
        """Return all of it, proven.

        Raises:
            DamagedFileError: Any of its bytes is not what was written.
        """
        index = self.index
        data = self._read(0, self._start + index["size"])
        view = memoryview(data)
        if hashlib.sha256(view[: self._start]).hexdigest() != self.digest:
            raise self._damaged("line 1")
        entries = index["clusters"].items()
        texts = []
        for name, (offset, size, _, _) in entries:
            start = self._start + offset
            line = self._proven(name, view[start : start + size])
            texts.append(line[:-1])
        # Nothing to zip with if another version has checked them.
        origins = origins_of_clusters(index, __version__)
        lines = tuple(
            ClusterLine(name, text, digest, tuple(orgs), own)
            for (name, (_, _, digest, orgs)), text, own in zip(entries, texts, origins)
        )
        return Known(data, index.get("source") or "", lines)

    @property
    def orgs_of(self) -> Mapping[str, List[Optional[str]]]:
        """The orgs of each cluster by the cluster's name; ``None`` is "no org"."""
        if self._orgs_of is None:
            entries = self.index["clusters"].items()
            self._orgs_of = {name: entry[3] for name, entry in entries}
        return self._orgs_of

    def projects_of(self, cluster_name: str, org_name: Optional[str]) -> List[str]:
        """Return the names of the projects of a cluster and org, in order."""
        return sorted(
            project["name"]
            for project in self.index["projects"]
            if project["cluster_name"] == cluster_name
            and project.get("org_name") == org_name
        )

    @property
    def origins(self) -> List[str]:
        """The places a token may go to, each ``scheme://host:port``."""
        origins: List[str] = self.index["origins"]
        return origins

    @property
    def admin_url(self) -> Optional[URL]:
        """The admin API, where the platform has one."""
        return self._url("admin_url")

    @property
    def vcluster_url(self) -> Optional[URL]:
        """The vcluster API, where the platform has one."""
        return self._url("vcluster_url")

    @property
    def orgs(self) -> Tuple[Org, ...]:
        """The user's orgs and roles."""
        from ._values import Org

        return tuple(Org(name=name, role=role) for name, role in self.index["orgs"])

    @property
    def projects(self) -> Mapping[Project.Key, Project]:
        """The user's projects."""
        if self._projects is None:
            from ._wire import parse_project

            projects = [parse_project(raw) for raw in self.index["projects"]]
            self._projects = MappingProxyType({one.key: one for one in projects})
        return self._projects

    def cluster(self, name: str) -> Cluster:
        """Return a cluster.

        Raises:
            KeyError: There is none of that name.
            DamagedFileError: Its line is not what was written.
        """
        if name not in self._parsed:
            from ._convert import Malformed, parse_json
            from ._wire import parse_cluster

            line = self.line(name)
            try:
                cluster = parse_cluster(parse_json(line))
                if cluster.name != name:
                    raise Malformed("name", "another one than in line 1")
            except Malformed as error:
                # Another version of the library, or of Python, took it for good.
                raise self._unreadable(f"cluster {name!r}", f": {error}") from None
            self._parsed[name] = cluster
        return self._parsed[name]

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        """All clusters by name, each read when it is asked for."""
        return _Clusters(self)

    def line(self, name: str) -> bytes:
        """Return the bytes of a cluster's line, proven."""
        offset, size, _, _ = self.index["clusters"][name]
        return self._proven(name, self._read(self._start + offset, size))

    def _proven(self, name: str, line: Line) -> Line:
        if hashlib.sha256(line).hexdigest() != self.index["clusters"][name][2]:
            raise self._damaged(f"the line of the cluster {name!r}")
        return line

    @property
    def index(self) -> Dict[str, Any]:
        """Line 1, proven by the digest."""
        if self._index is None:
            line = self._read_line()
            if hashlib.sha256(line).hexdigest() != self.digest:
                raise self._damaged("line 1")
            try:
                self._index = parse_index(line)
            except BadIndex as error:
                raise self._unreadable(f"line 1: {error}") from None
            except NewerIndex as error:
                advice = "Update neuro_config here, or call fetch()."
                raise NewerSchemaError(self.path, f"{error}. {advice}") from None
            self._start = len(line)
        return self._index

    def _read_line(self) -> bytes:
        data = b""
        size = FIRST_READ
        while len(data) < INDEX_LIMIT:
            part = self._read(len(data), size)
            end = part.find(b"\n")
            if end >= 0:
                return data + part[: end + 1]
            if not part:
                raise self._damaged("line 1")
            data += part
            size = len(data)
        raise self._damaged("line 1")

    def _damaged(self, what: str) -> DamagedFileError:
        return DamagedFileError(
            self.path, f"{what} is not what was written. Call fetch() to mend it."
        )

    def _unreadable(self, what: str, why: str = "") -> DamagedFileError:
        return DamagedFileError(
            self.path, f"{what} cannot be read here{why}. Call fetch()."
        )

    def _url(self, key: str) -> Optional[URL]:
        from ._convert import Malformed, url

        value = self.index.get(key)
        try:
            found: Optional[URL] = None if value is None else url(value)
        except Malformed:
            raise self._unreadable(f"line 1: {key}") from None
        return found


class _Clusters(Mapping[str, "Cluster"]):
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def __getitem__(self, name: str) -> Cluster:
        if name not in self._catalog.orgs_of:
            raise UnknownClusterError(name, self, FETCH_HINT)
        return self._catalog.cluster(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._catalog.orgs_of)

    def __len__(self) -> int:
        return len(self._catalog.orgs_of)


class Presets(Mapping[str, "Preset"]):
    """The presets of a cluster by name."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __getitem__(self, name: str) -> Preset:
        presets = self._cluster.presets
        if name not in presets:
            hint = f"The cluster is {self._cluster.name!r}."
            raise UnknownPresetError(name, presets, hint)
        return presets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cluster.presets)

    def __len__(self) -> int:
        return len(self._cluster.presets)


def _project_json(project: Project) -> Dict[str, Optional[str]]:
    return {
        "name": project.name,
        "role": project.role,
        "cluster_name": project.cluster_name,
        "org_name": project.org_name,
    }
