"""Fixtures of the tests with etcd, whose client needs Python 3.10."""

from __future__ import annotations

import itertools
import sys
from typing import Iterator

import pytest

collect_ignore_glob = ["test_*.py"] if sys.version_info < (3, 10) else []

if sys.version_info >= (3, 10):
    from etcd_cluster import Cluster, running
    from etcd_relay import Relay

    from neuro_config import EtcdStorage

    _prefixes = itertools.count()

    @pytest.fixture(scope="session")
    def cluster() -> Iterator[Cluster]:
        """A cluster of one member, which stays up."""
        with running(1) as cluster:
            yield cluster

    @pytest.fixture
    def url(cluster: Cluster) -> str:
        """The URL of a storage of this test's own."""
        return cluster.url(f"test-{next(_prefixes)}")

    @pytest.fixture
    def storage(url: str) -> EtcdStorage:
        return EtcdStorage(url)

    @pytest.fixture
    def relay(cluster: Cluster) -> Iterator[Relay]:
        """What stands between a storage and the member, and loses things."""
        with Relay(cluster.members[0].client) as relay:
            yield relay

    @pytest.fixture
    def far(relay: Relay, url: str) -> EtcdStorage:
        """The storage, behind the relay."""
        return EtcdStorage(relay.place(url))
