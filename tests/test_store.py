"""``ConfigStore`` in one process, against the embedded platform."""

from __future__ import annotations

import logging
import os
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import attrs
import pytest
import requests
from common import CLUSTERS, Clock, Login, in_thread, passed, wait_for_the_request
from yarl import URL

import neuro_config
from neuro_config import (
    CannotRefreshError,
    Choice,
    ConfigStore,
    DamagedFileError,
    FileStorage,
    InsecureURLError,
    InvalidTokenError,
    LoggedIn,
    LoggedOut,
    LoginChangedError,
    MalformedAnswerError,
    MemoryStorage,
    NewerSchemaError,
    NoClusterError,
    NoProjectError,
    NotLoggedInError,
    PassedConfigError,
    Project,
    SessionEndedError,
    StaleSnapshotError,
    StorageError,
    SwitchOverriddenError,
    TokenExpired,
    TokenRefusedError,
    UnknownClusterError,
    UnknownOrgError,
    UnknownPresetError,
    UnknownProjectError,
    UserConfigError,
    _walk,
)
from neuro_config._catalog import digest_of, encode
from neuro_config._payload import parse_config, source_of
from neuro_config._refresh import in_words
from neuro_config._storage import READ_TIMEOUT
from neuro_config._wire import parse_cluster
from neuro_config.testing import ERAS, IDENTITY_CLAIMS, ClusterSpec, Platform

PROPERTIES = [
    "username", "api_url", "admin_url", "vcluster_url", "service_accounts_url",
    "clusters", "projects", "available_orgs", "cluster_name", "org_name",
    "project_name", "project_name_or_raise", "cluster_orgs", "cluster_org_projects",
    "presets", "resource_pools", "registry_url", "storage_url", "monitoring_url",
    "secrets_url", "disk_api_url", "bucket_api_url",
]  # fmt: skip
METHODS: Dict[str, Callable[[ConfigStore], object]] = {
    "fetch": lambda store: store.fetch(),
    "switch_cluster": lambda store: store.switch_cluster("farm"),
    "switch_org": lambda store: store.switch_org("umbrella"),
    "switch_project": lambda store: store.switch_project("side"),
    "refresh_token": lambda store: store.refresh_token(),
}


def write_local(text: str) -> None:
    Path(".neuro.toml").write_text(text)


# ----------------------------------------------------------------- the snapshot


def test_logged_out(folder: Path) -> None:
    """A store works logged out: it has a state and a path, and makes no file."""
    store = ConfigStore(str(folder))
    assert LoggedOut() == store.state
    assert folder == store.path
    assert not folder.exists()
    assert f"<ConfigStore {folder} LoggedOut>" == repr(store)


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties_need_a_login(folder: Path, name: str) -> None:
    """Logged out, every property that needs a login says so and names itself or its need."""
    with pytest.raises(NotLoggedInError, match="nobody is logged in"):
        getattr(ConfigStore(folder), name)


@pytest.mark.parametrize("name", METHODS)
def test_methods_need_a_login(folder: Path, name: str) -> None:
    """Logged out, every method but the logins and logout is a NotLoggedInError."""
    with pytest.raises(NotLoggedInError) as caught:
        METHODS[name](ConfigStore(folder))
    assert ("LoggedOut", name) == caught.value.args
    assert not folder.exists()


def test_token_needs_a_login(folder: Path) -> None:
    """Logged out, there is no token."""
    with pytest.raises(NotLoggedInError):
        ConfigStore(folder).token()


def test_properties(platform: Platform, login: Login) -> None:
    """Properties show the platform's answer with the reference's names and types."""
    store = login()
    origin = platform.url.origin()
    assert "alice" == store.username
    assert platform.url == store.api_url
    assert origin / "apis/admin/v1" == store.admin_url
    assert isinstance(store.vcluster_url, URL)
    assert platform.url / "service_accounts" == store.service_accounts_url
    assert ["default", "farm", "lab"] == list(store.clusters)
    assert ("NO_ORG", "acme", "umbrella") == store.available_orgs
    assert ("default", "acme", "main") == (
        store.cluster_name,
        store.org_name,
        store.project_name,
    )
    assert "main" == store.project_name_or_raise
    assert ("acme", "umbrella") == store.cluster_orgs
    assert ["main", "side"] == [one.name for one in store.cluster_org_projects]
    cluster = store.clusters["default"]
    assert cluster == store.get_cluster("default")
    assert cluster.registry_url == store.registry_url
    assert cluster.storage_url == store.storage_url
    assert cluster.monitoring_url == store.monitoring_url
    assert cluster.secrets_url == store.secrets_url
    assert cluster.disks_url == store.disk_api_url
    assert cluster.buckets_url == store.bucket_api_url
    assert cluster.presets == store.presets
    assert cluster.resource_pools == store.resource_pools
    preset = store.presets["cpu-small"]
    assert isinstance(preset.credits_per_hour, Decimal)
    assert isinstance(store.state, LoggedIn)
    assert neuro_config.Config is ConfigStore


def test_clusters_are_read_only(login: Login) -> None:
    """The mappings refuse changes and show the names."""
    store = login()
    for mapping in (store.clusters, store.presets, store.projects):
        with pytest.raises(TypeError):
            mapping["new"] = None  # type: ignore[index]
    assert (3, 15) == (len(store.clusters), len(store.presets))
    assert list(store.presets) == list(store.clusters["default"].presets)


def test_names_in_mappings(login: Login) -> None:
    """A name that a mapping lacks is a KeyError that lists the names that it has."""
    store = login()
    assert "nowhere" not in store.clusters
    assert store.presets.get("nothing") is None
    with pytest.raises(UnknownClusterError, match="'default', 'farm', 'lab'"):
        store.clusters["nowhere"]
    with pytest.raises(UnknownPresetError, match="'cpu-micro'.*'default'") as caught:
        store.presets["nothing"]
    assert isinstance(caught.value, KeyError)


def test_project_key(login: Login) -> None:
    """The current names stand in for what a project's key is not given."""
    store = login()
    assert Project.Key("default", "acme", "main") == store.get_project_key()
    assert Project.Key("c", "o", "p") == store.get_project_key("c", "o", "p")
    assert store.get_project_key() in store.projects


def test_unknown_cluster(login: Login) -> None:
    """A cluster that does not exist is an error that lists those that do."""
    with pytest.raises(UnknownClusterError, match="'default', 'farm', 'lab'"):
        login().get_cluster("nowhere")


def test_no_clusters(folder: Path) -> None:
    """A user without clusters is logged in, and told so where a cluster is needed."""
    with Platform(clusters=()) as platform:
        store = ConfigStore(folder)
        platform.log_in(store)
        assert {} == dict(store.clusters)
        assert store.org_name is None
        for name in ("cluster_name", "presets", "storage_url", "cluster_orgs"):
            with pytest.raises(NoClusterError, match="no access to any cluster"):
                getattr(store, name)
        with pytest.raises(NoProjectError, match="switch_project"):
            store.project_name_or_raise  # noqa: B018
        store.fetch()
        for switch in (store.switch_cluster, store.switch_org, store.switch_project):
            with pytest.raises(NoClusterError):
                switch("x")
        platform.account.add_cluster(ClusterSpec(name="new"))
        store.fetch()
        assert "new" == store.cluster_name


def test_no_secret_in_repr(login: Login) -> None:
    """Neither the state nor the store nor its parts show a token."""
    store = login()
    state = store.state
    assert isinstance(state, LoggedIn)
    token = state.session.token
    for shown in (repr(store), repr(state), repr(token), repr(store._snapshot)):
        assert token.access_token not in shown
        assert str(token.refresh_token) not in shown


def test_storage_given() -> None:
    """A storage of one's own stands in for the directory."""
    storage = MemoryStorage()
    with Platform() as platform:
        store = ConfigStore(storage=storage)
        platform.log_in(store)
        assert "alice" == ConfigStore(storage=storage).username
        assert "default" == store.cluster_name
        store.fetch()
        store.logout()
    assert storage.read() is None


def test_path_from_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path it is $NEUROMATION_CONFIG, and else ~/.neuro."""
    assert Path.home() / ".neuro" == ConfigStore().path
    monkeypatch.setenv("NEUROMATION_CONFIG", str(tmp_path / "elsewhere"))
    assert tmp_path / "elsewhere" == ConfigStore().path


# -------------------------------------------------------------------- the logins


def test_login_with_token(platform: Platform, folder: Path) -> None:
    """A bare token logs in until its exp, and cannot be refreshed."""
    clock = Clock(time.time())
    token = platform.issue_access_token(life=3600)
    store = ConfigStore(folder, clock=clock)
    store.login_with_token(token, url=str(platform.url))
    assert token == store.token()
    state = store.state
    assert isinstance(state, LoggedIn)
    assert state.session.token.expires_at is not None
    with pytest.raises(CannotRefreshError, match="without a refresh token"):
        store.refresh_token()
    clock.now = state.session.token.expires_at
    assert TokenExpired(state.session) == store.state
    with pytest.raises(CannotRefreshError):
        store.token()
    assert TokenExpired(state.session) == ConfigStore(folder, clock=clock).state


@pytest.mark.parametrize("token", ["", "a b", "a\n", "ü", "a" * 300_000, None])
def test_unusable_token(folder: Path, token: Any) -> None:
    """A token that no header can carry is refused before anything is sent."""
    with pytest.raises(InvalidTokenError, match="not usable"):
        ConfigStore(folder).login_with_token(token)


def test_refused_token(platform: Platform, folder: Path) -> None:
    """A token that the platform refuses logs nobody in."""
    store = ConfigStore(folder)
    with pytest.raises(TokenRefusedError, match="does not accept the token"):
        store.login_with_token("garbage", url=platform.url)
    assert LoggedOut() == store.state
    assert not folder.exists()


def test_login_replaces(platform: Platform, login: Login) -> None:
    """A login in any state replaces what was there, choice included."""
    store = login()
    store.switch_cluster("farm")
    first = store._binding.login_id
    platform.log_in(store, "bob")
    assert ("bob", "default") == (store.username, store.cluster_name)
    assert first != store._binding.login_id


def test_insecure_url(folder: Path) -> None:
    """A token is not sent over plain http to another machine."""
    with pytest.raises(InsecureURLError, match="must be https"):
        ConfigStore(folder).login_with_token("t", url="http://api.example/api/v1")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Choice("default", "acme", "main")),
        ({"cluster": "farm"}, Choice("farm", "acme", "main")),
        ({"org_name": "umbrella"}, Choice("default", "umbrella", None)),
        (
            {"org_name": "acme", "project_name": "side"},
            Choice("default", "acme", "side"),
        ),
    ],
)
def test_passed_config(
    platform: Platform, folder: Path, fields: Dict[str, str], expected: Choice
) -> None:
    """A passed configuration logs in and chooses what it names."""
    store = ConfigStore(folder)
    store.login_with_passed_config(passed(platform, **fields))
    state = store.state
    assert isinstance(state, LoggedIn)
    assert expected == state.session.choice


@pytest.mark.parametrize("name", ["APOLO_PASSED_CONFIG", "NEURO_PASSED_CONFIG"])
def test_passed_config_from_environment(
    platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The platform's own variables are read, the newer name first."""
    monkeypatch.setenv("NEURO_PASSED_CONFIG", "garbage")
    monkeypatch.setenv(name, passed(platform))
    store = ConfigStore(folder)
    store.login_with_passed_config()
    assert "alice" == store.username


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"cluster": "nowhere"}, UnknownClusterError),
        ({"org_name": "evil"}, UnknownOrgError),
        ({"project_name": "none"}, UnknownProjectError),
        ({"token": "garbage"}, TokenRefusedError),
        ({"url": None}, PassedConfigError),
    ],
)
def test_passed_config_is_all_or_nothing(
    platform: Platform, folder: Path, fields: Dict[str, Any], error: type
) -> None:
    """A passed configuration that does not hold stores no login."""
    store = ConfigStore(folder)
    with pytest.raises(error):
        store.login_with_passed_config(passed(platform, **fields))
    assert LoggedOut() == store.state
    assert not folder.exists()


# --------------------------------------------------------------------- switching


def test_switches(login: Login, folder: Path) -> None:
    """Switches change what is stored, by the rules, and other stores see it."""
    store = login()
    store.switch_project("side")
    store.switch_cluster("farm")
    assert ("farm", "acme", "main") == (
        store.cluster_name,
        store.org_name,
        store.project_name,
    )
    store.switch_org("umbrella")
    assert ("default", "umbrella") == (store.cluster_name, store.org_name)
    store.switch_org("NO_ORG")
    assert "lab" == store.cluster_name
    other = ConfigStore(folder)
    assert ("lab", "NO_ORG", None) == (
        other.cluster_name,
        other.org_name,
        other.project_name,
    )


@pytest.mark.parametrize(
    ("switch", "error"),
    [
        (lambda store: store.switch_cluster("x"), UnknownClusterError),
        (lambda store: store.switch_org("x"), UnknownOrgError),
        (lambda store: store.switch_org(None), UnknownOrgError),
        (lambda store: store.switch_project("x"), UnknownProjectError),
    ],
)
def test_unknown_names(
    login: Login, switch: Callable[[ConfigStore], None], error: type
) -> None:
    """A switch to what does not exist changes nothing."""
    store = login()
    before = store.state
    with pytest.raises(error):
        switch(store)
    store.reload()
    assert before == store.state


def test_local_file_wins(login: Login) -> None:
    """What the local file names wins over the stored choice, and nothing is stored."""
    store = login()
    stored = store.state
    write_local('[job]\ncluster-name = "lab"\n')
    assert "default" == store.cluster_name
    store.reload()
    assert ("lab", "NO_ORG", None) == (
        store.cluster_name,
        store.org_name,
        store.project_name,
    )
    assert store.get_cluster("lab").storage_url == store.storage_url
    assert stored == store.state
    write_local('[job]\ncluster-name="c"\norg-name="o"\nproject-name="p"\n')
    store.reload()
    assert "c" == store.cluster_name
    for name in ("org_name", "presets"):
        with pytest.raises(UnknownClusterError, match=r"named in .*\.neuro\.toml"):
            getattr(store, name)
    with pytest.raises(UnknownClusterError, match=r"named in .*\.neuro\.toml"):
        store.fetch()


@pytest.mark.parametrize(
    ("text", "switch", "key"),
    [
        (
            'cluster-name = "farm"',
            lambda store: store.switch_cluster("lab"),
            "job.cluster-name",
        ),
        (
            'org-name = "acme"',
            lambda store: store.switch_org("umbrella"),
            "job.org-name",
        ),
        (
            'cluster-name = "farm"',
            lambda store: store.switch_org("umbrella"),
            "job.cluster-name",
        ),
        (
            'cluster-name = "gone"',
            lambda store: store.switch_cluster("lab"),
            "job.cluster-name",
        ),
        (
            'project-name = "main"',
            lambda store: store.switch_project("side"),
            "job.project-name",
        ),
        (
            'org-name = "umbrella"',
            lambda store: store.switch_project("side"),
            "job.org-name",
        ),
    ],
)
def test_switch_overridden(
    login: Login, text: str, switch: Callable[[ConfigStore], None], key: str
) -> None:
    """A switch that the local file overrides is refused and names the line."""
    store = login()
    before = store.state
    write_local(f"[job]\n{text}\n")
    with pytest.raises(SwitchOverriddenError, match=key) as caught:
        switch(store)
    assert str(Path(".neuro.toml").resolve()) == caught.value.path
    store.reload()
    assert before == store.state


def test_switch_beside_local_file(login: Login) -> None:
    """A switch that the local file does not override is done."""
    store = login()
    write_local('[job]\ncluster-name = "default"\n')
    store.switch_org("umbrella")
    assert "umbrella" == store.org_name


def test_broken_local_file(login: Login) -> None:
    """A broken local file is an error where its names matter, and not for a token."""
    store = login()
    write_local("[job\n")
    store.reload()
    assert store.token()
    for _ in range(2):
        with pytest.raises(UserConfigError, match=r"line 1"):
            store.cluster_name  # noqa: B018
    with pytest.raises(UserConfigError):
        store.switch_cluster("farm")


def test_user_config(login: Login) -> None:
    """The user's settings are user.toml of the directory and the local file, merged."""
    store = login()
    (store.path / "user.toml").write_text('[job]\nps-format = "a"\nlife-span = "1d"\n')
    write_local('[job]\nps-format = "b"\n')
    for _ in range(2):
        found = store.get_user_config()["job"]
        assert {"ps-format": "b", "life-span": "1d"} == dict(found)


# ------------------------------------------------------------------------ fetch


def test_fetch(platform: Platform, login: Login) -> None:
    """A fetch stores what the platform has now and keeps the choice."""
    store = login()
    store.switch_cluster("farm")
    platform.account.add_cluster(ClusterSpec(name="new"))
    store.fetch()
    assert ["default", "farm", "lab", "new"] == list(store.clusters)
    assert "farm" == store.cluster_name


def test_fetch_checks_only_what_is_new(
    platform: Platform, login: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a fetch with one new cluster that one is checked; a login stores the same bytes."""
    checked: List[Any] = []

    def noted(raw: Any) -> Any:
        checked.append(raw["name"])
        return parse_cluster(raw)

    monkeypatch.setattr(_walk, "parse_cluster", noted)
    store = login()
    checked.clear()
    platform.account.add_cluster(ClusterSpec(name="new"))
    store.fetch()
    assert ["new"] == checked
    other = ConfigStore(tmp_path / "other")
    other.login_with_token(store.token(), url=platform.url)
    (made,) = (tmp_path / "other").glob("catalog-*")
    assert made.read_bytes() == (store.path / made.name).read_bytes()


def moved(platform: Platform, other: Platform, store: ConfigStore) -> Dict[str, Any]:
    """What the platform answers once its authorization server is another one."""
    url = str(platform.url / "config")
    answer = requests.get(url, auth=store.auth, proxies={"http": ""}, timeout=30)
    token_url = str(other.url.origin() / "token")
    return {**answer.json(), "token_url": token_url, "audience": "new"}


def test_fetch_sends_no_refresh_token_elsewhere(
    platform: Platform, login: Login, caplog: pytest.LogCaptureFixture
) -> None:
    """A platform that names another token endpoint does not get the refresh token there."""
    store = login()
    before = store.token()
    with Platform() as other:
        platform.faults.config.answer(200, moved(platform, other, store))
        store.fetch()
        assert "names another authorization server" in caplog.text
        store.refresh_token()
        assert before != store.token()
        assert 0 == other.count("token")


def test_fetch_takes_over_the_rest_of_the_authorization(
    platform: Platform, login: Login
) -> None:
    """Of the same authorization server, and without a refresh token, all is stored."""
    store = login()
    body = moved(platform, platform, store)
    platform.faults.config.answer(200, body)
    store.fetch()
    assert "new" == audience_of(store)
    with Platform() as other:
        platform.faults.reset()
        store.login_with_token(platform.issue_access_token(), url=platform.url)
        body = moved(platform, other, store)
        platform.faults.config.answer(200, body)
        store.fetch()
    state = store.state
    assert isinstance(state, LoggedIn)
    assert state.session.auth is not None
    assert body["token_url"] == state.session.auth.token_url


def audience_of(store: ConfigStore) -> Optional[str]:
    state = store.state
    assert isinstance(state, LoggedIn)
    assert state.session.auth is not None
    return state.session.auth.audience


def test_fetch_without_change(login: Login) -> None:
    """A fetch that brings nothing new writes no file anew."""
    store = login()
    before = {file.name: file.stat().st_mtime_ns for file in store.path.glob("*.*l*")}
    store.fetch()
    after = {file.name: file.stat().st_mtime_ns for file in store.path.glob("*.*l*")}
    names = [name for name in after if not name.startswith("commit")]
    assert {name: before[name] for name in names} == {
        name: after[name] for name in names
    }


def test_fetch_reads_in_the_time_of_the_call(platform: Platform) -> None:
    """What is known already is read in the time that the whole call has."""
    timeouts: List[float] = []

    class Timed(MemoryStorage):
        def read_catalog(
            self, digest: str, offset: int, size: int, timeout: float = READ_TIMEOUT
        ) -> Optional[bytes]:
            timeouts.append(timeout)
            return super().read_catalog(digest, offset, size, timeout)

    store = ConfigStore(storage=Timed(), timeout=READ_TIMEOUT - 1)
    platform.log_in(store)
    timeouts.clear()
    store.fetch()
    assert timeouts != []
    assert max(timeouts) < READ_TIMEOUT


def test_fetch_without_chosen_cluster(platform: Platform, login: Login) -> None:
    """A fetch that lists the chosen cluster no more is saved all the same."""
    store = login()
    platform.account.remove_cluster("default")
    with pytest.raises(UnknownClusterError, match="'farm', 'lab'.*switch_cluster"):
        store.fetch()
    assert ["farm", "lab"] == list(store.clusters)
    assert "default" == store.cluster_name
    store.switch_cluster("farm")
    assert store.storage_url


def test_fetch_reads_no_answer_twice(platform: Platform, login: Login) -> None:
    """An answer that is known is not read again, unless its catalog is damaged."""
    store = login()
    storage = FileStorage(store.path)
    answer = requests.get(str(platform.url / "config"), auth=store.auth, timeout=30)
    config = parse_config(answer.content, url="")
    body = "this is never read"
    data = encode(
        attrs.evolve(config, source=source_of(body.encode())), str(platform.url)
    )
    storage.update(
        lambda old: old and attrs.evolve(old, catalog=digest_of(data)), 5, catalog=data
    )
    store.reload()
    platform.faults.config.answer(200, body)
    store.fetch()
    assert {*store.clusters} == {cluster.name for cluster in CLUSTERS}
    (file,) = store.path.glob(f"catalog-{digest_of(data)}*")
    file.write_bytes(data[:-20] + b"x" * 20)
    with pytest.raises(MalformedAnswerError):
        store.fetch()


def test_fetch_heals(login: Login) -> None:
    """A damaged or missing catalog is an error that says fetch, and fetch mends it."""
    store = login()
    (file,) = store.path.glob("catalog-*")
    whole = file.read_bytes()
    file.write_bytes(whole[:-20] + b"x" * 20)
    with pytest.raises(DamagedFileError, match=r"'lab'.*fetch\(\)"):
        ConfigStore(store.path).get_cluster("lab")
    store.fetch()
    assert whole == file.read_bytes()
    file.unlink()
    with pytest.raises(DamagedFileError, match=r"is missing.*fetch\(\)"):
        ConfigStore(store.path).get_cluster("lab")
    with pytest.raises(DamagedFileError, match="is missing"):
        ConfigStore(store.path).switch_cluster("lab")
    store.fetch()
    assert whole == file.read_bytes()


def test_stale_snapshot(platform: Platform, login: Login) -> None:
    """A snapshot whose catalog has been cleaned up says reload, and that helps."""
    store = login()
    slow = ConfigStore(store.path)
    (old,) = store.path.glob("catalog-*")
    platform.account.add_cluster(ClusterSpec(name="new"))
    store.fetch()
    assert old.exists()
    assert "default" == slow.get_cluster("default").name
    os.utime(old, (1, 1))
    platform.account.remove_cluster("new")
    platform.account.add_cluster(ClusterSpec(name="newer"))
    store.fetch()
    assert not old.exists()
    with pytest.raises(StaleSnapshotError, match=r"reload\(\)"):
        slow.get_cluster("farm")
    slow.reload()
    assert "farm" == slow.get_cluster("farm").name


def test_fetch_renews_an_expired_token(platform: Platform, login: Login) -> None:
    """A fetch with an expired token refreshes it first."""
    clock = Clock(time.time())
    store = login(clock=clock)
    clock.now += 4000
    store.fetch()
    assert 1 == platform.count("token", grant_type="refresh_token")
    assert isinstance(store.state, LoggedIn)


def test_young_refused_token_is_not_refreshed(platform: Platform, login: Login) -> None:
    """A young token that is refused means an outage: nothing is refreshed."""
    store = login()
    before = store.state
    platform.faults.config.refuse_tokens()
    with pytest.raises(TokenRefusedError, match="auth service is down"):
        store.fetch()
    assert 0 == platform.count("token", grant_type="refresh_token")
    store.reload()
    assert before == store.state


def test_old_refused_token_is_refreshed_once(platform: Platform, login: Login) -> None:
    """A refused token older than 5 minutes is refreshed, once."""
    clock = Clock(time.time())
    store = login(clock=clock)
    clock.now += 301
    platform.faults.config.refuse_tokens(1)
    store.fetch()
    assert 1 == platform.count("token", grant_type="refresh_token")
    clock.now += 301
    platform.faults.config.refuse_tokens(2)
    with pytest.raises(TokenRefusedError):
        store.fetch()
    assert 2 == platform.count("token", grant_type="refresh_token")


def test_refused_token_that_is_not_the_stored_one(
    platform: Platform, login: Login
) -> None:
    """A refused token that another process has replaced meanwhile leads to no refresh."""
    store = login()
    other = ConfigStore(store.path)
    platform.faults.config.delay(0.5)
    platform.faults.config.refuse_tokens(1)
    thread = threading.Thread(target=store.fetch)
    thread.start()
    while not platform.count("config", status=200) and thread.is_alive():
        if platform.requests and platform.requests[-1].endpoint == "config":
            break
    other.refresh_token()
    thread.join()
    assert 1 == platform.count("token", grant_type="refresh_token")
    assert other.token() == store.token()


# ----------------------------------------------------------------------- refresh


def test_refresh_token(platform: Platform, login: Login) -> None:
    """refresh_token gets a token other than the snapshot's, from the disk if it can."""
    store = login()
    other = ConfigStore(store.path)
    first = store.token()
    store.refresh_token()
    assert first != store.token()
    assert first == other.token()
    other.refresh_token()
    assert store.token() == other.token()
    assert 1 == platform.count("token", grant_type="refresh_token")


def test_early_refresh(platform: Platform, login: Login) -> None:
    """From 75 % of its life on a token is refreshed, before it expires."""
    clock = Clock(time.time())
    store = login(clock=clock)
    first = store.token()
    clock.now += 0.74 * 3600
    assert first == store.token()
    clock.now += 0.02 * 3600
    assert first != store.token()
    assert 1 == platform.count("token", grant_type="refresh_token")


def test_early_refresh_takes_a_newer_token(platform: Platform, login: Login) -> None:
    """A token that another process refreshed early is taken without a request."""
    clock = Clock(time.time())
    store = login(clock=clock)
    clock.now += 0.8 * 3600
    other = ConfigStore(store.path, clock=clock)
    assert other.token() == store.token()
    assert 1 == platform.count("token", grant_type="refresh_token")


def test_early_refresh_does_not_wait(platform: Platform, login: Login) -> None:
    """While somebody else refreshes early, the valid token is returned at once."""
    clock = Clock(time.time())
    store = login(clock=clock)
    first = store.token()
    clock.now += 0.8 * 3600
    refresher = FileStorage(store.path).sole_refresher(0)
    assert first == store.token()
    refresher.release()
    assert 0 == platform.count("token", grant_type="refresh_token")


def test_early_failure(
    platform: Platform, login: Login, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed early refresh is a warning and a pause that doubles, for all processes."""
    clock = Clock(time.time())
    store = login(clock=clock)
    first = store.token()
    platform.faults.token.answer(429, {"error": "slow_down"})
    clock.now += 0.75 * 3600
    attempts = []
    with caplog.at_level(logging.WARNING, logger="neuro_config"):
        for _ in range(899):
            assert first == ConfigStore(store.path, clock=clock).token()
            assert first == store.token()
            attempts.append(platform.count("token", grant_type="refresh_token"))
            clock.now += 1
    changes = [i for i in range(1, 899) if attempts[i] != attempts[i - 1]]
    assert 1 == attempts[0]
    assert [60, 180, 420] == changes
    assert "still valid; refreshing it failed" in caplog.text
    assert "slow_down" in caplog.text
    platform.faults.reset()
    clock.now += 1
    assert first != store.token()


def test_refused_refresh_of_an_expired_token(platform: Platform, login: Login) -> None:
    """A refusal other than invalid_grant keeps the session, and it can be tried again."""
    clock = Clock(time.time())
    store = login(clock=clock)
    clock.now += 4000
    platform.faults.token.answer(401, {"error": "invalid_client"}, count=1)
    with pytest.raises(neuro_config.AuthError, match="invalid_client") as caught:
        store.token()
    assert "invalid_client" == caught.value.code
    clock.now += 1
    assert store.token()
    assert isinstance(store.state, LoggedIn)


def test_dead_refresh_token(platform: Platform, login: Login) -> None:
    """invalid_grant ends the session with an error that says to log in; it is kept."""
    clock = Clock(time.time())
    store = login(clock=clock)
    clock.now += 4000
    platform.revoke_all()
    for _ in range(2):
        with pytest.raises(SessionEndedError, match="log in again") as caught:
            store.token()
        assert caught.value.lost_at is None
        clock.now += 1
    assert 1 == platform.count("token", grant_type="refresh_token")
    assert isinstance(store.state, TokenExpired)
    platform.log_in(store)
    assert store.token()


def test_dead_refresh_token_while_valid(
    platform: Platform, login: Login, caplog: pytest.LogCaptureFixture
) -> None:
    """While the access token is valid it is served, though the refresh token is dead."""
    clock = Clock(time.time())
    store = login(clock=clock)
    first = store.token()
    platform.faults.token.answer(400, {"error": "invalid_grant"})
    clock.now += 0.9 * 3600
    assert first == store.token()
    assert "invalid_grant" in caplog.text


def test_lost_answer(platform: Platform, login: Login) -> None:
    """After a lost answer nobody sends again until expiry; then the end tells when."""
    clock = Clock(time.time())
    store = login(clock=clock)
    first = store.token()
    clock.now += 0.8 * 3600
    platform.faults.token.lose_answers(1)
    assert first == store.token()
    sent_at = in_words(clock.now)
    clock.now += 700
    for each in (store, ConfigStore(store.path, clock=clock)):
        assert first == each.token()
        with pytest.raises(neuro_config.RefreshPendingError, match=sent_at):
            each.refresh_token()
    assert 1 == platform.count("token", grant_type="refresh_token")
    clock.now += 100
    for _ in range(2):
        with pytest.raises(SessionEndedError, match=sent_at):
            store.token()
        clock.now += 1
    assert 2 == platform.count("token", grant_type="refresh_token")
    assert isinstance(store.state, TokenExpired)


def test_lost_answer_of_a_server_that_does_not_rotate(folder: Path) -> None:
    """Where tokens do not rotate, the one more try after a lost answer succeeds."""
    clock = Clock(time.time())
    with Platform(rotate=False) as platform:
        store = ConfigStore(folder, clock=clock)
        platform.log_in(store)
        platform.faults.token.lose_answers(1)
        clock.now += 4000
        with pytest.raises(neuro_config.NetworkError, match="connection broke"):
            store.token()
        clock.now += 9
        with pytest.raises(neuro_config.RefreshFailedError, match="tried at"):
            store.token()
        assert 1 == platform.count("token", grant_type="refresh_token")
        clock.now += 1
        assert store.token()
        state = store.state
    assert isinstance(state, LoggedIn)
    assert state.session.refresh_sent is None
    assert state.session.refresh_failure is None


def test_kept_refresh_token(platform: Platform, login: Login) -> None:
    """An answer without a refresh token keeps the old one."""
    platform.tokens.rotate = False
    platform.tokens.send_refresh_token = False
    store = login()
    platform.tokens.send_refresh_token = False
    state = store.state
    assert isinstance(state, LoggedIn)
    before = state.session.token.refresh_token
    store.refresh_token()
    state = store.state
    assert isinstance(state, LoggedIn)
    assert before == state.session.token.refresh_token


def test_outage_keeps_the_session(platform: Platform, login: Login) -> None:
    """No connection clears the mark: nothing was sent, so the next try may send."""
    clock = Clock(time.time())
    store = login(clock=clock)
    clock.now += 4000
    platform.stop()
    with pytest.raises(neuro_config.ConnectionFailedError, match="cannot be reached"):
        store.token()
    session = FileStorage(store.path).read()
    assert session is not None
    assert session.refresh_sent is None
    platform.start()
    clock.now += 1
    assert store.token()


# ------------------------------------------------------------ two stores, one login


@pytest.mark.parametrize("name", METHODS)
def test_logged_out_elsewhere(login: Login, name: str) -> None:
    """After another process's logout no method resurrects the login."""
    store = login()
    ConfigStore(store.path).logout()
    with pytest.raises(NotLoggedInError):
        METHODS[name](store)
    assert LoggedOut() == store.state
    with pytest.raises(NotLoggedInError):
        store.token()
    assert LoggedOut() == ConfigStore(store.path).state


@pytest.mark.parametrize("name", METHODS)
def test_logged_in_elsewhere(platform: Platform, login: Login, name: str) -> None:
    """After somebody's new login a store sends nothing and changes nothing."""
    store = login()
    other = ConfigStore(store.path)
    platform.log_in(other, "bob")
    requests_before = len(platform.requests)
    with pytest.raises(LoginChangedError, match=r"'bob'.*reload\(\)"):
        METHODS[name](store)
    assert requests_before == len(platform.requests)
    assert "alice" == store.username
    store.reload()
    assert "bob" == store.username
    METHODS[name](store)


def test_token_after_a_change_of_login(platform: Platform, login: Login) -> None:
    """token never returns somebody else's token without a reload."""
    clock = Clock(time.time())
    store = login(clock=clock)
    mine = store.token()
    platform.log_in(ConfigStore(store.path, clock=clock), "bob")
    assert mine == store.token()
    clock.now += 0.8 * 3600
    with pytest.raises(LoginChangedError):
        store.token()


def test_login_after_open(platform: Platform, folder: Path) -> None:
    """A store that was opened logged out does not slip into another's login."""
    store = ConfigStore(folder)
    platform.log_in(ConfigStore(folder), "bob")
    for action in (store.token, store.fetch):
        with pytest.raises(LoginChangedError):
            action()
    store.reload()
    assert "bob" == store.username


def test_logout_during_a_refresh(platform: Platform, login: Login) -> None:
    """A logout during a refresh is final: the answer is dropped."""
    store = login()
    platform.faults.token.delay(0.6)
    join = in_thread(store.refresh_token)
    wait_for_the_request(platform)
    ConfigStore(store.path).logout()
    assert isinstance(join(), NotLoggedInError)
    assert LoggedOut() == ConfigStore(store.path).state


def test_login_during_a_refresh(platform: Platform, login: Login) -> None:
    """A new login during a refresh is final: the answer is dropped."""
    store = login()
    platform.faults.token.delay(0.6)
    join = in_thread(store.refresh_token)
    wait_for_the_request(platform)
    other = ConfigStore(store.path)
    other.login_with_token(platform.issue_access_token("bob"), url=platform.url)
    assert isinstance(join(), LoginChangedError)
    assert "bob" == ConfigStore(store.path).username
    assert other.token() == ConfigStore(store.path).token()


# ---------------------------------------------------------------- damage, logout


@pytest.mark.parametrize("data", [b"", b"garbage", b"schema = 1", b"schema = 99"])
def test_damaged_session(
    platform: Platform, login: Login, data: bytes, folder: Path
) -> None:
    """A damaged file is never "logged out"; a login sets it aside, keeping one."""
    login()
    file = folder / "session.toml"
    expected = NewerSchemaError if b"99" in data else DamagedFileError
    for _ in range(2):
        file.write_bytes(data)
        store = ConfigStore(folder)
        for ask in (store.reload, store.token, store.fetch):
            with pytest.raises(expected, match="session.toml"):
                ask()
        for name in ("state", "username", "clusters"):
            with pytest.raises(expected):
                getattr(store, name)
        assert expected.__name__ in repr(store)
        platform.log_in(store)
        assert "alice" == store.username
        (aside,) = folder.glob("session.toml.corrupt-*")
        assert data == aside.read_bytes()
    store.logout()
    assert [] == list(folder.glob("session.toml*"))


def test_a_stored_platform_that_is_no_url(folder: Path, login: Login) -> None:
    """A session whose platform is no URL says so when it is asked for it."""
    api_url = str(login().api_url)
    file = folder / "session.toml"
    file.write_text(file.read_text().replace(api_url, "http://["))
    store = ConfigStore(folder)
    for name in ("api_url", "service_accounts_url"):
        with pytest.raises(DamagedFileError, match=r"no URL. Log in again"):
            getattr(store, name)


def test_logout_of_damage(folder: Path, login: Login) -> None:
    """A logout removes a damaged session too."""
    login()
    (folder / "session.toml").write_bytes(b"garbage")
    store = ConfigStore(folder)
    store.logout()
    assert LoggedOut() == store.state == ConfigStore(folder).state
    store.logout()


def test_logout_when_logged_out(folder: Path) -> None:
    """A logout with nobody logged in does nothing and makes no directory."""
    ConfigStore(folder).logout()
    assert not folder.exists()


def test_unsafe_directory(folder: Path) -> None:
    """A directory that others can write is refused, with the command that mends it."""
    folder.mkdir()
    folder.chmod(0o777)
    store = ConfigStore(folder)
    with pytest.raises(StorageError, match=f"chmod 700 {folder}"):
        store.token()
    folder.chmod(0o700)
    store.reload()
    assert LoggedOut() == store.state


# ------------------------------------------------------------------------- auth


def test_auth(platform: Platform, login: Login) -> None:
    """The auth puts a valid token on requests to the platform and on no others."""
    store = login()
    answer = requests.get(str(platform.url / "config"), auth=store.auth)
    assert answer.json()["authorized"] is True
    with pytest.raises(InsecureURLError, match="not a host of the platform"):
        requests.get("https://evil.example/", auth=store.auth)


def test_auth_refreshes(platform: Platform, login: Login) -> None:
    """The auth refreshes an expired token."""
    clock = Clock(time.time())
    store = login(clock=clock)
    auth = store.auth
    clock.now += 4000
    answer = requests.get(str(platform.url / "config"), auth=auth)
    assert answer.json()["authorized"] is True
    assert 1 == platform.count("token", grant_type="refresh_token")


def test_expires_in(platform: Platform, login: Login) -> None:
    """An unusable expires_in falls back to the token's exp."""
    values: List[Any] = [None, "soon", 0, -5, True, 1e300, [], "0"]
    for value in values:
        platform.tokens.expires_in = value
        store = login()
        state = store.state
        assert isinstance(state, LoggedIn)
        token = state.session.token
        assert token.expires_at is not None
        assert 3500 < token.expires_at - token.obtained_at < 3700
    platform.tokens.expires_in = "7200"
    state = login().state
    assert isinstance(state, LoggedIn)
    token = state.session.token
    assert 7200 == token.expires_at - token.obtained_at  # type: ignore[operator]


def test_one_store_many_threads(platform: Platform, login: Login) -> None:
    """Threads that share a store with an expired token make one request."""
    clock = Clock(time.time())
    store = login(clock=clock)
    clock.now += 4000
    tokens: List[str] = []
    threads = [
        threading.Thread(target=lambda: tokens.append(store.token())) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (16, 1) == (len(tokens), len(set(tokens)))
    assert 1 == platform.count("token", grant_type="refresh_token")


# ------------------------------------------------------------------------- eras


@pytest.mark.parametrize("era", ERAS)
def test_every_era(folder: Path, era: str) -> None:
    """Login, fetch, switch and refresh work with a platform of every era."""
    with Platform(era=era, clusters=CLUSTERS, claim=IDENTITY_CLAIMS[-1]) as platform:
        store = ConfigStore(folder)
        platform.log_in(store)
        store.fetch()
        store.switch_cluster("farm")
        store.refresh_token()
        assert ("alice", "farm", "acme") == (
            store.username,
            store.cluster_name,
            store.org_name,
        )
        preset = store.presets["gpu-small"]
        assert (1, "nvidia-tesla-k80") == (preset.gpu, preset.gpu_model)
        platform.account.clear()
        with pytest.raises(NoClusterError):
            store.fetch()


def test_user_without_clusters_in_2021(folder: Path) -> None:
    """Where a user without clusters was an error of the platform they log in all the same."""
    with Platform(era="2021-12", clusters=()) as platform:
        store = ConfigStore(folder)
        platform.log_in(store)
        assert [] == list(store.clusters)


@pytest.mark.parametrize(
    "arguments", [{"timeout": None}, {"timeout": "5"}, {"timeout": -1}, {"path": 5}]
)
def test_wrong_arguments(arguments: Dict[str, Any]) -> None:
    """A wrong argument is named when the store is made."""
    (name,) = arguments
    with pytest.raises((TypeError, ValueError), match=name):
        ConfigStore(**arguments)


# ------------------------------------------------------- threads and one binding


def test_fetch_stays_with_its_login(platform: Platform, folder: Path) -> None:
    """A fetch for alice never lands in bob's login, though the store was bound anew."""
    with Platform(user="bob", clusters=[ClusterSpec(name="bobs")]) as other:
        store = ConfigStore(folder)
        platform.log_in(store)
        platform.faults.config.delay(0.7)
        before = platform.count("config")
        join = in_thread(store.fetch)
        while platform.count("config") == before:
            time.sleep(0.01)
        other.log_in(ConfigStore(folder))
        store.reload()
        assert isinstance(join(), LoginChangedError)
        assert ("bob", ["bobs"]) == (store.username, list(store.clusters))
        state = ConfigStore(folder).state
        assert isinstance(state, LoggedIn)
        assert state.session.auth is not None
        assert state.session.auth.token_url.startswith(str(other.url.origin()))


def test_late_snapshot_is_not_shown(platform: Platform, login: Login) -> None:
    """What a call brings home after a logout or login on the same store is not shown."""
    store = login()
    platform.faults.token.delay(0.7)
    for after in ("logout", "login"):
        platform.faults.reset()
        platform.log_in(store)
        platform.faults.token.delay(0.7)
        before = platform.count("token", grant_type="refresh_token")
        join = in_thread(store.refresh_token)
        wait_for_the_request(platform, before)
        if after == "logout":
            store.logout()
        else:
            token = platform.issue_access_token("bob")
            store.login_with_token(token, url=platform.url)
        assert join() is not None
        if after == "logout":
            assert LoggedOut() == store.state
        else:
            assert ("bob", token) == (store.username, store.token())


def test_user_file_of_a_store_in_memory(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a storage of one's own the user's file is the one in the path, if any."""
    monkeypatch.chdir(tmp_path)
    store = ConfigStore(storage=MemoryStorage())
    Path(store.path).mkdir()
    (store.path / "user.toml").write_text('[job]\nps-format = "planted"\n')
    assert {} == dict(store.get_user_config())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "user.toml").write_text('[job]\nps-format = "mine"\n')
    store = ConfigStore(tmp_path / "mine", storage=MemoryStorage())
    assert "mine" == store.get_user_config()["job"]["ps-format"]


def test_login_without_a_token_endpoint(folder: Path) -> None:
    """A login that knows no token endpoint serves its token until it expires."""
    clock = Clock(time.time())
    with Platform() as platform:
        store = ConfigStore(folder, clock=clock)
        platform.log_in(store)

    def forget(session: Any) -> Any:
        return attrs.evolve(session, auth=None)

    FileStorage(folder).update(forget, 5)
    store.reload()
    valid = store.token()
    clock.now += 3500
    assert valid == store.token()
    clock.now += 200
    with pytest.raises(CannotRefreshError):
        store.token()
