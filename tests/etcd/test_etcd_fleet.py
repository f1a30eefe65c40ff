"""Attacks on a fleet of processes and the members of its cluster."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from typing import Callable, Dict, Iterator, List

import pytest
from common import CLUSTERS, PROJECTS, wait_for_the_request
from etcd_cluster import Cluster, Member, running
from fleet import Host, ask_all, expire, fleet, meanwhile
from fleet_host import FREEZERS, counted
from proof import Effort, Tally

from neuro_config import ConfigStore, EtcdStorage
from neuro_config.testing import Platform

HOSTS = 8
HOUR = 3600.0
LEASE = 5  # seconds, where a test waits for its end


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform(clusters=CLUSTERS, projects=PROJECTS) as platform:
        yield platform


@pytest.fixture(scope="module")
def trio() -> Iterator[Cluster]:
    """Three members."""
    with running(3) as cluster:
        yield cluster


@pytest.fixture
def place(trio: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A storage in a cluster whose members are all up, before and after."""
    yield trio.url(request.node.name.replace("[", "-").replace("]", ""))
    for member in trio.members:
        if not member.is_up:
            member.start()
        member.thaw()
    trio.wait()


def log_in(platform: Platform, url: str) -> EtcdStorage:
    storage = EtcdStorage(url)
    platform.log_in(ConfigStore(storage=storage))
    return storage


def refreshes(platform: Platform) -> int:
    return platform.count("token", grant_type="refresh_token")


# ------------------------------------------------------------- members that fail


def nothing(cluster: Cluster) -> None:
    pass


def kill_leader(cluster: Cluster) -> None:
    cluster.leader().kill()


def kill_follower(cluster: Cluster) -> None:
    follower_of(cluster).kill()


def freeze_leader(cluster: Cluster) -> None:
    cluster.leader().freeze()


def freeze_follower(cluster: Cluster) -> None:
    follower_of(cluster).freeze()


def follower_of(cluster: Cluster) -> Member:
    leader = cluster.leader()
    return next(one for one in cluster.members if one is not leader)


ACCIDENTS: List[Callable[[Cluster], None]] = [
    kill_leader,
    freeze_leader,
    kill_follower,
    freeze_follower,
    nothing,
]


def heal(cluster: Cluster) -> None:
    for member in cluster.members:
        if not member.is_up:
            member.start()
        member.signal(signal.SIGCONT)
    cluster.wait()


@pytest.mark.attack("1", "4", "5", "7", "8")
def test_members_fail(
    platform: Platform,
    trio: Cluster,
    place: str,
    tally: Tally,
    effort: Effort,
    record_property: Callable[[str, object], None],
) -> None:
    """Members of three die and freeze, the leader first, while 8 processes refresh and switch."""
    storage = log_in(platform, place)
    acked = unknown = 0
    longest: Dict[str, float] = {}
    with fleet(place, [0.0] * HOSTS) as hosts:
        for number in range(effort(5, least=2)):
            accident = ACCIDENTS[number % len(ACCIDENTS)]
            expire(storage)
            ask_all(hosts, "reload")
            before = refreshes(platform)
            platform.faults.token.delay(random.uniform(0, 0.3))

            def strike() -> None:
                time.sleep(random.uniform(0, 0.3))
                accident(trio)  # noqa: B023

            with meanwhile(strike):
                tokens = ask_all(hosts, "token")
                counts = ask_all(hosts, "count 10")
                switches = ask_all(hosts, f"switch_cluster:{CLUSTERS[number % 3].name}")
            assert [None] * HOSTS == [error for _, error, _ in tokens]
            assert 1 == len({token for token, _, _ in tokens})
            assert before + 1 == refreshes(platform)
            assert [None] * HOSTS == [error for _, error, _ in switches]
            acked += sum(one["acked"] for one in counts)
            unknown += sum(one["unknown"] for one in counts)
            assert acked <= counted(storage) <= acked + unknown
            slowest = max(
                *(one["longest"] for one in counts),
                *(seconds for _, _, seconds in tokens + switches),
            )
            longest[accident.__name__] = max(
                slowest, longest.get(accident.__name__, 0.0)
            )
            heal(trio)
            tally(HOSTS * 12)
    assert 0 == platform.count(reuse_detected=True)
    session = storage.read()
    assert session is not None
    assert CLUSTERS[number % 3].name == session.choice.cluster_name
    for name, seconds in longest.items():
        record_property(name, seconds)
        print(f"{name}: the longest call took {seconds:.1f} s")


@pytest.mark.attack("1", "2", "4")
def test_all_members_die(
    platform: Platform,
    tally: Tally,
    effort: Effort,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """All members are killed in the middle of changes, and started again with what is on disk."""
    with running(3) as cluster:
        storage = log_in(platform, cluster.url())
        acked = unknown = 0
        with fleet(cluster.url(), [0.0] * 4) as hosts:
            for _ in range(effort(2)):
                for host in hosts:
                    host.tell("count 25")
                time.sleep(random.uniform(0.05, 0.5))
                for member in cluster.members:
                    member.kill()
                for member in cluster.members:
                    member.start()
                counts = [host.hear() for host in hosts]
                acked += sum(one["acked"] for one in counts)
                unknown += sum(one["unknown"] for one in counts)
                assert acked <= counted(storage) <= acked + unknown
                tally(100)


# -------------------------------------------------------------- holders that fail


@pytest.mark.attack("5", "7", "8", "mark")
def test_a_dead_holder(platform: Platform, place: str, tally: Tally) -> None:
    """A holder is killed while it refreshes: the next sends once more, after its lease."""
    storage = log_in(platform, place)
    # What the first one sent is refused late, so the token is not spent.
    platform.faults.token.delay(2.0)
    platform.faults.token.answer(503, {}, count=1)
    with fleet(place, [0.0] * 3, lease=LEASE) as hosts:
        first, *others = hosts
        expire(storage)
        ask_all(hosts, "reload")
        first.tell("token")
        wait_for_the_request(platform)
        first.kill()
        platform.faults.token.delay(0.0)
        answers = ask_all(others, "token")
    assert [None, None] == [error for _, error, _ in answers]
    assert 1 == len({token for token, _, _ in answers})
    assert 2 == refreshes(platform)
    assert 0 == platform.count(reuse_detected=True)
    assert max(seconds for _, _, seconds in answers) < 3 * LEASE
    tally(3)


@pytest.mark.attack("5", "6", "7", "8", "mark")
def test_a_frozen_holder(platform: Platform, place: str, tally: Tally) -> None:
    """A holder is frozen past its lease with the answer on its way: it saves it when it wakes."""
    log_in(platform, place)
    platform.faults.token.delay(answer=1.0)
    with fleet(place, [0.0] * 3, lease=LEASE) as hosts:
        first, *others = hosts
        valid = others[0].ask("token")[0]
        first.tell("refresh_token")
        wait_for_the_request(platform)
        first.process.send_signal(signal.SIGSTOP)
        time.sleep(LEASE + 2)
        # The mark keeps them from sending, and the valid token is served.
        for host in others:
            assert [None, "RefreshPendingError"] == host.ask("refresh_token")[:2]
            assert [valid, None] == host.ask("token")[:2]
        first.process.send_signal(signal.SIGCONT)
        assert [None, None] == first.hear()[:2]
        new = first.ask("token")[0]
        ask_all(others, "reload")
        answers = ask_all(others, "token")
    assert valid != new
    assert [new, new] == [token for token, _, _ in answers]
    assert 1 == refreshes(platform)
    assert 0 == platform.count(reuse_detected=True)
    tally(3)


@pytest.mark.attack("5", "7", "8", "mark")
def test_a_holder_frozen_before_it_sends(
    platform: Platform, place: str, tally: Tally
) -> None:
    """A holder is frozen past its lease right before the mark or the request: one sends, not two."""
    places = {where: f"{place}-{where}" for where in FREEZERS}
    with contextlib.ExitStack() as stack:
        fleets = {}
        for where, url in places.items():
            expire(log_in(platform, url))
            fleets[where] = stack.enter_context(fleet(url, [0.0] * 2, lease=LEASE))
        for where, (first, _) in fleets.items():
            assert first.ask(f"freeze {where}") is True
            first.tell("token")
        for first, _ in fleets.values():
            first.wait_until_stopped()
        assert 0 == refreshes(platform)
        answers = ask_all([second for _, second in fleets.values()], "token")
        assert len(places) == refreshes(platform)
        for (first, _), (token, error, seconds) in zip(fleets.values(), answers):
            first.process.send_signal(signal.SIGCONT)
            assert None is error
            assert seconds < 3 * LEASE + 10
            assert [token, None] == first.hear()[:2]
            tally()
    assert len(places) == refreshes(platform)
    assert 0 == platform.count(reuse_detected=True)


# ------------------------------------------------------------------------- clocks


@pytest.mark.attack("5", "9")
def test_wrong_clocks(
    platform: Platform, place: str, tally: Tally, effort: Effort
) -> None:
    """Hosts whose clocks are wrong by up to a day refresh once per expiry, all together."""
    storage = log_in(platform, place)
    offsets = [-24 * HOUR, -HOUR, 0.0, HOUR, 24 * HOUR]
    with fleet(place, offsets) as hosts:
        tokens = ask_all(hosts, "token")
        assert 1 == len({token for token, _, _ in tokens})
        assert 0 == refreshes(platform)
        for number in range(effort(8, least=2)):
            expire(storage)
            random.shuffle(hosts)
            ask_all(hosts, "reload")
            for _ in range(3):
                tokens = ask_all(hosts, "token")
                assert [None] * 5 == [error for _, error, _ in tokens]
                assert 1 == len({token for token, _, _ in tokens})
            assert number + 1 == refreshes(platform)
            tally(15)
    session = storage.read()
    assert session is not None
    assert abs(session.token.obtained_at - time.time()) < 60


# ------------------------------------------------------------------ etcd is away


@pytest.mark.attack("8", "9")
def test_away(platform: Platform, tally: Tally) -> None:
    """While etcd is away a valid token is served, an expired one is an error that says so."""
    with running(1) as cluster:
        storage = log_in(platform, cluster.url())
        with fleet(cluster.url(), [0.0], timeout=3.0) as (old,):
            token = old.ask("token")[0]
            cluster.members[0].kill()
            assert [token, None] == old.ask("token")[:2]
            _, error, seconds = old.ask("refresh_token")
            assert "StorageUnavailableError" == error
            assert seconds < 10
            young = Host(cluster.url(), timeout=1.0)
            try:
                young.wait()
                assert "StorageUnavailableError" == young.ask("token")[1]
                cluster.members[0].start()
                cluster.wait()
                assert [token, None] == young.ask("token")[:2]
            finally:
                young.kill()
            assert [token, None] == old.ask("token")[:2]
            expire(storage)
            old.ask("reload")
            assert None is old.ask("token")[1]
    assert 1 == refreshes(platform)
    tally(7)
