"""SIGINT and SIGTERM, put off while something must not be interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Any, Dict, Iterator, List, Optional


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Put SIGINT and SIGTERM off until the block is left.

    Only the main thread may handle signals, so elsewhere nothing is put off. A second
    SIGINT is not put off: the person at the keyboard means it. A signal that is
    ignored stays ignored, and one handled outside of Python is left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: List[int] = []
    pid = os.getpid()

    def note(number: int, frame: Optional[FrameType]) -> None:
        if os.getpid() != pid:  # a child that another thread forked has no such block
            restore(signal.SIGTERM)
            restore(signal.SIGINT)
            signal.raise_signal(number)
        elif number not in received:
            received.append(number)
        elif number == signal.SIGINT:
            received.remove(number)  # this one stands for both
            restore(number)
            signal.raise_signal(number)

    handlers: Dict[int, Any] = {}
    for deferrable in (signal.SIGTERM, signal.SIGINT):
        handler = signal.getsignal(deferrable)
        if handler not in (None, signal.SIG_IGN):
            handlers[deferrable] = handler

    def restore(number: int) -> None:
        if number in handlers:
            signal.signal(number, handlers[number])

    # A handler that is back may raise at once: hence a finally for each step. SIGTERM
    # comes first, since the KeyboardInterrupt of a SIGINT would be the last step.
    try:
        for number in handlers:
            signal.signal(number, note)
        yield
    finally:
        try:
            restore(signal.SIGTERM)
        finally:
            try:
                restore(signal.SIGINT)
            finally:
                for number in sorted(received, reverse=True):
                    signal.raise_signal(number)
