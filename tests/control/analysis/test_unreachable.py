"""Routes that no request can reach."""

from __future__ import annotations

import pytest

from meshd.control.analysis.istio.unreachable import unreachable
from tests.control.analysis.cases import LOADER, text

ROUTE = "route: [{destination: {host: a}}]"


def of(kind: str, *routes: str) -> list[str]:
    inner = ", ".join(f"{{{route}}}" for route in routes)
    [loaded] = LOADER.load(text("VirtualService", f"{{hosts: [a], {kind}: [{inner}]}}"), "f.yaml")
    assert loaded.document is not None
    return [problem.text for problem in unreachable(loaded.document)]


def match(conditions: str) -> str:
    return f"match: [{conditions}], {ROUTE}"


def test_after_one_that_takes_everything() -> None:
    late = match("{uri: {exact: /late}}, {uri: {exact: /later}}")
    assert of("http", match("{uri: {exact: /early}}"), ROUTE, late, ROUTE) == [
        "spec.http[2]: rule 2 is never used: rule 1 before it takes everything",
        "spec.http[3]: rule 3 is never used: rule 1 before it takes everything",
    ]


@pytest.mark.parametrize("nearly", ["{}", "{uri: {prefix: /}}", "{uri: {prefix: /}, port: 80}", "{headers: {x: {}}}"])
def test_what_istio_does_not_take_for_everything(nearly: str) -> None:
    assert of("http", match(nearly), ROUTE) == []


def test_the_same_matches_again() -> None:
    one, two = "{uri: {exact: /a}}", "{uri: {exact: /b}}"
    assert of(
        "http", match(one), match(two), match(f"{two}, {{name: other, {one[1:]}"), match(f"{one}, {{port: 1}}")
    ) == [
        "spec.http[2].match[0]: match 0 of rule 2 adds nothing: rule 1 has it already",
        "spec.http[2].match[1]: match 1 of rule 2 adds nothing: rule 0 has it already",
        "spec.http[2]: rule 2 is never used: all its matches are those of rule 0, 1 before it",
        "spec.http[3].match[0]: match 0 of rule 3 adds nothing: rule 0 has it already",
    ]


def test_the_same_match_twice_in_one_rule() -> None:
    assert of("http", match("{uri: {exact: /a}}, {uri: {exact: /a}}"), ROUTE) == [
        "spec.http[0].match[1]: match 1 of rule 0 adds nothing: rule 0 has it already"
    ]


def test_tcp_and_tls() -> None:
    assert of("tcp", ROUTE, match("{port: 1}")) == [
        "spec.tcp[1]: rule 1 is never used: rule 0 before it takes everything"
    ]
    assert of("tls", match("{sniHosts: [a]}"), match("{sniHosts: [b]}"), match("{sniHosts: [a]}")) == [
        "spec.tls[2].match[0]: match 0 of rule 2 adds nothing: rule 0 has it already",
        "spec.tls[2]: rule 2 is never used: all its matches are those of rule 0 before it",
    ]


WITHIN = (
    "spec.http[1].match[0]: match 0 of rule 1 (prefix {}) is within match 0 of rule 0 (prefix {}), which comes first"
)


@pytest.mark.parametrize(
    "conditions",
    [
        "",
        ", port: 80",
        ", method: {exact: POST}",
        ", authority: {prefix: a}",
        ", headers: {x: {exact: z}}",
        ", queryParams: {x: {regex: z}}",
        ", withoutHeaders: {x: {}}",
    ],
)
def test_a_prefix_within_an_earlier_one(conditions: str) -> None:
    first, second = match(f"{{uri: {{prefix: /a}}{conditions}}}"), match(f"{{uri: {{prefix: /a/b}}{conditions}}}")
    assert of("http", first, second) == [WITHIN.format("/a/b", "/a")]
    assert of("http", second, first) == []


@pytest.mark.parametrize(
    "conditions",
    [
        ", port: 80",
        ", method: {exact: POST}",
        ", authority: {exact: a}",
        ", headers: {x: {exact: z}}",
        ", queryParams: {x: {exact: z}}",
        ", withoutHeaders: {x: {exact: z}}",
    ],
)
def test_a_prefix_with_a_condition_that_the_earlier_one_has_not(conditions: str) -> None:
    assert of("http", match("{uri: {prefix: /a}}"), match(f"{{uri: {{prefix: /a/b}}{conditions}}}")) == []


def test_a_condition_that_begins_like_the_earlier_ones() -> None:
    """Istio compares the beginnings of texts, whatever they mean."""
    first = match("{uri: {prefix: /a}, headers: {x: {prefix: abc}}}")
    assert of("http", first, match("{uri: {prefix: /a/b}, headers: {x: {prefix: ab}}}")) == [
        WITHIN.format("/a/b", "/a")
    ]
    assert of("http", first, match("{uri: {prefix: /a/b}, headers: {x: {prefix: b}}}")) == []
