"""A host of a fleet: a process with a store of its own that does what stdin says.

``fleet_host.py URL OFFSET TIMEOUT LEASE``: the offset is by how many seconds its clock is
wrong, the lease that of its right to refresh. A line is an action of ``zygote.act``, answered by ``[result, error, seconds]``; or
``count N``, N changes of a number in the login, answered by ``{"acked", "unknown",
"longest"}``: how many were acknowledged, how many may have been made, and the longest
time that one took; ``leader``, answered by its endpoint or null; or ``expire``, which lets the
stored token's life be over; ``take DIR``, which takes a directory's login over; ``freeze
WHERE``, which stops this process the next time it comes there (``FREEZERS``); or
``counted``, which tells the number.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, Optional

import attrs

sys.path.append(str(Path(__file__).parents[1] / "processes"))

from zygote import act

from neuro_config import (
    ConfigError,
    ConfigStore,
    Session,
    StorageUnavailableError,
    _etcd_refresher,
    _http,
)
from neuro_config._deadline import Deadline
from neuro_config._files import open_storage
from neuro_config._move import Leave, copy_login
from neuro_config._storage import Storage


def increment(session: Optional[Session]) -> Optional[Session]:
    """Count one up, where nothing else looks."""
    assert session is not None
    assert session.auth is not None
    number = int(session.auth.success_redirect_url or 0) + 1
    auth = attrs.evolve(session.auth, success_redirect_url=str(number))
    return attrs.evolve(session, auth=auth)


def expired(session: Optional[Session]) -> Optional[Session]:
    """Let the token's life be over, as if so much time had passed."""
    assert session is not None
    now = time.time()
    token = attrs.evolve(session.token, obtained_at=now - 3600, expires_at=now - 10)
    return attrs.evolve(session, token=token)


def stop() -> None:
    # To this very thread: another one would stop it a moment later.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def after_the_lock(storage: Any) -> None:
    take = storage.sole_refresher

    def taken(*arguments: Any, **options: Any) -> object:
        del storage.sole_refresher
        refresher = take(*arguments, **options)
        stop()
        return refresher

    storage.sole_refresher = taken


def before_the_mark(storage: Any) -> None:
    update = storage.update

    def updated(*arguments: Any, **options: Any) -> object:
        del storage.update
        stop()
        return update(*arguments, **options)

    storage.update = updated


def before_it_is_sent(storage: Any) -> None:
    send = _http._Form.__iter__

    def sent(form: Any) -> Any:
        _http._Form.__iter__ = send  # type: ignore[method-assign]
        stop()
        return send(form)

    _http._Form.__iter__ = sent  # type: ignore[method-assign]


FREEZERS = {
    "lock": after_the_lock,
    "mark": before_the_mark,
    "send": before_it_is_sent,
}


def freeze(storage: Storage, where: str) -> bool:
    """Stop this process the next time that it comes to a place in a refresh."""
    FREEZERS[where](storage)
    return True


def counted(storage: Storage) -> int:
    """Tell how many changes there are."""
    session = storage.read()
    assert session is not None
    assert session.auth is not None
    return int(session.auth.success_redirect_url or 0)


def count(storage: Storage, times: int, timeout: float) -> Dict[str, Any]:
    """Count up some times."""
    acked, unknown, longest = 0, 0, 0.0
    for _ in range(times):
        begun = time.monotonic()
        try:
            storage.update(increment, timeout)
            acked += 1
        except StorageUnavailableError as error:
            unknown += "not known" in str(error)
        longest = max(longest, time.monotonic() - begun)
    return {"acked": acked, "unknown": unknown, "longest": longest}


def main() -> None:
    """Do as told until stdin ends."""
    logging.disable(logging.WARNING)
    url, offset, timeout = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    _etcd_refresher.LEASE = int(sys.argv[4])
    store = ConfigStore(url, clock=lambda: time.time() + offset, timeout=timeout)
    print("ready", flush=True)
    for line in sys.stdin:
        begun = time.monotonic()
        name, _, argument = line.strip().partition(" ")
        answer: object
        if name == "expire":
            answer = store._storage.update(expired, timeout) is not None
        elif name == "take":
            source = open_storage(argument).storage
            copy_login(source, store._storage, Leave.NOTHING, Deadline(timeout))
            answer = True
        elif name == "counted":
            answer = counted(store._storage)
        elif name == "freeze":
            answer = freeze(store._storage, argument)
        elif name == "count":
            answer = count(store._storage, int(argument), timeout)
        elif name == "leader":
            members = store._storage.health(timeout).answering  # type: ignore[attr-defined]
            answer = next((one.endpoint for one in members if one.leads), None)
        else:
            try:
                answer = [act(store, name), None, time.monotonic() - begun]
            except ConfigError as error:
                answer = [None, type(error).__name__, time.monotonic() - begun]
        print(json.dumps(answer, default=str), flush=True)


if __name__ == "__main__":
    main()
