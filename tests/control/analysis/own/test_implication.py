"""Whether one match takes all that another would: by hand, and against the reference matcher."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.api.common import Map, StringMatch
from meshd.api.networking.virtual_service import HTTPMatchRequest, L4MatchAttributes, TLSMatchAttributes
from meshd.control.analysis.own.implication import of_header, of_path, taken_by_connection, taken_by_http
from meshd.control.compiler.matches import string_match
from meshd.snapshot.predicates import compile_string


def exact(text: str) -> StringMatch:
    return StringMatch(exact=text)


def prefix(text: str) -> StringMatch:
    return StringMatch(prefix=text)


def regex(text: str) -> StringMatch:
    return StringMatch(regex=text)


@pytest.mark.parametrize(
    ("one", "other", "covers"),
    [
        (None, exact("/a"), True),
        (prefix("/"), None, True),
        (prefix("/"), regex("/[a-z]+"), True),
        (regex(".*"), prefix("/a"), True),
        (regex("/a.*"), prefix("/ab"), True),
        (regex("/a.*"), prefix("/"), False),
        (prefix("/a"), exact("/abc"), True),
        (prefix("/a"), regex("/ab[0-9]"), True),
        (prefix("/ab"), regex("/a(b|c)"), False),
        (prefix("/ab"), prefix("/a"), False),
        (exact("/a"), exact("/a"), True),
        (exact("/a"), prefix("/a"), False),
        (exact("/a"), None, False),
        (regex("/[ab]"), exact("/a"), True),
        (regex("/[ab]"), exact("/c"), False),
        (regex("/[ab]"), regex("/[ab]"), True),
        (regex("/[ab]"), prefix("/a"), False),
        (regex("("), exact("/a"), False),
    ],
)
def test_paths(one: StringMatch | None, other: StringMatch | None, *, covers: bool) -> None:
    assert of_path(one).covers(of_path(other)) is covers


@pytest.mark.parametrize(
    ("one", "other", "covers"),
    [
        (StringMatch(), exact(""), True),
        (StringMatch(), None, False),
        (StringMatch(), StringMatch(), True),
        (prefix(""), regex("a+"), True),
        (exact("a"), StringMatch(), False),
        (regex("a+"), StringMatch(), False),
    ],
)
def test_headers(one: StringMatch | None, other: StringMatch | None, *, covers: bool) -> None:
    assert of_header(one).covers(of_header(other)) is covers


@pytest.mark.parametrize(
    ("one", "other", "covers"),
    [
        (of_path(prefix("/A"), ignore_case=True), of_path(exact("/ab")), True),
        (of_path(prefix("/A")), of_path(exact("/ab"), ignore_case=True), False),
        (of_path(prefix("/1")), of_path(exact("/1a"), ignore_case=True), True),
        (of_path(regex("/[a]")), of_path(exact("/a"), ignore_case=True), False),
    ],
)
def test_case(one: Any, other: Any, *, covers: bool) -> None:
    assert one.covers(other) is covers


def http(**fields: Any) -> HTTPMatchRequest:
    return HTTPMatchRequest(
        **{name: Map(value) if isinstance(value, dict) else value for name, value in fields.items()}
    )


@pytest.mark.parametrize(
    ("one", "other", "covers"),
    [
        (http(), http(port=80), True),
        (http(port=80), http(), False),
        (http(headers={"A": exact("x")}), http(headers={"a": exact("x"), "b": StringMatch()}), True),
        (http(headers={"a": exact("x")}), http(uri=exact("/a")), False),
        (http(queryParams={"q": prefix("x")}), http(queryParams={"q": exact("xy")}), True),
        (http(queryParams={"q": prefix("x")}), http(queryParams={"Q": exact("xy")}), False),
        (http(method=exact("GET")), http(method=exact("GET"), uri=exact("/")), True),
        (http(method=exact("GET")), http(uri=exact("/")), False),
        (http(withoutHeaders={"a": exact("x")}), http(withoutHeaders={"a": prefix("x")}), True),
        (http(withoutHeaders={"a": prefix("x")}), http(withoutHeaders={"a": exact("x")}), False),
        (http(withoutHeaders={"a": exact("x")}), http(withoutHeaders={"a": StringMatch()}), True),
        (http(withoutHeaders={"a": exact("")}), http(withoutHeaders={"a": StringMatch()}), False),
        (http(withoutHeaders={"a": StringMatch()}), http(withoutHeaders={"a": exact("x")}), False),
        (http(withoutHeaders={"a": exact("x")}), http(), False),
        (http(sourceLabels={"a": "b"}), http(sourceLabels={"a": "b", "c": "d"}), True),
        (http(sourceLabels={"a": "b"}), http(), False),
        (http(sourceNamespace="n"), http(sourceNamespace="n"), True),
        (http(sourceNamespace="n"), http(sourceNamespace="m"), False),
        # Where a match names gateways, labels are not asked.
        (http(gateways=("mesh",), sourceLabels={"a": "b"}), http(gateways=("mesh",)), True),
        (http(gateways=("gw",)), http(gateways=("gw", "mesh")), False),
        (http(gateways=("gw", "mesh")), http(gateways=("ns/gw",)), True),
        (http(name="x"), http(name="y"), True),
    ],
)
def test_http(one: HTTPMatchRequest, other: HTTPMatchRequest, *, covers: bool) -> None:
    assert taken_by_http(one, ("mesh",), "ns").covers(taken_by_http(other, ("mesh",), "ns")) is covers


def sni(*names: str, **others: Any) -> TLSMatchAttributes:
    return TLSMatchAttributes(names, **others)


def l4(*subnets: str, **others: Any) -> L4MatchAttributes:
    return L4MatchAttributes(subnets, **others)


@pytest.mark.parametrize(
    ("one", "other", "covers"),
    [
        (sni("*.a.com"), sni("b.a.com", "c.a.com"), True),
        (sni("*.a.com"), sni("b.a.com", "c.b.com"), False),
        (sni("b.a.com"), sni("*.a.com"), False),
        (sni("a", port=1), sni("a"), False),
        (l4("10.0.0.0/8"), l4("10.1.0.0/16", "10.0.0.1"), True),
        (l4("10.0.0.0/8"), l4("11.0.0.1"), False),
        (l4("10.0.0.0/8"), l4("::1"), False),
        (l4("10.0.0.0/8"), l4(), False),
        (l4("nonsense"), l4("nonsense"), True),
        (l4(), l4(port=1), True),
    ],
)
def test_connections(one: Any, other: Any, *, covers: bool) -> None:
    assert taken_by_connection(one, (), "ns").covers(taken_by_connection(other, (), "ns")) is covers


ALPHABET = st.text("/ab", max_size=4)
MATCHES = st.one_of(
    ALPHABET.map(exact), ALPHABET.map(prefix), st.sampled_from(["/a.*", "/[ab]", "/a", "a+", ".*", "/(a|b)"]).map(regex)
)


@settings(max_examples=300)
@given(MATCHES, MATCHES, ALPHABET, st.booleans(), st.booleans())
def test_covering_is_never_wrong(
    one: StringMatch, other: StringMatch, path: str, one_case: bool, other_case: bool
) -> None:
    """Whatever the covered one takes by the data plane's own matcher, the other takes."""
    path = "/" + path.swapcase() if one_case else "/" + path
    if of_path(one, ignore_case=one_case).covers(of_path(other, ignore_case=other_case)):
        takes = compile_string(string_match(other, ignore_case=other_case))
        if takes(path.encode()):
            assert compile_string(string_match(one, ignore_case=one_case))(path.encode())
