"""VirtualService alone: hosts, gateways, TLS and TCP routes. Pure.

HTTP routes are in ``validate_http_route``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshd.api.document import Document, Path
from meshd.api.networking.virtual_service import (
    HTTPRoute,
    L4MatchAttributes,
    RouteDestination,
    TLSMatchAttributes,
    VirtualService,
)
from meshd.api.problem import Problem, error, warning
from meshd.control import hosts
from meshd.control.analysis import checks, selection
from meshd.control.analysis.validate_destination import destinations
from meshd.control.analysis.validate_http_match import gateway_names, is_claim
from meshd.control.analysis.validate_http_route import http_route

MESH = "mesh"


def validate(document: Document) -> Iterator[Problem]:
    """Istio's rules for a VirtualService."""
    service: VirtualService = document.resource
    path: Path = ("spec",)
    if service.hosts:
        yield from _hosts(service, (*path, "hosts"))
    else:
        yield from _delegate(service, path)
    yield from gateway_names(service.gateways, (*path, "gateways"))
    if not (service.http or service.tls or service.tcp):
        yield error(path, "there are no routes: http, tls or tcp is needed", at_value=False)
    for index, route in enumerate(service.http):
        here = (*path, "http", index)
        yield from http_route(route, here, delegated=not service.hosts)
        yield from destinations(route.route, (*here, "route"))
        if _in_mesh(service):
            yield from _claims(route, here)
    for index, tls in enumerate(service.tls):
        here = (*path, "tls", index)
        if not tls.match:
            yield error(here, "a tls route needs a match with sniHosts", at_value=False)
        for at, attributes in enumerate(tls.match):
            yield from _tls_match(attributes, service, (*here, "match", at))
        yield from _opaque(tls.route, here)
    for index, tcp in enumerate(service.tcp):
        here = (*path, "tcp", index)
        for at, match in enumerate(tcp.match):
            yield from _l4_match(match, (*here, "match", at))
        yield from _opaque(tcp.route, here)
    yield from selection.export_to(service.exportTo, (*path, "exportTo"), document.namespace)


def _in_mesh(service: VirtualService) -> bool:
    """Whether sidecars read it too."""
    return not service.gateways or MESH in service.gateways


def _delegate(service: VirtualService, path: Path) -> Iterator[Problem]:
    """Without hosts it is for others to delegate to, and then it has HTTP routes only."""
    for name in ("gateways", "tls", "tcp"):
        if getattr(service, name):
            yield error(
                (*path, name),
                f"there are no hosts, so it is one that others delegate to, and such a one has no {name}: name hosts",
                at_value=False,
            )


def _hosts(service: VirtualService, path: Path) -> Iterator[Problem]:
    in_mesh = _in_mesh(service)
    sni = not in_mesh and any(match.sniHosts for route in service.tls for match in route.match)
    for index, host in enumerate(service.hosts):
        here = (*path, index)
        if checks.is_address(host):
            pass
        elif sni:
            yield from checks.sni_host(host, here)
        else:
            yield from checks.wildcard_host(host, here)
        if in_mesh and host == "*":
            yield error(here, 'the host "*" is not allowed in the mesh: bind it to a gateway, or name hosts')
        for other in service.hosts[:index]:
            if hosts.overlaps(host, other):
                yield error(here, f'"{host}" and "{other}" overlap: which one a request is for would not be clear')
                break


def _claims(route: HTTPRoute, path: Path) -> Iterator[Problem]:
    """Only gateways know the claims of a token."""
    for index, match in enumerate(route.match):
        for field in ("headers", "withoutHeaders"):
            for name in getattr(match, field):
                if is_claim(name):
                    yield error(
                        (*path, "match", index, field, name),
                        "claims can be matched at gateways only: set gateways, without mesh",
                        at_value=False,
                    )


def _opaque(routes: Sequence[RouteDestination], path: Path) -> Iterator[Problem]:
    if not routes:
        yield error(path, "there is no destination: route is needed", at_value=False)
    yield from destinations(routes, (*path, "route"))


def _tls_match(match: TLSMatchAttributes, service: VirtualService, path: Path) -> Iterator[Problem]:
    if not match.sniHosts:
        yield error((*path, "sniHosts"), "there are no sniHosts")
    for index, sni in enumerate(match.sniHosts):
        here = (*path, "sniHosts", index)
        if checks.is_address(sni):
            yield warning(here, f"{sni} is an IP address: TLS clients do not send one as SNI", at_value=True)
            continue
        yield from checks.wildcard_host(sni, here) if _in_mesh(service) else checks.sni_host(sni, here)
        if service.hosts and not any(hosts.covers(host, sni) for host in service.hosts):
            own = ", ".join(service.hosts)
            yield error(here, f'the SNI host "{sni}" is not one of the hosts of this VirtualService ({own})')
    yield from _l4_match(match, path)


def _l4_match(match: L4MatchAttributes | TLSMatchAttributes, path: Path) -> Iterator[Problem]:
    for index, block in enumerate(match.destinationSubnets):
        yield from checks.subnet(block, (*path, "destinationSubnets", index))
    if match.port:
        yield from checks.port(match.port, (*path, "port"))
    yield from checks.labels(match.sourceLabels, (*path, "sourceLabels"))
    yield from gateway_names(match.gateways, (*path, "gateways"))
    if match.sourceNamespace:
        yield from checks.namespace(match.sourceNamespace, (*path, "sourceNamespace"))
