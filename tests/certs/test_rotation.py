"""When to renew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshd.certs.rotation import Freshness, Rotation

DAY = 86400.0
ROTATION = Rotation()


def test_half_life_with_a_little_jitter() -> None:
    assert ROTATION.renew_at(0, DAY, 0) == DAY / 2
    assert ROTATION.renew_at(0, DAY, 1) == DAY * 0.51
    assert ROTATION.renew_at(0, DAY, -5) == DAY * 0.49


@given(st.floats(0, 1e10), st.floats(0, 1e8), st.floats(-1, 1))
def test_never_later_than_two_thirds(start: float, life: float, draw: float) -> None:
    due = ROTATION.renew_at(start, start + life, draw)
    assert start <= due <= start + life * 2 / 3 + 1e-3


def test_freshness() -> None:
    at = [ROTATION.freshness(100, 200, now) for now in (99, 100, 149, 150, 175, 176, 199, 200)]
    assert at == [
        Freshness.NOT_YET,
        Freshness.FRESH,
        Freshness.FRESH,
        Freshness.DUE,
        Freshness.DUE,
        Freshness.ALARM,
        Freshness.ALARM,
        Freshness.EXPIRED,
    ]


def test_a_certificate_without_life() -> None:
    assert ROTATION.freshness(5, 5, 5) is Freshness.EXPIRED
    assert ROTATION.renew_at(5, 4, 0.5) == 5


def test_after_a_renewal_there_is_rest_whatever_the_clock_says() -> None:
    """A clock that is 13 hours ahead sees every new certificate past its half life."""
    issued, now = 0.0, 13 * 3600.0
    due = ROTATION.next_after(issued, issued + DAY, now, 0)
    assert due == now + 11 * 3600 / 4
    assert ROTATION.next_after(0, DAY, 0, 0) == DAY / 2
    assert ROTATION.next_after(0, 10, 20, 0) == 21


def test_sleeps_are_short_enough_to_see_the_clock_jump() -> None:
    assert ROTATION.sleep(DAY, 0) == ROTATION.longest_sleep
    assert ROTATION.sleep(10, 4) == 6
    assert ROTATION.sleep(4, 10) == 0


@given(st.integers(1, 10_000), st.floats(-100, 1e6), st.floats(0, 1))
def test_retries_are_bounded_and_leave_room_for_more(failures: int, remaining: float, draw: float) -> None:
    wait = ROTATION.retry_after(failures, remaining, draw)
    assert 0 < wait <= ROTATION.retry_most
    if remaining > 8:
        assert wait <= remaining / 8 or wait <= ROTATION.retry_first


def test_retries_double() -> None:
    waits = [ROTATION.retry_after(failures, 1e6, 1) for failures in range(1, 9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
