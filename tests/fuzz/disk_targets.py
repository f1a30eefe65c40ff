"""Targets: files that somebody else may have written."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, cast

import attrs
from looks import (
    LATER,
    LONGEST,
    NOW,
    allowing,
    held,
    here,
    parsed_json,
    use_catalog,
    use_session,
    use_values,
)

from neuro_config import ConfigStore
from neuro_config._catalog import (
    Catalog,
    digest_of,
    in_memory,
)
from neuro_config._deadline import Deadline
from neuro_config._directory import SESSION, Directory, catalog_name
from neuro_config._docker_config import HELPER, install, uninstall
from neuro_config._errors import (
    ImportLoginError,
    MalformedAnswerError,
    StorageError,
    UnknownNameError,
    UserConfigError,
)
from neuro_config._local import read_local_choice
from neuro_config._locks import describe_holder, read_hint
from neuro_config._mounts import mount_of, parse_mounts
from neuro_config._new_login import NewLogin, NewLogins
from neuro_config._platform import PlatformClient
from neuro_config._plugins import ConfigScope, PluginManager
from neuro_config._session import (
    Session,
)
from neuro_config._settings import as_json, keys_in, settings_in
from neuro_config._storage import READ_TIMEOUT, Clock, Storage
from neuro_config._tool_login import read_tool_login
from neuro_config._user_config import (
    MAX_DEPTH,
    checked_files,
    is_deeper,
    load_user_config,
)


class _Stored:
    """A storage that holds bytes: those of the input."""

    location = "/stored"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def shared_clock(self, clock: Clock) -> Clock:
        return clock

    def read(self, timeout: float = READ_TIMEOUT) -> Optional[Session]:
        return Directory("/stored").parse(self._data)


def session(data: bytes) -> None:
    """``session.toml``."""
    file = here() / SESSION
    file.write_bytes(data)
    with allowing(StorageError):
        found = Directory(here()).read()
        assert found is not None
        use_session(found)
    store = ConfigStore(storage=cast(Storage, _Stored(data)), clock=lambda: NOW)
    repr(store)
    for name in ("state", "username", "api_url", "service_accounts_url"):
        with allowing(StorageError):
            use_values(getattr(store, name))


def signed(data: bytes) -> bytes:
    """Make the file of an input: ``@0`` becomes what the index says of line 0.

    ``@size`` is the size of all lines. Everything else stays as it is.
    """
    import hashlib

    index, _, rest = data.partition(b"\n")
    offset = 0
    for number, line in enumerate(rest.splitlines(keepends=True)[:20]):
        digest = hashlib.sha256(line).hexdigest()
        said = b'%d,%d,"%s"' % (offset, len(line), digest.encode())
        index = index.replace(b"@%d" % number, said)
        offset += len(line)
    return index.replace(b"@size", b"%d" % offset) + b"\n" + rest


def catalog(data: bytes) -> None:
    """A catalog's file, read as the one that a session names; see ``signed``."""
    for content in (data, signed(data)):
        _use_catalog_file(content)


def _use_catalog_file(content: bytes) -> None:
    digest = digest_of(content if b"\n" in content else content + b"\n")
    path = here() / catalog_name(digest)
    path.write_bytes(content)

    def read(offset: int, size: int) -> bytes:
        found = Directory(here()).read_catalog(digest, offset, size)
        assert found is not None
        return found

    try:
        use_catalog(Catalog(digest, read, str(path)))
    finally:
        path.unlink()


# ---------------------------------------------------------------- user's files


def plugins() -> PluginManager:
    """What a plugin of every type registers."""
    manager = PluginManager()
    for name in ("int", "bool", "float", "str"):
        getattr(manager.config, f"define_{name}")("plugin", name)
        getattr(manager.config, f"define_{name}_list")("plugin", f"{name}s")
    manager.config.define_str("plugin", "global", scope=ConfigScope.GLOBAL)
    return manager


def user_config(data: bytes) -> None:
    """``user.toml``, and the same bytes as a project's file."""
    known = plugins()
    for name in ("user.toml", ".neuro.toml", ".apolo.toml"):
        place = here() / "user"
        project = place / "project"
        project.mkdir(parents=True, exist_ok=True)
        file = place / name if name == "user.toml" else project / name
        file.write_bytes(data)
        try:
            with allowing(UserConfigError):
                use_settings(load_user_config(place / "user.toml", project, known))
                files = checked_files(place / "user.toml", project, known)
                for one in settings_in(files):
                    assert one.path == str(file)
                    use_values(one.key)
                for each in files:
                    assert {one.key for one in settings_in(files)} >= set(
                        keys_in(each.table)
                    )
            local = read_local_choice(project)
            use_values(local.choice)
            if local.error is not None:
                held(local.error)
        finally:
            file.unlink()


def use_settings(table: Mapping[str, Any]) -> None:
    json.dumps(as_json(table), allow_nan=False).encode()
    assert not is_deeper(as_json(table), MAX_DEPTH + 2)  # for those who walk through it
    repr(table).encode()


def setting(data: bytes) -> None:
    """A change of ``user.toml``: a key, a line of words, the file."""
    from neuro_config._change_setting import parse_key, set_setting, unset_setting

    head, _, document = data.partition(b"\n")
    said, _, document = document.partition(b"\n")
    file = here() / "user.toml"
    file.write_bytes(document)
    texts = said.decode(errors="surrogateescape").split("\t")
    scope, known = ConfigScope.GLOBAL, plugins()
    try:
        with allowing(UserConfigError):
            key = parse_key(head.decode(errors="surrogateescape"), str(file))
            with allowing(UserConfigError):
                set_setting(str(file), scope, key, texts, known)
                assert key in keys_in(load(file))
                use_settings(load_user_config(file, here(), known))
            with allowing(UserConfigError):
                unset_setting(str(file), scope, key, known)
                assert key not in keys_in(load(file))
    finally:
        file.unlink()


def load(file: Path) -> Mapping[str, Any]:
    from neuro_config._local import read_toml

    table = read_toml(str(file))
    assert table is not None
    return table


HOSTS = ("registry.example", "localhost:5000")


def docker_config(data: bytes) -> None:
    """docker's ``config.json``."""
    file = here() / "config.json"
    hosts = list(HOSTS)
    file.write_bytes(data)
    try:
        with allowing(UserConfigError):
            uninstall(str(file))
            old = file.read_bytes()
            docker_reads(old or b"{}")
            json.dumps(install(str(file), hosts))
            new = docker_reads(file.read_bytes())
            assert {host: new["credHelpers"][host] for host in hosts} == dict.fromkeys(
                hosts, HELPER
            )
            assert set(hosts) == set(uninstall(str(file)))
            after = docker_reads(file.read_bytes())
            assert without_ours(docker_reads(data or b"{}")) == without_ours(after)
    finally:
        file.unlink()


def docker_reads(data: bytes) -> Dict[str, Any]:
    """Read JSON strictly."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(data, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def without_ours(config: Dict[str, Any]) -> Dict[str, Any]:
    """Leave out what names our helper, or a registry that it was asked for."""
    helpers = config.pop("credHelpers", {})
    left = {
        host: one
        for host, one in helpers.items()
        if HELPER != one and host not in HOSTS
    }
    return {**config, "credHelpers": left}


# ------------------------------------------------------------ from other places


def tool_file(data: bytes) -> None:
    """The SQLite file of another tool."""
    use_tool_file(data)


def use_tool_file(data: bytes) -> None:
    file = here() / "db"
    file.write_bytes(data)
    read_tool(file)


def read_tool(file: Path) -> None:
    try:
        with allowing(ImportLoginError, MalformedAnswerError, UnknownNameError):
            found = read_tool_login(file, NOW, Deadline(LATER))
            use_values(attrs.evolve(found.config, clusters=()))
            login: NewLogin = NewLogins(PlatformClient(), lambda: NOW).of_tool(
                file, Deadline(LATER)
            )
            use_session(login.session)
            use_catalog(in_memory(login.catalog))
    finally:
        for name in ("db", "db-wal", "db-shm", "db-journal"):
            with contextlib.suppress(FileNotFoundError):
                (file.parent / name).unlink()


def tool_row(data: bytes) -> None:
    """A row of another tool: a JSON object of columns; an object in it is JSON text."""
    row = parsed_json(data)
    if not isinstance(row, dict):
        return
    file = here() / "db"
    with contextlib.closing(sqlite3.connect(str(file), isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute(
            "CREATE TABLE main (auth_config TEXT, token TEXT, expiration_time REAL, "
            "refresh_token TEXT, url TEXT, admin_url TEXT, vcluster_url TEXT, "
            "version TEXT, project_name TEXT, cluster_name TEXT, org_name TEXT, "
            "clusters TEXT, projects TEXT, timestamp REAL)"
        )
        columns = [one[1] for one in db.execute("PRAGMA table_info(main)")]
        with contextlib.suppress(OverflowError, ValueError, RecursionError):
            values = [_column(row.get(name)) for name in columns]
            marks = ", ".join("?" * len(values))
            db.execute(f"INSERT INTO main VALUES ({marks})", values)
    read_tool(file)


def _column(value: object) -> object:
    if isinstance(value, str):
        return value.encode(errors="surrogatepass")
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def holder(data: bytes) -> None:
    """The hint about who holds a lock."""
    (here() / "some.holder").write_bytes(data)
    read_hint(str(here()), "some")
    text = describe_holder(str(here()), "some")
    assert text.isprintable(), ascii(text)
    assert 0 < len(text) < LONGEST


def mounts(data: bytes) -> None:
    """The kernel's table of mounts."""
    found = parse_mounts(data.decode(errors="surrogateescape"))
    for mount in found:
        bool(mount.is_network)
    mount_of(found, "/home/alice/.neuro")
