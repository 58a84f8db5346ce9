"""Routes that no request can reach."""

from __future__ import annotations

import pytest

from meshd.control.analysis.unreachable import unreachable
from tests.control.analysis.cases import LOADER, text

ROUTE = "route: [{destination: {host: a}}]"


def of(kind: str, *routes: str) -> list[str]:
    inner = ", ".join(f"{{{route}}}" for route in routes)
    [loaded] = LOADER.load(text("VirtualService", f"{{hosts: [a], {kind}: [{inner}]}}"), "f.yaml")
    assert loaded.document is not None
    return [problem.text for problem in unreachable(loaded.document)]


def match(conditions: str) -> str:
    return f"match: [{conditions}], {ROUTE}"


@pytest.mark.parametrize("everything", [ROUTE, match("{}"), match("{uri: {prefix: /}}"), match("{name: x}, {port: 1}")])
def test_after_one_that_takes_everything(everything: str) -> None:
    late = match("{uri: {exact: /late}}")
    assert of("http", match("{uri: {exact: /early}}"), everything, late) == [
        "spec.http[2]: rule 2 is never used: rule 1 before it takes everything"
    ]


@pytest.mark.parametrize(
    "nearly", ["{uri: {prefix: /, }, port: 80}", "{uri: {prefix: /a}}", "{headers: {x: {}}}", "{sourceLabels: {a: b}}"]
)
def test_what_takes_nearly_everything(nearly: str) -> None:
    assert of("http", match(nearly), ROUTE) == []


def test_the_same_matches_again() -> None:
    one, two = "{uri: {exact: /a}}", "{uri: {exact: /b}}"
    assert of(
        "http", match(one), match(two), match(f"{two}, {{name: other, {one[1:]}"), match(f"{one}, {{port: 1}}")
    ) == ["spec.http[2]: rule 2 is never used: all its matches are those of rule 0, 1 before it"]


def test_tcp_and_tls() -> None:
    assert of("tcp", ROUTE, match("{port: 1}")) == [
        "spec.tcp[1]: rule 1 is never used: rule 0 before it takes everything"
    ]
    assert of("tls", match("{sniHosts: [a]}"), match("{sniHosts: [b]}"), match("{sniHosts: [a]}")) == [
        "spec.tls[2]: rule 2 is never used: all its matches are those of rule 0 before it"
    ]
