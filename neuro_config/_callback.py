"""The loopback server that the browser comes back to (RFC 8252, 7.3).

Rules:

* It listens on loopback only, on the first free port of those that the platform lists.
* It takes one answer. What is not the answer to this login gets a page of its own and
  changes nothing.
* The browser waits for its page until the login is over, so the page tells the truth.
* The port is free again when it is closed, whatever happened.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import queue
import socket
import socketserver
import threading
import weakref
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import (
    Any,
    Callable,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Tuple,
    Type,
    Union,
)

from yarl import URL

from ._deadline import Deadline
from ._errors import CallbackPortError, LoginNotOfferedError, LoginTimeoutError
from ._guard import is_loopback, scheme_and_host
from ._pages import ANSWERED_ALREADY, INTERRUPTED, NOT_FOUND, NOT_THE_ANSWER, Page
from ._session import Secret

PAUSE = 0.5  # seconds; for so long a Ctrl-C may go unnoticed
SILENCE = 30.0  # seconds
NO_THREAD = "the system starts no thread"
SHOWING = 5.0  # seconds that a browser may take to read its page

_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the page's own URL holds the code
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


Send = Callable[[Page], None]
PageFor = Callable[[str, Send], None]


class Place(NamedTuple):
    """Where a callback URL leads to."""

    url: str
    host: str
    port: int
    path: str


class Answer:
    """The answer to the login; its browser waits for a page.

    Args:
        query: Of the URL that the browser came to.
    """

    def __init__(self, query: str) -> None:
        self.query = Secret(query)
        self._page: queue.Queue[Page] = queue.Queue()
        self._shown = threading.Event()

    def show(self, page: Page) -> None:
        """Give the browser its page and wait, not for long, until it has it."""
        self._page.put(page)
        self._shown.wait(SHOWING)


class Listener:
    """Listens for the answer to one login; a context manager.

    Args:
        urls: The callback URLs that the platform lists.
        silence: Seconds after which a connection that says nothing is closed.

    Attributes:
        url: The one of them that is listened at.

    Raises:
        LoginNotOfferedError: None of them leads to this machine.
        CallbackPortError: All their ports are taken.
    """

    def __init__(self, urls: Iterable[str], silence: float = SILENCE) -> None:
        # A SimpleQueue may wait for ever if there is no time at all, before Python 3.11.
        self._events: queue.Queue[Union[Answer, BaseException]] = queue.Queue()
        self._taking = threading.Lock()
        self._is_answer: Callable[[str], bool] = lambda query: False
        self._answer: Optional[Answer] = None
        self._place, self._server = _bound(urls, _handler(self._page_for, silence))
        self.url = self._place.url
        try:
            # A poll is what ends the loop.
            threading.Thread(
                target=self._server.serve_forever,
                args=(0.05,),
                name="neuro_config-callback",
                daemon=True,
            ).start()
        except BaseException as error:  # too many threads, or Ctrl-C
            self._server.server_close()
            if isinstance(error, RuntimeError):
                raise CallbackPortError([self.url], NO_THREAD) from None
            raise
        _listeners.add(self)

    def listen_for(self, is_answer: Callable[[str], bool]) -> None:
        """Say what the answer looks like; until then everything is foreign.

        Args:
            is_answer: Tells by the query of a URL.
        """
        self._is_answer = is_answer

    def fail(self, error: BaseException) -> None:
        """Let the one who waits get an error instead of an answer."""
        self._events.put(error)

    def wait(self, seconds: float) -> Answer:
        """Wait for the answer.

        Args:
            seconds: For so long.

        Raises:
            LoginTimeoutError: None came.
        """
        deadline = Deadline(seconds)
        event = None
        while event is None:
            left = deadline.remaining()
            try:
                # A signal just before a wait does not end it: hence many short ones.
                event = self._events.get(timeout=min(left, PAUSE))
            except queue.Empty:
                if left <= PAUSE:
                    raise LoginTimeoutError(deadline.seconds) from None
        if isinstance(event, BaseException):
            raise event
        return event

    def close(self) -> None:
        """Free the port; a browser that still waits is told that it is over."""
        _listeners.discard(self)
        with self._taking:
            self._is_answer = lambda query: False
            if self._answer is not None:
                self._answer._page.put(INTERRUPTED)  # too late if it has its page
        try:
            self._server.shutdown()
        finally:  # Ctrl-C while that waits
            self._server.server_close()

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def _page_for(self, target: str, send: Send) -> None:
        """Answer one request; runs in a thread of its own."""
        path, _, query = target.partition("?")
        if path != self._place.path:
            send(NOT_FOUND)
            return
        with self._taking:
            is_answer = self._is_answer(query)
            is_first = is_answer and self._answer is None
            if is_first:
                self._answer = Answer(query)
                self._events.put(self._answer)
        if not is_answer:
            send(NOT_THE_ANSWER)
        elif not is_first or self._answer is None:
            send(ANSWERED_ALREADY)
        else:
            try:
                send(self._answer._page.get())
            finally:
                self._answer._shown.set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = (
        128  # of the base class's 5 a crowd leaves none for the browser
    )

    def __init__(self, place: Place, handler: Type[BaseHTTPRequestHandler]) -> None:
        if ":" in place.host:
            self.address_family = socket.AF_INET6
        super().__init__((place.host, place.port), handler)

    def server_bind(self) -> None:
        # The base class looks the host's name up, which may take long.
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A browser that went away; the base class would print a traceback.
        pass

    def abandon(self) -> None:
        """Close the socket in a forked child, where the threads do not run."""
        os.close(self.socket.detach())


def _handler(page_for: PageFor, silence: float) -> Type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = silence
        server_version = "neuro_config"
        sys_version = ""

        def do_GET(self) -> None:
            if all(map(_is_of_this_machine, self.headers.get_all("Host", []))):
                page_for(Secret(self.path), self._send)
            else:
                self._send(NOT_FOUND)

        def _send(self, page: Page) -> None:
            body = page.render()
            self.send_response(page.status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            if page.location is not None:
                self.send_header("Location", page.location)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass  # the base class would print the code

    return Handler


def _is_of_this_machine(host: str) -> bool:
    # A page of somebody's may make its own name lead here (DNS rebinding).
    return is_loopback(scheme_and_host(f"http://{host}")[1])


def _bound(
    urls: Iterable[str], handler: Type[BaseHTTPRequestHandler]
) -> Tuple[Place, _Server]:
    places = _places(urls)
    reason = ""
    for place in places:
        try:
            return place, _Server(place, handler)
        except OSError as error:
            reason = error.strerror or str(error)
    raise CallbackPortError((place.url for place in places), reason)


def _places(urls: Iterable[str]) -> List[Place]:
    places = []
    for url in urls:
        with contextlib.suppress(ValueError):
            parts = URL(url)
            port = 80 if parts.explicit_port is None else parts.explicit_port
            host = "127.0.0.1" if parts.host == "localhost" else parts.host or ""
            if (
                parts.scheme == "http"
                and ipaddress.ip_address(host).is_loopback
                and port
                # What a browser would not bring back as it is.
                and not parts.raw_fragment
                and not {"code", "state", "error"} & set(parts.query)
            ):
                places.append(Place(url, host, port, parts.raw_path))
    if not places:
        raise LoginNotOfferedError(
            "The platform lists no callback URL on this machine, so a browser cannot "
            "bring the answer here. Log in with login_headless."
        )
    return places


_listeners: weakref.WeakSet[Listener] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for listener in list(_listeners):
        listener._server.abandon()
    _listeners.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
