"""TLS that the other side does not speak, and TLS that policies cannot look into."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.mtls_conflicts import application_tls, tls_conflicts
from tests.control.analysis.own.cases import codes, lines, policy, rule, service, workload

SERVICE = service("a", "{name: http, port: 80}, {name: tcp, port: 9000, targetPort: 9001}", selector="app: a")


def peers(mode: str, more: str = "", *, namespace: str = "default") -> str:
    return policy("PeerAuthentication", f"{{mtls: {{mode: {mode}}}{more}}}", name="peers", namespace=namespace)


def tls(mode: str, host: str = "a") -> str:
    return rule(f"{{host: '{host}', trafficPolicy: {{tls: {{mode: {mode}}}}}}}")


@pytest.mark.parametrize(
    ("client", "server", "why"),
    [
        ("DISABLE", "STRICT", "takes mTLS only (PeerAuthentication default/peers), and DISABLE sends no certificate"),
        ("SIMPLE", "STRICT", "takes mTLS only (PeerAuthentication default/peers), and SIMPLE sends no certificate"),
        (
            "ISTIO_MUTUAL",
            "DISABLE",
            "takes plaintext only (PeerAuthentication default/peers), and ISTIO_MUTUAL sends mTLS",
        ),
    ],
)
def test_modes_that_do_not_meet(client: str, server: str, why: str) -> None:
    [line] = lines(tls_conflicts, tls(client), peers(server), SERVICE)
    assert line.startswith("MD0036 4:")
    assert f"every call is refused: port 80 of a.default.svc.cluster.local {why}" in line


def test_wildcards_subsets_and_ports() -> None:
    assert codes(tls_conflicts, tls("DISABLE", "*.default.svc.cluster.local"), peers("STRICT"), SERVICE) == ["MD0036"]
    subset = rule("{host: a, subsets: [{name: v1, trafficPolicy: {tls: {mode: DISABLE}}}]}")
    assert codes(tls_conflicts, subset, peers("STRICT"), SERVICE) == ["MD0036"]
    one = "{host: a, trafficPolicy: {portLevelSettings: [{port: {number: 9000}, tls: {mode: ISTIO_MUTUAL}}]}}"
    ports = ", selector: {matchLabels: {app: a}}, portLevelMtls: {9001: {mode: DISABLE}}"
    [line] = lines(tls_conflicts, rule(one), peers("STRICT", ports), SERVICE, workload("a", "app: a"))
    assert "port 9000 of a.default.svc.cluster.local takes plaintext only" in line


@pytest.mark.parametrize(
    "documents",
    [
        (tls("ISTIO_MUTUAL"), peers("STRICT"), SERVICE),
        (tls("DISABLE"), peers("PERMISSIVE"), SERVICE),
        (tls("DISABLE"), peers("DISABLE"), SERVICE),
        (tls("DISABLE"), SERVICE),
        (tls("DISABLE", "b"), peers("STRICT"), SERVICE),
        (rule("{host: a, trafficPolicy: {loadBalancer: {simple: RANDOM}}}"), peers("STRICT"), SERVICE),
        # How one calls a service without a sidecar in a mesh that is STRICT.
        (tls("DISABLE"), peers("STRICT", namespace="istio-system"), SERVICE),
        # Some of its workloads take plaintext.
        (
            tls("DISABLE"),
            peers("STRICT", ", selector: {matchLabels: {version: v1}}"),
            SERVICE,
            workload("one", "app: a, version: v1"),
            workload("two", "app: a, version: v2"),
        ),
    ],
)
def test_modes_that_meet_or_nobody_knows(documents: tuple[str, ...]) -> None:
    assert codes(tls_conflicts, *documents) == []


def test_a_strict_mesh_whose_workloads_are_known_to_be_in_it() -> None:
    strict = peers("STRICT", namespace="istio-system")
    assert codes(tls_conflicts, tls("DISABLE"), strict, SERVICE, workload("a", "app: a")) == ["MD0036"]


HTTPS = service("a", "{name: http, port: 80}, {name: https-web, port: 443}", selector="app: a")
POLICY = policy("AuthorizationPolicy", "{rules: [{}]}")
A = workload("a", "app: a")


def test_tls_of_the_application_under_a_policy() -> None:
    [line] = lines(application_tls, HTTPS, POLICY, A)
    assert line.startswith("MD0059 4:")
    assert "the application speaks TLS itself on port 443" in line


@pytest.mark.parametrize(
    "documents",
    [
        (HTTPS, POLICY, A, peers("STRICT")),
        (HTTPS, A),
        (HTTPS, POLICY),
        (SERVICE, POLICY, A),
        (HTTPS, policy("AuthorizationPolicy", "{rules: [{}], selector: {matchLabels: {app: b}}}"), A),
    ],
)
def test_tls_that_is_looked_into_or_not_guarded(documents: tuple[str, ...]) -> None:
    assert codes(application_tls, *documents) == []
