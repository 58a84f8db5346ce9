"""EnvoyFilter alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text

REMOVE = "patch: {operation: REMOVE}"
MANAGER = "envoy.filters.network.http_connection_manager"


def of(spec: str) -> list[str]:
    return [
        line for line in said(text("EnvoyFilter", spec, api="networking.istio.io/v1alpha3")) if "MD0003" not in line
    ]


def patch(fields: str) -> list[str]:
    return [line for line in of(f"{{configPatches: [{{{fields}}}]}}") if "prefer Istio's own kinds" not in line]


def filters(apply_to: str, one: str) -> list[str]:
    return patch(f"applyTo: {apply_to}, {REMOVE}, match: {{listener: {{filterChain: {{filter: {{{one}}}}}}}}}")


def test_it_is_always_a_risk() -> None:
    assert [line.partition(":")[0] for line in of("{}")] == ["warning "]


@pytest.mark.parametrize(
    "fields",
    [
        f"applyTo: BOOTSTRAP, {REMOVE}",
        "applyTo: CLUSTER, patch: {operation: ADD, value: {name: a}}, match: {context: GATEWAY, cluster: {service: a}}",
        f"applyTo: HTTP_ROUTE, {REMOVE}, match: {{routeConfiguration: {{vhost: {{route: {{action: ANY}}}}}}}}",
        f"applyTo: HTTP_FILTER, {REMOVE}, match: {{context: WAYPOINT, waypoint: {{portNumber: 80}}}}",
        f"applyTo: LISTENER, {REMOVE}, match: {{proxy: {{proxyVersion: '^1\\.2.*', metadata: {{a: b}}}}}}",
    ],
)
def test_good(fields: str) -> None:
    assert patch(fields) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (REMOVE, 'the field "applyTo" is missing'),
        ("applyTo: CLUSTER", 'the field "patch" is missing'),
        ("applyTo: CLUSTER, patch: {}", 'the field "operation" is missing'),
        ("applyTo: CLUSTER, patch: {operation: ADD}", "ADD needs a value"),
        (f"applyTo: INVALID, {REMOVE}", 'the text "INVALID" is not one of LISTENER'),
        (
            f"applyTo: CLUSTER, {REMOVE}, match: {{listener: {{}}}}",
            "applyTo CLUSTER cannot match on listener: write cluster",
        ),
        (f"applyTo: LISTENER, {REMOVE}, match: {{cluster: {{}}}}", "write listener"),
        (f"applyTo: CLUSTER, {REMOVE}, match: {{cluster: {{}}, listener: {{}}}}", "listener and cluster cannot both"),
        (f"applyTo: CLUSTER, {REMOVE}, match: {{waypoint: {{}}}}", "waypoint and context: WAYPOINT go together"),
        (f"applyTo: CLUSTER, {REMOVE}, match: {{context: WAYPOINT}}", "waypoint and context: WAYPOINT go together"),
        (f"applyTo: CLUSTER, {REMOVE}, match: {{context: WAYPOINT, waypoint: {{portNumber: 0}}}}", "0 is out of range"),
        (f"applyTo: CLUSTER, {REMOVE}, match: {{proxy: {{proxyVersion: '('}}}}", "match.proxy.proxyVersion"),
        (f"applyTo: CLUSTER, {REMOVE}, match: {{app: a}}", "match.app: unknown field"),
    ],
)
def test_bad(fields: str, message: str) -> None:
    assert any(message in line for line in patch(fields)), patch(fields)


@pytest.mark.parametrize(
    ("apply_to", "one", "message"),
    [
        ("LISTENER", "name: a", "warning spec.configPatches[0].match.listener.filterChain.filter: applyTo LISTENER"),
        ("NETWORK_FILTER", "name: ''", "the name of the filter to match is missing"),
        ("NETWORK_FILTER", "name: a, subFilter: {name: b}", "with applyTo HTTP_FILTER only"),
        ("HTTP_FILTER", "name: a, subFilter: {name: b}", f"a subFilter is one of {MANAGER}"),
        ("HTTP_FILTER", f"name: {MANAGER}, subFilter: {{}}", "the name of the subFilter to match is missing"),
        ("HTTP_FILTER", "name: envoy.http_connection_manager, subFilter: {name: a}", "warning MD0005"),
    ],
)
def test_filters(apply_to: str, one: str, message: str) -> None:
    assert any(message in line for line in filters(apply_to, one)), filters(apply_to, one)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{workloadSelector: {labels: {'': a}}}", "a label's name is empty"),
        ("{workloadSelector: {}}", "warning spec.workloadSelector"),
        ("{workloadSelector: {labels: {a: b}}, targetRefs: [{kind: Service, name: a}]}", "only one of targetRefs"),
        ("{targetRefs: [{kind: Service, name: a, namespace: b}]}", "must not be set"),
        ("{priority: a}", "expected a whole number"),
    ],
)
def test_for_whom(spec: str, message: str) -> None:
    assert any(message in line for line in of(spec)), of(spec)
