"""HTTPRoutes of Services: whose clients they are for, what they make of a request, and where they say they come from."""

from __future__ import annotations

from typing import Any

import pytest

from meshd.control.scope import Scope
from meshd.snapshot.common import MatchKind
from meshd.snapshot.route import DirectResponse, Forward, Origin, Redirect, Route
from tests.control.compiler.rendering import compiled

SERVICES = "".join(
    f"""
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  clusterIP: 10.0.0.{number}
  ports: [{{port: 80, name: http}}, {{port: 8080, name: http-alt}}]
"""
    for number, (namespace, name) in enumerate([("shop", "cart"), ("shop", "cart-v2"), ("web", "front")], 1)
)

ROUTE = """
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %(name)s, namespace: %(namespace)s, creationTimestamp: "%(age)s"}
spec:
  parentRefs: [{group: "", kind: Service, name: cart, namespace: shop%(parent)s}]
  rules: %(rules)s
"""


def route(
    rules: str, *, name: str = "r", namespace: str = "shop", parent: str = "", age: str = "2024-01-01T00:00:00Z"
) -> str:
    return ROUTE % {"name": name, "namespace": namespace, "parent": parent, "rules": rules, "age": age}


def to(name: str = "cart-v2", more: str = "") -> str:
    return f"backendRefs: [{{name: {name}, namespace: shop, port: 8080{more}}}]"


def routes(
    text: str, *, seen_from: str = "shop", port: int = 80, host: str = "cart.shop.svc.cluster.local"
) -> tuple[Route, ...]:
    """The routes of a host in one table."""
    snapshot = compiled(SERVICES + text, Scope(namespace=seen_from))
    [table] = [table for table in snapshot.route_tables if table.name == str(port)]
    [found] = [each for each in table.virtual_hosts if each.name == f"{host}:{port}"]
    return found.routes


def clusters(text: str, **where: Any) -> list[str]:
    return [
        each.cluster
        for route in routes(text, **where)
        if isinstance(route.action, Forward)
        for each in route.action.clusters
    ]


OWN = "outbound|80||cart.shop.svc.cluster.local"
OTHER = "outbound|8080||cart-v2.shop.svc.cluster.local"


def test_a_services_own_route_is_for_all() -> None:
    text = route(f"[{{{to()}}}]")
    assert clusters(text) == clusters(text, seen_from="web") == [OTHER]


def test_a_clients_route_is_for_its_namespace_and_precedes() -> None:
    text = route(f"[{{{to()}}}]", name="own") + route(
        f"[{{{to('front')}}}]", name="theirs", namespace="web", age="2025-01-01T00:00:00Z"
    )
    assert clusters(text, seen_from="shop") == [OTHER]
    assert clusters(text, seen_from="web") == ["outbound|8080||front.shop.svc.cluster.local"]
    assert clusters(text, seen_from="elsewhere") == [OTHER]
    strangers = route(f"[{{{to()}}}]", namespace="web")
    assert clusters(strangers, seen_from="elsewhere") == [OWN]


def test_a_parents_port_is_the_only_one() -> None:
    text = route(f"[{{{to()}}}]", parent=", port: 8080")
    assert clusters(text, port=80) == [OWN]
    assert clusters(text, port=8080) == [OTHER]


def test_the_most_specific_rule_goes_first_whatever_route_it_is_of() -> None:
    young = route(
        "[{matches: [{path: {type: Exact, value: /a}}, {path: {value: /a/long}}], " + to() + "}]",
        name="young",
        age="2025-01-01T00:00:00Z",
    )
    old = route(
        "[{matches: [{path: {type: RegularExpression, value: /a.*}}, {path: {value: /a}}, {method: GET}, "
        "{headers: [{name: X, value: z}]}, {queryParams: [{name: q, value: '1'}]}], " + to() + "}, {" + to() + "}]",
        name="old",
    )
    assert [route.origin for route in routes(young + old)] == [
        Origin("HTTPRoute shop/young", 0, 0),
        Origin("HTTPRoute shop/young", 0, 1),
        Origin("HTTPRoute shop/old", 0, 1),
        Origin("HTTPRoute shop/old", 0, 2),
        Origin("HTTPRoute shop/old", 0, 3),
        Origin("HTTPRoute shop/old", 0, 4),
        Origin("HTTPRoute shop/old", 0, 0),
        Origin("HTTPRoute shop/old", 1, -1),
    ]


def test_prefixes_end_with_a_segment() -> None:
    [first, _] = routes(route("[{matches: [{path: {value: /a}}], " + to() + "}, {" + to() + "}]"))
    assert first.match.path is not None
    assert (first.match.path.kind, first.match.path.value) == (MatchKind.PATH_PREFIX, "/a")


@pytest.mark.parametrize(
    "rule",
    [
        "{}",
        "{" + to(more=", weight: 0") + "}",
        "{filters: [{type: ExtensionRef, extensionRef: {group: a, kind: B, name: c}}]}",
    ],
    ids=["no backend", "no weight", "a filter that there is not"],
)
def test_nobody_to_send_to_is_an_error(rule: str) -> None:
    [only] = routes(route(f"[{rule}]"))
    assert only.action == DirectResponse(500)


def test_a_backend_that_does_not_exist_keeps_its_share() -> None:
    backends = "{name: cart-v2, port: 8080, weight: 3}, {name: nobody, port: 80}, {name: front, kind: Pod}"
    [only] = routes(route(f"[{{backendRefs: [{backends}]}}]"))
    assert isinstance(only.action, Forward)
    assert only.action.missing_cluster_status == 500
    assert [(each.cluster, each.weight) for each in only.action.clusters] == [
        (OTHER, 3),
        ("outbound|80||nobody.shop.svc.cluster.local", 1),
        ("outbound|80||not-a-backend.invalid", 1),
    ]


def test_what_filters_do() -> None:
    edits = "{set: [{name: X-A, value: one}, {name: x-a, value: two}], add: [{name: b, value: c}], remove: [D]}"
    [only] = routes(
        route(
            f"[{{filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {edits}}}, "
            "{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [E]}}, "
            "{type: URLRewrite, urlRewrite: {hostname: other.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}], "
            "timeouts: {request: 4s, backendRequest: 2s}, retry: {codes: [503], attempts: 4}, " + to() + "}]"
        )
    )
    assert (only.request_headers.set, only.request_headers.add) == ((("x-a", "one"),), (("b", "c"),))
    assert (only.request_headers.remove, only.response_headers.remove) == (("d",), ("e",))
    assert isinstance(only.action, Forward)
    assert (only.action.rewrite.prefix, only.action.rewrite.host) == ("/", "other.example")
    assert only.action.timeout == 4
    assert only.action.retry is not None
    assert (only.action.retry.attempts, only.action.retry.per_try_timeout) == (4, 2)
    assert only.action.retry.status_codes == (503,)


def test_one_try_has_the_time_of_one() -> None:
    [only] = routes(route("[{timeouts: {request: 4s, backendRequest: 2s}, " + to() + "}]"))
    assert isinstance(only.action, Forward)
    assert only.action.timeout == 2


@pytest.mark.parametrize(
    ("redirect", "wanted"),
    [
        ("{}", Redirect(302, port_from_request=True)),
        ("{scheme: https, statusCode: 301}", Redirect(301, scheme="https")),
        ("{port: 8443, hostname: a.example}", Redirect(302, host="a.example", port=8443)),
        ("{path: {type: ReplaceFullPath, replaceFullPath: /x}}", Redirect(302, port_from_request=True, path="/x")),
        (
            "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}}",
            Redirect(302, port_from_request=True, prefix="/x"),
        ),
    ],
)
def test_redirects(redirect: str, wanted: Redirect) -> None:
    [only] = routes(route(f"[{{filters: [{{type: RequestRedirect, requestRedirect: {redirect}}}]}}]"))
    assert only.action == wanted


def test_the_hosts_of_a_service_entry_are_parents_too() -> None:
    entry = """
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far, namespace: shop}
spec: {hosts: [a.example, b.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: far}]
  rules: [{backendRefs: [{group: networking.istio.io, kind: Hostname, name: c.example, port: 443}]}]
"""
    for host in ("a.example", "b.example"):
        assert clusters(entry, host=host) == ["outbound|443||c.example"]
