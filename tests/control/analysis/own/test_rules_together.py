"""DestinationRules beside each other, and subsets that nobody uses or sees."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.rules_together import rules_together, unseen_subsets, unused_subsets
from tests.control.analysis.cases import text
from tests.control.analysis.own.cases import lines, rule, service, virtual_service

POLICY = "trafficPolicy: {loadBalancer: {simple: RANDOM}}"
V1, V2 = "{name: v1, labels: {version: v1}}", "{name: v2, labels: {version: v2}}"


def test_the_second_policy_and_subset_are_not_heeded() -> None:
    found = lines(
        rules_together,
        rule(f"{{host: a, {POLICY}, subsets: [{V1}]}}", name="one"),
        rule(f"{{host: a.default.svc.cluster.local, {POLICY}, subsets: [{V1}, {V2}]}}", name="two"),
    )
    assert [line.partition(": ")[0] for line in found] == [
        "MD0034 9:43 this trafficPolicy is not heeded",
        'MD0034 9:102 the subset "v1" is not heeded',
    ]
    assert "DestinationRule default/one (f.yaml:1:1) is for a.default.svc.cluster.local as well" in found[0]


def test_the_older_counts() -> None:
    def at(name: str, year: int) -> str:
        metadata = f"creationTimestamp: '{year}-01-01T00:00:00Z'"
        return text("DestinationRule", f"{{host: a, {POLICY}}}", name=name, metadata=metadata)

    [line] = lines(rules_together, at("a", 2022), at("b", 2021))
    assert line.startswith("MD0034 4:")
    assert "DestinationRule default/b" in line


@pytest.mark.parametrize(
    "other",
    [
        rule(f"{{host: a, subsets: [{V2}]}}", name="two"),
        rule(f"{{host: b, {POLICY}}}", name="two"),
        rule(f"{{host: a, {POLICY}}}", name="two", namespace="other"),
        rule(f"{{host: a, {POLICY}, workloadSelector: {{matchLabels: {{app: x}}}}}}", name="two"),
    ],
)
def test_rules_that_leave_each_other_alone(other: str) -> None:
    assert lines(rules_together, rule(f"{{host: a, {POLICY}, subsets: [{V1}]}}", name="one"), other) == []


RULE = rule(f"{{host: a, subsets: [{V1}, {V2}]}}")
TO_V1 = "route: [{destination: {host: a, subset: v1}}]"


def test_unused_subsets() -> None:
    [line] = lines(unused_subsets, virtual_service(TO_V1), RULE)
    assert line.startswith("MD0033 12:62 ")
    assert 'no route leads to the subset "v2"' in line


@pytest.mark.parametrize(
    "others",
    [
        (virtual_service("route: [{destination: {host: a}}]"),),
        (virtual_service("route: [{destination: {host: b, subset: v1}}]"),),
        (virtual_service(f"{TO_V1}, mirror: {{host: a, subset: v2}}"),),
        (
            virtual_service(TO_V1),
            text(
                "Gateway",
                "{selector: {a: b}, servers: [{port: {number: 15443, name: tls, protocol: TLS}, hosts: ['*.local'], "
                "tls: {mode: AUTO_PASSTHROUGH}}]}",
                name="gw",
            ),
        ),
    ],
)
def test_subsets_that_may_be_used(others: tuple[str, ...]) -> None:
    assert lines(unused_subsets, RULE, *others) == []


TO_OTHER = virtual_service(
    "route: [{destination: {host: a.other.svc.cluster.local, subset: v1}}]", metadata="name: x, namespace: mine"
)
SERVICE = service("a", "{name: http, port: 80}", namespace="other")
HOST = "host: a.other.svc.cluster.local"


def test_a_rule_of_the_caller_hides_the_owners() -> None:
    found = lines(
        unseen_subsets,
        TO_OTHER,
        SERVICE,
        rule(f"{{{HOST}, subsets: [{V1}]}}", namespace="other"),
        rule(f"{{{HOST}, subsets: [{V2}]}}", name="mine", namespace="mine"),
    )
    assert len(found) == 1
    assert found[0].startswith("MD0047 7:")
    assert "there DestinationRule mine/mine holds for a.other.svc.cluster.local, which does not define it" in found[0]


def test_a_rule_that_is_not_exported() -> None:
    private = rule(f"{{{HOST}, subsets: [{V1}], exportTo: [.]}}", namespace="other")
    [line] = lines(unseen_subsets, TO_OTHER, SERVICE, private)
    assert "callers in namespace mine get 503" in line
    assert "is not seen from there" in line


@pytest.mark.parametrize(
    "others",
    [
        (rule(f"{{{HOST}, subsets: [{V1}]}}", namespace="other"),),
        (rule(f"{{{HOST}, subsets: [{V1}], exportTo: [mine]}}", namespace="other"),),
        (rule(f"{{{HOST}, subsets: [{V1}]}}", namespace="istio-system"),),
        (
            rule(f"{{{HOST}, subsets: [{V1}], exportTo: [.]}}", namespace="other"),
            rule(f"{{{HOST}, subsets: [{V1}], workloadSelector: {{matchLabels: {{a: b}}}}}}", namespace="mine"),
        ),
        # Missing altogether: said by a code of Istio's.
        (rule(f"{{{HOST}, subsets: [{V2}]}}", namespace="other"),),
    ],
)
def test_subsets_that_are_seen(others: tuple[str, ...]) -> None:
    assert lines(unseen_subsets, TO_OTHER, SERVICE, *others) == []


def test_hosts_that_are_not_seen_are_another_finding() -> None:
    hidden = service(
        "a", "{name: http, port: 80}", namespace="other", extra=', annotations: {networking.istio.io/exportTo: "."}'
    )
    assert lines(unseen_subsets, TO_OTHER, hidden, rule(f"{{{HOST}, subsets: [{V1}]}}", namespace="other")) == []
