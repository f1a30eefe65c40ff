"""``deferred``: what real signals do while something must not be interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from types import FrameType
from typing import Any, Iterator, List, Optional

import pytest
from samples import python

from neuro_config._signals import deferred

BOTH = (signal.SIGINT, signal.SIGTERM)


class Handler:
    """A handler that notes what it gets."""

    def __init__(self) -> None:
        self.received: List[int] = []

    def __call__(self, number: int, frame: Optional[FrameType]) -> None:
        self.received.append(number)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in BOTH}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def handler() -> Handler:
    """Handles both signals."""
    handler = Handler()
    for number in BOTH:
        signal.signal(number, handler)
    return handler


def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


def test_sigint_waits_for_the_end_of_the_block() -> None:
    """A Ctrl-C becomes a KeyboardInterrupt after the block and not within."""
    steps = []

    def run() -> None:
        with deferred():
            send(signal.SIGINT)
            steps.append("within")
        steps.append("after")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert ["within"] == steps


@pytest.mark.parametrize("number", BOTH)
def test_a_handler_gets_its_signal_after_the_block(
    number: int, handler: Handler
) -> None:
    """Both signals reach the program's own handler when the block is left, once."""
    with deferred():
        send(number)
        assert [] == handler.received
    assert [number] == handler.received


def test_both_signals_are_handed_on(handler: Handler) -> None:
    """Of two different signals none is lost."""
    with deferred():
        send(signal.SIGINT, signal.SIGTERM, signal.SIGTERM)
    assert [signal.SIGTERM, signal.SIGINT] == handler.received


def test_a_second_sigint_interrupts_at_once() -> None:
    """The second Ctrl-C leaves the block, and there is no third interruption."""
    steps = []

    def run() -> None:
        with deferred():
            send(signal.SIGINT)
            steps.append("within")
            send(signal.SIGINT)
            steps.append("never")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert ["within"] == steps


def test_a_second_sigint_goes_to_the_programs_own_handler(handler: Handler) -> None:
    """A program with a handler of its own gets the second SIGINT at once, and once."""
    with deferred():
        send(signal.SIGINT, signal.SIGINT)
        assert [signal.SIGINT] == handler.received
        send(signal.SIGINT)
        assert [signal.SIGINT] * 2 == handler.received
    assert [signal.SIGINT] * 2 == handler.received


def test_a_sigterm_outlives_a_second_sigint(handler: Handler) -> None:
    """Two SIGINTs do not swallow a SIGTERM."""
    with deferred():
        send(signal.SIGTERM, signal.SIGINT, signal.SIGINT)
    assert [signal.SIGINT, signal.SIGTERM] == handler.received


@pytest.mark.parametrize("number", BOTH)
def test_an_ignored_signal_stays_ignored(number: int) -> None:
    """A signal that the program ignores is ignored within and after."""
    signal.signal(number, signal.SIG_IGN)
    with deferred():
        assert signal.SIG_IGN == signal.getsignal(number)
        send(number)
    assert signal.SIG_IGN == signal.getsignal(number)


def test_no_signal_leaves_the_handlers_as_they_were(handler: Handler) -> None:
    """After the block the handlers are those from before."""
    with deferred():
        assert [False] * 2 == [signal.getsignal(number) is handler for number in BOTH]
    assert [handler] * 2 == [signal.getsignal(number) for number in BOTH]


def test_an_exception_restores_the_handlers(handler: Handler) -> None:
    """A block that fails restores the handlers, and what was put off is handed on."""

    def run() -> None:
        with deferred():
            send(signal.SIGTERM)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert [signal.SIGTERM] == handler.received
    assert [handler] * 2 == [signal.getsignal(number) for number in BOTH]


def test_a_handler_that_raises_leaves_no_handler_of_ours() -> None:
    """Handlers that raise as soon as they are back do not keep the others away."""

    def leave(number: int, frame: Optional[FrameType]) -> None:
        raise SystemExit(number)

    signal.signal(signal.SIGTERM, leave)

    def run() -> None:
        with deferred():
            send(signal.SIGINT, signal.SIGTERM)

    with pytest.raises(SystemExit):
        run()
    assert leave == signal.getsignal(signal.SIGTERM)
    assert signal.default_int_handler == signal.getsignal(signal.SIGINT)


def test_blocks_may_be_nested(handler: Handler) -> None:
    """What an inner block puts off waits for the end of the outer one."""
    with deferred():
        with deferred():
            send(signal.SIGTERM)
        assert [] == handler.received
    assert [signal.SIGTERM] == handler.received


def test_another_thread_changes_no_handler(handler: Handler) -> None:
    """In another thread the block runs, and the handlers stay what they are."""
    seen: List[Any] = []

    def run() -> None:
        with deferred():
            seen.extend(signal.getsignal(number) for number in BOTH)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert [handler] * 2 == seen


def test_sigterm_ends_a_process_after_the_block() -> None:
    """By default a SIGTERM ends the process by that signal, after the block."""
    code = """
import os, signal
from neuro_config._signals import deferred
with deferred():
    os.kill(os.getpid(), signal.SIGTERM)
    print("within", flush=True)
print("after", flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(python(code), stdout=subprocess.PIPE, env=environment)
    assert (-signal.SIGTERM, b"within\n") == (done.returncode, done.stdout)


def test_a_forked_child_puts_nothing_off(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a child that was forked in the middle of a block a signal is handled at once."""
    with deferred():
        monkeypatch.setattr(os, "getpid", lambda: -1)
        signal.raise_signal(signal.SIGTERM)
        assert [signal.SIGTERM] == handler.received
        monkeypatch.undo()
    assert [signal.SIGTERM] == handler.received
