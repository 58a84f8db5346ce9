"""The reference matching: Istio's and Envoy's rules, case by case, and what a recorder is told."""

from __future__ import annotations

import pytest

from meshd.http.head import Headers
from meshd.snapshot.common import Direction, HeaderMatch, MatchKind, StringMatch
from meshd.snapshot.listener import FilterChain, FilterChainMatch, Listener
from meshd.snapshot.match import (
    ConnectionFacts,
    NoRoute,
    Step,
    host_of,
    match_header,
    match_string,
    needs_inspection,
    port_of,
    select_chain,
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


def chain(name: str, **match: object) -> FilterChain:
    return FilterChain(name, FilterChainMatch(**match))  # type: ignore[arg-type]


INBOUND = Listener(
    "virtualInbound",
    15006,
    Direction.INBOUND,
    (
        chain("catch-all"),
        chain("9080-mtls", destination_port=9080, transport_protocol="tls", application_protocols=("istio-http/1.1",)),
        chain("9080-app-tls", destination_port=9080, transport_protocol="tls"),
        chain("80-plain", destination_port=80),
        chain("80-h2c", destination_port=80, application_protocols=("h2c",)),
        chain("443-a", destination_port=443, server_names=("a.example.com", "b.example.com"), transport_protocol="tls"),
        chain("443-wild", destination_port=443, server_names=("*.example.com",), transport_protocol="tls"),
        chain("443-wilder", destination_port=443, server_names=("*.com",)),
    ),
)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (ConnectionFacts(1234), "catch-all"),
        (ConnectionFacts(1234, "x.example.com", "tls", ("h2",)), "catch-all"),
        (ConnectionFacts(9080, "", "tls", ("istio-http/1.1", "istio")), "9080-mtls"),
        (ConnectionFacts(9080, "", "tls", ("h2",)), "9080-app-tls"),
        # A STRICT port: plaintext finds no chain rather than the catch-all.
        (ConnectionFacts(9080), None),
        (ConnectionFacts(80, application_protocols=("http/1.1",)), "80-plain"),
        (ConnectionFacts(80, application_protocols=("h2c",)), "80-h2c"),
        (ConnectionFacts(443, "a.example.com", "tls"), "443-a"),
        (ConnectionFacts(443, "B.EXAMPLE.COM", "tls"), "443-a"),
        (ConnectionFacts(443, "x.y.example.com", "tls"), "443-wild"),
        (ConnectionFacts(443, "example.com", "tls"), "443-wilder"),
        (ConnectionFacts(443, "example.org", "tls"), None),
        (ConnectionFacts(443, "", "tls"), None),
        # No way back: the exact server name has a chain, for TLS only.
        (ConnectionFacts(443, "a.example.com", "raw_buffer"), None),
    ],
)
def test_filter_chains(facts: ConnectionFacts, expected: str | None) -> None:
    steps: list[Step] = []
    found = select_chain(INBOUND, facts, steps.append)
    assert (found.name if found is not None else None) == expected
    assert [step.matched for step in steps] == [expected is not None]
    assert steps[0].because.startswith("virtualInbound: ")


def test_the_client_s_order_of_protocols_decides() -> None:
    listener = Listener(
        "l", 1, Direction.GATEWAY, (chain("a", application_protocols=("a",)), chain("b", application_protocols=("b",)))
    )
    found = select_chain(listener, ConnectionFacts(application_protocols=("x", "b", "a")))
    assert found is not None
    assert found.name == "b"


def test_first_bytes_are_wanted_only_where_they_decide() -> None:
    assert needs_inspection(INBOUND, 9080)
    assert needs_inspection(INBOUND, 80)
    assert not needs_inspection(INBOUND, 1234)
