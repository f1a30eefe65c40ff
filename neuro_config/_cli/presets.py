"""``neuro-config presets``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional

import click

from neuro_config._cli._base import Command, Settings, clusters, completing, table

if TYPE_CHECKING:
    from neuro_config import GPU, Preset

HEADINGS = ("Preset", ">CPU", ">Memory", "GPU", "Preemptible", ">Credits/h")
MAKERS = ("nvidia", "amd", "intel")
MEMORY_UNITS = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20))


@click.command(cls=Command)
@click.option(
    "--cluster",
    "name",
    metavar="NAME",
    shell_complete=completing(clusters),
    help="The cluster; else the current one.",
)
@click.pass_obj
def command(settings: Settings, name: Optional[str]) -> None:
    """List the presets of a cluster.

    They are those of the last fetch.
    """
    store = settings.store()
    presets = store.presets if name is None else store.get_cluster(name).presets
    found = list(presets.values())
    settings.say(
        lambda: table(HEADINGS, map(_row, found)), [_data(preset) for preset in found]
    )


def _data(preset: Preset) -> Dict[str, Any]:
    price, tpu = preset.credits_per_hour, preset.tpu
    return {
        "name": preset.name,
        "cpu": preset.cpu,
        "memory": preset.memory,
        # As text, with the platform's own digits.
        "credits_per_hour": None if price is None else str(price),
        "is_preemptible": preset.is_preemptible,
        "is_preemptible_node_required": preset.is_preemptible_node_required,
        "nvidia_gpu": _gpu(preset.nvidia_gpu),
        "amd_gpu": _gpu(preset.amd_gpu),
        "intel_gpu": _gpu(preset.intel_gpu),
        "nvidia_migs": {
            profile: _gpu(mig) for profile, mig in preset.nvidia_migs.items()
        },
        "tpu": tpu and {"type": tpu.type, "software_version": tpu.software_version},
        "resource_pool_names": list(preset.resource_pool_names),
        "available_resource_pool_names": list(preset.available_resource_pool_names),
    }


def _gpu(gpu: Optional[GPU]) -> Optional[Dict[str, Any]]:
    if gpu is None:
        return None
    return {"count": gpu.count, "model": gpu.model, "memory": gpu.memory}


def _row(preset: Preset) -> Iterator[object]:
    yield preset.name
    yield f"{preset.cpu:g}"
    yield _memory(preset.memory)
    yield ", ".join(_accelerators(preset)) or None
    yield "yes" if preset.is_preemptible else ""
    yield preset.credits_per_hour


def _accelerators(preset: Preset) -> Iterator[str]:
    for maker in MAKERS:
        gpu: Optional[GPU] = getattr(preset, f"{maker}_gpu")
        if gpu is not None:
            yield f"{gpu.count} x {gpu.model or maker}"
    for profile, mig in preset.nvidia_migs.items():
        yield f"{mig.count} x {profile}"
    if preset.tpu is not None:
        yield f"TPU {preset.tpu.type}"


def _memory(size: int) -> str:
    unit, factor = next(
        (each for each in MEMORY_UNITS if size >= each[1]), MEMORY_UNITS[-1]
    )
    return f"{size / factor:.4g} {unit}"
