"""VirtualService alone: hosts, gateways, TLS and TCP routes. Pure.

HTTP routes are in ``validate_http_route``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshd.api.document import Document, Path
from meshd.api.networking.virtual_service import (
    Destination,
    HTTPRoute,
    HTTPRouteDestination,
    L4MatchAttributes,
    RouteDestination,
    TLSMatchAttributes,
    VirtualService,
)
from meshd.api.problem import Problem, error, warning
from meshd.control import hosts
from meshd.control.analysis import checks
from meshd.control.analysis.validate_http_route import CLAIM_PREFIX, http_route

MESH = "mesh"


def validate(document: Document) -> Iterator[Problem]:
    """Istio's rules for a VirtualService."""
    service: VirtualService = document.resource
    path: Path = ("spec",)
    yield from _hosts(service, (*path, "hosts"))
    yield from _gateways(service.gateways, (*path, "gateways"))
    if not (service.http or service.tls or service.tcp):
        yield error(path, "there are no routes: http, tls or tcp is needed", at_value=False)
    for index, route in enumerate(service.http):
        here = (*path, "http", index)
        yield from http_route(route, here)
        yield from destinations(route.route, (*here, "route"))
        yield from _claims(service, route, here)
    for index, tls in enumerate(service.tls):
        here = (*path, "tls", index)
        if not tls.match:
            yield error(here, "a tls route needs a match with sniHosts", at_value=False)
        for at, attributes in enumerate(tls.match):
            yield from _tls_match(attributes, service.hosts, (*here, "match", at))
        yield from _opaque(tls.route, here)
    for index, tcp in enumerate(service.tcp):
        here = (*path, "tcp", index)
        for at, match in enumerate(tcp.match):
            yield from _l4_match(match, (*here, "match", at))
        yield from _opaque(tcp.route, here)
    yield from checks.export_to(service.exportTo, (*path, "exportTo"), document.namespace)


def _hosts(service: VirtualService, path: Path) -> Iterator[Problem]:
    in_mesh = not service.gateways or MESH in service.gateways
    if not service.hosts:
        if service.gateways:
            yield error(path, "there are no hosts; a VirtualService that others delegate to has no gateways either")
        elif service.tls or service.tcp:
            yield error(path, "there are no hosts")
        else:
            yield warning(path, "there are no hosts, and meshd does not support delegates yet: it has no effect")
        return
    for index, host in enumerate(service.hosts):
        here = (*path, index)
        yield from checks.host_or_address(host, here)
        if in_mesh and host == "*":
            yield error(here, 'the host "*" is not allowed in the mesh: bind it to a gateway, or name hosts')
        for other in service.hosts[:index]:
            if hosts.overlaps(host, other):
                yield error(here, f'"{host}" and "{other}" overlap: which one a request is for would not be clear')
                break


def _gateways(names: Sequence[str], path: Path) -> Iterator[Problem]:
    for index, name in enumerate(names):
        here = (*path, index)
        space, slash, plain = name.rpartition("/")
        if slash:
            if not space or not plain:
                yield error(here, f'"{name}" is not a gateway: write it as namespace/name')
                continue
            yield from checks.namespace(space, here)
        yield from checks.fqdn(plain, here)


def _claims(service: VirtualService, route: HTTPRoute, path: Path) -> Iterator[Problem]:
    """Only gateways know the claims of a token."""
    for index, match in enumerate(route.match):
        gateways = match.gateways or service.gateways or (MESH,)
        for field in ("headers", "withoutHeaders"):
            for name in getattr(match, field):
                if name.startswith(CLAIM_PREFIX) and MESH in gateways:
                    here = (*path, "match", index, field, name)
                    yield error(
                        here, "claims can be matched at gateways only: set gateways, without mesh", at_value=False
                    )


def destinations(routes: Sequence[HTTPRouteDestination | RouteDestination], path: Path) -> Iterator[Problem]:
    """The destinations of a route and their weights."""
    for index, route in enumerate(routes):
        here = (*path, index)
        yield from destination(route.destination, (*here, "destination"))
        yield from checks.not_negative(route.weight, (*here, "weight"))
    if len(routes) > 1 and sum(route.weight for route in routes) == 0:
        yield error(path, "all the weights together are 0: nothing would get a request", at_value=False)


def destination(target: Destination, path: Path) -> Iterator[Problem]:
    """Host, subset and port."""
    if target.host == "*":
        yield error((*path, "host"), '"*" is not a destination: name a service')
    elif target.host.startswith("*"):
        yield from checks.wildcard_host(target.host, (*path, "host"))
    elif not checks.is_address(target.host):
        yield from checks.fqdn(target.host, (*path, "host"))
    if target.subset and not checks.LABEL.fullmatch(target.subset):
        yield error((*path, "subset"), f'"{target.subset}" is not a subset\'s name')
    if target.port is not None:
        yield from checks.port(target.port.number, (*path, "port", "number"))


def _opaque(routes: Sequence[RouteDestination], path: Path) -> Iterator[Problem]:
    if not routes:
        yield error(path, "there is no destination: route is needed", at_value=False)
    yield from destinations(routes, (*path, "route"))


def _tls_match(match: TLSMatchAttributes, own: Sequence[str], path: Path) -> Iterator[Problem]:
    if not match.sniHosts:
        yield error((*path, "sniHosts"), "there are no sniHosts")
    for index, sni in enumerate(match.sniHosts):
        here = (*path, "sniHosts", index)
        yield from checks.wildcard_host(sni, here)
        if own and not any(hosts.covers(host, sni) for host in own):
            yield error(here, f'"{sni}" is not one of the hosts of this VirtualService ({", ".join(own)})')
    yield from _l4_match(match, path)


def _l4_match(match: L4MatchAttributes | TLSMatchAttributes, path: Path) -> Iterator[Problem]:
    for index, block in enumerate(match.destinationSubnets):
        yield from checks.subnet(block, (*path, "destinationSubnets", index))
    if match.port:
        yield from checks.port(match.port, (*path, "port"))
    yield from checks.labels(match.sourceLabels, (*path, "sourceLabels"))
    yield from _gateways(match.gateways, (*path, "gateways"))
