"""A process that forks a herd of workers, and tells round by round what they did.

It has imported everything, so a worker costs a fork. It is told a round by one line of
JSON on stdin, and answers with one line, the events of the round:

    {"path": ..., "url": ..., "offset": 0.0, "todo": {"3": [[{"do": "token"}]]},
     "kill": {"3": 0.01}, "stop": {"4": 0.02}}

``todo`` names for each worker what each of its threads does; a worker that is not there
yet is forked. ``kill`` and ``stop`` say how many seconds after the beginning a worker is
killed, or stopped for a while; the worker ``-1`` is the one that refreshes a token then.

Each event is one line that a worker writes at once into a pipe that all share, so what
is there is whole, whoever has died: ``begin`` before something is done, ``end`` after it.
Times are those of the clock that all processes share.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import logging
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Set, Tuple

from lineage import digest, told

from neuro_config import ConfigError, ConfigStore
from neuro_config._deadline import Deadline
from neuro_config._locks import read_hint

# Imported before the fork, so that the workers differ by microseconds only, and because
# a child that is forked while another thread imports waits for that import for ever.
for _name in ("_catalog", "_choice", "_commit", "_locks", "_new_login", "_refresh"):
    importlib.import_module(f"neuro_config.{_name}")
importlib.import_module("tomli_w")

TIMEOUT = 60.0  # seconds; of a call
STOPPED = 0.05  # seconds that a worker is stopped
PATIENCE = 150.0  # seconds that a round may take

Order = Dict[str, Any]


class Worker:
    """A process of the herd, seen from inside."""

    def __init__(self, number: int, events: int) -> None:
        self._number = number
        self._events = events
        self._offset = 0.0
        self._stores: Dict[int, ConfigStore] = {}

    def work(self, orders: int) -> None:
        """Do the orders that come until there are no more."""
        with os.fdopen(orders) as lines:
            for line in lines:
                order = json.loads(line)
                self._offset = order["offset"]
                threads = [
                    threading.Thread(target=self._thread, args=(order, number, todo))
                    for number, todo in enumerate(order["todo"])
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                self._tell({"event": "done"})

    def _thread(self, order: Order, number: int, todo: List[Order]) -> None:
        time.sleep(max(0.0, order["start"] - time.monotonic()))
        for one in todo:
            self._do(order, number, one)

    def _clock(self) -> float:
        return time.time() + self._offset

    def _do(self, order: Order, number: int, one: Order) -> None:
        if one.get("forked"):
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                return
        self._really_do(order, number, one)
        if one.get("forked"):
            os._exit(0)

    def _really_do(self, order: Order, number: int, one: Order) -> None:
        store = self._stores.get(number)
        who = {"thread": number, "do": one["do"], "argument": one.get("argument")}
        held = store and told(store._binding.snapshot.session)
        self._tell({"event": "begin", "at": time.monotonic(), "held": held, **who})
        found: Order = {"error": None, "value": None}
        try:
            if store is None:
                store = ConfigStore(order["path"], clock=self._clock, timeout=TIMEOUT)
                self._stores[number] = store
            value = act(store, order["url"], one)
            found["value"] = value and digest(str(value))
        except ConfigError as error:
            found["error"] = type(error).__name__
        at = time.monotonic()
        shows = store and told(store._binding.snapshot.session)
        self._tell({"event": "end", "at": at, "shows": shows, **found, **who})

    def _tell(self, event: Order) -> None:
        line = json.dumps({"worker": self._number, **event}) + "\n"
        data = line.encode()
        assert len(data) <= select.PIPE_BUF
        os.write(self._events, data)


def act(store: ConfigStore, url: str, one: Order) -> object:
    """Do one thing; whoever opens a store has read it already."""
    name, argument = one["do"], one.get("argument")
    if name == "open":
        return None
    if name == "read":
        return store.reload()  # type: ignore[func-returns-value]
    if name == "login":
        store._log_in_with_answer(one["answer"], url, Deadline(TIMEOUT))
        return None
    return getattr(store, name)(*([] if argument is None else [argument]))


class Herd:
    """All workers, seen from outside."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._workers: Dict[int, Tuple[int, int]] = {}  # pid, where orders go
        self._rest = b""
        self._path = ""

    def round(self, order: Order) -> List[Order]:
        """Let the workers go, kill and stop some of them, collect what they tell."""
        common = {name: order[name] for name in ("path", "url", "offset")}
        common["start"] = time.monotonic() + 0.005 + 0.0005 * len(order["todo"])
        for name, todo in order["todo"].items():
            number = int(name)
            if number not in self._workers:
                self._workers[number] = self._fork(number)
            line = json.dumps({**common, "todo": todo}) + "\n"
            os.write(self._workers[number][1], line.encode())
        signals = [
            (common["start"] + seconds, int(name), what)
            for key, what in (("kill", signal.SIGKILL), ("stop", signal.SIGSTOP))
            for name, seconds in order[key].items()
        ]
        self._path = order["path"]
        return self._collect({int(name) for name in order["todo"]}, sorted(signals))

    def _collect(
        self, busy: Set[int], signals: List[Tuple[float, int, signal.Signals]]
    ) -> List[Order]:
        events: List[Order] = []
        end = time.monotonic() + PATIENCE
        while busy or signals:
            now = time.monotonic()
            if now > end:
                self._explain(busy)
                raise AssertionError(f"still at work: {busy}")
            wait = min(0.05, signals[0][0] - now) if signals else 0.05
            if select.select([self._read], [], [], max(wait, 0.0))[0]:
                events += self._pending(busy)
            elif wait <= 0:
                _, number, what = signals.pop(0)
                number = self._refresher() if number < 0 else number
                if what == signal.SIGKILL and number in busy:
                    events += self._kill(number, busy)
                elif what == signal.SIGSTOP and number in busy:
                    os.kill(self._workers[number][0], what)
                    again = (time.monotonic() + STOPPED, number, signal.SIGCONT)
                    signals = sorted([*signals, again])
                elif what == signal.SIGCONT and number in self._workers:
                    os.kill(self._workers[number][0], what)
        return events

    def _refresher(self) -> int:
        """Return who holds the right to refresh or held it last; -1 if that is nobody."""
        pid = read_hint(self._path, "refresh").get("pid")
        numbers = [number for number, one in self._workers.items() if one[0] == pid]
        return numbers[0] if numbers else -1

    def _kill(self, number: int, busy: Set[int]) -> List[Order]:
        pid, orders = self._workers.pop(number)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(orders)
        died = {"event": "died", "worker": number, "at": time.monotonic()}
        busy.discard(number)
        return [*self._pending(busy), died]

    def _explain(self, busy: Set[int]) -> None:
        """Have all who are late write to stderr where they are, and their children."""
        for number in busy:
            pid, _ = self._workers.pop(number)
            files = Path(f"/proc/{pid}/task").glob("*/children")
            children = " ".join(file.read_text() for file in files).split()
            late = [*map(int, children), pid]
            for each in late:
                os.kill(each, signal.SIGUSR1)
                time.sleep(0.5)
            for each in late:
                os.kill(each, signal.SIGKILL)

    def _pending(self, busy: Set[int]) -> List[Order]:
        """Read what is in the pipe, and note who is done."""
        while select.select([self._read], [], [], 0)[0]:
            self._rest += os.read(self._read, 1 << 16)
        *lines, self._rest = self._rest.split(b"\n")
        events: List[Order] = [json.loads(line) for line in lines]
        busy -= {one["worker"] for one in events if one["event"] == "done"}
        return events

    def _fork(self, number: int) -> Tuple[int, int]:
        orders, write = os.pipe()
        pid = os.fork()
        if pid:
            os.close(orders)
            return pid, write
        for fd in [write, self._read, *(one[1] for one in self._workers.values())]:
            os.close(fd)
        with contextlib.suppress(KeyboardInterrupt):
            Worker(number, self._write).work(orders)
        os._exit(0)

    def end(self) -> None:
        """Let all workers go home."""
        for pid, write in self._workers.values():
            os.close(write)
            os.waitpid(pid, 0)


def main() -> None:
    """Do rounds until stdin ends."""
    logging.disable(logging.WARNING)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    herd = Herd()
    try:
        for line in sys.stdin:
            print(json.dumps(herd.round(json.loads(line))), flush=True)
    finally:
        herd.end()


if __name__ == "__main__":
    main()
