"""Real processes that a test talks to."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, List

SCRIPTS = Path(__file__).parent / "processes"


class Talk:
    """A process that answers a line on stdin with a line on stdout.

    Threads may ask, and get their answers one after the other.
    """

    def __init__(
        self, script: str, *arguments: str, program: str = sys.executable
    ) -> None:
        self.process = subprocess.Popen(
            [program, str(SCRIPTS / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._asking = threading.Lock()

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def ask(self, line: str) -> Any:
        assert self.process.stdin is not None
        with self._asking:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            return json.loads(self.read())

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self._asking:
            self.process.stdin.close()
            self.process.stdout.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Workers:
    """Start processes that act at the same moment."""

    def __init__(self, talk: Talk, path: Path) -> None:
        self._talk = talk
        self._path = path

    def __call__(
        self, workers: int, *actions: str, **options: float
    ) -> List[Dict[str, Any]]:
        order = {
            "path": str(self._path),
            "workers": workers,
            "actions": actions,
            **options,
        }
        found: List[Dict[str, Any]] = self._talk.ask(json.dumps(order))
        return found
