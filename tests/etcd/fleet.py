"""A fleet for a test: hosts that are processes, told what to do at one moment."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator, List, Sequence

from fleet_host import expired
from samples import environment

from neuro_config import EtcdStorage
from neuro_config._etcd_refresher import LEASE

HOST = Path(__file__).with_name("fleet_host.py")
TIMEOUT = 60.0  # seconds that a call of a host may take


class Host:
    """One process that is a host.

    Args:
        url: Of the storage.
        offset: Seconds by which its clock is wrong.
        wrapper: A command before its own, ``ip netns exec NAME`` for example.
    """

    def __init__(
        self,
        url: str,
        offset: float = 0.0,
        *,
        timeout: float = TIMEOUT,
        lease: int = LEASE,
        wrapper: Sequence[str] = (),
    ) -> None:
        arguments = [str(HOST), url, str(offset), str(timeout), str(lease)]
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, *arguments],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        assert "ready\n" == self._read()

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        return json.loads(self._read())

    def ask(self, line: str) -> Any:
        self.tell(line)
        return self.hear()

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def wait_until_stopped(self) -> None:
        end = time.monotonic() + TIMEOUT
        while Path(f"/proc/{self.process.pid}/stat").read_text().split()[2] != "T":
            assert time.monotonic() < end, "it does not stop"
            time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def fleet(url: str, offsets: Sequence[float], **options: Any) -> Iterator[List[Host]]:
    """Run a host for each offset."""
    hosts = [Host(url, offset, **options) for offset in offsets]
    try:
        for host in hosts:
            host.wait()
        yield hosts
    finally:
        for host in hosts:
            host.kill()


def ask_all(hosts: Sequence[Host], line: str) -> List[Any]:
    """Tell all hosts the same at one moment, and hear what they say."""
    for host in hosts:
        host.tell(line)
    return [host.hear() for host in hosts]


def expire(storage: EtcdStorage) -> None:
    """Let the stored token's life be over."""
    storage.update(expired, TIMEOUT)


@contextlib.contextmanager
def meanwhile(act: Any) -> Iterator[None]:
    """Do something in a thread while the block runs."""
    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join()
