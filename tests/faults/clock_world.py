"""A world with a time of its own: a server that is right about it, clocks that need not be.

``World.now`` is the true time. Each process is a store with a clock of its own, all on
one directory. The server stands behind a ``requests`` adapter, so that everything but
the sockets is the real thing; it rotates refresh tokens, ends a login whose token it
sees twice, and knows which access token is truly valid.
"""

from __future__ import annotations

import io
import json
import math
import uuid
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Union
from urllib.parse import parse_qs

import attrs
import jwt
import requests
import requests.adapters
import urllib3

from neuro_config import ConfigStore, FileStorage, Session
from neuro_config._deadline import Deadline

ORIGIN = "https://platform.example"
API = f"{ORIGIN}/api/v1"
LIFE = 3600.0  # seconds
AS_LONG_AS_IT_LIVES = "as long as it lives"
CONFIG = {
    "clusters": [],
    "orgs": [],
    "projects": [],
    "admin_url": f"{ORIGIN}/admin",
    "auth_url": f"{ORIGIN}/auth",
    "token_url": f"{ORIGIN}/token",
    "client_id": "client",
    "audience": ORIGIN,
    "callback_urls": [],
}


class WorldClock:
    """The clock of a process: the true time and how wrong it is.

    Attributes:
        skew: Seconds that it is ahead.
        broken: What it shows instead of any time.
        readings: How often it was read.
    """

    def __init__(self, world: World, skew: float = 0.0) -> None:
        self._world = world
        self.skew = skew
        self.broken: Optional[float] = None
        self.readings = 0
        self._jump_at: Optional[int] = None
        self._jump = 0.0

    def __call__(self) -> float:
        self.readings += 1
        if self.readings == self._jump_at:
            self.jump(self._jump)
        return self._world.now + self.skew if self.broken is None else self.broken

    def jump(self, seconds: float) -> None:
        """Jump by so many seconds; NaN and infinity break the clock."""
        if math.isfinite(seconds):
            self.skew += seconds
        else:
            self.broken = seconds

    def jump_at(self, reading: int, seconds: float) -> None:
        """Jump right before it is read for the so-manieth time from now, from 1."""
        self._jump_at, self._jump = self.readings + reading, seconds

    def mend(self) -> None:
        """Show the true time again."""
        self.skew, self.broken, self._jump_at = 0.0, None, None


@attrs.define
class _Grant:
    is_over: bool = False
    lost: int = 0  # answers


class WorldServer(requests.adapters.BaseAdapter):
    """The platform and its authorization server, in the true time.

    Attributes:
        life: Seconds that an access token is truly valid.
        expires_in: What the answer says, as JSON text; ``None`` leaves it out.
        claims: Changes of the access token's claims; ``None`` takes one away.
        fault: Of the token endpoint: ``lose``, ``drop``, ``unreachable``, ``end`` the
            login, a status, or nothing.
        before_answer: Called when a refresh has been worked on.
        refuses: Whether ``/config`` answers that nobody is authorized.
        refreshes: Refresh requests that arrived.
        reused: Refresh tokens that were seen twice although their answer was not lost.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.life = LIFE
        self.expires_in: Optional[str] = AS_LONG_AS_IT_LIVES
        self.claims: Dict[str, Any] = {}
        self.fault: Union[str, int, None] = None
        self.before_answer: Callable[[], None] = lambda: None
        self.refuses = False
        self.refreshes = 0
        self.reused = 0
        self._ends: Dict[str, float] = {}
        self._grants: Dict[str, _Grant] = {}
        self._spent: Dict[str, bool] = {}  # whether the answer was lost

    def is_valid(self, access_token: str) -> bool:
        """Tell whether an access token is truly valid."""
        return self._world.now < self._ends[access_token]

    def dead_for(self, access_token: str) -> float:
        """Tell for how many seconds an access token has truly been dead."""
        return max(0.0, self._world.now - self._ends[access_token])

    def ended(self, refresh_token: str) -> bool:
        """Tell whether the login of a refresh token is over."""
        return self._grants[refresh_token].is_over

    def lost(self, refresh_token: str) -> bool:
        """Tell whether an answer of the login of a refresh token was lost."""
        return self._grants[refresh_token].lost > 0

    def answer(self, grant: Optional[_Grant] = None) -> str:
        """Give new tokens, as JSON."""
        now = self._world.now
        claims = {
            "identity": "alice",
            "jti": uuid.uuid4().hex,
            "iat": now,
            "exp": now + self.life,
            **self.claims,
        }
        known = {name: value for name, value in claims.items() if value is not None}
        access_token = jwt.encode(known, "k" * 32)
        refresh_token = uuid.uuid4().hex
        self._ends[access_token] = now + self.life
        self._grants[refresh_token] = grant or _Grant()
        text = json.dumps(
            {"access_token": access_token, "refresh_token": refresh_token}
        )
        expires_in = self.expires_in
        if expires_in == AS_LONG_AS_IT_LIVES:
            expires_in = str(self.life)
        if expires_in is None:
            return text
        return f'{text[:-1]}, "expires_in": {expires_in}}}'

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        """Answer a request."""
        if request.url != f"{API}/config" and request.method == "GET":
            return _response(request, 404, "")
        if request.method == "GET":
            token = request.headers["Authorization"].partition(" ")[2]
            good = self.is_valid(token) and not self.refuses
            body = {"authorized": True, **CONFIG} if good else {"authorized": False}
            return _response(request, 200, json.dumps(body))
        if self.fault == "unreachable":
            raise requests.ConnectionError
        form = parse_qs(b"".join(request.body).decode())  # type: ignore[arg-type]
        try:
            return self._refresh(request, form["refresh_token"][0])
        finally:
            self.before_answer()

    def close(self) -> None:
        """Close nothing."""

    def _refresh(
        self, request: requests.PreparedRequest, token: str
    ) -> requests.Response:
        self.refreshes += 1
        if self.fault == "drop":
            raise requests.ConnectionError
        if isinstance(self.fault, int):
            return _response(request, self.fault, '{"error": "slow_down"}')
        grant = self._grants[token]
        grant.is_over = grant.is_over or self.fault == "end"
        if token in self._spent:
            self.reused += not self._spent[token]
            grant.is_over = True
        if grant.is_over:
            return _response(request, 400, '{"error": "invalid_grant"}')
        self._spent[token] = self.fault == "lose"
        text = self.answer(grant)
        if self.fault == "lose":
            grant.lost += 1
            raise requests.ConnectionError
        return _response(request, 200, text)


def _response(
    request: requests.PreparedRequest, status: int, body: str
) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.url = request.url or ""
    response.request = request
    response.raw = urllib3.HTTPResponse(
        io.BytesIO(body.encode()), status=status, preload_content=False
    )
    return response


class World:
    """A directory, a server, and as many processes as are opened.

    Args:
        folder: Where the directory is made.
        now: The true time at the beginning.
    """

    def __init__(self, folder: Path, now: float = 1.8e9) -> None:
        self.now = now
        self.path = folder / "config"
        self.server = WorldServer(self)
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.mount("https://", self.server)

    def open(self, clock: WorldClock) -> ConfigStore:
        """Start a process."""
        return ConfigStore(self.path, clock=clock, http=self.http)

    def log_in(self, store: ConfigStore) -> None:
        """Log a store in with what a browser would bring."""
        answer = json.loads(self.server.answer())
        store._log_in_with_answer(answer, API, Deadline(30.0))

    def session(self) -> Session:
        """Read what is stored; that it can be read is the point."""
        session = FileStorage(self.path).read()
        assert session is not None
        return session

    def require_free(self) -> None:
        """Nobody holds a lock, and nobody left anything behind."""
        FileStorage(self.path).sole_refresher(0.0).release()
        litter: List[Path] = list(self.path.glob("*.tmp"))
        assert [] == litter
