"""The catalog's file: read in part, proven in whole."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Callable, Dict, List, Tuple

import attrs
import pytest
from hypothesis import given, strategies as st
from samples import as_line
from yarl import URL

from neuro_config import (
    DamagedFileError,
    MalformedAnswerError,
    NewerSchemaError,
    Org,
    Project,
    StorageError,
)
from neuro_config._catalog import (
    FIRST_READ,
    INDEX_LIMIT,
    Catalog,
    digest_of,
    encode,
    in_memory,
)
from neuro_config._catalog_index import SCHEMA, VALUES_LIMIT
from neuro_config._cluster_line import origin_of
from neuro_config._payload import ServerConfig
from neuro_config._wire import parse_cluster

API = "https://api.example/api/v1"


def cluster(name: str, **fields: Any) -> Dict[str, Any]:
    return {
        "name": name,
        "registry_url": f"https://registry.{name}.example",
        "storage_url": f"https://{name}.example:8443/storage",
        "monitoring_url": f"https://{name}.example:8443/jobs",
        "orgs": ["acme", None],
        "resource_presets": [{"name": "cpu", "cpu": 1, "memory_mb": 1}],
        "field_of_the_future": {"kept": [1, "é"]},
        **fields,
    }


def config(*clusters: Dict[str, Any]) -> ServerConfig:
    return ServerConfig(
        authorized=True,
        admin_url=URL("https://admin.example/v1"),
        vcluster_url=None,
        orgs=(Org("acme", "user"),),
        projects=(
            Project(name="p", role="admin", cluster_name="one", org_name=None),
            Project(name="b", role="admin", cluster_name="one", org_name="acme"),
            Project(name="a", role="reader", cluster_name="one", org_name="acme"),
        ),
        clusters=tuple(map(as_line, clusters)),
    )


DATA = encode(config(cluster("one"), cluster("two")), API)


def reader(data: bytes) -> Tuple[Callable[[int, int], bytes], List[Tuple[int, int]]]:
    asked: List[Tuple[int, int]] = []

    def read(offset: int, size: int) -> bytes:
        asked.append((offset, size))
        return data[offset : offset + size]

    return read, asked


def test_round_trip() -> None:
    """What is written is read back equal, the platform's own object kept whole."""
    catalog = in_memory(DATA)
    assert URL("https://admin.example/v1") == catalog.admin_url
    assert catalog.vcluster_url is None
    assert (Org("acme", "user"),) == catalog.orgs
    assert {"one": ["acme", None], "two": ["acme", None]} == catalog.orgs_of
    assert ["a", "b"] == catalog.projects_of("one", "acme")
    assert ["p"] == catalog.projects_of("one", None)
    assert [] == catalog.projects_of("two", "acme")
    assert Project.Key("one", None, "p") in catalog.projects
    assert catalog.projects is catalog.projects
    assert {
        "one": parse_cluster(cluster("one")),
        "two": parse_cluster(cluster("two")),
    } == dict(catalog.clusters)
    assert cluster("two") == json.loads(catalog.line("two"))
    assert catalog.cluster("one") is catalog.cluster("one")


def test_encoding_is_stable() -> None:
    """The same answer gives the same bytes and so the same name."""
    assert DATA == encode(config(cluster("one"), cluster("two")), API)
    assert digest_of(DATA) != digest_of(encode(config(cluster("one")), API))
    assert hashlib.sha256(DATA.splitlines(True)[0]).hexdigest() == digest_of(DATA)


def test_one_cluster_reads_one_line() -> None:
    """A cluster costs the index and its own line, once."""
    read, asked = reader(DATA)
    catalog = Catalog(digest_of(DATA), read, "path")
    assert "two" == catalog.cluster("two").name
    assert "two" == catalog.cluster("two").name
    index, one, two = DATA.splitlines(True)
    assert [(0, FIRST_READ), (len(index) + len(one), len(two))] == asked


def test_long_index() -> None:
    """An index longer than the first read is read in growing steps."""
    clusters = [cluster(f"cluster-{i}") for i in range(2000)]
    data = encode(config(*clusters), API)
    read, asked = reader(data)
    catalog = Catalog(digest_of(data), read, "path")
    assert 2000 == len(catalog.orgs_of)
    assert 4 == len(asked)
    assert 2000 == len(list(catalog.clusters.values()))


def test_origins() -> None:
    """The places that a token may go to are the platform's and all clusters' URLs'."""
    assert [
        "https://admin.example:443",
        "https://api.example:443",
        "https://one.example:8443",
        "https://registry.one.example:443",
        "https://registry.two.example:443",
        "https://two.example:8443",
    ] == in_memory(DATA).origins
    assert "http://127.0.0.1:80" == origin_of("http://127.0.0.1/x?y#z")
    assert "https://[::1]:5" == origin_of("https://[::1]:5/")


def test_every_changed_byte_is_noticed() -> None:
    """A catalog with any byte changed or cut off is not read as if it were whole."""
    digest = digest_of(DATA)

    def read_all(data: bytes) -> int:
        clusters = Catalog(digest, reader(data)[0], "catalog-x").clusters
        return len([clusters[name] for name in clusters])

    assert 2 == read_all(DATA)
    for where in range(len(DATA)):
        changed = bytearray(DATA)
        changed[where] ^= 1
        for data in (bytes(changed), DATA[:where]):
            with pytest.raises(DamagedFileError, match="catalog-x"):
                read_all(data)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes(data: bytes, where: int) -> None:
    """Any bytes in the file give the values or one typed error."""
    read, _ = reader(DATA[:where] + data)
    catalog = Catalog(digest_of(DATA), read, "catalog-x")
    with pytest.raises(DamagedFileError, match=r"catalog-x: line 1.*fetch\(\)"):
        list(catalog.clusters.values())


def test_endless_index() -> None:
    """A file without an end of line 1 is damage, in bounded memory."""
    read = lambda offset, size: b"x" * size  # noqa: E731
    with pytest.raises(DamagedFileError, match="line 1 is not what was written"):
        Catalog("0" * 64, read, "path").orgs_of  # noqa: B018


def test_newer_schema() -> None:
    """A catalog of a newer version says so."""
    index, _, rest = DATA.partition(b"\n")
    newer = json.dumps({**json.loads(index), "schema": SCHEMA + 1}).encode()
    data = newer + b"\n" + rest
    with pytest.raises(NewerSchemaError, match=f"schema {SCHEMA + 1}"):
        in_memory(data).orgs_of  # noqa: B018


def test_older_schema() -> None:
    """A catalog of an older version is read."""
    index, _, rest = DATA.partition(b"\n")
    older = json.dumps({**json.loads(index), "schema": SCHEMA - 1}).encode()
    assert "one" == in_memory(older + b"\n" + rest).cluster("one").name


def resigned(index: Any) -> Catalog:
    """A catalog with another index, named by its digest."""
    text = index if isinstance(index, bytes) else json.dumps(index).encode()
    data = text + b"\n" + DATA.partition(b"\n")[2]
    return Catalog(digest_of(data), reader(data)[0], "catalog-x")


ENTRY = [0, 1, "0" * 64, ["acme"]]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"schema": None}, "schema"),
        ({"schema": True}, "schema"),
        ({"schema": 10**400}, "schema"),
        ({"schema": -1}, "schema"),
        ({"size": 2**60}, "size"),
        ({"size": "1"}, "size"),
        ({"origins": None}, "origins"),
        ({"origins": [1]}, "origins"),
        ({"admin_url": 1}, "admin_url"),
        ({"vcluster_url": []}, "vcluster_url"),
        ({"orgs": [["acme"]]}, "orgs"),
        ({"orgs": {}}, "orgs"),
        ({"projects": [{"name": "p"}]}, "projects"),
        ({"projects": [1]}, "projects"),
        (
            {
                "projects": [
                    {"name": "p", "role": "r", "cluster_name": "c", "org_name": 1}
                ]
            },
            "projects",
        ),
        ({"clusters": []}, "clusters"),
        ({"clusters": {"one": None}}, "clusters"),
        ({"clusters": {"one": ENTRY[:3]}}, "clusters"),
        ({"clusters": {"one": [-1, *ENTRY[1:]]}}, "clusters"),
        ({"clusters": {"one": [0, 2**80, *ENTRY[2:]]}}, "clusters"),
        ({"clusters": {"one": [*ENTRY[:2], None, ["acme"]]}}, "clusters"),
        ({"clusters": {"one": [*ENTRY[:3], [1]]}}, "clusters"),
        ({"size": 0, "clusters": {"one": ENTRY}}, "size"),
    ],
)
def test_index_of_another_version(change: Dict[str, Any], where: str) -> None:
    """A proven index that is none of ours is an error that names the field."""
    index = {**json.loads(DATA.partition(b"\n")[0]), **change}
    with pytest.raises(DamagedFileError) as caught:
        resigned(index).load()
    expected = f"catalog-x: line 1: {where} cannot be read here. Call fetch()."
    assert expected == str(caught.value)


@pytest.mark.parametrize(
    "index",
    [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000, b'{"a":"\\uD800"}', b"[]", b"1"],
)
def test_no_index(index: bytes) -> None:
    """What is no JSON object is no index, whatever its digest."""
    with pytest.raises(DamagedFileError, match=r"catalog-x: line 1: .* cannot be read"):
        resigned(index).orgs_of  # noqa: B018


def test_too_many_values() -> None:
    """An index of so many values that it would fill the memory is not read."""
    with pytest.raises(DamagedFileError, match="line 1: it is too much cannot be"):
        resigned(b"[" + b"{}," * (VALUES_LIMIT // 2 + 1) + b"0]").orgs_of  # noqa: B018


@pytest.mark.parametrize("name", ["admin_url", "vcluster_url"])
def test_url_of_another_version(name: str) -> None:
    """A URL in a proven index that is none is an error when it is asked for."""
    index = {**json.loads(DATA.partition(b"\n")[0]), name: "http://["}
    catalog = resigned(index)
    assert catalog.orgs_of
    del index[name]
    assert getattr(resigned(index), name) is None
    with pytest.raises(DamagedFileError, match=f"line 1: {name} cannot be read here"):
        getattr(catalog, name)


def test_line_of_another_cluster() -> None:
    """A line that holds another cluster than the index says is an error."""
    index = json.loads(DATA.partition(b"\n")[0])
    index["clusters"]["three"] = index["clusters"]["two"]
    with pytest.raises(DamagedFileError, match="'three' cannot be read here: name"):
        resigned(index).cluster("three")


def test_more_than_can_be_stored() -> None:
    """What would make an index that is too long to be read is refused."""
    project = Project(name="x" * INDEX_LIMIT, role="r", cluster_name="c")
    with pytest.raises(MalformedAnswerError, match="more than can be stored"):
        encode(attrs.evolve(config(), projects=(project,)), API)


def test_line_of_another_version() -> None:
    """An intact line that this version refuses is an error that names the cluster."""
    data = encode(config({"name": "one"}), API)
    with pytest.raises(DamagedFileError, match=r"'one' cannot be read here.*missing"):
        in_memory(data).cluster("one")


def test_storage_errors_pass() -> None:
    """What the storage raises is not hidden."""

    def refuse(offset: int, size: int) -> bytes:
        raise StorageError("path", "refused")

    with pytest.raises(StorageError, match="refused"):
        Catalog("0" * 64, refuse, "path").orgs_of  # noqa: B018
