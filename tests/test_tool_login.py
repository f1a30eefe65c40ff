"""The login of another tool: files of every schema, odd ones, and the SDKs' own."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import sqlite3
import stat
import struct
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import attrs
import jwt
import pytest
from common import Clock, free_urls, needs_tool, tools
from test_secrets import shown

from neuro_config import (
    CannotRefreshError,
    Cluster,
    ConfigStore,
    ImportLoginError,
    LoggedOut,
    MemoryStorage,
    Project,
    TokenExpired,
)
from neuro_config._deadline import Deadline
from neuro_config._session import AuthConfig, Choice
from neuro_config._tool_db import ATTEMPTS, SIZE_LIMIT
from neuro_config._tool_login import ToolLogin, read_tool_login
from neuro_config.testing import ClusterSpec, Platform, ProjectSpec

NOW = 1.7e9
LATER = 30.0  # seconds that no reading takes
API = "https://api.example/api/v1"
REFRESH = "canary-refresh-token"

BEFORE_ADMIN = (
    "auth_config TEXT, token TEXT, expiration_time REAL, refresh_token TEXT, url TEXT, "
    "version TEXT, cluster_name TEXT, clusters TEXT, timestamp REAL"
)
BEFORE_ORGS = BEFORE_ADMIN.replace("version", "admin_url TEXT, version")
OF_2022 = BEFORE_ORGS.replace("clusters", "org_name TEXT, clusters")
OF_2023 = OF_2022.replace("cluster_name", "project_name TEXT, cluster_name").replace(
    "timestamp", "projects TEXT, timestamp"
)
OF_2026 = OF_2023.replace("version", "vcluster_url TEXT, version")
SCHEMAS = {
    "before admin_url": BEFORE_ADMIN,
    "before orgs": BEFORE_ORGS,
    "2022": OF_2022,
    "2023": OF_2023,
    "2026": OF_2026,
}

Row = Dict[str, Any]


def token(**claims: object) -> str:
    """A JWT of alice's, valid for an hour around ``NOW`` unless the claims differ."""
    said = {"identity": "alice", "iat": NOW - 600, "exp": NOW + 3000, **claims}
    given = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(given, "k" * 32, algorithm="HS256")


AUTH = {
    "auth_url": "https://auth.example/authorize",
    "token_url": "https://auth.example/token",
    "logout_url": "https://auth.example/logout",
    "client_id": "the-client",
    "audience": "https://platform.example",
    "headless_callback_url": "https://api.example/show-code",
    "success_redirect_url": None,
    "callback_urls": ["http://127.0.0.1:54540"],
}


def cluster(name: str = "default", **fields: Any) -> Row:
    services = ("registry", "storage", "users", "monitoring", "secrets")
    return {
        "name": name,
        **{f"{service}_url": f"https://{service}.example" for service in services},
        "orgs": ["acme"],
        "presets": [{"name": "small", "cpu": 1, "memory": 1 << 30}],
        **fields,
    }


def row(**fields: Any) -> Row:
    values = {
        "auth_config": AUTH,
        "token": token(),
        "expiration_time": NOW + 2400,
        "refresh_token": REFRESH,
        "url": API,
        "admin_url": "https://admin.example",
        "vcluster_url": "https://vcluster.example",
        "version": "25.5.0",
        "project_name": "main",
        "cluster_name": "default",
        "org_name": "acme",
        "clusters": [cluster()],
        "projects": [
            {
                "name": "main",
                "cluster_name": "default",
                "org_name": "acme",
                "role": "writer",
            }
        ],
        "timestamp": NOW - 600,
        **fields,
    }
    return {
        name: json.dumps(value) if isinstance(value, (dict, list)) else value
        for name, value in values.items()
    }


def insert(db: sqlite3.Connection, values: Row) -> None:
    """Put a row into what columns the table has."""
    columns = [each[1] for each in db.execute("PRAGMA table_info(main)")]
    names = [name for name in columns if name in values]
    marks = ", ".join("?" * len(names))
    with db:
        db.execute(
            f"INSERT INTO main ({', '.join(names)}) VALUES ({marks})",
            [values[name] for name in names],
        )


def opened(path: Path, schema: str = OF_2023, *, wal: bool = True) -> Any:
    """Open a file as the tools do; closing it takes the write-ahead log away."""
    db = sqlite3.connect(str(path))
    if wal:
        db.execute("PRAGMA journal_mode = WAL")
    if schema:
        db.execute(f"CREATE TABLE main ({schema})")
    return closing(db)


Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a tool's file in a folder of its own."""

    def make_file(
        *rows: Row, schema: str = OF_2023, wal: bool = True, name: str = "tool"
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(mode=0o700, parents=True)
        with opened(folder / "db", schema, wal=wal) as db:
            for values in rows or (row(),):
                insert(db, values)
        return folder / "db"

    return make_file


def read(
    path: Path, now: float = NOW, deadline: Optional[Deadline] = None
) -> ToolLogin:
    return read_tool_login(path, now, deadline or Deadline(LATER))


def why(path: Path, deadline: Optional[Deadline] = None) -> str:
    """Tell why a file is refused."""
    with pytest.raises(ImportLoginError) as caught:
        read(path, deadline=deadline)
    assert REFRESH not in shown(caught.value)
    assert caught.value.path in str(caught.value)
    return caught.value.reason


def outcome(call: Callable[[], object]) -> Optional[ImportLoginError]:
    """Return the error that a call ends with."""
    try:
        call()
    except ImportLoginError as error:
        return error
    return None


def state_of(folder: Path) -> Dict[str, Tuple[bytes, int, int]]:
    """What must not change in a folder: names, bytes, times, modes."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
        for path in files
    }


def imported(path: Path, now: float = NOW) -> ConfigStore:
    store = ConfigStore(storage=MemoryStorage(), clock=Clock(now))
    store.import_login(path)
    return store


# ----------------------------------------------------------------- every schema


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas(make: Make, name: str) -> None:
    """What a tool of any age stored is taken over; what it did not know is absent."""
    schema = SCHEMAS[name]
    knows_admin, knows_orgs = "admin_url" in schema, "org_name" in schema
    knows_projects, knows_vcluster = "projects" in schema, "vcluster" in schema
    path = make(schema=schema)
    before = state_of(path.parent)
    store = imported(path)
    assert before == state_of(path.parent)
    assert "alice" == store.username
    assert API == str(store.api_url)
    assert "default" == store.cluster_name
    assert "acme" == store.org_name
    assert ["small"] == list(store.presets)
    assert token() == store.token()
    assert knows_orgs == (read(path).choice.org_name is not None)
    assert ("main" if knows_projects else None) == store.project_name
    assert knows_projects == bool(store.projects)
    assert knows_admin == (store.admin_url is not None)
    assert knows_vcluster == (store.vcluster_url is not None)


def test_login(make: Make) -> None:
    """A row becomes a login whose token has the times that it tells of itself."""
    login = read(make())
    assert API == login.api_url
    assert token() == login.token.access_token
    assert REFRESH == login.token.refresh_token
    assert (NOW - 600, NOW + 3000) == (login.token.obtained_at, login.token.expires_at)
    assert NOW - 600 == login.saved_at
    assert Choice("default", "acme", "main") == login.choice
    assert (
        AuthConfig(
            auth_url="https://auth.example/authorize",
            token_url="https://auth.example/token",
            client_id="the-client",
            audience="https://platform.example",
            logout_url="https://auth.example/logout",
            callback_urls=("http://127.0.0.1:54540",),
            headless_callback_url="https://api.example/show-code",
        )
        == login.config.auth
    )
    assert REFRESH not in repr(login)
    assert token() not in repr(login)


def test_names_of_the_tools(make: Make) -> None:
    """The tools' own names of fields, old and new, become the platform's."""
    fields: Row = {
        "presets": [
            {
                "name": "tpu",
                "credits_per_hour": "81.20",
                "cpu": 0.5,
                "memory": 1 << 30,
                "nvidia_gpu": 2,
                "nvidia_gpu_model": "v100",
                "amd_gpu": None,
                "tpu_type": "v2-8",
                "tpu_software_version": "1.14",
            },
            {"name": "old", "cpu": 1, "memory_mb": 5, "gpu": 1, "tpu_type": None},
        ],
        "resource_pools": [{"name": "pool", "min_size": None, "nvidia_gpu": 4}],
        "apps": {"hostname_templates": ["{app}.example"]},
    }
    store = imported(make(row(clusters=[cluster(**fields)])))
    tpu, old = store.presets["tpu"], store.presets["old"]
    assert ("v2-8", "1.14") == (tpu.tpu_type, tpu.tpu_software_version)
    assert (2, "v100", "81.20") == (tpu.gpu, tpu.gpu_model, str(tpu.credits_per_hour))
    assert (1, None, 5) == (old.gpu, old.tpu, old.memory_mb)
    pool = store.resource_pools["pool"].nvidia_gpu
    assert pool is not None
    assert 4 == pool.count
    apps = store.clusters["default"].apps
    assert ("{app}.example",) == apps.apps_hostname_templates


NULL_ORG: Row = {
    "org_name": "NO_ORG",
    "clusters": [cluster(orgs=["NO_ORG", "acme"])],
    "projects": [
        {
            "name": "main",
            "cluster_name": "default",
            "org_name": "NO_ORG",
            "role": "writer",
        }
    ],
}


@pytest.mark.parametrize(
    ("schema", "version", "expected"),
    [
        (OF_2022, "22.7.1", "NO_ORG"),
        (OF_2023, "23.7.0", None),
        (OF_2023, "25.9.1", None),
        (OF_2023, None, None),
        (OF_2023, "unknown", None),
        (OF_2023, "25.11.0", "NO_ORG"),
        (OF_2026, "26.9.0", "NO_ORG"),
    ],
)
def test_null_org(
    make: Make, schema: str, version: Optional[str], expected: Optional[str]
) -> None:
    """A null org is restored where the tool had put its own word, and nowhere else."""
    store = imported(make(row(version=version, **NULL_ORG), schema=schema))
    assert expected == store.org_name
    assert {expected, "acme"} == set(store.cluster_orgs)
    keys = [Project.Key("default", expected, "main")] if "projects" in schema else []
    assert keys == list(store.projects)


def test_orgs_as_null(make: Make) -> None:
    """A null org that was stored as null is no org."""
    path = make(row(org_name=None, clusters=[cluster(orgs=[None])]), schema=OF_2022)
    assert imported(path).org_name is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("default", "acme", "main"), Choice("default", "acme", "main")),
        (("default", "gone", "main"), Choice("default", "acme", "main")),
        (("default", "acme", "gone"), Choice("default", "acme", "main")),
        (("default", "acme", None), Choice("default", "acme", "main")),
        (("gone", "acme", "main"), Choice("default", "acme", "main")),
        ((None, None, None), Choice("default", "acme", "main")),
        (("farm", None, None), Choice("farm", "zoo", None)),
    ],
)
def test_choice(make: Make, names: Tuple[Optional[str], ...], expected: Choice) -> None:
    """What is chosen there is chosen here; what does not exist is chosen anew."""
    keys = ("cluster_name", "org_name", "project_name")
    clusters = [cluster(), cluster("farm", orgs=["zoo"])]
    store = imported(make(row(clusters=clusters, **dict(zip(keys, names)))))
    state = store.state
    assert not isinstance(state, LoggedOut)
    assert expected == state.session.choice


@pytest.mark.parametrize(
    ("claims", "expiration", "expected"),
    [
        ({}, NOW + 9, (NOW - 600, NOW + 3000)),
        ({"exp": None}, NOW + 2400, (NOW - 600, NOW + 2400)),
        ({"exp": None}, None, (NOW - 600, None)),
        ({"exp": None}, -5, (NOW - 600, None)),
        ({"exp": None}, "never", (NOW - 600, None)),
        ({"exp": None}, 1e300, (NOW - 600, None)),
        ({"exp": None, "iat": None}, NOW + 2400, (NOW, NOW + 2400)),
        ({"iat": None}, None, (NOW, NOW + 3000)),
        ({"iat": NOW + 60}, None, (NOW, NOW + 3000)),
        ({"iat": NOW - 5, "exp": NOW - 9}, None, (NOW, NOW - 9)),
        ({"iat": True}, None, (NOW, NOW + 3000)),
    ],
)
def test_times(
    make: Make, claims: Row, expiration: object, expected: Tuple[float, float]
) -> None:
    """The token's own times count, then the tool's; a token without any is new."""
    path = make(row(token=token(**claims), expiration_time=expiration))
    found = read(path).token
    assert expected == (found.obtained_at, found.expires_at)


def test_expired(make: Make) -> None:
    """An expired login is taken over as one, to be refreshed."""
    assert isinstance(imported(make(), NOW + 4000).state, TokenExpired)


@pytest.mark.parametrize("refresh_token", ["", None, "not visible\n", "ä"])
def test_no_refresh_token(make: Make, refresh_token: Optional[str]) -> None:
    """An empty or impossible refresh token is none."""
    store = imported(make(row(refresh_token=refresh_token)))
    assert token() == store.token()
    with pytest.raises(CannotRefreshError):
        store.refresh_token()


@pytest.mark.parametrize(
    "auth_config",
    [None, "", "no JSON", "[]", {}, {**AUTH, "token_url": "x"}, "[" * 100_000],
)
def test_broken_auth(make: Make, auth_config: object) -> None:
    """Without a usable way to log in the token is taken over all the same."""
    login = read(make(row(auth_config=auth_config)))
    assert login.config.auth is None
    assert REFRESH == login.token.refresh_token


def test_empty_parts_of_auth(make: Make) -> None:
    """An empty URL is one that is not there."""
    auth = read(make(row(auth_config={**AUTH, "logout_url": ""}))).config.auth
    assert auth is not None
    assert auth.logout_url is None


# ------------------------------------------------------------------ which login


def test_where(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory or the file can be given, as text, relative, or from home."""
    path = make(name="home/.neuro")
    monkeypatch.chdir(path.parent)
    for given in (path, path.parent, str(path), "db", ".", "~/.neuro", "~/.neuro/db"):
        store = ConfigStore(storage=MemoryStorage())
        store.import_login(given)
        assert "alice" == store.username


@pytest.mark.parametrize("name", [".neuro", ".apolo"])
def test_only_one_place(make: Make, name: str) -> None:
    """Without a path, the one tool that is there is found."""
    make(name=f"home/{name}")
    store = ConfigStore(storage=MemoryStorage())
    store.import_login()
    assert "alice" == store.username


@pytest.mark.parametrize(
    ("neuro", "apolo", "expected"),
    [(NOW, NOW - 1, "neuro"), (NOW - 1, NOW, "apolo"), (None, NOW, "apolo")],
)
def test_the_newer_one(
    make: Make, neuro: Optional[float], apolo: float, expected: str
) -> None:
    """Of two tools' logins the newer is taken."""
    for name, timestamp in (("neuro", neuro), ("apolo", apolo)):
        make(row(token=token(identity=name), timestamp=timestamp), name=f"home/.{name}")
    store = ConfigStore(storage=MemoryStorage())
    store.import_login()
    assert expected == store.username


@pytest.mark.parametrize("broken", [".neuro", ".apolo"])
def test_a_broken_one_beside_a_good_one(
    make: Make, tmp_path: Path, broken: str
) -> None:
    """A file that holds no login does not stand before one that does."""
    (good,) = {".neuro", ".apolo"} - {broken}
    make(name=f"home/{good}")
    folder = tmp_path / "home" / broken
    folder.mkdir(exist_ok=True)
    (folder / "db").write_bytes(b"garbage")
    store = ConfigStore(storage=MemoryStorage())
    store.import_login()
    assert "alice" == store.username
    (tmp_path / "home" / good / "db").write_bytes(b"garbage")
    with pytest.raises(ImportLoginError, match=r"\.neuro/db"):
        store.import_login()


@pytest.mark.parametrize("path", ["a\0b", "\ud800"])
def test_no_path_at_all(path: str) -> None:
    """What no system takes for a path is the typed error, too."""
    with pytest.raises(ImportLoginError, match="is no path"):
        ConfigStore(storage=MemoryStorage()).import_login(path)


def test_no_place(tmp_path: Path) -> None:
    """Without any tool the error names both places."""
    with pytest.raises(ImportLoginError) as caught:
        ConfigStore(storage=MemoryStorage()).import_login()
    home = tmp_path / "home"
    assert f"{home}/.neuro/db and {home}/.apolo/db" == caught.value.path


def test_several_rows(make: Make) -> None:
    """Of several rows the latest counts."""
    rows = [
        row(token=token(identity=name), timestamp=timestamp)
        for name, timestamp in (("old", NOW - 9), ("new", NOW), ("none", None))
    ]
    assert "new" == imported(make(*rows)).username


def test_no_timestamp(make: Make) -> None:
    """A table without a timestamp is read as well."""
    login = read(make(schema=BEFORE_ADMIN.replace(", timestamp REAL", "")))
    assert 0.0 == login.saved_at


def test_in_the_tools_own_directory(make: Make) -> None:
    """Our login can be kept beside the tool's, which stays as it is."""
    path = make(name="home/.neuro")
    before = state_of(path.parent)["db"]
    store = ConfigStore(clock=Clock(NOW))
    store.import_login()
    assert path.parent.resolve() == Path(store.path)
    assert before == state_of(path.parent)["db"]
    assert "alice" == ConfigStore().username


def test_failure_keeps_what_is_there(make: Make, folder: Path) -> None:
    """An import that fails leaves the login that is stored."""
    store = ConfigStore(folder)
    store.import_login(make())
    with pytest.raises(ImportLoginError):
        store.import_login(make(row(url=None), name="broken"))
    assert "alice" == store.username == ConfigStore(folder).username


# -------------------------------------------------------------------- odd files


def test_missing_columns(make: Make) -> None:
    """Token and URL are enough: the rest comes with a fetch."""
    store = imported(make(schema="token TEXT, url TEXT"))
    assert "alice" == store.username
    assert ([], []) == (list(store.clusters), list(store.projects))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"token": None}, "token: missing or no token"),
        ({"token": ""}, "token: missing or no token"),
        ({"token": "two words"}, "token: missing or no token"),
        ({"token": b"\xff"}, "token: not UTF-8"),
        ({"token": "opaque"}, "The token does not say whose it is"),
        ({"token": 5}, "The token does not say whose it is"),
        ({"url": None}, "url: not an absolute http or https URL"),
        ({"url": "ftp://api.example"}, "url: not an absolute http or https URL"),
        ({"url": "http://api.example"}, "must be https"),
        ({"admin_url": "nowhere"}, "admin_url: not an absolute"),
        ({"org_name": b"\xff"}, "org_name: not UTF-8"),
        ({"clusters": "{"}, "clusters: not JSON"),
        ({"clusters": "5"}, "clusters: not a list"),
        ({"clusters": [5]}, "clusters[0]: not an object"),
        ({"clusters": [{"name": "x"}]}, "clusters[0].registry_url: missing"),
        ({"clusters": [cluster(orgs="acme")]}, "clusters[0].orgs: not a list"),
        ({"clusters": [cluster(presets=[{}])]}, "resource_presets[0].name: missing"),
        ({"clusters": "[" * 100_000}, "nested too deeply"),
        ({"clusters": "[" * 900 + "]" * 900}, "clusters[0]: not an object"),
        ({"projects": [{"name": "x"}]}, "projects[0].role: missing"),
        ({"projects": "{}"}, "projects: not a list"),
    ],
)
def test_malformed(make: Make, fields: Row, expected: str) -> None:
    """What is there must be well-formed; the error names the place, not the value."""
    reason = why(make(row(**fields)))
    assert expected in reason
    assert reason.endswith("Log in anew here instead.")


def test_deeply_nested(make: Make) -> None:
    """A field that nobody knows is refused from the depth on that cannot be stored."""

    def is_stored(depth: int) -> bool:
        deep = json.dumps([cluster(new="deep")])
        deep = deep.replace('"deep"', "[" * depth + "]" * depth)
        path = make(row(clusters=deep), name=f"depth-{depth}")
        failure = outcome(lambda: imported(path))
        assert failure is None or "nested too deeply" in failure.reason
        shutil.rmtree(path.parent)
        return failure is None

    low, high = 1, 1 << 20
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_stored(middle) else (low, middle)
    assert low > 100
    around = [is_stored(depth) for depth in range(low - 8, low + 9)]
    assert sorted(around, reverse=True) == around


def test_not_there(tmp_path: Path) -> None:
    """A missing file, or what is no path at all, is refused by name."""
    assert "there is no such file" in why(tmp_path / "db")
    assert "there is no such file" in why(tmp_path)
    assert "is no path" in why(Path("a\0b"))
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be read" in why(tmp_path / "loop" / "db")


def test_no_regular_file(tmp_path: Path) -> None:
    """A folder, a pipe or a socket is refused at once."""
    (tmp_path / "a" / "db").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b" / "db")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "a", tmp_path / "b", tmp_path / "socket"):
            assert "is no regular file" in why(path)
    path = tmp_path / "c"
    path.write_bytes(b"")
    os.mkfifo(tmp_path / "c-wal")
    assert "is no regular file" in why(path)


@pytest.mark.parametrize(
    "data", [b"garbage", b"SQLite format 3\0", bytes(4096), os.urandom(8192)]
)
def test_garbage(tmp_path: Path, data: bytes) -> None:
    """Bytes that are no database are refused."""
    path = tmp_path / "db"
    path.write_bytes(data)
    assert "SQLite cannot read it" in why(path)


def test_nobody_is_logged_in(tmp_path: Path, make: Make) -> None:
    """An empty file, one without the table, and one without a row hold no login."""
    (tmp_path / "empty").write_bytes(b"")
    with opened(tmp_path / "other", "") as db:
        db.execute("CREATE TABLE other (token)")
    with opened(tmp_path / "none"):
        pass
    for name in ("empty", "other", "none"):
        assert "nobody is logged in there" in why(tmp_path / name)


def test_truncated(make: Make) -> None:
    """A file that lost its end is refused."""
    path = make(row(clusters=[cluster(f"c{number}") for number in range(200)]))
    os.truncate(path, path.stat().st_size - 20_000)
    assert "SQLite cannot read it" in why(path)


def test_huge(tmp_path: Path) -> None:
    """A file that is larger than any real one is not read."""
    path = tmp_path / "db"
    path.touch()
    os.truncate(path, SIZE_LIMIT + 1)
    assert "is larger than 64 MiB" in why(path)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE VIEW main AS SELECT * FROM other",
        "CREATE VIRTUAL TABLE main USING fts5(token, url)",
    ],
)
def test_no_real_table(tmp_path: Path, sql: str) -> None:
    """A view or a virtual table is no table of the tool's."""
    with opened(tmp_path / "db", "") as db:
        db.execute(f"CREATE TABLE other ({OF_2023})")
        db.execute(sql)
        db.execute("INSERT INTO other (token, url) VALUES ('x', 'y')")
        db.commit()
    assert "nobody is logged in there" in why(tmp_path / "db")


def test_generated_columns(make: Make) -> None:
    """A column that is computed, and not stored, is not there."""
    computed = "token TEXT, url TEXT AS ('https://evil.example')"
    path = make({"token": token()}, schema=computed)
    assert "url: not an absolute" in why(path)


def test_no_column_of_theirs(make: Make) -> None:
    """A table with none of the columns is refused."""
    assert "token: missing" in why(make({"x": 1}, schema="x"))


def test_without_rowid(make: Make) -> None:
    """A table that is built otherwise than theirs is refused."""
    path = make(schema="token TEXT PRIMARY KEY) WITHOUT ROWID; --")
    assert "SQLite cannot read it" in why(path)


def test_time_limit(make: Make) -> None:
    """A table that takes too long to read is given up."""
    path = make(*[{"token": "x"}] * 3000)
    assert "reading it takes too long" in why(path, Deadline(0))


def test_no_place_for_a_copy(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system refuses is said in its own words."""
    path = with_log(tmp_path, make)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert "cannot be read: No such file or directory" in why(path)


# ------------------------------------------------- logs, and files under change


def with_log(tmp_path: Path, make: Make, **fields: Any) -> Path:
    """A file whose last change is in the write-ahead log only, as after a crash."""
    path = make(row(token=token(identity="before")))
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    with opened(path, "") as db:
        with db:
            db.execute("DELETE FROM main")
            insert(db, row(**fields))
        for suffix in ("", "-wal", "-shm"):
            shutil.copy2(f"{path}{suffix}", f"{crashed}/db{suffix}")
    return crashed / "db"


def test_log(tmp_path: Path, make: Make) -> None:
    """What is only in the write-ahead log is read, and all files stay as they are."""
    path = with_log(tmp_path, make, token=token(identity="carol"))
    for _ in range(2):
        before = state_of(path.parent)
        assert "carol" == imported(path).username
        assert before == state_of(path.parent)
        if "db-shm" in before:
            os.remove(f"{path}-shm")
    os.remove(f"{path}-wal")
    assert "before" == imported(path).username


def test_copies_are_gone(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a copy that was made to read a log nothing is left."""
    path = with_log(tmp_path, make)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    imported(path)
    assert [] == list(scratch.iterdir())


def test_empty_log(make: Make) -> None:
    """An empty write-ahead log is as good as none, and stays."""
    path = make()
    Path(f"{path}-wal").touch()
    before = state_of(path.parent)
    assert "alice" == imported(path).username
    assert before == state_of(path.parent)


def test_rollback_journal(make: Make) -> None:
    """A file without write-ahead logging is read; a change half done is not."""
    path = make(wal=False)
    before = state_of(path.parent)
    assert ["db"] == list(before)
    assert "alice" == imported(path).username
    assert before == state_of(path.parent)
    Path(f"{path}-journal").write_bytes(b"x")
    assert "stopped in the middle of a change" in why(path)


def checksum(data: bytearray, seed: Tuple[int, int], order: str) -> Tuple[int, int]:
    """SQLite's checksum of a part of a write-ahead log."""
    one, two = seed
    numbers = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(numbers[::2], numbers[1::2]):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two


def test_log_that_claims_too_much(tmp_path: Path, make: Make) -> None:
    """A log that makes the database larger than any real one is not believed."""
    path = with_log(tmp_path, make)
    claim = struct.pack(">I", 1 << 30)  # pages
    data = bytearray(path.read_bytes())
    data[28:32] = claim
    path.write_bytes(data)
    log = bytearray(Path(f"{path}-wal").read_bytes())
    order = ">" if log[3] & 1 else "<"
    (page_size,) = struct.unpack(">I", log[8:12])
    seed = checksum(log[:24], (0, 0), order)
    for start in range(32, len(log), 24 + page_size):
        page = start + 24
        if log[start : start + 4] == struct.pack(">I", 1):
            log[page + 28 : page + 32] = claim
        if log[start + 4 : start + 8] != bytes(4):
            log[start + 4 : start + 8] = claim
        seed = checksum(log[start : start + 8], seed, order)
        seed = checksum(log[page : page + page_size], seed, order)
        log[start + 16 : start + 24] = struct.pack(">II", *seed)
    Path(f"{path}-wal").write_bytes(log)
    assert "is larger than 64 MiB" in why(path)


class Meddler(Deadline):
    """A deadline that touches a file whenever it is looked at, so often."""

    def __init__(self, path: Path, times: int) -> None:
        super().__init__(LATER)
        self.path = path
        self.times = times

    def remaining(self) -> float:
        if self.times:
            self.times -= 1
            os.utime(self.path, (NOW, NOW + self.times))
        return super().remaining()


@pytest.mark.parametrize("times", [1, 1000 * ATTEMPTS])
def test_change_meanwhile(make: Make, times: int) -> None:
    """What was changed during the reading is read again, some times."""
    path = make(*[row(auth_config=None, clusters=None)] * 3000)
    deadline = Meddler(path, times)
    if times == 1:
        assert API == read(path, deadline=deadline).api_url
    else:
        assert "keeps changing it" in why(path, deadline)


WRITER = """
import json, sqlite3, sys, time
path, rows = sys.argv[1], json.load(sys.stdin)
print(flush=True)
end = time.monotonic() + 20
while time.monotonic() < end:
    for row in rows:
        db = sqlite3.connect(path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("DELETE FROM main")
        marks = ", ".join("?" * len(row))
        db.execute(f"INSERT INTO main ({', '.join(row)}) VALUES ({marks})", list(row.values()))
        db.commit()
        db.close()
        time.sleep(0.03)
"""


def test_beside_a_writer(make: Make) -> None:
    """While the tool writes, each import gets one whole login or says that it did not."""
    users = [f"user-{number}" for number in range(7)]
    names = [f"cluster-{user}" for user in users]
    rows = [
        row(
            token=token(identity=user),
            refresh_token=f"refresh-{user}",
            clusters=[cluster(name, filler="x" * 1000 * len(names))],
        )
        for user, name in zip(users, names)
    ]
    for each in rows:
        del each["vcluster_url"]
    path = make(rows[0])
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write(json.dumps(rows))
        writer.stdin.close()
        writer.stdout.readline()
        seen = set()
        for _ in range(60):
            logins: List[ToolLogin] = []
            failure = outcome(lambda: logins.append(read(path)))  # noqa: B023
            if failure is not None:
                assert "keeps changing it" in failure.reason
                continue
            (login,) = logins
            (found,) = login.config.clusters
            user = found.name[len("cluster-") :]
            assert token(identity=user) == login.token.access_token
            assert f"refresh-{user}" == login.token.refresh_token
            seen.add(user)
        writer.kill()
    assert len(seen) > 1


def test_any_bytes(tmp_path: Path, make: Make) -> None:
    """However a file is damaged, there is a login or the one error, without a token."""
    whole = with_log(tmp_path, make)
    files = {suffix: Path(f"{whole}{suffix}").read_bytes() for suffix in ("", "-wal")}
    dice = random.Random(1)
    outcomes = set()
    for _ in range(300):
        for suffix, data in files.items():
            damaged = bytearray(data)
            for _ in range(dice.choice([0, 1, 5, 50])):
                damaged[dice.randrange(len(data))] = dice.randrange(256)
            if dice.random() < 0.2:
                del damaged[dice.randrange(len(data)) :]
            Path(f"{whole}{suffix}").write_bytes(damaged)
        failure = outcome(lambda: read(whole))
        outcomes.add(failure is None)
        if failure is not None:
            text = shown(failure)
            assert [] == [one for one in (REFRESH, token()) if one in text]
    assert {True, False} == outcomes


def test_no_secret_is_shown(make: Make) -> None:
    """No error of a row that is wrong shows what is in it."""
    canary = "canary-of-the-row"
    broken: List[Row] = [
        {"token": f"{canary} "},
        {"token": canary},
        {"url": f"https://{canary}@[x"},
        {"clusters": f'["{canary}'},
        {"token": canary.encode() + b"\xff"},
        {"org_name": canary.encode() + b"\xff"},
    ]
    for number, fields in enumerate(broken):
        with pytest.raises(ImportLoginError) as caught:
            imported(make(row(**fields), name=f"tool-{number}"))
        text = shown(caught.value)
        assert [] == [one for one in (canary, REFRESH, token()) if one in text]


# ------------------------------------------------------------ files of the SDKs

SDKS = [
    pytest.param(name, module, era, marks=needs_tool(f"{name}/bin/python"), id=name)
    for name, module, era in (
        ("neuro-sdk-22.7.1", "neuro_sdk", "2022-07"),
        ("apolo-sdk-25.5.0", "apolo_sdk", "2024-12"),
        ("apolo-sdk", "apolo_sdk", "2026-08"),
    )
]

# Logs in as a person would; with "die" the process is killed by its first commit.
SDK = """
import asyncio, functools, importlib, os, pathlib, signal, sqlite3, sys
import aiohttp
from yarl import URL

module, url, path, end = sys.argv[1:]
sdk = importlib.import_module(module)


class Dying(sqlite3.Connection):
    def commit(self):
        super().commit()
        os.kill(os.getpid(), signal.SIGKILL)


async def show_browser(url):
    async with aiohttp.ClientSession() as session, session.get(url) as page:
        await page.read()


if end == "die":
    sqlite3.connect = functools.partial(sqlite3.connect, factory=Dying)
asyncio.run(sdk.login(show_browser, url=URL(url), path=pathlib.Path(path)))
"""


@pytest.fixture
def world() -> Iterator[Platform]:
    """A platform with null orgs, whose callback ports nobody else uses."""
    clusters = (
        ClusterSpec(name="default", orgs=(None, "acme")),
        ClusterSpec(name="lab", orgs=("umbrella",)),
    )
    projects = (
        ProjectSpec(name="main", cluster_name="default", org_name="acme"),
        ProjectSpec(name="nobody's", cluster_name="default", org_name=None),
    )
    with Platform(
        clusters=clusters, projects=projects, callback_urls=free_urls(3)
    ) as platform:
        yield platform


def log_in(
    platform: Platform, sdk: Tuple[str, str, str], folder: Path, end: str = "live"
) -> None:
    name, module, era = sdk
    platform.era = era
    done = subprocess.run(
        [
            str(tools() / name / "bin" / "python"),
            "-W", "ignore", "-c", SDK, module, str(platform.url), str(folder), end,
        ],
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        timeout=60,
        check=False,
    )  # fmt: skip
    assert {"live": 0, "die": -9}[end] == done.returncode


def as_stored(cluster: Cluster, era: str) -> Cluster:
    """Return what the SDK of an era stores of a cluster."""
    pools = {
        pool.name: attrs.evolve(
            pool,
            idle_size=0,
            available_cpu=None,
            available_memory=None,
            available_disk_size=None,
            cpu_min_watts=0.0,
            cpu_max_watts=0.0,
            # The newest SDK looks for the TPUs of a pool in the cluster.
            tpu=pool.tpu if era < "2025" else None,
        )
        for pool in cluster.resource_pools.values()
    }
    return attrs.evolve(
        cluster,
        resource_pools=pools,
        metrics_url=None,
        grafana_url=None,
        prometheus_url=None,
        logo_url=None,
        timezone=None,
        location=None,
        storage_volumes={},
        energy_schedules={},
    )


@pytest.mark.parametrize(("name", "module", "era"), SDKS)
def test_sdk(
    world: Platform, tmp_path: Path, folder: Path, name: str, module: str, era: str
) -> None:
    """What a real SDK stored is what a fetch says, and works without the SDK."""
    path = tmp_path / "tool"
    log_in(world, (name, module, era), path)
    before = state_of(path)
    requests = world.count()
    store = ConfigStore(folder)
    store.import_login(path)
    assert requests == world.count()
    taken = {name: as_stored(one, era) for name, one in store.clusters.items()}
    projects = dict(store.projects)
    names = (store.username, store.cluster_name, store.org_name, store.project_name)
    urls = (store.api_url, store.admin_url, store.vcluster_url)
    store.token()
    assert requests == world.count()
    store.refresh_token()
    assert 1 == world.count("token", grant_type="refresh_token", status=200)
    store.fetch()
    assert names == (
        store.username,
        store.cluster_name,
        store.org_name,
        store.project_name,
    )
    org_name = None if era < "2025-10" else "acme"
    assert ("alice", "default", org_name) == names[:3]
    assert urls == (store.api_url, store.admin_url, store.vcluster_url)
    fetched = {name: as_stored(one, era) for name, one in store.clusters.items()}
    assert fetched == taken
    # The newest SDK drops projects without an org.
    assert projects == {
        key: project
        for key, project in store.projects.items()
        if era < "2026" or project.org_name is not None
    }
    assert before == state_of(path)


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_the_copy_is_private(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    """What is copied is for nobody else while it is read, under any umask."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    modes: List[int] = []
    connect = sqlite3.connect

    def noted(*arguments: Any, **options: Any) -> Any:
        found = [path.stat().st_mode for path in sorted(scratch.rglob("*"))]
        modes.extend(map(stat.S_IMODE, found))
        return connect(*arguments, **options)

    path = with_log(tmp_path, make)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(sqlite3, "connect", noted)
    before = os.umask(umask)
    try:
        read(path)
    finally:
        os.umask(before)
    assert [0o700, 0o600, 0o600] == modes


@pytest.mark.parametrize(("name", "module", "era"), SDKS)
def test_killed_sdk(
    world: Platform, tmp_path: Path, folder: Path, name: str, module: str, era: str
) -> None:
    """The login of an SDK that was killed is in its write-ahead log, and is read."""
    path = tmp_path / "tool"
    log_in(world, (name, module, era), path, "die")
    before = state_of(path)
    assert {"db", "db-wal", "db-shm"} == set(before)
    assert before["db-wal"][0]
    store = ConfigStore(folder)
    store.import_login(path)
    assert before == state_of(path)
    store.fetch()
    store.refresh_token()
    assert "alice" == store.username
