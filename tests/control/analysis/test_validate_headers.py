"""Envoy's grammar of header values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.control.analysis.validate_headers import why_not_format


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain, (text) [with] {marks}",
        "100%%",
        "%HOSTNAME%",
        "prefix %HOSTNAME% suffix",
        "%REQ(X-A?:path)%",
        '%UPSTREAM_METADATA(["a", "b"])%',
        '%UPSTREAM_METADATA( [ "a" , "b" ] ) %',
        "%PER_REQUEST_STATE(a.b)%",
        "%START_TIME(%Y)%",
    ],
)
def test_good(value: str) -> None:
    assert why_not_format(value) == ""


@pytest.mark.parametrize(
    "value",
    [
        "abc%123",
        "%START_TIME%%",
        "%",
        "a%b",
        "%A(b",
        "%A(b)",
        "%A(b)c%",
        '%A(["b" "c"])%',
        "%A([b])%",
        '%A(["b"]x)%',
        '%A(["b\\',
    ],
)
def test_bad(value: str) -> None:
    assert why_not_format(value)


@given(st.text(alphabet='%A(b)[]",\\ x', max_size=30))
def test_whatever_is_written_gets_an_answer(value: str) -> None:
    assert isinstance(why_not_format(value), str)
