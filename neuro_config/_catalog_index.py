"""Line 1 of a catalog, as far as this version reads it.

The digest proves who is meant, not that it was this version that wrote the line.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, List, Tuple, cast

SCHEMA = 1
SIZE_LIMIT = 1 << 28  # bytes of all lines; an answer of 64 MiB never takes more


# In the text of an index, which has a little more of them than the answer.
VALUES_LIMIT = 1 << 23


class BadIndex(ValueError):
    """The line is no index; the text names the field."""


class NewerIndex(ValueError):
    """The line is an index of a newer schema."""


def parse_index(line: bytes) -> Dict[str, Any]:
    """Read an index.

    Raises:
        BadIndex: It is none.
        NewerIndex: A newer version wrote it.
    """
    # The smallest of values takes thirty times its bytes in memory.
    if sum(map(line.count, (b",", b"[", b"{"))) > VALUES_LIMIT:
        raise BadIndex("it is too much")
    try:
        index: Any = json.loads(line)
        if b"\\ud" in line.lower():  # half of a surrogate pair, which nothing can write
            json.dumps(index, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise BadIndex("it is not JSON") from None
    schema: Any = index.get("schema") if type(index) is dict else None
    if not _is_size(schema):
        raise BadIndex("schema")
    if schema > SCHEMA:
        raise NewerIndex(f"has schema {schema}, this version reads up to {SCHEMA}")
    for name, is_right in _FIELDS.items():
        if not is_right(index.get(name)):
            raise BadIndex(name)
    size = index["size"]
    if not all(entry[0] + entry[1] <= size for entry in index["clusters"].values()):
        raise BadIndex("size")
    return cast(Dict[str, Any], index)


def origins_of_clusters(index: Dict[str, Any], version: str) -> List[Tuple[str, ...]]:
    """Return the places that each cluster's own URLs lead to.

    Args:
        index: What ``parse_index`` has read.
        version: Only what this version of the library has checked counts.

    Returns:
        For each cluster in the order of the index; nothing where they are not told.
    """
    origins: List[str] = index["origins"]
    found: Any = index.get("cluster_origins")
    if index.get("checked_by") != version or not _are_places(found, len(origins)):
        return []
    return [tuple(origins[place] for place in own) for own in found]


def _are_places(value: Any, end: int) -> bool:
    is_list = _is_list_of(_is_list_of(lambda place: _is_size(place) and place < end))
    return is_list(value)


def _is_size(value: Any) -> bool:
    # type() and not isinstance(): true is no number here.
    return type(value) is int and 0 <= value <= SIZE_LIMIT


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_text_or_none(value: Any) -> bool:
    return value is None or type(value) is str


def _is_list_of(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: type(value) is list and all(map(is_right, value))


_are_texts = _is_list_of(_is_text)
_are_orgs = _is_list_of(_is_text_or_none)


def _is_org(value: Any) -> bool:
    return _are_texts(value) and len(value) == 2


def _is_project(value: Any) -> bool:
    return (
        type(value) is dict
        and all(type(value.get(name)) is str for name in _PROJECT)
        and _is_text_or_none(value.get("org_name"))
    )


def _is_entry(value: Any) -> bool:
    if type(value) is not list or len(value) != 4:
        return False
    offset, length, digest, orgs = value
    return (
        _is_size(offset) and _is_size(length) and _is_text(digest) and _are_orgs(orgs)
    )


def _are_clusters(value: Any) -> bool:
    return type(value) is dict and all(map(_is_entry, value.values()))


_PROJECT = ("name", "role", "cluster_name")
_FIELDS: Dict[str, Callable[[Any], bool]] = {
    "size": _is_size,
    "source": _is_text_or_none,  # since version 0.2
    "origins": _are_texts,
    "admin_url": _is_text_or_none,
    "vcluster_url": _is_text_or_none,
    "orgs": _is_list_of(_is_org),
    "projects": _is_list_of(_is_project),
    "clusters": _are_clusters,
}
