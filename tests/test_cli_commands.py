"""What each command does and prints, in this process."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Iterator, List, Optional
from urllib.request import urlopen

import attrs
import pytest
from cli import make_tool_login, ok, run
from common import CLUSTERS, PROJECTS, Clock, Login, free_urls, passed

from neuro_config import ConfigStore, FileStorage, LoggedIn, Preset, Session
from neuro_config._cli.presets import _data, _row
from neuro_config._cli.status import _duration
from neuro_config.testing import ClusterSpec, Platform

STORED = {"cluster": "default", "org": "acme", "project": "main"}


@pytest.fixture(autouse=True)
def _in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command find the store that the test logs in."""
    monkeypatch.setenv("NEUROMATION_CONFIG", str(folder))


@pytest.fixture
def platform() -> Iterator[Platform]:
    """A platform whose callback ports are this test's own."""
    with Platform(
        clusters=CLUSTERS, projects=PROJECTS, users=["bob"], callback_urls=free_urls()
    ) as platform:
        yield platform


def local_file(text: str) -> Path:
    path = Path.cwd() / ".neuro.toml"
    path.write_text(text)
    return path


# ------------------------------------------------------------------------- token


def test_token(login: Login) -> None:
    """token prints the token and a line end, nothing else."""
    store = login()
    assert f"{store.token()}\n" == ok("token")
    assert {"token": store.token()} == json.loads(ok("token", "--json"))


def test_path(login: Login, tmp_path: Path) -> None:
    """--path stands before the command's name or after it; the last one counts."""
    token = f"{login().token()}\n"
    here, elsewhere = tmp_path / "config", tmp_path / "elsewhere"
    assert token == ok("--path", here, "token")
    assert token == ok("--path", elsewhere, "token", "--path", here)
    assert 3 == run("--path", here, "token", "--path", elsewhere).code


# ------------------------------------------------------------------------- login


def test_login_with_a_token(platform: Platform, folder: Path) -> None:
    """A token comes from the standard input."""
    token = platform.issue_access_token()
    out = ok("login", "--url", platform.url, "--token", "-", given=f"{token}\n")
    assert (
        f"Logged in to {platform.url} as alice.\n"
        "Now: cluster default, org acme, project main.\n"
    ) == out
    assert token == ConfigStore(folder).token()


def test_login_with_a_token_of_a_file(platform: Platform, tmp_path: Path) -> None:
    """A token comes from a file."""
    file = tmp_path / "token"
    file.write_text(f"{platform.issue_access_token('bob')}\n")
    data = json.loads(ok("login", "--url", platform.url, "--token", file, "--json"))
    expected = {"username": "bob", "api_url": str(platform.url), **STORED}
    assert expected == data


def test_login_with_a_token_of_the_environment(
    platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token comes from an environment variable."""
    monkeypatch.setenv("MY_TOKEN", platform.issue_access_token())
    ok("login", "--url", platform.url, "--token", "env:MY_TOKEN")
    assert "alice" == ConfigStore(folder).username


def test_login_asks_for_the_token(
    platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal the token is asked for, and not shown."""
    token = platform.issue_access_token()
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _: f" {token} ")
    arguments = ("login", "--url", platform.url, "--token", "-")
    result = run(*arguments, given="", looked_at=True)
    assert 0 == result.code
    assert token == ConfigStore(folder).token()
    assert token not in result.out + result.err


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("eyJh.eyJz.c2ln", "No such file or directory"),
        (".", "Is a directory"),
        ("\0", "it is no name"),
        ("env:NO_SUCH", "There is no environment variable 'NO_SUCH'."),
        ("env:eyJ0.x", "There is no environment variable of that name."),
    ],
)
def test_no_token_there(source: str, words: str) -> None:
    """What --token names is not there: a usage error that shows no token."""
    result = run("login", "--token", source)
    assert 2 == result.code
    assert words in result.err.replace("\n", " ")
    assert "eyJ" not in result.err


def test_a_bad_token() -> None:
    """A text that is no token is a failed login."""
    result = run("login", "--token", "-", given="two words")
    assert 10 == result.code
    assert "two" not in result.err


def test_login_with_a_passed_config(
    platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--passed-config takes what the platform has passed into the job."""
    monkeypatch.setenv("APOLO_PASSED_CONFIG", passed(platform, cluster="farm"))
    assert "Now: cluster farm, org acme" in ok("login", "--passed-config")
    monkeypatch.delenv("APOLO_PASSED_CONFIG")
    assert 10 == run("login", "--passed-config").code


@pytest.mark.parametrize(
    "arguments",
    [
        ("--headless", "--token", "-"),
        ("--token", "-", "--passed-config"),
        ("--passed-config", "--url", "https://example.org"),
    ],
)
def test_contradictory_logins(arguments: List[str]) -> None:
    """Two ways to log in at once are a usage error."""
    assert 2 == run("login", *arguments).code


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("foo", "'foo' is no URL: https://..."),
        ("https://", "'https://' is no URL: https://..."),
        ("localhost:8080/api", "'localhost:8080/api' is no URL: https://..."),
        ("alice:secret@example.org", "'example.org' is no URL: https://..."),
    ],
)
def test_no_url(url: str, words: str) -> None:
    """What is no URL is a usage error that says how one looks, and shows no password."""
    result = run("login", "--url", url, "--token", "-", given="")
    assert (2, "") == (result.code, result.out)
    assert words in result.err
    assert "secret" not in result.err


@pytest.mark.parametrize("looked_at", [False, True])
def test_login_with_a_browser(
    platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch, looked_at: bool
) -> None:
    """login opens the browser and shows the URL, whole, on the standard error."""
    opened: List[str] = []

    def browser(url: str) -> None:
        opened.append(url)
        with urlopen(url) as answer:
            answer.read()

    monkeypatch.setattr("webbrowser.open", browser)
    result = run("login", "--url", platform.url, "--json", looked_at=looked_at)
    assert 0 == result.code
    assert "alice" == json.loads(result.out)["username"]
    assert "If no browser opens, go to\n" in result.err
    assert f"\n{opened[0]}\n" in result.err
    assert ("Waiting for the login" in result.err) is looked_at
    assert ConfigStore(folder)._session("test").token.refresh_token is not None


@pytest.mark.parametrize("what", ["code", "url"])
def test_headless_login(
    platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """--headless shows a URL and asks for the code; nothing of it is on stdout."""

    def person(prompt: str = "") -> str:
        import sys

        sys.stderr.seek(0)
        (url,) = (line for line in sys.stderr.read().split() if "://" in line)
        with urlopen(url) as page:
            address: str = page.url
        return address if what == "url" else address.split("code=")[1].split("&")[0]

    monkeypatch.setattr("click.termui.visible_prompt_func", person)
    result = run("login", "--url", platform.url, "--headless", "--json")
    assert 0 == result.code, result.err
    assert "alice" == result.data["username"]
    assert "Log in with any browser at\n" in result.err


def test_headless_login_without_an_answer(platform: Platform) -> None:
    """Whoever gives no code ends the login, without a traceback."""
    result = run("login", "--url", platform.url, "--headless", given="")
    assert 130 == result.code
    assert "Traceback" not in result.err
    assert result.err.endswith("Aborted.\n")


def test_login_in_spite_of_a_local_file(platform: Platform) -> None:
    """A login succeeds where a local file is wrong, and says so."""
    local_file("job = 1")
    token = platform.issue_access_token()
    arguments = ("login", "--url", platform.url, "--token", "-")
    result = run(*arguments, given=token)
    assert 0 == result.code
    assert f"Logged in to {platform.url} as alice.\n" == result.out
    assert "Warning: " in result.err
    assert ".neuro.toml: job: must be a table." in result.err
    data = run(*arguments, "--json", given=token).data
    expected = {"username": "alice", "api_url": str(platform.url)}
    assert {**expected, **dict.fromkeys(STORED)} == data


# ------------------------------------------------------------------------ import


def test_import(platform: Platform, folder: Path, tmp_path: Path) -> None:
    """import takes over a tool's login, and says that it may be out of date."""
    token = platform.issue_access_token()
    db = make_tool_login(tmp_path / "tool", token, platform.url)
    for path in (db, db.parent):
        result = run("import", path)
        assert (0, f"Logged in to {platform.url} as alice.") == (
            result.code,
            result.out.splitlines()[0],
        )
        assert "neuro-config fetch" in result.err
    assert token == ConfigStore(folder).token()
    result = run("import")
    assert 10 == result.code
    assert "there is no such file" in result.err


# ------------------------------------------------------------------------ logout


def test_logout(login: Login) -> None:
    """logout removes the login, and may be repeated."""
    store = login()
    assert "Logged out.\n" == ok("logout")
    store.reload()
    assert not isinstance(store.state, LoggedIn)
    assert {"state": "LoggedOut"} == json.loads(ok("logout", "--json"))


def test_logout_of_the_browser(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    """--browser opens the page that ends the browser's session."""
    opened: List[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    login()
    result = run("logout", "--browser")
    assert (0, "Logged out.\n") == (result.code, result.out)
    (url,) = opened
    assert f"go to\n{url}\n" in result.err


# ------------------------------------------------------------- fetch and switches


def test_fetch(login: Login, platform: Platform) -> None:
    """fetch counts what there is and says what is chosen."""
    login()
    assert (
        "Fetched 3 clusters and 4 projects.\n"
        "Now: cluster default, org acme, project main.\n"
    ) == ok("fetch")
    expected = {"clusters": 3, "projects": 4, **STORED}
    assert expected == json.loads(ok("fetch", "--json"))
    platform.account.clusters = CLUSTERS[:1]
    platform.account.projects = PROJECTS[:1]
    assert "Fetched 1 cluster and 1 project.\n" in ok("fetch")


def test_fetch_when_the_choice_is_gone(login: Login, platform: Platform) -> None:
    """fetch fails where the chosen cluster is gone, and one can switch all the same."""
    login()
    platform.account.clusters = CLUSTERS[1:]
    result = run("fetch")
    assert 5 == result.code
    assert "neuro-config switch-cluster NAME chooses another" in result.err
    assert "Now: cluster farm, org acme, project main.\n" == ok(
        "switch-cluster", "farm"
    )


def test_fetch_for_nobody(login: Login, platform: Platform) -> None:
    """Without any cluster nothing is chosen."""
    platform.account.clusters = ()
    login()
    assert "Fetched 0 clusters and " in ok("fetch")
    assert "Now: no cluster, no org, no project.\n" in ok("fetch")


def test_switches(login: Login) -> None:
    """The switches choose, and say what is chosen then."""
    login()
    names = json.loads(ok("switch-cluster", "farm", "--json"))
    assert {**STORED, "cluster": "farm"} == names
    assert "Now: cluster default, org umbrella, no project.\n" == ok(
        "switch-org", "umbrella"
    )
    ok("switch-org", "acme")
    assert "project side.\n" in ok("switch-project", "side")


def test_switch_to_no_org(platform: Platform, login: Login) -> None:
    """--none chooses to have no org; a name and --none are one or the other."""
    platform.account.clusters = (
        *CLUSTERS,
        ClusterSpec(name="own", orgs=()),
    )
    login()
    assert "Now: cluster own, no org, " in ok("switch-org", "--none")
    assert 2 == run("switch-org").code
    assert 2 == run("switch-org", "acme", "--none").code


def test_no_cluster_without_an_org(login: Login) -> None:
    """Where each cluster needs an org, --none says so."""
    login()
    result = run("switch-org", "--none")
    assert 5 == result.code
    assert "No cluster can be used without an org; available: 'NO_ORG'" in result.err


def test_an_overridden_switch(login: Login) -> None:
    """A switch that the local file would override is refused."""
    login()
    local_file('job.cluster-name = "farm"')
    result = run("switch-cluster", "lab")
    assert 11 == result.code
    assert "which would override the switch" in result.err


# ---------------------------------------------------------------------- clusters


def test_clusters(login: Login) -> None:
    """clusters lists each cluster once, with its orgs and the user's projects."""
    login()
    assert [
        "   Cluster  Org       Projects",
        "*  default  acme      main, side",
        "            umbrella  -",
        "   farm     acme      main",
        "   lab      NO_ORG    -",
        "            umbrella  labour",
    ] == ok("clusters").splitlines()


def test_clusters_as_json(login: Login) -> None:
    """The JSON of clusters has their URLs, orgs and projects."""
    store = login()
    first, *others = json.loads(ok("clusters", "--json"))
    assert [False, False] == [other["is_current"] for other in others]
    assert str(store.storage_url) == first["storage_url"]
    assert [
        {"name": "acme", "is_current": True, "projects": ["main", "side"]},
        {"name": "umbrella", "is_current": False, "projects": []},
    ] == first["orgs"]


def test_clusters_without_orgs(platform: Platform, login: Login) -> None:
    """A cluster that is open without an org has one row for that."""
    platform.account.clusters = (ClusterSpec(name="own", orgs=()),)
    login()
    assert "*  own      -    " in ok("clusters")


def test_clusters_with_a_wrong_local_file(login: Login) -> None:
    """A wrong local file keeps nobody from seeing the clusters; which is current is open."""
    login()
    local_file("job = 1")
    result = run("clusters")
    assert 0 == result.code
    assert "default" in result.out
    assert "*" not in result.out
    assert result.err.startswith("Warning: ")
    assert ".neuro.toml: job: must be a table." in result.err
    found = run("clusters", "--json")
    assert result.err == found.err
    assert {None} == {cluster["is_current"] for cluster in found.data}
    orgs = [org for cluster in found.data for org in cluster["orgs"]]
    assert {None} == {org["is_current"] for org in orgs}


def test_clusters_of_nobody(login: Login, platform: Platform) -> None:
    """Without any cluster the list is empty, and that is nothing to warn of."""
    platform.account.clusters = ()
    login()
    assert [] == json.loads(ok("clusters", "--json"))


# ----------------------------------------------------------------------- presets


def test_presets(folder: Path) -> None:
    """presets shows what a job gets, within 80 columns."""
    with Platform() as platform:
        platform.log_in(ConfigStore(folder))
        lines = ok("presets").splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert ["CPU", "Memory", "GPU", "Preemptible", "Credits/h"] == rows["Preset"]
    assert ["0.1", "95.37", "MiB", "-", "0.05"] == rows["cpu-micro"]
    assert ["2", "4", "GiB", "-", "yes", "0.5"] == rows["cpu-small-p"]
    assert ["7", "60", "GiB", "1", "x", "nvidia-tesla-k80", "30"] == rows["gpu-small"]
    assert ["1", "x", "nvidia", "30"] == rows["gpu-no-model"][3:]
    assert ["1", "x", "1g.5gb,", "2", "x", "2g.10gb", "30"] == rows["mig-bare"][3:]
    assert ["2", "x", "amd", "30"] == rows["amd-no-model"][3:]
    assert ["3", "x", "intel-gpu-max", "30"] == rows["intel"][3:]
    assert ["TPU", "v2-8", "12"] == rows["tpu"][3:]


def test_presets_of_another_cluster(login: Login) -> None:
    """--cluster names another cluster than the current one."""
    store = login()
    found = json.loads(ok("presets", "--cluster", "farm", "--json"))
    expected = list(store.get_cluster("farm").presets)
    assert expected == [preset["name"] for preset in found]
    assert 5 == run("presets", "--cluster", "moon").code


def test_preset_without_a_price() -> None:
    """A preset whose price is not told has a dash, and null for programs."""
    bare = Preset("bare", 1.5, 512 * 2**20)
    assert ["bare", "1.5", "512 MiB", None, "", None] == list(_row(bare))
    assert _data(bare)["credits_per_hour"] is None


# ------------------------------------------------------------------------ status


def test_status_logged_out(folder: Path) -> None:
    """status says that nobody is logged in, how to change that, and where it looks."""
    out = " ".join(ok("status").split())
    assert (
        f"User nobody is logged in log in with: neuro-config login Storage {folder}"
        == out
    )
    data = json.loads(ok("status", "--json"))
    assert ("LoggedOut", None, str(folder)) == (
        data["state"],
        data["username"],
        data["storage"],
    )


def change_token(folder: Path, **changes: Any) -> None:
    """Change the stored token."""

    def change(session: Optional[Session]) -> Optional[Session]:
        assert session is not None
        return attrs.evolve(session, token=attrs.evolve(session.token, **changes))

    FileStorage(folder).update(change, 5.0)


def rows() -> List[List[str]]:
    """Return the words of each row of status."""
    return [line.split() for line in ok("status").splitlines()]


def test_status(login: Login, platform: Platform, folder: Path) -> None:
    """status shows who, where, what is chosen, and how long the token is valid."""
    login()
    user, url, cluster, org, project, token, storage = rows()
    assert ["User", "alice"] == user
    assert ["Platform", str(platform.url)] == url
    assert ["Cluster", "default", "stored"] == cluster
    assert ["Org", "acme", "stored"] == org
    assert ["Project", "main", "stored"] == project
    assert "Token valid for 59 minutes refreshed by itself" == " ".join(token)
    assert ["Storage", str(folder)] == storage


def test_status_with_a_local_file(login: Login) -> None:
    """status says which names a local file chooses, and which follow from those."""
    login()
    path = local_file('job.cluster-name = "lab"\njob.org-name = "umbrella"')
    status = json.loads(ok("status", "--json"))
    assert {"name": "lab", "source": "local"} == status["cluster"]
    assert {"name": "umbrella", "source": "local"} == status["org"]
    assert {"name": "labour", "source": "rule"} == status["project"]
    assert str(path) == status["local_file"]
    _, _, cluster, org, project, *_ = rows()
    assert ["Cluster", "lab", "from", "~/.neuro.toml"] == cluster
    assert ["Org", "umbrella", "from", "~/.neuro.toml"] == org
    assert ["Project", "labour", "the", "first", "there"] == project


def test_status_where_there_is_no_project(login: Login) -> None:
    """Where no project follows from the other names, nothing is said to be the first."""
    login()
    local_file('job.cluster-name = "lab"')
    _, _, _, org, project, *_ = rows()
    assert ["Org", "NO_ORG", "the", "first", "there"] == org
    assert ["Project", "no", "project"] == project


WRONG_NAMES = {
    'job.org-name = "moon"': (
        "Error: Org 'moon' does not exist; available: 'acme', 'umbrella'. The cluster is "
        "'default'.",
        [["default", "stored"], ["moon", "local"], None],
    ),
    'job.org-name = "moon"\njob.project-name = "sea"': (
        "Error: Org 'moon' does not exist; available: 'acme', 'umbrella'. The cluster is "
        "'default'.",
        [["default", "stored"], ["moon", "local"], ["sea", "local"]],
    ),
    'job.project-name = "sea"': (
        "Error: Project 'sea' does not exist; available: 'main', 'side'. The cluster is "
        "'default', the org 'acme'.",
        [["default", "stored"], ["acme", "stored"], ["sea", "local"]],
    ),
}


@pytest.mark.parametrize("text", WRONG_NAMES)
def test_status_of_names_that_do_not_exist(login: Login, text: str) -> None:
    """status ends with the name of the local file that does not exist, and says where."""
    login()
    path = local_file(text)
    error, names = WRONG_NAMES[text]
    result = run("status", "--json")
    assert 5 == result.code
    assert f"{error} It is named in {path}: mend that line.\n" == result.err
    told = [result.data[kind] for kind in STORED]
    assert names == [one and [one["name"], one["source"]] for one in told]


def test_status_of_a_stored_name_that_is_gone(login: Login, platform: Platform) -> None:
    """A stored org that is gone is not blamed on the local file."""
    login()
    platform.account.clusters = (ClusterSpec(name="default", orgs=("umbrella",)),)
    assert 5 == run("fetch").code
    path = local_file('job.project-name = "main"')
    result = run("status")
    assert 5 == result.code
    assert "Error: Org 'acme' does not exist; available: 'umbrella'." in result.err
    assert str(path) not in result.err


def test_status_with_a_wrong_local_file(login: Login) -> None:
    """status shows what can be told, then ends with what is wrong."""
    login()
    local_file('job.cluster-name = "moon"')
    result = run("status")
    assert 5 == result.code
    assert "Error: Cluster 'moon' does not exist" in result.err
    lines = [line.split() for line in result.out.splitlines()]
    assert ["Cluster", "moon", "from", "~/.neuro.toml"] == lines[2]
    assert ["Org", "?", "from", "~/.neuro.toml"] == lines[3]


def test_status_with_a_lost_catalog(login: Login, folder: Path) -> None:
    """Where the choice cannot be told for another reason, no file is named."""
    login()
    local_file('job.org-name = "acme"')
    (catalog,) = folder.glob("catalog-*")
    catalog.unlink()
    result = run("status", "--json")
    assert 8 == result.code
    assert {"name": "default", "source": "stored"} == result.data["cluster"]
    assert result.data["org"] is None


def test_status_without_clusters(login: Login, platform: Platform) -> None:
    """status of a user who has no cluster says so and is no failure."""
    platform.account.clusters = ()
    login()
    assert ["Cluster", "no", "cluster", "stored"] == rows()[2]


def test_status_of_an_expired_token(login: Login, folder: Path) -> None:
    """status says how long ago the token has expired, and changes nothing."""
    login(clock=Clock(time.time() - 3 * 86400 - 3700))
    token = rows()[5]
    assert "Token expired 3 days ago refreshed by itself" == " ".join(token)
    assert "TokenExpired" == json.loads(ok("status", "--json"))["state"]


def test_status_of_a_token_alone(login: Login, folder: Path) -> None:
    """status says that a login without a refresh token has to be repeated."""
    login()
    change_token(folder, refresh_token=None)
    assert "Token valid for 59 minutes then log in again" == " ".join(rows()[5])
    change_token(folder, expires_at=time.time() - 100)
    said = " ".join(rows()[5][-7:])
    assert re.fullmatch(r"minute 4\d seconds ago log in again", said)


def test_status_after_the_session_has_ended(login: Login, platform: Platform) -> None:
    """status says that the session is over, and why."""
    platform.tokens.expires_in = 0.1
    store = login()
    platform.revoke_all()
    time.sleep(0.15)
    assert 4 == run("token").code
    token, refresh = rows()[5:7]
    assert "log in again" == " ".join(token[-3:])
    assert ["Refresh", "failed:"] == refresh[:2]
    status = json.loads(ok("status", "--json"))
    assert not status["token"]["is_refreshable"]
    assert store.username == status["username"]


def test_status_of_a_token_without_end(login: Login, folder: Path) -> None:
    """A token whose end is not known is valid until it is refused."""
    login()
    change_token(folder, expires_at=None)
    expected = "Token valid until it is refused refreshed by itself"
    assert expected == " ".join(rows()[5])


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.4, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (90, "1 minute 30 seconds"),
        (179, "2 minutes 59 seconds"),
        (181, "3 minutes"),
        (3660, "1 hour 1 minute"),
        (7200, "2 hours"),
        (90000, "1 day 1 hour"),
        (1e6, "11 days"),
    ],
)
def test_durations(seconds: float, expected: str) -> None:
    """A time is said in its largest unit, with the next one if one would be rough."""
    assert expected == _duration(seconds)
