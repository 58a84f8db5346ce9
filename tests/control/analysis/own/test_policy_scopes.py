"""For whom policies are."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.policy_scopes import authorizers, older_ones, selectors
from tests.control.analysis.cases import text
from tests.control.analysis.own.cases import lines, policy, rule, workload

MATCH = "selector: {matchLabels: {app: a}}"
OTHER = workload("b", "app: b")

KINDS = [
    policy("PeerAuthentication", f"{{{MATCH}, mtls: {{mode: STRICT}}}}"),
    policy("RequestAuthentication", f"{{{MATCH}, jwtRules: [{{issuer: i}}]}}"),
    text("ProxyConfig", f"{{{MATCH}, concurrency: 1}}", api="networking.istio.io/v1beta1"),
    rule("{host: x, workloadSelector: {matchLabels: {app: a}}}"),
    text(
        "ServiceEntry",
        "{hosts: [a.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, "
        "workloadSelector: {labels: {app: a}}}",
    ),
    text(
        "EnvoyFilter",
        "{workloadSelector: {labels: {app: a}}, configPatches: []}",
        api="networking.istio.io/v1alpha3",
    ),
]


@pytest.mark.parametrize("document", KINDS, ids=lambda text: text.split()[3])
def test_selectors_that_match_nothing(document: str) -> None:
    [line] = lines(selectors, document, OTHER)
    assert line.startswith("MD0049 4:")
    assert "with app=a, and none that is known in namespace default has these labels" in line


@pytest.mark.parametrize("document", KINDS, ids=lambda text: text.split()[3])
def test_selectors_that_match_or_nobody_knows(document: str) -> None:
    assert lines(selectors, document, workload("a", "app: a, version: v1")) == []
    assert lines(selectors, document) == []
    assert lines(selectors, document, workload("b", "app: b", namespace="other")) == []


def test_in_the_root_namespace() -> None:
    everywhere = policy("RequestAuthentication", f"{{{MATCH}, jwtRules: [{{issuer: i}}]}}", namespace="istio-system")
    [line] = lines(selectors, everywhere, OTHER)
    assert "in any namespace" in line
    assert lines(selectors, everywhere, workload("a", "app: a", namespace="other")) == []


def test_a_gateway_that_every_installation_has() -> None:
    edge = policy(
        "RequestAuthentication",
        "{selector: {matchLabels: {istio: ingressgateway}}, jwtRules: [{issuer: i}]}",
        namespace="istio-system",
    )
    assert lines(selectors, edge, OTHER) == []


def test_peer_authentication_of_the_root_with_a_selector() -> None:
    document = policy("PeerAuthentication", f"{{{MATCH}, mtls: {{mode: STRICT}}}}", namespace="istio-system")
    [line] = lines(selectors, document)
    assert line.startswith("MD0050 4:")
    assert "it holds for workloads of istio-system at most, not for the mesh" in line
    plain = policy("PeerAuthentication", "{mtls: {mode: STRICT}}", namespace="istio-system")
    assert lines(selectors, plain) == []


def test_one_of_a_scope() -> None:
    found = lines(
        older_ones,
        policy("PeerAuthentication", "{mtls: {mode: STRICT}}", name="a"),
        policy("PeerAuthentication", "{mtls: {mode: PERMISSIVE}}", name="b"),
        policy("PeerAuthentication", "{mtls: {mode: STRICT}}", name="a", namespace="other"),
        policy("PeerAuthentication", f"{{{MATCH}, mtls: {{mode: STRICT}}}}", name="c"),
    )
    assert len(found) == 1
    assert found[0].startswith("MD0051 8:18 it has no effect: PeerAuthentication default/a (f.yaml:1:1)")


def custom(name: str, provider: str, *, more: str = "", namespace: str = "default") -> str:
    spec = f"{{action: CUSTOM, provider: {{name: {provider}}}, rules: [{{}}]{more}}}"
    return policy("AuthorizationPolicy", spec, name=name, namespace=namespace)


@pytest.mark.parametrize(
    "other",
    [
        custom("b", "two"),
        custom("b", "two", more=f", {MATCH}"),
        custom("b", "two", namespace="istio-system"),
    ],
)
def test_two_authorizers(other: str) -> None:
    found = lines(authorizers, custom("a", "one", more=f", {MATCH}"), other)
    assert {line[:6] for line in found} == {"MD0060"}
    assert "names another provider than" in found[0]


@pytest.mark.parametrize(
    "other",
    [
        custom("b", "one"),
        custom("b", "two", namespace="other"),
        custom("b", "two", more=", selector: {matchLabels: {app: b}}"),
        policy("AuthorizationPolicy", "{rules: [{}]}", name="b"),
    ],
)
def test_one_authorizer(other: str) -> None:
    assert lines(authorizers, custom("a", "one", more=f", {MATCH}"), other) == []
