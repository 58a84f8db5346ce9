"""What Istio has given up."""

from __future__ import annotations

from meshd.control.analysis.istio.deprecation import deprecated_fields, lightstep
from tests.control.analysis.istio.cases import istio, join, mesh, said

FAULT = "{hosts: [a.b.c], http: [{fault: {delay: {%s, fixedDelay: 1s}}, route: [{destination: {host: a.b.c}}]}]}"


def test_percent_of_a_delay() -> None:
    assert said(deprecated_fields, istio("VirtualService", "v", FAULT % "percent: 10")) == [
        "IST0002 VirtualService default/v 4"
    ]
    assert said(deprecated_fields, istio("VirtualService", "v", FAULT % "percentage: {value: 10}")) == []


def test_the_egress_proxy_of_a_sidecar() -> None:
    spec = "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.b.c}}}"
    assert said(deprecated_fields, istio("Sidecar", "s", spec)) == ["IST0002 Sidecar default/s 4"]


def test_definitions_of_kinds_that_are_gone() -> None:
    crd = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: serviceroles.rbac.istio.io}
spec: {group: rbac.istio.io, names: {kind: ServiceRole}}
"""
    assert said(deprecated_fields, crd) == ["IST0002 CustomResourceDefinition serviceroles.rbac.istio.io 5"]
    assert said(deprecated_fields, crd.replace("group: rbac.istio.io", "group: example.com")) == []


def test_lightstep() -> None:
    telemetry = istio("Telemetry", "t", "{tracing: [{providers: [{name: mine}]}, {providers: [{name: zipkin}]}]}")
    config = "extensionProviders:\n- name: mine\n  lightstep: {service: a.b.c, port: 1, accessToken: t}\n"
    assert said(lightstep, join(telemetry, mesh(config))) == ["IST0002 Telemetry default/t 4"]
    assert said(lightstep, telemetry) == []
