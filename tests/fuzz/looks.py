"""What the targets do with what was read: look at all of it, write it, read it again."""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, Optional, cast

import attrs
from yarl import URL

from neuro_config import ConfigError
from neuro_config._attempts import RefreshMark
from neuro_config._authorization import AuthorizationRequest
from neuro_config._catalog import Catalog
from neuro_config._choice import (
    available_orgs,
    checked,
    choose_cluster,
    choose_org,
    choose_project,
    effective,
    first_choice,
)
from neuro_config._errors import (
    AuthError,
    DamagedFileError,
    InsecureURLError,
    NewerSchemaError,
    NoClusterError,
    UnknownNameError,
)
from neuro_config._facts import fresh_until, is_spent
from neuro_config._refresh import failure_after, in_words
from neuro_config._session import (
    AuthConfig,
    Choice,
    Session,
    Token,
    decode,
    encode as encode_session,
)
from neuro_config._states import at

NOW = 1.7e9
LATER = 60.0  # seconds that no reading takes
API = "https://api.example/api/v1"
STATE = "state-of-this-login-0123456789abcdefghijklm"
LONGEST = 3000  # characters of an error that lists no names


def held(error: ConfigError) -> None:
    """Hold an error: it is told on one line that any terminal and any log can take."""
    text = str(error)
    text.encode()
    repr(error).encode()
    assert text.strip()
    assert text.isprintable(), ascii(text)
    assert len(text) < LONGEST or isinstance(error, UnknownNameError), len(text)


@contextlib.contextmanager
def allowing(*kinds: type) -> Iterator[None]:
    """Let documented errors pass, and nothing else."""
    try:
        yield
    except ConfigError as error:
        if not isinstance(error, kinds):
            raise
        held(error)


def parsed_json(text: bytes) -> Any:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    return None


def use_url(url: URL) -> None:
    """Look at a URL from all sides."""
    str(url).encode()
    assert url.is_absolute()
    assert url.host
    for side in (url.port, url.path, url.query, url.fragment, url.user, url / "config"):
        str(side).encode()
    assert url == URL(str(url))


def use_values(value: Any) -> None:
    """Look at all that is in a value: texts can be written, URLs used."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, float):
        assert math.isfinite(value)
    elif isinstance(value, URL):
        use_url(value)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            use_values(key)
            use_values(one)
    elif isinstance(value, tuple):
        for one in value:
            use_values(one)
    elif attrs.has(type(value)):
        repr(value).encode()
        for field in attrs.fields(cast(Any, type(value))):
            use_values(getattr(value, field.name))


# -------------------------------------------------------------------- sessions


def use_session(session: Session) -> None:
    """Do with a session what a store does, short of the network."""
    use_values(session)
    assert session == decode(encode_session(session))
    assert os.path.basename(session.catalog) == session.catalog  # names a file
    assert at(session, NOW) == at(session, NOW)
    assert not math.isnan(fresh_until(session, NOW))
    is_spent(session)
    if session.refresh_sent is not None and session.refresh_sent.attempts < 2**62:
        again = attrs.evolve(
            session.refresh_sent, attempts=session.refresh_sent.attempts + 1
        )
        next_one = attrs.evolve(session, refresh_sent=again)
        assert next_one == decode(encode_session(next_one))
        in_words(session.refresh_sent.sent_at)
    refused = AuthError("invalid_grant", "it is dead")
    failed = attrs.evolve(session, refresh_failure=failure_after(session, NOW, refused))
    assert failed == decode(encode_session(failed))
    if session.auth is not None:
        use_auth(session.auth)


def use_auth(auth: AuthConfig) -> None:
    """Ask for the page at which the user logs in."""
    with allowing(InsecureURLError):
        request = AuthorizationRequest(auth, "http://127.0.0.1:54540")
        asked = URL(request.authorization_url, encoded=True)
        str(asked).encode()


NAMES = ("one", "two", "acme", "p", "")
BROKEN = (DamagedFileError, NewerSchemaError)


def use_catalog(catalog: Catalog) -> None:
    """Read a catalog from end to end, and choose in it."""
    for name in ("origins", "orgs", "projects", "admin_url", "vcluster_url", "orgs_of"):
        with allowing(*BROKEN):
            value = getattr(catalog, name)
            use_values(tuple(value) if isinstance(value, list) else value)
    with allowing(*BROKEN):
        for name in [*catalog.clusters, *NAMES]:
            with allowing(*BROKEN, UnknownNameError):
                cluster = catalog.clusters[name]
                assert name == cluster.name
                use_values(cluster)
    local = Choice("one", None, "p")
    some = Choice("one", "acme", "p")
    choices: List[Callable[[], object]] = [
        lambda: first_choice(catalog),
        lambda: available_orgs(catalog),
        lambda: [choose_cluster(catalog, some, name) for name in NAMES],
        lambda: [choose_org(catalog, some, name) for name in (*NAMES, None)],
        lambda: [choose_project(catalog, some, name) for name in NAMES],
        lambda: effective(catalog, some, local),
        lambda: checked(catalog, some),
    ]
    for choose in choices:
        with allowing(*BROKEN, UnknownNameError, NoClusterError):
            choose()
    with allowing(*BROKEN):
        catalog.load()


PAYLOAD = json.dumps(
    {
        "authorized": True,
        "auth_url": "https://auth.example/authorize",
        "token_url": "https://auth.example/token",
        "client_id": "client",
        "callback_urls": ["http://127.0.0.1:54540"],
        "orgs": [{"name": "acme", "role": "user"}],
        "projects": [
            {"name": "p", "role": "admin", "cluster_name": "one", "org_name": "acme"}
        ],
        "clusters": [
            {
                "name": "one",
                "registry_url": "https://registry.one.example",
                "storage_url": "https://one.example/storage",
                "monitoring_url": "https://one.example/jobs",
                "orgs": ["acme", None],
                "resource_presets": [{"name": "cpu", "cpu": 1, "memory_mb": 1}],
            }
        ],
    }
).encode()
SESSION_OF_ALICE = Session(
    login_id="id",
    username="alice",
    api_url=API,
    token=Token("access", NOW, NOW + 3600, "refresh"),
    catalog="0" * 64,
    auth=AuthConfig("https://auth.example/a", "https://auth.example/t", "client"),
    refresh_sent=RefreshMark("0" * 64, NOW),
)


_places: List[Path] = []


def memory() -> Optional[str]:
    """Name a folder in memory, where the system has such a place and allows it."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def work_in(place: Path) -> None:
    """Say where the files of the targets may stand."""
    _places[:] = [place]


def here() -> Path:
    return _places[0]
