"""Use the whole asyncio API with its types; checked by mypy --strict, never run."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, List, Mapping, Optional, Tuple

import requests
from yarl import URL

from neuro_config import Cluster, Preset, Project, ResourcePool, State, Storage, aio
from neuro_config.aio import (
    AsyncClient,
    AsyncConfigStore,
    get,
    login,
    login_headless,
    login_with_token,
    logout,
)


def now() -> float:
    return 0.0


async def open_stores(
    path: PathLike[str], storage: Storage, http: requests.Session
) -> List[AsyncConfigStore]:
    async with AsyncConfigStore.open("folder") as opened:
        print(await opened.token())
    async with AsyncConfigStore(
        path, storage=storage, clock=now, http=http, timeout=3, login_timeout=60
    ) as made:
        print(await made.token())
    async with await AsyncConfigStore.open(path, timeout=3) as both:
        print(await both.token())
    store: AsyncConfigStore = await AsyncConfigStore.open(Path("folder"), clock=now)
    await store.close()
    return [opened, made, both, store]


def show(url: URL) -> None:
    print(url.host)


def ask(url: URL) -> str:
    return input(str(url))


async def show_later(url: URL) -> None:
    print(url.host)


async def ask_later(url: URL) -> str:
    return str(url)


async def transitions(store: AsyncConfigStore) -> None:
    await store.login()
    await store.login(show, url="https://api.example/api/v1")
    await store.login(show_later, url=URL("https://api.example/api/v1"))
    await store.login_headless(ask)
    await store.login_headless(ask_later, url=URL("https://x"))
    await store.login_with_token("token", url=URL("https://x"))
    await store.login_with_passed_config()
    await store.login_with_passed_config("base64")
    await store.import_login()
    await store.import_login(Path("directory"))
    await store.fetch()
    await store.switch_cluster("name")
    await store.switch_org("name")
    await store.switch_org(None)
    await store.switch_project("name")
    await store.refresh_token()
    await store.reload()
    await store.logout()
    await store.logout(show)
    await store.logout(show_later)


async def use(store: AsyncConfigStore) -> Mapping[str, str]:
    token: str = await store.token()
    config: Mapping[str, Any] = await store.get_user_config()
    print(config["job"])
    return {"Authorization": f"Bearer {token}"}


def properties(store: AsyncConfigStore) -> None:
    state: State = store.state
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
    key: Project.Key = store.get_project_key(cluster_name=None, org_name="org")
    print(state, path, texts, names, urls, urls_or_none, clusters, presets, pools)
    print(projects, orgs, project_list, cluster, key)


async def clients(
    path: PathLike[str], storage: Storage, http: requests.Session
) -> None:
    client: AsyncClient = await get()
    async with get(path, storage=storage, clock=now, http=http, timeout=3) as opened:
        config: AsyncConfigStore = opened.config
        await config.fetch()
    async with AsyncClient(config) as another:
        print(another.closed)
    names: Tuple[str, str] = (client.username, client.cluster_name)
    presets: Mapping[str, Preset] = client.presets
    await client.close()
    print(await aio.get("folder"), names, presets)


async def functions(path: PathLike[str]) -> None:
    await login()
    await login(show, url="https://api.example/api/v1", path="folder")
    await login(show_later)
    await login_headless(ask)
    await login_headless(ask_later, url=URL("https://x"), path=path)
    await login_with_token("token", url=URL("https://x"), path=path)
    await logout()
    await logout(path=path, show_browser=show_later)
