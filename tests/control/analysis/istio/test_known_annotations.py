"""Istio's annotations in their place."""

from __future__ import annotations

import pytest

from meshd.control.analysis.istio.annotation_table import ANNOTATIONS
from meshd.control.analysis.istio.known_annotations import alpha, misused
from tests.control.analysis.istio.cases import ask, deployment, join, namespace, pod, said, service


def on_pod(annotation: str, labels: str = "") -> str:
    return pod("p", labels, metadata=f"annotations: {{{annotation}}}")


def test_unknown() -> None:
    source = service("s", "{port: 80, name: http}", metadata="annotations: {networking.istio.io/exportsTo: x, mine: z}")
    [finding] = ask(misused, source)
    assert (finding.code, finding.resource) == ("IST0108", "Service default/s")
    assert '"networking.istio.io/exportsTo"' in finding.message


def test_misplaced() -> None:
    source = join(
        namespace("ns", annotations="sidecar.istio.io/proxyCPU: '1'"),
        service("s", "{port: 80, name: http}", metadata="annotations: {kubernetes.io/ingress.class: istio}"),
        on_pod("networking.istio.io/exportTo: x"),
        deployment("d", "a: b").replace("namespace: default}", "annotations: {sidecar.istio.io/inject: 'true'}}", 1),
    )
    assert said(misused, source) == [
        "IST0107 Namespace ns 3",
        "IST0107 Service default/s 7",
        "IST0107 Pod default/p 12",
        "IST0107 Deployment default/d 17",
        "IST0135 Deployment default/d 17",
    ]


def test_in_the_right_place() -> None:
    assert said(misused, on_pod("sidecar.istio.io/proxyCPU: '1', galley.istio.io/analyze-suppress: '*'")) == []
    assert said(misused, namespace("ns", annotations="galley.istio.io/analyze-suppress: '*'")) == []


def test_deprecated() -> None:
    assert said(misused, on_pod("sidecar.istio.io/discoveryAddress: x")) == ["IST0135 Pod default/p 3"]
    assert said(misused, on_pod("sidecar.istio.io/inject: 'true'")) == ["IST0135 Pod default/p 3"]
    assert said(misused, on_pod("sidecar.istio.io/inject: 'true'", "sidecar.istio.io/inject: 'true'")) == []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("sidecar.istio.io/interceptionMode", "TPROXY", "MAGIC"),
        ("status.sidecar.istio.io/port", "15020", "http"),
        ("readiness.status.sidecar.istio.io/periodSeconds", "3", "-1"),
        ("traffic.sidecar.istio.io/includeOutboundIPRanges", "*", "10.0.0.1"),
        ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.0/8,10.1.0.0/16", "10.0.0.0/8,x"),
        ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "", "*"),
        ("traffic.sidecar.istio.io/includeInboundPorts", "*", "80,b"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "80, 81", "80000"),
        ("traffic.sidecar.istio.io/excludeOutboundPorts", "", "*"),
        ("prometheus.istio.io/merge-metrics", "true", "yes"),
    ],
)
def test_values(name: str, good: str, bad: str) -> None:
    assert said(misused, on_pod(f"{name}: '{good}'")) == []
    assert said(misused, on_pod(f"{name}: '{bad}'")) == ["IST0125 Pod default/p 3"]


def test_alpha_features() -> None:
    source = on_pod("sidecar.istio.io/status: x, sidecar.istio.io/logLevel: debug, sidecar.istio.io/inject: 'true'")
    assert said(alpha, source) == ["IST0136 Pod default/p 3"]


def test_what_the_network_plug_in_writes_is_no_choice_of_the_user() -> None:
    annotations = "annotations: {traffic.sidecar.istio.io/includeInboundPorts: '*'}"
    assert said(alpha, pod("p", metadata=annotations)) == []
    by_init = pod("p", metadata=annotations, spec="initContainers: [{name: istio-init, image: x}]")
    assert said(alpha, by_init) == ["IST0136 Pod default/p 3"]


def test_the_table_has_names_once() -> None:
    assert len(ANNOTATIONS) > 60
    assert all(name == each.name and each.kinds for name, each in ANNOTATIONS.items())
