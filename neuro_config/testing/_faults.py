"""Switches for what can go wrong with one endpoint, set while the platform runs.

A request meets them in this order: the delay; a dropped connection; a given answer;
the real work; the delay of the answer; a lost answer. A request that is dropped or
gets a given answer is not processed, so it uses up neither a lost answer nor a
refused token.
"""

from __future__ import annotations

import json
import math
import threading
from typing import Any, Mapping, Optional, Tuple, Union

import attr


@attr.frozen
class Reply:
    """Be one answer, whoever made it."""

    status: int
    body: bytes = attr.field(default=b"", repr=False)
    content_type: str = "text/plain; charset=utf-8"
    headers: Tuple[Tuple[str, str], ...] = attr.field(default=(), repr=False)
    reuse_detected: bool = False


@attr.frozen
class Plan:
    """Say what shall happen to one request."""

    delay: float = 0
    answer_delay: float = 0
    drop: bool = False
    answer: Optional[Reply] = None
    refuse: bool = False
    lose: bool = False


@attr.define
class _Switch:
    """Be on for a number of requests; ``math.inf`` is until it is reset."""

    left: float = 0

    def take(self) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        return True


def _times(count: Optional[int]) -> float:
    return math.inf if count is None else count


class EndpointFaults:
    """Hold the switches of one endpoint; a count of ``None`` is until ``reset()``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Switch all faults of the endpoint off."""
        with self._lock:
            self._delay = 0.0
            self._answer_delay = 0.0
            self._drop = _Switch()
            self._answer = _Switch()
            self._reply = Reply(200)
            self._refuse = _Switch()
            self._lose = _Switch()

    def delay(self, seconds: float = 0, *, answer: float = 0) -> None:
        """Make every request slow, until ``reset()``.

        Args:
            seconds: Wait before the request is processed.
            answer: Wait after it has been processed, before the answer leaves.
        """
        with self._lock:
            self._delay = seconds
            self._answer_delay = answer

    def drop(self, count: Optional[int] = None) -> None:
        """Close the connection without processing the request.

        Args:
            count: For so many requests.
        """
        with self._lock:
            self._drop.left = _times(count)

    def lose_answers(self, count: Optional[int] = 1) -> None:
        """Process the request, then close the connection without an answer.

        Args:
            count: For so many requests.
        """
        with self._lock:
            self._lose.left = _times(count)

    def answer(
        self,
        status: int,
        body: Union[bytes, str, Mapping[str, Any]] = b"",
        *,
        content_type: Optional[str] = None,
        headers: Optional[Mapping[str, str]] = None,
        count: Optional[int] = None,
    ) -> None:
        """Give this answer without processing the request.

        Args:
            status: Such as 503, or 200 for garbage that looks well.
            body: Bytes as they are, text as UTF-8, or a mapping as JSON.
            content_type: By default ``text/html``, or ``application/json`` for a
                mapping.
            headers: Further ones, such as ``Retry-After``.
            count: For so many requests.
        """
        kind = "text/html; charset=utf-8"
        if isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, bytes):
            body = json.dumps(body).encode()
            kind = "application/json; charset=utf-8"
        more = tuple((headers or {}).items())
        self._give(Reply(status, body, content_type or kind, more), count)

    def redirect(
        self, url: str, *, status: int = 302, count: Optional[int] = None
    ) -> None:
        """Send the client elsewhere without processing the request.

        Args:
            url: The header ``Location``.
            status: 301, 302, 303, 307 or 308.
            count: For so many requests.
        """
        self._give(Reply(status, headers=(("Location", str(url)),)), count)

    def _give(self, reply: Reply, count: Optional[int]) -> None:
        with self._lock:
            self._reply = reply
            self._answer.left = _times(count)

    def take(self) -> Plan:
        """Decide about the request that has just arrived, and count it."""
        with self._lock:
            if self._drop.take():
                return Plan(self._delay, drop=True)
            if self._answer.take():
                return Plan(self._delay, self._answer_delay, answer=self._reply)
            return Plan(
                self._delay,
                self._answer_delay,
                refuse=self._refuse.take(),
                lose=self._lose.take(),
            )


class ConfigFaults(EndpointFaults):
    """Hold the switches of ``GET /config``."""

    def refuse_tokens(self, count: Optional[int] = None) -> None:
        """Answer good tokens with ``authorized: false``, as in an auth outage.

        Args:
            count: For so many requests.
        """
        with self._lock:
            self._refuse.left = _times(count)


class Faults:
    """Hold the switches of all endpoints that can fail.

    Reached as ``platform.faults``.

    Attributes:
        config: Of ``GET /api/v1/config``.
        token: Of ``POST /token``.
        revoke: Of ``POST /revoke``.
    """

    def __init__(self) -> None:
        self.config = ConfigFaults()
        self.token = EndpointFaults()
        self.revoke = EndpointFaults()
        self._by_name: Mapping[str, EndpointFaults] = {
            "config": self.config,
            "token": self.token,
            "revoke": self.revoke,
        }

    def reset(self) -> None:
        """Switch all faults off."""
        for faults in self._by_name.values():
            faults.reset()

    def take(self, endpoint: str) -> Plan:
        """Decide about a request that has just arrived at an endpoint."""
        faults = self._by_name.get(endpoint)
        return Plan() if faults is None else faults.take()
