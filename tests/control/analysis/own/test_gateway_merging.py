"""VirtualServices that one gateway puts together for one host."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.gateway_merging import shadowed_at_gateways
from tests.control.analysis.own.cases import lines, virtual_service

TO = "route: [{destination: {host: a}}]"


def vs(name: str, *conditions: str, gateway: str = "gw", hosts: str = "a.example", more: str = "") -> str:
    routes = [f"match: [{each}], {TO}" if each else TO for each in conditions]
    return virtual_service(*routes, hosts=hosts, more=f"gateways: [{gateway}]", metadata=f"name: {name}{more}")


def test_a_rule_of_another_takes_it() -> None:
    found = lines(
        shadowed_at_gateways, vs("a", "{uri: {prefix: /a}}"), vs("b", "{uri: {prefix: /b}}", "{uri: {exact: /a/x}}")
    )
    assert len(found) == 1
    assert found[0].startswith(
        "MD0044 18:5 rule 1 is never used for a.example at gateway default/gw: rule 0 of VirtualService default/a"
    )


def test_the_older_comes_first() -> None:
    newer = vs("a", "{uri: {exact: /a/x}}", more=", creationTimestamp: '2022-01-01T00:00:00Z'")
    older = vs("b", "{uri: {prefix: /a}}", more=", creationTimestamp: '2021-01-01T00:00:00Z'")
    [line] = lines(shadowed_at_gateways, newer, older)
    assert line.startswith("MD0044 8:5 ")


def test_two_that_take_everything() -> None:
    [line] = lines(shadowed_at_gateways, vs("a", ""), vs("b", "{uri: {exact: /a}}", ""))
    assert "rule 1 is never used" in line


@pytest.mark.parametrize(
    "others",
    [
        # What takes everything comes last of all.
        (vs("a", ""), vs("b", "{uri: {prefix: /b}}")),
        (vs("a", "{uri: {exact: /a/x}}"), vs("b", "{uri: {prefix: /a}}")),
        (vs("a", "{uri: {prefix: /a}}"), vs("b", "{uri: {prefix: /a}}", hosts="b.example")),
        (vs("a", "{uri: {prefix: /a}}"), vs("b", "{uri: {prefix: /a}}", gateway="other")),
        (vs("a", "{uri: {prefix: /a}}"), vs("b", "{uri: {prefix: /a}}", gateway="mesh")),
        (vs("a", "{uri: {prefix: /a}, gateways: [mesh]}", gateway="gw, mesh"), vs("b", "{uri: {prefix: /a/b}}")),
        (vs("a", "{uri: {prefix: /a}}", "{uri: {prefix: /a/b}}"),),
    ],
)
def test_rules_that_leave_each_other_alone(others: tuple[str, ...]) -> None:
    assert lines(shadowed_at_gateways, *others) == []
