"""What a policy is for, and who sees it."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text

GATEWAY = "group: gateway.networking.k8s.io, kind: Gateway, name: a"


def policy(spec: str) -> list[str]:
    source = text("AuthorizationPolicy", f"{{{spec}}}", api="security.istio.io/v1")
    return [line for line in said(source) if "MD0002" not in line]


@pytest.mark.parametrize(
    "spec",
    [
        "selector: {matchLabels: {app: a, version: ''}}",
        f"targetRef: {{{GATEWAY}}}",
        f"targetRefs: [{{{GATEWAY}}}, {{kind: Service, name: b}}, {{group: core, kind: Service, name: b}}]",
        "targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: a}]",
        "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: a}]",
    ],
)
def test_good(spec: str) -> None:
    assert policy(spec) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (f"selector: {{}}, targetRef: {{{GATEWAY}}}", "only one of targetRefs or selector"),
        (f"targetRef: {{{GATEWAY}}}, targetRefs: [{{{GATEWAY}}}]", "not targetRef and targetRefs"),
        ("selector: {}", "warning spec.selector: a selector without labels selects every workload"),
        ("selector: {matchLabels: {'': a}}", "a label's name is empty"),
        ("selector: {matchLabels: {a: '*'}}", "a selector takes no wildcards"),
        (f"selector: {{matchLabels: {{a: {'b' * 64}}}}}", "63 characters at most"),
        ("targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: ''}]", "name must be set"),
        (
            f"targetRefs: [{{{GATEWAY}, namespace: b}}]",
            "targetRefs[0].namespace: the targetRef namespace must not be set",
        ),
        ("targetRefs: [{kind: Gateway, name: a}]", 'write "gateway.networking.k8s.io"'),
        (
            "targetRefs: [{group: a.b, kind: Service, name: a}]",
            'targetRefs[0].group: Service is not of the group "a.b"',
        ),
        ("targetRefs: [{kind: Pod, name: a}]", '"Pod" is not one of Gateway, GatewayClass, Service, ServiceEntry'),
        (f"targetRefs: [{', '.join([f'{{{GATEWAY}}}'] * 17)}]", "more than 16 targets"),
    ],
)
def test_bad(spec: str, message: str) -> None:
    assert any(message in line for line in policy(spec)), policy(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("exportTo: ['*', a]", '"*" is everybody: nothing can stand beside it'),
        ("exportTo: ['~']", '"~" is not allowed here'),
        ("exportTo: [., default]", '"default" is here twice'),
        ("exportTo: [A_B]", '"A_B" is not a namespace'),
        ("exportTo: [a], workloadSelector: {matchLabels: {a: b}}", 'write "." and not "a"'),
        ("workloadSelector: {}", "warning spec.workloadSelector: a selector without labels"),
    ],
)
def test_who_sees_it(spec: str, message: str) -> None:
    found = said(text("DestinationRule", f"{{host: a.b, {spec}}}"))
    assert any(message in line for line in found), found


def test_good_exports() -> None:
    for listed in ("['*']", "[.]", "[a, b, .]"):
        assert said(text("DestinationRule", f"{{host: a.b, exportTo: {listed}}}")) == []
    own = said(text("DestinationRule", "{host: a.b, exportTo: [.], workloadSelector: {matchLabels: {a: b}}}"))
    assert [line for line in own if "MD0002" not in line] == []
