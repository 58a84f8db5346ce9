"""ServiceEntry and WorkloadEntry alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from meshd.api.document import Document, Path
from meshd.api.networking.service_entry import Location, Resolution, ServiceEntry
from meshd.api.networking.workload_entry import WorkloadEntry
from meshd.api.problem import Problem, error, warning
from meshd.control.analysis import checks

PROTOCOLS = frozenset(
    {"HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "TCP", "TLS", "REDIS", "MYSQL", "UDP", "HBONE"}
)
_NAMED_IN_REQUEST = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS", "TLS"})
"""Protocols whose requests say which host they are for."""

UNIX = "unix://"


def validate(document: Document) -> Iterator[Problem]:
    """Istio's rules for a ServiceEntry."""
    entry: ServiceEntry = document.resource
    path: Path = ("spec",)
    if not entry.hosts:
        yield error(path, "there are no hosts", at_value=False)
    for index, host in enumerate(entry.hosts):
        here = (*path, "hosts", index)
        if host == "*":
            yield error(here, '"*" is not a service: name hosts')
        else:
            yield from checks.wildcard_host(host, here, partial=True)
    yield from _addresses(entry, (*path, "addresses"))
    yield from _ports(entry, path)
    yield from _endpoints(entry, path)
    if entry.workloadSelector is not None:
        yield from checks.selector(entry.workloadSelector.labels, (*path, "workloadSelector", "labels"))
    yield from checks.export_to(entry.exportTo, (*path, "exportTo"), document.namespace, none_allowed=True)
    for index, name in enumerate(entry.subjectAltNames):
        if not name:
            yield error((*path, "subjectAltNames", index), "the name is empty")


def _addresses(entry: ServiceEntry, path: Path) -> Iterator[Problem]:
    for index, address in enumerate(entry.addresses):
        here = (*path, index)
        yield from checks.subnet(address, here)
        if "/" in address and entry.resolution not in (Resolution.NONE, Resolution.STATIC):
            yield error(here, f"a block of addresses cannot stand with resolution {entry.resolution}")


def _ports(entry: ServiceEntry, path: Path) -> Iterator[Problem]:
    numbers: set[int] = set()
    names: set[str] = set()
    for index, port in enumerate(entry.ports):
        here = (*path, "ports", index)
        yield from checks.port(port.number, (*here, "number"))
        if port.targetPort:
            yield from checks.port(port.targetPort, (*here, "targetPort"))
            if entry.resolution is Resolution.NONE and not entry.endpoints:
                yield warning((*here, "targetPort"), "with resolution NONE the client's own port is used")
        if port.number in numbers:
            yield error((*here, "number"), f"port {port.number} is here twice")
        if port.name in names:
            yield error((*here, "name"), f'the port name "{port.name}" is here twice')
        if not checks.LABEL.fullmatch(port.name):
            yield error((*here, "name"), f'"{port.name}" is not a port\'s name')
        if port.protocol and port.protocol.upper() not in PROTOCOLS:
            yield error((*here, "protocol"), f'"{port.protocol}" is not a protocol: {", ".join(sorted(PROTOCOLS))}')
        if not entry.addresses and port.protocol.upper() in ("", "TCP"):
            yield warning(
                here,
                f"port {port.number} is TCP and the entry has no addresses: it stands for every address",
                code="IST0134",
            )
        numbers.add(port.number)
        names.add(port.name)


def _endpoints(entry: ServiceEntry, path: Path) -> Iterator[Problem]:
    here = (*path, "endpoints")
    if entry.workloadSelector is not None and entry.endpoints:
        yield error(here, "endpoints and workloadSelector cannot both be given: choose one", at_value=False)
    match entry.resolution:
        case Resolution.NONE:
            if entry.endpoints:
                yield error(here, "endpoints need resolution STATIC or DNS", at_value=False)
        case Resolution.STATIC:
            if not entry.endpoints and entry.workloadSelector is None:
                yield error(path, "resolution STATIC needs endpoints or a workloadSelector", at_value=False)
        case Resolution.DYNAMIC_DNS:
            yield warning((*path, "resolution"), "meshd does not support DYNAMIC_DNS yet: there will be no endpoints")
            yield from _dynamic(entry, path)
        case Resolution.DNS | Resolution.DNS_ROUND_ROBIN:
            yield from _by_name(entry, path)
    names = {port.name for port in entry.ports}
    for index, endpoint in enumerate(entry.endpoints):
        at = (*here, index)
        named = entry.resolution in (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)
        yield from workload(endpoint, at, names_allowed=named)
        if endpoint.address.startswith(UNIX) and len(entry.ports) != 1:
            yield error((*at, "address"), "a Unix socket needs exactly one port in the entry")
        for name in endpoint.ports:
            if name not in names:
                yield error((*at, "ports", name), f'the entry has no port "{name}"', at_value=False)


def _dynamic(entry: ServiceEntry, path: Path) -> Iterator[Problem]:
    if entry.location is Location.MESH_INTERNAL:
        yield error((*path, "location"), "DYNAMIC_DNS is for MESH_EXTERNAL only")
    for index, host in enumerate(entry.hosts):
        if not host.startswith("*"):
            yield error((*path, "hosts", index), "DYNAMIC_DNS is for wildcard hosts only; DNS is for names")
    for index, port in enumerate(entry.ports):
        if port.protocol.upper() not in _NAMED_IN_REQUEST:
            yield error((*path, "ports", index, "protocol"), "DYNAMIC_DNS is for HTTP and TLS only", at_value=False)


def _by_name(entry: ServiceEntry, path: Path) -> Iterator[Problem]:
    if entry.resolution is Resolution.DNS_ROUND_ROBIN and len(entry.endpoints) > 1:
        yield error((*path, "endpoints"), "DNS_ROUND_ROBIN takes one endpoint at most", at_value=False)
    if entry.endpoints or entry.workloadSelector is not None:
        return
    for index, host in enumerate(entry.hosts):
        if host.startswith("*"):
            yield error(
                (*path, "hosts", index), f"resolution {entry.resolution} cannot look up a wildcard; give endpoints"
            )


def workload(entry: WorkloadEntry, path: Path, *, names_allowed: bool = True) -> Iterator[Problem]:
    """An endpoint, on its own or in a ServiceEntry."""
    address = (*path, "address")
    if entry.address.startswith(UNIX):
        if not entry.address.removeprefix(UNIX).startswith(("/", "@")):
            yield error(address, f'"{entry.address}" is not an absolute socket path')
        if entry.ports:
            yield error((*path, "ports"), "a Unix socket has no ports", at_value=False)
    elif not entry.address:
        if not entry.network:
            yield error(path, "an address is needed", at_value=False)
    elif not checks.is_address(entry.address):
        if names_allowed:
            yield from checks.fqdn(entry.address, address)
        else:
            yield error(address, f'"{entry.address}" is not an IP address; a name needs resolution DNS')
    for name, number in entry.ports.items():
        here = (*path, "ports", name)
        yield from checks.port(number, here)
        if not checks.LABEL.fullmatch(name):
            yield error(here, f'"{name}" is not a port\'s name', at_value=False)
    yield from checks.labels(entry.labels, (*path, "labels"))
    yield from checks.not_negative(entry.weight, (*path, "weight"))


def validate_workload(document: Document) -> Iterator[Problem]:
    """Istio's rules for a WorkloadEntry."""
    yield from workload(document.resource, ("spec",))
