"""A process that has imported everything, and forks a child per scenario.

It is told by one JSON object what to run, in which directory, with which fault, and
whether a reader is to look on. It answers with the fields of ``sweep.Outcome``.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List

import scenarios
import tracer
from beside import Reader
from operations import OPERATIONS

from neuro_config._files import FileStorage
from neuro_config._locks import is_held


def perform(order: Dict[str, Any]) -> None:
    """Do what an order names."""
    directory = order["directory"]
    if order["scenario"] in OPERATIONS:
        OPERATIONS[order["scenario"]](directory, *order["arguments"])
    else:
        scenarios.SCENARIOS[order["scenario"]](FileStorage(directory))


def _be_watched(order: Dict[str, Any], answer: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    found = {"error": None, "bases": [], "text": ""}
    fault = tracer.Fault(*order["fault"])
    tracer.consent(fault.outside)
    try:
        perform(order)
        tracer.pause()
    except BaseException as error:
        tracer.pause()  # with the error, and all that it refers to, at hand
        bases = [base.__name__ for base in type(error).__mro__]
        found = {"error": bases[0], "bases": bases, "text": str(error)}
    os.write(answer, json.dumps(found).encode())


def run(order: Dict[str, Any], reader: Reader) -> Dict[str, Any]:
    """Fork a child that does what is ordered, and tell what became of it."""
    answers, answer = os.pipe()
    child = os.fork()
    if child == 0:
        _be_watched(order, answer)
        os._exit(0)
    os.close(answer)
    if order["read"]:
        reader.start(order["directory"])
    files: List[Dict[str, Any]] = []
    held: List[str] = []

    def paused() -> None:
        files.append(tracer.open_files(child))
        held[:] = _held(order["directory"])

    watched = tracer.watch(child, tracer.Fault(*order["fault"]), paused)
    with os.fdopen(answers) as pipe:
        text = pipe.read()
    found = json.loads(text or '{"error": null, "bases": [], "text": ""}')
    left = [] if len(files) < 2 else _more(files[0], files[1])
    seen = reader.stop() if order["read"] else []
    return {**watched._asdict(), **found, "left": left, "held": held, "seen": seen}


def _more(before: Dict[str, Any], after: Dict[str, Any]) -> List[str]:
    return [str(what) for name, what in after.items() if before.get(name) != what]


def _held(directory: str) -> List[str]:
    return [name for name in ("commit", "refresh") if is_held(directory, name)]


def _warm_up() -> None:
    """Import what the scenarios import when they run."""
    import neuro_config._commit
    import neuro_config._new_login
    import neuro_config._refresh  # noqa: F401

    with tempfile.TemporaryDirectory() as warm:
        for scenario, work in scenarios.SCENARIOS.items():
            scenarios.prepare(Path(warm) / scenario, scenario)
            work(FileStorage(os.path.join(warm, scenario)))


def main(connection: socket.socket) -> None:
    """Do orders until nobody is there any more to give them."""
    logging.disable(logging.CRITICAL)
    _warm_up()
    reader = Reader()
    gc.collect()
    gc.freeze()
    while True:
        order = connection.recv(1 << 16)
        if not order:
            return
        connection.sendall(json.dumps(run(json.loads(order), reader)).encode())


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
