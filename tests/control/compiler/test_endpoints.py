"""Endpoints: subsets, identities, and who can do mTLS."""

from __future__ import annotations

from meshd.snapshot.cluster import Endpoint
from tests.control.compiler.rendering import compiled, endpoints

MESH = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: one}
spec: {address: 10.0.0.1, serviceAccount: sa1, labels: {app: web, version: v1}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: two}
spec: {address: 10.0.0.2, serviceAccount: sa2, labels: {app: web, version: v2}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec: {host: web, subsets: [{name: v1, labels: {version: v1}}, {name: all}, {name: none, labels: {version: v9}}]}
"""


def web(text: str = MESH, subset: str = "") -> tuple[Endpoint, ...]:
    return endpoints(compiled(text), f"outbound|80|{subset}|web.default.svc.cluster.local")


def peer_authentication(spec: str, namespace: str = "default") -> str:
    return f"""
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: p, namespace: {namespace}}}
spec: {spec}
"""


def test_subsets_by_labels() -> None:
    assert [each.host for each in web()] == ["10.0.0.1", "10.0.0.2"]
    assert [each.host for each in web(subset="v1")] == ["10.0.0.1"]
    assert [each.host for each in web(subset="all")] == ["10.0.0.1", "10.0.0.2"]
    assert web(subset="none") == ()


def test_identities() -> None:
    assert [each.identity for each in web()] == [
        "spiffe://cluster.local/ns/default/sa/sa1",
        "spiffe://cluster.local/ns/default/sa/sa2",
    ]
    assert web()[0].peer.workload == "one"
    assert web()[0].peer.principal == web()[0].identity


def test_a_workload_whose_port_takes_no_mtls_is_spoken_to_in_plaintext() -> None:
    assert [each.mtls for each in web()] == [True, True]
    disabled = "{mtls: {mode: DISABLE}}"
    assert [each.mtls for each in web(MESH + peer_authentication(disabled))] == [False, False]
    assert [each.mtls for each in web(MESH + peer_authentication(disabled, "istio-system"))] == [False, False]
    assert [each.mtls for each in web(MESH + peer_authentication(disabled, "other"))] == [True, True]
    one = "{selector: {matchLabels: {version: v1}}, portLevelMtls: {'80': {mode: DISABLE}}}"
    assert [each.mtls for each in web(MESH + peer_authentication(one))] == [False, True]
    other = "{selector: {matchLabels: {version: v1}}, portLevelMtls: {'81': {mode: DISABLE}}}"
    assert [each.mtls for each in web(MESH + peer_authentication(other))] == [True, True]


def test_a_bare_address_is_nobody_in_particular() -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext}
spec: {hosts: [a.com], ports: [{number: 80, name: http}], resolution: STATIC, endpoints: [{address: 192.0.2.1}]}
"""
    assert endpoints(compiled(text), "outbound|80||a.com") == (Endpoint("192.0.2.1", 80),)
