"""Answers without an end, and bombs: how much memory they take, in a process of its own."""

from __future__ import annotations

import json
from typing import Any, Dict

import failures
import pytest
from failures import Failure
from proof import Effort, Tally
from samples import started
from wire import Wire

LIMITS = {"config": 4 << 16, "token": 1 << 14}  # KiB; the answers' are 64 MiB, 256 KiB

# Forks for each line, so that each child's high-water mark is its own.
CHILD = """
import json, os, sys, threading, time
from neuro_config import ConfigError
from neuro_config._deadline import Deadline
from neuro_config._platform import PlatformClient
from neuro_config._session import AuthConfig

def kibibytes(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))

def under_way():
    return any(one.name == "neuro_config-request" for one in threading.enumerate())

def attempt(endpoint, url):
    client, deadline = PlatformClient(), Deadline(1)
    try:
        if endpoint == "config":
            client.get_config(url, "token", deadline)
        else:
            client.refresh(AuthConfig(url, url + "/token", "client"), "token", deadline)
    except ConfigError as error:
        return type(error).__name__

def report(endpoint, url):
    before = kibibytes("VmRSS")
    error = attempt(endpoint, url)
    until = time.monotonic() + 1
    while under_way() and time.monotonic() < until:  # what is late may go on reading
        time.sleep(0.01)
    print(json.dumps([error, kibibytes("VmHWM") - before]), flush=True)

attempt("config", sys.argv[1])  # nothing is imported later on
attempt("token", sys.argv[1])
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        report(*json.loads(line))
        os._exit(0)
    os.waitpid(pid, 0)
"""

ENDLESS: Dict[str, Failure] = {
    name: failure
    for name, failure in {**failures.CONNECTIONS, **failures.BODIES}.items()
    if failure.is_heavy or "endless" in name
}


@pytest.mark.attack("12")
@pytest.mark.parametrize("endpoint", LIMITS)
def test_endless_answers(endpoint: str, tally: Tally, effort: Effort) -> None:
    """A server answers without an end, or with a bomb, and a process measures its memory."""
    cases = list(ENDLESS.items())
    found: Dict[str, Any] = {}
    with started(CHILD, "http://127.0.0.1:9") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for name, failure in cases * effort(1):
            with Wire(failure.answer) as wire:
                print(json.dumps([endpoint, wire.url]), file=child.stdin, flush=True)
                error, grown = json.loads(child.stdout.readline())
            tally()
            if error is None or grown > LIMITS[endpoint]:
                found[name] = (error, grown)
    assert {} == found
