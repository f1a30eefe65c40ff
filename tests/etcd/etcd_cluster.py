"""Real clusters of etcd on loopback, whose members can be killed, frozen and cut off."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import pytest
import requests

READY = 60.0  # seconds that a cluster may take to begin, on a busy machine


def require_etcd() -> None:
    """Skip the test without ``etcd``; where ``CI`` is ``true``, fail."""
    if shutil.which("etcd") is None:
        reason = "the program etcd is missing (Debian: etcd-server)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def free_ports(count: int) -> List[int]:
    """Ports of loopback that nobody uses at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class TLS(NamedTuple):
    """Files of certificates: the server's, the authority's, a client's and its key."""

    server: Tuple[str, str]
    ca: str
    client: Optional[Tuple[str, str]] = None

    def options(self) -> List[str]:
        certificate, key = self.server
        options = ["--cert-file", certificate, "--key-file", key]
        if self.client is not None:
            options += ["--client-cert-auth", "--trusted-ca-file", self.ca]
        return options


class Member:
    """One server of a cluster, and its folder.

    Args:
        name: Of the member.
        command: That starts it.
        client: Its URL for clients.
    """

    def __init__(
        self, name: str, command: List[str], client: str, log: Path, tls: Optional[TLS]
    ) -> None:
        self.name = name
        self._tls = tls
        self.client = client
        self._command = command
        self._log = log
        self._process: Optional[subprocess.Popen[bytes]] = None
        self.headers: Dict[str, str] = {}

    def start(self) -> None:
        """Start it, or start it again with what it has on its disk."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def is_up(self) -> bool:
        return self._process is not None

    def post(self, path: str, **fields: Any) -> Dict[str, Any]:
        """Ask it by HTTP, as an administrator."""
        with requests.Session() as http:
            http.trust_env = False
            if self._tls is not None:
                http.verify = self._tls.ca
                http.cert = self._tls.client
            http.headers.update(self.headers)
            answer = http.post(f"{self.client}/v3/{path}", json=fields, timeout=5)
            answer.raise_for_status()
            found: Dict[str, Any] = answer.json()
            return found


class Cluster:
    """Some members, which run.

    Args:
        folder: Of their data.
        count: How many.
        options: More of etcd's.
        tls: For https.
        hosts: The members' addresses, with what runs a command there.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        *options: str,
        tls: Optional[TLS] = None,
        hosts: Sequence[Tuple[str, List[str]]] = (),
    ) -> None:
        scheme = "http" if tls is None else "https"
        hosts = hosts or [("127.0.0.1", [])] * count
        ports = free_ports(2 * count)
        clients = [f"{scheme}://{host}:{port}" for (host, _), port in zip(hosts, ports)]
        peers = [
            f"http://{host}:{port}" for (host, _), port in zip(hosts, ports[count:])
        ]
        everybody = ",".join(f"n{n}={peer}" for n, peer in enumerate(peers))
        self.members: List[Member] = []
        for n, (client, peer) in enumerate(zip(clients, peers)):
            data = folder / f"n{n}"
            data.mkdir(mode=0o700)
            arguments = {
                "name": f"n{n}",
                "data-dir": str(data),
                "listen-client-urls": client,
                "advertise-client-urls": client,
                "listen-peer-urls": peer,
                "initial-advertise-peer-urls": peer,
                "initial-cluster": everybody,
                "log-level": "error",
            }
            command = (
                [*hosts[n][1], "etcd"]
                if tls is None
                else [
                    *hosts[n][1],
                    "etcd",
                    *tls.options(),
                ]
            )
            for name, value in arguments.items():
                command += [f"--{name}", value]
            self.members.append(
                Member(f"n{n}", [*command, *options], client, folder / f"n{n}.log", tls)
            )
        for member in self.members:
            member.start()

    def url(self, prefix: str = "neuro") -> str:
        """The URL of a storage in this cluster."""
        hosts = ",".join(one.client.partition("://")[2] for one in self.members)
        scheme = self.members[0].client.partition("://")[0]
        return f"etcd+{scheme}://{hosts}/{prefix}"

    def wait(self) -> None:
        """Wait until every member that is up can be written through."""
        end = time.monotonic() + READY
        for member in self.members:
            while member.is_up:
                with contextlib.suppress(requests.RequestException):
                    member.post("kv/put", key="cmVhZHk=", value="")
                    break
                assert time.monotonic() < end, f"{member.name} does not begin"
                time.sleep(0.05)

    def leader(self) -> Member:
        """The member that leads."""
        end = time.monotonic() + READY
        while time.monotonic() < end:
            for member in self.members:
                if member.is_up:
                    with contextlib.suppress(requests.RequestException):
                        said = member.post("maintenance/status")
                        if said.get("leader") == said["header"]["member_id"]:
                            return member
            time.sleep(0.05)
        raise AssertionError("nobody leads")

    def close(self) -> None:
        for member in self.members:
            member.kill()


@contextlib.contextmanager
def running(
    count: int = 1, *options: str, tls: Optional[TLS] = None
) -> Iterator[Cluster]:
    """Run a cluster whose disks are not forced: members die, the machine does not."""
    require_etcd()
    with tempfile.TemporaryDirectory(prefix="etcd-") as folder:
        cluster = Cluster(Path(folder), count, "--unsafe-no-fsync", *options, tls=tls)
        try:
            cluster.wait()
            yield cluster
        finally:
            cluster.close()
