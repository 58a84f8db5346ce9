"""Gateways of the Gateway API: which listeners there are, whose routes they take, and which proxies serve them."""

from __future__ import annotations

import base64

import pytest

from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.control.secrets import find_secret
from meshd.snapshot.route import Forward
from meshd.snapshot.snapshot import Snapshot
from tests.control.compiler.rendering import compiled
from tests.control.documents import documents

SERVICES = "".join(
    f"""
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{clusterIP: 10.0.0.{number}, ports: [{{port: 80, name: http}}]}}
"""
    for number, (namespace, name) in enumerate([("shop", "cart"), ("shop", "pay"), ("vault", "gold")], 1)
)
INGRESS = Scope(kind="gateway", namespace="istio-system", labels=(("istio", "ingressgateway"),))


def gateway(listeners: str, *, name: str = "edge", more: str = "") -> str:
    return f"""
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: shop}}
spec: {{gatewayClassName: istio, listeners: [{listeners}]{more}}}
"""


def route(
    *,
    name: str = "r",
    namespace: str = "shop",
    parent: str = "name: edge",
    hosts: str = "",
    to: str = "{name: cart, port: 80}",
    kind: str = "HTTPRoute",
) -> str:
    return f"""
---
apiVersion: gateway.networking.k8s.io/{"v1alpha2" if kind == "TCPRoute" else "v1"}
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{parentRefs: [{{{parent}}}], {f"hostnames: [{hosts}], " if hosts else ""}rules: [{{backendRefs: [{to}]}}]}}
"""


def grant(kind: str, to: str, namespace: str = "vault") -> str:
    return f"""
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {{name: g, namespace: {namespace}}}
spec:
  from: [{{group: gateway.networking.k8s.io, kind: {kind}, namespace: shop}}]
  to: [{{group: "", {to}}}]
"""


def served(text: str, scope: Scope = INGRESS) -> dict[str, dict[str, list[str]]]:
    """For each route table, the domains of its virtual hosts and where their routes lead."""
    return {
        table.name: {
            domain: [
                each.cluster.rpartition("|")[2].partition(".")[0]
                for route in host.routes
                if isinstance(route.action, Forward)
                for each in route.action.clusters
            ]
            for host in table.virtual_hosts
            for domain in host.domains
        }
        for table in compiled(SERVICES + text, scope).route_tables
    }


def streams(snapshot: Snapshot) -> list[tuple[tuple[str, ...], list[str]]]:
    return [
        (chain.match.server_names, [name for name, _ in chain.tcp.clusters])
        for listener in snapshot.listeners
        for chain in listener.chains
        if chain.tcp is not None
    ]


EXPRESSIONS = ", allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: [%s]}}}"
HTTP = "{name: http, port: 80, protocol: HTTP%s}"


def test_a_route_without_hosts_has_the_listeners() -> None:
    assert served(gateway(HTTP % ", hostname: '*.example.com'") + route()) == {"http.80": {"*.example.com": ["cart"]}}
    assert served(gateway(HTTP % "") + route()) == {"http.80": {"*": ["cart"]}}


@pytest.mark.parametrize(
    ("listener", "hosts", "found"),
    [
        ("*.example.com", "a.example.com, b.other.com", {"a.example.com"}),
        ("a.example.com", "'*.example.com'", {"a.example.com"}),
        ("*.a.example.com", "'*.example.com'", {"*.a.example.com"}),
        ("a.example.com", "b.example.com", {"*"}),
    ],
)
def test_hosts_are_what_both_have(listener: str, hosts: str, found: set[str]) -> None:
    text = gateway(HTTP % f", hostname: '{listener}'") + route(hosts=hosts)
    assert set(served(text)["http.80"]) == found


def test_listeners_are_told_apart_by_their_hosts() -> None:
    hosts = (("wide", "*.a.com"), ("narrow", "*.b.a.com"))
    listeners = ", ".join(f"{{name: {name}, port: 80, protocol: HTTP, hostname: '{host}'}}" for name, host in hosts)
    wide = gateway(listeners) + route(parent="name: edge, sectionName: wide")
    assert served(wide) == {"http.80": {"*.a.com": ["cart"], "*.b.a.com": []}}
    astray = gateway(listeners) + route(parent="name: edge, sectionName: wide", hosts="x.b.a.com")
    assert served(astray) == {"http.80": {"*.b.a.com": []}}


@pytest.mark.parametrize(
    ("allowed", "taken"),
    [
        ("", False),
        (", allowedRoutes: {namespaces: {from: Same}}", False),
        (", allowedRoutes: {namespaces: {from: All}}", True),
        (", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {a: b}}}}", True),
        (", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {a: c}}}}", False),
        (", allowedRoutes: {namespaces: {from: Selector}}", False),
        (
            EXPRESSIONS % "{key: kubernetes.io/metadata.name, operator: In, values: [vault]}",
            True,
        ),
        (
            EXPRESSIONS % "{key: a, operator: Exists}, {key: a, operator: NotIn, values: [b]}",
            False,
        ),
        (", allowedRoutes: {namespaces: {from: All}, kinds: [{kind: GRPCRoute}]}", False),
    ],
)
def test_whose_routes_are_taken(allowed: str, taken: bool) -> None:
    space = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: vault, labels: {a: b}}\n"
    text = gateway(HTTP % allowed) + space
    text += route(namespace="vault", parent="name: edge, namespace: shop", to="{name: gold, port: 80}")
    assert served(text) == {"http.80": {"*": ["gold"] if taken else []}}


@pytest.mark.parametrize(
    ("parent", "taken"),
    [
        ("name: edge", True),
        ("name: edge, sectionName: http", True),
        ("name: edge, sectionName: other", False),
        ("name: edge, port: 80", True),
        ("name: edge, port: 81", False),
        ("name: other", False),
        ("name: edge, namespace: vault", False),
    ],
)
def test_what_a_parent_reference_says(parent: str, taken: bool) -> None:
    assert served(gateway(HTTP % "") + route(parent=parent)) == {"http.80": {"*": ["cart"] if taken else []}}


def test_backends_elsewhere_need_a_grant() -> None:
    text = gateway(HTTP % "") + route(to="{name: gold, namespace: vault, port: 80}")
    assert served(text)["http.80"] == {"*": ["not-permitted"]}
    for to in ("kind: Service", "kind: Service, name: gold"):
        assert served(text + grant("HTTPRoute", to))["http.80"] == {"*": ["gold"]}
    for kind, to in (
        ("HTTPRoute", "kind: Service, name: other"),
        ("GRPCRoute", "kind: Service"),
        ("HTTPRoute", "kind: Secret"),
    ):
        assert served(text + grant(kind, to))["http.80"] == {"*": ["not-permitted"]}


def test_which_proxies_serve_it() -> None:
    text = gateway(HTTP % "") + route()
    named = Scope(kind="gateway", namespace="shop", labels=(("gateway.networking.k8s.io/gateway-name", "edge"),))
    other = Scope(kind="gateway", namespace="shop", labels=(("gateway.networking.k8s.io/gateway-name", "else"),))
    assert served(text, named) == served(text) != {}
    assert served(text, other) == served(text, Scope(kind="gateway", labels=(("istio", "egressgateway"),))) == {}


@pytest.mark.parametrize("controller", ["example.com/other", "istio.io/gateway-controller"])
def test_a_class_of_somebody_else_is_left_to_him(controller: str) -> None:
    declared = f"""
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: istio}}
spec: {{controllerName: {controller}}}
"""
    assert bool(served(gateway(HTTP % "") + route() + declared)) == controller.startswith("istio.io")


def secret(namespace: str) -> str:
    text = base64.b64encode(b"pem").decode()
    return f"\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: cert, namespace: {namespace}}}\ndata: {{tls.crt: {text}, tls.key: {text}}}\n"


HTTPS = "{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert%s}]}}"


def test_certificates_of_the_gateways_namespace() -> None:
    text = gateway(HTTPS % "") + route() + secret("shop")
    snapshot = compiled(SERVICES + text, INGRESS)
    [chain] = [chain for listener in snapshot.listeners for chain in listener.chains]
    assert chain.tls is not None
    name = chain.tls.certificate
    assert name == "kubernetes-gateway://shop/cert"
    [reference] = snapshot.secrets
    assert reference.name == name
    assert reference.version
    mesh = Mesh.of(documents(text))
    for namespace, may in (("istio-system", True), ("shop", True), ("vault", False)):
        asker = Scope(kind="gateway", namespace=namespace, labels=INGRESS.labels)
        found = find_secret(mesh.secrets, asker, name, mesh.gateway_secrets)
        assert (found is not None) == may
    stranger = "kubernetes-gateway://vault/cert"
    assert (
        find_secret(Mesh.of(documents(text + secret("vault"))).secrets, INGRESS, stranger, mesh.gateway_secrets) is None
    )


def test_certificates_elsewhere_need_a_grant() -> None:
    text = gateway(HTTPS % ", namespace: vault") + route() + secret("vault")
    assert served(text) == {}
    assert list(served(text + grant("Gateway", "kind: Secret, name: cert"))) == [
        "https.443.default.edge-istio-autogenerated-k8s-gateway-https.shop"
    ]


def test_streams() -> None:
    passed = "{name: tls, port: 443, protocol: TLS, hostname: '*.a.com', tls: {mode: Passthrough}}"
    text = gateway(passed) + route(kind="TLSRoute", hosts="x.a.com, y.b.com")
    cart = ["outbound|80||cart.shop.svc.cluster.local"]
    assert streams(compiled(SERVICES + text, INGRESS)) == [(("x.a.com",), cart)]
    text = gateway("{name: tcp, port: 5432, protocol: TCP}") + route(kind="TCPRoute")
    assert streams(compiled(SERVICES + text, INGRESS)) == [((), cart)]
    ended = "{name: tls, port: 443, protocol: TLS, tls: {mode: Terminate, certificateRefs: [{name: cert}]}}"
    text = gateway(ended) + route(kind="TLSRoute", hosts="x.a.com")
    assert [clusters for _, clusters in streams(compiled(SERVICES + text, INGRESS))] == [cart]


def test_calls_of_grpc() -> None:
    text = f"""{gateway(HTTP % "")}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: calls, namespace: shop}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
  - matches: [{{method: {{service: a.B, method: C}}}}, {{method: {{service: a.B}}}}, {{method: {{method: D}}}}]
    backendRefs: [{{name: cart, port: 80}}]
  - backendRefs: [{{name: pay, port: 80}}]
"""
    [table] = compiled(SERVICES + text, INGRESS).route_tables
    paths = [route.match.path.value for route in table.virtual_hosts[0].routes if route.match.path is not None]
    assert paths == ["/a.B/C", "/a.B", "/[^/]+/D", "/"]
