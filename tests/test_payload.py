"""The platform's answers, of every era, and everything that is none."""

from __future__ import annotations

import copy
import json
import sys
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from samples import raw_of
from yarl import URL

from neuro_config._convert import VALUES_LIMIT, Malformed, parse_json
from neuro_config._errors import MalformedAnswerError, PlatformError
from neuro_config._payload import ServerConfig, parse_config
from neuro_config._session import AuthConfig
from neuro_config._values import (
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
from neuro_config._wire import (
    parse_cluster,
    parse_org,
    parse_project,
)

PAYLOADS = Path(__file__).parent / "payloads"
CAPTURES = Path(__file__).parents[2] / "shared" / "platform" / "captures"
CAPTURED = sorted(CAPTURES.glob("*.json"))
AUTHORIZED = [path for path in CAPTURED if "-authorized-" in path.name]

API = "https://api.meadow.example/api/v1"
NO_CLUSTERS = b'{"error": "Current user doesn\'t have access to any cluster."}'

AUTH = AuthConfig(
    auth_url="https://login.meadow.example/authorize",
    token_url="https://login.meadow.example/oauth/token",
    client_id="meadow-cli",
    audience="https://api.meadow.example",
    logout_url="https://login.meadow.example/v2/logout",
    callback_urls=(
        "http://127.0.0.1:54540",
        "http://127.0.0.1:54541",
        "http://127.0.0.1:54542",
    ),
    headless_callback_url="https://meadow.example/oauth/show-code",
)
AUTH_WITH_REDIRECT = attrs.evolve(
    AUTH, success_redirect_url="https://meadow.example/welcome"
)
NIGHT = {
    "night": EnergySchedule(
        "night",
        (
            SchedulePeriod(1, time(22, 30), time(23, 59)),
            SchedulePeriod(7, time(22, 30), time(23, 59)),
        ),
    )
}


def read(name: str) -> ServerConfig:
    return parse_config((PAYLOADS / f"{name}.json").read_bytes(), url=API)


def barn(name: str) -> Cluster:
    return parse_cluster(raw_of(read(name).clusters[0]))


def cluster_of(name: str, **more: Any) -> Cluster:
    """The cluster with the URLs that every era has."""
    host = f"{name}.meadow.example"
    return Cluster(
        name,
        registry_url=URL(f"https://registry.{host}"),
        storage_url=URL(f"https://{host}/storage"),
        monitoring_url=URL(f"https://{host}/jobs"),
        secrets_url=URL(f"https://{host}/secrets"),
        disks_url=URL(f"https://{host}/disk"),
        buckets_url=URL(f"https://{host}/buckets"),
        **more,
    )


def by_name(*values: Any) -> Dict[str, Any]:
    return {value.name: value for value in values}


# --------------------------------------------------------------------- the eras


def test_2021_12_root() -> None:
    """In 2021 clusters mean an accepted token, and the root repeats the first."""
    config = read("2021-12")

    assert (
        ServerConfig(
            authorized=True,
            auth=AUTH,
            admin_url=URL("https://admin.meadow.example/api"),
            clusters=config.clusters,
        )
        == config
    )


def test_2021_12_cluster() -> None:
    """A cluster of 2021 has presets whose memory is told in MiB."""
    expected = cluster_of(
        "barn",
        users_url=URL("https://meadow.example/users"),
        blob_storage_url=URL("https://barn.meadow.example/blob"),
        metrics_url=URL("https://metrics.barn.meadow.example"),
        orgs=("weavers", None),
        presets=by_name(
            Preset("hen", 0.5, 1953 * 2**20, credits_per_hour=Decimal("81.20")),
            Preset(
                "horse",
                8.0,
                65536 * 2**20,
                credits_per_hour=Decimal("0E-10"),
                is_preemptible=True,
                is_preemptible_node_required=True,
                nvidia_gpu=GPU(2, "tesla-k80"),
            ),
            Preset(
                "ox",
                4.0,
                8192 * 2**20,
                credits_per_hour=Decimal(7),
                nvidia_gpu=GPU(1),
            ),
            Preset(
                "goat",
                3.0,
                13671 * 2**20,
                credits_per_hour=Decimal(12),
                tpu=TPU("v2-8", "1.14"),
            ),
        ),
    )

    assert expected == barn("2021-12")


def test_2021_12_logged_out() -> None:
    """In 2021 the answer without a token is nothing but the way to log in."""
    assert ServerConfig(authorized=False, auth=AUTH) == read("2021-12-logged-out")


def test_2022_07_root() -> None:
    """Since 2022 the platform says by itself whether it accepts the token."""
    config = read("2022-07")

    assert (
        ServerConfig(
            authorized=True,
            auth=AUTH_WITH_REDIRECT,
            admin_url=URL("https://admin.meadow.example/api"),
            clusters=config.clusters,
        )
        == config
    )


def test_2022_07_cluster() -> None:
    """A cluster of 2022 tells memory in bytes."""
    expected = cluster_of(
        "barn",
        users_url=URL("https://meadow.example/users"),
        metrics_url=URL("https://metrics.barn.meadow.example"),
        orgs=(None,),
        presets=by_name(
            Preset(
                "hen",
                0.5,
                2048000000,
                credits_per_hour=Decimal("0.05"),
                is_preemptible=True,
            ),
            Preset(
                "horse",
                8.0,
                2**36,
                credits_per_hour=Decimal(30),
                nvidia_gpu=GPU(2, "tesla-k80"),
            ),
        ),
    )

    assert expected == barn("2022-07")


def test_2022_07_logged_out() -> None:
    """A token that is not accepted is no error of the parser."""
    expected = ServerConfig(authorized=False, auth=AUTH_WITH_REDIRECT)

    assert expected == read("2022-07-logged-out")


def test_2023_04_root() -> None:
    """Orgs and projects appear; a project may have no org and an unlisted cluster."""
    config = read("2023-04")

    assert (
        ServerConfig(
            authorized=True,
            auth=AUTH,
            admin_url=URL("https://admin.meadow.example/api"),
            orgs=(Org("weavers", "manager"),),
            projects=(
                Project("loom", "writer", "barn", "weavers"),
                Project("loom", "admin", "mill", None),
            ),
            clusters=config.clusters,
        )
        == config
    )


def test_2023_04_cluster() -> None:
    """Time zone and energy schedules appear."""
    expected = cluster_of(
        "barn",
        users_url=URL("https://meadow.example/users"),
        metrics_url=URL("https://metrics.barn.meadow.example"),
        orgs=("weavers",),
        timezone="Europe/Vilnius",
        energy_schedules=NIGHT,
        presets=by_name(
            Preset("hen", 1.0, 2048000000, credits_per_hour=Decimal("0.05"))
        ),
    )

    assert expected == barn("2023-04")


def test_2024_12_cluster() -> None:
    """Pools, volumes, apps, a place and GPUs of all makers appear."""
    disk = 161061273600
    expected = cluster_of(
        "barn",
        users_url=URL("https://meadow.example/users"),
        metrics_url=URL("https://metrics.barn.meadow.example"),
        logo_url=URL("https://meadow.example/logo.png"),
        location="Vilnius",
        timezone="UTC",
        orgs=("weavers", None),
        apps=Apps(("{app_name}.apps.barn.meadow.example",)),
        storage_volumes=by_name(StorageVolume("cellar", Decimal("0.0001"))),
        resource_pools=by_name(
            ResourcePool(
                "stalls",
                min_size=1,
                max_size=16,
                idle_size=2,
                cpu=7.5,
                memory=30064771072,
                disk_size=disk,
                cpu_min_watts=10.0,
                cpu_max_watts=120.5,
            ),
            ResourcePool(
                "forge",
                min_size=0,
                max_size=4,
                cpu=64.0,
                memory=2**39,
                disk_size=disk,
                nvidia_gpu=GPU(8, "tesla-v100"),
                amd_gpu=GPU(1, "mi210"),
                intel_gpu=GPU(3, "max-1100"),
                is_preemptible=True,
            ),
            ResourcePool(
                "kiln",
                min_size=0,
                max_size=1,
                cpu=4.0,
                memory=2**34,
                disk_size=disk,
                tpu=TPUResource("10.0.0.0/29", ("v2-8", "v3-8"), ("1.14", "2.8")),
            ),
            ResourcePool("attic"),
        ),
        presets=by_name(
            Preset(
                "horse",
                8.0,
                2**36,
                credits_per_hour=Decimal(30),
                nvidia_gpu=GPU(2, "tesla-v100"),
                resource_pool_names=("forge",),
                available_resource_pool_names=("forge",),
            ),
            Preset(
                "mule",
                2.0,
                2**32,
                credits_per_hour=Decimal(9),
                amd_gpu=GPU(1, "mi210"),
                intel_gpu=GPU(3, "max-1100"),
                available_resource_pool_names=("forge",),
            ),
        ),
    )

    assert expected == barn("2024-12")


@pytest.mark.parametrize(
    ("name", "nvidia", "amd", "intel", "preset"),
    [
        (
            "2025-06-integers",
            GPU(8, "tesla-v100"),
            GPU(1, "mi210"),
            GPU(3, "max-1100"),
            GPU(2, "tesla-v100"),
        ),
        (
            "2025-06-objects",
            GPU(8, "tesla-v100", 2**34),
            GPU(1, "mi210"),
            GPU(3),
            GPU(2, "tesla-v100", 2**34),
        ),
    ],
)
def test_2025_06_cluster(
    name: str, nvidia: GPU, amd: GPU, intel: GPU, preset: GPU
) -> None:
    """What jobs can use of a pool appears; GPUs are counts, later objects."""
    expected = cluster_of(
        "barn",
        users_url=URL("https://meadow.example/users"),
        metrics_url=URL("https://metrics.barn.meadow.example"),
        timezone="UTC",
        orgs=(None,),
        resource_pools=by_name(
            ResourcePool(
                "forge",
                min_size=0,
                max_size=4,
                cpu=64.0,
                available_cpu=63.0,
                memory=2**39,
                available_memory=540000000000,
                disk_size=161061273600,
                available_disk_size=150000000000,
                nvidia_gpu=nvidia,
                amd_gpu=amd,
                intel_gpu=intel,
                is_preemptible=True,
            )
        ),
        presets=by_name(
            Preset(
                "horse",
                8.0,
                2**36,
                credits_per_hour=Decimal(30),
                nvidia_gpu=preset,
                available_resource_pool_names=("forge",),
            )
        ),
    )

    assert expected == barn(name)


def test_2026_08_root() -> None:
    """The service of virtual clusters appears."""
    config = read("2026-08")

    assert (
        ServerConfig(
            authorized=True,
            auth=AUTH,
            admin_url=URL("https://admin.meadow.example/api"),
            vcluster_url=URL("https://vcluster.meadow.example/api"),
            orgs=(Org("weavers", "admin"),),
            projects=(Project("loom", "reader", "barn", "weavers"),),
            clusters=config.clusters,
        )
        == config
    )


def test_2026_08_cluster() -> None:
    """Slices of GPUs and new URLs appear, and "NO_ORG" is an ordinary name."""
    expected = cluster_of(
        "barn",
        users_url=URL("https://meadow.example/users"),
        grafana_url=URL("https://grafana.barn.meadow.example"),
        prometheus_url=URL("https://prometheus.barn.meadow.example"),
        logo_url=URL("https://meadow.example/logo.png"),
        location="Vilnius \N{SNOWMAN} \N{SHEEP}",
        timezone="Europe/Vilnius",
        orgs=("weavers", "NO_ORG"),
        energy_schedules=NIGHT,
        apps=Apps(
            ("{app_name}.apps.barn.meadow.example",),
            URL("https://proxy.apps.barn.meadow.example"),
            True,
        ),
        storage_volumes=by_name(StorageVolume("cellar", Decimal(100))),
        resource_pools=by_name(
            ResourcePool(
                "forge",
                min_size=0,
                max_size=4,
                cpu=64.0,
                available_cpu=63.0,
                memory=2**39,
                available_memory=540000000000,
                disk_size=161061273600,
                available_disk_size=150000000000,
                nvidia_gpu=GPU(8, "tesla-v100", 2**34),
                nvidia_migs={"1g.5gb": GPU(7, "mig", 5 * 2**30)},
                amd_gpu=GPU(1, "mi210"),
                intel_gpu=GPU(3),
                is_preemptible=True,
            )
        ),
        presets=by_name(
            Preset(
                "horse",
                8.0,
                2**36,
                credits_per_hour=Decimal(30),
                nvidia_gpu=GPU(2, "tesla-v100", 2**34),
                amd_gpu=GPU(1),
                intel_gpu=GPU(3, "max-1100"),
                resource_pool_names=("forge",),
                available_resource_pool_names=("forge", "stalls"),
            ),
            Preset(
                "lamb",
                3.0,
                2**34,
                credits_per_hour=Decimal(4),
                nvidia_migs={
                    "1g.5gb": GPU(1),
                    "2g.10gb": GPU(2, "mig", 10 * 2**30),
                },
                available_resource_pool_names=("forge",),
            ),
        ),
    )

    assert expected == barn("2026-08")


def test_no_public_urls() -> None:
    """A cluster whose platform has no public auth URL has no ``users_url``."""
    expected = cluster_of(
        "mill",
        grafana_url=URL("https://grafana.mill.meadow.example"),
        prometheus_url=URL("https://prometheus.mill.meadow.example"),
        orgs=("weavers",),
        timezone="UTC",
        apps=Apps((), URL("https://proxy.apps.mill.meadow.example")),
    )

    assert expected == parse_cluster(raw_of(read("2026-08").clusters[1]))


def test_digits_are_kept() -> None:
    """A price keeps the digits that the platform sent."""
    assert "81.20" == str(barn("2021-12").presets["hen"].credits_per_hour)


def test_repeated_cluster() -> None:
    """For two days in June 2022 the root had both kinds of fields; its orgs are names."""
    raw = {**BARN, "authorized": True, "clusters": [BARN], "orgs": ["weavers", None]}

    config = parse_config(json.dumps(raw).encode(), url=API)
    assert [BARN] == [raw_of(line) for line in config.clusters]
    assert ServerConfig(authorized=True) == attrs.evolve(config, clusters=())


def test_orgs_of_a_line() -> None:
    """The orgs of a cluster are known without reading its line."""
    assert ("weavers", None) == read("2024-12").clusters[0].orgs


def test_clusters_keep_unknown_fields() -> None:
    """The clusters are the platform's own objects, with what we do not know yet."""
    newer = {**BARN, "since": {"next": "era"}}
    (line,) = parse_config(json.dumps({"clusters": [newer]}).encode(), url=API).clusters
    assert newer == raw_of(line)


def test_repr_is_short() -> None:
    """The clusters' objects do not flood a log."""
    assert "clusters=<2 objects>" in repr(read("2026-08"))


# ----------------------------------------------------------------- the captures


@pytest.mark.skipif(not CAPTURED, reason="the platform's captures are not here")
def test_captures() -> None:
    """Whatever the platform has sent parses, or is an error that repeats its words."""
    for path in CAPTURED:
        raw = json.loads(path.read_bytes())
        if "error" in raw and "authorized-" not in path.name:
            with pytest.raises(PlatformError) as caught:
                parse_config(path.read_bytes(), url=API, status=500)
            assert raw["error"] in str(caught.value), path.name
            continue
        config = parse_config(path.read_bytes(), url=API)
        assert (path.name, "-authorized-" in path.name) == (
            path.name,
            config.authorized,
        )
        assert ("auth_url" in raw) == (config.auth is not None)


# What the platform says and what we show are brought to one form, each from its side.


def raw_gpu(raw: Dict[str, Any]) -> Tuple[Any, Any]:
    gpu = raw.get("nvidia_gpu") or raw.get("gpu")
    if isinstance(gpu, dict):
        return gpu["count"], gpu.get("model")
    return gpu, raw.get("nvidia_gpu_model") or raw.get("gpu_model")


def raw_cluster(raw: Dict[str, Any]) -> Dict[str, Any]:
    presets = {
        preset["name"]: (
            preset["cpu"],
            preset.get("memory", preset.get("memory_mb", 0) * 2**20),
            raw_gpu(preset),
            preset.get("credits_per_hour"),
            preset.get("is_preemptible", False),
        )
        for preset in raw.get("resource_presets", [])
    }
    pools = {
        pool["name"]: (
            pool.get("min_size"),
            pool.get("max_size"),
            pool.get("idle_size", 0),
        )
        for pool in raw.get("resource_pool_types", [])
    }
    orgs = raw.get("orgs", [None])
    return {"name": raw["name"], "orgs": orgs, "presets": presets, "pools": pools}


def shown_cluster(cluster: Cluster) -> Dict[str, Any]:
    presets = {
        name: (
            preset.cpu,
            preset.memory,
            (preset.gpu, preset.gpu_model),
            # not in the form 0E-10, which is how Decimal shows 0.0000000000
            None
            if preset.credits_per_hour is None
            else format(preset.credits_per_hour, "f"),
            preset.is_preemptible,
        )
        for name, preset in cluster.presets.items()
    }
    pools = {
        name: (pool.min_size, pool.max_size, pool.idle_size)
        for name, pool in cluster.resource_pools.items()
    }
    orgs = list(cluster.orgs)
    return {"name": cluster.name, "orgs": orgs, "presets": presets, "pools": pools}


@pytest.mark.skipif(not CAPTURED, reason="the platform's captures are not here")
@pytest.mark.parametrize("path", AUTHORIZED, ids=[path.stem for path in AUTHORIZED])
def test_captured_values(path: Path) -> None:
    """What the platform has told of clusters, presets, pools and projects is shown."""
    raw = json.loads(path.read_bytes())
    config = parse_config(path.read_bytes(), url=API)

    assert [raw_cluster(cluster) for cluster in raw.get("clusters", [])] == [
        shown_cluster(parse_cluster(raw_of(line))) for line in config.clusters
    ]
    assert [
        Project.Key(project["cluster_name"], project["org_name"], project["name"])
        for project in raw.get("projects", [])
    ] == [project.key for project in config.projects]


# ------------------------------------------------------- other answers and errors


@pytest.mark.parametrize("status", [200, 400])
def test_no_clusters(status: int) -> None:
    """Until 2022 an error told a known user that he has no cluster."""
    expected = ServerConfig(authorized=True)

    assert expected == parse_config(NO_CLUSTERS, url=API, status=status)


def test_no_clusters_is_not_an_outage() -> None:
    """The same words with another status are what the status says."""
    with pytest.raises(PlatformError, match="answered 503: Current user"):
        parse_config(NO_CLUSTERS, url=API, status=503)


@pytest.mark.parametrize("body", [b"{}", b'{"authorized": false}', b'{"error": null}'])
def test_no_login(body: bytes) -> None:
    """A platform without a login, asked without a token, says next to nothing."""
    assert ServerConfig(authorized=False) == parse_config(body, url=API)


@pytest.mark.parametrize("status", [200, 400, 500])
def test_error_text(status: int) -> None:
    """An error keeps what the server said, and the status."""
    with pytest.raises(PlatformError) as caught:
        parse_config(b'{"error": "No credentials"}', url=API, status=status)

    assert (
        f"{API}: answered {status}: No credentials",
        status,
        PlatformError,
    ) == (str(caught.value), caught.value.status, type(caught.value))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>\n<h1>Bad Gateway</h1>\n", "<html>\\n<h1>Bad Gateway</h1>"),
        (b"\x1b[31m\xff", "\\x1b[31m\N{REPLACEMENT CHARACTER}"),
        (b"", "nothing"),
        (b'{"error": {"code": 7}}', '{"error": {"code": 7}}'),
        (b'{"error": ""}', '{"error": ""}'),
        (b"[]", "[]"),
        (
            b'{"authorized": true, "clusters": []}',
            '{"authorized": true, "clusters": []}',
        ),
        (b"x" * 500, "x" * 500),
        (b"x" * 501, "x" * 500 + "..."),
        (b"\0" * 300, "\\x00" * 125 + "..."),
    ],
)
def test_other_errors(body: bytes, said: str) -> None:
    """What is no answer of the platform is repeated too: printable and bounded."""
    with pytest.raises(PlatformError) as caught:
        parse_config(body, url=API, status=502)

    assert f"answered 502: {said}" == caught.value.reason


def test_error_that_is_no_text() -> None:
    """An error in another form is an error as well."""
    with pytest.raises(PlatformError, match=r"answered 200: .*code"):
        parse_config(b'{"error": {"code": 7}}', url=API)


def test_unknown_error_field() -> None:
    """A field of that name beside a whole answer is one that we do not know."""
    assert parse_config(b'{"authorized": true, "clusters": [], "error": "x"}', url=API)


# -------------------------------------------------------------- what is malformed

BARN: Dict[str, Any] = json.loads((PAYLOADS / "2026-08.json").read_bytes())["clusters"][
    0
]
HEN = {"name": "hen", "cpu": 1, "memory_mb": 1}


def test_malformed_answer() -> None:
    """A malformed answer names the path, without quoting the value."""
    body = (PAYLOADS / "2026-08.json").read_bytes().replace(b'"cpu": 3', b'"cpu": "3s"')

    with pytest.raises(MalformedAnswerError) as caught:
        parse_config(body, url=API)

    assert (
        "clusters[0].resource_presets[1].cpu",
        200,
        f"{API}: unusable answer at clusters[0].resource_presets[1].cpu: "
        "not a number from 0 to 2**63",
    ) == (caught.value.where, caught.value.status, str(caught.value))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON: Expecting value (at 0)"),
        (
            b"\xef\xbb\xbf{}",
            "not JSON: Unexpected UTF-8 BOM (decode using utf-8-sig) (at 0)",
        ),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8 at byte 7"),
        (b'{"a": "\\ud800"}', "a string has half of a surrogate pair"),
        (b'{"\\uDc00": 1}', "a string has half of a surrogate pair"),
        (b'{"a": NaN}', "a number is not finite"),
        (b'{"a": -Infinity}', "a number is not finite"),
        (b'{"a": 1e999}', "a number is not finite"),
        (b'{"a": ' + b"9" * 5000 + b"}", "an integer has too many digits"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (b"7", "not an object"),
    ],
)
def test_malformed_body(body: bytes, reason: str) -> None:
    """Bytes that are no JSON object, or one that cannot be kept, are one typed error."""
    with pytest.raises(MalformedAnswerError) as caught:
        parse_config(body, url=API)

    assert ("", reason) == (caught.value.where, caught.value.reason)


def test_too_many_values() -> None:
    """An answer of so many values that it would fill the memory is refused unread."""
    body = b"[" + b"[]," * (VALUES_LIMIT // 2) + b"0]"
    with pytest.raises(MalformedAnswerError, match="too many values"):
        parse_config(body, url=API)


def test_surrogate_pairs() -> None:
    """Characters beyond the 16-bit plane, and backslashes, may be escaped."""
    assert ["\N{SHEEP}", "\\ud800"] == parse_json(b'["\\ud83d\\udc11", "\\\\ud800"]')


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"authorized": 1}, "authorized"),
        ({"authorized": True}, "clusters"),
        ({"authorized": True, "clusters": None}, "clusters"),
        ({"clusters": {}}, "clusters"),
        ({"clusters": [None]}, "clusters[0]"),
        ({"clusters": [BARN, {"name": "mill"}]}, "clusters[1].registry_url"),
        ({"orgs": [{"name": "weavers"}]}, "orgs[0].role"),
        ({"orgs": [{"name": "weavers", "role": "user"}, "x"]}, "orgs[1]"),
        ({"orgs": "weavers"}, "orgs"),
        ({"projects": [{"name": "x", "role": "y"}]}, "projects[0].cluster_name"),
        ({"admin_url": "/admin"}, "admin_url"),
        ({"vcluster_url": ""}, "vcluster_url"),
        ({"token_url": "https://a.example", "client_id": "x"}, "auth_url"),
        ({"auth_url": "https://a.example", "client_id": "x"}, "token_url"),
        (
            {"auth_url": "https://a.example", "token_url": "https://a.example"},
            "client_id",
        ),
        ({"audience": "x"}, "auth_url"),
        ({"callback_urls": ["http://127.0.0.1:54540", 1]}, "callback_urls[1]"),
        ({"logout_url": "ftp://a.example"}, "logout_url"),
    ],
)
def test_malformed_root(raw: Any, where: str) -> None:
    """A malformed answer names the path to what is wrong."""
    with pytest.raises(MalformedAnswerError) as caught:
        parse_config(json.dumps(raw).encode(), url=API)

    assert where == caught.value.where


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"name": None}, "name"),
        ({"name": 7}, "name"),
        ({"storage_url": None}, "storage_url"),
        ({"monitoring_url": None}, "monitoring_url"),
        ({"users_url": "users"}, "users_url"),
        ({"orgs": [None, 7]}, "orgs[1]"),
        ({"resource_presets": {}}, "resource_presets"),
        ({"resource_presets": [HEN, {**HEN, "cpu": True}]}, "resource_presets[1].cpu"),
        ({"resource_presets": [{**HEN, "cpu": -1}]}, "resource_presets[0].cpu"),
        ({"resource_presets": [{**HEN, "cpu": 2**63}]}, "resource_presets[0].cpu"),
        ({"resource_presets": [{**HEN, "cpu": None}]}, "resource_presets[0].cpu"),
        (
            {"resource_presets": [{**HEN, "memory_mb": None}]},
            "resource_presets[0].memory",
        ),
        (
            {"resource_presets": [{**HEN, "memory_mb": -1}]},
            "resource_presets[0].memory_mb",
        ),
        ({"resource_presets": [{**HEN, "memory": 1.0}]}, "resource_presets[0].memory"),
        (
            {"resource_presets": [{**HEN, "memory": 2**63}]},
            "resource_presets[0].memory",
        ),
        ({"resource_presets": [{**HEN, "gpu": True}]}, "resource_presets[0].gpu"),
        ({"resource_presets": [{**HEN, "gpu": -1}]}, "resource_presets[0].gpu"),
        (
            {"resource_presets": [{**HEN, "amd_gpu": {}}]},
            "resource_presets[0].amd_gpu.count",
        ),
        (
            {"resource_presets": [{**HEN, "nvidia_migs": []}]},
            "resource_presets[0].nvidia_migs",
        ),
        (
            {"resource_presets": [{**HEN, "nvidia_migs": {"1g\n" + "x" * 99: 1}}]},
            "resource_presets[0].nvidia_migs['1g\\n" + "x" * 37 + "']",
        ),
        (
            {"resource_presets": [{**HEN, "nvidia_migs": {"1g": {"count": -1}}}]},
            "resource_presets[0].nvidia_migs['1g'].count",
        ),
        (
            {"resource_presets": [{**HEN, "credits_per_hour": 1}]},
            "resource_presets[0].credits_per_hour",
        ),
        (
            {"resource_presets": [{**HEN, "is_preemptible": 0}]},
            "resource_presets[0].is_preemptible",
        ),
        (
            {"resource_presets": [{**HEN, "resource_pool_names": [None]}]},
            "resource_presets[0].resource_pool_names[0]",
        ),
        (
            {"resource_presets": [{**HEN, "tpu": {"type": "v2-8"}}]},
            "resource_presets[0].tpu.software_version",
        ),
        ({"resource_pool_types": [{}]}, "resource_pool_types[0].name"),
        (
            {"resource_pool_types": [{"name": "x", "tpu": {}}]},
            "resource_pool_types[0].tpu.ipv4_cidr_block",
        ),
        (
            {"resource_pool_types": [{"name": "x", "cpu_min_watts": "1"}]},
            "resource_pool_types[0].cpu_min_watts",
        ),
        ({"apps": {"app_proxy_url": "proxy"}}, "apps.app_proxy_url"),
        (
            {"storage_volumes": [{"name": "x"}]},
            "storage_volumes[0].credits_per_hour_per_gb",
        ),
        (
            {"energy_schedules": [{"name": "x", "periods": [{"weekday": 8}]}]},
            "energy_schedules[0].periods[0].weekday",
        ),
        (
            {"energy_schedules": [{"name": "x", "periods": [{"start_time": "24:00"}]}]},
            "energy_schedules[0].periods[0].start_time",
        ),
    ],
)
def test_malformed_cluster(change: Dict[str, Any], where: str) -> None:
    """A malformed cluster names the path to what is wrong, below the cluster's own."""
    with pytest.raises(Malformed) as caught:
        parse_cluster({**BARN, **change}, "here")

    assert f"here.{where}" == caught.value.where


@pytest.mark.parametrize(
    ("parse", "where"),
    [
        (parse_cluster, ""),
        (parse_org, "orgs[0]"),
        (parse_project, "projects[0]"),
    ],
)
def test_malformed_part(parse: Callable[[object, str], object], where: str) -> None:
    """What is no object at all is malformed itself."""
    with pytest.raises(Malformed) as caught:
        parse([], where)

    assert where == caught.value.where


def test_malformed_text() -> None:
    """The error's text is the path, if there is one, and the reason."""
    assert ("a.b: missing", "missing") == (
        str(Malformed("b", "missing").under("a")),
        str(Malformed("", "missing").under("")),
    )


@pytest.mark.parametrize(
    "url",
    [
        7,
        "",
        "barn.example",
        "//barn.example",
        "https:/barn.example",
        "https:///jobs",
        "https://:80/",
        "file:///etc/passwd",
        "https://barn.example:99999",
        "https://barn.example:x",
        "https://user:password@barn.example",
        "https://good.example\\@evil.example",
        "https://barn.example/\n",
        "https://ba\trn.example",
        "https://ba rn.example",
        "https://xn--a/",
        "https://[::1",
        "https://[:1]:8443/",
    ],
)
def test_malformed_url(url: object) -> None:
    """A URL has http or https, a host that every library reads alike, and no login."""
    with pytest.raises(Malformed) as caught:
        parse_cluster({**BARN, "logo_url": url})

    assert "logo_url" == caught.value.where


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "HTTPS://barn.example:8443/a b?c=d#e",
        "http://[::1]:8080/",
        "https://xn--brn-qla.example/jobs",
        "https://b\N{LATIN SMALL LETTER A WITH DIAERESIS}rn.example/",
    ],
)
def test_url(url: str) -> None:
    """A URL may have a port, an IPv6 address, an international name."""
    assert URL(url) == parse_cluster({**BARN, "logo_url": url}).logo_url


@pytest.mark.parametrize(
    "text", ["", "NaN", "Infinity", "-1", " 1", "1_0", "1e999", ".5", "1.", "9" * 65]
)
def test_malformed_price(text: str) -> None:
    """A price is a plain decimal number of bounded size."""
    with pytest.raises(Malformed):
        parse_cluster({**BARN, "resource_presets": [{**HEN, "credits_per_hour": text}]})


# ------------------------------------------------------------------ derived values


def preset_of(**fields: Any) -> Preset:
    return parse_cluster({**BARN, "resource_presets": [{**HEN, **fields}]}).presets[
        "hen"
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"gpu": 1}, GPU(1)),
        ({"gpu": 1, "gpu_model": "k80"}, GPU(1, "k80")),
        ({"nvidia_gpu": 2, "gpu_model": "k80"}, GPU(2, "k80")),
        ({"nvidia_gpu": 2, "nvidia_gpu_model": "v100", "gpu": 1}, GPU(2, "v100")),
        ({"nvidia_gpu": 2, "nvidia_gpu_model": "v", "gpu_model": "k"}, GPU(2, "v")),
        ({"nvidia_gpu": {"count": 2}, "gpu_model": "k80"}, GPU(2, "k80")),
        (
            {"nvidia_gpu": {"count": 2, "model": "v100"}, "gpu_model": "k80"},
            GPU(2, "v100"),
        ),
        ({"nvidia_gpu": {"count": 2, "model": None, "memory": None}}, GPU(2)),
        ({"nvidia_gpu": None, "gpu": None}, None),
        ({"gpu_model": "k80"}, None),
    ],
)
def test_gpu_forms(fields: Dict[str, Any], expected: GPU) -> None:
    """The count and the model of GPUs are found in whatever form an era tells them."""
    assert expected == preset_of(**fields).nvidia_gpu


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (False, False)),
        ({"is_preemptible": True}, (True, False)),
        ({"is_preemptible_node_required": True}, (False, True)),
        ({"scheduler_enabled": True}, (True, False)),
        ({"preemptible_node": True}, (False, True)),
    ],
)
def test_preemptible_forms(fields: Dict[str, Any], expected: Tuple[bool, bool]) -> None:
    """Each of the two flags is found under its older and its newer name."""
    preset = preset_of(**fields)

    assert expected == (preset.is_preemptible, preset.is_preemptible_node_required)


def test_bytes_win() -> None:
    """The memory in bytes is more exact than that in MiB."""
    assert (100000000, 95) == (
        preset_of(memory=100000000, memory_mb=95).memory,
        preset_of(memory=100000000, memory_mb=95).memory_mb,
    )


@pytest.mark.parametrize("orgs", [{}, {"orgs": None}])
def test_before_orgs(orgs: Dict[str, Any]) -> None:
    """A cluster from the time before orgs gives access without one."""
    raw = {key: value for key, value in BARN.items() if key != "orgs"}

    assert (None,) == parse_cluster({**raw, **orgs}).orgs


def test_the_last_of_a_name_counts() -> None:
    """Of several clusters, presets, orgs and projects with one name the last counts."""
    project = {"name": "loom", "role": "reader", "cluster_name": "barn"}
    twice = {**BARN, "resource_presets": [HEN, {**HEN, "cpu": 2}], "orgs": ["a", "a"]}
    body = {
        "clusters": [BARN, twice],
        "orgs": [{"name": "a", "role": "user"}, {"name": "a", "role": "admin"}],
        "projects": [project, {**project, "role": "admin"}],
    }
    config = parse_config(json.dumps(body).encode(), url=API)
    cluster = parse_cluster(raw_of(config.clusters[0]))

    assert (
        [twice],
        2.0,
        ("a",),
        (Org("a", "admin"),),
        (Project("loom", "admin", "barn"),),
    ) == (
        [raw_of(line) for line in config.clusters],
        cluster.presets["hen"].cpu,
        cluster.orgs,
        config.orgs,
        config.projects,
    )


def test_parts() -> None:
    """Orgs and projects can be read one by one."""
    org = {"name": "weavers", "role": "admin"}
    project = {
        "name": "loom",
        "role": "reader",
        "cluster_name": "barn",
        "org_name": None,
    }

    assert (Org("weavers", "admin"), Project("loom", "reader", "barn", None)) == (
        parse_org(org),
        parse_project(project),
    )


# ------------------------------------------------------------------------- fuzzing

BODIES = [path.read_bytes() for path in sorted(PAYLOADS.glob("*.json"))]
FORMS = [json.loads(body) for body in BODIES]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
    max_leaves=10,
)
# How long one example takes says more about the machine than about the parser.
fuzz = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def accepts(body: bytes, status: int = 200) -> None:
    """Parse, and use what comes of it; only a typed error may be raised."""
    try:
        config = parse_config(body, url=API, status=status)
    except PlatformError:
        return
    for line in config.clusters:
        cluster = parse_cluster(parse_json(bytes(line.text)))
        assert (cluster.name, cluster.orgs) == (line.name, line.orgs)
        assert cluster == copy.deepcopy(cluster)
        assert cluster.registry_url.host
    repr(config).encode()


@fuzz
@given(st.binary(), st.sampled_from([200, 400, 500]))
def test_any_bytes(body: bytes, status: int) -> None:
    """Any bytes give a value or a typed error."""
    accepts(body, status)


@fuzz
@given(JSON, st.sampled_from([200, 400, 500]))
def test_any_json(raw: Any, status: int) -> None:
    """Any JSON gives a value or a typed error."""
    accepts(json.dumps(raw).encode(), status)


@fuzz
@given(st.sampled_from(BODIES), st.data())
def test_damaged_bytes(body: bytes, data: st.DataObject) -> None:
    """A good answer with a piece replaced gives a value or a typed error."""
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(start + 20, len(body))))

    accepts(body[:start] + data.draw(st.binary(max_size=5)) + body[end:])


def places(raw: Any) -> List[Tuple[Any, Any]]:
    """Every place in the JSON, as its container and its key there."""
    if not isinstance(raw, (dict, list)):
        return []
    keys: List[Any] = list(raw) if isinstance(raw, dict) else list(range(len(raw)))
    found = [(raw, key) for key in keys]
    for key in keys:
        found += places(raw[key])
    return found


@fuzz
@given(st.sampled_from(FORMS), st.data())
def test_damaged_values(form: Any, data: st.DataObject) -> None:
    """A good answer with some values replaced gives a value or a typed error."""
    raw = copy.deepcopy(form)
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(raw)))
        container[key] = data.draw(
            JSON | st.sampled_from([2**63, "https://xn--a", "a"])
        )

    accepts(json.dumps(raw).encode())


def test_deep_values() -> None:
    """Nesting that the interpreter cannot follow is malformed wherever it stands."""
    depth = sys.getrecursionlimit() * 200
    body = b'{"clusters": [], "x": ' + b"[" * depth + b"]" * depth + b"}"

    with pytest.raises(MalformedAnswerError, match="nested too deeply"):
        parse_config(body, url=API)
