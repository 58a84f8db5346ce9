"""Hosts that nobody sees, wildcards that take services over, services without workloads."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.visibility import unseen_hosts, wildcards, without_endpoints
from tests.control.analysis.cases import text
from tests.control.analysis.own.cases import lines, service, virtual_service, workload

PORT = "{name: http, port: 80}"
HIDDEN = service("a", PORT, namespace="other", extra=', annotations: {networking.istio.io/exportTo: "."}')
TO = "route: [{destination: {host: a.other.svc.cluster.local}}]"
MINE = "name: x, namespace: mine"
GATEWAY = text(
    "Gateway",
    "{selector: {istio: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}",
    name="gw",
    metadata="namespace: mine",
)


def test_a_host_that_is_not_exported() -> None:
    [line] = lines(unseen_hosts, virtual_service(TO, metadata=MINE), HIDDEN)
    assert line.startswith("MD0046 7:")
    assert "callers in namespace mine get 503: a.other.svc.cluster.local belongs to namespace other" in line


def test_a_host_that_the_gateways_do_not_see() -> None:
    bound = virtual_service(TO, metadata="name: x, namespace: other", more="gateways: [mine/gw]")
    edge = workload("edge", "istio: edge", namespace="edge")
    [line] = lines(unseen_hosts, bound, GATEWAY, edge, HIDDEN)
    assert "callers in namespace edge get 503" in line


@pytest.mark.parametrize(
    "documents",
    [
        (virtual_service(TO, metadata="name: x, namespace: other"), HIDDEN),
        (virtual_service(TO, metadata=MINE), service("a", PORT, namespace="other")),
        # Nobody knows where the gateways are.
        (virtual_service(TO, metadata=MINE, more="gateways: [gw]"), GATEWAY, HIDDEN),
        # The rule itself is for other namespaces.
        (virtual_service(TO, metadata=MINE, more="exportTo: [other]"), HIDDEN),
        (virtual_service(TO, metadata=MINE),),
    ],
)
def test_hosts_that_are_seen_or_not_known(documents: tuple[str, ...]) -> None:
    assert lines(unseen_hosts, *documents) == []


ALL = "'*.svc.cluster.local'"


def test_a_wildcard_that_takes_services_over() -> None:
    services = [service(name, PORT, namespace="other") for name in "abcd"]
    [line] = lines(wildcards, virtual_service(TO, hosts=ALL, metadata=MINE), *services)
    assert line.startswith("MD0048 5:11 ")
    assert "a.other.svc.cluster.local, b.other.svc.cluster.local, c.other.svc.cluster.local and 1 more" in line


@pytest.mark.parametrize(
    "documents",
    [
        (virtual_service(TO, hosts=ALL, metadata=MINE), service("a", PORT, namespace="mine")),
        (
            virtual_service(TO, hosts=ALL, metadata=MINE),
            virtual_service(TO, hosts="a.other.svc.cluster.local", metadata="name: z, namespace: mine"),
            service("a", PORT, namespace="other"),
        ),
        (virtual_service(TO, hosts="'*.example.com'", metadata=MINE), service("a", PORT, namespace="other")),
        (virtual_service(TO, hosts=ALL, metadata=MINE, more="gateways: [gw]"), service("a", PORT, namespace="other")),
    ],
)
def test_wildcards_that_take_nobody_over(documents: tuple[str, ...]) -> None:
    assert lines(wildcards, *documents) == []


LOST = service("a", PORT, selector="app: a")
TO_A = virtual_service("route: [{destination: {host: a}}]")


def test_a_service_that_selects_nothing() -> None:
    [line] = lines(without_endpoints, TO_A, LOST, workload("b", "app: b"))
    assert line.startswith("MD0037 12:41 ")
    assert "none of the workloads that are known in namespace default has the labels app=a" in line


ENDPOINTS = """
apiVersion: v1
kind: Endpoints
metadata: {name: a}
subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{name: http, port: 80}]}]
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec: {template: {metadata: {labels: {app: a}}}}
"""


@pytest.mark.parametrize(
    "documents",
    [
        (TO_A, LOST),
        (TO_A, LOST, workload("b", "app: b", namespace="other")),
        (TO_A, LOST, workload("a", "app: a, version: v1")),
        (LOST, workload("b", "app: b")),
        (TO_A, service("a", PORT), workload("b", "app: b")),
        (
            TO_A,
            LOST,
            workload("b", "app: b"),
            ENDPOINTS,
        ),
        (
            TO_A,
            LOST,
            DEPLOYMENT,
        ),
    ],
)
def test_services_that_have_workloads_or_nobody_knows(documents: tuple[str, ...]) -> None:
    assert lines(without_endpoints, *documents) == []
