"""The values: what they derive, and that they are values."""

from __future__ import annotations

import copy
import pickle
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from yarl import URL

from neuro_config._values import (
    GPU,
    TPU,
    Apps,
    Cluster,
    Preset,
    Project,
    ResourcePool,
)

PRESET = Preset("horse", cpu=8.0, memory=2048000000)
CLUSTER = Cluster(
    "barn",
    registry_url=URL("https://registry.example"),
    storage_url=URL("https://storage.example"),
    monitoring_url=URL("https://jobs.example"),
    presets={"horse": PRESET},
)
POOL = ResourcePool("forge", nvidia_migs={"1g.5gb": GPU(7)})
PROJECT = Project("loom", "writer", "barn", None)


def test_memory_mb() -> None:
    """Memory in MiB is the bytes, rounded down."""
    assert 1953 == PRESET.memory_mb


@pytest.mark.parametrize("value", [True, False])
def test_newer_names(value: bool) -> None:
    """The newer names of the two flags say the same as the older ones."""
    preset = attrs.evolve(
        PRESET, is_preemptible=value, is_preemptible_node_required=not value
    )

    assert (value, not value) == (preset.scheduler_enabled, preset.preemptible_node)


def test_gpu() -> None:
    """``gpu`` and ``gpu_model`` are Nvidia's."""
    preset = attrs.evolve(PRESET, nvidia_gpu=GPU(2, "tesla"), amd_gpu=GPU(1, "mi210"))

    assert (2, "tesla") == (preset.gpu, preset.gpu_model)


def test_tpu() -> None:
    """A preset tells type and software version of its TPU."""
    preset = attrs.evolve(PRESET, tpu=TPU("v2-8", "1.14"))

    assert ("v2-8", "1.14") == (preset.tpu_type, preset.tpu_software_version)


def test_nothing() -> None:
    """A preset without GPU and TPU has ``None`` for all that is about them."""
    actual = (PRESET.gpu, PRESET.gpu_model, PRESET.tpu_type)

    assert (None, None, None, None) == (*actual, PRESET.tpu_software_version)


def test_project_key() -> None:
    """A project's key is its cluster, org and name."""
    assert Project.Key("barn", None, "loom") == PROJECT.key


def test_absent_orgs() -> None:
    """A cluster that tells no orgs is one with access without an org."""
    assert (None,) == CLUSTER.orgs


def test_absent_apps() -> None:
    """A cluster that tells nothing about apps has empty ones."""
    assert Apps((), None, False) == CLUSTER.apps


def test_mappings_are_copied() -> None:
    """A value does not change with the mapping that it was made of."""
    presets = {"horse": PRESET}
    cluster = attrs.evolve(CLUSTER, presets=presets)
    presets.clear()

    assert {"horse": PRESET} == cluster.presets


def test_mappings_are_read_only() -> None:
    """A mapping of a value cannot be changed."""
    presets: Any = CLUSTER.presets

    with pytest.raises(TypeError):
        presets["mule"] = PRESET


def test_mappings_are_shared() -> None:
    """A read-only mapping is taken as it is."""
    presets = MappingProxyType({"horse": PRESET})

    assert presets is attrs.evolve(CLUSTER, presets=presets).presets


@pytest.mark.parametrize("value", [PRESET, POOL, CLUSTER, PROJECT, PROJECT.key])
def test_frozen(value: Any) -> None:
    """A value cannot be changed."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.cluster_name = value.name = "other"


@pytest.mark.parametrize("value", [PRESET, POOL, CLUSTER, PROJECT, PROJECT.key])
def test_hash(value: Any) -> None:
    """Equal values have one hash."""
    assert {value} == {value, copy.copy(value)}


def test_equality_sees_mappings() -> None:
    """Mappings count for equality, though not for the hash."""
    assert CLUSTER != attrs.evolve(CLUSTER, presets={})


@pytest.mark.parametrize("value", [PRESET, POOL, CLUSTER, PROJECT, PROJECT.key])
def test_pickle(value: Any) -> None:
    """A value goes to another process and comes back equal."""
    assert value == pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("value", [PRESET, POOL, CLUSTER])
def test_copies_stay_read_only(value: Any) -> None:
    """The mappings of a copy are as read-only as those of the original."""
    twin = copy.deepcopy(value)
    kinds = {
        field.name: type(getattr(value, field.name))
        for field in attrs.fields(type(value))
    }

    assert kinds == {name: type(getattr(twin, name)) for name in kinds}
