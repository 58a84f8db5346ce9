"""The reference matching: Istio's and Envoy's rules, case by case, and what a recorder is told."""

from __future__ import annotations

import pytest

from meshd.http.head import Headers
from meshd.snapshot.common import HeaderMatch, MatchKind, StringMatch
from meshd.snapshot.match import (
    NoRoute,
    Step,
    host_of,
    match_header,
    match_string,
    port_of,
    select_route,
    select_virtual_host,
    why_not,
)
from meshd.snapshot.route import QueryMatch, RouteMatch, RouteTable, VirtualHost
from tests.proxy.routing import exact, prefix, request, route, table

K = MatchKind


@pytest.mark.parametrize(
    ("kind", "wanted", "value", "expected"),
    [
        (K.EXACT, "/a", b"/a", True),
        (K.EXACT, "/a", b"/A", False),
        (K.PREFIX, "/foo", b"/foobar", True),
        (K.PREFIX, "/foo", b"/Foo", False),
        (K.SUFFIX, ".html", b"/a.html", True),
        (K.REGEX, "/a.*", b"/abc", True),
        (K.REGEX, "a", b"/a", False),
        (K.PRESENT, "", b"", True),
        (K.NON_EMPTY, "", b"", False),
        (K.NON_EMPTY, "", b"x", True),
        (K.PATH_PREFIX, "/foo", b"/foo", True),
        (K.PATH_PREFIX, "/foo", b"/foo/x", True),
        (K.PATH_PREFIX, "/foo/", b"/foo", True),
        (K.PATH_PREFIX, "/foo", b"/foobar", False),
        (K.PATH_PREFIX, "/", b"/x", True),
    ],
)
def test_string_kinds(kind: MatchKind, wanted: str, value: bytes, *, expected: bool) -> None:
    assert match_string(StringMatch(kind, wanted), value) is expected


def test_case_is_ignored_only_when_asked() -> None:
    assert match_string(StringMatch(K.EXACT, "/A", ignore_case=True), b"/a")
    assert match_string(StringMatch(K.PREFIX, "/a", ignore_case=True), b"/ABC")
    assert not match_string(StringMatch(K.REGEX, "/A", ignore_case=True), b"/a")


@pytest.mark.parametrize(
    ("lines", "match", "expected"),
    [
        # A repeated header: any one of its values (Envoy 1.40), or all of them joined (Istio's text).
        ([b"a", b"b"], HeaderMatch("x", exact("a")), True),
        ([b"b", b"a"], HeaderMatch("x", exact("a")), True),
        ([b"a", b"b"], HeaderMatch("x", exact("a,b")), True),
        ([b"a,b"], HeaderMatch("x", exact("a")), False),
        ([b"z", b"c"], HeaderMatch("x", exact("c"), invert=True), False),
        # Missing.
        ([], HeaderMatch("x", StringMatch(K.PRESENT)), False),
        ([b""], HeaderMatch("x", StringMatch(K.PRESENT)), True),
        ([], HeaderMatch("x", StringMatch(K.PRESENT), invert=True), True),
        ([], HeaderMatch("x", StringMatch(K.PRESENT), invert=True, treat_missing_as_empty=True), True),
        ([b"v"], HeaderMatch("x", StringMatch(K.PRESENT), invert=True), False),
        ([], HeaderMatch("x", exact("a"), invert=True), True),
        ([], HeaderMatch("x", exact("a"), invert=True, treat_missing_as_empty=True), True),
        ([], HeaderMatch("x", exact(""), invert=True, treat_missing_as_empty=True), False),
        ([], HeaderMatch("x", exact(""), treat_missing_as_empty=True), True),
        ([], HeaderMatch("x", StringMatch(K.REGEX, ".*")), False),
    ],
)
def test_headers(lines: list[bytes], match: HeaderMatch, *, expected: bool) -> None:
    assert match_header(match, Headers.of((b"x", line) for line in lines)) is expected


@pytest.mark.parametrize(
    ("authority", "host", "port"),
    [
        (b"Reviews:9080", b"reviews", b"9080"),
        (b"reviews", b"reviews", b""),
        (b"reviews:", b"reviews", b""),
        (b"[::1]:80", b"[::1]", b"80"),
        (b"[::1]", b"[::1]", b""),
        (b"::1", b"::1", b""),
        (b"", b"", b""),
        (b"a:b", b"a:b", b""),
        (b"a.b.:80", b"a.b.", b"80"),
    ],
)
def test_an_authority_is_a_host_and_a_port(authority: bytes, host: bytes, port: bytes) -> None:
    assert (host_of(authority), port_of(authority)) == (host, port)


QUARREL = RouteTable(
    "80",
    tuple(
        VirtualHost(domain, (domain,), ())
        for domain in ("*", "a.b.c", "*.b.c", "*.c", "a.*", "a.b.*", "A.b.C", "*-b.foo.com")
    ),
)


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        (b"a.b.c", "a.b.c"),
        (b"A.B.C:8080", "a.b.c"),
        (b"x.b.c", "*.b.c"),
        (b"b.c", "*.c"),
        (b"y.x.b.c", "*.b.c"),
        (b"a.b.d", "a.b.*"),
        (b"a.d", "a.*"),
        (b"a.d.c", "*.c"),
        (b"other", "*"),
        (b".b.c", "*.c"),
        (b"x-b.foo.com", "*-b.foo.com"),
        (b"-b.foo.com", "*"),
        (b"a.b.c.", "a.b.*"),
    ],
)
def test_the_most_specific_domain_wins(authority: bytes, expected: str) -> None:
    found = select_virtual_host(QUARREL, authority)
    assert found is not None
    assert found.name == expected


def test_the_first_route_that_matches_wins() -> None:
    routes = table(
        route("jason", RouteMatch(headers=(HeaderMatch("end-user", exact("jason")),))),
        route("foo", RouteMatch(path=prefix("/foo"))),
        route("longer", RouteMatch(path=prefix("/foo/bar"))),
    )
    steps: list[Step] = []
    found = select_route(routes, request("/foo/bar?x", end_user="bob"), steps.append)
    assert not isinstance(found, NoRoute)
    assert found[1].name == "foo"
    assert [(step.at, step.rule, step.matched) for step in steps] == [
        ("virtual_host", 0, True),
        ("route", 0, False),
        ("route", 1, True),
    ]
    assert steps[1].because == "header end-user: exact 'jason' != 'bob'"


@pytest.mark.parametrize(
    ("match", "because"),
    [
        (RouteMatch(path=exact("/x")), "uri: exact '/x' != '/p'"),
        (RouteMatch(path=StringMatch(K.PREFIX, "/X", ignore_case=True)), "uri: prefix '/X' (any case) != '/p'"),
        (RouteMatch(method=exact("POST")), "method: exact 'POST' != 'GET'"),
        (RouteMatch(authority=exact("a")), "authority: exact 'a' != 'reviews:9080'"),
        (RouteMatch(scheme=exact("https")), "scheme: exact 'https' != 'http'"),
        (RouteMatch(headers=(HeaderMatch("y", exact("a")),)), "header y: exact 'a', but it is absent"),
        (RouteMatch(headers=(HeaderMatch("x", exact("v"), invert=True),)), "header x: not exact 'v', but it is 'v'"),
        (
            RouteMatch(headers=(HeaderMatch("x", StringMatch(K.PRESENT), invert=True),)),
            "header x: not present, but it is 'v'",
        ),
        (RouteMatch(query=(QueryMatch("n", exact("1")),)), "query parameter n: exact '1', but it is absent"),
        (RouteMatch(query=(QueryMatch("q", exact("2")),)), "query parameter q: exact '2' != '1'"),
        (RouteMatch(query=(QueryMatch("flag", StringMatch(K.PRESENT)),)), ""),
        (RouteMatch(path=exact("/p"), query=(QueryMatch("q", exact("1")),)), ""),
    ],
)
def test_the_failing_predicate_is_named(match: RouteMatch, because: str) -> None:
    assert why_not(match, request("/p?q=1&flag&q=2", host="reviews:9080", x="v")) == because


def test_hostile_bytes_in_explanations_are_bounded_and_escaped() -> None:
    head = request("/" + "a" * 1000)
    head.target = b"/\xff" + b"a" * 1000
    because = why_not(RouteMatch(path=exact("/")), head)
    assert because.startswith("uri: exact '/' != '/\\\\xffaaa")
    assert len(because) < 300
