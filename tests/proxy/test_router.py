"""Compiled routing: the same answers as the reference, and what only the router does."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.errors import ConfigError, ResponseFlag
from meshd.http.head import RequestHead, ResponseHead
from meshd.policy.exchange import Reply
from meshd.proxy.router import CompiledTable, RouteEntry, Router
from meshd.snapshot.common import HeaderOperations, MatchKind, StringMatch
from meshd.snapshot.listener import HttpManager
from meshd.snapshot.match import NoRoute, select_route, select_table
from meshd.snapshot.route import (
    DirectResponse,
    Forward,
    Redirect,
    Rewrite,
    RouteMatch,
    RouteTable,
    VirtualHost,
    WeightedCluster,
)
from tests.proxy.routing import REQUESTS, exact, exchange, prefix, request, route, table, tables


def selected(router: Router, head: RequestHead, manager: HttpManager | None = None) -> RouteEntry:
    found = router.selector(manager or HttpManager(route_table="http.80"))(head)
    assert isinstance(found, RouteEntry), found
    return found


def refused(router: Router, head: RequestHead, manager: HttpManager | None = None) -> Reply:
    found = router.selector(manager or HttpManager(route_table="http.80"))(head)
    assert isinstance(found, Reply), found
    return found


@settings(max_examples=400, deadline=None)
@given(tables(), st.lists(REQUESTS, min_size=1, max_size=5))
def test_the_router_agrees_with_the_reference(routes: RouteTable, requests: list[RequestHead]) -> None:
    select = Router.compile([routes]).selector(HttpManager(route_table=routes.name))
    for head in requests * 2:
        expected = select_route(routes, head)
        found = select(head)
        if isinstance(expected, NoRoute):
            assert isinstance(found, Reply)
            assert found.status == 404
        else:
            assert isinstance(found, RouteEntry)
            assert (found.virtual_host, found.route.name) == (expected[0].name, expected[1].name)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(tables(), min_size=1, max_size=3, unique_by=lambda each: each.name),
    st.lists(REQUESTS, min_size=1, max_size=4),
)
def test_the_explicit_outbound_port_agrees_with_the_reference(
    several: list[RouteTable], requests: list[RequestHead]
) -> None:
    manager = HttpManager(route_by_port=True)
    select = Router.compile(several).selector(manager)
    for head in requests:
        chosen = select_table({each.name: each for each in several}, manager, head.authority)
        expected = chosen if isinstance(chosen, NoRoute) else select_route(chosen, head)
        found = select(head)
        if isinstance(expected, NoRoute):
            assert isinstance(found, Reply)
        else:
            assert isinstance(found, RouteEntry)
            assert found.route.name == expected[1].name


def test_no_route_says_what_was_missing() -> None:
    router = Router.compile([table(route("a", RouteMatch(path=exact("/a"))), domains=("reviews",))])
    reply = refused(router, request("/b?q=1"))
    assert (reply.status, reply.body, reply.flags, reply.detail) == (
        404,
        b"",
        (ResponseFlag.NO_ROUTE,),
        "route_not_found",
    )
    assert reply.reason == "the only route of virtual host all does not match GET /b"
    assert (
        "no virtual host of route table http.80 is for host 'other'" in refused(router, request(host="other:80")).reason
    )


def ports(*names: str, host: str = "reviews") -> list[RouteTable]:
    return [table(route(f"on {name}"), name=name, domains=(host,)) for name in names]


BY_PORT = HttpManager(route_by_port=True)


def test_the_authority_s_port_picks_the_table() -> None:
    router = Router.compile(ports("80", "9080"))
    assert selected(router, request(host="reviews:9080"), BY_PORT).route.name == "on 9080"
    assert selected(router, request(host="reviews"), BY_PORT).route.name == "on 80"
    assert "no HTTP service on port 81" in refused(router, request(host="reviews:81"), BY_PORT).reason


def test_a_host_without_port_is_found_in_the_only_table_that_knows_it() -> None:
    others = ports("80", host="web")
    router = Router.compile([*others, *ports("9080")])
    assert selected(router, request(host="reviews"), BY_PORT).route.name == "on 9080"
    assert refused(router, request(host="nobody"), BY_PORT).status == 404


def test_a_host_with_several_ports_must_say_which() -> None:
    reply = refused(Router.compile(ports("9080", "9443")), request(host="reviews"), BY_PORT)
    assert reply.reason == "reviews has several ports (9080, 9443): say which, as in Host: reviews:9080"


def test_what_no_table_is_for_goes_to_the_proxy_table() -> None:
    router = Router.compile([*ports("9080"), table(route("out"), name="http_proxy")])
    assert selected(router, request(host="example.com:8443"), BY_PORT).route.name == "out"
    assert selected(router, request(host="example.com"), BY_PORT).route.name == "out"


def test_a_pinned_virtual_host_ignores_the_host_header() -> None:
    pinned = RouteTable(
        "9080", (VirtualHost("a", ("a",), (route("to a"),)), VirtualHost("b", ("b",), (route("to b"),)))
    )
    router = Router.compile([pinned])
    assert selected(router, request(host="a"), HttpManager(route_table="9080", virtual_host="b")).route.name == "to b"
    with pytest.raises(ConfigError, match="no virtual host 'c'"):
        router.selector(HttpManager(route_table="9080", virtual_host="c"))
    with pytest.raises(ConfigError, match="no route table 'x'"):
        router.selector(HttpManager(route_table="x"))


def test_more_authorities_than_are_remembered_are_still_routed() -> None:
    router = Router.compile([table(route("a"), domains=("*.example.com",))])
    for index in range(3000):
        assert selected(router, request(host=f"h{index}.example.com:{index}")).route.name == "a"


def test_entries_are_every_route_of_every_table() -> None:
    router = Router.compile([table(route("a"), route("b")), table(route("c"), name="9080")])
    assert [entry.route.name for entry in router.entries()] == ["a", "b", "c"]


def test_answers_that_no_target_made_are_edited_too() -> None:
    weighted = WeightedCluster("a", response_headers=HeaderOperations(set=(("x", "cluster"), ("y", "cluster"))))
    edits = HeaderOperations(set=(("x", "route"),))
    entry = selected(
        Router.compile([table(route("a", action=Forward((weighted,)), response_headers=edits))]), request()
    )
    local, forwarded = ResponseHead(503), ResponseHead(200)
    entry.edit_response(exchange(), local)
    entry.targets[0].edit_response(exchange(), forwarded)
    assert list(local.headers.items()) == [(b"x", b"route")]
    assert dict(forwarded.headers.items()) == {b"x": b"route", b"y": b"cluster"}


def test_a_long_host_is_not_remembered() -> None:
    compiled = CompiledTable(table(route("a")))
    for index in range(10):
        assert compiled.find(b"x" * 60_000 + b"%d" % index) is not None
    assert len(compiled._remembered) == 0


def test_a_host_that_is_none_is_refused() -> None:
    for action in (
        Forward((WeightedCluster("a"),), rewrite=Rewrite(host="a b")),
        Forward((WeightedCluster("a", host_rewrite="a/b"),)),
        Redirect(host="a\r\nb: c"),
    ):
        with pytest.raises(ConfigError, match="is no host"):
            Router.compile([table(route("a", action=action))])


def test_require_tls_answers_plaintext_before_any_route() -> None:
    router = Router.compile([table(route("a"), require_tls=True)])
    reply = refused(router, request("/p?q", host="e:80"))
    assert (reply.status, dict(reply.headers)) == (301, {b"location": b"https://e/p?q"})
    assert selected(router, request("/p?q", host="e", scheme="https")).route.name == "a"


def test_direct_responses_and_redirects_are_replies() -> None:
    answer = route("d", RouteMatch(path=exact("/d")), action=DirectResponse(418, "tea é"))
    moved = route("r", RouteMatch(path=exact("/r")), action=Redirect(path="/n"))
    router = Router.compile([table(answer, moved)])
    entry = selected(router, request("/d"))
    assert entry.forward is None
    assert (entry.reply(exchange()).status, entry.reply(exchange()).body) == (418, "tea é".encode())
    reply = selected(router, request("/r?q")).reply(exchange(request("/r?q", host="e")))
    assert dict(reply.headers) == {b"location": b"http://e/n?q"}


def test_a_bad_expression_names_its_route() -> None:
    broken = RouteMatch(path=StringMatch(MatchKind.REGEX, "("))
    with pytest.raises(ConfigError, match=r"virtual host all: routes\[1\]: .*RE2"):
        Router.compile([table(route("a"), route("b", broken))])
    with pytest.raises(ConfigError, match="two route tables"):
        Router.compile([table(route("a")), table(route("a"))])


def test_a_route_without_weight_is_refused() -> None:
    empty = Forward((WeightedCluster("a", 0), WeightedCluster("b", 0)))
    with pytest.raises(ConfigError, match="weight above zero"):
        Router.compile([table(route("a", action=empty))])
    single = Forward((WeightedCluster("a", 0),))
    entry = selected(Router.compile([table(route("a", action=single))]), request())
    assert entry.pick(random.Random(1)).cluster == "a"


def test_weights_are_kept() -> None:
    split = Forward((WeightedCluster("a", 90), WeightedCluster("none", 0), WeightedCluster("b", 10)))
    entry = selected(Router.compile([table(route("a", action=split))]), request())
    rng = random.Random(7)
    picked = [entry.pick(rng).cluster for _ in range(2000)]
    assert picked.count("none") == 0
    assert 150 < picked.count("b") < 250


def test_edits_go_up_in_order_and_leave_their_traces() -> None:
    weighted = WeightedCluster(
        "a", request_headers=HeaderOperations(set=(("x", "cluster"), ("y", "cluster"))), host_rewrite="cluster-host"
    )
    action = Forward((weighted,), rewrite=Rewrite(prefix="/new", host="route-host"))
    routes = table(
        route(
            "a", RouteMatch(path=prefix("/old")), action=action, request_headers=HeaderOperations(set=(("x", "route"),))
        )
    )
    head = request("/old/x?q=/old", host="reviews:9080")
    target = selected(Router.compile([routes]), head).pick(random.Random(1))
    made = exchange(head)
    target.edit_request(made, head)
    assert (head.target, head.authority) == (b"/new/x?q=/old", b"route-host")
    assert (head.headers.get(b"x"), head.headers.get(b"y")) == (b"route", b"cluster")
    assert head.headers.get(b"x-envoy-original-path") == b"/old/x?q=/old"
    assert head.headers.get(b"x-envoy-original-host") == b"reviews:9080"
    assert made.original_path == b"/old/x?q=/old"


@pytest.mark.parametrize(
    ("rewritten", "by_header", "by_cluster", "expected"),
    [("r", "h", "c", b"r"), ("", "h", "c", b"h"), ("", "", "c", b"c"), ("", "", "", b"reviews")],
)
def test_who_decides_the_host(rewritten: str, by_header: str, by_cluster: str, expected: bytes) -> None:
    action = Forward((WeightedCluster("a", host_rewrite=by_cluster),), rewrite=Rewrite(host=rewritten))
    edits = HeaderOperations(set=(("Host", by_header),)) if by_header else HeaderOperations()
    head = request()
    selected(Router.compile([table(route("a", action=action, request_headers=edits))]), head).targets[0].edit_request(
        exchange(head), head
    )
    assert head.authority == expected
    assert (head.headers.get(b"x-envoy-original-host") == b"reviews") is (expected != b"reviews")
