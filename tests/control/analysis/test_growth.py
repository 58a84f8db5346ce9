"""The work of every analysis grows with the number of documents, and not faster.

Work is counted in calls (of functions, methods and steps of generators), which
is the same on every machine and in every run. When the size doubles twice, the
second step may cost little more than twice the first: that is what tells
``n log n`` from ``n`` squared, whatever is constant.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from meshd.control.analysis.catalog import ANALYSES
from meshd.control.analysis.facts import Facts
from tests.control.analysis.cases import text
from tests.control.analysis.own.cases import facts, policy, rule, service, virtual_service, workload

SIZE = 24
MOST = 2.6
"""How many times the first doubling the second may cost: 2 is linear, 4 quadratic."""
TRIFLE = 400
"""Calls that are not worth a question."""

TO = "route: [{destination: {host: a}}]"


def mesh(size: int) -> list[str]:
    """Services with routes, rules, policies and workloads, in several namespaces."""
    found = []
    for number in range(size):
        name, space = f"s{number}", f"n{number % 5}"
        found += [
            service(name, "{name: http, port: 80}, {name: tcp, port: 81}", namespace=space, selector=f"app: {name}"),
            workload(name, f"app: {name}, version: v1", namespace=space),
            rule(f"{{host: {name}, subsets: [{{name: v1, labels: {{version: v1}}}}]}}", name=name, namespace=space),
            virtual_service(
                f"match: [{{uri: {{prefix: /a}}}}], route: [{{destination: {{host: {name}, subset: v1, port: {{number: 80}}}}}}]",
                f"route: [{{destination: {{host: {name}, port: {{number: 80}}}}}}]",
                hosts=name,
                metadata=f"name: {name}, namespace: {space}",
            ),
            policy(
                "AuthorizationPolicy",
                f"{{selector: {{matchLabels: {{app: {name}}}}}, "
                "rules: [{from: [{source: {namespaces: [n1]}}], to: [{operation: {paths: [/a], ports: ['80']}}]}]}",
                name=name,
                namespace=space,
            ),
            policy("PeerAuthentication", f"{{selector: {{matchLabels: {{app: {name}}}}}}}", name=name, namespace=space),
        ]
    return found


def rules(size: int) -> list[str]:
    """One VirtualService with many rules."""
    routes = []
    for number in range(size):
        condition = [
            f"{{uri: {{exact: /e{number}}}}}",
            f"{{uri: {{prefix: /p{number}/}}, headers: {{x: {{exact: v{number}}}}}}}",
            f"{{uri: {{regex: '/r{number}/[0-9]+'}}}}",
            f"{{headers: {{h: {{exact: v{number}}}}}}}",
        ][number % 4]
        routes.append(f"match: [{condition}], {TO}")
    return [virtual_service(*routes)]


def matches(size: int) -> list[str]:
    """One rule with many matches."""
    listed = ", ".join(f"{{uri: {{prefix: /p{number}/}}}}" for number in range(size))
    return [virtual_service(f"match: [{listed}], {TO}")]


def gateway(size: int) -> list[str]:
    """One gateway with many hosts, and a VirtualService for each."""
    hosts = ", ".join(f"h{number}.example.com" for number in range(size))
    spec = f"{{selector: {{a: b}}, servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: [{hosts}]}}]}}"
    bound = [
        virtual_service(TO, hosts=f"h{number}.example.com", more="gateways: [gw]", metadata=f"name: v{number}")
        for number in range(size)
    ]
    return [text("Gateway", spec, name="gw"), *bound]


def workloads(size: int) -> list[str]:
    """One service with many workloads, under policies."""
    return [
        service("a", "{name: http, port: 80}, {name: tcp, port: 81}", selector="app: a"),
        policy("AuthorizationPolicy", "{rules: [{to: [{operation: {methods: [GET]}}]}]}"),
        policy("PeerAuthentication", "{mtls: {mode: STRICT}}"),
        rule("{host: a, subsets: [{name: v1, labels: {app: a}}], trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}"),
        *(workload(f"w{number}", f"app: a, instance: i{number}") for number in range(size)),
    ]


def policies(size: int) -> list[str]:
    """Many policies for workloads of one namespace."""
    return [
        service("a", "{name: http, port: 80}, {name: tcp, port: 81}", selector="app: a"),
        workload("a", "app: a"),
        *(
            policy(
                "AuthorizationPolicy",
                f"{{rules: [{{from: [{{source: {{namespaces: [n{number}]}}}}], to: [{{operation: {{paths: [/a]}}}}]}}]}}",
                name=f"p{number}",
            )
            for number in range(size)
        ),
    ]


def wildcards(size: int) -> list[str]:
    """Wildcard hosts everywhere."""
    found = []
    for number in range(size):
        host = f"'*.n{number}.example.com'"
        spec = f"{{hosts: [{host}], ports: [{{number: 80, name: http, protocol: HTTP}}]}}"
        found += [
            text("ServiceEntry", spec, name=f"e{number}"),
            rule(f"{{host: {host}, subsets: [{{name: v1}}]}}", name=f"r{number}"),
            virtual_service(
                f"route: [{{destination: {{host: a.n{number}.example.com, subset: v1}}}}]",
                hosts=host,
                metadata=f"name: v{number}",
            ),
        ]
    return found


SHAPES: tuple[Callable[[int], list[str]], ...] = (mesh, rules, matches, gateway, workloads, policies, wildcards)


def work(run: Callable[[Facts], Any], known: Facts) -> int:
    """The calls that an analysis makes."""
    count = 0

    def called(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        list(run(known))
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_growth(shape: Callable[[int], list[str]]) -> None:
    # What several analyses look up is made by whichever comes first; here each makes its own.
    sources = [shape(size) for size in (SIZE, 2 * SIZE, 4 * SIZE)]
    read = [facts(*source) for source in sources]
    too_much = []
    for analysis in ANALYSES:
        small, middle, large = (work(analysis.run, Facts.of(each.documents, refused=[])) for each in read)
        if large - middle > MOST * (middle - small) + TRIFLE:
            too_much.append(f"{analysis.name}: {small}, {middle}, {large}")
    assert not too_much, "\n".join(too_much)
