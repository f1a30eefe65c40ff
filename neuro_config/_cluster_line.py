"""A cluster of the platform's answer as a line of a catalog, and what one knows of it.

The line is the platform's own text, byte by byte, where that is one line; else the same
values, written compactly.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Mapping, Optional, Tuple, Union
from urllib.parse import urlsplit

import attr

# The URLs of a cluster's services: a token may go to their hosts, and to no others that
# the platform happens to name.
SERVICES = (
    "registry_url",
    "storage_url",
    "blob_storage_url",
    "users_url",
    "monitoring_url",
    "secrets_url",
    "disks_url",
    "buckets_url",
    "metrics_url",
    "grafana_url",
    "prometheus_url",
)

# A view copies nothing of an answer that has megabytes.
Text = Union[bytes, memoryview]


@attr.frozen
class ClusterLine:
    """All that a catalog needs of a cluster.

    Args:
        name: Of the cluster.
        text: The line without its end.
        digest: SHA-256 of the line, in hex.
        orgs: Of the cluster; ``None`` is "no org".
        origins: Of its services, in order.
    """

    name: str
    text: Text = attr.field(repr=lambda text: f"<{len(text)} bytes>")
    digest: str
    orgs: Tuple[Optional[str], ...]
    origins: Tuple[str, ...]


@attr.frozen
class Known:
    """A catalog that is stored already, proven; by default there is none.

    Args:
        catalog: The bytes of the file.
        source: The answer that it was made of; empty where that is not known.
        lines: Those that need no check any more, in their order.
    """

    catalog: bytes = attr.field(default=b"", repr=False)
    source: str = ""
    lines: Tuple[ClusterLine, ...] = ()


def line_of(
    raw: Mapping[str, Any],
    orgs: Tuple[Optional[str], ...],
    text: Optional[Text] = None,
) -> ClusterLine:
    """Make the line of a cluster.

    Args:
        raw: The platform's object, checked.
        orgs: Of the cluster.
        text: The object as the platform wrote it, on one line; ``None`` if it did not.

    Raises:
        RecursionError: It has to be written here, and is nested too deeply for that.
    """
    text = to_json(raw) if text is None else text
    digest = hashlib.sha256(text)
    digest.update(b"\n")
    origins = {origin_of(raw[key]) for key in SERVICES if raw.get(key)}
    name = raw["name"]
    return ClusterLine(name, text, digest.hexdigest(), orgs, tuple(sorted(origins)))


def to_json(value: object) -> bytes:
    """Write a value on one line, as short as it gets."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def origin_of(url: str) -> str:
    """Tell whom a URL leads to, with the port always named."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
