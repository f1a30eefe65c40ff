"""Attacks on a fleet of hosts that are network namespaces, by cutting their links."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Iterator, List, NamedTuple

import pytest
import trustme
from common import CLUSTERS, PROJECTS, wait_for_the_request
from etcd_cluster import TLS, Cluster, require_etcd
from etcd_netns import Net, network
from fleet import Host, ask_all
from proof import Effort, Tally

from neuro_config import ConfigStore
from neuro_config.testing import Platform

MEMBERS = ["m1", "m2", "m3"]
HOSTS = ["h1", "h2", "h3"]
LEASE = 5  # seconds


class World(NamedTuple):
    """All that there is."""

    net: Net
    platform: Platform
    hosts: List[Host]

    def leader(self) -> str:
        """The name of the host whose member leads."""
        while True:
            endpoint = self.hosts[0].ask("leader")
            for name, address in self.net.addresses.items():
                if endpoint is not None and endpoint.startswith(f"{address}:"):
                    return name

    def refreshes(self) -> int:
        return self.platform.count("token", grant_type="refresh_token")


def certificates(folder: Path, addresses: List[str]) -> TLS:
    ca = trustme.CA()
    made = ca.issue_cert(*addresses)
    paths = [str(folder / name) for name in ("server.pem", "key.pem", "ca.pem")]
    made.cert_chain_pems[0].write_to_path(paths[0])
    made.private_key_pem.write_to_path(paths[1])
    ca.cert_pem.write_to_path(paths[2])
    return TLS((paths[0], paths[1]), paths[2])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Three hosts with a member each, and three whose processes share a login."""
    require_etcd()
    with network(*MEMBERS, *HOSTS) as net, Platform(
        clusters=CLUSTERS, projects=PROJECTS
    ) as platform, tempfile.TemporaryDirectory(prefix="etcd-") as folder:
        tls = certificates(tmp_path, [net.addresses[name] for name in MEMBERS])
        places = [(net.addresses[name], net.wrapper(name)) for name in MEMBERS]
        cluster = Cluster(Path(folder), 3, "--unsafe-no-fsync", tls=tls, hosts=places)
        port = platform.url.port
        assert port is not None
        for name in HOSTS:
            net.forward(name, port)
        login = tmp_path / "login"
        platform.log_in(ConfigStore(login))
        url = f"{cluster.url()}?ca={tls.ca}"
        hosts = [Host(url, lease=LEASE, wrapper=net.wrapper(name)) for name in HOSTS]
        try:
            for host in hosts:
                host.wait()
            move_in(login, hosts[0])
            ask_all(hosts, "reload")
            yield World(net, platform, hosts)
        finally:
            for host in hosts:
                host.kill()
            cluster.close()


def move_in(login: Path, host: Host) -> None:
    """Put the login of a directory into the cluster, which only the hosts can reach."""
    assert host.ask(f"take {login}") is True


@pytest.mark.attack("1", "4", "5", "7", "8")
def test_links_are_cut(world: World, tally: Tally, effort: Effort) -> None:
    """The links of a leader, a follower and a host are cut while three hosts refresh and write."""
    net, platform, hosts = world
    acked = unknown = 0
    for number in range(effort(3, least=2)):
        leader = world.leader()
        follower = next(name for name in MEMBERS if name != leader)
        victim = [leader, HOSTS[2], follower][number % 3]
        assert hosts[0].ask("expire") is True
        ask_all(hosts, "reload")
        before = world.refreshes()
        platform.faults.token.delay(0.3)
        for host in hosts:
            host.tell("token")
        net.cut(victim)
        # Two hosts go on without the third; who is cut off goes on when it is not any more.
        answers = [host.hear() for host in hosts[:2]]
        for host in hosts[:2]:
            host.tell("count 10")
        counts = [host.hear() for host in hosts[:2]]
        net.join(victim)
        answers.append(hosts[2].hear())
        counts.append(hosts[2].ask("count 10"))
        assert [None] * 3 == [error for _, error, _ in answers]
        assert 1 == len({token for token, _, _ in answers})
        assert before + 1 == world.refreshes()
        acked += sum(one["acked"] for one in counts)
        unknown += sum(one["unknown"] for one in counts)
        assert acked <= hosts[0].ask("counted") <= acked + unknown
        tally(33)
    assert 0 == platform.count(reuse_detected=True)


@pytest.mark.attack("5", "7", "8", "mark")
def test_a_holder_is_cut_off(world: World, tally: Tally) -> None:
    """A holder is cut off past its lease with the answer in its hands, and saves it afterwards."""
    net, platform, (first, second, third) = world
    valid = second.ask("token")[0]
    platform.faults.token.delay(answer=0.5)
    first.tell("refresh_token")
    wait_for_the_request(platform)
    net.cut(HOSTS[0])
    time.sleep(LEASE + 2)
    for host in (second, third):
        assert [valid, None] == host.ask("token")[:2]
        assert host.ask("refresh_token")[1] in (
            "RefreshPendingError",
            "LockTimeoutError",
        )
    net.join(HOSTS[0])
    assert [None, None] == first.hear()[:2]
    new = first.ask("token")[0]
    ask_all([second, third], "reload")
    assert [[new, None]] * 2 == [one[:2] for one in ask_all([second, third], "token")]
    assert valid != new
    assert 1 == world.refreshes()
    assert 0 == platform.count(reuse_detected=True)
    tally(3)
