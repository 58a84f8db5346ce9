"""Weights and mirrors that do not do what their numbers say."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.route_shares import route_shares
from tests.control.analysis.own.cases import lines, virtual_service


def weighted(*weights: int | None) -> str:
    each = [
        f"{{destination: {{host: h{at}}}{'' if weight is None else f', weight: {weight}'}}}"
        for at, weight in enumerate(weights)
    ]
    return f"route: [{', '.join(each)}]"


@pytest.mark.parametrize("kind", ["http", "tcp", "tls"])
def test_weights_that_are_no_percentages(kind: str) -> None:
    match = "match: [{sniHosts: [a]}], " if kind == "tls" else ""
    [line] = lines(route_shares, virtual_service(match + weighted(80, 10), kind=kind))
    assert line.startswith("MD0023 7:")
    assert "the weights add up to 90, not 100: they are proportions, and the shares become 88.9%, 11.1%" in line


@pytest.mark.parametrize("weights", [(80, 20), (100, 0), (3, 1), (None,), (100,), (0, 0)])
def test_weights_that_are_fine(weights: tuple[int | None, ...]) -> None:
    assert lines(route_shares, virtual_service(weighted(*weights))) == []


@pytest.mark.parametrize("weight", [0, 50])
def test_the_weight_of_the_only_destination(weight: int) -> None:
    [line] = lines(route_shares, virtual_service(weighted(weight)))
    assert line.startswith("MD0024 7:")
    assert f"whatever its weight ({weight})" in line


TO = "route: [{destination: {host: a}}]"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ("mirror: {host: b}, mirrorPercentage: {value: 0}", "0 % are mirrored"),
        ("mirror: {host: b}, mirrorPercent: 0", "0 % are mirrored"),
        ("mirrors: [{destination: {host: b}, percentage: {value: 0}}]", "0 % are mirrored"),
        ("mirrorPercentage: {value: 10}", "mirrorPercentage belongs to mirror, which is not there"),
        ("mirrors: [{destination: {host: b}}], mirrorPercentage: {value: 10}", "in mirrors each entry has its own"),
        ("mirror: {host: a}", "each is done twice there"),
    ],
)
def test_mirrors_without_effect(fields: str, why: str) -> None:
    [line] = lines(route_shares, virtual_service(f"{TO}, {fields}"))
    assert line.startswith("MD0025 7:")
    assert why in line


@pytest.mark.parametrize(
    "fields",
    [
        "mirror: {host: b}",
        "mirror: {host: b}, mirrorPercentage: {value: 0.5}",
        "mirrors: [{destination: {host: a, subset: v2}, percentage: {value: 5}}]",
    ],
)
def test_mirrors_that_are_fine(fields: str) -> None:
    assert lines(route_shares, virtual_service(f"{TO}, {fields}")) == []
