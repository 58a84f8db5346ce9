"""Compiled matches mean what the reference says."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.http.head import Headers
from meshd.snapshot.common import HeaderMatch, StringMatch
from meshd.snapshot.match import match_header, match_string
from meshd.snapshot.predicates import compile_any, compile_header, compile_string
from tests.proxy.routing import HEADER_MATCHES, LINES, MATCHES

VALUES = st.sampled_from([b"", b"a", b"b", b"ab", b"A", b"/a", b"/a/", b"/a/b", b"/A/b", b"/", b"a,b", b"\xff", b"x.y"])


@settings(max_examples=300, deadline=None)
@given(MATCHES, VALUES)
def test_strings(match: StringMatch, value: bytes) -> None:
    assert bool(compile_string(match)(value)) is match_string(match, value)


@settings(max_examples=200, deadline=None)
@given(st.lists(MATCHES, min_size=1, max_size=4), VALUES)
def test_any_of_several(matches: list[StringMatch], value: bytes) -> None:
    assert bool(compile_any(matches)(value)) is any(match_string(match, value) for match in matches)


@settings(max_examples=400, deadline=None)
@given(HEADER_MATCHES, LINES)
def test_headers(match: HeaderMatch, lines: list[tuple[bytes, bytes]]) -> None:
    headers = Headers.of(lines)
    assert bool(compile_header(match)(headers)) is match_header(match, headers)
