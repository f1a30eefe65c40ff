"""What comes of a refresh's answer that is lost, late, or not wanted any more."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional

import attrs
import pytest
from clock_world import LIFE, World, WorldClock
from common import in_thread
from proof import Tally

from neuro_config import (
    AuthError,
    Choice,
    ConfigError,
    ConfigStore,
    FileStorage,
    LoginChangedError,
    NetworkError,
    NotLoggedInError,
    RefreshPendingError,
    Session,
    SessionEndedError,
)

LIMIT = 60.0  # seconds that nothing here should take
OTHER = Choice("other", "org", "project")

# What the server does, and the error that comes of it while the login is the same.
FATES: Dict[str, Optional[type]] = {
    "slow": None,
    "late": NetworkError,
    "lose": NetworkError,
    "drop": NetworkError,
    "503": NetworkError,
    "429": AuthError,
    "end": SessionEndedError,
}


def log_out(world: World, store: ConfigStore) -> None:
    store.logout()


def log_in(world: World, store: ConfigStore) -> None:
    world.log_in(store)


def log_in_as_bob(world: World, store: ConfigStore) -> None:
    world.server.claims = {"identity": "bob"}
    world.log_in(store)


def log_out_and_in(world: World, store: ConfigStore) -> None:
    store.logout()
    world.log_in(store)


def choose(world: World, store: ConfigStore) -> None:
    def change(session: Optional[Session]) -> Optional[Session]:
        assert session is not None
        return attrs.evolve(session, choice=OTHER)

    FileStorage(world.path).update(change, LIMIT)


def nothing(world: World, store: ConfigStore) -> None:
    pass


ENDING = (log_out, log_in, log_in_as_bob, log_out_and_in)
OTHERS: List[Callable[[World, ConfigStore], None]] = [*ENDING, choose, nothing]


class Case:
    """One refresh under way, which waits for its answer until it is let go."""

    def __init__(
        self, folder: Path, fate: str, other: Callable[[World, ConfigStore], None]
    ) -> None:
        self.world = World(folder)
        self.fate, self.other = fate, other
        self.clock = WorldClock(self.world)
        # Long enough to be under way on a busy machine, before it is too late.
        timeout = 4.0 if fate == "late" else LIMIT
        self.store = ConfigStore(
            self.world.path, clock=self.clock, http=self.world.http, timeout=timeout
        )
        self.world.log_in(self.store)
        self.before = self.world.session()
        self.world.server.fault = int(fate) if fate.isdigit() else fate
        arrived, self.answer = threading.Event(), threading.Event()

        def wait() -> None:
            arrived.set()
            self.answer.wait(LIMIT)

        self.world.server.before_answer = wait
        self.join = in_thread(self.store.refresh_token)
        assert arrived.wait(LIMIT)

    def stored(self) -> Optional[Session]:
        return FileStorage(self.world.path).read()

    def require_the_end(self, error: Optional[ConfigError]) -> None:
        """The other's word is final."""
        assert error is not None
        gone = self.other is log_out
        self.world.now += 0.8 * LIFE
        with pytest.raises(NotLoggedInError if gone else LoginChangedError):
            self.store.token()

    def require_one_login(self, error: Optional[ConfigError]) -> None:
        """The login goes on, with the other's change."""
        expected = FATES[self.fate]
        assert error is None if expected is None else isinstance(error, expected)
        session = self.world.session()
        assert session.choice == (OTHER if self.other is choose else Choice())
        is_new = session.token != self.before.token
        assert is_new == (self.fate == "slow")
        assert (session.refresh_sent is not None) == (expected is NetworkError)
        assert self.world.server.is_valid(self.store.token())
        if expected is NetworkError:
            with pytest.raises(RefreshPendingError):
                self.store.refresh_token()


@pytest.mark.attack("6", "7", "mark")
@pytest.mark.parametrize("fate", FATES)
def test_an_answer_is_lost_or_late_while_others_act(
    fate: str, tmp_path: Path, tally: Tally
) -> None:
    """An answer comes late, not at all, or after a logout, a login or a switch of others."""
    cases = [Case(tmp_path / other.__name__, fate, other) for other in OTHERS]
    for case in cases:
        case.other(case.world, case.world.open(case.clock))
    decided = [case.stored() for case in cases]
    if fate != "late":
        for case in cases:
            case.answer.set()
    errors = [case.join() for case in cases]
    settled = [case.stored() for case in cases]
    for case in cases:
        case.answer.set()
    wait_for_late_answers()
    assert settled == [case.stored() for case in cases]
    for case, error, what_others_decided in zip(cases, errors, decided):
        if case.other in ENDING:
            assert what_others_decided == case.stored()
            case.require_the_end(error)
        else:
            case.require_one_login(error)
        assert 1 == case.world.server.refreshes
        case.world.require_free()
        tally()


def wait_for_late_answers() -> None:
    """Wait until no thread of a request is left."""
    end = time.monotonic() + LIMIT
    while any(one.name == "neuro_config-request" for one in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)
