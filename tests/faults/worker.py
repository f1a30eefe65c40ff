"""A process that has imported everything, and forks a child per scenario.

It is told by one JSON object what to run, in which directory, with which fault, and
whether a reader is to look on. It answers with the fields of ``sweep.Outcome``.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import logging
import os
import pkgutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List

import scenarios
import tracer
from beside import Reader
from operations import OPERATIONS

import neuro_config
from neuro_config import ConfigStore, NetworkError
from neuro_config._files import FileStorage
from neuro_config._locks import is_held, own_start

# Says that it is of ann's, and is signed by nobody.
TOKEN = "eyJhbGciOiJub25lIn0.eyJpZGVudGl0eSI6ImFubiJ9.x"
NOTHING: Dict[str, Any] = {"error": None, "bases": [], "text": ""}


def prepared(order: Dict[str, Any]) -> Callable[[], None]:
    """Make ready what an order names."""
    directory = order["directory"]
    if order["scenario"] in OPERATIONS:
        work = OPERATIONS[order["scenario"]]
        return functools.partial(work, directory, *order["arguments"])
    return functools.partial(
        scenarios.SCENARIOS[order["scenario"]], FileStorage(directory)
    )


def _do(order: Dict[str, Any]) -> Dict[str, Any]:
    """Do what is ordered; pause before and after."""
    work = prepared(order)
    own_start.cache_clear()  # asked once in a process, and each run stands for one
    tracer.pause()
    try:
        work()
        tracer.pause()
    except BaseException as error:
        tracer.pause()  # with the error, and all that it refers to, at hand
        bases = [base.__name__ for base in type(error).__mro__]
        return {"error": bases[0], "bases": bases, "text": str(error)}
    return NOTHING


class Child:
    """A traced process that does what it is ordered, until it dies."""

    def __init__(self, outside: bool) -> None:
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            tracer.consent(outside)
            while True:
                tracer.pause()
                found = _do(json.loads(os.read(orders, 1 << 16)))
                os.write(answers, json.dumps(found).encode())
        os.close(orders)
        os.close(answers)
        self.tracing = tracer.Tracing(self.pid)
        self.tracing.go_on()

    def order(self, order: Dict[str, Any]) -> None:
        """Let it make itself ready."""
        os.write(self._orders, json.dumps(order).encode())
        self.tracing.go_on()

    def answer(self) -> Dict[str, Any]:
        """Let it end, and return what it says."""
        self.tracing.go_on()
        found: Dict[str, Any] = json.loads(os.read(self._answers, 1 << 16))
        return found

    def end(self) -> None:
        """Kill it, if it is not dead."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            self.tracing.go_on()
        os.close(self._orders)
        os.close(self._answers)


class Worker:
    """Runs what is ordered in a child."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._children: Dict[bool, Child] = {}

    def run(self, order: Dict[str, Any]) -> Dict[str, Any]:
        """Do what is ordered, and tell what became of it."""
        fault, directory = tracer.Fault(*order["fault"]), order["directory"]
        child = self._children.pop(fault.outside, None) or Child(fault.outside)
        child.order(order)
        before = tracer.open_files(child.pid)
        if order["read"]:
            self._reader.start(directory)
        found, left = NOTHING, []
        lives = child.tracing.count(fault)
        if lives:
            left = _more(before, tracer.open_files(child.pid))
        held = _held(directory)
        seen = self._reader.stop() if order["read"] else []
        if lives:
            found = child.answer()
        if lives and order["scenario"] not in OPERATIONS:
            self._children[fault.outside] = child
        else:
            child.end()
        return {
            "died": not lives,
            "calls": child.tracing.calls,
            "events": child.tracing.events,
            **found,
            "left": left,
            "held": held,
            "seen": seen,
        }


def _more(before: Dict[str, Any], after: Dict[str, Any]) -> List[str]:
    return [str(what) for name, what in after.items() if before.get(name) != what]


def _held(directory: str) -> List[str]:
    return [name for name in ("commit", "refresh") if is_held(directory, name)]


def _warm_up() -> None:
    """Import what the scenarios import when they run."""
    for module in pkgutil.iter_modules(neuro_config.__path__, "neuro_config."):
        if not module.ispkg and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    with tempfile.TemporaryDirectory() as warm:
        for scenario, work in scenarios.SCENARIOS.items():
            scenarios.prepare(Path(warm) / scenario, scenario)
            work(FileStorage(os.path.join(warm, scenario)))
        with contextlib.suppress(NetworkError), socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))  # nobody listens there
            url = f"http://127.0.0.1:{nobody.getsockname()[1]}/api/v1"
            ConfigStore(warm, timeout=0.1).login_with_token(TOKEN, url=url)


def main(connection: socket.socket) -> None:
    """Do orders until nobody is there any more to give them."""
    logging.disable(logging.CRITICAL)
    _warm_up()
    worker = Worker()
    gc.collect()
    gc.freeze()
    while True:
        order = connection.recv(1 << 16)
        if not order:
            return
        connection.sendall(json.dumps(worker.run(json.loads(order))).encode())


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
