"""Use the whole public API with its types; checked by mypy --strict, never run."""

from __future__ import annotations

import ssl
from datetime import time
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import requests
from yarl import URL

import neuro_config
from neuro_config import (
    DEFAULT_API_URL,
    GPU,
    TPU,
    Apps,
    AuthConfig,
    AuthError,
    CannotRefreshError,
    Choice,
    Client,
    Cluster,
    Config,
    ConfigBuilder,
    ConfigError,
    ConfigScope,
    ConfigStore,
    ConnectionFailedError,
    DamagedFileError,
    EnergySchedule,
    FileStorage,
    InsecureURLError,
    InvalidTokenError,
    LockTimeoutError,
    LoggedIn,
    LoggedOut,
    LoginChangedError,
    MalformedAnswerError,
    MemoryStorage,
    NetworkError,
    NewerSchemaError,
    NoClusterError,
    NoProjectError,
    NotLoggedInError,
    Org,
    PassedConfigError,
    PlatformError,
    PluginError,
    PluginManager,
    Preset,
    Project,
    ProjectRootNotFoundError,
    RefreshFailedError,
    RefreshFailure,
    RefreshMark,
    RefreshPendingError,
    RequestTimeoutError,
    ResourcePool,
    SchedulePeriod,
    Session,
    SessionEndedError,
    StaleSnapshotError,
    State,
    Storage,
    StorageError,
    StorageReadError,
    StorageVolume,
    StorageWriteError,
    SwitchOverriddenError,
    Token,
    TokenExpired,
    TokenRefusedError,
    TPUResource,
    UnknownClusterError,
    UnknownNameError,
    UnknownOrgError,
    UnknownPresetError,
    UnknownProjectError,
    UnsafePathError,
    UnsupportedSystemError,
    UserConfigError,
    WrongStateError,
    find_project_root,
)
from neuro_config.testing import (
    DEFAULT_CLUSTER,
    DEFAULT_POOLS,
    DEFAULT_PRESETS,
    ERAS,
    IDENTITY_CLAIMS,
    Account,
    ClusterSpec,
    ConfigFaults,
    EndpointFaults,
    ExpiresIn,
    Faults,
    GpuSpec,
    Platform,
    PoolSpec,
    PresetSpec,
    ProjectSpec,
    RequestRecord,
    TokenSettings,
    make_clusters,
)

version: str = neuro_config.__version__
default_url: str = DEFAULT_API_URL

# ------------------------------------------------------------------------ the store


def now() -> float:
    return 0.0


def open_stores(path: PathLike[str], http: requests.Session) -> List[ConfigStore]:
    storages: List[Storage] = [MemoryStorage(), FileStorage(), FileStorage(path)]
    return [
        ConfigStore(),
        ConfigStore("folder"),
        ConfigStore(path),
        ConfigStore(Path("folder"), clock=now, http=http, timeout=3),
        ConfigStore(storage=storages[0]),
        Config(),
    ]


def transitions(store: ConfigStore) -> None:
    store.login_with_token("token")
    store.login_with_token("token", url="https://api.example/api/v1")
    store.login_with_token("token", url=URL("https://api.example/api/v1"))
    store.login_with_passed_config()
    store.login_with_passed_config("base64")
    store.import_login()
    store.import_login("directory")
    store.import_login(Path("directory"))
    store.fetch()
    store.switch_cluster("name")
    store.switch_org("name")
    store.switch_org(None)
    store.switch_project("name")
    store.refresh_token()
    store.reload()
    store.logout()


def use(store: ConfigStore) -> requests.Response:
    token: str = store.token()
    auth: requests.auth.AuthBase = store.auth
    config: Mapping[str, Any] = store.get_user_config()
    print(token, config["job"])
    return requests.get(str(store.api_url / "config"), auth=auth)


def properties(store: ConfigStore) -> None:
    path: Path = store.path
    texts: Tuple[str, ...] = (
        store.username,
        store.cluster_name,
        store.project_name_or_raise,
    )
    names: Tuple[Optional[str], ...] = (store.org_name, store.project_name)
    urls: Tuple[URL, ...] = (
        store.api_url,
        store.registry_url,
        store.storage_url,
        store.monitoring_url,
        store.service_accounts_url,
    )
    urls_or_none: Tuple[Optional[URL], ...] = (
        store.admin_url,
        store.vcluster_url,
        store.secrets_url,
        store.disk_api_url,
        store.bucket_api_url,
    )
    clusters: Mapping[str, Cluster] = store.clusters
    presets: Mapping[str, Preset] = store.presets
    pools: Mapping[str, ResourcePool] = store.resource_pools
    projects: Mapping[Project.Key, Project] = store.projects
    orgs: Tuple[Optional[str], ...] = store.available_orgs + store.cluster_orgs
    project_list: Tuple[Project, ...] = store.cluster_org_projects
    cluster: Cluster = store.get_cluster("name")
    keys: List[Project.Key] = [
        store.get_project_key(),
        store.get_project_key("cluster", "org", "project"),
        store.get_project_key(cluster_name=None, org_name=None, project_name=None),
    ]
    print(path, texts, names, urls, urls_or_none, clusters, presets, pools)
    print(projects, orgs, project_list, cluster, keys)


# ----------------------------------------------------------------------- the client


def clients(storage: Storage, path: PathLike[str], http: requests.Session) -> None:
    client: Client = neuro_config.get()
    with neuro_config.get(
        path, storage=storage, clock=now, http=http, timeout=3
    ) as opened:
        config: ConfigStore = opened.config
        url: URL = config.api_url / "jobs"
        session: requests.Session = opened.session
        answers: List[requests.Response] = [
            opened.session.get(url, params={"status": "running"}, timeout=3),
            opened.session.post(url, json={}),
            opened.session.request("GET", url),
            opened.session.delete(str(url)),
            session.get(str(url)),
        ]
    names: Tuple[str, str] = (client.username, client.cluster_name)
    presets: Mapping[str, Preset] = client.presets
    closed: bool = client.closed
    client.close()
    print(neuro_config.get("folder"), Client(config), answers, names, presets, closed)


def functions(path: PathLike[str]) -> None:
    def show_browser(url: URL) -> None:
        print(url.host)

    def get_auth_code(url: URL) -> str:
        return input(str(url))

    neuro_config.login()
    neuro_config.login(show_browser, url="https://api.example/api/v1", path="folder")
    neuro_config.login_headless(get_auth_code)
    neuro_config.login_headless(get_auth_code, url=URL("https://x"), path=path)
    neuro_config.login_with_token("token")
    neuro_config.login_with_token("token", url=URL("https://x"), path=path)
    neuro_config.logout()
    neuro_config.logout(path=path, show_browser=show_browser)


# ----------------------------------------------------------------------- the states


def states(store: ConfigStore) -> Optional[Session]:
    state: State = store.state
    union: Union[LoggedOut, LoggedIn, TokenExpired] = state
    if isinstance(union, LoggedOut):
        return None
    return union.session


def session() -> Session:
    token = Token("access", 0.0, expires_at=None, refresh_token="refresh")
    auth = AuthConfig("https://a/auth", "https://a/token", "client", callback_urls=())
    value = Session(
        login_id="id",
        username="alice",
        api_url="https://api.example/api/v1",
        token=token,
        catalog="digest",
        choice=Choice("cluster", None, None),
        auth=auth,
        refresh_sent=RefreshMark("hash", 0.0, 1),
        refresh_failure=RefreshFailure(0.0, 1, 60.0, "reason"),
    )
    expires_at: Optional[float] = value.token.expires_at
    refresh_token: Optional[str] = value.token.refresh_token
    cluster_name: Optional[str] = value.choice.cluster_name
    print(expires_at, refresh_token, cluster_name)
    return value


# ----------------------------------------------------------------------- the values


def values(cluster: Cluster, project: Project, org: Org) -> None:
    preset: Preset = cluster.presets["name"]
    numbers: Tuple[float, int, int] = (preset.cpu, preset.memory, preset.memory_mb)
    flags: Tuple[bool, ...] = (
        preset.is_preemptible,
        preset.is_preemptible_node_required,
        preset.scheduler_enabled,
        preset.preemptible_node,
    )
    price: Optional[Decimal] = preset.credits_per_hour
    gpu: Optional[int] = preset.gpu
    gpus: List[Optional[GPU]] = [preset.nvidia_gpu, preset.amd_gpu, preset.intel_gpu]
    migs: Mapping[str, GPU] = preset.nvidia_migs
    texts: List[Optional[str]] = [
        preset.gpu_model,
        preset.tpu_type,
        preset.tpu_software_version,
        cluster.timezone,
        cluster.location,
    ]
    tpu: Optional[TPU] = preset.tpu
    pool: ResourcePool = cluster.resource_pools["name"]
    resource: Optional[TPUResource] = pool.tpu
    sizes: List[Optional[int]] = [pool.min_size, pool.max_size, pool.disk_size]
    apps: Apps = cluster.apps
    volume: StorageVolume = cluster.storage_volumes["name"]
    volume_price: Decimal = volume.credits_per_hour_per_gb
    schedule: EnergySchedule = cluster.energy_schedules["name"]
    period: SchedulePeriod = schedule.periods[0]
    start: time = period.start_time
    orgs: Tuple[Optional[str], ...] = cluster.orgs
    users_url: Optional[URL] = cluster.users_url
    key: Project.Key = project.key
    key_parts: Tuple[str, Optional[str], str] = (
        key.cluster_name,
        key.org_name,
        key.project_name,
    )
    roles: Tuple[str, str] = (project.role, org.role)
    print(numbers, flags, price, gpu, gpus, migs, texts, tpu, resource, sizes, apps)
    print(volume_price, start, orgs, users_url, key_parts, roles)


# ----------------------------------------------------------------- the user's files


def plugin(manager: PluginManager) -> None:
    config: ConfigBuilder = manager.config
    config.define_int("section", "name")
    config.define_bool("section", "name", scope=ConfigScope.ALL)
    config.define_float("section", "name", scope=ConfigScope.LOCAL)
    config.define_str("section", "name", scope=ConfigScope.GLOBAL)
    config.define_int_list("section", "name")
    config.define_bool_list("section", "name")
    config.define_float_list("section", "name")
    config.define_str_list("section", "name")
    manager.version_checker.register("anything", at=1)
    print([str(failure) for failure in manager.failures])


roots: List[Path] = [
    find_project_root(),
    find_project_root("folder"),
    find_project_root(Path("folder")),
]

# ----------------------------------------------------------------------- the errors

every: Tuple[ConfigError, ...] = (
    NotLoggedInError("LoggedOut", "fetch"),
    CannotRefreshError("LoggedIn", "refresh"),
    NoClusterError(),
    NoProjectError(),
    PluginError("key", "reason"),
    InvalidTokenError("text"),
    PassedConfigError("text"),
    UnsafePathError("path", "reason"),
    DamagedFileError("path", "reason"),
    NewerSchemaError("path", "reason"),
    StorageReadError("path", "reason"),
    UnsupportedSystemError("path", "reason"),
    ConnectionFailedError("url", "reason"),
    RequestTimeoutError("url", "reason"),
    RefreshPendingError("url", "reason"),
    RefreshFailedError("url", "reason"),
    InsecureURLError("url", "reason"),
    TokenRefusedError("url", "advice"),
)


def errors(store: ConfigStore) -> str:
    try:
        store.fetch()
    except LoginChangedError as error:
        return error.username
    except StaleSnapshotError as error:
        return error.path
    except WrongStateError as error:
        return error.state + error.event
    except (UnknownClusterError, UnknownOrgError, UnknownProjectError) as error:
        available: Tuple[Optional[str], ...] = error.available
        return f"{error.name} {available} {error.hint}"
    except UnknownPresetError as error:
        return str(error)
    except UnknownNameError as error:
        return str(error)
    except SwitchOverriddenError as error:
        return error.key + error.value + error.path
    except ProjectRootNotFoundError as error:
        return error.path
    except UserConfigError as error:
        key: Optional[str] = error.key
        return error.path + error.reason + (key or "")
    except LockTimeoutError as error:
        seconds: float = error.seconds
        return f"{error.holder} {seconds}"
    except StorageWriteError as error:
        number: Optional[int] = error.errno
        read_only: bool = error.is_read_only
        return f"{number} {read_only}"
    except StorageError as error:
        return error.path + error.reason
    except SessionEndedError as error:
        lost_at: Optional[str] = error.lost_at
        return str(lost_at)
    except AuthError as error:
        return error.code + error.description
    except MalformedAnswerError as error:
        return error.where
    except PlatformError as error:
        status: Optional[int] = error.status
        return str(status)
    except NetworkError as error:
        return error.url + error.reason
    except ConfigError as error:
        runtime_error: RuntimeError = error
        return str(runtime_error)
    return ""


# ---------------------------------------------------------------------- for testing


def embedded(context: ssl.SSLContext) -> None:
    presets: Tuple[PresetSpec, ...] = (*DEFAULT_PRESETS, PresetSpec(name="mine", cpu=2))
    pools: Tuple[PoolSpec, ...] = (*DEFAULT_POOLS, PoolSpec(name="mine"))
    gpu = GpuSpec(1, model=None, memory=2**30)
    cluster = ClusterSpec(
        name="mine", orgs=("acme", None), presets=presets, pools=pools
    )
    project = ProjectSpec(name="main", cluster_name="mine", org_name=None)
    with Platform(
        user="alice",
        users=["bob"],
        clusters=[cluster, DEFAULT_CLUSTER, *make_clusters(2, 3, orgs=("acme",))],
        orgs={"acme": "admin"},
        projects=[project],
        era=ERAS[0],
        token_life=60,
        claim=IDENTITY_CLAIMS[0],
        authorization=False,
        ssl=("cert.pem", "key.pem"),
    ) as platform:
        url: URL = platform.url
        token: str = platform.issue_access_token("bob", life=-1)
        answer: Dict[str, Any] = platform.authorize("bob")
        platform.log_in(ConfigStore(), "bob")
        platform.revoke_all()
        account: Account = platform.account
        account.add_cluster(cluster)
        account.remove_cluster("mine")
        account.clusters = (cluster,)
        account.orgs = {"acme": "user"}
        account.projects = (project,)
        account.clear()
        tokens: TokenSettings = platform.tokens
        tokens.expires_in = ExpiresIn.MISSING
        faults: Faults = platform.faults
        config: ConfigFaults = faults.config
        config.refuse_tokens(1)
        endpoint: EndpointFaults = faults.token
        endpoint.delay(1, answer=1)
        endpoint.drop(None)
        endpoint.lose_answers()
        endpoint.answer(503, {"error": "x"}, headers={"Retry-After": "1"}, count=1)
        endpoint.redirect("https://elsewhere.example", status=307)
        endpoint.reset()
        faults.reset()
        records: Tuple[RequestRecord, ...] = platform.requests
        count: int = platform.count("token", grant_type="refresh_token", status=200)
        platform.clear_requests()
        print(url, token, answer, records, count, gpu, platform.user, platform.era)
    Platform(ssl=context).start()


def fixture(neuro_platform: Platform) -> bool:
    return neuro_platform.running
