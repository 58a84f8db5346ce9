"""The grammar of CEL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.control.analysis.cel import DEEPEST, LONGEST, why_not_expression


@pytest.mark.parametrize(
    "text",
    [
        "response.code >= 400",
        "connection.mtls && request.url_path.contains('v1beta3')",
        "!has(request.headers['x-a']) || (response.code in [200, 204,])",
        "a ? b : c ? d : e",
        "-1 + 2.5e3 * 0xFFu % .5 - -x",
        "{'a': 1, \"b\": [r'\\d', b'x', '''y\nz''']}.size() > 0",
        "google.protobuf.Duration{seconds: 10}.seconds == 10",
        ".a.b(c, d)[0].e",
        "[1, 2].exists(x, x > 1)  // why",
        "!!a",
        "--1",
    ],
)
def test_good(text: str) -> None:
    assert why_not_expression(text) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it ends too early"),
        ("response.code >>> 400", "'>' cannot stand at character 16"),
        ("a b", "'b' cannot stand at character 3"),
        ("a &", "'&' cannot stand"),
        ("(a", "it ends too early, expected ')'"),
        ("a ? b", "it ends too early, expected ':'"),
        ("a.1", "cannot stand"),
        ("f(a,)", "')' cannot stand"),
        ("'a", '"\'" cannot stand at character 1'),
        ("{a}", "expected ':'"),
        ("for", "'for' cannot stand"),
        ("has(a)", "has(...) asks whether a field is there"),
        ("has(a).b", "has(...) asks whether a field is there"),
        ("1a", "cannot stand"),
        ("(" * (DEEPEST + 1) + "a" + ")" * (DEEPEST + 1), "are within one another"),
        ("a" * (LONGEST + 1), "it is longer than"),
    ],
)
def test_bad(text: str, reason: str) -> None:
    assert reason in why_not_expression(text)


@given(st.text(alphabet="ab1.()[]{}?:,'\"+-*!&|<>= \\\n", max_size=60))
def test_whatever_is_written_gets_an_answer(text: str) -> None:
    assert isinstance(why_not_expression(text), str)
