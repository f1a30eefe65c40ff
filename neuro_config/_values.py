"""What the platform offers, as frozen values: clusters, presets, pools, projects.

A value keeps each fact once; what follows from it is a property, so a value cannot
contradict itself. Lists are tuples. Mappings are read-only, keyed by name, take part
in equality and stay out of the hash. A fact that the platform does not tell is
``None``, an empty tuple or an empty mapping. Every value can be pickled and copied.
"""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Type, TypeVar, cast

import attr
from yarl import URL

# The orgs of a cluster from the time before there were any: access without an org.
BEFORE_ORGS: Tuple[Optional[str], ...] = (None,)

V = TypeVar("V")

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def _read_only(mapping: Mapping[str, V]) -> Mapping[str, V]:
    if type(mapping) is MappingProxyType:
        return mapping
    return MappingProxyType(dict(mapping))


def _mapping() -> Any:
    return attr.field(default=_NOTHING, converter=_read_only, hash=False)


class _Pickled:
    """Pickles and copies as the arguments: read-only mappings cannot do it."""

    __slots__ = ()

    def __reduce__(self) -> Tuple[Callable[..., Any], Tuple[Any, ...]]:
        arguments = {}
        for field in attr.fields(cast(Any, type(self))):
            value = getattr(self, field.name)
            is_mapping = type(value) is MappingProxyType
            arguments[field.name] = dict(value) if is_mapping else value
        return _restore, (type(self), arguments)


def _restore(kind: Type[V], arguments: Dict[str, Any]) -> V:
    return kind(**arguments)


@attr.frozen
class GPU:
    """Graphics processors of one maker, or slices of one kind (MIG).

    Args:
        count: How many.
        model: Their name, or ``None`` where any will do.
        memory: Of each one, in bytes, or ``None`` where it is not told.
    """

    count: int
    model: Optional[str] = None
    memory: Optional[int] = None


@attr.frozen
class TPU:
    """The TPU of a preset."""

    type: str
    software_version: str


@attr.frozen
class Preset(_Pickled):
    """What a job of this name gets, on each of its nodes.

    Args:
        name: Unique within the cluster.
        cpu: Cores; fractions are usual.
        memory: Bytes.
        credits_per_hour: The price, with the digits that the platform sent.
        is_preemptible: The scheduler may stop the job and start it again.
        is_preemptible_node_required: The job runs only on nodes that may vanish.
        nvidia_gpu: Nvidia's GPUs, or ``None``; ``amd_gpu`` and ``intel_gpu`` alike.
        nvidia_migs: Slices of Nvidia's GPUs, by profile (``1g.5gb``).
        tpu: Google's TPU, or ``None``.
        resource_pool_names: The pools that the administrator allows.
        available_resource_pool_names: The pools in which the preset fits.
    """

    name: str
    cpu: float
    memory: int
    credits_per_hour: Optional[Decimal] = None
    is_preemptible: bool = False
    is_preemptible_node_required: bool = False
    nvidia_gpu: Optional[GPU] = None
    amd_gpu: Optional[GPU] = None
    intel_gpu: Optional[GPU] = None
    nvidia_migs: Mapping[str, GPU] = _mapping()
    tpu: Optional[TPU] = None
    resource_pool_names: Tuple[str, ...] = ()
    available_resource_pool_names: Tuple[str, ...] = ()

    @property
    def memory_mb(self) -> int:
        """Memory in MiB (2**20 bytes), rounded down."""
        return self.memory // 2**20

    @property
    def scheduler_enabled(self) -> bool:
        """The platform's newer name of ``is_preemptible``."""
        return self.is_preemptible

    @property
    def preemptible_node(self) -> bool:
        """The platform's newer name of ``is_preemptible_node_required``."""
        return self.is_preemptible_node_required

    @property
    def gpu(self) -> Optional[int]:
        """How many Nvidia GPUs, or ``None``."""
        return None if self.nvidia_gpu is None else self.nvidia_gpu.count

    @property
    def gpu_model(self) -> Optional[str]:
        """The model of the Nvidia GPUs, or ``None``."""
        return None if self.nvidia_gpu is None else self.nvidia_gpu.model

    @property
    def tpu_type(self) -> Optional[str]:
        """The type of the TPU (``v2-8``), or ``None``."""
        return None if self.tpu is None else self.tpu.type

    @property
    def tpu_software_version(self) -> Optional[str]:
        """The software version of the TPU, or ``None``."""
        return None if self.tpu is None else self.tpu.software_version


@attr.frozen
class TPUResource:
    """The TPUs of a pool."""

    ipv4_cidr_block: str
    types: Tuple[str, ...] = ()
    software_versions: Tuple[str, ...] = ()


@attr.frozen
class ResourcePool(_Pickled):
    """Nodes of one kind.

    Args:
        name: Unique within the cluster.
        min_size: Fewest nodes.
        max_size: Most nodes.
        idle_size: Nodes that are kept waiting for jobs.
        cpu: Cores of one node.
        available_cpu: What of them jobs can use.
        memory: Of one node, in bytes.
        available_memory: What of it jobs can use, in bytes.
        disk_size: Of one node, in bytes.
        available_disk_size: What of it jobs can use, in bytes.
        cpu_min_watts: What one node's CPUs draw when idle, in watts.
        cpu_max_watts: What they draw at full load, in watts.
        nvidia_gpu: GPUs of one node; ``amd_gpu`` and ``intel_gpu`` alike.
        nvidia_migs: Slices of Nvidia's GPUs, by profile.
        tpu: What TPUs there are.
        is_preemptible: The nodes may vanish at any time.
    """

    name: str
    min_size: Optional[int] = None
    max_size: Optional[int] = None
    idle_size: int = 0
    cpu: Optional[float] = None
    available_cpu: Optional[float] = None
    memory: Optional[int] = None
    available_memory: Optional[int] = None
    disk_size: Optional[int] = None
    available_disk_size: Optional[int] = None
    cpu_min_watts: float = 0.0
    cpu_max_watts: float = 0.0
    nvidia_gpu: Optional[GPU] = None
    amd_gpu: Optional[GPU] = None
    intel_gpu: Optional[GPU] = None
    nvidia_migs: Mapping[str, GPU] = _mapping()
    tpu: Optional[TPUResource] = None
    is_preemptible: bool = False


@attr.frozen
class SchedulePeriod:
    """A part of a weekday, in the cluster's time zone.

    Args:
        weekday: 1 is Monday, 7 is Sunday.
        start_time: From this minute on.
        end_time: Up to this minute.
    """

    weekday: int
    start_time: time
    end_time: time


@attr.frozen
class EnergySchedule:
    """When energy is cheap or clean: a name and its periods."""

    name: str
    periods: Tuple[SchedulePeriod, ...] = ()


@attr.frozen
class StorageVolume:
    """A volume of the cluster's storage.

    Args:
        name: Unique within the cluster.
        credits_per_hour_per_gb: The price, with the digits that the platform sent.
    """

    name: str
    credits_per_hour_per_gb: Decimal


@attr.frozen
class Apps:
    """Where the apps of a cluster are found.

    Args:
        apps_hostname_templates: Host names with a placeholder for the app's.
        app_proxy_url: The proxy in front of the apps.
        launchpad_use_subdomain: The launchpad has a subdomain of its own.
    """

    apps_hostname_templates: Tuple[str, ...] = ()
    app_proxy_url: Optional[URL] = None
    launchpad_use_subdomain: bool = False


@attr.frozen
class Cluster(_Pickled):
    """One cluster: its services, what it offers and to whom.

    Args:
        name: Unique within the platform.
        orgs: Through which orgs the user has access; ``None`` stands for access
            without an org, which is all that there was before orgs existed.
        presets: By name.
        resource_pools: By name.
        apps: Where the apps are found.
        timezone: IANA name.
        location: For people.
        storage_volumes: By name.
        energy_schedules: By name.

    Every ``*_url`` is a service of the cluster, or ``None`` where the platform (of its
    age) does not name it.
    """

    name: str
    registry_url: URL
    storage_url: URL
    monitoring_url: URL
    users_url: Optional[URL] = None
    secrets_url: Optional[URL] = None
    disks_url: Optional[URL] = None
    buckets_url: Optional[URL] = None
    blob_storage_url: Optional[URL] = None
    metrics_url: Optional[URL] = None
    grafana_url: Optional[URL] = None
    prometheus_url: Optional[URL] = None
    logo_url: Optional[URL] = None
    orgs: Tuple[Optional[str], ...] = BEFORE_ORGS
    presets: Mapping[str, Preset] = _mapping()
    resource_pools: Mapping[str, ResourcePool] = _mapping()
    apps: Apps = Apps()
    timezone: Optional[str] = None
    location: Optional[str] = None
    storage_volumes: Mapping[str, StorageVolume] = _mapping()
    energy_schedules: Mapping[str, EnergySchedule] = _mapping()


@attr.frozen
class Org:
    """An org that the user belongs to, and as what (``admin``, ``manager``, ``user``)."""

    name: str
    role: str


@attr.frozen
class Project:
    """A project that the user has access to.

    Args:
        name: Unique within its cluster and org.
        role: ``admin``, ``manager``, ``writer`` or ``reader``.
        cluster_name: Its cluster, which the user may have no access to.
        org_name: Its org, or ``None`` for a project without one.
    """

    @attr.frozen
    class Key:
        """What tells one project from all others."""

        cluster_name: str
        org_name: Optional[str]
        project_name: str

    name: str
    role: str
    cluster_name: str
    org_name: Optional[str] = None

    @property
    def key(self) -> Project.Key:
        """The key under which the project is listed."""
        return Project.Key(self.cluster_name, self.org_name, self.name)
