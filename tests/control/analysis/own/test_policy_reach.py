"""AuthorizationPolicies on the ports they are for."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.policy_reach import identities, requests_on_tcp, service_ports
from tests.control.analysis.own.cases import codes, lines, policy, service, workload

A = workload("a", "app: a")


def peers(mode: str, more: str = "") -> str:
    return policy("PeerAuthentication", f"{{mtls: {{mode: {mode}}}{more}}}", name="peers")


def authorization(rules: str, action: str = "ALLOW", more: str = "") -> str:
    return policy("AuthorizationPolicy", f"{{action: {action}, rules: [{rules}]{more}}}")


def source(fields: str) -> str:
    return f"{{from: [{{source: {{{fields}}}}}]}}"


@pytest.mark.parametrize(
    ("rules", "action", "mode", "why"),
    [
        (source("namespaces: [x]"), "ALLOW", "DISABLE", "this never allows anybody"),
        (source("principals: ['*']"), "DENY", "PERMISSIVE", "slips past this by speaking plaintext"),
        (source("namespaces: [x]"), "DENY", "DISABLE", "slips past this by speaking plaintext"),
        (source("notNamespaces: [x]"), "ALLOW", "PERMISSIVE", "are allowed by this; make them STRICT"),
    ],
)
def test_identities_without_mtls(rules: str, action: str, mode: str, why: str) -> None:
    for others in ((), (A, service("a", "{name: http, port: 80}", selector="app: a"))):
        [line] = lines(identities, authorization(rules, action), peers(mode), *others)
        assert line.startswith("MD0052 4:")
        assert why in line


@pytest.mark.parametrize(
    ("rules", "action", "mode"),
    [
        (source("namespaces: [x]"), "ALLOW", "PERMISSIVE"),
        (source("namespaces: [x]"), "ALLOW", "STRICT"),
        (source("namespaces: [x]"), "DENY", "STRICT"),
        (source("notNamespaces: [x]"), "DENY", "PERMISSIVE"),
        (source("notNamespaces: [x]"), "ALLOW", "STRICT"),
        (source("principals: ['*'], notNamespaces: [x]"), "ALLOW", "PERMISSIVE"),
        (source("ipBlocks: [10.0.0.0/8]"), "DENY", "PERMISSIVE"),
        ("{to: [{operation: {methods: [GET]}}]}", "DENY", "PERMISSIVE"),
    ],
)
def test_identities_that_are_known_or_not_asked(rules: str, action: str, mode: str) -> None:
    assert codes(identities, authorization(rules, action), peers(mode), A) == []


def test_identities_where_nothing_speaks_of_mtls() -> None:
    assert codes(identities, authorization(source("namespaces: [x]"), "DENY"), A) == []


def test_identities_on_a_port_of_another_mode() -> None:
    ports = ", selector: {matchLabels: {app: a}}, portLevelMtls: {8080: {mode: DISABLE}}"
    denying = authorization(source("namespaces: [x]"), "DENY")
    serving = service("a", "{name: http, port: 80, targetPort: 8080}", selector="app: a")
    assert codes(identities, denying, peers("STRICT", ports), A, serving) == ["MD0052"]


@pytest.mark.parametrize("plain", ["one", "two"])
def test_identities_of_workloads_that_are_alike_in_two_namespaces(plain: str) -> None:
    """One policy of the root namespace is for both, and their ports take different things."""
    denying = policy(
        "AuthorizationPolicy", f"{{action: DENY, rules: [{source('namespaces: [x]')}]}}", namespace="istio-system"
    )
    strict = policy("PeerAuthentication", "{mtls: {mode: STRICT}}", name="all", namespace="istio-system")
    lax = policy("PeerAuthentication", "{mtls: {mode: DISABLE}}", name="lax", namespace=plain)
    alike = [workload("a", "app: a", namespace=namespace) for namespace in ("one", "two")]
    assert codes(identities, denying, strict, lax, *alike) == ["MD0052"]


HTTP_RULE = "{to: [{operation: {methods: [GET]}}]}"
BOTH = service("a", "{name: http, port: 80}, {name: tcp-raw, port: 9000}", selector="app: a")


def test_an_allow_rule_about_requests_on_a_tcp_port() -> None:
    [line] = lines(requests_on_tcp, authorization(HTTP_RULE), A, BOTH)
    assert line.startswith("MD0053 4:")
    assert "on port 9000 of a (TCP) the proxy sees no requests, this rule allows nobody there" in line


def test_a_deny_rule_about_requests_on_a_tcp_port() -> None:
    [line] = lines(requests_on_tcp, authorization(HTTP_RULE, "DENY"), A, BOTH)
    assert "this rule denies there whatever its other fields match" in line


@pytest.mark.parametrize(
    "rules",
    [
        source("requestPrincipals: ['*']"),
        "{when: [{key: 'request.headers[x]', values: [v]}]}",
        "{to: [{operation: {paths: [/a], ports: ['9000']}}]}",
    ],
)
def test_other_rules_about_requests(rules: str) -> None:
    assert codes(requests_on_tcp, authorization(rules), A, BOTH) == ["MD0053"]


@pytest.mark.parametrize(
    ("rules", "others"),
    [
        (HTTP_RULE, (A, service("a", "{name: http, port: 80}", selector="app: a"))),
        (HTTP_RULE, (A, service("a", "{name: metrics, port: 80}", selector="app: a"))),
        (HTTP_RULE, (BOTH,)),
        (f"{HTTP_RULE}, {source('namespaces: [x]')}", (A, BOTH)),
        ("{to: [{operation: {methods: [GET], ports: ['80']}}]}, {to: [{operation: {ports: ['9000']}}]}", (A, BOTH)),
        (HTTP_RULE, (A, BOTH, policy("AuthorizationPolicy", "{rules: [{}]}", name="other"))),
        ("", (A, BOTH)),
    ],
)
def test_ports_that_are_reached(rules: str, others: tuple[str, ...]) -> None:
    assert codes(requests_on_tcp, authorization(rules), *others) == []


@pytest.mark.parametrize(
    "rules",
    [
        "{to: [{operation: {methods: [GET], ports: ['80']}}]}",
        "{to: [{operation: {methods: [GET], notPorts: ['9000']}}]}",
        "{to: [{operation: {methods: [GET]}}], when: [{key: destination.port, values: ['80']}]}",
    ],
)
def test_a_deny_rule_for_the_other_port(rules: str) -> None:
    assert codes(requests_on_tcp, authorization(rules, "DENY"), A, BOTH) == []


MAPPED = service("a", "{name: http, port: 80, targetPort: 8080}", selector="app: a")
PORT_80 = "{to: [{operation: {ports: ['80']}}]}"


def test_the_port_of_a_service() -> None:
    [line] = lines(service_ports, authorization(PORT_80), A, MAPPED)
    assert line.startswith("MD0057 4:")
    assert "80 is the port of a Service, and policies see the workload's own: this never matches; write 8080" in line
    peer = peers("STRICT", ", selector: {matchLabels: {app: a}}, portLevelMtls: {80: {mode: DISABLE}}")
    [line] = lines(service_ports, peer, A, MAPPED)
    assert "write 8080" in line


@pytest.mark.parametrize(
    "others",
    [
        (A, service("a", "{name: http, port: 80}", selector="app: a")),
        (A, service("a", "{name: http, port: 80, targetPort: web}", selector="app: a")),
        (A, MAPPED, service("b", "{name: http, port: 81, targetPort: 80}", selector="app: a")),
        (MAPPED,),
        (A,),
    ],
)
def test_ports_of_workloads(others: tuple[str, ...]) -> None:
    assert codes(service_ports, authorization(PORT_80), *others) == []


def test_policies_for_other_objects() -> None:
    targeted = authorization(PORT_80, more=", targetRefs: [{kind: Service, group: '', name: a}]")
    assert codes(service_ports, targeted, A, MAPPED) == []
