"""How wrong this machine's clock is: one request, whose answer tells the server's time."""

from __future__ import annotations

from email.utils import mktime_tz, parsedate_tz
from typing import Callable, List, Optional

import requests

from ._deadline import Deadline
from ._errors import NetworkError
from ._http import Http

PATIENCE = 5.0  # seconds, of the one request
ANSWER_LIMIT = 1 << 20  # bytes


def skew_of(
    url: str,
    clock: Callable[[], float],
    open_session: Optional[Callable[[], requests.Session]] = None,
    patience: float = PATIENCE,
) -> Optional[float]:
    """Ask a platform for the time, without a token.

    Args:
        url: The platform's API.
        clock: Returns seconds since the epoch.
        open_session: Makes a ``requests.Session``, by default its class.
        patience: Seconds that the request may take.

    Returns:
        Seconds that the clock is surely ahead, negative if it is behind, 0.0 if it may be
        right; ``None`` where the platform does not tell the time.

    Raises:
        NetworkError: There was no answer at all.
    """
    dates: List[str] = []

    def note(answer: requests.Response, **options: object) -> None:
        dates.append(answer.headers.get("Date", ""))

    with (open_session or requests.Session)() as http:
        http.hooks["response"].append(note)
        before = clock()
        try:
            Http(http).request("GET", f"{url}/config", Deadline(patience), ANSWER_LIMIT)
        except NetworkError:
            if not dates:
                raise
        after = clock()
    there = _seconds_of(dates[-1])
    if there is None:
        return None
    # One second more: the header has no fractions.
    return max(before - (there + 1), min(after - there, 0.0))


def _seconds_of(date: str) -> Optional[float]:
    try:
        parsed = parsedate_tz(date)
        return None if parsed is None else float(mktime_tz(parsed))
    except (ValueError, OverflowError):
        return None
