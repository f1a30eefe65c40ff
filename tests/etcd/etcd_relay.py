"""What stands between a storage and a real member of etcd, and loses what a test says."""

from __future__ import annotations

import socket
from typing import Any, Callable, List, Optional, Tuple

import requests
from wire import Wire

Act = Callable[[], object]


class Relay(Wire):
    """Pass requests on, except as planned.

    Args:
        member: The URL of the member.
    """

    def __init__(self, member: str) -> None:
        super().__init__(self._relay)
        self._member = member
        self._plans: List[Tuple[str, str, Optional[Act]]] = []
        self.seen: List[str] = []

    def __enter__(self) -> Relay:
        super().__enter__()
        return self

    def place(self, url: str) -> str:
        """Return the URL of a storage, to be reached through this."""
        return f"etcd+http://127.0.0.1:{self.port}/{url.rpartition('/')[2]}"

    def plan(self, path: str, how: str, act: Optional[Act] = None) -> None:
        """Treat the next request for a path otherwise.

        Args:
            path: ``kv/txn`` for example.
            how: ``drop`` it, ``lose`` the answer, ``hold`` it without an answer, or
                ``pass`` it on.
            act: What is done before anything else.
        """
        self._plans.append((path, how, act))

    def answer(self, path: str, status: int, body: object) -> None:
        """Answer the next request for a path, instead of the member."""
        self._plans.append((path, "answer", lambda: (status, body)))

    def _relay(self, wire: Wire, connection: socket.socket) -> None:
        raw = wire.requests[-1]
        head, _, body = raw.partition(b"\r\n\r\n")
        path = head.split()[1].decode()
        self.seen.append(path.replace("/v3/", ""))
        how, act = "pass", None
        for plan in self._plans:
            if path.endswith(plan[0]):
                self._plans.remove(plan)
                _, how, act = plan
                break
        said: Any = None if act is None else act()
        if how == "drop":
            return
        if how == "hold":
            wire.closing.wait()
            return
        with requests.Session() as http:
            http.trust_env = False
            if how == "answer":
                connection.sendall(_bytes(*said))
                return
            answer = http.post(self._member + path, data=body, timeout=10)
        if how == "pass":
            connection.sendall(_raw(answer.status_code, answer.content))


def _bytes(status: int, body: object) -> bytes:
    import json

    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return _raw(status, data)


def _raw(status: int, data: bytes) -> bytes:
    head = f"HTTP/1.1 {status} Words\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    return head.encode() + data
