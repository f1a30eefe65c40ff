"""The platform's answer to ``GET /config``, of every era."""

from __future__ import annotations

import hashlib
from typing import Any, Dict, Optional, Tuple, cast

import attr
from yarl import URL

from ._cluster_line import ClusterLine, Known
from ._convert import (
    Fields,
    Malformed,
    Table,
    by_name,
    flag,
    list_of,
    object_of,
    parse_json,
    text,
    unique,
    url,
    url_text,
)
from ._errors import MalformedAnswerError, PlatformError
from ._session import AuthConfig
from ._values import Org, Project
from ._version import __version__
from ._walk import read_line, walk
from ._wire import org, project

# How much of what a server says goes into an error, in characters.
_SAID = 500

# Until June 2022 this answered a user whom the platform knows but who has no cluster.
_NO_CLUSTER = "access to any cluster"


@attr.frozen
class ServerConfig:
    """What ``GET /config`` says.

    Args:
        authorized: The platform accepts the token.
        auth: How to log in, or ``None`` for a platform without a login.
        admin_url: The admin service, or ``None``.
        vcluster_url: The service of virtual clusters, or ``None``.
        orgs: The user's orgs.
        projects: The user's projects, even in clusters that are not listed.
        clusters: Each as the platform wrote it, checked; of each name there is one.
        source: What ``source_of`` says of the answer.
    """

    authorized: bool
    auth: Optional[AuthConfig] = None
    admin_url: Optional[URL] = None
    vcluster_url: Optional[URL] = None
    orgs: Tuple[Org, ...] = ()
    projects: Tuple[Project, ...] = ()
    clusters: Tuple[ClusterLine, ...] = attr.field(
        default=(), hash=False, repr=lambda clusters: f"<{len(clusters)} objects>"
    )
    source: str = attr.field(default="", eq=False)


_AUTH: Table = {
    "auth_url": url_text,
    "token_url": url_text,
    "client_id": text,
    "audience": text,
    "logout_url": url_text,
    "callback_urls": list_of(url_text),
    "headless_callback_url": url_text,
    "success_redirect_url": url_text,
}
_auth = object_of(AuthConfig, _AUTH)


def _mend_config(fields: Fields) -> None:
    # Before June 2022 only the clusters told whether the token was accepted.
    fields.setdefault("authorized", "clusters" in fields)
    if fields["authorized"] and "clusters" not in fields:
        raise Malformed("clusters", "missing")
    for name in ("orgs", "projects"):
        if name in fields:
            fields[name] = tuple(fields[name].values())


_orgs_by_name = by_name(org)


def _orgs(raw: Any) -> Dict[str, Org]:
    # Until June 2022 the root repeated the first cluster, whose orgs are mere names.
    if type(raw) is list and all(name is None or type(name) is str for name in raw):
        return {}
    return cast(Dict[str, Org], _orgs_by_name(raw))


_lines_by_name = by_name(read_line)


def _clusters(raw: Any) -> Tuple[ClusterLine, ...]:
    # A tuple is what walk has made already; JSON has none.
    return raw if type(raw) is tuple else tuple(_lines_by_name(raw).values())


_config = object_of(
    ServerConfig,
    {
        "authorized": flag,
        "admin_url": url,
        "vcluster_url": url,
        "orgs": _orgs,
        "projects": unique(project, lambda found: found.key),
        "clusters": _clusters,
    },
    mend=_mend_config,
)


def source_of(body: bytes) -> str:
    """Tell an answer, and the version that reads it, from all others.

    Args:
        body: The answer's body.

    Returns:
        SHA-256 in hex.
    """
    digest = hashlib.sha256(__version__.encode() + b"\n")
    digest.update(body)
    return digest.hexdigest()


def parse_config(
    body: bytes, *, url: str, status: int = 200, known: Optional[Known] = None
) -> ServerConfig:
    """Read the platform's answer to ``GET /config``.

    Args:
        body: The answer's body.
        url: Whom was asked, for errors.
        status: The answer's HTTP status.
        known: The stored catalog, of an answer to a token that was accepted. If that
            answer comes again it is not read: only its ``source`` and ``authorized``
            are told.

    Raises:
        MalformedAnswerError: The platform sends no such answer.
        PlatformError: The platform, or a proxy before it, says that something is
            wrong; the error repeats what it says.
    """
    known = known or Known()
    source = source_of(body) if status == 200 else ""
    if source and source == known.source:
        return ServerConfig(authorized=True, source=source)
    said = None
    try:
        raw = walk(body, known)
        if raw is None:
            raw = parse_json(body)
        said = _error(raw)
        if said is not None and _NO_CLUSTER in said and status in (200, 400):
            return ServerConfig(authorized=True)
        if said is None and status == 200:
            config = _config(raw)
            if any(raw.get(name) is not None for name in _AUTH):
                config = attr.evolve(config, auth=_auth(raw))
            return cast(ServerConfig, attr.evolve(config, source=source))
    except Malformed as error:
        if status == 200:
            raise MalformedAnswerError(url, error.reason, error.where, status) from None
    said = said or body[: 4 * _SAID + 4].decode(errors="replace").strip() or "nothing"
    advice = ""
    if status == 404:
        advice = ". Is this the URL of the platform's API, https://.../api/v1?"
    raise PlatformError(url, f"answered {status}: {_printable(said)}{advice}", status)


def _error(raw: Any) -> Optional[str]:
    if type(raw) is not dict or "authorized" in raw or "clusters" in raw:
        return None
    said = raw.get("error")
    return said if said is None or type(said) is str else ""


def _printable(text: str) -> str:
    escaped = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text[: _SAID + 1]
    )
    return escaped if len(escaped) <= _SAID else f"{escaped[:_SAID]}..."
