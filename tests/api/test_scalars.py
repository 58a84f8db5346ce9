"""Plain scalars mean what go-yaml takes them to mean."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.api.scalars import key_text, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("nULL", "nULL"),
        ("true", True),
        ("Yes", True),
        ("on", True),
        ("y", True),
        ("False", False),
        ("off", False),
        ("N", False),
        ("oN", "oN"),
        ("0", 0),
        ("-1", -1),
        ("+1", 1),
        ("1_000", 1000),
        ("010", 8),
        ("0o10", 8),
        ("0x1F", 31),
        ("0b11", 3),
        ("-0b11", -3),
        ("08", 8.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        ("12:30:45", "12:30:45"),
        ("2020-01-31", "2020-01-31"),
        ("2020-01-31T12:00:00Z", "2020-01-31T12:00:00Z"),
        ("1.2.3", "1.2.3"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("-", "-"),
        (".", "."),
        ("+", "+"),
        ("1" * 65, "1" * 65),
        ("v1", "v1"),
        ("reviews", "reviews"),
        ("*", "*"),
    ],
)
def test_resolves_as_go_yaml_does(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".inf", "-.Inf", "+.INF"])
def test_numbers_that_json_lacks_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a number that a field can have"):
        resolve(text)


@pytest.mark.parametrize(
    ("value", "text"), [(8080, "8080"), (True, "true"), (False, "false"), (1.5, "1.5"), ("x", "x"), (None, None)]
)
def test_keys_are_text(value: object, text: str | None) -> None:
    assert key_text(value) == text  # type: ignore[arg-type]


@given(st.text(max_size=80))
def test_any_text_resolves_or_is_refused(text: str) -> None:
    try:
        value = resolve(text)
    except ValueError:
        return
    assert value is None or isinstance(value, str | int | float)
    assert not isinstance(value, float) or math.isfinite(value)
