"""DestinationRules."""

from __future__ import annotations

import pytest

from meshd.control.analysis.istio.destination_rules import unselected, unverified
from tests.control.analysis.istio.cases import deployment, istio, join, pod, said, service

SHOP = service("shop", "{port: 80, name: http}", selector="app: shop")
RULE = istio("DestinationRule", "r", "{host: shop, subsets: [{name: v1, labels: {version: v1}}]}")
ROUTE = istio("VirtualService", "v", "{hosts: [shop], http: [{route: [{destination: {host: shop, subset: v1}}]}]}")
NOTHING_SELECTED = ["IST0173 DestinationRule default/r 4"]


def test_hosts() -> None:
    assert said(unselected, RULE) == ["IST0174 DestinationRule default/r 4"]
    elsewhere = SHOP.replace("name: shop,", "name: shop, annotations: {networking.istio.io/exportTo: '.'},")
    assert said(
        unselected, join(elsewhere.replace("default", "prod"), RULE.replace("shop,", "shop.prod.svc.cluster.local,"))
    ) == ["IST0174 DestinationRule default/r 9"]


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        (pod("p", "app: shop, version: v1"), []),
        (pod("p", "app: shop, version: v2"), NOTHING_SELECTED),
        (pod("p", "app: other, version: v1"), []),
        (deployment("d", "app: shop, version: v1"), []),
        (deployment("d", "app: shop, version: v2"), []),
        ("", NOTHING_SELECTED),
    ],
)
def test_subsets(workload: str, expected: list[str]) -> None:
    assert said(unselected, join(RULE, SHOP, workload)) == expected


def test_a_subset_with_a_route_needs_a_workload_now() -> None:
    """Where only Deployments are known, other subsets are taken for those of versions to come."""
    assert said(unselected, join(RULE, SHOP, deployment("d", "app: shop, version: v2"), ROUTE)) == NOTHING_SELECTED


def test_a_running_mesh_waits_for_its_workloads() -> None:
    assert said(unselected, join(RULE, SHOP), complete=False) == []


def test_labels_of_the_node() -> None:
    rule = RULE.replace("{version: v1}", "{topology.kubernetes.io/zone: z1}")
    node = "apiVersion: v1\nkind: Node\nmetadata: {name: node, labels: {topology.kubernetes.io/zone: z1}}\n"
    there = pod("p", "app: shop", spec="nodeName: node")
    assert said(unselected, join(rule, SHOP, there, node)) == []
    assert said(unselected, join(rule, SHOP, there)) == NOTHING_SELECTED


TLS = "{host: a.example.com, trafficPolicy: {%s}%s}"


@pytest.mark.parametrize(
    ("policy", "others", "expected"),
    [
        ("tls: {mode: SIMPLE}", "", ["IST0128"]),
        ("tls: {mode: MUTUAL, clientCertificate: a, privateKey: b}", "", ["IST0128"]),
        ("tls: {mode: SIMPLE, caCertificates: a}", "", []),
        ("tls: {mode: ISTIO_MUTUAL}", "", []),
        ("tls: {mode: DISABLE}", "", []),
        ("tls: {mode: SIMPLE, credentialName: a}", "", ["IST0128"]),
        ("tls: {mode: SIMPLE, credentialName: a}", ", workloadSelector: {matchLabels: {a: b}}", []),
        ("portLevelSettings: [{port: {number: 1}, tls: {mode: SIMPLE}}]", "", ["IST0129"]),
        ("portLevelSettings: [{port: {number: 1}, tls: {mode: SIMPLE, caCertificates: a}}]", "", []),
        (
            "tls: {mode: SIMPLE}, portLevelSettings: [{port: {number: 1}, tls: {mode: SIMPLE}}]",
            "",
            ["IST0128", "IST0129"],
        ),
    ],
)
def test_whose_certificates_are_believed(policy: str, others: str, expected: list[str]) -> None:
    found = said(unverified, istio("DestinationRule", "r", TLS % (policy, others)))
    assert found == [f"{code} DestinationRule default/r 4" for code in expected]
