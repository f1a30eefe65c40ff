"""Which field the platform's servers sent from when until when, a table per object.

An era is a month ``YYYY-MM`` and picks the rows that were in force then; dates compare
as strings. ``ABSENT`` drops a field that the server does not send for this value.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

import attr

from neuro_config.testing._model import ClusterSpec, GpuSpec, PoolSpec, PresetSpec

ABSENT: Any = object()
ALWAYS = "0000"
STILL = "9999"

Json = Dict[str, Any]
# name, since, until, and what makes the value of the object and the origin's URL
Row = Tuple[str, str, str, Callable[[Any, str], Any]]


def in_force(rows: Iterable[Row], era: str) -> List[Row]:
    """Pick the rows of an era."""
    return [row for row in rows if row[1] <= era < row[2]]


def render(rows: Iterable[Row], value: Any, origin: str) -> Json:
    """Make the JSON object of a value by rows that are in force."""
    found = ((name, get(value, origin)) for name, _, _, get in rows)
    return {name: item for name, item in found if item is not ABSENT}


def _given(item: Any) -> Any:
    """Drop what is not set: the server sends neither ``null`` nor 0 nor ``[]`` here."""
    return item or ABSENT


# -------------------------------------------------------------------------- GPUs

OBJECTS = "2025-09-02"  # before: a number of GPUs, and the model in a field beside it


def _gpu(gpu: GpuSpec) -> Json:
    return attr.asdict(gpu, filter=lambda _, item: item is not None)


def _gpu_object(field: str) -> Callable[[Any, str], Any]:
    def get(value: Any, _: str) -> Any:
        gpu: Optional[GpuSpec] = getattr(value, field)
        return ABSENT if gpu is None else _gpu(gpu)

    return get


def _gpu_part(field: str, part: str) -> Callable[[Any, str], Any]:
    def get(value: Any, _: str) -> Any:
        return _given(getattr(getattr(value, field), part, None))

    return get


def _migs(value: Any, _: str) -> Any:
    return _given({name: _gpu(gpu) for name, gpu in value.nvidia_migs.items()})


GPU_ROWS: Tuple[Row, ...] = (
    ("nvidia_gpu", "2024-04-30", OBJECTS, _gpu_part("nvidia_gpu", "count")),
    ("amd_gpu", "2024-04-30", OBJECTS, _gpu_part("amd_gpu", "count")),
    ("intel_gpu", "2024-10-21", OBJECTS, _gpu_part("intel_gpu", "count")),
    ("nvidia_gpu_model", "2024-10-21", OBJECTS, _gpu_part("nvidia_gpu", "model")),
    ("amd_gpu_model", "2024-10-21", OBJECTS, _gpu_part("amd_gpu", "model")),
    ("intel_gpu_model", "2024-10-21", OBJECTS, _gpu_part("intel_gpu", "model")),
    ("nvidia_gpu", OBJECTS, STILL, _gpu_object("nvidia_gpu")),
    ("amd_gpu", OBJECTS, STILL, _gpu_object("amd_gpu")),
    ("intel_gpu", OBJECTS, STILL, _gpu_object("intel_gpu")),
    ("nvidia_migs", "2025-10-04", STILL, _migs),
)

# ----------------------------------------------------------------------- presets


def _preset_tpu(preset: PresetSpec, _: str) -> Any:
    if preset.tpu is None:
        return ABSENT
    return {"type": preset.tpu[0], "software_version": preset.tpu[1]}


PRESET_ROWS: Tuple[Row, ...] = (
    ("name", ALWAYS, STILL, lambda p, _: p.name),
    ("credits_per_hour", "2021-02-19", STILL, lambda p, _: p.credits_per_hour),
    ("cpu", ALWAYS, STILL, lambda p, _: p.cpu),
    ("memory", "2022-06-27", STILL, lambda p, _: p.memory),
    ("memory_mb", ALWAYS, STILL, lambda p, _: p.memory // 2**20),
    ("scheduler_enabled", "2020-12-24", STILL, lambda p, _: p.scheduler_enabled),
    ("preemptible_node", "2020-12-24", STILL, lambda p, _: p.preemptible_node),
    ("is_preemptible", ALWAYS, STILL, lambda p, _: p.scheduler_enabled),
    ("is_preemptible_node_required", ALWAYS, STILL, lambda p, _: p.preemptible_node),
    ("gpu", ALWAYS, OBJECTS, _gpu_part("nvidia_gpu", "count")),
    ("gpu_model", ALWAYS, OBJECTS, _gpu_part("nvidia_gpu", "model")),
    *GPU_ROWS,
    ("tpu", ALWAYS, STILL, _preset_tpu),
    (
        "resource_pool_names",
        "2024-04-30",
        STILL,
        lambda p, _: _given(p.resource_pool_names),
    ),
    (
        "available_resource_pool_names",
        "2024-04-30",
        STILL,
        lambda p, _: _given(p.available_resource_pool_names),
    ),
)

# ------------------------------------------------------------------------- pools


def _pool_tpu(pool: PoolSpec, _: str) -> Any:
    if pool.tpu is None:
        return ABSENT
    types, versions, block = pool.tpu
    return {
        "types": types,
        "software_versions": versions,
        "ipv4_cidr_block": block,
    }


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


AVAILABLE = "2025-02-01"  # before: what is available is all that is said

POOL_ROWS: Tuple[Row, ...] = (
    ("name", ALWAYS, STILL, lambda p, _: p.name),
    ("min_size", ALWAYS, OBJECTS, lambda p, _: p.min_size),
    ("max_size", ALWAYS, OBJECTS, lambda p, _: p.max_size),
    ("min_size", OBJECTS, STILL, lambda p, _: _first(p.min_size, 0)),
    ("max_size", OBJECTS, STILL, lambda p, _: _first(p.max_size, 1)),
    ("cpu", ALWAYS, AVAILABLE, lambda p, _: _first(p.available_cpu, p.cpu)),
    ("cpu", AVAILABLE, STILL, lambda p, _: _first(p.cpu, 1.0)),
    (
        "available_cpu",
        AVAILABLE,
        STILL,
        lambda p, _: _first(p.available_cpu, p.cpu, 1.0),
    ),
    ("memory", ALWAYS, AVAILABLE, lambda p, _: _first(p.available_memory, p.memory)),
    ("memory", AVAILABLE, STILL, lambda p, _: _first(p.memory, 2**30)),
    (
        "available_memory",
        AVAILABLE,
        STILL,
        lambda p, _: _first(p.available_memory, p.memory, 2**30),
    ),
    ("disk_size", ALWAYS, OBJECTS, lambda p, _: p.disk_size),
    ("disk_size", OBJECTS, STILL, lambda p, _: _first(p.disk_size, 150 * 2**30)),
    (
        "available_disk_size",
        AVAILABLE,
        STILL,
        lambda p, _: _first(p.disk_size, 150 * 2**30),
    ),
    ("idle_size", "2024-09-10", STILL, lambda p, _: _given(p.idle_size)),
    ("cpu_min_watts", "2024-09-10", STILL, lambda p, _: _given(p.cpu_min_watts)),
    ("cpu_max_watts", "2024-09-10", STILL, lambda p, _: _given(p.cpu_max_watts)),
    *GPU_ROWS,
    ("tpu", ALWAYS, STILL, _pool_tpu),
    ("is_preemptible", ALWAYS, STILL, lambda p, _: _given(p.is_preemptible)),
)

# ---------------------------------------------------------------------- clusters


def _service(path: str) -> Callable[[Any, str], Any]:
    return lambda cluster, origin: f"{origin}/clusters/{cluster.name}/{path}"


ALL_WEEK = {"default": tuple((day, "00:00", "23:59") for day in range(1, 8))}


def _schedules_or_all_week(cluster: ClusterSpec, origin: str) -> Any:
    if not cluster.energy_schedules:
        cluster = attr.evolve(cluster, energy_schedules=ALL_WEEK)
    return _schedules(cluster, origin)


def _schedules(cluster: ClusterSpec, _: str) -> Any:
    return [
        {
            "name": name,
            "periods": [
                {"weekday": weekday, "start_time": start, "end_time": end}
                for weekday, start, end in periods
            ],
        }
        for name, periods in cluster.energy_schedules.items()
    ]


def _volumes(cluster: ClusterSpec, _: str) -> Any:
    return [
        {"name": name, "credits_per_hour_per_gb": price}
        for name, price in cluster.storage_volumes.items()
    ]


def _apps(cluster: ClusterSpec, _: str) -> Json:
    return {"apps_hostname_templates": [f"{{app_name}}.apps.{cluster.name}.localhost"]}


def _apps_with_proxy(cluster: ClusterSpec, origin: str) -> Json:
    return {
        **_apps(cluster, origin),
        "app_proxy_url": f"{origin}/clusters/{cluster.name}/apps",
        "launchpad_use_subdomain": False,
    }


CLUSTER_ROWS: Tuple[Row, ...] = (
    ("name", ALWAYS, STILL, lambda c, _: c.name),
    ("registry_url", ALWAYS, STILL, _service("registry")),
    ("storage_url", ALWAYS, STILL, _service("storage")),
    ("blob_storage_url", "2020-12-18", "2022-04-12", _service("blob")),
    ("monitoring_url", ALWAYS, STILL, _service("jobs")),
    ("secrets_url", "2020-07-14", STILL, _service("secrets")),
    ("metrics_url", "2020-08-07", "2026-04-01", _service("grafana")),
    ("grafana_url", "2026-04-01", STILL, _service("grafana")),
    ("prometheus_url", "2026-04-01", STILL, _service("prometheus")),
    ("disks_url", "2020-12-18", STILL, _service("disk")),
    ("buckets_url", "2021-08-04", STILL, _service("buckets")),
    ("orgs", "2021-11-23", "2025-10-06", lambda c, _: c.orgs),
    (
        "orgs",
        "2025-10-06",
        STILL,
        lambda c, _: [org for org in c.orgs if org is not None],
    ),
    ("timezone", "2023-02-05", STILL, lambda c, _: c.timezone),
    # the day on which the default ended is not known, only that it did
    ("energy_schedules", "2023-02-05", "2026", _schedules_or_all_week),
    ("energy_schedules", "2026", STILL, _schedules),
    ("location", "2024-06-05", STILL, lambda c, _: _given(c.location)),
    (
        "logo_url",
        "2024-06-05",
        STILL,
        lambda c, origin: f"{origin}/logo.svg" if c.logo else ABSENT,
    ),
    ("storage_volumes", "2024-09-10", STILL, _volumes),
    ("apps", "2024-11-18", "2026-04-01", _apps),
    ("apps", "2026-04-01", STILL, _apps_with_proxy),
)
