"""The sockets and threads under the embedded platform.

``close()`` ends every thread and closes every socket before it returns, whatever the
clients do. In a forked child the server does not exist any more: its sockets are
closed there, so that a port which the parent gives up is really free.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import weakref
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    def connection_dropped(
        self, error: BaseException, environ: Optional[WSGIEnvironment] = None
    ) -> None:
        # the base class would wait for another request on the connection
        self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


class Server(ThreadedWSGIServer):
    """Serve one application on a loopback port from the moment it is made.

    Args:
        app: The application.
        port: 0 is a free one.
        ssl_context: For https.

    Raises:
        OSError: The port is taken.
    """

    def __init__(
        self, app: WSGIApplication, port: int, ssl_context: Optional[ssl.SSLContext]
    ) -> None:
        # threads and their connections: the base class either forgets its threads
        # or, until Python 3.9, remembers the finished ones for ever
        self._connections: Dict[threading.Thread, socket.socket] = {}
        with socket.socket() as listener:
            # bound here: the base class ends the process when the port is taken
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, port))
            listener.listen(self.request_queue_size)
            super().__init__(
                HOST,
                port,
                app,
                _Handler,
                ssl_context=ssl_context,
                fd=listener.fileno(),
            )
        if isinstance(self.socket, ssl.SSLSocket):
            # else a client that is silent holds up all others
            self.socket.do_handshake_on_connect = False  # type: ignore[attr-defined]
        self.port = self.socket.getsockname()[1]
        # a poll is what ends the loop: short, since tests start many platforms
        self._accepting = threading.Thread(
            target=self.serve_forever, args=(0.02,), name="platform", daemon=True
        )
        _servers.add(self)
        self._accepting.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own."""
        thread = threading.Thread(
            target=self._answer,
            args=(request, client_address),
            name="platform-request",
            daemon=True,
        )
        self._connections[thread] = request
        thread.start()

    def _answer(self, request: socket.socket, client_address: Tuple[str, int]) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            del self._connections[threading.current_thread()]

    def close(self) -> None:
        """Stop serving; requests under way lose their connection."""
        _servers.discard(self)
        self.shutdown()
        self._accepting.join()
        for thread, connection in tuple(self._connections.items()):
            with contextlib.suppress(OSError):  # it may be closed by now
                # wakes a thread that waits for its client; not the method of an
                # SSLSocket, which would take the TLS state from under the thread
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            thread.join()

    def abandon(self) -> None:
        """Close the sockets in a forked child, where the threads do not run."""
        for inherited in (self.socket, *self._connections.values()):
            descriptor = inherited.detach()
            if descriptor != -1:
                os.close(descriptor)


_servers: weakref.WeakSet[Server] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for server in tuple(_servers):
        server.abandon()
    _servers.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
