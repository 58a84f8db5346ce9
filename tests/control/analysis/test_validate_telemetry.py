"""Telemetry and ProxyConfig alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text


def of(spec: str, kind: str = "Telemetry") -> list[str]:
    api = "telemetry.istio.io/v1" if kind == "Telemetry" else "networking.istio.io/v1beta1"
    found = said(text(kind, f"{{{spec}}}", api=api))
    return [line for line in found if "MD0002" not in line and "MD0003" not in line]


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "tracing: [{providers: [{name: a}], randomSamplingPercentage: 100, customTags: {a: {header: {name: b}}}}]",
        "metrics: [{overrides: [{tagOverrides: {a: {value: request.host}, b: {operation: REMOVE}}}]}]",
        "accessLogging: [{filter: {expression: 'response.code >= 400'}}, {providers: [{name: a}]}]",
    ],
)
def test_good(spec: str) -> None:
    assert of(spec) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("selector: {matchLabels: {'*': a}}", "a selector takes no wildcards"),
        ("tracing: [{}, {}]", "warning spec.tracing: only one entry of tracing counts"),
        ("tracing: [{providers: [{name: a}, {name: b}]}]", "warning spec.tracing[0].providers: only one tracing"),
        ("tracing: [{providers: [{name: ''}]}]", "the provider's name is empty"),
        ("tracing: [{randomSamplingPercentage: 101}]", "101 is not a percentage"),
        ("tracing: [{customTags: {a: null}}]", "tracing[0].customTags.a"),
        ("tracing: [{customTags: {'': {literal: {value: a}}}}]", "the tag's name is empty"),
        ("tracing: [{customTags: {a: {literal: {value: ''}}}}]", "the value of a literal tag is empty"),
        ("tracing: [{customTags: {a: {header: {name: ''}}}}]", "the name of a header tag is empty"),
        ("tracing: [{customTags: {a: {header: {name: a}, environment: {name: b}}}}]", "cannot both be given"),
        ("metrics: [{reportingInterval: 0s}]", "0s is too short"),
        ("metrics: [{overrides: [{match: {customMetric: ''}}]}]", "the metric's name is empty"),
        ("metrics: [{overrides: [{match: {customMetric: a, metric: ALL_METRICS}}]}]", "cannot both be given"),
        ("metrics: [{overrides: [{tagOverrides: {a: {}}}]}]", "must be set when operation is UPSERT"),
        (
            "metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: b}}}]}]",
            "must not be set when operation",
        ),
        ("metrics: [{overrides: [{tagOverrides: {'': {value: b}}}]}]", "warning spec.metrics[0]"),
        ("metrics: [{overrides: [{tagOverrides: {a: {value: 'b c'}}}]}]", "warning MD0005 spec.metrics[0]"),
        ("accessLogging: [{filter: {expression: 'a >>> b'}}]", "not a valid CEL expression: '>' cannot stand"),
    ],
)
def test_bad(spec: str, message: str) -> None:
    assert any(message in line for line in of(spec)), of(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("concurrency: -1", "error spec.concurrency: "),
        ("selector: {}", "warning spec.selector: a selector without labels"),
        ("environmentVariables: {'': a}", "the variable's name is empty"),
        (f"environmentVariables: {{a: {'b' * 2049}}}", "the value is longer than 2048"),
        ("image: {imageType: tiny}", 'warning MD0005 spec.image.imageType: "tiny"'),
    ],
)
def test_proxy_config(spec: str, message: str) -> None:
    assert any(message in line for line in of(spec, "ProxyConfig")), of(spec, "ProxyConfig")
