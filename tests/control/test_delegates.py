"""Delegates: matches under matches, what is taken from whom, who may be named."""

from __future__ import annotations

import pytest

from meshd.api.networking.virtual_service import VirtualService
from meshd.control.delegates import merge_matches, merge_route
from meshd.control.mesh import Mesh
from meshd.control.owned import Owned
from tests.control.documents import documents

ROOT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root, namespace: front}
spec:
  hosts: [web]
  http: %s
"""
DELEGATE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %s, namespace: %s}
spec: {%s http: %s}
"""
TO = "route: [{destination: {host: %s}}]"


def delegate(http: str, name: str = "own", namespace: str = "back", more: str = "") -> str:
    return "---" + DELEGATE % (name, namespace, more, http)


def merged(root: str, *delegates: str) -> Owned[VirtualService]:
    (rule,) = Mesh.of(documents(ROOT % root + "".join(delegates))).virtual_services
    return rule


def uris(rule: Owned[VirtualService]) -> list[list[str]]:
    def uri(route: object, match: object) -> str:
        found = getattr(match, "uri", None)
        return "" if found is None else found.exact or f"{found.prefix or found.regex}*"

    return [[uri(route, match) for match in route.match] for route in rule.resource.http]


NAMED = "delegate: {name: own, namespace: back}"


def test_the_delegates_routes_take_the_place_of_the_one_that_names_it() -> None:
    rule = merged(
        f"[{{match: [{{uri: {{prefix: /a}}}}], {TO % 'first'}}}, {{match: [{{uri: {{prefix: /b}}}}], {NAMED}}},"
        f" {{{TO % 'last'}}}]",
        delegate(
            f"[{{match: [{{uri: {{exact: /b/one}}}}, {{uri: {{prefix: /b/two}}}}], {TO % 'one'}}}, {{{TO % 'two'}}}]"
        ),
    )
    assert uris(rule) == [["/a*"], ["/b/one", "/b/two*"], ["/b*"], []]
    assert [each.route[0].destination.host for each in rule.resource.http] == [
        "first",
        "one.back.svc.cluster.local",
        "two.back.svc.cluster.local",
        "last",
    ]
    assert rule.http_origins == (
        ("VirtualService front/root", 0),
        ("VirtualService back/own", 0),
        ("VirtualService back/own", 1),
        ("VirtualService front/root", 2),
    )


def test_a_delegate_is_nothing_by_itself() -> None:
    mesh = Mesh.of(documents(DELEGATE % ("own", "back", "", f"[{{{TO % 'one'}}}]")))
    assert mesh.virtual_services == ()


def test_the_namespace_is_the_roots_own_unless_said() -> None:
    rule = merged("[{delegate: {name: own}}]", delegate(f"[{{{TO % 'x'}}}]", namespace="front"))
    assert rule.resource.http[0].route[0].destination.host == "x.front.svc.cluster.local"


@pytest.mark.parametrize(
    ("export_to", "found"), [("", 1), ('"*"', 1), ("front", 1), ('"."', 0), ("other", 0), ('"~"', 0)]
)
def test_a_delegate_that_is_not_exported_takes_its_route_away(export_to: str, found: int) -> None:
    rule = merged(f"[{{{NAMED}}}, {{{TO % 'last'}}}]", delegate(f"[{{{TO % 'x'}}}]", more=f"exportTo: [{export_to}],"))
    assert len(rule.resource.http) == found + 1


def test_a_delegate_that_is_not_there_takes_its_route_away() -> None:
    assert len(merged(f"[{{{NAMED}}}, {{{TO % 'last'}}}]").resource.http) == 1


def test_one_level_and_no_more() -> None:
    rule = merged(
        f"[{{{NAMED}}}]",
        delegate(f"[{{delegate: {{name: deeper}}}}, {{{TO % 'x'}}}]"),
        delegate(f"[{{{TO % 'deep'}}}]", name="deeper"),
    )
    assert [each.delegate for each in rule.resource.http] == [None, None]
    assert [[each.destination.host for each in route.route] for route in rule.resource.http] == [
        [],
        ["x.back.svc.cluster.local"],
    ]


def test_what_the_delegate_leaves_open_is_the_roots() -> None:
    rule = merged(
        "[{name: outer, timeout: 1s, retries: {attempts: 1}, corsPolicy: {allowOrigin: [a]},"
        f" headers: {{request: {{set: {{x: root}}}}}}, {NAMED}}}]",
        delegate(
            f"[{{name: inner, timeout: 2s, headers: {{response: {{set: {{y: own}}}}}}, {TO % 'a'}}}, {{{TO % 'b'}}}]"
        ),
    )
    first, second = rule.resource.http
    assert (first.name, second.name) == ("outer-inner", "outer")
    assert (first.timeout, second.timeout) == (2.0, 1.0)
    assert first.retries == second.retries
    assert first.retries is not None
    assert first.corsPolicy is not None
    assert first.headers is not None
    assert first.headers.request is None, "a block is taken as a whole or not at all"
    assert second.headers is not None
    assert second.headers.request is not None


MATCH = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: x}
spec: {hosts: [x.example.com], http: [{match: [%s], route: [{destination: {host: x.example.com}}]}]}
"""


@pytest.mark.parametrize(
    ("root", "own", "fits"),
    [
        ("{uri: {prefix: /a}}", "{uri: {prefix: /a/b}}", True),
        ("{uri: {prefix: /a}}", "{uri: {exact: /ab}}", True),
        ("{uri: {prefix: /a/b}}", "{uri: {prefix: /a}}", False),
        ("{uri: {exact: /a}}", "{uri: {exact: /a}}", True),
        ("{uri: {exact: /a}}", "{uri: {prefix: /a}}", False),
        ("{uri: {prefix: /a}}", "{uri: {regex: '/a.*'}}", False),
        ("{uri: {regex: '/a.*'}}", "{uri: {exact: /a}}", False),
        ("{uri: {regex: '/a.*'}}", "{method: {exact: GET}}", True),
        ("{method: {exact: GET}}", "{method: {exact: PUT}}", False),
        ("{headers: {x: {exact: a}}}", "{headers: {x: {exact: b}}}", False),
        ("{headers: {x: {exact: a}}}", "{headers: {y: {exact: b}}}", True),
        ("{queryParams: {x: {exact: a}}}", "{queryParams: {x: {exact: ab}}}", False),
        ("{withoutHeaders: {x: {prefix: a}}}", "{withoutHeaders: {x: {prefix: b}}}", False),
        ("{port: 80}", "{port: 81}", False),
        ("{port: 80}", "{uri: {exact: /}}", True),
        ("{ignoreUriCase: true, uri: {prefix: /a}}", "{uri: {prefix: /a}}", False),
        ("{sourceLabels: {app: a}}", "{sourceLabels: {app: b}}", False),
        ("{sourceLabels: {app: a}}", "{sourceLabels: {version: v1}}", True),
        ("{sourceNamespace: a}", "{uri: {prefix: /}}", False),
        ("{sourceNamespace: a}", "{sourceNamespace: a}", True),
        ("{gateways: [a/b, mesh]}", "{gateways: [mesh]}", True),
        ("{gateways: [mesh]}", "{gateways: [a/b]}", False),
    ],
)
def test_a_match_must_lie_under_one_of_the_roots(root: str, own: str, fits: bool) -> None:
    outer, inner = (Mesh.of(documents(MATCH % text)).virtual_services[0].resource.http[0] for text in (root, own))
    assert (merge_route(outer, inner) is not None) == fits


def test_matches_are_joined_field_by_field() -> None:
    outer, inner = (
        Mesh.of(documents(MATCH % text)).virtual_services[0].resource.http[0].match
        for text in (
            "{name: o, uri: {prefix: /a}, headers: {x: {exact: a}}}, {uri: {prefix: /z}}",
            "{name: i, uri: {prefix: /a/b}, headers: {z: {exact: b}}, method: {exact: GET}}",
        )
    )
    found = merge_matches(outer, inner)
    assert found is not None
    (match,) = found
    assert (match.name, match.uri.prefix if match.uri else "") == ("o-i", "/a/b")
    assert set(match.headers) == {"x", "z"}
    assert merge_matches((), inner) == inner
    assert merge_matches(outer, ()) == outer
