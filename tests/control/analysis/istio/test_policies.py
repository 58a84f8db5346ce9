"""Security policies."""

from __future__ import annotations

import pytest

from meshd.control.analysis.istio.policies import authorization, blocked_addresses
from tests.control.analysis.istio.cases import ask, deployment, istio, join, mesh, namespace, pod, said

PROXY = "containers: [{name: istio-proxy, image: x}]"
SHOP = pod("p", "app: shop", spec=PROXY)


def policy(spec: str, where: str = "default", name: str = "a") -> str:
    return istio("AuthorizationPolicy", name, f"{{{spec}}}", namespace=where)


SELECT = "selector: {matchLabels: {app: %s}}, rules: [{}]"


@pytest.mark.parametrize(
    ("spec", "where", "line"),
    [
        (SELECT % "shop", "default", 0),
        (SELECT % "other", "default", 4),
        (SELECT % "shop", "elsewhere", 4),
        ("rules: [{}]", "default", 0),
        ("rules: [{}]", "elsewhere", 3),
        ("rules: [{}]", "istio-system", 0),
        (SELECT % "shop", "istio-system", 0),
        (SELECT % "other", "istio-system", 4),
        ("targetRefs: [{kind: Service, name: x}], rules: [{}]", "elsewhere", 0),
    ],
)
def test_whom_policies_mean(spec: str, where: str, line: int) -> None:
    expected = [f"IST0127 AuthorizationPolicy {where}/a {line}"] if line else []
    assert said(authorization, join(policy(spec, where), SHOP)) == expected


def test_another_root_namespace() -> None:
    assert said(authorization, join(policy("rules: [{}]", "root"), SHOP, mesh("rootNamespace: root"))) == []


def test_workloads_without_a_sidecar_obey_no_policy() -> None:
    plain = pod("p", "app: shop")
    assert said(authorization, join(policy(SELECT % "shop"), plain)) == []
    assert len(said(authorization, join(policy(SELECT % "shop"), plain, namespace("default")))) == 1
    assert said(authorization, join(policy(SELECT % "shop"), deployment("d", "app: shop"))) == []
    entry = istio("WorkloadEntry", "w", "{address: 10.0.0.1, labels: {app: shop}}")
    assert said(authorization, join(policy(SELECT % "shop"), entry, namespace("default"))) == []


def test_nobody_says_which_workloads_there_are() -> None:
    assert said(authorization, policy(SELECT % "shop")) == []


@pytest.mark.parametrize(
    ("name", "known"),
    [("prod", True), ("PROD", True), ('"*"', True), ("pr*", True), ('"*od"', True), ("test", False), ("te*", False)],
)
def test_namespaces_of_callers(name: str, known: bool) -> None:
    rules = policy(f"rules: [{{from: [{{source: {{namespaces: [{name}], notNamespaces: [{name}]}}}}]}}]")
    expected = ["IST0101 AuthorizationPolicy default/a 4"] * (0 if known else 2)
    assert said(authorization, join(rules, namespace("prod"))) == expected
    assert said(authorization, rules) == []


AUTHENTICATION = istio("RequestAuthentication", "r", "{jwtRules: [{issuer: x, jwksUri: 'https://a.b.c/k'}]}")


def istiod(environment: str = "") -> str:
    containers = f"containers: [{{name: d, image: d, env: [{environment}]}}]"
    return deployment("istiod", "app: istiod", namespace="istio-system", spec=containers).replace(
        "name: istiod,", "name: istiod, labels: {app: istiod},", 1
    )


def test_where_keys_may_be_fetched() -> None:
    [finding] = ask(blocked_addresses, join(istiod(), AUTHENTICATION))
    assert (finding.code, finding.resource) == ("IST0175", "Deployment istio-system/istiod")
    assert "default/r" in finding.message
    blocked = "{name: BLOCKED_CIDRS_IN_JWKS_URIS, value: 10.0.0.0/8}"
    assert said(blocked_addresses, join(istiod(blocked), AUTHENTICATION)) == []
    assert len(said(blocked_addresses, join(istiod(blocked.replace("10.0.0.0/8", "''")), AUTHENTICATION))) == 1
    assert said(blocked_addresses, istiod()) == []
    assert said(blocked_addresses, join(deployment("d", "a: b"), AUTHENTICATION)) == []


def test_many_policies_are_counted() -> None:
    many = [AUTHENTICATION.replace("name: r,", f"name: r{number},") for number in range(7)]
    [finding] = ask(blocked_addresses, join(istiod(), *many))
    assert "and 2 more" in finding.message
