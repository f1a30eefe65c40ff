"""A process that has imported everything and forks a child for each refresh to disturb.

It is told what to do by one line of JSON on stdin, and answers with the child's status
as ``os.waitpid`` gives it, and how many lines of ours the child ran::

    {"path": ..., "numbers": [2], "at": 17}
    {"status": 768, "lines": 17}

Each signal of ``numbers`` is sent to the child when it begins its so-manieth line of
``neuro_config``, in whichever thread. With ``"waits": true`` the child tells its
process id first and begins when a line comes, so that one can trace it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, Dict, List, Optional

import neuro_config
from neuro_config import ConfigStore

INTERRUPTED = 3  # the exit status after a KeyboardInterrupt
PR_SET_PTRACER = 0x59616D61
PR_SET_PTRACER_ANY = -1

OURS = os.path.dirname(neuro_config.__file__) + os.sep


class Disturbance:
    """Counts the lines of ours that run, and sends the signals at one of them."""

    def __init__(self, numbers: List[int], at: int) -> None:
        self.lines = 0
        self._numbers = numbers
        self._at = at
        self._lock = threading.Lock()

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        if event == "line":
            with self._lock:
                self.lines += 1
                is_now = self.lines == self._at
            if is_now:
                for number in self._numbers:
                    os.kill(os.getpid(), number)
        return self.trace


def refresh(order: Dict[str, Any], report: int) -> int:
    """Be the child: refresh, and return the exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    store = ConfigStore(order["path"], timeout=20.0)
    if order.get("waits"):
        # Where Yama guards processes only a parent may trace, unless one agrees.
        agree = ctypes.c_ulong(PR_SET_PTRACER_ANY)
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, agree, 0, 0, 0)
        print(os.getpid(), flush=True)
        sys.stdin.readline()
        store.refresh_token()
        return 0
    disturbance = Disturbance(order["numbers"], order["at"])
    status = 0
    try:
        threading.settrace(disturbance.trace)
        sys.settrace(disturbance.trace)
        store.refresh_token()
    except KeyboardInterrupt:
        status = INTERRUPTED
    finally:
        sys.settrace(None)
    os.write(report, b"%d" % disturbance.lines)
    return status


def run(order: Dict[str, Any]) -> Dict[str, Optional[int]]:
    """Fork a child, and tell what became of it."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os._exit(refresh(order, write))
    os.close(write)
    with os.fdopen(read) as lines:
        text = lines.read()
    return {"status": os.waitpid(child, 0)[1], "lines": int(text) if text else None}


def main() -> None:
    """Warm up with one undisturbed refresh, then do orders until stdin ends."""
    ConfigStore(sys.argv[1]).refresh_token()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
