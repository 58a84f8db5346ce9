"""ServiceEntry alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from meshd.api.document import Document, Path
from meshd.api.networking.service_entry import Location, Resolution, ServiceEntry, ServicePort
from meshd.api.problem import FIELD_NOT_SUPPORTED, FIELD_WITHOUT_EFFECT, Problem, error, warning
from meshd.control.analysis import checks, protocols, selection
from meshd.control.analysis.validate_workload import UNIX, labels_selector, workload

_BY_NAME = (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)
_NAMED_IN_REQUEST = protocols.HTTP | protocols.TLS
"""Protocols whose requests say which host they are for."""

ALLOCATE = "networking.istio.io/enable-autoallocate-ip"
"""The label by which an entry says that it wants no addresses."""

MOST_HOSTS = 256
MOST_ENDPOINTS = 4096


def validate(document: Document) -> Iterator[Problem]:
    """Istio's rules for a ServiceEntry."""
    entry: ServiceEntry = document.resource
    path: Path = ("spec",)
    yield from _hosts(entry, (*path, "hosts"))
    yield from _addresses(entry, (*path, "addresses"))
    yield from _ports(entry, (*path, "ports"), allocated=_gets_addresses(document, entry))
    yield from _resolution(entry, path)
    yield from _endpoints(entry, (*path, "endpoints"))
    yield from labels_selector(entry.workloadSelector, (*path, "workloadSelector"))
    yield from selection.export_to(entry.exportTo, (*path, "exportTo"), document.namespace, none_allowed=True)
    for index, name in enumerate(entry.subjectAltNames):
        if not name:
            yield error((*path, "subjectAltNames", index), "the name is empty")


def _hosts(entry: ServiceEntry, path: Path) -> Iterator[Problem]:
    if not entry.hosts:
        yield error(path, "there are no hosts")
    if len(entry.hosts) > MOST_HOSTS:
        yield error(path, f"more than {MOST_HOSTS} hosts", at_value=False)
    for index, host in enumerate(entry.hosts):
        here = (*path, index)
        if host == "*":
            yield error(here, '"*" is not a service: a host cannot be the full wildcard; name hosts')
            continue
        yield from checks.wildcard_host(host, here)
        if checks.is_partial_wildcard(host):
            yield warning(here, f'the partial wildcard "{host}" is not understood everywhere: write "*." and a domain')


def _addresses(entry: ServiceEntry, path: Path) -> Iterator[Problem]:
    if len(entry.addresses) > MOST_HOSTS:
        yield error(path, f"more than {MOST_HOSTS} addresses", at_value=False)
    for index, address in enumerate(entry.addresses):
        here = (*path, index)
        yield from checks.subnet(address, here)
        if "/" in address and entry.resolution not in (Resolution.NONE, Resolution.STATIC):
            yield error(
                here, f"CIDR addresses are allowed with resolution NONE and STATIC only, not with {entry.resolution}"
            )


def _gets_addresses(document: Document, entry: ServiceEntry) -> bool:
    """Whether the mesh would choose virtual addresses for its hosts, as Istio does unless told otherwise."""
    return entry.resolution is not Resolution.NONE and document.labels.get(ALLOCATE, "").lower() != "false"


def _ports(entry: ServiceEntry, path: Path, *, allocated: bool) -> Iterator[Problem]:
    if len(entry.ports) > MOST_HOSTS:
        yield error(path, f"more than {MOST_HOSTS} ports", at_value=False)
    numbers: set[int] = set()
    names: set[str] = set()
    for index, port in enumerate(entry.ports):
        here = (*path, index)
        yield from _port(port, here)
        if port.targetPort and entry.resolution is Resolution.NONE:
            yield warning((*here, "targetPort"), "with resolution NONE the client's own port is used")
        if port.number in numbers:
            yield error((*here, "number"), f"port {port.number} is here twice")
        if port.name in names:
            yield error((*here, "name"), f'the port name "{port.name}" is here twice')
        if not allocated and not entry.addresses and port.protocol in ("", "TCP"):
            yield warning(
                here,
                f"port {port.number} is TCP and the entry has no addresses, and gets none: it stands for every address",
            )
        numbers.add(port.number)
        names.add(port.name)


def _port(port: ServicePort, path: Path) -> Iterator[Problem]:
    yield from checks.port(port.number, (*path, "number"))
    if port.targetPort:
        yield from checks.port(port.targetPort, (*path, "targetPort"))
    if not checks.LABEL.fullmatch(port.name):
        yield error((*path, "name"), f'"{port.name}" is not a port\'s name')
    if port.protocol and not protocols.parse(port.protocol):
        yield error((*path, "protocol"), f'"{port.protocol}" is not a protocol: {", ".join(protocols.ALL)}')


def _resolution(entry: ServiceEntry, path: Path) -> Iterator[Problem]:
    """What each way of finding endpoints needs of the rest."""
    selects = entry.workloadSelector is not None and "" not in entry.workloadSelector.labels
    here = (*path, "workloadSelector")
    match entry.resolution:
        case Resolution.NONE if selects:
            yield warning(here, "with resolution NONE the workloadSelector is not looked at; write STATIC")
        case Resolution.STATIC if not entry.endpoints and not selects:
            yield warning(
                (*path, "resolution"),
                "resolution STATIC without endpoints or a workloadSelector: there will be no endpoints",
                code=FIELD_WITHOUT_EFFECT,
            )
        case Resolution.DYNAMIC_DNS:
            yield from _dynamic(entry, path)
        case Resolution.DNS | Resolution.DNS_ROUND_ROBIN:
            yield from _by_name(entry, path)
            if selects:
                yield warning(here, f"with resolution {entry.resolution} a workloadSelector is unusual; write STATIC")
    yield from _many_hosts(entry, path)


def _many_hosts(entry: ServiceEntry, path: Path) -> Iterator[Problem]:
    """Several hosts behind one port must be told apart by what requests say."""
    if len(entry.hosts) < 2:
        return
    known = [protocols.parse(port.protocol) for port in entry.ports]
    if entry.resolution is not Resolution.NONE:
        for index, protocol in enumerate(known):
            if protocol not in _NAMED_IN_REQUEST:
                yield error(
                    (*path, "ports", index),
                    "several hosts need HTTP or TLS ports: plain TCP does not say which host is meant; "
                    "write an entry for each host",
                    at_value=False,
                )
                break
    if entry.resolution in _BY_NAME and entry.addresses and any(each in protocols.STREAMS for each in known):
        yield warning(
            (*path, "hosts"),
            "several hosts with addresses and a TCP or TLS port: the addresses are of all hosts; "
            "write an entry for each host",
        )


def _dynamic(entry: ServiceEntry, path: Path) -> Iterator[Problem]:
    if entry.location is Location.MESH_INTERNAL:
        yield error((*path, "location"), "DYNAMIC_DNS is for MESH_EXTERNAL only")
    for name in ("endpoints", "workloadSelector"):
        if getattr(entry, name):
            yield error(
                (*path, name), f"DYNAMIC_DNS looks the requests' own hosts up: leave {name} out", at_value=False
            )
    for index, host in enumerate(entry.hosts):
        if not host.startswith("*"):
            yield error((*path, "hosts", index), "DYNAMIC_DNS is for wildcard hosts only; DNS is for names")
    for index, port in enumerate(entry.ports):
        if protocols.parse(port.protocol) not in _NAMED_IN_REQUEST:
            yield error((*path, "ports", index, "protocol"), "DYNAMIC_DNS is for HTTP and TLS only", at_value=False)
    yield warning(
        (*path, "resolution"),
        "meshd does not support DYNAMIC_DNS yet: requests go to the address that the client looked up",
        code=FIELD_NOT_SUPPORTED,
    )


def _by_name(entry: ServiceEntry, path: Path) -> Iterator[Problem]:
    if entry.resolution is Resolution.DNS_ROUND_ROBIN and len(entry.endpoints) > 1:
        yield error((*path, "endpoints"), "DNS_ROUND_ROBIN takes one endpoint at most", at_value=False)
    if entry.endpoints:
        return
    for index, host in enumerate(entry.hosts):
        if host.startswith("*"):
            yield error(
                (*path, "hosts", index), f"resolution {entry.resolution} cannot look up a wildcard; give endpoints"
            )


def _endpoints(entry: ServiceEntry, path: Path) -> Iterator[Problem]:
    if entry.workloadSelector is not None and entry.endpoints:
        yield error(path, "endpoints and workloadSelector cannot both be given: choose one", at_value=False)
    if entry.resolution is Resolution.NONE and entry.endpoints:
        yield error(path, "endpoints need resolution STATIC or DNS", at_value=False)
    if len(entry.endpoints) > MOST_ENDPOINTS:
        yield error(path, f"more than {MOST_ENDPOINTS} endpoints", at_value=False)
    by_name = entry.resolution in _BY_NAME
    names = {port.name for port in entry.ports}
    for index, endpoint in enumerate(entry.endpoints):
        here = (*path, index)
        yield from workload(endpoint, here, names_allowed=by_name)
        if endpoint.address.startswith(UNIX) and by_name:
            yield error((*here, "address"), "a Unix socket needs resolution STATIC")
        elif endpoint.address.startswith(UNIX) and len(entry.ports) != 1:
            yield error((*here, "address"), "a Unix socket needs exactly one port in the entry")
        elif by_name and not endpoint.address:
            yield error(here, f"resolution {entry.resolution} needs an address to look up", at_value=False)
        for name in endpoint.ports:
            if name not in names:
                yield error((*here, "ports", name), f'the entry has no port "{name}"', at_value=False)
