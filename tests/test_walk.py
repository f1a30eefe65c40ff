"""The answer read cluster by cluster: as if read as a whole, and no line checked twice."""

from __future__ import annotations

import json
import sys
import tracemalloc
from typing import Any, Callable, Dict, List, Optional, Tuple

import attrs
import pytest
from hypothesis import given, strategies as st
from samples import raw_of
from test_payload import API, BARN, BODIES, FORMS, JSON, fuzz, places

from neuro_config import _payload, _walk
from neuro_config._catalog import Catalog, digest_of, encode, in_memory
from neuro_config._cluster_line import Known
from neuro_config._convert import VALUES_LIMIT, Malformed, parse_json
from neuro_config._errors import DamagedFileError, PlatformError
from neuro_config._payload import ServerConfig, parse_config
from neuro_config._version import __version__
from neuro_config._walk import read_line, walk
from neuro_config._wire import parse_cluster

Checked = List[str]


def named(name: str, **changes: Any) -> Dict[str, Any]:
    return {**BARN, "name": name, **changes}


def answer(*clusters: Any, **root: Any) -> bytes:
    return json.dumps({"authorized": True, "clusters": clusters, **root}).encode()


def catalog_of(body: bytes, known: Optional[Known] = None) -> bytes:
    return encode(parse_config(body, url=API, known=known), API)


def known_from(body: bytes) -> Known:
    """The stored catalog of an earlier answer with the same clusters."""
    return attrs.evolve(in_memory(catalog_of(body)).whole(), source="another")


def known_of(*clusters: Any) -> Known:
    return known_from(answer(*clusters))


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    """The names of the clusters that are checked, in turn."""
    names: Checked = []

    def noted(raw: Any) -> Any:
        names.append(raw["name"])
        return parse_cluster(raw)

    monkeypatch.setattr(_walk, "parse_cluster", noted)
    return names


A, B, C, D = (named(name) for name in "abcd")


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [
        ([A, B, C, D], []),
        ([], []),
        ([named("new"), A, B, C, D], ["new"]),
        ([A, B, named("new"), C, D], ["new"]),
        ([A, B, C, D, named("new")], ["new"]),
        ([A, named("n1"), named("n2"), B, C, D], ["n1", "n2"]),
        ([named("a", location="x"), B, C, D], ["a"]),
        ([A, named("b", location="x"), C, D], ["b"]),
        ([A, B, C, named("d", location="x")], ["d"]),
        ([A, named("renamed", location="x"), C, D], ["renamed", "c"]),
        ([A, C, D], ["c"]),
        ([A, B, C], []),
        ([D], ["d"]),
        ([A, C, B, D], ["c", "b", "d"]),
        ([D, A, B, C], ["d", "a"]),
        ([A, A, B, C, D], ["a"]),
        ([A, B, C, D, A, B], ["a"]),
        ([A, named("a", location="x"), B, named("a", location="y")], ["a", "a"]),
    ],
)
def test_only_what_is_new_is_checked(
    checked: Checked, clusters: List[Any], expected: List[str]
) -> None:
    """A cluster that is known already is not checked again, and nobody sees the difference."""
    fresh, known = catalog_of(answer(*clusters)), known_of(A, B, C, D)
    checked.clear()
    assert fresh == catalog_of(answer(*clusters), known)
    assert expected == checked


def test_a_known_line_is_not_decoded() -> None:
    """The text of a line that is known is compared, and not read."""
    (line,) = known_of(A).lines
    text = b'{"not": "JSON'
    known = Known(lines=(attrs.evolve(line, text=text),))
    body = answer(named("x")).replace(json.dumps(named("x")).encode(), text)
    assert [text] == [
        one.text for one in parse_config(body, url=API, known=known).clusters
    ]


def test_the_platforms_own_text() -> None:
    """A line is what the platform wrote, with its spaces, escapes and digits."""
    text = json.dumps(A).replace('"name": "a"', '"name" :\t"\\u0061", "x": [1.50, 1E2]')
    body = answer("?").replace(b'"?"', text.encode())
    catalog = in_memory(catalog_of(body))
    assert text.encode() + b"\n" == catalog.line("a")
    assert "a" == catalog.cluster("a").name


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\n\n\n"])
def test_a_text_of_several_lines(checked: Checked, separator: str) -> None:
    """A cluster that is written on several lines becomes one line, whatever else is around."""
    before = answer(A, B, C)
    text = json.dumps(B).replace(", ", f",{separator}")
    body = before.replace(json.dumps(B).encode(), text.encode())
    catalog = in_memory(catalog_of(body))
    assert 4 == catalog.whole().catalog.count(b"\n")
    assert B == json.loads(catalog.line("b"))
    known = known_of(A, B, C)
    checked.clear()
    assert catalog.whole().catalog == catalog_of(body, known)
    assert ["b"] == checked


def test_space_everywhere(checked: Checked) -> None:
    """Space between values does not matter, only that inside of a cluster."""
    inner = [json.dumps(one).encode() for one in (A, B, C)]
    body = (
        b' \r\n\t{ "authorized"\n:\ttrue ,\r"clusters" : [ '
        + b" ,\n ".join(inner)
        + b" \n] , "
        + b'"orgs":[ ] } \n'
    )
    assert walk(body, Known()) is not None
    known = known_of(A, B, C)
    checked.clear()
    assert inner == [
        bytes(line.text) for line in parse_config(body, url=API, known=known).clusters
    ]
    assert [] == checked


@pytest.mark.parametrize("indent", [None, 0, 1, 4])
@pytest.mark.parametrize("is_ascii", [False, True])
def test_letters_of_any_language(indent: Any, is_ascii: bool) -> None:
    """Letters arrive as themselves or escaped, in names, values, fields and around them."""
    odd = named("жук", location="\N{SHEEP}é", **{"поле": ["\N{OX}"]})
    raw = {"é": "\N{SHEEP}", "clusters": [odd, A], "orgs": [{"name": "é", "role": "ж"}]}
    body = json.dumps(raw, ensure_ascii=is_ascii, indent=indent).encode()
    assert walk(body, Known()) is not None
    config = parse_config(body, url=API)
    assert [odd, A] == [raw_of(line) for line in config.clusters]
    assert ("é", "ж") == (config.orgs[0].name, config.orgs[0].role)
    catalog = in_memory(encode(config, API))
    assert parse_cluster(odd) == catalog.cluster("жук")
    assert catalog_of(body) == catalog_of(body, known_from(body))


def as_a_whole(body: bytes, status: int = 200) -> ServerConfig:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_payload, "walk", lambda body, known: None)
        return parse_config(body, url=API, status=status)


def outcome(read: Callable[[], ServerConfig]) -> Any:
    """What comes of an answer; of its clusters all but how they are written."""
    try:
        config = read()
    except PlatformError as error:
        return type(error), error.args
    return [
        attrs.evolve(config, clusters=()),
        config.source,
        [(one.name, one.orgs, one.origins, raw_of(one)) for one in config.clusters],
    ]


def assert_same(body: bytes, status: int = 200, known: Optional[Known] = None) -> None:
    """Hold what is walked against what is read as a whole."""
    walked = outcome(lambda: parse_config(body, url=API, status=status, known=known))
    assert outcome(lambda: as_a_whole(body, status)) == walked


ONE = json.dumps(A).encode()
LIST = b'{"authorized": true, "clusters": [' + ONE + b"]"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"[]",
        b"null",
        b"\xef\xbb\xbf" + LIST + b"}",
        LIST,
        LIST + b"} x",
        LIST + b"}\x85",
        LIST + b"}\xc2\x85",
        b"\xc2\xa0" + LIST + b"}",
        LIST + b",}",
        LIST + b", 1: 2}",
        LIST + b', "a" 2}',
        LIST + b', "a": }',
        LIST + b', "a": 1 "b": 2}',
        LIST + b', "\xff": 2}',
        LIST + b', "a": "\xff"}',
        LIST + b', "a": "\\ud800"}',
        LIST + b', "a": "\\uDc00"}',
        LIST + b', "a": NaN}',
        LIST + b', "a": 1e999}',
        LIST + b', "a": ' + b"9" * 5000 + b"}",
        LIST + b', "a": ' + b"[" * 200_000 + b"}",
        LIST + b', "a": "' + b"," * (VALUES_LIMIT + 1) + b'"}',
        LIST + b', "a": "\n"}',
        LIST + b', "a": \x85 1}',
        LIST + b', "clusters": null}',
        LIST + b', "clusters": {}}',
        LIST + b', "clusters": []}',
        LIST + b', "clusters": ' + b"[" + ONE.replace(b'"a"', b'"b"') + b"]}",
        b'{"clusters": 7, ' + LIST[1:] + b"}",
        b'{"clusters": [{}], ' + LIST[1:] + b"}",
        b'{"clusters": [{}]}',
        b'{"clusters": [{}], "orgs": 7}',
        b'{"clusters": [{}]} x',
        b'{"clusters": [' + ONE + b",]}",
        b'{"clusters": [' + ONE + b" " + ONE + b"]}",
        b'{"clusters": [,' + ONE + b"]}",
        b'{"clusters": [' + ONE + b", 1]}",
        b'{"clusters": [' + ONE[:-1] + b', "x": "\xff"}]}',
        b'{"clusters": [' + ONE[:-1] + b', "x": "\xc3\xa9"}]}',
        b'{"clusters": [' + ONE[:-1] + b', "x": "\\ud83d\\udc11"}]}',
        b'{"clusters": [' + ONE[:-1] + b', "x": "\\ud83d"}]}',
        b'{"clusters": [' + ONE[:-1] + b', "name": "last"}]}',
        b'{"clu\\u0073ters": [' + ONE + b"]}",
        b'{"error": "x"}',
        b"{}",
        b"{ }",
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_as_if_read_as_a_whole(body: bytes, status: int) -> None:
    """Whatever an answer looks like, to walk it makes of it what to read it as a whole does."""
    assert_same(body, status)
    assert_same(body, status, known_of(A, B))


@fuzz
@given(st.sampled_from(BODIES), st.data())
def test_any_damage_as_if_read_as_a_whole(body: bytes, data: st.DataObject) -> None:
    """An answer with a piece replaced is the same value or error as read as a whole."""
    known = known_from(body)
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(start + 20, len(body))))
    piece = data.draw(st.binary(max_size=5) | st.sampled_from([b"{", b"}", b"]", b","]))
    assert_same(body[:start] + piece + body[end:], known=known)


@fuzz
@given(st.sampled_from(FORMS), st.data())
def test_any_value_as_if_read_as_a_whole(form: Any, data: st.DataObject) -> None:
    """An answer with some values replaced is the same value or error as read as a whole."""
    raw = json.loads(json.dumps(form))
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(raw)))
        container[key] = data.draw(JSON)
    indent = data.draw(st.sampled_from([None, 1]))
    is_ascii = data.draw(st.booleans())
    body = json.dumps(raw, indent=indent, ensure_ascii=is_ascii)
    known = known_from(json.dumps(form).encode())
    assert_same(body.encode(errors="surrogatepass"), known=known)


CLUSTERS = st.builds(
    named,
    st.sampled_from("abcdef"),
    location=st.sampled_from(["x", "y", "é", "\N{SHEEP}"]),
    registry_url=st.sampled_from(["https://r.example", "https://r.example:1/x"]),
    orgs=st.sampled_from([[], ["acme"], [None, "acme"]]),
)
FORMS_OF_TEXT = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, None, None, 1]),
        "ensure_ascii": st.booleans(),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]),
    }
)


@fuzz
@given(st.lists(CLUSTERS), st.lists(CLUSTERS), FORMS_OF_TEXT, FORMS_OF_TEXT, st.data())
def test_nobody_sees_what_was_known(
    before: List[Any],
    now: List[Any],
    form_before: Dict[str, Any],
    form_now: Dict[str, Any],
    data: st.DataObject,
) -> None:
    """With any catalog known, an answer becomes the bytes that it becomes without one."""
    for cluster in before:
        if data.draw(st.booleans()):
            now.insert(data.draw(st.integers(0, len(now))), cluster)
    bodies = [
        json.dumps({"clusters": clusters}, **form).encode()
        for clusters, form in ((before, form_before), (now, form_now))
    ]
    known = known_from(bodies[0])
    made = catalog_of(bodies[1], known)
    assert catalog_of(bodies[1]) == made
    catalog = in_memory(made)
    assert catalog.whole().catalog == made
    expected = {cluster["name"]: parse_cluster(cluster) for cluster in now}
    assert expected == dict(catalog.clusters)
    assert [*expected] == [*catalog.clusters]


def resigned(**changes: Any) -> Catalog:
    """A catalog of two clusters with another index, named by its digest."""
    index, _, rest = catalog_of(answer(A, B)).partition(b"\n")
    text = json.dumps({**json.loads(index), **changes}).encode()
    return in_memory(text + b"\n" + rest)


def test_lines_of_this_version() -> None:
    """The lines that this version has checked are known again, with all that is theirs."""
    config = parse_config(answer(A, B), url=API)
    known = in_memory(encode(config, API)).whole()
    assert config.clusters == known.lines
    assert (config.source, encode(config, API)) == (known.source, known.catalog)
    assert known.lines == resigned().whole().lines
    for line in known.lines:
        assert sorted(line.origins) == [*line.origins]
        assert 5 == len(line.origins)


@pytest.mark.parametrize(
    "changes",
    [
        {"checked_by": f"{__version__}.1"},
        {"checked_by": None},
        {"cluster_origins": None},
        {"cluster_origins": {"a": [0]}},
        {"cluster_origins": [[0], None]},
        {"cluster_origins": [[0], [99]]},
        {"cluster_origins": [[0], [-1]]},
        {"cluster_origins": [[0], [True]]},
        {"cluster_origins": [[0], ["0"]]},
    ],
)
def test_lines_of_another_version(changes: Dict[str, Any]) -> None:
    """A catalog whose lines this version has not checked is read, and no line taken over."""
    catalog = resigned(**changes)
    assert ["a", "b"] == [*catalog.clusters]
    assert () == catalog.whole().lines


def test_a_damaged_catalog_is_not_known() -> None:
    """Of a catalog with any damaged byte nothing is taken over."""
    data = catalog_of(answer(A, B))
    for where in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[where] ^= 1
        read = lambda at, size: bytes(damaged[at : at + size])  # noqa: E731, B023
        with pytest.raises(DamagedFileError):
            Catalog(digest_of(data), read, "catalog-x").whole()


def test_a_catalog_that_changes_while_it_is_read() -> None:
    """The bytes that are known are those that were proven, not those of an earlier read."""
    data = catalog_of(answer(A, B))
    reads = iter([data, data.replace(b'"schema":1', b'"schema":0', 1)])
    catalog = Catalog(digest_of(data), lambda at, size: next(reads)[at:], "catalog-x")
    with pytest.raises(DamagedFileError, match="line 1 is not what was written"):
        catalog.whole()


def test_too_deep() -> None:
    """A field nested too deeply for this Python is a typed error, and nothing is cut."""
    deep: Any = []
    for _ in range(sys.getrecursionlimit() * 100):
        deep = [deep]
    with pytest.raises(Malformed, match="nested too deeply"):
        read_line(named("a", deep=deep))
    while deep:  # taken apart by hand: its own end would overflow the stack
        deep = deep[0]


def many(number: int) -> Tuple[bytes, Known]:
    """An answer of so many clusters with 50 presets each, and the catalog of all but one."""
    presets = [
        {**BARN["resource_presets"][0], "name": f"preset-{place}"}
        for place in range(50)
    ]
    texts = [
        json.dumps(named(f"cluster-{place}", resource_presets=presets))
        for place in range(number)
    ]
    bodies = [
        f'{{"clusters": [{", ".join(some)}]}}'.encode() for some in (texts, texts[1:])
    ]
    return bodies[0], known_from(bodies[1])


@pytest.mark.parametrize("is_known", [False, True])
def test_memory(is_known: bool) -> None:
    """To make the catalog of a large answer takes little more than both have in bytes."""
    body, known = many(200)
    tracemalloc.start()
    try:
        made = catalog_of(body, known if is_known else Known())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(made) > len(body)
    assert peak < 3 * len(body)


def test_parse_json_is_not_asked_for_the_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the platform sends is never read as a whole."""
    asked = []

    def noted(body: bytes) -> Any:
        asked.append(body)
        return parse_json(body)

    monkeypatch.setattr(_payload, "parse_json", noted)
    for body in BODIES:
        parse_config(body, url=API)
    assert [] == asked
