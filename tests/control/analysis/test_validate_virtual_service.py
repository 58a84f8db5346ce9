"""VirtualService alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text

ROUTE = "route: [{destination: {host: reviews}}]"


def of(spec: str) -> list[str]:
    return said(text("VirtualService", spec))


def http(route: str) -> list[str]:
    return of(f"{{hosts: [reviews], http: [{{{route}}}]}}")


@pytest.mark.parametrize(
    "spec",
    [
        f"{{hosts: [reviews], http: [{{{ROUTE}}}]}}",
        f"{{hosts: [reviews, '*.example.com', 10.0.0.1, '2001:db8::1', a.b.], http: [{{{ROUTE}}}]}}",
        f"{{hosts: ['*'], gateways: [gw, ns/gw], http: [{{{ROUTE}}}]}}",
        "{hosts: [a], tcp: [{match: [{port: 1, destinationSubnets: [10.0.0.0/8]}], route: [{destination: {host: b}}]}]}",
        "{hosts: ['*.a.b'], tls: [{match: [{sniHosts: [x.a.b]}], route: [{destination: {host: b}}]}]}",
        f"{{hosts: [a], exportTo: [., prod], http: [{{{ROUTE}}}]}}",
    ],
)
def test_good(spec: str) -> None:
    assert [line for line in of(spec) if "destinationSubnets" not in line] == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{}", "there are no routes: http, tls or tcp is needed"),
        (
            f"{{http: [{{{ROUTE}}}], gateways: [gw]}}",
            "error spec.gateways: there are no hosts, so it is one that others delegate to",
        ),
        ("{tcp: [{route: [{destination: {host: b}}]}]}", "such a one has no tcp"),
        ("{http: [{delegate: {name: a}}]}", "what others delegate to cannot delegate further"),
        (f"{{hosts: [a], gateways: [gw.ns.svc.cluster.local], http: [{{{ROUTE}}}]}}", "write ns/gw"),
        (
            "{hosts: [a], tls: [{match: [{sniHosts: [10.0.0.1]}], route: [{destination: {host: b}}]}]}",
            "warning spec.tls",
        ),
        ("{hosts: [a], http: [{route: [{destination: {host: 10.0.0.1}}]}]}", "an IP address cannot stand here"),
        (f"{{hosts: ['*'], http: [{{{ROUTE}}}]}}", 'error spec.hosts[0]: the host "*" is not allowed in the mesh'),
        (f"{{hosts: ['http://a'], http: [{{{ROUTE}}}]}}", '"http://a" is not a domain name: leave the scheme out'),
        (f"{{hosts: ['a.b/c'], http: [{{{ROUTE}}}]}}", "leave the path out"),
        (f"{{hosts: ['a.b:80'], http: [{{{ROUTE}}}]}}", "leave the port out"),
        (f"{{hosts: ['a.*.c'], http: [{{{ROUTE}}}]}}", '"*" can only stand at the beginning'),
        (f"{{hosts: ['a..c'], http: [{{{ROUTE}}}]}}", "a part of it is empty"),
        (f"{{hosts: ['a.1'], http: [{{{ROUTE}}}]}}", "its last part is a number"),
        (f"{{hosts: [''], http: [{{{ROUTE}}}]}}", "a host (a domain name) is missing"),
        (f"{{hosts: [a, a], http: [{{{ROUTE}}}]}}", 'spec.hosts[1]: "a" and "a" overlap'),
        (f"{{hosts: ['*.b', '*.a.b'], http: [{{{ROUTE}}}]}}", '"*.a.b" and "*.b" overlap'),
        (f"{{hosts: [a], gateways: [/x], http: [{{{ROUTE}}}]}}", "write it as namespace/name"),
        (f"{{hosts: [a], exportTo: [~], http: [{{{ROUTE}}}]}}", "exportTo[0]: expected text, found nothing"),
        (f"{{hosts: [a], exportTo: ['~'], http: [{{{ROUTE}}}]}}", '"~" is not allowed here'),
        (f"{{hosts: [a], exportTo: ['*', x], http: [{{{ROUTE}}}]}}", '"*" is everybody'),
        (f"{{hosts: [a], exportTo: [x, x], http: [{{{ROUTE}}}]}}", '"x" is here twice'),
        ("{hosts: [a], tcp: [{}]}", "spec.tcp[0]: there is no destination: route is needed"),
        ("{hosts: [a], tls: [{match: [], route: [{destination: {host: b}}]}]}", "needs a match with sniHosts"),
        (
            "{hosts: [a.b], tls: [{match: [{sniHosts: [c.d]}], route: [{destination: {host: b}}]}]}",
            '"c.d" is not one of the hosts of this VirtualService (a.b)',
        ),
        (
            "{hosts: [a], tcp: [{match: [{destinationSubnets: [x]}], route: [{destination: {host: b}}]}]}",
            '"x" is not an IP address or a block',
        ),
    ],
)
def test_bad(spec: str, message: str) -> None:
    assert any(message in line for line in of(spec)), of(spec)


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ("route: [{destination: {host: '*'}}]", '"*" is not a destination: name a service'),
        ("route: [{destination: {host: a, subset: 'v 1'}}]", '"v 1" is not a subset\'s name'),
        ("route: [{destination: {host: a, port: {number: 70000}}}]", "70000 is not a port: 1 to 65535"),
        ("route: [{destination: {host: a}, weight: -1}]", "route[0].weight: -1 is negative"),
        (
            "route: [{destination: {host: a}}, {destination: {host: b}, weight: 0}]",
            "route: all the weights together are 0",
        ),
    ],
)
def test_bad_destinations(route: str, message: str) -> None:
    assert any(message in line for line in http(route)), http(route)


def test_claims_need_a_gateway() -> None:
    route = f"{{match: [{{headers: {{'@request.auth.claims.group': {{exact: a}}}}}}], {ROUTE}}}"
    assert any("claims can be matched at gateways only" in line for line in of(f"{{hosts: [a], http: [{route}]}}"))
    at_gateway = of(f"{{hosts: [a], gateways: [gw], http: [{route}]}}")
    assert [line.partition(" ")[0] for line in at_gateway] == ["warning"]
