"""Services: what the mesh's documents say can be called, and by which protocol. Pure.

A ``Service`` comes from a Kubernetes Service or from one host of a
ServiceEntry. Its endpoints are apart (``workloads``), because they change often
and most of what is compiled from a service does not read them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from meshd.api.common import Map
from meshd.api.document import Document
from meshd.api.kubernetes import Service as KubernetesService
from meshd.api.kubernetes import ServicePort as KubernetesPort
from meshd.api.networking.service_entry import Location, Resolution, ServiceEntry
from meshd.control.hosts import DOMAIN, service_host

EXPORT_TO = "networking.istio.io/exportTo"
"""Annotation of a Service: the namespaces that see it, separated by commas."""

UNTRANSLATED = "experimental.istio.io/disable-gateway-port-translation"
"""Label of a Service: Gateways speak of its workloads' ports, not of its own."""

HEADLESS = "None"

SERVER_FIRST_PORTS: Final = frozenset({25, 53, 3306, 27017})
"""Where the server speaks first by custom, so that sniffing would wait for ever (Istio)."""


class Protocol(StrEnum):
    """What a service's port speaks."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-WEB"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    AUTO = "AUTO"
    """Not said: sniffed, connection by connection."""

    @property
    def http(self) -> bool:
        """HTTP that a proxy can read."""
        return self in {Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB}

    @property
    def http2(self) -> bool:
        """Spoken to servers as HTTP/2."""
        return self in {Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB}

    @property
    def grpc(self) -> bool:
        """Some form of gRPC."""
        return self in {Protocol.GRPC, Protocol.GRPC_WEB}

    @property
    def tls(self) -> bool:
        """TLS that is the application's own."""
        return self in {Protocol.HTTPS, Protocol.TLS}


_BY_NAME: Final = {
    "http": Protocol.HTTP,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.GRPC,
    "grpc-web": Protocol.GRPC_WEB,
    "https": Protocol.HTTPS,
    "tls": Protocol.TLS,
    "tcp": Protocol.TCP,
    # Istio reads these three only when told to; else they are bytes.
    "mongo": Protocol.TCP,
    "redis": Protocol.TCP,
    "mysql": Protocol.TCP,
}
_BY_APP_PROTOCOL: Final = {
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.HTTPS,
}


def protocol_of(number: int, name: str, app_protocol: str = "") -> Protocol:
    """A port's protocol: what ``appProtocol`` says, else its name up to ``-``, else sniffed."""
    said = app_protocol.lower()
    if said:
        return _BY_APP_PROTOCOL.get(said) or _BY_NAME.get(said) or _unknown(number)
    lower = name.lower()
    if lower == "grpc-web" or lower.startswith("grpc-web-"):
        return Protocol.GRPC_WEB
    return _BY_NAME.get(lower.partition("-")[0]) or _unknown(number)


def _unknown(number: int) -> Protocol:
    return Protocol.TCP if number in SERVER_FIRST_PORTS else Protocol.AUTO


@attrs.frozen
class Port:
    """A service's port. ``target`` is the workload's port: a number, or a name."""

    number: int
    name: str
    protocol: Protocol
    target: int | str


class Source(StrEnum):
    """Where a service's endpoints come from."""

    WORKLOADS = "workloads"
    """Addresses of workloads."""
    DNS = "dns"
    """Names to look up."""
    CLIENT = "client"
    """Wherever the client was going."""


@attrs.frozen(cache_hash=True)
class Service:
    """One host that can be called, without its endpoints."""

    host: str
    name: str
    namespace: str
    ports: tuple[Port, ...]
    addresses: tuple[str, ...] = ()
    """Virtual IPs and CIDRs."""
    source: Source = Source.WORKLOADS
    external: bool = False
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    headless: bool = False
    """A Kubernetes Service without an address: clients reach its workloads by their own."""
    alias: str = ""
    """The host that an ExternalName stands for."""
    selector: tuple[tuple[str, str], ...] = ()
    """Labels of its workloads, () when it selects none."""
    registry: bool = True
    """A Kubernetes Service, whose rights over a host precede a ServiceEntry's."""
    seniority: tuple[str, str, str] = ("~", "", "")
    translates_ports: bool = True
    """A gateway behind it listens at the target ports of Gateway ports that are its own."""

    def port(self, number: int) -> Port | None:
        """The port of this number."""
        return next((port for port in self.ports if port.number == number), None)

    @property
    def only_port(self) -> int:
        """The number of its single port, else 0."""
        return self.ports[0].number if len(self.ports) == 1 else 0


def from_kubernetes(document: Document, export_to: tuple[str, ...] = (), domain: str = DOMAIN) -> Service:
    """A Kubernetes Service; ``export_to`` where it says nothing. UDP and SCTP ports are none of a proxy's business."""
    spec: KubernetesService = document.resource
    alias = spec.type == "ExternalName"
    return Service(
        host=service_host(document.name, document.namespace, domain),
        name=document.name,
        namespace=document.namespace,
        ports=tuple(_kubernetes_port(port) for port in spec.ports if port.protocol.upper() in {"", "TCP"}),
        addresses=_cluster_ips(spec),
        source=Source.DNS if alias else Source.WORKLOADS,
        external=alias,
        headless=spec.clusterIP == HEADLESS,
        alias=spec.externalName if alias else "",
        export_to=_export_to(document.annotations) or export_to,
        selector=() if alias else tuple(sorted(spec.selector.items())),
        seniority=document.seniority,
        translates_ports=UNTRANSLATED not in document.labels,
    )


def _kubernetes_port(port: KubernetesPort) -> Port:
    protocol = protocol_of(port.port, port.name, port.appProtocol)
    return Port(port.port, port.name, protocol, port.port if port.targetPort is None else port.targetPort)


def _cluster_ips(spec: KubernetesService) -> tuple[str, ...]:
    addresses = dict.fromkeys((spec.clusterIP, *spec.clusterIPs))
    return tuple(address for address in addresses if address and address != HEADLESS)


def _export_to(annotations: Map[str, str]) -> tuple[str, ...]:
    entries = (entry.strip() for entry in annotations.get(EXPORT_TO, "").split(","))
    return tuple(entry for entry in entries if entry)


def _address(written: str) -> str:
    """An address or a CIDR; a CIDR of one address is that address."""
    host, slash, bits = written.partition("/")
    whole = "128" if ":" in host else "32"
    return host if slash and bits == whole else written


_SOURCES: Final = {
    Resolution.NONE: Source.CLIENT,
    Resolution.STATIC: Source.WORKLOADS,
    Resolution.DNS: Source.DNS,
    Resolution.DNS_ROUND_ROBIN: Source.DNS,
    # The request's own host is resolved when it comes: where the client was going.
    Resolution.DYNAMIC_DNS: Source.CLIENT,
}


def from_service_entry(document: Document, export_to: tuple[str, ...] = ()) -> tuple[Service, ...]:
    """One service for each host of a ServiceEntry; ``export_to`` where it says nothing."""
    spec: ServiceEntry = document.resource
    selector = tuple(sorted(spec.workloadSelector.labels.items())) if spec.workloadSelector else ()
    ports = tuple(
        Port(
            port.number,
            port.name,
            protocol_of(port.number, port.name, port.protocol),
            port.targetPort or port.number,
        )
        for port in spec.ports
        if port.protocol.upper() != "UDP"
    )
    return tuple(
        Service(
            host=host,
            name=host,
            namespace=document.namespace,
            ports=ports,
            addresses=tuple(_address(each) for each in spec.addresses),
            source=_SOURCES[spec.resolution],
            external=spec.location is Location.MESH_EXTERNAL,
            export_to=spec.exportTo or export_to,
            subject_alt_names=spec.subjectAltNames,
            selector=selector,
            registry=False,
            seniority=document.seniority,
            translates_ports=UNTRANSLATED not in document.labels,
        )
        for host in spec.hosts
    )


def precedence(service: Service) -> tuple[bool, tuple[str, str, str], str]:
    """Sorts the service that answers for a host first: Kubernetes' own, then the oldest."""
    return (not service.registry, service.seniority, service.host)


def merge(services: tuple[Service, ...]) -> Service:
    """Several declarations of one host in one namespace: the first one's word, all ports and addresses."""
    first, *others = sorted(services, key=precedence)
    if not others:
        return first
    ports = {port.number: port for service in reversed([first, *others]) for port in service.ports}
    addresses = dict.fromkeys(address for service in (first, *others) for address in service.addresses)
    ordered = [port.number for service in (first, *others) for port in service.ports]
    return attrs.evolve(
        first,
        ports=tuple(ports[number] for number in dict.fromkeys(ordered)),
        addresses=tuple(addresses),
    )
