"""Service, Endpoints and EndpointSlice alone: what the mesh itself relies on. Pure.

What Kubernetes would refuse and Istio copes with is a warning: whoever reads a
cluster's own objects never meets it, and who writes files learns of it here.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshd.api.document import Document, Path
from meshd.api.kubernetes import Endpoints, EndpointSlice, Service, ServicePort
from meshd.api.problem import FIELD_NOT_SUPPORTED, FIELD_WITHOUT_EFFECT, Problem, error, warning
from meshd.control.analysis import checks

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
        yield _refused_by_kubernetes(path, "there are no ports: it serves nothing")
    yield from _ports(service.ports, (*path, "ports"))
    yield from checks.labels(service.selector, (*path, "selector"))
    for name, addresses in (("clusterIP", (service.clusterIP,)), ("clusterIPs", service.clusterIPs)):
        for index, address in enumerate(addresses):
            if address not in ("", "None") and not checks.is_address(address):
                at: Path = (*path, name) if name == "clusterIP" else (*path, name, index)
                yield error(at, f'"{address}" is not an IP address')
    if service.internalTrafficPolicy == "Local":
        why = "meshd does not support Local yet: all endpoints are used"
        yield warning((*path, "internalTrafficPolicy"), why, code=FIELD_NOT_SUPPORTED)


def _refused_by_kubernetes(path: Path, message: str) -> Problem:
    return warning(path, f"{message}; Kubernetes refuses it", code=FIELD_WITHOUT_EFFECT)


def _ports(ports: tuple[ServicePort, ...], path: Path) -> Iterator[Problem]:
    names: set[str] = set()
    numbers: set[tuple[int, str]] = set()
    for index, port in enumerate(ports):
        here = (*path, index)
        yield from checks.port(port.port, (*here, "port"))
        if isinstance(port.targetPort, int):
            yield from checks.port(port.targetPort, (*here, "targetPort"))
        if len(ports) > 1 and not port.name:
            yield _refused_by_kubernetes(here, "of several ports each needs a name")
        if port.name and port.name in names:
            yield _refused_by_kubernetes((*here, "name"), f'the port name "{port.name}" is here twice')
        if (port.port, port.protocol) in numbers:
            yield error((*here, "port"), f"port {port.port} is here twice")
        names.add(port.name)
        numbers.add((port.port, port.protocol))


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
        why = f"without the label {SERVICE_NAME} it belongs to no Service"
        yield warning(("metadata",), why, code=FIELD_WITHOUT_EFFECT)
    if not endpoints.addressType:
        yield _refused_by_kubernetes((), "the addressType is missing: IPv4 for one")
    elif endpoints.addressType not in ("IPv4", "IPv6", "FQDN"):
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
