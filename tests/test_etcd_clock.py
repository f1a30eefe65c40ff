"""The clock that a cluster tells its hosts."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from neuro_config._etcd_clock import Times, uptime

NOW = 1.6e9


def clock_of(ahead: float, date: str, ago: float = 0.0, took: float = 0.0) -> float:
    """What a host whose clock is ahead takes for the time, some time after an answer."""
    times = Times()
    up = uptime()
    times.note(date, up - ago - took, up - ago)
    return times.shared(lambda: NOW + ahead)()


@pytest.mark.parametrize("ahead", [-86400.0, -3.0, 3.0, 3600.0])
@pytest.mark.parametrize("ago", [0.0, 1000.0])
def test_a_wrong_clock_is_put_right(ahead: float, ago: float) -> None:
    """A host that is wrong by more than the header is rough goes by the cluster."""
    date = formatdate(NOW - ago, usegmt=True)
    assert -0.1 <= clock_of(ahead, date, ago) - NOW <= 1.6


@pytest.mark.parametrize("ahead", [0.1, 0.9, 2.4])
def test_a_right_clock_is_left_alone(ahead: float) -> None:
    """Within the header's second and the time that the answer took the host may be right."""
    date = formatdate(NOW, usegmt=True)
    assert NOW + ahead == clock_of(ahead, date, took=2.0)


@pytest.mark.parametrize(
    "date", ["", "soon", "Thu, 01 Jan 99999999999999999 00:00:00 GMT", "1 2 3 4 5 6 7"]
)
def test_a_date_that_is_none(date: str) -> None:
    """What is no date changes nothing."""
    assert NOW + 7 == clock_of(7, date)
    assert NOW == Times().shared(lambda: NOW)()
