"""Names of Services' ports."""

from __future__ import annotations

import pytest

from meshd.control.analysis.istio.port_names import port_names
from tests.control.analysis.istio.cases import said, service


@pytest.mark.parametrize(
    ("port", "good"),
    [
        ("name: http", True),
        ("name: http-web", True),
        ("name: HTTP2-web", True),
        ("name: grpc-web-x", True),
        ("name: tcp", True),
        ("name: udp-dns", True),
        ("name: http_proxy", True),
        ("name: web", False),
        ("name: httpweb", False),
        ("targetPort: 1", False),
        ("name: web, appProtocol: http", True),
        ("name: http, appProtocol: mine", False),
        ("name: mesh, appProtocol: hbone", True),
        ("name: web, protocol: UDP", True),
    ],
)
def test_names(port: str, good: bool) -> None:
    assert said(port_names, service("s", f"{{port: 8080, {port}}}")) == (
        [] if good else ["IST0118 Service default/s 4"]
    )


def test_ports_whose_number_says_enough() -> None:
    assert said(port_names, service("s", "{port: 3306, name: db}")) == []


def test_services_that_are_not_judged() -> None:
    assert said(port_names, service("s", "{port: 1, name: x}", namespace="kube-system")) == []
    assert said(port_names, service("s", "{port: 1, name: x}", metadata="labels: {istio: pilot}")) == []
    assert said(port_names, service("s", "{port: 1, name: x}", metadata="labels: {release: istio}")) == []


@pytest.mark.parametrize(
    ("name", "good"), [("http", True), ("tls-x", True), ("tcp", False), ("tcp-x", True), ("x", False)]
)
def test_aliases(name: str, good: bool) -> None:
    source = service("s", f"{{port: 80, name: {name}}}").replace(
        "spec: {", "spec: {type: ExternalName, externalName: a.example.com, "
    )
    assert said(port_names, source) == ([] if good else ["IST0150 Service default/s 4"])
