"""VirtualServices as routes: the traps of weights, faults, rewrites, conflicts and missing references."""

from __future__ import annotations

import pytest

from meshd.snapshot.common import MatchKind, StringMatch
from meshd.snapshot.policy import Fault
from meshd.snapshot.route import DirectResponse, Forward, Redirect, Route
from tests.control.compiler.rendering import SIDECAR, compiled, routes, shares, virtual_host

SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80, name: http}, {port: 81, name: http-other}]}
---
apiVersion: v1
kind: Service
metadata: {name: single}
spec: {ports: [{port: 9080, name: http}]}
"""


def virtual_service(http: str, name: str = "web", hosts: str = "web", metadata: str = "", spec: str = "") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}{metadata}}}
spec:
  hosts: [{hosts}]
  {spec}
  http: {http}
"""


def of(http: str, port: int = 80) -> tuple[Route, ...]:
    snapshot = compiled(SERVICES + virtual_service(http))
    return routes(snapshot, str(port), f"web.default.svc.cluster.local:{port}")


def forward(http: str) -> Forward:
    (route,) = of(http)
    assert isinstance(route.action, Forward)
    return route.action


def name(port: int, host: str = "web", subset: str = "") -> str:
    return f"outbound|{port}|{subset}|{host}.default.svc.cluster.local"


TO = "route: [{destination: {host: web}}]"


def test_a_single_destination_has_everything_whatever_its_weight() -> None:
    (route,) = of("[{route: [{destination: {host: web}, weight: 0}]}]")
    assert shares(route) == {name(80): 1}


def test_among_several_destinations_weight_nought_drops_one() -> None:
    (route,) = of(
        "[{route: [{destination: {host: web, subset: a}, weight: 3}, {destination: {host: web, subset: b}},"
        " {destination: {host: web, subset: c}, weight: 1}]}]"
    )
    assert shares(route) == {name(80, subset="a"): 3, name(80, subset="c"): 1}


def test_a_destinations_port() -> None:
    (explicit,) = of("[{route: [{destination: {host: web, port: {number: 8888}}}]}]")
    assert shares(explicit) == {name(8888): 1}
    (only,) = of("[{route: [{destination: {host: single}}]}]")
    assert shares(only) == {name(9080, "single"): 1}
    (listeners,) = of(f"[{{{TO}}}]", port=81)
    assert shares(listeners) == {name(81): 1}
    (unknown,) = of("[{route: [{destination: {host: nobody}}]}]")
    assert shares(unknown) == {name(80, "nobody"): 1}


def test_what_is_missing_is_a_route_to_a_cluster_that_does_not_exist() -> None:
    snapshot = compiled(SERVICES + virtual_service("[{route: [{destination: {host: web, subset: gone}}]}]"))
    (route,) = routes(snapshot, "80", "web.default.svc.cluster.local:80")
    assert isinstance(route.action, Forward)
    assert route.action.missing_cluster_status == 503
    assert not {each.name for each in snapshot.clusters} & set(shares(route))


def test_routes_after_one_that_catches_all_are_dropped() -> None:
    found = of(
        f"[{{match: [{{uri: {{prefix: /a}}}}, {{uri: {{prefix: /}}}}, {{uri: {{prefix: /b}}}}], {TO}}}, {{{TO}}}]"
    )
    assert [route.origin.rule for route in found] == [0, 0]


def test_a_virtual_service_without_a_rule_for_this_port_is_as_if_it_were_not_there() -> None:
    http = f"[{{match: [{{port: 81}}], {TO}, timeout: 1s}}]"
    (default,) = of(http, port=80)
    assert (default.name, default.origin.resource) == ("default", "")
    (ruled,) = of(http, port=81)
    assert ruled.origin.resource == "VirtualService default/web"


def test_a_virtual_service_with_other_rules_falls_through_to_nothing() -> None:
    (route,) = of(f"[{{match: [{{uri: {{prefix: /only}}}}], {TO}}}]")
    assert route.match.path == StringMatch(MatchKind.PREFIX, "/only")


def test_names() -> None:
    found = of(
        f"[{{name: a, match: [{{name: b, uri: {{prefix: /1}}}}, {{uri: {{prefix: /2}}}}], {TO}}},"
        f" {{match: [{{name: c, uri: {{prefix: /3}}}}], {TO}}}, {{{TO}}}]"
    )
    assert [route.name for route in found] == ["a.b", "a", "c", "default"]


def test_timeout_and_retries() -> None:
    assert forward(f"[{{{TO}}}]").timeout == 0.0
    assert forward(f"[{{{TO}}}]").retry is not None
    assert forward(f"[{{{TO}, timeout: 1.5s}}]").timeout == 1.5
    assert forward(f"[{{{TO}, retries: {{attempts: 0}}}}]").retry is None


def test_a_fault_without_a_percentage_never_happens() -> None:
    (route,) = of(f"[{{{TO}, timeout: 1s, fault: {{delay: {{fixedDelay: 5s}}, abort: {{httpStatus: 500}}}}}}]")
    assert route.filters == ()
    assert isinstance(route.action, Forward)
    assert route.action.timeout == 1.0


def test_a_fault_turns_timeout_and_retries_off() -> None:
    (route,) = of(f"[{{{TO}, timeout: 1s, fault: {{abort: {{httpStatus: 500, percentage: {{value: 0.01}}}}}}}}]")
    assert isinstance(route.action, Forward)
    assert (route.action.timeout, route.action.retry) == (0.0, None)
    (fault,) = route.filters
    assert isinstance(fault, Fault)
    assert fault.abort is not None
    assert (fault.abort.http_status, fault.abort.percent.per_million) == (500, 100)


@pytest.mark.parametrize(
    ("match", "rewrite", "prefix", "full"),
    [
        ("uri: {prefix: /foo}", "/bar/", "/bar/", None),
        ("uri: {exact: /foo}", "/bar", None, "/bar"),
        ('uri: {regex: "/f.*"}', "/bar", None, "/bar"),
        ("method: {exact: GET}", "/new", "/new", None),
    ],
)
def test_rewrite(match: str, rewrite: str, prefix: str | None, full: str | None) -> None:
    (route,) = of(f"[{{match: [{{{match}}}], rewrite: {{uri: {rewrite}}}, {TO}}}]")
    assert isinstance(route.action, Forward)
    assert (route.action.rewrite.prefix, route.action.rewrite.full) == (prefix, full)
    if route.match.method is not None:
        # Without a path to match, the prefix that is replaced is "/".
        assert route.match.path == StringMatch(MatchKind.PREFIX, "/")


def test_whose_host_rewrite_counts() -> None:
    host = "{headers: {request: {set: {Host: %s}}}, destination: {host: web}}"
    one = f"route: [{host % 'destination'}]"
    assert forward(f"[{{{one}}}]").rewrite.host == "destination"
    route = "headers: {request: {set: {Host: route}}}"
    assert forward(f"[{{{one}, {route}}}]").rewrite.host == "route"
    assert forward(f"[{{{one}, {route}, rewrite: {{authority: rewritten}}}}]").rewrite.host == "rewritten"


def test_headers_of_several_destinations_stay_with_them() -> None:
    (route,) = of(
        "[{headers: {request: {set: {x-a: route}}}, route: ["
        "{destination: {host: web, subset: a}, weight: 1,"
        " headers: {request: {set: {x-a: one, Host: h}}, response: {add: {x-b: two}}}},"
        "{destination: {host: web, subset: b}, weight: 1}]}]"
    )
    assert isinstance(route.action, Forward)
    first, second = route.action.clusters
    assert first.request_headers.set == (("x-a", "one"),)
    assert first.response_headers.add == (("x-b", "two"),)
    assert first.host_rewrite == "h"
    assert second.host_rewrite == ""
    assert route.request_headers.set == (("x-a", "route"),)
    assert route.action.rewrite.host == ""


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        ("uri: /a", Redirect(path="/a")),
        ("authority: x, redirectCode: 307", Redirect(status=307, host="x")),
        ("scheme: https, port: 8443", Redirect(scheme="https", port=8443)),
        ("scheme: http, port: 80", Redirect(scheme="http")),
        ("authority: x, derivePort: FROM_REQUEST_PORT", Redirect(host="x", port_from_request=True)),
        ("authority: x, derivePort: FROM_PROTOCOL_DEFAULT", Redirect(host="x")),
    ],
)
def test_redirects(redirect: str, expected: Redirect) -> None:
    (route,) = of(f"[{{redirect: {{{redirect}}}}}]")
    assert route.action == expected


def test_a_prefix_redirect() -> None:
    (route,) = of("[{match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: /b}}]")
    assert route.action == Redirect(prefix="/b")


def test_direct_responses() -> None:
    found = of(
        "[{match: [{uri: {prefix: /1}}], directResponse: {status: 503}},"
        ' {directResponse: {status: 200, body: {bytes: "aMOpbGxv"}}}]'
    )
    assert [route.action for route in found] == [DirectResponse(503), DirectResponse(200, "héllo")]


def test_mirrors() -> None:
    mirror = "mirror: {host: shadow, port: {number: 1}}"
    assert [each.percent.per_million for each in forward(f"[{{{TO}, {mirror}}}]").mirrors] == [1_000_000]
    assert forward(f"[{{{TO}, {mirror}, mirrorPercentage: {{value: 0}}}}]").mirrors == ()
    assert forward(f"[{{{TO}, {mirror}, mirrorPercent: 3}}]").mirrors[0].percent.per_million == 30_000
    several = "mirrors: [{destination: {host: a, port: {number: 1}}, percentage: {value: 0.0001}}]"
    assert forward(f"[{{{TO}, {several}}}]").mirrors[0].percent.per_million == 1


def test_a_delegate_alone_is_left_out() -> None:
    assert [route.origin.rule for route in of(f"[{{delegate: {{name: x}}}}, {{{TO}}}]")] == [1]


def test_sidecars_take_the_oldest_virtual_service_of_a_host_and_no_other() -> None:
    def names_of(*texts: str) -> list[str]:
        found = routes(compiled(SERVICES + "".join(texts)), "80", "web.default.svc.cluster.local:80")
        return [route.origin.resource for route in found]

    old = virtual_service(f"[{{{TO}}}]", "z-old", metadata=', creationTimestamp: "2020-01-01T00:00:00Z"')
    new = virtual_service(f"[{{{TO}}}]", "a-new", metadata=', creationTimestamp: "2021-01-01T00:00:00Z"')
    undated = virtual_service(f"[{{{TO}}}]", "a-undated")
    assert names_of(undated, new, old) == ["VirtualService default/z-old"]
    wide = virtual_service(f"[{{{TO}}}]", "wide", hosts='"*.svc.cluster.local"')
    assert names_of(wide, undated) == ["VirtualService default/a-undated"]
    assert names_of(wide) == ["VirtualService default/wide"]


def test_the_virtual_host_is_reached_by_short_names_and_addresses() -> None:
    snapshot = compiled(SERVICES.replace("ports: [{port: 80", "clusterIP: 10.0.0.1, ports: [{port: 80"))
    host = virtual_host(snapshot, "80", "web.default.svc.cluster.local:80")
    assert set(host.domains) >= {"web", "web.default", "web.default.svc", "web.default.svc.cluster.local", "10.0.0.1"}
    assert host.service == "web.default.svc.cluster.local"
    assert SIDECAR.namespace == "default"


def test_rules_that_can_never_be_taken_are_left_out() -> None:
    claims = f"{{match: [{{headers: {{'@request.auth.claims.sub': {{exact: a}}}}}}], {TO}}}"
    not_a_redirect = "{match: [{uri: {prefix: /x}}], redirect: {authority: a, redirectCode: 304}}"
    assert [route.origin.rule for route in of(f"[{claims}, {not_a_redirect}, {{{TO}}}]")] == [2]


def test_a_delay_by_the_old_percent() -> None:
    (route,) = of(f"[{{{TO}, fault: {{delay: {{fixedDelay: 2s, percent: 25}}}}}}]")
    (fault,) = route.filters
    assert isinstance(fault, Fault)
    assert fault.delay is not None
    assert (fault.delay.seconds, fault.delay.percent.per_million) == (2.0, 250_000)
