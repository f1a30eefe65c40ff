"""``GET /config``, held against what real servers sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

import attrs
import pytest
import requests

from neuro_config.testing import (
    DEFAULT_CLUSTER,
    ERAS,
    ClusterSpec,
    Platform,
    PoolSpec,
    PresetSpec,
    ProjectSpec,
)

CAPTURES = Path(__file__).parents[3] / "shared" / "platform" / "captures"

needs_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the captures of real servers are not here"
)
every_era = pytest.mark.parametrize("era", ERAS)

# captured users in this platform's terms
MEDIUM = Platform(
    clusters=[
        ClusterSpec(
            name="onprem-poc",
            orgs=("acme", None),
            location="us-east-1",
            energy_schedules=DEFAULT_CLUSTER.energy_schedules,
        ),
        ClusterSpec(
            name="scottdc",
            orgs=("acme", "umbrella", None),
            energy_schedules=DEFAULT_CLUSTER.energy_schedules,
        ),
        ClusterSpec(name="novoserve", orgs=("umbrella",), storage_volumes={"a": "1"}),
    ],
    orgs={"acme": "manager", "umbrella": "admin"},
)
USERS: Dict[str, Dict[str, Any]] = {
    "small": {},
    "medium": {
        "clusters": MEDIUM.account.clusters,
        "orgs": MEDIUM.account.orgs,
    },
    "mixedorg": {
        "clusters": [
            ClusterSpec(name="onprem-poc", orgs=(None,), location="us-east-1"),
            attrs.evolve(
                MEDIUM.account.clusters[1], orgs=("acme", None)
            ),
        ],
    },
    "noorg": {
        "clusters": [attrs.evolve(DEFAULT_CLUSTER, orgs=(None,))],
        "projects": [ProjectSpec(name="noorg", cluster_name="default")],
    },
    "noorgstr": {"clusters": [attrs.evolve(DEFAULT_CLUSTER, orgs=("NO_ORG",))]},
    "empty": {"clusters": []},
    "orgonly": {"clusters": [], "orgs": {"acme": "admin"}, "projects": []},
    "small-no-oauth": {"oauth": False},
    "small-no-public-urls": {"public_urls": False},
    "small-old-claim": {"claim": "https://platform.neuromation.io/user"},
    "cluster-not-registered": {
        "clusters": [
            ClusterSpec(
                name="v100-only",
                presets=DEFAULT_CLUSTER.presets[5:6],
                pools=DEFAULT_CLUSTER.pools[:1],
            )
        ],
        "projects": [ProjectSpec(name="p", cluster_name="gone", org_name="acme")],
    },
}  # fmt: skip


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Name every field, with its JSON type, whatever its place in a list."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from paths(item, f"{path}.{name}")
    elif isinstance(value, list):
        yield f"{path}[]"
        for item in value:
            yield from paths(item, f"{path}[]")
    else:
        kind = type(value).__name__
        yield f"{path}: {'number' if kind in ('int', 'float') else kind}"


def capture(era: str, what: str) -> Any:
    return json.loads((CAPTURES / f"{era}-{what}.json").read_text())


def config(
    platform: Platform, http: requests.Session, authorization: Optional[str] = None
) -> requests.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return http.get(str(platform.url / "config"), headers=headers)


def good(platform: Platform) -> str:
    return f"Bearer {platform.issue_access_token()}"


@needs_captures
@every_era
@pytest.mark.parametrize("what", USERS)
def test_same_fields_as_captured(era: str, what: str, http: requests.Session) -> None:
    """The fields and their types are those that the real server sent for such a user."""
    expected = capture(era, f"authorized-{what}")
    with Platform(era=era, **USERS[what]) as platform:
        answer = config(platform, http, good(platform))
    assert ("error" in expected) == (answer.status_code == 400)
    assert expected.get("error") == answer.json().get("error")
    assert set(paths(expected)) == set(paths(answer.json()))


@needs_captures
@every_era
def test_no_presets_as_captured(era: str, http: requests.Session) -> None:
    """A cluster without presets looks as captured: in 2021 it had four all the same."""
    expected = capture(era, "authorized-nopresets")
    bare = ClusterSpec(name="bare", presets=(), pools=())
    with Platform(era=era, clusters=[bare], projects=[]) as platform:
        answer = config(platform, http, good(platform))
    assert set(paths(expected)) == set(paths(answer.json()))
    cluster = answer.json()["clusters"][0]
    assert len(expected["clusters"][0]["resource_presets"]) == len(
        cluster["resource_presets"]
    )


def without_urls(body: Dict[str, Any]) -> Dict[str, Any]:
    own = ("url", "urls", "audience")
    return {
        name: "..." if name.split("_")[-1] in own else value
        for name, value in body.items()
    }


@needs_captures
@every_era
@pytest.mark.parametrize(
    ("what", "authorization"),
    [
        ("unauthorized", None),
        ("badtoken-garbage", "Bearer garbage"),
        ("badtoken-expired", "EXPIRED"),
        ("badtoken-unknown-user", "UNKNOWN"),
        ("badtoken-bad-signature", "OTHER"),
        ("badtoken-no-identity-claim", "NO CLAIM"),
        ("auth-service-500", "GOOD"),
        ("badheader-basic", "Basic Zm9vOmJhcg=="),
        ("badheader-bearer-only", "Bearer"),
        ("badheader-bearer-space", "Bearer "),
        ("badheader-empty", ""),
    ],
)
def test_refusals_as_captured(
    era: str, what: str, authorization: Optional[str], http: requests.Session
) -> None:
    """What is refused is refused with the captured body and status."""
    expected = capture(era, what)
    with Platform(era=era) as platform:
        made = {
            "EXPIRED": platform.issue_access_token(life=-10),
            "UNKNOWN": platform.issue_access_token(user="nobody"),
            "OTHER": Platform().issue_access_token(),
            "GOOD": platform.issue_access_token(),
        }
        if authorization in made:
            authorization = f"Bearer {made[authorization]}"
        if authorization == "NO CLAIM":
            platform.tokens.claim = "name"
            authorization = good(platform)
        if what.startswith("auth-service"):
            platform.faults.config.refuse_tokens()
        answer = config(platform, http, authorization)
    assert without_urls(expected) == without_urls(answer.json())
    assert (400 if "error" in expected else 200) == answer.status_code


@needs_captures
@every_era
def test_no_oauth_as_captured(era: str, http: requests.Session) -> None:
    """A server without OAuth2 tells nobody how to log in."""
    with Platform(era=era, oauth=False) as platform:
        answer = config(platform, http)
    assert capture(era, "unauthorized-no-oauth") == answer.json()


@every_era
@pytest.mark.parametrize("authorization", [None, "GOOD", "Bearer garbage", "Basic"])
def test_no_authorization(
    era: str, authorization: Optional[str], http: requests.Session
) -> None:
    """A platform without users lists its clusters to anybody, whatever he sends."""
    with Platform(era=era, oauth=False) as ordinary:
        expected = config(ordinary, http, good(ordinary)).text
    with Platform(era=era, authorization=False) as platform:
        platform.faults.config.refuse_tokens()
        if authorization == "GOOD":
            authorization = good(platform)
        answer = config(platform, http, authorization)
    host = f"127.0.0.1:{platform.url.port}"
    assert expected.replace(f"127.0.0.1:{ordinary.url.port}", host) == answer.text
    assert "default" == answer.json()["clusters"][0]["name"]


@pytest.mark.parametrize(("era", "status"), [("2021-12", 400), ("2022-07", 200)])
def test_nothing_without_authorization(
    era: str, status: int, http: requests.Session
) -> None:
    """A platform without users and clusters answers as of its era."""
    with Platform(era=era, authorization=False, clusters=[]) as platform:
        assert status == config(platform, http).status_code


@needs_captures
@every_era
def test_success_redirect_as_captured(era: str, http: requests.Session) -> None:
    """A server with a page for after the login says where it is."""
    with Platform(era=era, success_redirect=True) as platform:
        answer = config(platform, http)
        page = http.get(answer.json()["success_redirect_url"])
    expected = capture(era, "unauthorized-success-redirect")
    assert 200 == page.status_code
    assert without_urls(expected) == without_urls(answer.json())


def test_headers(platform: Platform, http: requests.Session) -> None:
    """The headers are the real server's: type, version and date; the body is ASCII."""
    answer = config(platform, http, good(platform))
    assert "application/json; charset=utf-8" == answer.headers["Content-Type"]
    assert "2026-08" in answer.headers["X-Service-Version"]
    assert "GMT" in answer.headers["Date"]
    assert answer.content.isascii()
    assert "Z\u00fcrich, CH / \u6771\u4eac" == answer.json()["clusters"][0]["location"]


@pytest.mark.parametrize("path", ["/api/v1/config/", "/api/v1//config", "/", "/x"])
def test_other_paths(path: str, platform: Platform, http: requests.Session) -> None:
    """A path that is nearly right is 404 and plain text."""
    answer = http.get(str(platform.url.origin()) + path)
    assert 404 == answer.status_code
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert 1 == platform.count("other", status=404)


def test_other_method(platform: Platform, http: requests.Session) -> None:
    """The configuration can be read only."""
    answer = http.delete(str(platform.url / "config"))
    assert (405, "GET, HEAD") == (answer.status_code, answer.headers["Allow"])


def names(platform: Platform, http: requests.Session) -> Tuple[Any, Any, Any]:
    body = config(platform, http, good(platform)).json()
    return (
        [cluster["name"] for cluster in body["clusters"]],
        [org["name"] for org in body["orgs"]],
        [(item["cluster_name"], item["name"]) for item in body["projects"]],
    )


def test_account_changes(platform: Platform, http: requests.Session) -> None:
    """Every change of the account is in the next answer."""
    account = platform.account
    assert (["default"], ["acme"], [("default", "main")]) == names(platform, http)
    account.add_cluster(ClusterSpec(name="second", orgs=("new", None)))
    expected: Any = (
        ["default", "second"],
        ["acme", "new"],
        [("default", "main"), ("second", "main"), ("second", "main")],
    )
    assert expected == names(platform, http)
    account.remove_cluster("default")
    account.projects = (ProjectSpec(name="p", cluster_name="gone"),)
    account.orgs = {"other": "admin"}
    assert (["second"], ["other"], [("gone", "p")]) == names(platform, http)
    assert ("second", {"other": "admin"}, "p") == (
        account.clusters[0].name,
        account.orgs,
        account.projects[0].name,
    )
    account.clusters = (DEFAULT_CLUSTER,)
    assert (["default"], ["other"], [("gone", "p")]) == names(platform, http)
    account.clear()
    assert ([], [], []) == names(platform, http)


def test_account_refuses(platform: Platform) -> None:
    """A cluster cannot be added twice, nor one removed that is not there."""
    with pytest.raises(ValueError, match="already"):
        platform.account.add_cluster(DEFAULT_CLUSTER)
    with pytest.raises(ValueError, match="no cluster named 'x'"):
        platform.account.remove_cluster("x")


def test_era_changes(platform: Platform, http: requests.Session) -> None:
    """A platform that runs can be set back in time."""
    assert "authorized" in config(platform, http).json()
    platform.era = "2021-12"
    assert "authorized" not in config(platform, http).json()


def test_further_users(http: requests.Session) -> None:
    """Further users can log in and see the same."""
    with Platform(users=["bob"]) as platform:
        token = platform.authorize("bob")["access_token"]
        body = config(platform, http, f"bearer {token}").json()
    assert body["authorized"] is True


def test_only_loopback_urls(platform: Platform, http: requests.Session) -> None:
    """Every URL that is sent leads back to this machine."""
    text = config(platform, http, good(platform)).text
    assert text.count("http") == text.count("http://127.0.0.1:")


def test_values_are_checked_by_nobody(http: requests.Session) -> None:
    """Presets and pools are sent as they are described."""
    preset = PresetSpec(name="p", cpu=0.5, memory=3 * 2**20, credits_per_hour="1.50")
    cluster = ClusterSpec(name="c", presets=(preset,), pools=(PoolSpec(name="q"),))
    with Platform(clusters=[cluster]) as platform:
        sent = config(platform, http, good(platform)).json()["clusters"][0]
    (got,) = sent["resource_presets"]
    assert (0.5, 3 * 2**20, 3, "1.50") == (
        got["cpu"],
        got["memory"],
        got["memory_mb"],
        got["credits_per_hour"],
    )
    assert ["q"] == [pool["name"] for pool in sent["resource_pool_types"]]
