"""Routes and listeners of the Gateway API without an effect."""

from __future__ import annotations

import pytest

from meshd.control.analysis.facts import Facts
from meshd.control.analysis.own.gateway_routes import listeners, routes
from tests.control.documents import documents

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: %s
  listeners: [{name: http, port: 80, protocol: HTTP, hostname: "*.example.com"}%s]
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {ports: [{port: 80, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: gold, namespace: vault}
spec: {ports: [{port: 80, name: http}]}
"""
ROUTE = """
---
apiVersion: gateway.networking.k8s.io/v1
kind: %s
metadata: {name: r, namespace: %s}
spec: {parentRefs: [{%s}], hostnames: [%s], rules: [{backendRefs: [{%s}]}]}
"""


def said(
    *,
    kind: str = "HTTPRoute",
    space: str = "shop",
    parent: str = "name: edge",
    host: str = "a.example.com",
    to: str = "name: cart, port: 80",
) -> list[str]:
    text = GATEWAY % ("istio", "") + ROUTE % (kind, space, parent, host, to)
    return [f"{each.code} {each.message}" for each in routes(Facts.of(documents(text)))]


def test_what_works_is_not_told() -> None:
    assert said() == []
    assert said(parent="group: '', kind: Service, name: cart") == []


@pytest.mark.parametrize(
    ("parent", "because"),
    [
        ("name: other", "there is no Gateway shop/other"),
        ("name: edge, sectionName: tls", 'Gateway shop/edge has no listener "tls"'),
        ("name: edge, port: 81", "no listener of Gateway shop/edge takes a HTTPRoute at port 81"),
        ("group: '', kind: Service, name: nobody", "there is no Service shop/nobody"),
    ],
)
def test_parents(parent: str, because: str) -> None:
    assert said(parent=parent) == [f"MD0062 this has no effect: {because}"]


def test_hosts_and_namespaces_of_listeners() -> None:
    [hosts] = said(host="other.com")
    assert "none of its hostnames" in hosts
    [spaces] = said(space="vault", parent="name: edge, namespace: shop", to="name: gold, port: 80")
    assert "takes routes of the namespace vault" in spaces


@pytest.mark.parametrize(
    ("to", "because"),
    [
        ("name: nobody, port: 80", "there is no Service shop/nobody"),
        ("name: cart, port: 81", "cart.shop.svc.cluster.local has no port 81"),
        (
            "name: gold, namespace: vault, port: 80",
            "no ReferenceGrant of the namespace vault lets a HTTPRoute refer to gold",
        ),
        ("name: cart, kind: Pod, port: 80", "requests cannot be sent to a Pod of v1"),
    ],
)
def test_backends(to: str, because: str) -> None:
    assert said(to=to) == [f"MD0063 {because}"]


def test_within_the_mesh_nobody_asks_for_grants() -> None:
    assert said(parent="group: '', kind: Service, name: cart", to="name: gold, namespace: vault, port: 80") == []


def test_listeners() -> None:
    def found(name: str, more: str = "", declared: str = "") -> list[str]:
        return [each.code for each in listeners(Facts.of(documents(GATEWAY % (name, more) + declared)))]

    elsewhere = ", {name: tls, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: c, namespace: vault}]}}"
    assert found("istio") == []
    assert found("istio", elsewhere) == ["MD0064"]
    assert found("istio-waypoint") == ["MD0064"]
    other = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: nginx}\n"
    assert found("nginx", declared=other + "spec: {controllerName: example.com/x}\n") == ["MD0065"]
