"""What the text of a regular expression shows."""

from __future__ import annotations

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from meshd.control.analysis.own.regex_text import has_alternatives, has_bare_dot, shape_of


@pytest.mark.parametrize(
    ("pattern", "literal", "rest"),
    [
        ("/foo", "/foo", ""),
        ("^/foo$", "/foo", ""),
        ("/foo.*", "/foo", ".*"),
        ("/foo/[0-9]+", "/foo/", "[0-9]+"),
        ("/x(a|b)", "/x", "(a|b)"),
        ("a|b", "", "a|b"),
        (r"\d+", "", r"\d+"),
        (r"/a\.b.*", "/a.b", ".*"),
        ("/ab*", "/a", "b*"),
        ("/ab+c", "/a", "b+c"),
        (r"/a\.*", "/a", r"\.*"),
        ("(?i)foo", "", "(?i)foo"),
        (r"foo\$", "foo$", ""),
        ("", "", ""),
    ],
)
def test_shape(pattern: str, literal: str, rest: str) -> None:
    shape = shape_of(pattern)
    assert (shape.literal, shape.rest) == (literal, rest)
    assert shape.exact == (rest == "")
    assert shape.prefix == (rest == ".*")


@given(st.text("ab/.*+?|()[]^$\\-d", max_size=8), st.text("ab/.|d-", max_size=6))
def test_what_matches_begins_with_the_literal(pattern: str, text: str) -> None:
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error:
        return
    shape = shape_of(pattern)
    matched = compiled.fullmatch(text) is not None
    if matched:
        assert text.startswith(shape.literal)
    if shape.exact:
        assert matched == (text == shape.literal)
    if shape.prefix:
        assert matched == text.startswith(shape.literal)


def test_alternatives_and_dots() -> None:
    assert has_alternatives("a|b")
    assert not has_alternatives(r"(a|b)[|]\|")
    assert has_bare_dot("example.com")
    assert not has_bare_dot(r"example\.com.*")
    assert not has_bare_dot("[a.b]c.*")
