"""The log of the requests that the platform got."""

from __future__ import annotations

import threading
import time
from typing import Any, List, Optional, Tuple

import attr

ENDPOINTS = (
    "config",
    "auth",
    "token",
    "logout",
    "revoke",
    "discovery",
    "show-code",
    "other",
)


@attr.frozen(kw_only=True)
class RequestRecord:
    """Tell about one request, without anything secret.

    Args:
        time: When it had arrived, seconds since the epoch.
        endpoint: One of ``config``, ``auth``, ``token``, ``logout``, ``revoke``,
            ``discovery``, ``show-code`` and ``other``.
        method: Of HTTP.
        path: Without the query.
        grant_type: What the form says, or ``None``.
        client_id: What the query or the form says, or ``None``.
        user_agent: Or ``None``.
        user: Whose valid access token the request carried, or ``None``.
        outcome: ``pending`` until it is ``answered``, ``lost`` (processed, but the
            connection was closed without an answer) or ``dropped`` (not processed).
        status: Of the answer, or ``None`` if there was none.
        reuse_detected: Whether a code or a refresh token was spent twice.
    """

    time: float
    endpoint: str
    method: str
    path: str
    grant_type: Optional[str] = None
    client_id: Optional[str] = None
    user_agent: Optional[str] = None
    user: Optional[str] = None
    outcome: str = "pending"
    status: Optional[int] = None
    reuse_detected: bool = False


class Entry:
    """Be the place of one request in the log; its record is replaced at the end."""

    def __init__(self, record: RequestRecord) -> None:
        self.record = record

    def finish(
        self, outcome: str, status: Optional[int] = None, reuse_detected: bool = False
    ) -> None:
        """Write down how the request ended, before the client can know it."""
        self.record = attr.evolve(
            self.record, outcome=outcome, status=status, reuse_detected=reuse_detected
        )


class Log:
    """Keep the requests in the order in which they arrived."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: List[Entry] = []

    def arrived(self, endpoint: str, **known: Any) -> Entry:
        """Add a request that is now being worked on, with what is known of it."""
        with self._lock:
            entry = Entry(RequestRecord(time=time.time(), endpoint=endpoint, **known))
            self._entries.append(entry)
        return entry

    def records(self) -> Tuple[RequestRecord, ...]:
        """Give all records as they are now."""
        with self._lock:
            return tuple(entry.record for entry in self._entries)

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._entries.clear()
