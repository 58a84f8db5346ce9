"""Values of AuthorizationPolicies that match nothing or are got around."""

from __future__ import annotations

import re

import pytest

from meshd.api.mesh.config import NormalizationType
from meshd.control.analysis.own.policy_values import NEVER_NORMAL, ORDER, VARIANTS, policy_values
from meshd.proxy.path import normalizer
from tests.control.analysis.own.cases import codes, lines, policy


def operation(fields: str, action: str = "ALLOW") -> str:
    return policy("AuthorizationPolicy", f"{{action: {action}, rules: [{{to: [{{operation: {{{fields}}}}}]}}]}}")


def mesh(mode: str) -> str:
    return f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data:
  mesh: "pathNormalization: {{normalization: {mode}}}"
"""


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ("methods: [get]", 'write "GET"'),
        ("paths: [admin]", 'write "/admin"'),
        ("paths: ['/a?b=c']", "ends before the query"),
        (r"paths: ['/a\b']", "backslashes become slashes"),
        ("paths: ['/a/../b']", "dot segments are resolved"),
        ("paths: ['/%61']", "are decoded"),
        ("hosts: ['http://a']", "without a scheme and a path"),
        ("ports: ['80'], notPorts: ['80', '81']", "all of ports are excluded by notPorts"),
        ("methods: [GET], notMethods: ['*']", "all of methods are excluded"),
    ],
)
def test_values_that_match_nothing(fields: str, why: str) -> None:
    found = lines(policy_values, operation(fields))
    assert [line[:8] for line in found] == ["MD0054 4"]
    assert why in found[0]


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("{from: [{source: {principals: [default]}}]}", "is no principal that a caller can have"),
        ("{from: [{source: {principals: [ns/default/sa/a]}}]}", "is no principal that a caller can have"),
        ("{from: [{source: {namespaces: [a], notNamespaces: [a]}}]}", "all of namespaces are excluded"),
        ("{when: [{key: source.ip, values: [10.0.0.1], notValues: [10.0.0.1]}]}", "all values of source.ip"),
    ],
)
def test_rules_that_match_nothing(rule: str, why: str) -> None:
    [line] = lines(policy_values, policy("AuthorizationPolicy", f"{{rules: [{rule}]}}"))
    assert line.startswith("MD0054 4:")
    assert why in line


@pytest.mark.parametrize(
    "fields",
    [
        "methods: [GET, '*'], paths: [/a, /b*, '*.html', '*', '/a/{*}/b', '/%2F'], hosts: [a, 'b:*'], ports: ['80']",
        "ports: ['80', '81'], notPorts: ['80']",
        "paths: ['//a']",
    ],
)
def test_values_that_match(fields: str) -> None:
    assert codes(policy_values, operation(fields)) == []


def test_principals_that_match() -> None:
    rule = "{from: [{source: {principals: [cluster.local/ns/a/sa/b, '*/sa/b', td.example/other]}}]}"
    assert codes(policy_values, policy("AuthorizationPolicy", f"{{rules: [{rule}]}}")) == []


@pytest.mark.parametrize(
    ("mode", "path", "slipping"),
    [
        ("NONE", "/admin*", ["/./admin", "/%61dmin", "//admin"]),
        ("BASE", "/admin*", ["//admin"]),
        ("BASE", "/a/b*", ["//a/b", "/a%2fb"]),
        ("MERGE_SLASHES", "/a/b*", ["/a%2fb"]),
        ("MERGE_SLASHES", "/admin*", []),
        ("DECODE_AND_MERGE_SLASHES", "/a/b*", []),
        ("DECODE_AND_MERGE_SLASHES", "/a/b", ["/a/b/"]),
    ],
)
def test_paths_that_slip_through(mode: str, path: str, slipping: list[str]) -> None:
    found = lines(policy_values, operation(f"paths: ['{path}']", "DENY"), mesh(mode))
    samples = re.findall(r'"([^"]+)"', found[0].partition(" past this")[0]) if found else []
    assert samples == slipping
    assert all(line.startswith("MD0055 4:") for line in found)


def test_paths_that_must_not_be_asked_for() -> None:
    assert codes(policy_values, operation("notPaths: [/admin*]")) == ["MD0055"]


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ("paths: [/admin]", "ALLOW"),
        ("notPaths: [/admin]", "DENY"),
        ("paths: ['*']", "DENY"),
        ("paths: ['/*']", "DENY"),
        ("paths: ['/admin/{**}']", "DENY"),
        ("paths: ['/admin*', '//*']", "DENY"),
    ],
)
def test_paths_that_do_not(fields: str, action: str) -> None:
    assert codes(policy_values, operation(fields, action)) == []


def test_a_host_without_its_port() -> None:
    [line] = lines(policy_values, operation("hosts: [a.example]", "DENY"))
    assert line.startswith("MD0056 4:")
    assert 'requests with "Host: a.example:80" or "Host: a.example." slip past this' in line
    assert 'add "a.example:*" and "a.example."' in line
    [line] = lines(policy_values, operation("notHosts: ['*.example']"))
    assert '"Host: x.example:80"' in line


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ("hosts: [a.example]", "ALLOW"),
        ("hosts: [a.example, 'a.example:*']", "DENY"),
        ("hosts: ['a.example*']", "DENY"),
        ("hosts: ['a.example:8080']", "DENY"),
    ],
)
def test_hosts_with_their_ports(fields: str, action: str) -> None:
    assert codes(policy_values, operation(fields, action)) == []


@pytest.mark.parametrize("mode", ORDER)
def test_variants_are_what_the_proxies_leave_apart(mode: NormalizationType) -> None:
    """The table says the same as the code that normalises."""
    normalize = normalizer(mode.value)
    for variant in VARIANTS:
        written = variant.write("/ab/cd").encode()
        same = ORDER.index(mode) >= ORDER.index(variant.undone_by)
        assert (normalize(written) == normalize(b"/ab/cd")) is same
    for text in (
        "/a/../b",
        "/a/./b",
        "/a/..",
        r"/a\b",
        "/%61",
        "/%2D",
        "/%7E",
        "/a//b",
        "/a%2fb",
        "/a%5Cb",
        "/%20",
        "/a.b",
    ):
        changed = any(ORDER.index(mode) >= ORDER.index(since) and each.search(text) for each, since, _ in NEVER_NORMAL)
        assert changed is (normalize(text.encode()) != text.encode()), text
