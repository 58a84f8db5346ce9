"""What can be called, and by which protocol."""

from __future__ import annotations

import pytest

from meshd.control.mesh import Mesh
from meshd.control.services import Port, Protocol, Service, Source, from_kubernetes, merge, protocol_of
from tests.control.documents import documents


@pytest.mark.parametrize(
    ("number", "name", "app_protocol", "expected"),
    [
        (80, "http", "", Protocol.HTTP),
        (80, "http-web", "", Protocol.HTTP),
        (80, "http2", "", Protocol.HTTP2),
        (80, "grpc-api", "", Protocol.GRPC),
        (80, "grpc-web", "", Protocol.GRPC_WEB),
        (80, "grpc-web-x", "", Protocol.GRPC_WEB),
        (443, "https-x", "", Protocol.HTTPS),
        (443, "tls", "", Protocol.TLS),
        (80, "tcp-http", "", Protocol.TCP),
        (80, "mongo", "", Protocol.TCP),
        (80, "web", "", Protocol.AUTO),
        (80, "", "", Protocol.AUTO),
        (80, "httpweb", "", Protocol.AUTO),
        (80, "HTTP", "", Protocol.HTTP),
        (3306, "", "", Protocol.TCP),
        (27017, "db", "", Protocol.TCP),
        (3306, "http", "", Protocol.HTTP),
        (80, "http", "tcp", Protocol.TCP),
        (80, "tcp", "kubernetes.io/h2c", Protocol.HTTP2),
        (80, "tcp", "kubernetes.io/wss", Protocol.HTTPS),
        (80, "http", "example.com/own", Protocol.AUTO),
    ],
)
def test_protocol(number: int, name: str, app_protocol: str, expected: Protocol) -> None:
    assert protocol_of(number, name, app_protocol) is expected


def test_a_kubernetes_service() -> None:
    (document,) = documents("""
        apiVersion: v1
        kind: Service
        metadata: {name: web, namespace: shop, annotations: {networking.istio.io/exportTo: "., other"}}
        spec:
          clusterIP: 10.0.0.1
          clusterIPs: [10.0.0.1, "fd00::1"]
          selector: {app: web}
          ports:
          - {port: 80, targetPort: 8080, name: http}
          - {port: 81, targetPort: admin, name: grpc}
          - {port: 53, protocol: UDP, name: dns}
    """)
    service = from_kubernetes(document)
    assert service.host == "web.shop.svc.cluster.local"
    assert service.ports == (Port(80, "http", Protocol.HTTP, 8080), Port(81, "grpc", Protocol.GRPC, "admin"))
    assert service.addresses == ("10.0.0.1", "fd00::1")
    assert service.export_to == (".", "other")
    assert service.selector == (("app", "web"),)
    assert service.only_port == 0
    assert service.port(81) is service.ports[1]
    assert service.port(53) is None


def test_headless_and_external_name() -> None:
    headless, alias = documents("""
        apiVersion: v1
        kind: Service
        metadata: {name: headless}
        spec: {clusterIP: None, ports: [{port: 80}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: alias}
        spec: {type: ExternalName, externalName: example.com, ports: [{port: 80, name: http}]}
    """)
    assert from_kubernetes(headless).addresses == ()
    mesh = Mesh.of([alias])
    (service,) = mesh.services
    assert service.source is Source.DNS
    assert service.external
    ((_, (backend,)),) = mesh.backends[service.host, "default"]
    assert (backend.host, backend.port) == ("example.com", 80)


def test_each_host_of_a_service_entry_is_a_service() -> None:
    mesh = Mesh.of(
        documents("""
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {name: apis}
        spec:
          hosts: [a.example.com, "*.wild.example.com"]
          addresses: [192.0.2.0/24]
          exportTo: ["."]
          ports:
          - {number: 443, name: web, protocol: HTTPS, targetPort: 8443}
          - {number: 80, name: http, protocol: ""}
          resolution: NONE
    """)
    )
    exact, wild = sorted(mesh.services, key=lambda service: service.host, reverse=True)
    assert exact.host == "a.example.com"
    assert wild.host == "*.wild.example.com"
    assert exact.external
    assert exact.source is Source.CLIENT
    assert not exact.registry
    assert exact.ports == (Port(443, "web", Protocol.HTTPS, 8443), Port(80, "http", Protocol.HTTP, 80))
    assert mesh.service("a.example.com", "default") == exact
    assert mesh.service("a.example.com", "other") is None


def test_one_host_declared_twice_has_the_ports_of_both_and_the_word_of_the_first() -> None:
    def service(name: str, *ports: Port, registry: bool = False) -> Service:
        return Service("h", name, "default", ports, registry=registry, seniority=("~", "default", name))

    http, tcp, other = (
        Port(80, "http", Protocol.HTTP, 80),
        Port(80, "t", Protocol.TCP, 8),
        Port(81, "o", Protocol.TCP, 81),
    )
    merged = merge((service("b", tcp, other), service("a", http)))
    assert merged.name == "a"
    assert merged.ports == (http, other)
    assert merge((service("a", http), service("z", tcp, registry=True))).name == "z"
    assert merge((service("a", http), service("b", tcp))) == merge((service("b", tcp), service("a", http)))
