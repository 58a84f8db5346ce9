"""VirtualServices beside what they name."""

from __future__ import annotations

import pytest

from meshd.control.analysis.istio.vs_claims import claim_routes
from meshd.control.analysis.istio.vs_conflicts import conflicting_hosts
from meshd.control.analysis.istio.vs_destinations import destination_hosts, destination_subsets
from meshd.control.analysis.istio.vs_gateways import gateways, hosts_without_gateway
from meshd.control.analysis.own.gateway_bindings import hosts_without_routes
from tests.control.analysis.istio.cases import ask, deployment, istio, join, pod, said, service


def route(
    destination: str, *, name: str = "v", others: str = "", hosts: str = "a.example.com", ns: str = "default"
) -> str:
    spec = f"{{hosts: [{hosts}], http: [{{route: [{{destination: {{{destination}}}}}]}}]{others}}}"
    return istio("VirtualService", name, spec, namespace=ns)


SHOP = service("shop", "{port: 80, name: http}")
TWO = service("shop", "{port: 80, name: http}, {port: 81, name: http-b}")
LOST = ["IST0101 VirtualService default/v 4"]


@pytest.mark.parametrize(
    ("destination", "known", "expected"),
    [
        ("host: shop", SHOP, []),
        ("host: shop.default.svc.cluster.local", SHOP, []),
        ("host: shopp", SHOP, LOST),
        ("host: shop, port: {number: 80}", TWO, []),
        ("host: shop, port: {number: 82}", TWO, LOST),
        ("host: shop", TWO, ["IST0112 VirtualService default/v 4"]),
    ],
)
def test_destinations(destination: str, known: str, expected: list[str]) -> None:
    assert said(destination_hosts, join(route(destination), known)) == expected


@pytest.mark.parametrize(
    ("host", "hint"),
    [
        ("shopp", "did you mean shop.default.svc.cluster.local?"),
        ("shop.prod", "did you mean shop.default.svc.cluster.local?"),
        ("bakery", "that is bakery.default.svc.cluster.local"),
    ],
)
def test_what_was_meant(host: str, hint: str) -> None:
    [finding] = ask(destination_hosts, join(route(f"host: {host}"), SHOP))
    assert hint in finding.message


def test_mirrors_are_destinations_too() -> None:
    spec = "{hosts: [a.b.c], http: [{route: [{destination: {host: shop}}], mirrors: [{destination: {host: x.b.c}}]}]}"
    assert said(destination_hosts, join(istio("VirtualService", "v", spec), SHOP)) == LOST
    spec = spec.replace("mirrors: [{destination: {host: x.b.c}}]", "mirror: {host: shop, subset: v1}")
    assert said(destination_subsets, join(istio("VirtualService", "v", spec), SHOP)) == LOST


def entry(export_to: str, host: str = "out.example.com") -> str:
    spec = f"{{hosts: ['{host}'], ports: [{{number: 80, name: http, protocol: HTTP}}], exportTo: [{export_to}]}}"
    return istio("ServiceEntry", "e", spec, namespace="there")


@pytest.mark.parametrize(
    ("export_to", "rule", "namespace", "known"),
    [
        ("'*'", "", "default", True),
        ("'.'", "", "default", False),
        ("'.'", "", "there", True),
        ("default", "", "default", True),
        ("here", ", exportTo: [here]", "default", True),
        ("here", ", exportTo: ['.']", "default", False),
    ],
)
def test_hosts_that_are_not_shown_to_everybody(export_to: str, rule: str, namespace: str, known: bool) -> None:
    source = join(route("host: out.example.com", others=rule, ns=namespace), entry(export_to))
    assert len(said(destination_hosts, source)) == (0 if known else 1)


def test_a_wildcard_entry_has_its_hosts() -> None:
    assert said(destination_hosts, join(route("host: x.example.com"), entry("'*'", "*.example.com"))) == []


RULE = istio("DestinationRule", "r", "{host: shop, subsets: [{name: v1, labels: {version: v1}}]}")
SIDECARS = route("host: shop, subset: v1", name="inner", hosts="shop")
GATED = route("host: shop", others=", gateways: [g]")


def test_a_gateway_passes_subsets_by() -> None:
    v2 = deployment("d", "app: shop, version: v2")
    shop = service("shop", "{port: 80}", selector="app: shop")
    found = ask(destination_hosts, join(GATED, SIDECARS, RULE, shop, v2))
    assert [(each.code, each.resource) for each in found] == [("IST0140", "VirtualService default/v")]
    only = deployment("d", "app: shop, version: v1")
    assert said(destination_hosts, join(GATED, SIDECARS, RULE, shop, only)) == []
    named = GATED.replace("host: shop}", "host: shop, subset: v1}")
    assert said(destination_hosts, join(named, SIDECARS, RULE, shop, v2)) == []
    assert said(destination_hosts, join(route("host: shop"), SIDECARS, RULE, shop, v2)) == []


def test_subsets() -> None:
    assert said(destination_subsets, join(SIDECARS, RULE, SHOP)) == []
    assert len(said(destination_subsets, join(SIDECARS, SHOP))) == 1
    assert said(destination_subsets, SIDECARS) == []
    assert len(said(destination_subsets, join(SIDECARS.replace("subset: v1", "subset: v9"), RULE))) == 1


def gateway(hosts: str, ns: str = "default", selector: str = "a: b") -> str:
    servers = f"servers: [{{port: {{number: 80, name: h, protocol: HTTP}}, hosts: [{hosts}]}}]"
    return istio("Gateway", "g", f"{{selector: {{{selector}}}, {servers}}}", namespace=ns)


@pytest.mark.parametrize(
    ("name", "hosts", "expected"),
    [
        ("g", "a.example.com", []),
        ("default/g", "'*'", []),
        ("./g", "'*.example.com'", []),
        ("g", "./a.example.com", []),
        ("g", "'*/*'", []),
        ("g", "default/a.example.com", []),
        ("g", "prod/a.example.com", ["IST0132"]),
        ("g", "b.example.com", ["IST0132"]),
        ("h", "a.example.com", ["IST0101", "IST0132"]),
        ("prod/g", "a.example.com", ["IST0101", "IST0132"]),
        ("mesh", "b.example.com", []),
        ("x-istio-autogenerated-k8s-gateway-y", "a.example.com", ["IST0165"]),
    ],
)
def test_gateways(name: str, hosts: str, expected: list[str]) -> None:
    source = join(route("host: shop", others=f", gateways: [{name}]"), gateway(hosts))
    assert sorted(each.code for each in ask(gateways, source)) == expected


def test_a_virtual_service_that_is_broken_is_not_missing_at_its_gateway() -> None:
    good = route("host: shop", others=", gateways: [g]")
    assert said(hosts_without_routes, join(gateway("a.example.com"), good)) == []
    assert said(hosts_without_routes, join(gateway("a.example.com"), good.replace("http:", "htpp:"))) == []
    assert said(hosts_without_routes, gateway("a.example.com")) == ["MD0041 Gateway default/g 4"]


def test_a_gateway_that_is_broken_is_not_missing() -> None:
    broken = gateway("a.example.com").replace("servers:", "serverss:")
    assert said(gateways, join(route("host: shop", others=", gateways: [g]"), broken)) == []


@pytest.mark.parametrize(
    ("listener", "expected"),
    [("", []), ("hostname: a.example.com", []), ("hostname: '*.example.com'", []), ("hostname: b.c", ["IST0132"])],
)
def test_gateways_of_the_gateway_api(listener: str, expected: list[str]) -> None:
    other = (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\n"
        f"spec: {{gatewayClassName: istio, listeners: [{{name: l, port: 80, protocol: HTTP, {listener}}}]}}\n"
    )
    source = join(route("host: shop", others=", gateways: [g]"), other)
    assert [each.code for each in ask(gateways, source)] == expected


def test_single_hosts_that_no_gateway_serves() -> None:
    two = route("host: shop", others=", gateways: [g]", hosts="a.example.com, b.example.com")
    assert said(gateways, join(two, gateway("a.example.com"))) == []
    assert said(hosts_without_gateway, join(two, gateway("a.example.com"))) == ["MD0080 VirtualService default/v 4"]
    assert said(hosts_without_gateway, join(two, gateway("'*.example.com'"))) == []
    assert said(hosts_without_gateway, join(two, gateway("x.example.com"))) == []
    with_mesh = two.replace("[g]", "[g, mesh]")
    assert said(hosts_without_gateway, join(with_mesh, gateway("a.example.com"))) == []


@pytest.mark.parametrize(
    ("one", "two", "conflict"),
    [
        ({}, {}, True),
        ({}, {"hosts": "b.example.com"}, False),
        ({}, {"hosts": "'*.example.com'"}, False),
        ({"hosts": "'*.example.com'"}, {"hosts": "'*.b.example.com'"}, True),
        ({"hosts": "shop"}, {"hosts": "shop.default.svc.cluster.local"}, True),
        ({"hosts": "shop"}, {"hosts": "shop", "ns": "prod"}, False),
        ({}, {"others": ", gateways: [g]"}, False),
        ({}, {"others": ", gateways: [g, mesh]"}, True),
        ({"others": ", exportTo: ['.']"}, {"others": ", exportTo: ['.']", "ns": "prod"}, False),
        ({"others": ", exportTo: ['.']"}, {"ns": "prod"}, True),
        ({"others": ", exportTo: ['.', prod]"}, {"others": ", exportTo: ['.']", "ns": "prod"}, True),
    ],
)
def test_conflicting_hosts(one: dict[str, str], two: dict[str, str], conflict: bool) -> None:
    found = ask(
        conflicting_hosts, join(route("host: x.y.z", name="one", **one), route("host: x.y.z", name="two", **two))
    )
    assert [each.code for each in found] == (["IST0109"] * 2 if conflict else [])


CLAIM = (
    "{hosts: [a.example.com], gateways: [g], http: [{match: [{headers: {'@request.auth.claims.group': {exact: x}}}], "
    "route: [{destination: {host: shop}}]}]}"
)


def authentication(selector: str = "", ns: str = "default") -> str:
    chosen = f"selector: {{matchLabels: {{{selector}}}}}, " if selector else ""
    return istio("RequestAuthentication", "r", f"{{{chosen}jwtRules: [{{issuer: i}}]}}", namespace=ns)


@pytest.mark.parametrize(
    ("policy", "verified"),
    [
        ("", False),
        (authentication(), True),
        (authentication("a: b"), True),
        (authentication("a: c"), False),
        (authentication(ns="istio-system"), True),
        (authentication(ns="other"), False),
    ],
)
def test_claims_must_be_verified(policy: str, verified: bool) -> None:
    base = [istio("VirtualService", "v", CLAIM), gateway("'*'"), pod("p", "a: b")]
    expected = [] if verified else ["IST0149 VirtualService default/v 4"]
    assert said(claim_routes, join(*base, policy)) == expected


def test_claims_are_asked_at_gateways_that_are_there() -> None:
    assert said(claim_routes, join(istio("VirtualService", "v", CLAIM), pod("p", "a: b"))) == []
    without = CLAIM.replace("headers", "withoutHeaders")
    assert len(said(claim_routes, join(istio("VirtualService", "v", without), gateway("'*'"), pod("p", "a: b")))) == 1
