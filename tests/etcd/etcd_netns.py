"""Hosts that are network namespaces on one bridge, and whose links can be cut."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading
from typing import Dict, Iterator, List, Sequence

import pytest

CLONE_NEWNET = 0x40000000
NETWORK = "10.77.0"


def require_namespaces() -> None:
    """Skip the test where none can be made; where ``CI`` is ``true``, fail."""
    name = f"nc{os.getpid()}-try"
    works = shutil.which("ip") is not None and _try(name)
    if not works:
        reason = "network namespaces with veth cannot be made here (ip netns)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def _try(name: str) -> bool:
    commands = [
        ["ip", "netns", "add", name],
        ["ip", "-n", name, "link", "add", "br0", "type", "bridge"],
        [
            "ip",
            "-n",
            name,
            "link",
            "add",
            "veth0",
            "type",
            "veth",
            "peer",
            "name",
            "veth1",
        ],
    ]
    good = all(
        subprocess.run(one, capture_output=True).returncode == 0 for one in commands
    )
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return good


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Net:
    """Namespaces, each with an address, and a bridge in one more."""

    def __init__(self, names: Sequence[str]) -> None:
        self._prefix = f"nc{os.getpid()}-"
        self._hub = f"{self._prefix}hub"
        self.addresses: Dict[str, str] = {}
        self._forwards: List[socket.socket] = []
        ip("netns", "add", self._hub)
        ip("-n", self._hub, "link", "add", "br0", "type", "bridge")
        ip("-n", self._hub, "link", "set", "br0", "up")
        for number, name in enumerate(names, 1):
            self._add(name, f"{NETWORK}.{number}")

    def _add(self, name: str, address: str) -> None:
        space = self._prefix + name
        self.addresses[name] = address
        ip("netns", "add", space)
        ip("-n", space, "link", "set", "lo", "up")
        peer = ["peer", "name", "eth0", "netns", space]
        ip("-n", self._hub, "link", "add", name, "type", "veth", *peer)
        ip("-n", self._hub, "link", "set", name, "master", "br0", "up")
        ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")

    def wrapper(self, name: str) -> List[str]:
        """What runs a command on that host."""
        return ["ip", "netns", "exec", self._prefix + name]

    def cut(self, name: str) -> None:
        """Cut a host's link."""
        ip("-n", self._hub, "link", "set", name, "down")

    def join(self, name: str) -> None:
        """Mend it."""
        ip("-n", self._hub, "link", "set", name, "up")

    def forward(self, name: str, port: int) -> None:
        """Let a port of loopback on that host lead to the same port here."""
        made: List[socket.socket] = []

        def listen() -> None:  # in a thread: it stays in that namespace
            with open(f"/run/netns/{self._prefix}{name}") as space:
                libc = ctypes.CDLL(None, use_errno=True)
                assert 0 == libc.setns(space.fileno(), CLONE_NEWNET)
            made.append(socket.create_server(("127.0.0.1", port)))

        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
        self._forwards += made
        threading.Thread(target=_accept, args=(made[0], port), daemon=True).start()

    def close(self) -> None:
        for listener in self._forwards:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for name in [*self.addresses, "hub"]:
            subprocess.run(
                ["ip", "netns", "del", self._prefix + name], capture_output=True
            )


def _accept(listener: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, port)).start()


def _serve(connection: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        stack.enter_context(connection)
        other = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        back = threading.Thread(target=_pump, args=(other, connection))
        back.start()
        _pump(connection, other)
        back.join()


def _pump(begin: socket.socket, end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            data = begin.recv(1 << 16)
            if not data:
                break
            end.sendall(data)
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def network(*names: str) -> Iterator[Net]:
    """Make the namespaces, and remove them afterwards."""
    require_namespaces()
    net = Net(names)
    try:
        yield net
    finally:
        net.close()
