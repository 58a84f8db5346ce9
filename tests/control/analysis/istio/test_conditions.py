"""Conditions by which a controller says no."""

from __future__ import annotations

import pytest

from meshd.control.analysis.istio.conditions import conditions
from tests.control.analysis.istio.cases import ask, istio, said, service

STATUS = "status: {conditions: [{type: %s, status: '%s', reason: R, message: why}]}\n"
POLICY = istio("AuthorizationPolicy", "p", "{}")
SERVICE = service("s", "{port: 80}")
HTTP_ROUTE = "apiVersion: gateway.networking.k8s.io/v1\nkind: %s\nmetadata: {name: r}\nspec: {}\n"


@pytest.mark.parametrize(
    ("source", "kind", "status", "expected"),
    [
        (SERVICE, "istio.io/WaypointBound", "False", 1),
        (SERVICE, "istio.io/WaypointBound", "True", 0),
        (SERVICE, "Other", "False", 0),
        (POLICY, "ZtunnelAccepted", "False", 1),
        (POLICY, "WaypointAccepted", "False", 1),
        (HTTP_ROUTE % "Gateway", "Programmed", "False", 1),
        (HTTP_ROUTE % "Gateway", "Programmed", "Unknown", 0),
    ],
)
def test_conditions(source: str, kind: str, status: str, expected: int) -> None:
    found = ask(conditions, source + STATUS % (kind, status))
    assert [each.code for each in found] == ["IST0171"] * expected
    assert all("R" in each.message and "why" in each.message for each in found)


def test_half_a_refusal() -> None:
    status = STATUS.replace("reason: R", "reason: PartiallyInvalid") % ("WaypointAccepted", "True")
    assert said(conditions, POLICY + status) == ["IST0171 AuthorizationPolicy default/p 5"]


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_routes_have_conditions_for_each_parent(kind: str) -> None:
    parents = "status: {parents: [{conditions: [{type: Accepted, status: 'False'}]}, {conditions: []}, {}]}\n"
    assert said(conditions, HTTP_ROUTE % kind + parents) == [f"IST0171 {kind} default/r 5"]


def test_of_a_document_that_cannot_be_used() -> None:
    broken = istio("ServiceEntry", "e", "{hotss: []}") + STATUS % ("istio.io/WaypointBound", "False")
    assert said(conditions, broken) == ["IST0171 ServiceEntry default/e 5"]


@pytest.mark.parametrize("status", ["status: {conditions: x}\n", "status: {conditions: [1, {}]}\n"])
def test_nonsense(status: str) -> None:
    assert said(conditions, SERVICE + status) == []
