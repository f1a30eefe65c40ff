"""What the embedded platform has: clusters, presets, pools and projects as values.

One model for every era: it holds all that the newest server knows, and
``_render`` leaves out or rewrites what an older one did not send. The defaults have
a preset of every kind that was ever seen on the wire.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Tuple

import attr

GIB = 2**30

Periods = Tuple[Tuple[int, str, str], ...]


@attr.frozen
class GpuSpec:
    """Describe the GPUs of a preset or a pool.

    Args:
        count: How many.
        model: Name of the model, or ``None`` if the platform does not say.
        memory: Bytes per GPU, or ``None`` if the platform does not say.
    """

    count: int
    model: Optional[str] = None
    memory: Optional[int] = None


@attr.frozen(kw_only=True)
class PresetSpec:
    """Describe one preset of a cluster.

    Args:
        name: Its name.
        cpu: Cores, whole or not.
        memory: Bytes.
        credits_per_hour: Decimal as a string; it is sent digit by digit.
        scheduler_enabled: Sent as ``is_preemptible`` as well.
        preemptible_node: Sent as ``is_preemptible_node_required`` as well.
        nvidia_gpu: Or ``None``, as for the other GPUs.
        amd_gpu: Not sent before 2024.
        intel_gpu: Not sent before 2024.
        nvidia_migs: Profile to its GPUs; not sent before 2025.
        tpu: Type and software version, such as ``("v2-8", "1.14")``.
        resource_pool_names: Pools that the preset is bound to.
        available_resource_pool_names: Pools that it fits into.
    """

    name: str
    cpu: float = 1
    memory: int = GIB
    credits_per_hour: str = "1"
    scheduler_enabled: bool = False
    preemptible_node: bool = False
    nvidia_gpu: Optional[GpuSpec] = None
    amd_gpu: Optional[GpuSpec] = None
    intel_gpu: Optional[GpuSpec] = None
    nvidia_migs: Mapping[str, GpuSpec] = attr.field(factory=dict)
    tpu: Optional[Tuple[str, str]] = None
    resource_pool_names: Tuple[str, ...] = ()
    available_resource_pool_names: Tuple[str, ...] = ()


@attr.frozen(kw_only=True)
class PoolSpec:
    """Describe one resource pool of a cluster.

    The sizes may be ``None``: older servers send ``null`` for them, the newest one
    sends numbers of its own.

    Args:
        name: Its name.
        min_size: Nodes at least.
        max_size: Nodes at most.
        idle_size: Nodes kept idle; 0 is not sent.
        cpu: Cores per node.
        available_cpu: Cores per node for jobs; ``None`` is all of them.
        memory: Bytes per node.
        available_memory: Bytes per node for jobs; ``None`` is all of them.
        disk_size: Bytes per node.
        cpu_min_watts: 0 is not sent.
        cpu_max_watts: 0 is not sent.
        nvidia_gpu: Or ``None``, as for the other GPUs.
        amd_gpu: As above.
        intel_gpu: As above.
        nvidia_migs: Profile to its GPUs.
        tpu: Types, software versions and the IPv4 block.
        is_preemptible: ``False`` is never sent.
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
    cpu_min_watts: float = 0
    cpu_max_watts: float = 0
    nvidia_gpu: Optional[GpuSpec] = None
    amd_gpu: Optional[GpuSpec] = None
    intel_gpu: Optional[GpuSpec] = None
    nvidia_migs: Mapping[str, GpuSpec] = attr.field(factory=dict)
    tpu: Optional[Tuple[Tuple[str, ...], Tuple[str, ...], str]] = None
    is_preemptible: bool = False


def _preset(name: str, cpu: float, memory: int, price: str) -> PresetSpec:
    return PresetSpec(
        name=name,
        cpu=cpu,
        memory=memory,
        credits_per_hour=price,
        available_resource_pool_names=("cpu",),
    )


def _gpu_preset(name: str, **special: Any) -> PresetSpec:
    return attr.evolve(
        _preset(name, 7, 60 * GIB, "30"),
        available_resource_pool_names=("gpu",),
        **special,
    )


_V100 = GpuSpec(1, "nvidia-tesla-v100")

DEFAULT_PRESETS: Tuple[PresetSpec, ...] = (
    # decimal units: not a whole number of MiB
    _preset("cpu-micro", 0.1, 100_000_000, "0.05"),
    _preset("cpu-small", 2, 2 * GIB, "1"),
    attr.evolve(
        _preset("cpu-large", 7.5, 28 * GIB, "3.75"), resource_pool_names=("cpu",)
    ),
    attr.evolve(_preset("cpu-small-p", 2, 4 * GIB, "0.5"), scheduler_enabled=True),
    _gpu_preset("gpu-small", nvidia_gpu=GpuSpec(1, "nvidia-tesla-k80")),
    _gpu_preset(
        "gpu-large",
        nvidia_gpu=GpuSpec(8, "nvidia-tesla-v100", 16 * GIB),
        credits_per_hour="81.20",
    ),
    _gpu_preset(
        "gpu-small-p", nvidia_gpu=_V100, scheduler_enabled=True, preemptible_node=True
    ),
    _gpu_preset("gpu-no-model", nvidia_gpu=GpuSpec(1)),
    _gpu_preset("mig", nvidia_migs={"1g.5gb": GpuSpec(1, "nvidia-mig", 5 * GIB)}),
    _gpu_preset(
        "mig-bare",
        nvidia_migs={"1g.5gb": GpuSpec(1), "2g.10gb": GpuSpec(2, memory=10 * GIB)},
    ),
    _gpu_preset("amd", amd_gpu=GpuSpec(1, "instinct-mi210", 64 * GIB)),
    _gpu_preset("amd-no-model", amd_gpu=GpuSpec(2)),
    _gpu_preset("intel", intel_gpu=GpuSpec(3, "intel-gpu-max")),
    attr.evolve(
        _preset("tpu", 3, 14_336_000_000, "12"),
        tpu=("v2-8", "1.14"),
        available_resource_pool_names=("tpu",),
    ),
    PresetSpec(name="free", credits_per_hour="0"),
)

# what the server of 2021 sent for a cluster that has no presets of its own
PRESETS_OF_2021: Tuple[PresetSpec, ...] = (
    _gpu_preset("gpu-small", nvidia_gpu=GpuSpec(1, "nvidia-tesla-k80")),
    _gpu_preset("gpu-large", nvidia_gpu=_V100),
    _preset("cpu-small", 2, 2 * GIB, "10"),
    _preset("cpu-large", 3, 14 * GIB, "10"),
)

DEFAULT_POOLS: Tuple[PoolSpec, ...] = (
    PoolSpec(
        name="cpu",
        min_size=1,
        max_size=16,
        idle_size=2,
        cpu=8,
        available_cpu=7.5,
        memory=32 * GIB,
        available_memory=28 * GIB,
        disk_size=150 * GIB,
        cpu_min_watts=10.0,
        cpu_max_watts=120.5,
    ),
    PoolSpec(
        name="cpu-p",
        min_size=0,
        max_size=8,
        cpu=8,
        memory=32 * GIB,
        disk_size=150 * GIB,
        is_preemptible=True,
    ),
    PoolSpec(
        name="gpu",
        min_size=0,
        max_size=4,
        cpu=64,
        memory=512 * GIB,
        disk_size=150 * GIB,
        nvidia_gpu=GpuSpec(8, "nvidia-tesla-v100", 16 * GIB),
        amd_gpu=GpuSpec(1, "instinct-mi210"),
        intel_gpu=GpuSpec(3, "intel-gpu-max"),
        nvidia_migs={"1g.5gb": GpuSpec(7, "nvidia-mig", 5 * GIB)},
    ),
    PoolSpec(
        name="tpu",
        min_size=0,
        max_size=1,
        cpu=4,
        memory=16 * GIB,
        disk_size=150 * GIB,
        tpu=(("v2-8", "v3-8"), ("1.14", "2.8"), "1.1.1.1/32"),
    ),
    PoolSpec(name="bare"),
)


@attr.frozen(kw_only=True)
class ClusterSpec:
    """Describe one cluster; its URLs are made of the platform's and its name.

    Args:
        name: Its name.
        orgs: The user's orgs there; ``None`` is access without an org, which the
            newest server does not send any more.
        presets: In the order in which they are sent.
        pools: In the order in which they are sent.
        timezone: IANA name.
        energy_schedules: Name to periods ``(weekday 1-7, "HH:MM", "HH:MM")``.
        storage_volumes: Name to credits per hour and GB, decimal as a string.
        location: Free text, or ``None``.
        logo: Whether a ``logo_url`` is sent.
    """

    name: str
    orgs: Tuple[Optional[str], ...] = ("acme",)
    presets: Tuple[PresetSpec, ...] = DEFAULT_PRESETS
    pools: Tuple[PoolSpec, ...] = DEFAULT_POOLS
    timezone: str = "UTC"
    energy_schedules: Mapping[str, Periods] = attr.field(factory=dict)
    storage_volumes: Mapping[str, str] = attr.field(factory=dict)
    location: Optional[str] = None
    logo: bool = False


DEFAULT_CLUSTER = ClusterSpec(
    name="default",
    timezone="Europe/Zurich",
    energy_schedules={
        "default": tuple((day, "00:00", "23:59") for day in range(1, 8)),
        "green": ((6, "00:00", "06:30"), (7, "22:00", "23:59")),
    },
    storage_volumes={"default": "0.0001", "fast": "100"},
    # not ASCII, so that readers meet the escapes
    location="Z\u00fcrich, CH / \u6771\u4eac",
    logo=True,
)


@attr.frozen(kw_only=True)
class ProjectSpec:
    """Describe one project of the user.

    Args:
        name: Its name.
        cluster_name: May name a cluster that the user does not have.
        org_name: Or ``None`` for a project without an org.
        role: ``admin``, ``manager``, ``writer`` or ``reader``.
    """

    name: str
    cluster_name: str
    org_name: Optional[str] = None
    role: str = "writer"


def make_clusters(
    clusters: int, presets: int, *, orgs: Tuple[Optional[str], ...] = ("acme",)
) -> Tuple[ClusterSpec, ...]:
    """Make clusters with presets of every kind in turn, for sizes and benchmarks.

    Args:
        clusters: How many; they are named ``cluster-0000`` and on.
        presets: How many in each; they are named ``preset-0000`` and on.
        orgs: The user's orgs in each.

    Returns:
        Values for ``Platform(clusters=...)``. All clusters share one tuple of presets.
    """
    kinds = len(DEFAULT_PRESETS)
    shared = tuple(
        attr.evolve(DEFAULT_PRESETS[index % kinds], name=f"preset-{index:04}")
        for index in range(presets)
    )
    return tuple(
        ClusterSpec(name=f"cluster-{index:04}", orgs=orgs, presets=shared)
        for index in range(clusters)
    )
