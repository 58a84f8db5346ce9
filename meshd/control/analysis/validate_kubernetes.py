"""Service, Endpoints and EndpointSlice alone: what the mesh itself relies on. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from meshd.api.document import Document, Path
from meshd.api.kubernetes import Endpoints, EndpointSlice, Service, ServicePort
from meshd.api.problem import Problem, error, warning
from meshd.control.analysis import checks

MESH_CONFIG = ("istio-system", "istio")
"""Namespace and name of the ConfigMap with MeshConfig and MeshNetworks."""

SERVICE_NAME = "kubernetes.io/service-name"
"""The label that ties an EndpointSlice to its Service."""


def validate_service(document: Document) -> Iterator[Problem]:
    """Ports, addresses, the external name."""
    service: Service = document.resource
    path: Path = ("spec",)
    if service.type == "ExternalName":
        if service.externalName:
            yield from checks.host_or_address(service.externalName, (*path, "externalName"))
        else:
            yield error(path, "ExternalName needs externalName", at_value=False)
    elif not service.ports and service.clusterIP != "None":
        yield error(path, "there are no ports", at_value=False)
    yield from _ports(service.ports, (*path, "ports"))
    yield from checks.labels(service.selector, (*path, "selector"))
    for name, addresses in (("clusterIP", (service.clusterIP,)), ("clusterIPs", service.clusterIPs)):
        for index, address in enumerate(addresses):
            if address not in ("", "None") and not checks.is_address(address):
                at: Path = (*path, name) if name == "clusterIP" else (*path, name, index)
                yield error(at, f'"{address}" is not an IP address')
    if service.internalTrafficPolicy == "Local":
        yield warning((*path, "internalTrafficPolicy"), "meshd does not support Local yet: all endpoints are used")


def _ports(ports: tuple[ServicePort, ...], path: Path) -> Iterator[Problem]:
    names: set[str] = set()
    numbers: set[tuple[int, str]] = set()
    for index, port in enumerate(ports):
        here = (*path, index)
        yield from checks.port(port.port, (*here, "port"))
        if isinstance(port.targetPort, int):
            yield from checks.port(port.targetPort, (*here, "targetPort"))
        if len(ports) > 1 and not port.name:
            yield error(here, "of several ports each needs a name", at_value=False)
        if port.name and port.name in names:
            yield error((*here, "name"), f'the port name "{port.name}" is here twice')
        if (port.port, port.protocol) in numbers:
            yield error((*here, "port"), f"port {port.port} is here twice")
        names.add(port.name)
        numbers.add((port.port, port.protocol))


def validate_config_map(document: Document) -> Iterator[Problem]:
    """Istio keeps the mesh's own settings in one of them."""
    if (document.namespace, document.name) == MESH_CONFIG:
        for name in ("mesh", "meshNetworks"):
            if name in document.resource.data:
                yield warning(("data", name), "meshd does not read the mesh's settings from here yet: no effect")


def validate_endpoints(document: Document) -> Iterator[Problem]:
    """Addresses and ports."""
    endpoints: Endpoints = document.resource
    for index, subset in enumerate(endpoints.subsets):
        here: Path = ("subsets", index)
        for name in ("addresses", "notReadyAddresses"):
            for at, address in enumerate(getattr(subset, name)):
                if not checks.is_address(address.ip):
                    yield error((*here, name, at, "ip"), f'"{address.ip}" is not an IP address')
        for at, port in enumerate(subset.ports):
            yield from checks.port(port.port, (*here, "ports", at, "port"))


def validate_endpoint_slice(document: Document) -> Iterator[Problem]:
    """Addresses, ports and the label that names the Service."""
    endpoints: EndpointSlice = document.resource
    if SERVICE_NAME not in document.labels:
        yield warning(("metadata",), f"without the label {SERVICE_NAME} it belongs to no Service")
    if endpoints.addressType not in ("IPv4", "IPv6", "FQDN"):
        yield error(("addressType",), f'"{endpoints.addressType}" is not IPv4, IPv6 or FQDN', at_value=False)
    for index, endpoint in enumerate(endpoints.endpoints):
        for at, address in enumerate(endpoint.addresses):
            here: Path = ("endpoints", index, "addresses", at)
            if endpoints.addressType == "FQDN":
                yield from checks.fqdn(address, here)
            elif not checks.is_address(address):
                yield error(here, f'"{address}" is not an IP address')
    for index, port in enumerate(endpoints.ports):
        if port.port:
            yield from checks.port(port.port, ("ports", index, "port"))
