"""A server on a loopback port that answers with any bytes, slowly or not at all."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from types import TracebackType
from typing import Callable, List, Optional, Tuple, Type, Union

Answer = Union[bytes, Callable[["Wire", socket.socket], None]]


def http(
    body: Union[bytes, object] = b"", status: int = 200, headers: str = ""
) -> bytes:
    """The bytes of an HTTP answer; what is no bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} Words\r\nContent-Length: {len(data)}\r\n{headers}\r\n"
    return head.encode() + data


def hang(wire: Wire, connection: socket.socket) -> None:
    """Never answer."""
    wire.closing.wait()


def reset(wire: Wire, connection: socket.socket) -> None:
    """Answer with a reset connection."""
    linger = struct.pack("ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def drip(start: bytes, piece: bytes = b"x", pause: float = 0.02) -> Answer:
    """Answer with a start and then a piece now and then, without an end."""

    def answer(wire: Wire, connection: socket.socket) -> None:
        connection.sendall(start)
        while not wire.closing.wait(pause):
            connection.sendall(piece)

    return answer


class Wire:
    """Answer each connection with the next of the answers; the last is repeated.

    Args:
        answers: Bytes, or what to do with the connection.
        tls: For https.
        is_hasty: Answer what has come so far, without waiting for a whole request.
        is_late: Refuse connections until the server is entered.

    Attributes:
        requests: What came, each with its headers and body, whole or not.
        peers: From which port each came.
    """

    def __init__(
        self,
        *answers: Answer,
        tls: Optional[ssl.SSLContext] = None,
        is_hasty: bool = False,
        is_late: bool = False,
    ) -> None:
        self.requests: List[bytes] = []
        self.peers: List[int] = []
        self.closing = threading.Event()
        self._answers = list(answers)
        self._tls = tls
        self._is_hasty = is_hasty
        self._open: List[Tuple[threading.Thread, socket.socket]] = []
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        if not is_late:
            self._listener.listen(16)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Wire:
        self._listener.listen(16)
        self._accepting.start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for thread, connection in self._open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            thread.join()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, (_, port) = self._listener.accept()
            except OSError:
                return
            self.peers.append(port)
            thread = threading.Thread(
                target=self._serve, args=(connection,), daemon=True
            )
            self._open.append((thread, connection))
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if self._tls is None:
                self._answer(connection)
            else:
                with self._tls.wrap_socket(connection, server_side=True) as secure:
                    self._answer(secure)

    def _answer(self, connection: socket.socket) -> None:
        request = connection.recv(9) if self._is_hasty else read_request(connection)
        if not request:
            return
        self.requests.append(request)
        answer = self.answer_to(request)
        if isinstance(answer, bytes):
            connection.sendall(answer)
        else:
            answer(self, connection)

    def answer_to(self, request: bytes) -> Answer:
        """Tell the answer to a request: the next one."""
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def read_request(connection: socket.socket) -> bytes:
    """Read one request as far as it comes."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    size = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            size = int(line.partition(b":")[2])
    while len(body) < size:
        piece = connection.recv(65536)
        if not piece:
            break
        body += piece
    return head + b"\r\n\r\n" + body
