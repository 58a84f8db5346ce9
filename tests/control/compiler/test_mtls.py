"""How a client speaks TLS to a service, and why."""

from __future__ import annotations

import pytest

from meshd.snapshot.cluster import Cluster, TlsMode
from tests.control.compiler.rendering import cluster, compiled

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80, name: http}]}
"""
CONFIG = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "enableAutoMtls: false"}
"""


def peers(mode: str, namespace: str = "default", more: str = "") -> str:
    return f"""
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: p, namespace: {namespace}}}
spec: {{{more} mtls: {{mode: {mode}}}}}
"""


def rule(mode: str, more: str = "") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: web}}
spec: {{host: web, trafficPolicy: {{tls: {{mode: {mode}{more}}}}}}}
"""


def web(*more: str) -> Cluster:
    return cluster(compiled(SERVICE + "".join(more)), "outbound|80||web.default.svc.cluster.local")


def said(found: Cluster) -> tuple[str, str]:
    return (found.tls.mode.value if found.tls is not None else "plaintext", found.tls_reason)


def test_automatic_is_the_ordinary_thing_and_needs_no_reason() -> None:
    assert said(web()) == ("AUTO", "")
    assert said(web(peers("STRICT"))) == ("AUTO", "")
    assert said(web(peers("PERMISSIVE", "istio-system"))) == ("AUTO", "")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (CONFIG, "enableAutoMtls"),
        (peers("DISABLE"), "PeerAuthentication"),
        (peers("DISABLE", "istio-system"), "PeerAuthentication"),
    ],
)
def test_why_it_is_plaintext(more: str, why: str) -> None:
    mode, reason = said(web(more))
    assert mode == "plaintext"
    assert why in reason


def test_a_policy_for_some_workloads_says_nothing_of_a_service() -> None:
    assert said(web(peers("DISABLE", more="selector: {matchLabels: {app: web}},"))) == ("AUTO", "")
    assert said(web(peers("DISABLE", "istio-system") + peers("STRICT"))) == ("AUTO", "")


@pytest.mark.parametrize("mode", ["DISABLE", "ISTIO_MUTUAL", "SIMPLE"])
def test_a_rule_decides_whatever_else_is_said(mode: str) -> None:
    found = web(CONFIG, peers("DISABLE"), rule(mode))
    expected = "plaintext" if mode == "DISABLE" else mode
    assert said(found) == (expected, f"DestinationRule default/web says {mode}")
    assert found.rules == ("DestinationRule default/web",)


ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e}
spec:
  hosts: [e.example.com]
  location: %s
  resolution: NONE
  ports: [{number: 80, name: http}]
  endpoints: [%s]
"""


@pytest.mark.parametrize(
    ("location", "endpoints", "mode"),
    [
        ("MESH_EXTERNAL", "{address: 10.0.0.1, serviceAccount: a}", "plaintext"),
        ("MESH_INTERNAL", "", "plaintext"),
        ("MESH_INTERNAL", "{address: 10.0.0.1, serviceAccount: a}", "AUTO"),
        ("MESH_INTERNAL", "{address: 10.0.0.1, serviceAccount: a}, {address: 10.0.0.2}", "plaintext"),
    ],
)
def test_where_the_client_chooses_the_endpoint_all_of_them_must_speak_it(
    location: str, endpoints: str, mode: str
) -> None:
    found = cluster(compiled(ENTRY % (location, endpoints)), "outbound|80||e.example.com")
    assert said(found)[0] == mode
    assert bool(found.tls_reason) == (mode == "plaintext")


def test_the_trust_domains_of_the_mesh() -> None:
    aliases = CONFIG.replace("enableAutoMtls: false", "trustDomainAliases: [old.example.org]")
    found = web(aliases)
    assert found.tls is not None
    assert found.tls.mode is TlsMode.AUTO
    assert found.tls.trust_domains == ("cluster.local", "old.example.org")
