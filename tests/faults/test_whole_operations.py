"""Whole operations of a store, killed or refused at any system call they make."""

from __future__ import annotations

import shutil
import time
from typing import List

import pytest
from beside import NOBODY, look
from common import Login
from ground import REFRESHES, Trial, Trials, require_that_it_works, stored
from operations import EXPIRED, LATE, OPERATIONS, later
from proof import Effort, Tally
from sweep import Outcome, Sweep, content, files_left, sample
from test_errors import ERRORS
from tracer import Fault

from neuro_config import (
    ConfigStore,
    FileStorage,
    RefreshPendingError,
    SessionEndedError,
)
from neuro_config.testing import Platform


@pytest.fixture
def trials(
    request: pytest.FixtureRequest, sweep: Sweep, platform: Platform, login: Login
) -> Trials:
    return Trials(request.param, sweep, platform, login)


each_operation = pytest.mark.parametrize("trials", sorted(OPERATIONS), indirect=True)


@pytest.mark.attack("1", "7", "8", "mark")
@each_operation
def test_a_killed_operation_leaves_a_login_that_works(
    trials: Trials, tally: Tally, effort: Effort
) -> None:
    """SIGKILL at any system call of a whole operation, network included: old or new, and a refresh as the mark says."""
    undisturbed = trials.new()
    whole = trials.run(undisturbed, Fault())
    assert (False, None) == (whole.died, whole.error)
    require_steps(trials, undisturbed, whole.seen)
    faults = [Fault("kill", when) for when in range(1, len(whole.calls) + 1)]
    for fault in sample(faults, effort):
        trial = trials.new()
        outcome = trials.run(trial, fault)
        if not outcome.died:
            assert fault.when > len(outcome.calls)
            continue  # threads share the work: now and then it takes a call less
        require_steps(trials, trial, outcome.seen)
        assert look(str(trial.directory)) == outcome.seen[-1]
        if trials.operation in REFRESHES:
            require_what_the_mark_says(trials, trial, outcome, fault, whole)
        elif outcome.seen[-1] != NOBODY:
            require_that_it_works(trial.directory)
            trials.use_again(trial)
        shutil.rmtree(trial.directory)
        tally()


def require_steps(trials: Trials, trial: Trial, seen: List[str]) -> None:
    """A reader saw the old state, then perhaps the mark, then perhaps the new one."""
    assert trial.seen_before == seen[0]
    assert len(set(seen)) == len(seen) <= (3 if trials.operation in REFRESHES else 2)
    catalogs = [state.split()[-1] for state in seen]
    if trials.operation in ("whole switch", *REFRESHES):
        assert {trial.seen_before.split()[-1]} == set(catalogs)
    elif trials.operation == "whole logout":
        assert [NOBODY] == catalogs[1:] or not catalogs[1:]
    else:
        assert all(len(catalog) == 64 for catalog in catalogs)
    require_the_same_catalog(trial)


def require_the_same_catalog(trial: Trial) -> None:
    """Every line of the stored catalog is what its index says."""
    if FileStorage(trial.directory).read() is not None:
        clusters = ConfigStore(trial.directory).clusters
        assert {"default", "farm", "lab"} <= {*clusters}
        assert all(clusters[name].name == name for name in clusters)


def require_what_the_mark_says(
    trials: Trials, trial: Trial, outcome: Outcome, fault: Fault, whole: Outcome
) -> None:
    """What a dead refresher leaves is used as the mark allows, and no token is spent twice."""
    sends = whole.calls.count("sendto")
    was_sent = trial.wait_for_the_platform(outcome, fault, sends)
    found = stored(trial.directory)
    is_saved = found.token != trial.old.token
    reused = trials.platform.count(reuse_detected=True)
    if is_saved or found.refresh_sent is None:
        assert is_saved == was_sent
        ConfigStore(trial.directory, timeout=5.0).refresh_token()
        trials.use_again(trial)
        assert reused == trials.platform.count(reuse_detected=True)
        return
    sent = trial.sent()
    assert trial.old.token.access_token == later(str(trial.directory), LATE).token()
    with pytest.raises(RefreshPendingError):
        ConfigStore(trial.directory).refresh_token()
    assert sent == trial.sent()
    after = later(str(trial.directory), EXPIRED)
    # Dated anew where the clock of the dead process was ahead of the next one's.
    mark = stored(trial.directory).refresh_sent
    if was_sent:
        with pytest.raises(SessionEndedError) as caught:
            after.token()
        assert mark is not None
        moment = time.gmtime(mark.sent_at)
        assert time.strftime("%Y-%m-%d %H:%M:%S UTC", moment) == caught.value.lost_at
        assert reused + 1 == trials.platform.count(reuse_detected=True)
    else:
        assert trial.old.token.access_token != after.token()
        trials.use_again(trial)
        assert reused == trials.platform.count(reuse_detected=True)
    assert sent + 1 == trial.sent()


SHARE = 16  # of the faults that one run of effort 1 does one; a long run does most
NETWORK = ("socket", "connect", "setsockopt", "sendto", "recvfrom", "shutdown")


@pytest.mark.attack("3", "7", "mark")
@each_operation
def test_a_refused_operation_leaves_the_old_state(
    trials: Trials, tally: Tally, effort: Effort
) -> None:
    """Any system call of a whole operation fails in any way: a typed error and the old state, and a refreshed token is returned."""
    whole = trials.run(trials.new(), Fault(outside=True))
    assert (None, [], []) == (whole.error, whole.left, whole.held)
    faults = [
        Fault(error, when, outside=True)
        for when in range(1, len(whole.calls) + 1)
        for error in ERRORS
    ]
    for fault in sample(faults, lambda cases: effort(cases // SHARE)):
        trial = trials.new()
        before = content(trial.directory)
        outcome = trials.run(trial, fault)
        assert not outcome.died
        if fault.when > len(outcome.calls):
            continue  # threads share the work: now and then it takes a call less
        assert outcome.error is None or "ConfigError" in outcome.bases, outcome
        kept = [str(trial.directory / f"{name}.lock") for name in outcome.held]
        assert kept == files_left(outcome, fault), (fault, outcome)
        reserves = len([*trial.directory.glob("*.tmp")])
        assert reserves <= len(outcome.held), fault  # kept together, for the answer
        if trials.operation in REFRESHES:
            require_a_returned_token(trials, trial, outcome, fault, whole)
        elif outcome.error is not None:
            assert [] == outcome.held
            assert before == content(trial.directory), (fault, outcome)
        require_the_same_catalog(trial)
        shutil.rmtree(trial.directory)
        tally()


def require_a_returned_token(
    trials: Trials, trial: Trial, outcome: Outcome, fault: Fault, whole: Outcome
) -> None:
    """What was answered is returned; else the old token stands, and is marked if it was sent."""
    was_sent = trial.wait_for_the_platform(outcome, fault, whole.calls.count("sendto"))
    found = stored(trial.directory)
    failed = outcome.calls[fault.when - 1]
    is_network = failed in NETWORK or fault.when == closing_of_the_socket(outcome)
    if outcome.error is None:
        assert was_sent
        # What is not surely on the disk will be written once more.
        is_saved = found.token != trial.old.token and failed != "fsync"
        assert outcome.held == ([] if is_saved else ["refresh"])
        return
    assert [] == outcome.held
    assert trial.old.token == found.token, (fault, outcome)
    if was_sent:
        assert is_network, (fault, outcome)
        assert found.refresh_sent is not None
    else:
        # Of a form that was given to the system nobody knows that it was not sent.
        assert found.refresh_sent is None or failed == "sendto", (fault, outcome)
        trials.use_again(trial)


def closing_of_the_socket(outcome: Outcome) -> int:
    """Tell which call it is: the first ``close`` after the answer was received."""
    calls = outcome.calls
    if "recvfrom" not in calls:
        return 0
    received = len(calls) - calls[::-1].index("recvfrom")
    return calls.index("close", received) + 1
