"""Orders on stdin, answers on stdout, a line of JSON each.

``{"do": "token", "with": [PATH], "times": 1000}`` does it so often and answers with
the seconds that one time took. ``{"do": "storm", ...}`` does a list of switches and
answers with one ``[start, end, name, error]`` each; ``{"do": "watch", ...}`` looks at
what is stored until a file appears.

No package is imported here, since what imports cost is measured, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import urllib.request
from typing import Any, Callable, List

Act = Callable[..., Any]
Seconds = Callable[..., float]


def show_browser(url: Any) -> None:
    """Be the browser of somebody whom the platform lets in without a question."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(str(url), timeout=30).read()


def serve(act: Act, seconds: Seconds) -> None:
    """Do what stdin says until it ends.

    Args:
        act: Does something, given its name and arguments.
        seconds: Tells how long so many times of something took, given their number, its
            name and arguments, without what this script adds to each.
    """
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(_done(act, seconds, order)), flush=True)


def timed(call: Callable[[], Any], times: int) -> float:
    """Tell how many seconds a number of calls took."""
    started = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - started


def _done(act: Act, seconds: Seconds, order: Any) -> Any:
    name, arguments = order["do"], order["with"]
    if name == "storm":
        return _storm(act, *arguments)
    if name == "watch":
        return _watch(act, *arguments)
    return seconds(order["times"], name, *arguments) / order["times"]


def _storm(act: Act, path: str, action: str, names: List[str], times: int) -> Any:
    found = []
    for number in range(times):
        name = names[number % len(names)]
        error = None
        started = time.monotonic()
        try:
            act(action, path, name)
        except Exception as caught:
            error = type(caught).__name__
        found.append([started, time.monotonic(), name, error])
    return found


def _watch(act: Act, path: str, end: str) -> Any:
    found = []
    last = False
    while not last:
        last = os.path.exists(end)  # one more look after the end
        started = time.monotonic()
        with contextlib.suppress(Exception):  # the peers' files are locked now and then
            seen = act("look", path)
            found.append([started, time.monotonic(), *seen])
    return found
