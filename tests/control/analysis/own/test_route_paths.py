"""Prefixes, rewrites and regular expressions that mean something else than they seem to."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.route_paths import route_paths
from tests.control.analysis.own.cases import codes, lines, virtual_service

TO_A = "route: [{destination: {host: a}}]"
TO_B = "route: [{destination: {host: b}}]"


def uri(*conditions: str, to: str = TO_A) -> str:
    return f"match: [{', '.join(f'{{uri: {{{each}}}}}' for each in conditions)}], {to}"


def test_prefix_within_a_word() -> None:
    [line] = lines(route_paths, virtual_service(uri("prefix: /api"), TO_B))
    assert line.startswith('MD0012 7:29 the prefix "/api" also takes "/apix", which a later rule would serve otherwise')


@pytest.mark.parametrize(
    "routes",
    [
        (uri("prefix: /api/"), TO_B),
        (uri("exact: /api"), uri("prefix: /api/"), uri("prefix: /api"), TO_B),
        # Nobody else would serve the longer words, or they would be served alike.
        (uri("prefix: /api"),),
        (uri("prefix: /api"), uri("prefix: /web", to=TO_B)),
        (uri("prefix: /api"), TO_A),
    ],
)
def test_prefix_where_it_does_not_matter(routes: tuple[str, ...]) -> None:
    assert codes(route_paths, virtual_service(*routes)) == []


@pytest.mark.parametrize(
    ("prefix", "rewrite", "becomes"),
    [
        ("/a", "/", '"/a/x" becomes "//x"'),
        ("/a", "/b/", '"/a/x" becomes "/b//x"'),
        ("/a/", "/b", '"/a/x" becomes "/bx"'),
    ],
)
def test_rewrite_that_joins_badly(prefix: str, rewrite: str, becomes: str) -> None:
    [line] = lines(route_paths, virtual_service(f"{uri(f'prefix: {prefix}')}, rewrite: {{uri: {rewrite}}}"))
    assert line.startswith("MD0013 7:")
    assert becomes in line


def test_rewrite_without_a_match() -> None:
    [line] = lines(route_paths, virtual_service(f"{TO_A}, rewrite: {{uri: /b}}"))
    assert '"/x" becomes "/bx"' in line


@pytest.mark.parametrize(
    "route",
    [
        f"{uri('prefix: /a')}, rewrite: {{uri: /b}}",
        f"{uri('prefix: /a/')}, rewrite: {{uri: /}}",
        f"{uri('exact: /a')}, rewrite: {{uri: /b/}}",
        f"{uri('regex: /a.+')}, rewrite: {{uri: /b/}}",
        # The form that Istio's own pages recommend.
        f"{uri('prefix: /a/', 'prefix: /a')}, rewrite: {{uri: /}}",
        f"{TO_A}, rewrite: {{authority: b}}",
    ],
)
def test_rewrite_that_is_fine(route: str) -> None:
    assert codes(route_paths, virtual_service(route)) == []


@pytest.mark.parametrize(
    "condition", ["exact: a", "prefix: api/", "regex: api/.+", "regex: '^x[0-9]'", "exact: '/a?b=c'", "prefix: '/a?'"]
)
def test_paths_that_no_request_has(condition: str) -> None:
    assert codes(route_paths, virtual_service(uri(condition))) == ["MD0014"]


@pytest.mark.parametrize("condition", ["regex: ^/a", "regex: /a$", r"regex: '^/a\.b'"])
def test_regex_that_was_meant_to_search(condition: str) -> None:
    [line] = lines(route_paths, virtual_service(uri(condition)))
    assert line.startswith("MD0015 7:28 ")
    assert "must match the whole text" in line


def test_regex_of_a_host_with_bare_dots() -> None:
    route = f"match: [{{authority: {{regex: '(a|b).example.com'}}}}], {TO_A}"
    [line] = lines(route_paths, virtual_service(route))
    assert line.startswith("MD0015")
    assert "stands for any character" in line


@pytest.mark.parametrize(
    ("condition", "better"),
    [("regex: /a.*", 'prefix: "/a"'), ("regex: /a", 'exact: "/a"'), ("regex: '^/a$'", 'exact: "/a"')],
)
def test_regex_that_is_none(condition: str, better: str) -> None:
    [line] = lines(route_paths, virtual_service(uri(condition)))
    assert line.startswith("MD0016")
    assert better in line


@pytest.mark.parametrize("field", ["headers: {x: ", "withoutHeaders: {x: ", "queryParams: {x: "])
def test_regex_in_maps(field: str) -> None:
    route = f"match: [{{{field}{{regex: ^v1}}}}}}], {TO_A}"
    assert codes(route_paths, virtual_service(route)) == ["MD0015"]


def test_large_regex() -> None:
    route = uri("regex: '/[a-z]{1,700}/[a-z]{1,700}'")
    [line] = lines(route_paths, virtual_service(route))
    assert line.startswith("MD0017")
    assert "instructions" in line


@pytest.mark.parametrize(
    "condition",
    [
        "regex: '/a/[0-9]+'",
        "regex: '.*'",
        "regex: '*'",
        r"regex: '/v\d+/.*'",
        "regex: '/a{2,3}'",
        "prefix: /a",
        "exact: '*'",
    ],
)
def test_paths_that_are_fine(condition: str) -> None:
    assert codes(route_paths, virtual_service(uri(condition))) == []


def test_header_regex_need_not_begin_with_a_slash() -> None:
    route = f"match: [{{headers: {{cookie: {{regex: '^(.*?;)?(user=jason)(;.*)?$'}}}}}}], {TO_A}"
    assert codes(route_paths, virtual_service(route)) == []
