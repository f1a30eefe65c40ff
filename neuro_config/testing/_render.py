"""The JSON of ``GET /config`` as the platform's servers of several years send it."""

from __future__ import annotations

from typing import Iterable, List, Tuple

import attr

from neuro_config.testing._account import Snapshot
from neuro_config.testing._model import PRESETS_OF_2021, ClusterSpec
from neuro_config.testing._rows import (
    CLUSTER_ROWS,
    POOL_ROWS,
    PRESET_ROWS,
    Json,
    in_force,
    render,
)

ERAS = ("2021-12", "2022-07", "2024-12", "2026-08")


@attr.frozen(kw_only=True)
class Site:
    """What the platform says about itself.

    Args:
        origin: ``http://127.0.0.1:PORT``.
        client_id: Of the one OAuth2 client.
        callback_urls: Where a browser login may return to.
        oauth: ``False`` for a server that has no OAuth2 configured.
        public_urls: ``False`` for a server that has no public auth URL.
        success_redirect: Whether ``success_redirect_url`` is configured.
    """

    origin: str
    client_id: str
    callback_urls: Tuple[str, ...]
    oauth: bool = True
    public_urls: bool = True
    success_redirect: bool = False


def _clusters(clusters: Iterable[ClusterSpec], site: Site, era: str) -> List[Json]:
    rows = in_force(CLUSTER_ROWS, era)
    preset_rows = in_force(PRESET_ROWS, era)
    pool_rows = in_force(POOL_ROWS, era)
    rendered = []
    for cluster in clusters:
        if era >= "2025-10-06" and cluster.orgs and set(cluster.orgs) == {None}:
            continue  # access without an org has ended
        body = render(rows, cluster, site.origin)
        presets = cluster.presets
        if era < "2022-07":
            presets = presets or PRESETS_OF_2021
        body["resource_presets"] = [
            render(preset_rows, preset, site.origin) for preset in presets
        ]
        if era >= "2024-04-30":
            body["resource_pool_types"] = [
                render(pool_rows, pool, site.origin) for pool in cluster.pools
            ]
        if site.public_urls:
            body["users_url"] = f"{site.origin}/api/v1/users"
        rendered.append(body)
    return rendered


# -------------------------------------------------------------------------- root


def _oauth(site: Site) -> Json:
    if not site.oauth:
        return {}
    origin = site.origin
    body: Json = {
        "auth_url": f"{origin}/auth",
        "token_url": f"{origin}/token",
        "logout_url": f"{origin}/session/end",
        "client_id": site.client_id,
        "audience": origin,
        "callback_urls": site.callback_urls,
        "headless_callback_url": f"{origin}/oauth/show-code",
    }
    if site.success_redirect:
        body["success_redirect_url"] = f"{origin}/success"
    return body


def unauthorized(site: Site, era: str) -> Json:
    """Render what everybody may see: how to log in."""
    known = {"authorized": False} if era >= "2022-06-08" else {}
    return {**known, **_oauth(site)}


def authorized(snapshot: Snapshot, site: Site, era: str) -> Json:
    """Render what the user may see: the clusters, orgs and projects too."""
    body: Json = {"authorized": True} if era >= "2022-06-08" else {}
    clusters = _clusters(snapshot.clusters, site, era)
    body["clusters"] = clusters
    if era < "2022-06-10":
        body.update(clusters[0])
    if era >= "2023-03-31":
        body["orgs"] = [
            {"name": name, "role": role} for name, role in snapshot.orgs.items()
        ]
        body["projects"] = [attr.asdict(project) for project in snapshot.projects]
    if site.public_urls or era >= "2025-12-16":
        body["admin_url"] = f"{site.origin}/apis/admin/v1"
    if era >= "2025-12-16":
        body["vcluster_url"] = f"{site.origin}/apis/vcluster/v1"
    return {**body, **_oauth(site)}


def needs_cluster(era: str) -> bool:
    """Say whether a user without clusters is an error of that era."""
    return era < "2022-06-10"
