"""The command line and the store with the URL of an etcd in the place of a directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cli import ok, run, spawn
from common import Login
from etcd_cluster import Cluster, running
from etcd_relay import Relay
from samples import WAIT

from neuro_config import (
    ConfigStore,
    EtcdStorage,
    StorageURLError,
    _doctor,
    _etcd_doctor,
)
from neuro_config._doctor import Finding, Level, Patient
from neuro_config._etcd_client import PASSWORD
from neuro_config._etcd_doctor import check_members, check_space
from neuro_config._etcd_health import USUAL_QUOTA, Health, Member, in_words
from neuro_config._files import open_storage
from neuro_config.testing import Platform


def test_a_url_is_a_place(
    platform: Platform, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL stands wherever a directory does; the user's own files are in the home."""
    monkeypatch.setenv("NEUROMATION_CONFIG", url)
    home = Path(os.environ["HOME"]) / ".neuro"
    home.mkdir(mode=0o700)
    (home / "user.toml").write_text('[job]\nps-format = "x"\n')
    store = ConfigStore()
    platform.log_in(store)
    assert url == store.location
    assert store.token() == ConfigStore(url).token()
    assert {"ps-format": "x"} == store.get_user_config()["job"]
    assert ["user.toml"] == os.listdir(home)
    assert "alice" in ok("status")
    assert "job.ps-format" in ok("user-config")


def test_two_hosts(platform: Platform, url: str, tmp_path: Path) -> None:
    """Two hosts with a URL and nothing else share one login, its refresh and its choice."""
    platform.log_in(ConfigStore(url))
    homes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        homes.append({"HOME": str(tmp_path / name), "NEUROMATION_CONFIG": url})
    one, two = homes
    assert 0 == spawn("switch-cluster", "farm", env=one).code
    assert "farm" in spawn("status", env=two).out
    assert spawn("token", env=one).out == spawn("token", env=two).out
    assert 0 == spawn("logout", env=two).code
    assert 3 == spawn("token", env=one).code
    assert [] == os.listdir(tmp_path / "one")


def test_there_and_back(
    platform: Platform, login: Login, folder: Path, url: str
) -> None:
    """A login moves from a directory into etcd and back, and works at each place."""
    before = login().token()
    assert (
        f"The login of alice is in {url} now.\n"
        == run("storage", "copy", folder, url).out
    )
    store = ConfigStore(url)
    assert before == store.token()
    store.refresh_token()
    store.switch_cluster("farm")
    assert 0 == run("storage", "copy", url, folder).code
    assert 3 == run("--path", url, "token").code
    back = ConfigStore(folder)
    assert (store.token(), "farm") == (back.token(), back.cluster_name)
    back.refresh_token()
    assert 2 == platform.count("token", grant_type="refresh_token")
    assert 0 == platform.count(reuse_detected=True)


def test_status(platform: Platform, url: str) -> None:
    """status tells of the members and of who refreshes."""
    platform.log_in(ConfigStore(url))
    held = EtcdStorage(url).sole_refresher(WAIT)
    data = run("--path", url, "status", "--json").data
    held.release()
    assert url == data["storage"]
    details = data["storage_details"]
    assert details["Members"].startswith("1 of 1 answer, 127.0.0.1")
    assert f"process {os.getpid()}" in details["Refresher"]
    assert "quota" in details["Space"]
    assert "Members" in ok("--path", url, "status")


def test_doctor(platform: Platform, url: str) -> None:
    """doctor looks at the cluster, the login and its catalog."""
    platform.log_in(ConfigStore(url))
    held = EtcdStorage(url).sole_refresher(WAIT)
    result = run("--path", url, "doctor", "--json")
    held.release()
    assert 0 == result.code
    rows = [
        (one["check"], one["level"], one["what"]) for one in result.data["findings"]
    ]
    assert {"ok"} == {level for _, level, _ in rows}
    assert [
        "members", "space", "refresher", "login", "catalog", "clock", "settings",
        "plugins",
    ] == [check for check, _, _ in rows]  # fmt: skip
    assert any("has the right to refresh" in what for _, _, what in rows)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for what does not answer anyway."""
    monkeypatch.setattr(_etcd_doctor, "PATIENCE", 1.0)
    monkeypatch.setattr(_doctor, "READ_PATIENCE", 0.5)


@pytest.mark.usefixtures("_impatient")
def test_doctor_at_a_cluster_in_trouble() -> None:
    """doctor says which members are away, and that nothing can be read."""
    with running(3) as cluster:
        for member in cluster.members[:2]:
            member.kill()
        storage = EtcdStorage(cluster.url())
        health = storage.health(2.0)
        findings = list(check_members(health, storage.location))
        assert [Level.ERROR, Level.WARNING, Level.WARNING, Level.OK] == [
            one.level for one in findings
        ]
        assert "Trouble" in in_words(health)
        for member in cluster.members:
            member.kill()
        health = storage.health(0.5)
        assert 3 == len([one for one in health.members if one.trouble])
        assert [] == list(check_space(health, "here"))
        result = run("--path", cluster.url(), "--json", "doctor")
        assert 12 == result.code


def health(**changes: Any) -> Health:
    whole = Health((Member("h:1", version="3.5", leads=True),), 1, (), None, "")
    return whole._replace(**changes)


@pytest.mark.parametrize(
    ("found", "level", "words"),
    [
        (health(alarms=("NOSPACE",)), Level.ERROR, "NOSPACE"),
        (health(alarms=None), Level.OK, "may not ask"),
        (
            health(members=(Member("h:1", size=USUAL_QUOTA),)),
            Level.WARNING,
            "2048.0 MiB",
        ),
        (
            health(members=(Member("h:1", size=90, quota=100),)),
            Level.WARNING,
            "quota of",
        ),
        (health(members=(Member("h:1", size=9, quota=100),)), Level.OK, "quota of"),
    ],
)
def test_space(found: Health, level: Level, words: str) -> None:
    """An alarm is an error, a full quota a warning, and a silent one is no trouble."""
    finding: Finding = next(iter(check_space(found, "here")))
    assert (level, True) == (finding.level, words in finding.what)


def test_status_of_members_that_say_nothing() -> None:
    """Where no member says how it is, its space is left out."""
    words = in_words(health(members=(Member("h:1", "denied"),)))
    assert {"Members": "0 of 1 answer", "Refresher": "nobody"} == words


def test_members_that_the_url_does_not_name() -> None:
    """Members that the URL does not name are told."""
    findings = list(check_members(health(size=3), "here"))
    assert "names 1 of them" in findings[-1].what
    assert Level.OK is list(check_members(health(size=None), "here"))[-1].level


@pytest.mark.usefixtures("_impatient")
def test_what_is_no_etcd(platform: Platform) -> None:
    """What answers like something else is told as such."""
    place = str(platform.url).replace("/api/v1", "/p")
    result = run("--path", f"etcd+{place}", "doctor")
    assert 12 == result.code


def test_answers_of_something_else(cluster: Cluster, url: str) -> None:
    """Answers that are none of etcd's are told as such."""
    with Relay(cluster.members[0].client) as relay:
        far = EtcdStorage(relay.place(url))
        relay.answer("maintenance/status", 200, {"header": {}})
        relay.answer("cluster/member/list", 200, {"members": 7})
        found = far.health(WAIT)
        assert "no etcd" in found.members[0].trouble
        assert None is found.size
        relay.answer("maintenance/status", 403, {"code": 7, "message": "denied"})
        assert "denied" in far.health(WAIT).members[0].trouble


def test_docker(platform: Platform, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """docker's note names the URL that its helper has to know."""
    platform.log_in(ConfigStore(url))
    full = url.replace("://", "://fleet@")
    monkeypatch.setenv(PASSWORD, "unused")
    result = run("--path", full, "docker", "install")
    assert f"NEUROMATION_CONFIG={full}," in result.err
    monkeypatch.setenv("NEUROMATION_CONFIG", url)
    assert "NEUROMATION_CONFIG" not in run("docker", "install").err


@pytest.mark.parametrize("place", ["etcd+https:/h/p", "redis://h/p", "etcd+x://h/p"])
def test_what_is_no_place(place: str) -> None:
    """Something like a URL that names no storage is an error, not a directory."""
    with pytest.raises(StorageURLError):
        open_storage(place)
    result = run("--path", place, "status")
    assert 1 == result.code
    assert "no place that is known" in result.err


def test_a_patient_elsewhere(storage: EtcdStorage, tmp_path: Path) -> None:
    """A finding of a login in etcd names the key's place."""
    directory = open_storage(tmp_path).directory
    patient = Patient(directory, "https://h", storage=storage)
    assert f"{storage.location}/session" == patient.file("session.toml")
