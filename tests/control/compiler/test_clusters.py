"""Clusters: layers of policy, TLS modes, limits."""

from __future__ import annotations

import attrs
import pytest

from meshd.control.compiler.clusters import limits, rules_of
from meshd.control.scope import Scope
from meshd.snapshot.cluster import Balancing, Cluster, ConnectionLimits, Discovery, TlsMode
from tests.control.compiler.rendering import GATEWAY, SIDECAR, cluster, compiled

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80, name: http}, {port: 81, name: grpc}, {port: 443, name: https}]}
"""
EXTERNAL = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext}
spec:
  hosts: [api.example.com, "*.example.com"]
  ports: [{number: 80, name: http}]
  resolution: %s
  subjectAltNames: [san.example.com]
"""


def rule(spec: str, name: str = "web", host: str = "web", namespace: str = "default") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{host: "{host}", {spec}}}
"""


def web(spec: str, port: int = 80, subset: str = "", scope: Scope = SIDECAR) -> Cluster:
    return cluster(compiled(SERVICE + rule(spec), scope), f"outbound|{port}|{subset}|web.default.svc.cluster.local")


def test_without_a_rule_mtls_is_automatic_inside_the_mesh_and_absent_outside() -> None:
    found = cluster(compiled(SERVICE), "outbound|80||web.default.svc.cluster.local")
    assert found.tls is not None
    assert found.tls.mode is TlsMode.AUTO
    assert found.tls.trust_domains == ("cluster.local",)
    assert found.tls.sni == "outbound_.80_._.web.default.svc.cluster.local"
    assert (found.balancing, found.discovery) == (Balancing.LEAST_REQUEST, Discovery.ENDPOINTS)
    outside = compiled(EXTERNAL % "NONE")
    assert cluster(outside, "outbound|80||api.example.com").tls is None
    assert cluster(outside, "outbound|80||api.example.com").discovery is Discovery.ORIGINAL_DESTINATION


def test_a_rule_without_tls_keeps_automatic_mtls() -> None:
    found = web("trafficPolicy: {loadBalancer: {simple: RANDOM}}")
    assert found.tls is not None
    assert found.tls.mode is TlsMode.AUTO
    assert found.balancing is Balancing.RANDOM


@pytest.mark.parametrize(("mode", "expected"), [("DISABLE", None), ("ISTIO_MUTUAL", TlsMode.ISTIO_MUTUAL)])
def test_a_rule_with_tls_turns_it_off(mode: str, expected: TlsMode | None) -> None:
    tls = web(f"trafficPolicy: {{tls: {{mode: {mode}}}}}").tls
    assert (tls.mode if tls else None) is expected


def test_web_tls() -> None:
    simple = cluster(
        compiled(EXTERNAL % "DNS" + rule("trafficPolicy: {tls: {mode: SIMPLE}}", host="api.example.com")),
        "outbound|80||api.example.com",
    )
    assert simple.discovery is Discovery.DNS
    assert simple.tls is not None
    assert (simple.tls.mode, simple.tls.sni) == (TlsMode.SIMPLE, "api.example.com")
    assert simple.tls.subject_alt_names == ("san.example.com",)
    files = "clientCertificate: /c, privateKey: /k, caCertificates: /ca, sni: other, subjectAltNames: [x]"
    mutual = web(f"trafficPolicy: {{tls: {{mode: MUTUAL, {files}}}}}").tls
    assert mutual is not None
    assert (mutual.client_certificate, mutual.private_key, mutual.ca_certificates) == ("/c", "/k", "/ca")
    assert (mutual.sni, mutual.subject_alt_names) == ("other", ("x",))


def test_a_wildcard_host_has_no_server_name_of_its_own() -> None:
    found = cluster(
        compiled(EXTERNAL % "NONE" + rule("trafficPolicy: {tls: {mode: SIMPLE}}", host="*.example.com")),
        "outbound|80||*.example.com",
    )
    assert found.tls is not None
    assert found.tls.sni == ""


def test_sidecars_use_credentials_only_where_a_rule_for_some_workloads_names_them() -> None:
    policy = "trafficPolicy: {tls: {mode: SIMPLE, credentialName: secret}}"
    tls = web(policy).tls
    assert tls is not None
    assert tls.credential == ""
    labelled = Scope(labels=(("app", "a"),))
    tls = web(policy + ", workloadSelector: {matchLabels: {app: a}}", scope=labelled).tls
    assert tls is not None
    assert tls.credential == "kubernetes://secret"


def test_gateways_use_credentials() -> None:
    text = (
        SERVICE
        + rule("trafficPolicy: {tls: {mode: SIMPLE, credentialName: secret}}")
        + """
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec: {hosts: ["*"], gateways: [gw], http: [{route: [{destination: {host: web, port: {number: 80}}}]}]}
"""
    )
    snapshot = compiled(text, GATEWAY)
    tls = cluster(snapshot, "outbound|80||web.default.svc.cluster.local").tls
    assert tls is not None
    assert tls.credential == "kubernetes://secret"
    assert [(secret.name, secret.version) for secret in snapshot.secrets] == [("kubernetes://secret", "")]


LAYERS = (
    "trafficPolicy: {loadBalancer: {simple: RANDOM}, connectionPool: {tcp: {maxConnections: 5}},"
    " tls: {mode: ISTIO_MUTUAL}, portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: ROUND_ROBIN}}]},"
    " subsets: [{name: plain, trafficPolicy: {tls: {mode: DISABLE}}}, {name: same},"
    " {name: own, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}}]"
)


def test_a_subset_overrides_block_by_block() -> None:
    plain = web(LAYERS, subset="plain")
    assert plain.tls is None
    assert (plain.balancing, plain.limits.max_connections) == (Balancing.RANDOM, 5)
    assert web(LAYERS, subset="same").tls is not None


def test_settings_for_a_port_replace_everything() -> None:
    found = web(LAYERS, port=81)
    assert found.balancing is Balancing.ROUND_ROBIN
    assert found.limits == ConnectionLimits()
    assert found.tls is not None
    assert found.tls.mode is TlsMode.AUTO
    own = web(LAYERS, subset="own")
    assert own.tls is not None
    assert (own.tls.mode, own.balancing, own.limits) == (TlsMode.SIMPLE, Balancing.LEAST_REQUEST, ConnectionLimits())


def test_http2() -> None:
    upgrade = "trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}"
    assert not web("subsets: []").http2
    assert web("subsets: []", port=81).http2
    assert web(upgrade).http2
    assert not web(upgrade, port=443).http2


def test_passthrough_balancing_goes_where_the_client_was_going() -> None:
    assert web("trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}").discovery is Discovery.ORIGINAL_DESTINATION


def test_rules_of_one_host_are_merged() -> None:
    text = (
        SERVICE
        + rule("trafficPolicy: {loadBalancer: {simple: RANDOM}}, subsets: [{name: a, labels: {v: '1'}}]", "one")
        + rule("trafficPolicy: {tls: {mode: DISABLE}}, subsets: [{name: a, labels: {v: '2'}}, {name: b}]", "two")
    )
    snapshot = compiled(text)
    assert {each.subset for each in snapshot.clusters if each.port == 80 and each.service} == {"", "a", "b"}
    found = cluster(snapshot, "outbound|80|b|web.default.svc.cluster.local")
    assert found.balancing is Balancing.RANDOM
    assert found.tls is not None
    assert rules_of(()).subsets == ()


def test_limits() -> None:
    assert limits(None) == ConnectionLimits()
    found = web(
        "trafficPolicy: {connectionPool: {tcp: {connectTimeout: 1s, maxConnectionDuration: 60s, idleTimeout: 0s},"
        " http: {http2MaxRequests: 7, maxRetries: 2, maxRequestsPerConnection: 1}}}"
    ).limits
    assert found == attrs.evolve(
        ConnectionLimits(),
        connect_timeout=1.0,
        max_connection_duration=60.0,
        tcp_idle_timeout=0.0,
        # What is said of connections holds for those of HTTP too, unless something is said of them.
        idle_timeout=0.0,
        max_requests=7,
        max_retries=2,
        max_requests_per_connection=1,
    )
