"""Pauses between tries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshd.agent.backoff import Backoff


def test_doubles_up_to_a_bound() -> None:
    backoff = Backoff(first=1, most=10)
    assert [backoff.after(failures, 1) for failures in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert backoff.after(1, 0) == 0.5


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 300))
def test_bounds(failures: int, draw: float, least: float) -> None:
    wait = Backoff().after(failures, draw, at_least=least)
    assert wait > 0
    assert wait >= least
    assert wait <= max(Backoff().most, least * 1.2)
