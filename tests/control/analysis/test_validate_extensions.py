"""WasmPlugin, TrafficExtension and EnvoyFilter alone: kinds of which the content is plain data."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text

LUA = "lua: {inlineCode: a}"
URL = "url: oci://a.b/c:d"
REMOVE = "patch: {operation: REMOVE}"


def of(kind: str, spec: str) -> list[str]:
    api = "networking.istio.io/v1alpha3" if kind == "EnvoyFilter" else "extensions.istio.io/v1alpha1"
    found = said(text(kind, spec, api=api))
    return [line for line in found if "MD0003" not in line and "prefer Istio's own kinds" not in line]


@pytest.mark.parametrize(
    "spec",
    [
        f"{{{URL}}}",
        "{url: a.b:5000/c}",
        f"{{{URL}, sha256: '{'0' * 64}', phase: STATS, priority: -1, pluginConfig: {{a: [1]}}}}",
        f"{{{URL}, match: [{{mode: CLIENT, ports: [{{number: 80}}]}}], selector: {{matchLabels: {{a: b}}}}}}",
        f"{{{URL}, targetRefs: [{{kind: Service, name: a}}], vmConfig: {{env: [{{name: a, valueFrom: HOST}}]}}}}",
    ],
)
def test_good_plugins(spec: str) -> None:
    assert of("WasmPlugin", spec) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("null", 'the field "spec" is missing'),
        ("[]", "spec: expected a mapping, found a list"),
        ("{}", 'the field "url" is missing: it needs to be set'),
        ("{url: ftp://a.b}", 'unsupported scheme "ftp"'),
        ("{url: 'https://a.b:x'}", "cannot be fetched"),
        ("{url: 'a b'}", "it has a space"),
        (f"{{{URL}, sha256: abc}}", "exactly 64 characters"),
        (f"{{{URL}, urll: a}}", 'unknown field; did you mean "url"?'),
        (f"{{{URL}, match: [null]}}", "spec.match[0]: expected a mapping"),
        (f"{{{URL}, match: [{{ports: [{{number: 0}}]}}]}}", "spec.match[0].ports[0].number: 0 is out of range"),
        (f"{{{URL}, vmConfig: {{env: [{{name: ''}}]}}}}", "spec.vmConfig.env[0].name: the text is empty"),
        (f"{{{URL}, vmConfig: {{env: [{{name: a}}, {{name: a}}]}}}}", '"a" is here twice'),
        (
            f"{{{URL}, vmConfig: {{env: [{{name: a, value: b, valueFrom: HOST}}]}}}}",
            "with valueFrom: HOST the value is the host's",
        ),
        (f"{{{URL}, selector: {{}}}}", "warning spec.selector: a selector without labels"),
        (f"{{{URL}, selector: {{matchLabels: {{a: '*'}}}}}}", "a selector takes no wildcards"),
        (f"{{{URL}, targetRef: {{kind: Pod, name: a}}}}", '"Pod" is not one of'),
        (f"{{{URL}, targetRef: {{kind: Service}}}}", "the targetRef name must be set"),
        (f"{{{URL}, selector: {{matchLabels: {{a: b}}}}, targetRefs: []}}", "only one of targetRefs or selector"),
    ],
)
def test_bad_plugins(spec: str, message: str) -> None:
    found = of("WasmPlugin", spec)
    assert any(message in line for line in found), found


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{}", "exactly one of wasm or lua must be set, not neither"),
        (f"{{wasm: {{{URL}}}, {LUA}}}", "exactly one of wasm or lua must be set, not wasm and lua"),
        ("{wasm: {url: ''}}", "spec.wasm.url: the text is empty"),
        ("{wasm: {url: ftp://a}}", "spec.wasm.url"),
        ("{lua: {inlineCode: ''}}", "spec.lua.inlineCode: the text is empty"),
        (f"{{lua: {{inlineCode: {'a' * 65537}}}}}", "more than 65536"),
        (f"{{{LUA}, match: [{{mode: BOTH}}]}}", 'the text "BOTH" is not one of UNDEFINED, CLIENT'),
    ],
)
def test_bad_extensions(spec: str, message: str) -> None:
    found = of("TrafficExtension", spec)
    assert any(message in line for line in found), found


def test_good_extensions() -> None:
    for spec in (f"{{{LUA}, phase: AUTHN, priority: 1}}", f"{{wasm: {{{URL}}}, targetRefs: []}}"):
        assert of("TrafficExtension", spec) == []


def test_nothing_belongs_beside_the_spec() -> None:
    source = text("WasmPlugin", f"{{{URL}}}", api="extensions.istio.io/v1alpha1") + "specs: {}\n"
    assert any("specs: unknown field: everything belongs under spec" in line for line in said(source))
