"""Sidecars and Telemetries."""

from __future__ import annotations

import pytest

from meshd.control.analysis.istio.selectors import default_telemetries, sidecars, telemetries, telemetry_providers
from tests.control.analysis.istio.cases import deployment, istio, join, mesh, namespace, pod, said


def sidecar(name: str, labels: str | None = "app: a", *, where: str = "default") -> str:
    selector = f"workloadSelector: {{labels: {{{labels}}}}}, " if labels is not None else ""
    return istio("Sidecar", name, f"{{{selector}egress: [{{hosts: ['./*']}}]}}", namespace=where)


def telemetry(name: str, labels: str | None = "app: a", *, where: str = "default", spec: str = "metrics: []") -> str:
    selector = f"selector: {{matchLabels: {{{labels}}}}}, " if labels is not None else ""
    return istio("Telemetry", name, f"{{{selector}{spec}}}", namespace=where)


POD = pod("p", "app: a")


@pytest.mark.parametrize(
    ("make", "analysis", "code", "kind"),
    [(sidecar, sidecars, "IST0110", "Sidecar"), (telemetry, telemetries, "IST0159", "Telemetry")],
)
def test_workloads(make, analysis, code: str, kind: str) -> None:
    assert said(analysis, join(make("one"), POD)) == []
    assert said(analysis, make("one")) == [f"IST0101 {kind} default/one 4"]
    assert said(analysis, join(make("one", where="other"), POD)) == [f"IST0101 {kind} other/one 4"]
    both = [f"{code} {kind} default/one 3", f"{code} {kind} default/two 8"]
    assert said(analysis, join(make("one"), make("two"), POD)) == both
    wider = pod("p", "app: a, version: v1")
    assert said(analysis, join(make("one"), make("two", "version: v1"), wider)) == both
    assert said(analysis, join(make("one"), make("two", "app: b"), POD, pod("q", "app: b"))) == []
    assert said(analysis, join(make("one"), make("two"), POD, deployment("d", "app: a"))) == both
    assert said(analysis, join(make("one"), make("two"), deployment("d", "app: a"))) == both


def test_several_for_a_whole_namespace() -> None:
    two = [sidecar("one", None), sidecar("two", None), sidecar("three", None, where="other")]
    assert said(sidecars, join(*two)) == ["IST0111 Sidecar default/one 3", "IST0111 Sidecar default/two 8"]
    assert said(sidecars, join(*two), complete=False) == [
        "IST0111 Sidecar default/one 3",
        "IST0111 Sidecar default/two 8",
    ]
    two = [telemetry("one", None), telemetry("two", None), telemetry("three", None, where="other")]
    assert said(default_telemetries, join(*two)) == [
        "IST0160 Telemetry default/one 3",
        "IST0160 Telemetry default/two 8",
    ]
    attached = telemetry("two", None, spec="targetRefs: [{kind: Service, name: x}]")
    assert said(default_telemetries, join(two[0], attached)) == []


def test_a_running_mesh_waits_for_its_workloads() -> None:
    assert said(sidecars, sidecar("one"), complete=False) == []


def test_workloads_without_sidecars() -> None:
    ambient = pod("p", "app: a", metadata="annotations: {ambient.istio.io/redirection: enabled}")
    assert said(sidecars, join(sidecar("one"), ambient)) == ["IST0167 Sidecar default/one 4"]
    assert said(sidecars, join(sidecar("one"), sidecar("two"), ambient, ambient.replace("name: p,", "name: q,"))) == [
        "IST0167 Sidecar default/one 4",
        "IST0167 Sidecar default/two 9",
    ]
    inside = namespace("default", "istio.io/dataplane-mode: ambient")
    assert said(sidecars, join(sidecar("one", None), sidecar("two", None), inside)) == [
        "IST0167 Sidecar default/one 3",
        "IST0167 Sidecar default/two 8",
    ]
    injected = namespace("default", "istio.io/dataplane-mode: ambient, istio-injection: enabled")
    assert said(sidecars, join(sidecar("one", None), injected)) == []


def test_access_logs_to_nobody() -> None:
    nobody = telemetry("t", None, spec="accessLogging: [{disabled: false}]")
    assert said(telemetry_providers, nobody) == ["IST0157 Telemetry default/t 4"]
    assert said(telemetry_providers, telemetry("t", None, spec="accessLogging: [{providers: [{name: envoy}]}]")) == []
    default = mesh("defaultProviders: {accessLogging: [envoy]}")
    assert said(telemetry_providers, join(nobody, default)) == []
