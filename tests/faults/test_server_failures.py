"""Everything that a server can do wrong, in every state of a login and every operation.

The failures are in ``failures`` and ``odd_answers``. What has to come of each follows from the few rules
below, of which ``Case.expected`` is the first.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import ssl
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import (
    Any,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Tuple,
    Type,
)

import attrs
import pytest
import requests
import trustme
from common import Clock
from failures import (
    BROKEN,
    DEAD,
    FINE,
    LATE,
    NAME,
    REQUEST,
    UNAUTHORIZED,
    UNUSABLE,
)
from proof import Effort, Tally
from samples import WAIT
from server_cases import (
    AMPLE,
    DISK_EVERY,
    EXACT,
    FRESH,
    LOGINS,
    NOW,
    OF_ENDPOINT,
    OPERATIONS,
    SLACK,
    STATES,
    THREADS,
    UNKNOWN,
    Case,
    asked,
    cases_of,
    spread,
)
from test_secrets import shown
from world import (
    CANARIES,
    FIRST_REFRESH,
    LATER_CONFIG,
    LIFE,
    TOKEN,
    World,
)

from neuro_config import (
    CannotRefreshError,
    Choice,
    ConfigError,
    ConfigStore,
    ConnectionFailedError,
    FileStorage,
    MemoryStorage,
    NotLoggedInError,
    RequestTimeoutError,
    Session,
    SessionEndedError,
    Storage,
    Token,
)
from neuro_config._attempts import RefreshMark
from neuro_config._catalog import digest_of, encode
from neuro_config._payload import parse_config
from neuro_config._session import AuthConfig, hash_of
from neuro_config.testing import Platform


class Places(NamedTuple):
    """What all cases share."""

    folder: Path
    config: Dict[str, Any]
    tls: ssl.SSLContext
    heavy: threading.Lock


class Attempt:
    """One case, with a login of its own: in memory, and every few in a directory."""

    def __init__(self, case: Case, places: Places, number: int) -> None:
        self.case = case
        self.clock = Clock(NOW)
        self.world = World(places.config, self.clock, case.fault, places.tls)
        self.storage: Storage = MemoryStorage()
        if number % DISK_EVERY == 0:
            self.storage = FileStorage(places.folder / str(number))
        self.before = self._prepared()
        self.store = self._open(case.timeout)

    def _open(self, timeout: float) -> ConfigStore:
        return ConfigStore(storage=self.storage, clock=self.clock, timeout=timeout)

    def _prepared(self) -> Optional[Session]:
        times = STATES[self.case.state]
        if times is None:
            return None
        age, left, is_spent = times
        data = encode(
            parse_config(json.dumps(self.world.config).encode(), url=""),
            self.world.api_url,
        )
        mark = RefreshMark(hash_of(FIRST_REFRESH), NOW - 1000)
        session = Session(
            login_id="first",
            username="ann",
            api_url=self.world.api_url,
            token=Token(
                self.world.access_token(), NOW - age, NOW + left, FIRST_REFRESH
            ),
            catalog=digest_of(data),
            choice=Choice("default", "acme", "main"),
            auth=AuthConfig(**{**self.world.oauth, "callback_urls": ()}),
            refresh_sent=mark if is_spent else None,
        )
        return self.storage.update(lambda old: session, WAIT, catalog=data)

    def run(self) -> None:
        with self.world:
            error, took = self._tried()
            assert took < self.case.timeout + SLACK
            kind = self._check_error(error, took)
            self._check_requests(kind)
            self._check_stored(error, kind)
            if kind in (LATE, BROKEN, UNUSABLE, DEAD) and self.case.spends:
                self._check_nothing_is_sent_again()
            if self.case.is_valid and self.case.operation not in (*LOGINS, "logout"):
                self._check_token(self.store)
            if self.case.fault.failure.stage != NAME:
                self.world.recover()
                self._check_recovery(kind)

    def _tried(self) -> Tuple[Optional[ConfigError], float]:
        started = time.monotonic()
        error = self._error_of(self.case.operation)
        return error, time.monotonic() - started

    def _error_of(self, operation: str) -> Optional[ConfigError]:
        try:
            OPERATIONS[operation](self.store, self.world)
        except ConfigError as error:
            seen = shown(error)
            assert not [canary for canary in CANARIES if canary in seen]
            return error
        return None

    def _check_error(self, error: Optional[ConfigError], took: float) -> str:
        """Hold the error against the rules, and tell what is known of the request."""
        expected, kind = self.case.expected, self.case.fault.failure.kind
        if took > 0.7 * self.case.timeout:  # whatever it was that took its time
            if type(error) is ConnectionFailedError or self._is_lost_on_the_way():
                return UNKNOWN
            if type(error) is RequestTimeoutError:
                return LATE
        if expected is None:
            assert error is None
        elif expected in EXACT:
            assert expected is type(error)
        else:
            assert isinstance(error, expected)
        return kind

    def _is_lost_on_the_way(self) -> bool:
        """Whether a machine is too busy to get the refresh token to the server."""
        at_request = self.case.fault.failure.stage == REQUEST
        return self.case.spends and at_request and not self.world.sent

    def _check_requests(self, kind: str) -> None:
        endpoints = asked(self.case.state, self.case.operation)
        # A token that is refused and not young is worth a refresh.
        if kind == UNAUTHORIZED and self.case.state != FRESH:
            endpoints = [*endpoints, TOKEN]
        assert set(self.world.seen) <= set(endpoints)

    def _check_stored(self, error: Optional[ConfigError], kind: str) -> None:
        stored = self.storage.read()
        if self.case.operation == "logout" or (self.before is None and error):
            assert stored is None
            return
        assert stored is not None
        if self.case.operation in LOGINS and error is None:
            assert "first" != stored.login_id
            return
        assert self.before is not None
        changed: Dict[str, Any] = {
            "token": self.before.token,
            "refresh_sent": self.before.refresh_sent,
            "refresh_failure": None,
        }
        if self.case.operation == "switch":
            changed["choice"] = self.before.choice
        if self.case.operation == "fetch" and error is None:
            changed["catalog"] = self.before.catalog
        assert self.before == attrs.evolve(stored, **changed)
        if stored.token != self.before.token:
            assert TOKEN in self.world.seen
            assert stored.token.refresh_token in self.world.live
        if self.case.spends and kind not in (FINE, UNKNOWN):
            self._check_mark(stored, kind)

    def _check_mark(self, stored: Session, kind: str) -> None:
        assert self.before is not None
        assert self.before.token == stored.token
        assert stored.refresh_failure is not None
        assert (kind == DEAD) == (stored.refresh_failure.code == "invalid_grant")
        mark = self.before.refresh_sent
        if kind in (LATE, BROKEN, UNUSABLE):
            sent = RefreshMark(hash_of(FIRST_REFRESH), NOW)
            mark = attrs.evolve(mark, attempts=2) if mark else sent
        assert mark == stored.refresh_sent

    def _check_nothing_is_sent_again(self) -> None:
        sent = list(self.world.sent)
        for operation in ("refresh_token", "token", self.case.operation):
            error = self._error_of(operation)
            is_served = self.case.is_valid and operation != "refresh_token"
            assert is_served == (error is None)
        assert sent == self.world.sent
        assert sent.count(FIRST_REFRESH) <= 1

    def _check_token(self, store: ConfigStore) -> None:
        token = store.token()
        stored = self.storage.read()
        assert stored is not None
        assert stored.token.access_token == token

    def _check_recovery(self, kind: str) -> None:
        """Wait until the token has expired and use what there is, then log in anew."""
        self.clock.now += 2 * LIFE
        expected = self._expected_at_last()
        self.store._timeout = AMPLE
        for store in (self.store, self._open(AMPLE)):
            if expected is None:
                self._check_token(store)
                continue
            with pytest.raises(expected) as caught:
                store.token()
            if kind in (LATE, BROKEN, UNUSABLE) and self.case.spends:
                assert isinstance(caught.value, SessionEndedError)
                assert caught.value.lost_at is not None
        assert self.world.sent.count(FIRST_REFRESH) <= 2
        if expected is None:
            store.fetch()
        else:
            store.login_with_token(self.world.access_token(), url=self.world.api_url)
        self._check_token(store)

    def _expected_at_last(self) -> Optional[Type[ConfigError]]:
        stored = self.storage.read()
        if stored is None:
            return NotLoggedInError
        if stored.token.refresh_token is None:
            return CannotRefreshError
        failure = stored.refresh_failure
        is_over = failure is not None and failure.code == "invalid_grant"
        if is_over or stored.token.refresh_token not in self.world.live:
            return SessionEndedError
        return None


class Leaks(logging.Handler):
    """Holds whatever is logged against the secrets."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if any(canary in text for canary in CANARIES):
            self.found.append(text)


@pytest.fixture
def leaks() -> Iterator[Leaks]:
    leaks = Leaks()
    loggers = [logging.getLogger(name) for name in ("neuro_config", "urllib3")]
    for logger in loggers:
        logger.addHandler(leaks)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False  # pytest would keep it all
    yield leaks
    for logger in loggers:
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(leaks)


@pytest.fixture
def places(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Places:
    token = platform.issue_access_token()
    answer = requests.get(
        f"{platform.url}/config",
        headers={"Authorization": f"Bearer {token}"},
        timeout=9,
    )
    oauth = attrs.fields_dict(AuthConfig)
    config = {name: value for name, value in answer.json().items() if name not in oauth}
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    return Places(tmp_path, config, tls, threading.Lock())


def complaints(cases: List[Case], places: Places) -> List[str]:
    """Try the cases, several at a time since most of them wait."""

    def complaint(number: int) -> Optional[str]:
        case = cases[number]
        try:
            if case.fault.failure.is_heavy:
                with places.heavy:
                    Attempt(case, places, number).run()
            else:
                Attempt(case, places, number).run()
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)[-2:]
            where = " / ".join(f"{frame.name}: {frame.line}" for frame in frames)
            return f"{case}: {type(error).__name__}: {error} at {where}"
        return None

    with ThreadPoolExecutor(THREADS) as pool:
        return [text for text in pool.map(complaint, range(len(cases))) if text]


def requests_under_way() -> int:
    return sum(one.name == "neuro_config-request" for one in threading.enumerate())


@pytest.mark.attack("3", "8", "9", "12")
@pytest.mark.parametrize("endpoint", OF_ENDPOINT)
def test_failing_servers(
    endpoint: str, places: Places, leaks: Leaks, tally: Tally, effort: Effort
) -> None:
    """A server fails in any way it can, in any state of a login and any operation."""
    descriptors = len(os.listdir("/proc/self/fd"))
    table = cases_of(endpoint, are_noticed=True)
    cases = spread(table, effort(2 * len(table)))
    if endpoint == TOKEN:  # nobody asks it
        table = cases_of(endpoint, are_noticed=False)
        cases += spread(table, effort(len(table)))
    elif endpoint != LATER_CONFIG:  # the failures are much the same
        cases = cases[:: max(1, 4 // effort(4))]
    found = complaints(cases, places)
    tally(len(cases))
    if found:
        shorter = "\n".join(text[:300] for text in found[:20])
        pytest.fail(f"{len(found)} of {len(cases)} cases:\n{shorter}", pytrace=False)
    assert [] == leaks.found
    gc.collect()  # an error that nobody has any more may hold a socket
    until = time.monotonic() + WAIT
    while requests_under_way() and time.monotonic() < until:
        time.sleep(0.01)
    assert 0 == requests_under_way()
    assert descriptors >= len(os.listdir("/proc/self/fd"))
