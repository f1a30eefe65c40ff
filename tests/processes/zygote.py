"""A process that has imported everything and forks workers that act at one moment.

It is told what to do by one line of JSON on stdin, and answers by one line:

    {"path": ..., "workers": 16, "actions": ["token"], "offset": 0.0, "timeout": 30.0}
    [{"results": ["..."], "error": null, "seconds": 0.1, "status": 0}, ...]

Each worker opens the store, waits for the others, then acts. A result is the action's
value as text; the first error ends the worker and is told by its name.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
from typing import Any, Callable, Dict, List, TextIO

from neuro_config import ConfigError, ConfigStore

# Imported before the fork, so that the workers differ by microseconds only.
for _name in ("_commit", "_locks", "_platform", "_refresh"):
    importlib.import_module(f"neuro_config.{_name}")

ACTIONS: Dict[str, Callable[[ConfigStore], object]] = {
    "token": lambda store: store.token(),
    "refresh_token": lambda store: store.refresh_token(),
    "fetch": lambda store: store.fetch(),
    "reload": lambda store: store.reload(),
    "logout": lambda store: store.logout(),
    "username": lambda store: store.username,
    "cluster_name": lambda store: store.cluster_name,
    "state": lambda store: type(store.state).__name__,
}


def act(store: ConfigStore, action: str) -> object:
    """Do one action, ``switch_cluster:farm`` for example."""
    name, _, argument = action.partition(":")
    if argument:
        return getattr(store, name)(*argument.split(","))
    return ACTIONS[name](store)


def work(order: Dict[str, Any], gate: int, out: TextIO) -> None:
    """Be one worker."""
    offset = order.get("offset", 0.0)
    store = ConfigStore(
        order["path"],
        clock=lambda: time.time() + offset,
        timeout=order.get("timeout", 30.0),
    )
    os.read(gate, 1)  # until the other end is closed
    results: List[object] = []
    error = None
    started = time.monotonic()
    for action in order["actions"]:
        try:
            results.append(act(store, action))
        except ConfigError as caught:
            error = type(caught).__name__
            break
    seconds = time.monotonic() - started
    json.dump({"results": results, "error": error, "seconds": seconds}, out)


def run(order: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Fork the workers, let them go at once, collect what they say."""
    wait, go = os.pipe()
    workers = []
    for _ in range(order["workers"]):
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(go)
            os.close(read)
            with os.fdopen(write, "w") as out:
                work(order, wait, out)
            os._exit(0)
        os.close(write)
        workers.append((pid, read))
    time.sleep(0.05)
    os.close(go)
    os.close(wait)
    found = []
    for pid, read in workers:
        with os.fdopen(read) as answers:
            text = answers.read()
        _, status = os.waitpid(pid, 0)
        answer = json.loads(text) if text else {"results": [], "error": "died"}
        found.append({**answer, "status": status})
    return found


def main() -> None:
    """Do orders until stdin ends."""
    logging.disable(logging.WARNING)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line)), default=str), flush=True)


if __name__ == "__main__":
    main()
