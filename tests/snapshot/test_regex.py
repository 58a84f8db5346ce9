"""Users' regular expressions: RE2, whole text, bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.errors import ConfigError
from meshd.snapshot.regex import full_match, substitute


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("/a", b"/a", True),
        ("/a", b"/ab", False),
        ("a", b"/a", False),
        ("/v[0-9]+/.*", b"/v12/x", True),
        ("a|b", b"b", True),
        ("^/a$", b"/a", True),
        (".*", b"\xff\x00", True),
        ("", b"", True),
        ("", b"a", False),
        ("é", "é".encode(), True),
        ("(?i)abc", b"ABC", True),
    ],
)
def test_the_whole_text_must_match(pattern: str, text: bytes, expected: bool) -> None:
    assert bool(full_match(pattern)(text)) is expected


@pytest.mark.parametrize("pattern", ["(", "a{2000}", r"(a)\1", "(?=a)", "[", "*"])
def test_what_is_not_re2_is_refused_with_its_reason(pattern: str) -> None:
    with pytest.raises(ConfigError, match="RE2 understands"):
        full_match(pattern)
    with pytest.raises(ConfigError, match="RE2 understands"):
        substitute(pattern, "")


def test_a_hostile_expression_is_linear() -> None:
    assert not full_match("(a+)+$")(b"a" * 5000 + b"!")


def test_a_program_too_large_for_the_set_matcher_still_matches() -> None:
    assert full_match("x{1000}" * 3)(b"x" * 3000)
    assert not full_match("x{1000}" * 3)(b"x" * 2999)


@pytest.mark.parametrize(
    ("pattern", "replacement", "text", "expected"),
    [
        ("^/service/([^/]+)(/.*)$", r"\2/instance/\1", b"/service/foo/v1/api", b"/v1/api/instance/foo"),
        ("one", "two", b"/xxx/one/yyy/one/zzz", b"/xxx/two/yyy/two/zzz"),
        ("^(.*?)one(.*)$", r"\1two\2", b"/xxx/one/yyy/one/zzz", b"/xxx/two/yyy/one/zzz"),
        ("(?i)/xxx/", "/yyy/", b"/aaa/XxX/bbb", b"/aaa/yyy/bbb"),
        ("a*", "x", b"baac", b"xbxcx"),
        ("b+", r"\0\0", b"abbc", b"abbbbc"),
        ("a(b)?", r"[\1]", b"aab", b"[][b]"),
        ("x", r"\\", b"axb", b"a\\b"),
        ("/", "", b"/a/b", b"ab"),
    ],
)
def test_every_match_is_replaced(pattern: str, replacement: str, text: bytes, expected: bytes) -> None:
    assert substitute(pattern, replacement)(text) == expected


def test_a_replacement_may_not_name_a_group_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"uses group \\2, but the pattern has 1"):
        substitute("(a)", r"\2")
    with pytest.raises(ConfigError, match="stray backslash"):
        substitute("a", "\\")


@given(st.binary(max_size=30), st.text("ab/.", max_size=5))
def test_a_literal_is_replaced_as_bytes_replace_does(text: bytes, literal: str) -> None:
    if not literal:
        return
    quoted = "".join(f"\\x{{{ord(character):x}}}" for character in literal)
    assert substitute(quoted, "Z")(text) == text.replace(literal.encode(), b"Z")
