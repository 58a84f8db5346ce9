"""What Istio needs of the Gateway API."""

from __future__ import annotations

import pytest

from meshd.control.analysis.istio.kubernetes_gateways import definitions, selectors
from tests.control.analysis.istio.cases import ask, istio, join, pod, said

GATEWAY = pod("g", "gateway.networking.k8s.io/gateway-name: bookinfo, app: a")
SPECS = {
    "AuthorizationPolicy": "%s",
    "RequestAuthentication": "%s",
    "Telemetry": "%s",
    "WasmPlugin": "url: 'oci://x', %s",
}


@pytest.mark.parametrize("kind", SPECS)
def test_selectors_of_policies(kind: str) -> None:
    def policy(inner: str, **others: str) -> str:
        return istio(kind, "p", f"{{{SPECS[kind] % inner}}}", **others)

    chosen = policy("selector: {matchLabels: {app: a}}")
    [finding] = ask(selectors, join(GATEWAY, chosen))
    assert (finding.code, finding.resource) == ("IST0166", f"{kind} default/p")
    assert "bookinfo" in finding.message
    assert said(selectors, join(GATEWAY, policy("selector: {matchLabels: {app: b}}"))) == []
    assert said(selectors, join(GATEWAY, policy("selector: {matchLabels: {app: a}}", namespace="other"))) == []
    assert said(selectors, join(pod("g", "app: a"), chosen)) == []
    target = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: bookinfo}]"
    assert said(selectors, join(GATEWAY, policy(target))) == []


def crd(name: str, version: str) -> str:
    return (
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
        f"metadata: {{name: {name}.gateway.networking.k8s.io, annotations: "
        f"{{gateway.networking.k8s.io/bundle-version: '{version}'}}}}\nspec: {{}}\n"
    )


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("tlsroutes", "v1.4.1", 1),
        ("tlsroutes", "v1.5.0", 0),
        ("tlsroutes", "v1.5.0-rc.1", 0),
        ("tlsroutes", "1.10", 0),
        ("grpcroutes", "v1.0.0", 1),
        ("backendtlspolicies", "v1.3.9", 1),
        ("httproutes", "v0.1.0", 0),
        ("tlsroutes", "newest", 0),
    ],
)
def test_releases_of_definitions(name: str, version: str, expected: int) -> None:
    assert [each.code for each in ask(definitions, crd(name, version))] == ["IST0176"] * expected
