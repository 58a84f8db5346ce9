"""Delegates that are missing, cannot be used, contradict, or are named by nobody."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.delegates import delegates
from tests.control.analysis.cases import text
from tests.control.analysis.own.cases import lines

ROUTE = "route: [{destination: {host: a}}]"


def root(*routes: str, name: str = "root") -> str:
    inner = ", ".join(f"{{{route}}}" for route in routes)
    return text("VirtualService", f"{{hosts: [{name}], http: [{inner}]}}", name=name)


def delegate(*routes: str, name: str = "d", more: str = "", namespace: str = "default") -> str:
    inner = ", ".join(f"{{{route}}}" for route in routes or (ROUTE,))
    spec = f"{{{more}http: [{inner}]}}"
    return text("VirtualService", spec, name=name, metadata=f"namespace: {namespace}")


def test_fine() -> None:
    assert lines(delegates, root("match: [{uri: {prefix: /a}}], delegate: {name: d}"), delegate()) == []


def test_missing() -> None:
    [line] = lines(delegates, root("delegate: {name: d, namespace: other}"))
    assert line.startswith("MD0029 4:")
    assert "other/d does not exist" in line


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (delegate(more="hosts: [x], "), "has hosts, so it is no delegate"),
        (delegate(more="exportTo: [other], "), "is not exported to namespace default"),
    ],
)
def test_unusable(other: str, why: str) -> None:
    [line] = lines(delegates, root("delegate: {name: d}"), other)
    assert line.startswith("MD0030 4:")
    assert why in line


def test_a_delegate_that_delegates() -> None:
    found = lines(delegates, root("delegate: {name: d}"), delegate("delegate: {name: e}"), delegate(name="e"))
    assert [line[:6] for line in found] == ["MD0030"]
    assert "there is one level only" in found[0]


def test_circles() -> None:
    found = lines(delegates, delegate("delegate: {name: e}"), delegate("delegate: {name: d}", name="e"))
    circles = [line for line in found if "in a circle" in line]
    assert len(circles) == 2
    assert "default/d to default/e to default/d" in circles[0]
    [own] = [line for line in lines(delegates, delegate("delegate: {name: d}")) if line.startswith("MD0030")]
    assert "default/d to default/d" in own


def test_a_rule_that_contradicts() -> None:
    found = lines(
        delegates,
        root("match: [{uri: {prefix: /a}}], delegate: {name: d}"),
        delegate(f"match: [{{uri: {{prefix: /a/b}}}}], {ROUTE}", f"match: [{{uri: {{prefix: /c}}}}], {ROUTE}"),
    )
    assert [line[:6] for line in found] == ["MD0031"]
    assert "rule 1 asks for something that the delegating rule of default/root does not let through" in found[0]


def test_named_by_nobody() -> None:
    [line] = lines(delegates, root(ROUTE), delegate())
    assert line.startswith("MD0032 8:18 it has no hosts and no VirtualService delegates to it")
