"""Rules that a proxy was not given: which, and why."""

from __future__ import annotations

from meshd.explain.decision import Seen
from tests.explain.documents import place, told


def virtual_service(spec: str, name: str = "reviews", namespace: str = "default") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{spec}}}
"""


def routes(text: str, **said: str) -> list[Seen]:
    steps = told(text, "http://reviews.default/", **{"from_": "default/web", **said}).hops[0].decision.steps
    return [step for step in steps if step.at in {"route", "virtual_service"}]


ANYWHERE = "route: [{destination: {host: reviews.default.svc.cluster.local}}]"


def test_each_reason_why_a_rule_is_not_here() -> None:
    text = virtual_service(
        "hosts: [reviews], http: ["
        f"{{match: [{{sourceLabels: {{app: ghost}}}}], {ANYWHERE}}}, "
        f"{{match: [{{sourceNamespace: shop}}, {{port: 81}}], {ANYWHERE}}}, "
        f"{{match: [{{gateways: [door]}}], {ANYWHERE}}}, "
        f"{{match: [{{uri: {{exact: /x}}}}], {ANYWHERE}}}, "
        f"{{{ANYWHERE}}}, {{{ANYWHERE}}}]"
    )
    found = routes(text)
    assert [(step.rule, step.matched, step.because) for step in found] == [
        (0, False, "not for this proxy: sourceLabels app: ghost, and this is web"),
        (1, False, "not for this proxy: sourceNamespace shop, and this is default; port 81, and this is 80"),
        (2, False, "not for this proxy: gateways door, and this is mesh"),
        (3, False, "uri: exact '/x' != '/'"),
        (4, True, "takes everything"),
    ]
    assert [step.file for step in found] == [place("sourceLabels", text)] * 5


def test_when_no_rule_is_taken_those_behind_are_told_too() -> None:
    found = routes(
        virtual_service(
            "hosts: [reviews], http: ["
            f"{{match: [{{uri: {{exact: /x}}}}], {ANYWHERE}}}, {{match: [{{port: 81}}], {ANYWHERE}}}]"
        )
    )
    assert [(step.rule, step.because) for step in found] == [
        (0, "uri: exact '/x' != '/'"),
        (1, "not for this proxy: port 81, and this is 80"),
    ]


def test_virtual_services_without_a_part_say_why() -> None:
    cases = {
        "gateways: [door]": "it is for default/door, and this is a sidecar (mesh)",
        "exportTo: [shop]": "exportTo does not show it to namespace default",
        "match: []": "VirtualService default/a has this host",
    }
    first = virtual_service(f"hosts: [reviews], http: [{{{ANYWHERE}}}]", "a")
    for more, why in cases.items():
        other = virtual_service(
            f"hosts: [reviews], http: [{{{ANYWHERE}}}]{'' if 'match' in more else f', {more}'}", "b"
        )
        found = [step for step in routes(f"{first}\n---\n{other}") if step.at == "virtual_service"]
        assert [(step.resource, step.because) for step in found] == [
            ("VirtualService default/b", f"has no part here: {why}")
        ]


def test_a_virtual_service_for_others_only() -> None:
    text = virtual_service(f"hosts: [reviews], http: [{{match: [{{sourceLabels: {{app: ghost}}}}], {ANYWHERE}}}]")
    stranger, default = routes(text)
    assert stranger.because == "has no part here: not for this proxy: sourceLabels app: ghost, and this is web"
    assert (default.resource, default.matched) == ("", True)
    bytes_only = virtual_service("hosts: [reviews], tcp: [{route: [{destination: {host: reviews}}]}]")
    assert routes(bytes_only)[0].because == "has no part here: it has no http rules"


def test_a_delegate_s_rules_are_its_own() -> None:
    root = virtual_service(
        "hosts: [reviews], http: [{match: [{uri: {prefix: /}}], delegate: {name: inner}}]",
        "outer",
    )
    inner = virtual_service(
        f"http: [{{match: [{{sourceLabels: {{app: ghost}}}}], {ANYWHERE}}}, {{match: [{{uri: {{prefix: /}}}}], {ANYWHERE}}}]",
        "inner",
    )
    found = routes(f"{root}\n---\n{inner}")
    assert [(step.resource, step.rule, step.matched) for step in found] == [
        ("VirtualService default/inner", 0, False),
        ("VirtualService default/inner", 1, True),
    ]
