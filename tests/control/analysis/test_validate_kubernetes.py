"""Service, Endpoints and EndpointSlice alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{}", "warning MD0005 spec: there are no ports"),
        ("{ports: [{port: 0}]}", "0 is not a port"),
        ("{ports: [{port: 80, targetPort: 70000}]}", "targetPort: 70000 is not a port"),
        ("{ports: [{port: 80}, {port: 81}]}", "warning MD0005 spec.ports[0]: of several ports each needs a name"),
        (
            "{ports: [{port: 80, name: a}, {port: 81, name: a}]}",
            'warning MD0005 spec.ports[1].name: the port name "a" is here twice',
        ),
        ("{ports: [{port: 80, name: a}, {port: 80, name: b}]}", "port 80 is here twice"),
        ("{type: ExternalName}", "ExternalName needs externalName"),
        ("{type: ExternalName, externalName: 'a b'}", '"a b" is not a domain name'),
        ("{ports: [{port: 80}], clusterIP: x}", '"x" is not an IP address'),
        ("{ports: [{port: 80}], internalTrafficPolicy: Local}", "warning MD0002 spec.internalTrafficPolicy"),
        ("{ports: [{port: 80}], trafficDistribution: PreferClose}", "warning MD0002 spec.trafficDistribution"),
        ("{ports: [{port: 80}], selector: {a: '*'}}", '"*" is not a label\'s value'),
    ],
)
def test_service(spec: str, message: str) -> None:
    source = text("Service", spec, api="v1")
    assert any(message in line for line in said(source)), said(source)


@pytest.mark.parametrize(
    "spec",
    [
        "{clusterIP: None, ports: [{port: 80, name: http, targetPort: web}], selector: {app: a}}",
        "{ports: [{port: 53, name: a, protocol: UDP}, {port: 53, name: b, protocol: TCP}]}",
        "{type: ExternalName, externalName: a.b}",
        "{clusterIP: None}",
    ],
)
def test_good_services(spec: str) -> None:
    assert said(text("Service", spec, api="v1")) == []


def test_endpoints() -> None:
    head = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: a}\n"
    assert said(head + "subsets: [{addresses: [{ip: 10.0.0.1, nodeName: n}], ports: [{port: 80}]}]\n") == [
        "info MD0005 subsets[0].addresses[0].nodeName: this field has no meaning to a mesh"
    ]
    assert said(head + "subsets: [{notReadyAddresses: [{ip: x}], ports: [{port: 0}]}]\n") == [
        'error subsets[0].notReadyAddresses[0].ip: "x" is not an IP address',
        "error subsets[0].ports[0].port: 0 is not a port: 1 to 65535",
    ]


def test_endpoint_slice() -> None:
    head = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
    labelled = head + "metadata: {name: a, labels: {kubernetes.io/service-name: a}}\n"
    good = "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]\nports: [{port: 80}]\n"
    assert said(labelled + good) == []
    assert said(head + "metadata: {name: a}\n" + good) == [
        "warning MD0005 metadata: without the label kubernetes.io/service-name it belongs to no Service"
    ]
    assert said(labelled + "addressType: IPX\nendpoints: [{addresses: [x]}]\nports: [{port: -1}]\n") == [
        'error addressType: "IPX" is not IPv4, IPv6 or FQDN',
        'error endpoints[0].addresses[0]: "x" is not an IP address',
        "error ports[0].port: -1 is not a port: 1 to 65535",
    ]
    assert said(labelled + "addressType: FQDN\nendpoints: [{addresses: ['a b']}]\n")[0].startswith("error endpoints")
