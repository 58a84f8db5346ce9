"""Where VirtualServices send requests: hosts, ports and subsets that must be there. Pure.

Source: Istio's ``analyzers/virtualservice/{destinationhosts,destinationrules}.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from meshd.api.document import Document, Path
from meshd.api.networking.virtual_service import Destination, TCPRoute, TLSRoute, VirtualService
from meshd.api.problem import Problem, error, warning
from meshd.control import hosts
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.host_facts import HostFacts
from meshd.control.finding import Finding

NOT_FOUND = "IST0101"
PORT_REQUIRED = "IST0112"
NO_SUCH_PORT = "MD0009"


def destinations(service: VirtualService) -> Iterator[tuple[Path, Destination]]:
    """Every destination of every route, with its place."""
    for index, route in enumerate(service.http):
        here: Path = ("spec", "http", index)
        for at, each in enumerate(route.route):
            yield (*here, "route", at, "destination"), each.destination
        if route.mirror is not None:
            yield (*here, "mirror"), route.mirror
        for at, mirror in enumerate(route.mirrors):
            yield (*here, "mirrors", at, "destination"), mirror.destination
    opaque_routes: tuple[tuple[str, Sequence[TLSRoute | TCPRoute]], ...] = (("tls", service.tls), ("tcp", service.tcp))
    for kind, routes in opaque_routes:
        for index, opaque in enumerate(routes):
            for at, weighted in enumerate(opaque.route):
                yield ("spec", kind, index, "route", at, "destination"), weighted.destination


def destination_hosts(facts: Facts) -> Iterable[Finding]:
    """Hosts that do not exist, and hosts with several ports of which none is named."""
    for document in facts.all(VirtualService):
        for path, destination in destinations(document.resource):
            yield from told(document, _host(facts.hosts, document, destination, path))


def destination_subsets(facts: Facts) -> Iterable[Finding]:
    """Subsets that no DestinationRule defines."""
    for document in facts.all(VirtualService):
        for path, destination in destinations(document.resource):
            if destination.subset:
                yield from told(document, _subset(facts.hosts, document, destination, path))


def destination_ports(facts: Facts) -> Iterable[Finding]:
    """Ports that a service does not have."""
    for document in facts.all(VirtualService):
        for path, destination in destinations(document.resource):
            if destination.port is not None:
                yield from told(document, _port(facts.hosts, document, destination, path))


def _host(known: HostFacts, document: Document, target: Destination, path: Path) -> Iterator[Problem]:
    host = known.resolve(target.host, document.namespace)
    if not hosts.is_ip(host) and not known.exists(host):
        remedy = _full_name(known, target.host, host)
        yield error((*path, "host"), f'Referenced host not found: "{target.host}"{remedy}', code=NOT_FOUND)
        return
    if target.port is not None:
        return
    found = known.services(host)
    ports = sorted({port.number for service in found for port in service.ports})
    if len(ports) > 1 and any(known.is_written(service) for service in found):
        listed = ", ".join(str(number) for number in ports)
        yield error((*path, "host"), f"{target.host} has several ports ({listed}): say which one", code=PORT_REQUIRED)


def _full_name(known: HostFacts, written: str, host: str) -> str:
    """What a short name was taken to mean, and which host may have been meant."""
    name = written.partition(".")[0]
    meant = known.named.get(name)
    if meant is not None:
        return f'; did you mean "{meant}"?'
    return f" (that is {host})" if host != written else ""


def _subset(known: HostFacts, document: Document, target: Destination, path: Path) -> Iterator[Problem]:
    host = known.resolve(target.host, document.namespace)
    if not hosts.is_ip(host) and not known.exists(host) and not known.has_rule(host):
        return  # The host is what is missing.
    if not known.has_subset(host, target.subset):
        yield error(
            (*path, "subset"),
            f'Referenced host+subset in destinationrule not found: "{target.host}+{target.subset}"',
            code=NOT_FOUND,
        )


def _port(known: HostFacts, document: Document, target: Destination, path: Path) -> Iterator[Problem]:
    assert target.port is not None
    host = known.resolve(target.host, document.namespace)
    ports = sorted({port.number for service in known.services(host) for port in service.ports})
    if ports and target.port.number not in ports:
        listed = ", ".join(str(number) for number in ports)
        yield warning(
            (*path, "port", "number"),
            f"{host} has no port {target.port.number}; it has {listed}",
            at_value=True,
            code=NO_SUCH_PORT,
        )
