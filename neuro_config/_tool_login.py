"""The login of an installed ``neuro`` or ``apolo`` command-line tool, as our values.

The rules:

- the tool's row becomes the platform's own JSON and is read as that;
- a column that is not there, or is empty, is what an older tool did not know. Only the
  token and the platform's URL must be there. What is there must be well-formed, except
  how to log in: without that the token works, and cannot be refreshed until a fetch;
- a choice that the tool's own list of clusters lacks is replaced by a first choice;
- whatever is wrong is one ``ImportLoginError``.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import Any, Iterator, List, Mapping, Optional

import attr

from ._catalog import Catalog
from ._choice import choose_cluster, first_choice
from ._claims import expiry_of, issue_time_of, username_of
from ._convert import Malformed, at_path, parse_json, url_text
from ._deadline import Deadline
from ._errors import (
    ImportLoginError,
    InsecureURLError,
    InvalidTokenError,
    MalformedAnswerError,
)
from ._guard import is_token, require_secure
from ._local import StrPath
from ._payload import ServerConfig, parse_config
from ._session import AuthConfig, Choice, Secret, SecretBytes, Token
from ._tool_db import ADVICE, Row, read_row

FOLDERS = ("~/.neuro", "~/.apolo")
FILE = "db"

_COLUMNS = {
    **dict.fromkeys(
        (
            "auth_config", "token", "refresh_token", "url", "admin_url", "vcluster_url",
            "version", "project_name", "cluster_name", "org_name", "clusters", "projects",
        ),
        "TEXT",
    ),
    "expiration_time": "REAL",
    "timestamp": "REAL",
}  # fmt: skip

# From then on the tool stores no org as null, like the platform.
_NULL_ORG_SINCE = (25, 10)
_NO_ORG = "NO_ORG"

_CLUSTER_NAMES = {
    "presets": "resource_presets",
    "resource_pools": "resource_pool_types",
}
_APPS_NAMES = {"hostname_templates": "apps_hostname_templates"}


@attr.frozen
class ToolLogin:
    """A login and a choice.

    Args:
        path: The tool's file.
        api_url: The platform, without a trailing slash.
        token: With a refresh token if the tool has one.
        config: What the platform offered when the tool asked last.
        choice: What is chosen there, whether it exists or not.
        saved_at: When the tool wrote its row, seconds since the epoch; 0 if unknown.
    """

    path: str
    api_url: str
    token: Token
    config: ServerConfig
    choice: Choice
    saved_at: float

    def choose(self, catalog: Catalog) -> Choice:
        """Choose what is chosen there, as far as it exists."""
        name = self.choice.cluster_name
        if name is None or name not in catalog.orgs_of:
            return first_choice(catalog)
        return choose_cluster(catalog, self.choice, name)


def read_tool_login(
    path: Optional[StrPath], now: float, deadline: Deadline
) -> ToolLogin:
    """Read a tool's login.

    Args:
        path: Its file or the directory of it; else the newer of those in ``FOLDERS``.
        now: Seconds since the epoch.
        deadline: Of the reading of each file.

    Raises:
        ImportLoginError: There is none, or it cannot be used.
    """
    logins: List[ToolLogin] = []
    failures: List[ImportLoginError] = []
    for each in _files(path):
        try:
            logins.append(_read(each, now, deadline))
        except ImportLoginError as error:
            failures.append(error)
    if not logins:
        raise failures[0]
    return max(logins, key=lambda login: login.saved_at)


def _files(path: Optional[StrPath]) -> List[str]:
    if path is not None:
        given = os.path.expanduser(path)
        try:
            os.stat(given)
        except ValueError:  # a zero, or half of a surrogate pair
            raise ImportLoginError(repr(given), f"is no path. {ADVICE}") from None
        except OSError:
            pass  # told when it is read
        return [os.path.join(given, FILE) if os.path.isdir(given) else given]
    places = [os.path.join(os.path.expanduser(each), FILE) for each in FOLDERS]
    found = [place for place in places if os.path.exists(place)]
    if not found:
        raise ImportLoginError(
            " and ".join(places),
            "there is no such file. Give the tool's directory, or log in anew here.",
        )
    return found


def _read(path: str, now: float, deadline: Deadline) -> ToolLogin:
    row = read_row(path, _COLUMNS, deadline)
    try:
        return _login(path, row, now)
    except (Malformed, InvalidTokenError, InsecureURLError) as error:
        reason = str(error).rstrip(".")
    raise ImportLoginError(path, f"the login there is not usable: {reason}. {ADVICE}")


def _login(path: str, row: Row, now: float) -> ToolLogin:
    token = _secret(row, "token")
    if token is None:
        raise Malformed("token", "missing or no token")
    username_of(token)
    api_url = str(at_path("url", url_text, _text(row, "url"))).rstrip("/")
    require_secure(api_url)
    restores = _restores_null_orgs(row)
    org_name = _text(row, "org_name")
    return ToolLogin(
        path=path,
        api_url=api_url,
        token=_token(token, row, now),
        config=attr.evolve(_config(row, restores), auth=_auth(row)),
        choice=Choice(
            _text(row, "cluster_name"),
            _org(org_name) if restores else org_name,
            _text(row, "project_name"),
        ),
        saved_at=_time(row, "timestamp") or 0.0,
    )


def _text(row: Row, name: str) -> Optional[str]:
    data = row.get(name)
    if not isinstance(data, SecretBytes) or not data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Malformed(name, "not UTF-8") from None


def _secret(row: Row, name: str) -> Optional[Secret]:
    secret = Secret(_text(row, name) or "")
    return secret if is_token(secret) else None


def _time(row: Row, name: str) -> Optional[float]:
    value = row.get(name)
    # The range leaves out what no clock shows.
    return value if isinstance(value, float) and 1 < value < 1e12 else None


def _token(access_token: Secret, row: Row, now: float) -> Token:
    # The tool stores when it will refresh, at 75 % of the token's life.
    expires_at = expiry_of(access_token) or _time(row, "expiration_time")
    issued_at = issue_time_of(access_token)
    # The true age: a token that the platform refuses is refreshed unless it is young.
    if issued_at is None or issued_at >= min(now, expires_at or now):
        issued_at = now
    return Token(
        access_token,
        obtained_at=issued_at,
        expires_at=expires_at,
        refresh_token=_secret(row, "refresh_token"),
    )


def _restores_null_orgs(row: Row) -> bool:
    """Tell whether the tool put a word of its own where the platform sends null."""
    if "projects" not in row or "vcluster_url" in row:
        return False
    found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})", _text(row, "version") or "")
    return not found or (int(found[1]), int(found[2])) < _NULL_ORG_SINCE


def _org(name: Any) -> Any:
    return None if name == _NO_ORG else name


# --------------------------------------------------------- the platform's JSON


def _auth(row: Row) -> Optional[AuthConfig]:
    try:
        (raw,) = _objects([_json(row, "auth_config")])
        # The tool writes an empty text for a URL that is not there.
        fields = {name: raw.get(name) or None for name in attr.fields_dict(AuthConfig)}
        return _parsed({**fields, "authorized": False}).auth
    except (Malformed, ValueError):
        return None


def _config(row: Row, restores: bool) -> ServerConfig:
    clusters, projects = _json(row, "clusters"), _json(row, "projects")
    for cluster in _objects(clusters):
        _restore(cluster)
        if restores and type(cluster.get("orgs")) is list:
            cluster["orgs"] = [_org(name) for name in cluster["orgs"]]
    for project in _objects(projects):
        if restores:
            project["org_name"] = _org(project.get("org_name"))
    return _parsed(
        {
            "authorized": True,
            "clusters": clusters or [],
            "projects": projects,
            "admin_url": _text(row, "admin_url"),
            "vcluster_url": _text(row, "vcluster_url"),
        }
    )


def _restore(cluster: Any) -> None:
    _rename(cluster, _CLUSTER_NAMES)
    for apps in _objects([cluster.get("apps")]):
        _rename(apps, _APPS_NAMES)
    for preset in _objects(cluster.get("resource_presets")):
        tpu = [preset.pop(f"tpu_{part}", None) for part in ("type", "software_version")]
        if all(tpu):
            preset["tpu"] = dict(zip(("type", "software_version"), tpu))


def _rename(fields: Any, names: Mapping[str, str]) -> None:
    for old in names:
        if old in fields:
            fields[names[old]] = fields.pop(old)


def _objects(raw: Any) -> Iterator[Any]:
    # Anything else is left for the parser to refuse.
    return (each for each in (raw if type(raw) is list else ()) if type(each) is dict)


def _json(row: Row, name: str) -> Any:
    data = row.get(name)
    return at_path(name, parse_json, data) if data else None


def _parsed(answer: Mapping[str, Any]) -> ServerConfig:
    where, reason = "clusters", "nested too deeply"
    with suppress(RecursionError):
        try:
            # The clusters are deeper in here than in a catalog: what passes fits there.
            return parse_config(json.dumps(answer).encode(), url="")
        except MalformedAnswerError as error:
            where, reason = error.where, error.reason
    raise Malformed(where, reason)
