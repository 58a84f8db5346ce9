"""Go's durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.api.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2s", 2.0),
        ("0.5s", 0.5),
        (".5s", 0.5),
        ("1h30m", 5400.0),
        ("100ms", 0.1),
        ("1m1s1ms", 61.001),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("5ns", 5e-9),
        ("-1s", -1.0),
        ("0", 0.0),
        ("0s", 0.0),
    ],
)
def test_reads_go_form(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5 s", "5x", "1s ", "s5", "1h-30m", "--1s", "1d", "\uff19s", "9" * 40 + "h"])
def test_refuses_what_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


def test_says_how_to_write_seconds() -> None:
    with pytest.raises(ValueError, match='write "5s" for seconds'):
        parse_duration("5")


@given(st.integers(min_value=1, max_value=10**8))
def test_formats_what_it_reads(milliseconds: int) -> None:
    assert parse_duration(f"{milliseconds}ms") == pytest.approx(milliseconds / 1000)
    seconds = float(milliseconds)
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-5)


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_duration(text)
    except ValueError:
        return
