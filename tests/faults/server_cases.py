"""The states and operations, and what has to come of a failure: a few rules.

``Case.expected`` is the first of them; ``test_server_failures`` has the others.
"""

from __future__ import annotations

import itertools
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple, Type

import failures
import odd_answers
from failures import (
    BROKEN,
    DEAD,
    FINE,
    LATE,
    REFUSED,
    UNAUTHORIZED,
    UNSENT,
    UNUSABLE,
    Failure,
)
from world import (
    CODE,
    CONFIG,
    LATER_CONFIG,
    LIFE,
    METADATA,
    METHODS,
    REVOKE,
    TOKEN,
    Fault,
    World,
)

from neuro_config import (
    AuthError,
    CodeRefusedError,
    ConfigError,
    ConfigStore,
    ConnectionFailedError,
    LoginNotOfferedError,
    NetworkError,
    NotLoggedInError,
    PlatformError,
    RefreshPendingError,
    RequestTimeoutError,
    SessionEndedError,
    TokenRefusedError,
)

NOW = 1.7e9  # of the client's clock
SHORT, AMPLE, SLACK = 1.0, 30.0, 20.0  # seconds
THREADS = 24  # most of them wait
DISK_EVERY = 8  # cases

# Seconds since the token came, seconds that it is valid still, whether the refresh token
# was sent once before and its answer got lost.
STATES: Dict[str, Optional[Tuple[float, float, bool]]] = {
    "logged out": None,
    "fresh": (10, LIFE - 10, False),
    "due": (3000, 600, False),
    "expired": (4000, -400, False),
    "spent": (3000, 600, True),
    "spent and expired": (4000, -400, True),
}
LOGGED_OUT, FRESH, SPENT = "logged out", "fresh", "spent"
EXPIRED = ("expired", "spent and expired")


def properties(store: ConfigStore, world: World) -> None:
    assert "ann" == store.username
    assert ("default", "acme") == (store.cluster_name, store.org_name)
    assert store.presets


OPERATIONS: Dict[str, Callable[[ConfigStore, World], object]] = {
    "login_with_token": lambda store, world: store.login_with_token(
        world.access_token(), url=world.api_url
    ),
    "login_headless": lambda store, world: store.login_headless(
        lambda url: CODE, url=world.api_url
    ),
    "fetch": lambda store, world: store.fetch(),
    "token": lambda store, world: store.token(),
    "refresh_token": lambda store, world: store.refresh_token(),
    "logout": lambda store, world: store.logout(),
    "switch": lambda store, world: store.switch_cluster("farm"),
    "properties": properties,
}
LOGINS = ("login_with_token", "login_headless")


def asked(state: str, operation: str) -> List[str]:
    """The endpoints that an operation asks where all is well, in this order."""
    if operation == "login_with_token":
        return [LATER_CONFIG]
    if operation == "login_headless":
        return [CONFIG, TOKEN, LATER_CONFIG]
    if state == LOGGED_OUT or operation in ("switch", "properties"):
        return []
    if operation == "logout":
        return [METADATA, REVOKE]
    if operation == "fetch":
        return [TOKEN, LATER_CONFIG] if state in EXPIRED else [LATER_CONFIG]
    if state == SPENT or (operation == "token" and state == FRESH):
        return []
    return [TOKEN]


# What is raised after a failure: at the token endpoint, and where a GET goes.
AT_TOKEN: Dict[str, Type[ConfigError]] = {
    UNSENT: ConnectionFailedError,
    LATE: RequestTimeoutError,
    BROKEN: NetworkError,
    UNUSABLE: PlatformError,
    REFUSED: AuthError,
    DEAD: SessionEndedError,
}
AT_CONFIG = {
    **AT_TOKEN,
    REFUSED: PlatformError,
    DEAD: PlatformError,
    UNAUTHORIZED: TokenRefusedError,
}
UNKNOWN = "unknown"
EXACT = (NetworkError, AuthError)  # whose branches say something else


class Case(NamedTuple):
    """One failure in one state, and what is tried then."""

    state: str
    operation: str
    name: str
    fault: Fault

    def __str__(self) -> str:
        fault = self.fault
        worked_on = ", worked on" if fault.is_worked_on else ""
        where = f"{self.operation} when {self.state}"
        return f"{where}: {self.name!r} at {fault.endpoint}{worked_on}"

    @property
    def is_noticed(self) -> bool:
        return self.fault.endpoint in asked(self.state, self.operation)

    @property
    def is_valid(self) -> bool:
        return self.state not in (LOGGED_OUT, *EXPIRED)

    @property
    def spends(self) -> bool:
        """Whether the refresh token of the login is what the failure is about."""
        return (
            self.is_noticed
            and self.fault.endpoint == TOKEN
            and self.operation != "login_headless"
        )

    @property
    def timeout(self) -> float:
        failure = self.fault.failure
        is_repeated = failure.is_passing and self.fault.endpoint in METHODS
        if failure.kind != LATE and not is_repeated:
            return AMPLE
        is_first = [self.fault.endpoint] == asked(self.state, self.operation)[:1]
        return SHORT if is_first else 4 * SHORT

    @property
    def expected(self) -> Optional[Type[ConfigError]]:
        kind = self.fault.failure.kind
        if not self.is_noticed:
            return self._expected_of_itself
        if kind == FINE or self.operation == "logout":
            return None
        if self.fault.endpoint == TOKEN:
            if self.operation == "token" and self.is_valid:
                return None
            if kind == DEAD and self.operation == "login_headless":
                return CodeRefusedError
            return AT_TOKEN[kind]
        if kind == UNAUTHORIZED:
            if (self.operation, self.fault.endpoint) == ("login_headless", CONFIG):
                return None if self.fault.failure.odd else LoginNotOfferedError
            if (self.operation, self.state) == ("fetch", SPENT):
                return RefreshPendingError  # the refused token is old enough for that
        return AT_CONFIG[kind]

    @property
    def _expected_of_itself(self) -> Optional[Type[ConfigError]]:
        if self.state == LOGGED_OUT and self.operation not in (*LOGINS, "logout"):
            return NotLoggedInError
        if (self.state, self.operation) == (SPENT, "refresh_token"):
            return RefreshPendingError
        return None


COMMON = {
    **failures.CONNECTIONS,
    **failures.BODIES,
    **failures.STATUSES,
    **failures.ODD,
}
OF_ENDPOINT: Dict[str, Dict[str, Failure]] = {
    CONFIG: COMMON,
    LATER_CONFIG: {**COMMON, **odd_answers.CONFIG},
    TOKEN: {**COMMON, **odd_answers.TOKEN},
    METADATA: {**COMMON, **odd_answers.METADATA},
    REVOKE: COMMON,
}
FROM_SURE = (UNSENT, REFUSED, DEAD)  # nothing was done, and it is known


def cases_of(endpoint: str, *, are_noticed: bool) -> List[List[Case]]:
    """All cases of an endpoint: a list per failure, which goes through all pairs."""
    pairs = [
        (state, operation)
        for state, operation in itertools.product(STATES, OPERATIONS)
        if (
            endpoint in asked(state, operation)
            if are_noticed
            else not asked(state, operation)
        )
    ]
    return [
        [
            Case(state, operation, name, Fault(failure, endpoint, is_worked_on))
            for place, (state, operation) in enumerate(pairs)
            for is_worked_on in [
                failure.kind not in FROM_SURE and (row + place) % 2 == 0
            ]
        ]
        for row, (name, failure) in enumerate(OF_ENDPOINT[endpoint].items())
    ]


def spread(table: List[List[Case]], count: int) -> List[Case]:
    """Take about so many cases: each failure and each pair, then evenly spread others.

    What is heavy is not taken twice. ``authorized: false`` means another thing in each
    state, so it is taken in all.
    """
    width = len(table[0])
    taken = {(row, row % width) for row in range(len(table))}
    taken |= {(place % len(table), place) for place in range(width)}
    taken |= {
        (row, place)
        for row, place in itertools.product(range(len(table)), range(width))
        if table[row][place].fault.failure.kind == UNAUTHORIZED
    }
    rest = [
        place
        for place in itertools.product(range(len(table)), range(width))
        if place not in taken and not table[place[0]][0].fault.failure.is_heavy
    ]
    missing = max(0, count - len(taken))
    step = max(1, len(rest) // missing) if missing else len(rest) + 1
    taken.update(rest[step // 2 :: step])
    return [table[row][place] for row, place in sorted(taken)]
