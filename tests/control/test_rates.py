"""Token buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshd.control.rates import Buckets, Rate


def test_a_burst_then_the_rate() -> None:
    buckets = Buckets(Rate(2.0, 3.0))
    assert [buckets.take("a", 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("a", 0.5) == 0
    assert buckets.take("a", 0.5) == 0.5
    assert buckets.take("b", 0.5) == 0, "others have their own"


def test_looking_takes_nothing() -> None:
    buckets = Buckets(Rate(1.0, 1.0))
    assert [buckets.wait_for("a", 0.0) for _ in range(3)] == [0, 0, 0]
    buckets.take("a", 0.0)
    assert buckets.wait_for("a", 0.25) == 0.75


def test_keys_are_bounded() -> None:
    buckets = Buckets(Rate(0.001, 1.0), max_keys=2)
    for key in "abc":
        assert buckets.take(key, 0.0) == 0
    assert len(buckets._buckets) == 2
    assert buckets.take("c", 0.0) > 0


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.floats(0.1, 5), st.integers(1, 5))
def test_never_more_than_burst_and_rate_allow(gaps: list[float], per_second: float, burst: int) -> None:
    buckets = Buckets(Rate(per_second, burst))
    now, given_out = 0.0, 0
    for gap in gaps:
        now += gap
        given_out += buckets.take("k", now) == 0
        assert given_out <= burst + per_second * now + 1e-6
