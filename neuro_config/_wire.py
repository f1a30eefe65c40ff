"""The platform's objects of every era as tables: presets, pools, clusters, projects.

A row is the platform's name of a field and its converter; of several names of one
field the last counts.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple, cast

import attr

from ._convert import (
    Fields,
    Malformed,
    Table,
    at_path,
    by_name,
    clock_time,
    count,
    decimal,
    flag,
    list_of,
    mebibytes,
    number,
    object_of,
    text,
    text_or_none,
    texts,
    unique,
    url,
    weekday,
)
from ._values import (
    GPU,
    TPU,
    Apps,
    Cluster,
    EnergySchedule,
    Org,
    Preset,
    Project,
    ResourcePool,
    SchedulePeriod,
    StorageVolume,
    TPUResource,
)

# ------------------------------------------------------------ presets and pools

_gpu_object = object_of(GPU, {"count": count, "model": text, "memory": count})


def _gpu(raw: Any) -> GPU:
    # Until September 2025 the count stood alone, with the model beside it.
    if type(raw) is int:
        return GPU(count(raw))
    return cast(GPU, _gpu_object(raw))


def _migs(raw: Any) -> Dict[str, GPU]:
    if type(raw) is not dict:
        raise Malformed("", "not an object")
    migs = {}
    try:
        for profile, value in raw.items():
            migs[profile] = _gpu_object(value)
    except Malformed as error:
        raise error.under(f"[{profile[:40]!r}]") from None
    return migs


_GPUS: Table = {
    "nvidia_gpu": _gpu,
    "nvidia_gpu_model": text,
    "amd_gpu": _gpu,
    "amd_gpu_model": text,
    "intel_gpu": _gpu,
    "intel_gpu_model": text,
    "nvidia_migs": _migs,
}


_MODELS = (
    ("nvidia_gpu", "nvidia_gpu_model"),
    ("amd_gpu", "amd_gpu_model"),
    ("intel_gpu", "intel_gpu_model"),
)


def _mend_gpus(fields: Fields) -> None:
    for name, model_name in _MODELS:
        if model_name in fields:
            model = fields.pop(model_name)
            gpu = fields.get(name)
            if gpu is not None and gpu.model is None:
                fields[name] = attr.evolve(gpu, model=model)


_preset = object_of(
    Preset,
    {
        "name": text,
        "credits_per_hour": decimal,
        "cpu": number,
        "memory_mb": mebibytes,
        "memory": count,
        "scheduler_enabled": flag,
        "preemptible_node": flag,
        "is_preemptible": flag,
        "is_preemptible_node_required": flag,
        "gpu": _gpu,
        "gpu_model": text,
        **_GPUS,
        "tpu": object_of(TPU, {"type": text, "software_version": text}),
        "resource_pool_names": texts,
        "available_resource_pool_names": texts,
    },
    {
        "memory_mb": "memory",
        "scheduler_enabled": "is_preemptible",
        "preemptible_node": "is_preemptible_node_required",
        "gpu": "nvidia_gpu",
        "gpu_model": "nvidia_gpu_model",
    },
    _mend_gpus,
)

_pool = object_of(
    ResourcePool,
    {
        "name": text,
        "min_size": count,
        "max_size": count,
        "idle_size": count,
        "cpu": number,
        "available_cpu": number,
        "memory": count,
        "available_memory": count,
        "disk_size": count,
        "available_disk_size": count,
        "cpu_min_watts": number,
        "cpu_max_watts": number,
        **_GPUS,
        "tpu": object_of(
            TPUResource,
            {"types": texts, "software_versions": texts, "ipv4_cidr_block": text},
        ),
        "is_preemptible": flag,
    },
    mend=_mend_gpus,
)

# --------------------------------------------------- clusters, orgs and projects

_unique_orgs = unique(text_or_none, lambda name: name)


def _cluster_orgs(raw: Any) -> Tuple[Optional[str], ...]:
    return tuple(_unique_orgs(raw))


_period = object_of(
    SchedulePeriod,
    {"weekday": weekday, "start_time": clock_time, "end_time": clock_time},
)
_schedule = object_of(EnergySchedule, {"name": text, "periods": list_of(_period)})
_volume = object_of(StorageVolume, {"name": text, "credits_per_hour_per_gb": decimal})


cluster = object_of(
    Cluster,
    {
        "name": text,
        "registry_url": url,
        "storage_url": url,
        "monitoring_url": url,
        "users_url": url,
        "secrets_url": url,
        "disks_url": url,
        "buckets_url": url,
        "blob_storage_url": url,
        "metrics_url": url,
        "grafana_url": url,
        "prometheus_url": url,
        "logo_url": url,
        "orgs": _cluster_orgs,
        "resource_presets": by_name(_preset),
        "resource_pool_types": by_name(_pool),
        "apps": object_of(
            Apps,
            {
                "apps_hostname_templates": texts,
                "app_proxy_url": url,
                "launchpad_use_subdomain": flag,
            },
        ),
        "timezone": text,
        "location": text,
        "storage_volumes": by_name(_volume),
        "energy_schedules": by_name(_schedule),
    },
    {"resource_presets": "presets", "resource_pool_types": "resource_pools"},
)

org = object_of(Org, {"name": text, "role": text})
project = object_of(
    Project, {"name": text, "role": text, "cluster_name": text, "org_name": text}
)


def parse_cluster(raw: object, where: str = "") -> Cluster:
    """Read a cluster from the platform's object; ``where`` is the path to it.

    Raises:
        Malformed: The platform sends no such cluster.
    """
    return cast(Cluster, at_path(where, cluster, raw))


def parse_org(raw: object, where: str = "") -> Org:
    """Read an org from the platform's object; ``where`` is the path to it.

    Raises:
        Malformed: The platform sends no such org.
    """
    return cast(Org, at_path(where, org, raw))


def parse_project(raw: object, where: str = "") -> Project:
    """Read a project from the platform's object; ``where`` is the path to it.

    Raises:
        Malformed: The platform sends no such project.
    """
    return cast(Project, at_path(where, project, raw))
