"""Patches of EnvoyFilters."""

from __future__ import annotations

import pytest

from meshd.control.analysis.istio.envoy_filters import patches
from tests.control.analysis.istio.cases import ask, istio, join, said


def patch(operation: str, target: str, *, value: str = "{name: a}", match: str = "") -> str:
    extra = f", match: {{{match}}}" if match else ""
    return f"{{applyTo: {target}, patch: {{operation: {operation}, value: {value}}}{extra}}}"


def envoy_filter(name: str, *inner: str, priority: int = 0) -> str:
    first = f"priority: {priority}, " if priority else ""
    return istio("EnvoyFilter", name, f"{{{first}configPatches: [{', '.join(inner)}]}}")


@pytest.mark.parametrize(
    ("operation", "target", "code"),
    [
        ("ADD", "HTTP_FILTER", None),
        ("ADD", "ROUTE_CONFIGURATION", "IST0153"),
        ("ADD", "HTTP_ROUTE", "IST0153"),
        ("REMOVE", "HTTP_FILTER", "IST0151"),
        ("REMOVE", "ROUTE_CONFIGURATION", "IST0154"),
        ("REMOVE", "HTTP_ROUTE", "IST0154"),
        ("REPLACE", "HTTP_FILTER", "IST0151"),
        ("REPLACE", "NETWORK_FILTER", "IST0151"),
        ("REPLACE", "CLUSTER", "IST0152"),
        ("INSERT_BEFORE", "HTTP_FILTER", "IST0151"),
        ("INSERT_AFTER", "HTTP_FILTER", "IST0151"),
        ("INSERT_FIRST", "HTTP_FILTER", None),
        ("MERGE", "CLUSTER", None),
    ],
)
def test_operations(operation: str, target: str, code: str | None) -> None:
    found = [each.code for each in ask(patches, envoy_filter("f", patch(operation, target)))]
    assert found == ([code] if code else [])


def test_a_priority_orders_what_is_relative() -> None:
    assert said(patches, envoy_filter("f", patch("INSERT_BEFORE", "HTTP_FILTER"), priority=1)) == []
    assert len(said(patches, envoy_filter("f", patch("ADD", "HTTP_ROUTE"), priority=1))) == 1


VERSION = "proxy: {proxyVersion: '^1.11.*'}"


def test_a_filter_that_another_changes_for_some_versions() -> None:
    one = envoy_filter("one", patch("ADD", "HTTP_FILTER", match=VERSION))
    assert said(patches, join(one, envoy_filter("two", patch("INSERT_BEFORE", "HTTP_FILTER")))) == [
        "IST0155 EnvoyFilter default/two 9"
    ]
    other = envoy_filter("two", patch("INSERT_BEFORE", "HTTP_FILTER", value="{name: b}"))
    assert said(patches, join(one, other)) == ["IST0151 EnvoyFilter default/two 9"]


def test_a_filter_may_be_named_by_where_it_is_put() -> None:
    chain = "listener: {filterChain: {filter: {name: a}}}"
    one = envoy_filter("one", patch("ADD", "HTTP_FILTER", value="{x: z}", match=f"{VERSION}, {chain}"))
    assert said(patches, join(one, envoy_filter("two", patch("INSERT_BEFORE", "HTTP_FILTER")))) == [
        "IST0155 EnvoyFilter default/two 9"
    ]


@pytest.mark.parametrize(
    "spec", ["{}", "{configPatches: [{applyTo: CLUSTER}]}", "{configPatches: x}", "{configPatches: [1]}"]
)
def test_nonsense(spec: str) -> None:
    assert said(patches, istio("EnvoyFilter", "f", spec)) == []
