"""A sidecar's outbound side: every service it sees, by port and host. Pure.

Source: Istio's ``pilot/pkg/networking/core/{httproute,listener,listener_builder}.go``.

One listener is bound, ``virtualOutbound``; the others exist for connections
that were captured on their way to a service. HTTP services share a route table
for each port; others have a chain by address or by server name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from meshd.control.compiler import names, retries
from meshd.control.compiler.inbound import PLAIN_HTTP, TLS
from meshd.control.compiler.opaque import tcp_route, tls_routes
from meshd.control.compiler.world import World
from meshd.control.hosts import domains, is_ip, is_wildcard
from meshd.control.rules import Bound, HostIndex, virtual_services
from meshd.control.services import Port, Protocol, Service, precedence
from meshd.snapshot.cluster import Cluster, Discovery, EndpointGroup
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, FilterChainMatch, HttpManager, Listener, TcpProxy
from meshd.snapshot.match import HTTP_PROXY_TABLE
from meshd.snapshot.route import Forward, Route, RouteMatch, RouteTable, VirtualHost, WeightedCluster

LEGACY_PORT: Final = 80
"""Where a VirtualService for a host that is no service has its routes (Istio)."""


@attrs.frozen
class Outbound:
    """The outbound half of a snapshot."""

    listeners: tuple[Listener, ...]
    tables: tuple[RouteTable, ...]
    clusters: tuple[Cluster, ...]
    endpoints: tuple[EndpointGroup, ...]


def compile_outbound(world: World) -> Outbound:
    """Everything outbound."""
    bound = virtual_services(world.mesh, world.scope.namespace)
    # The oldest VirtualService of a host wins, the others are not merged into it (Istio).
    index = HostIndex((host, each) for each in bound for host in each.hosts)
    services = sorted(world.services.values(), key=precedence)
    return Outbound(
        listeners=_listeners(world, services, index),
        tables=(*_tables(world, services, bound, index), RouteTable(HTTP_PROXY_TABLE, (allow_any(),))),
        clusters=tuple(cluster for service in services for cluster in world.clusters(service)),
        endpoints=tuple(group for service in services for group in world.endpoints(service)),
    )


def special_clusters() -> tuple[Cluster, ...]:
    """Where everything else goes."""
    return (
        Cluster(names.BLACK_HOLE),
        Cluster(names.PASSTHROUGH, discovery=Discovery.ORIGINAL_DESTINATION),
    )


def _rule(index: HostIndex[Bound], host: str) -> Bound | None:
    return next((rules[0] for rules in index.candidates(host)), None)


def readable(port: Port) -> bool:
    """HTTP, or what may turn out to be."""
    return port.protocol.http or port.protocol is Protocol.AUTO


# --- route tables ---


def _tables(
    world: World, services: list[Service], bound: tuple[Bound, ...], index: HostIndex[Bound]
) -> Iterator[RouteTable]:
    tables: dict[int, list[VirtualHost]] = {}
    for service in services:
        for port in service.ports:
            if readable(port):
                host = _service_host(world, service, port, _rule(index, service.host))
                tables.setdefault(port.number, []).append(host)
    unknown = list(_hosts_without_service(world, bound, index))
    if unknown:
        tables.setdefault(LEGACY_PORT, []).extend(unknown)
    for number, hosts in tables.items():
        listed = [*distinct(hosts), world.memo.call(allow_any)]
        yield RouteTable(str(number), tuple(sorted(listed, key=lambda host: host.name)))


def _service_host(world: World, service: Service, port: Port, bound: Bound | None) -> VirtualHost:
    routes = () if bound is None else world.routes(bound.rule, port.number)
    return world.memo.call(service_host, service, port.number, world.scope.namespace, routes, world.mesh.domain)


def service_host(service: Service, port: int, viewer: str, routes: tuple[Route, ...], domain: str) -> VirtualHost:
    """The virtual host of a service's port; without routes of its own, everything goes to the service."""
    return VirtualHost(
        name=names.virtual_host(service.host, port),
        domains=domains(service.host, viewer, service.addresses, domain),
        routes=routes or (_default_route(names.outbound_cluster(port, "", service.host)),),
        service=service.host,
    )


def _default_route(cluster: str) -> Route:
    forward = Forward((WeightedCluster(cluster),), retry=retries.OUTBOUND_DEFAULT)
    return Route(names.DEFAULT_ROUTE, RouteMatch(), forward)


def _hosts_without_service(world: World, bound: tuple[Bound, ...], index: HostIndex[Bound]) -> Iterator[VirtualHost]:
    for each in bound:
        for host in each.hosts:
            first = _rule(index, host)
            if host in world.services or first is not each or (is_wildcard(host) and _covers_services(world, host)):
                continue
            routes = world.routes(each.rule, LEGACY_PORT)
            if routes:
                named = domains(host, world.scope.namespace, (), world.mesh.domain)
                yield VirtualHost(names.virtual_host(host, LEGACY_PORT), named, routes)


def _covers_services(world: World, host: str) -> bool:
    return any(service.endswith(host[1:]) for service in world.services)


def distinct(hosts: list[VirtualHost]) -> Iterator[VirtualHost]:
    """Each domain is the first host's that has it; a host that has none left is left out."""
    taken: set[str] = set()
    named: set[str] = set()
    for host in hosts:
        free = tuple(domain for domain in host.domains if domain not in taken)
        taken.update(free)
        if not free or host.name in named:
            continue
        named.add(host.name)
        yield host if len(free) == len(host.domains) else attrs.evolve(host, domains=free)


def allow_any() -> VirtualHost:
    """Hosts that nobody declared are passed through to where they were going."""
    forward = Forward((WeightedCluster(names.PASSTHROUGH),))
    return VirtualHost(names.ALLOW_ANY, ("*",), (Route(names.ALLOW_ANY, RouteMatch(), forward),))


# --- listeners ---


def _listeners(world: World, services: list[Service], index: HostIndex[Bound]) -> tuple[Listener, ...]:
    found: dict[tuple[str, int], list[FilterChain]] = {}
    http: dict[int, set[Protocol]] = {}
    for service in services:
        for port in service.ports:
            if readable(port):
                http.setdefault(port.number, set()).add(port.protocol)
            if not port.protocol.http:
                for address, chain in _opaque_chains(world, service, port, _rule(index, service.host)):
                    found.setdefault((address, port.number), []).append(chain)
    for number, protocols in http.items():
        known = found.setdefault(("", number), [])
        found["", number] = _with_http(number, protocols, known)
    listeners = [
        Listener(
            name=names.listener(address, number),
            port=number,
            direction=Direction.OUTBOUND,
            chains=_one_of_each(chains),
            host=address,
            bound=False,
        )
        for (address, number), chains in found.items()
        if chains
    ]
    return (*listeners, _virtual_outbound())


def _with_http(number: int, protocols: set[Protocol], others: list[FilterChain]) -> list[FilterChain]:
    """A port's HTTP chain before its other ones; a connection is sniffed only where it can be either."""
    label = names.listener("", number)
    manager = HttpManager(route_table=str(number))
    if not others and Protocol.AUTO not in protocols:
        return [FilterChain(label, http=manager)]
    chains = [FilterChain(f"{label}-http", FilterChainMatch(application_protocols=PLAIN_HTTP), http=manager), *others]
    if not any(chain.match == FilterChainMatch() for chain in others):
        chains.append(FilterChain(f"{label}-tcp", tcp=TcpProxy(((names.PASSTHROUGH, 1),))))
    return chains


def _one_of_each(chains: list[FilterChain]) -> tuple[FilterChain, ...]:
    """The first chain of each match: who was there first keeps the port or the server name."""
    found: dict[FilterChainMatch, FilterChain] = {}
    for chain in chains:
        found.setdefault(chain.match, chain)
    return tuple(found.values())


def _opaque_chains(
    world: World, service: Service, port: Port, bound: Bound | None
) -> Iterator[tuple[str, FilterChain]]:
    """For each address of a service, how its connections on one port go on."""
    addresses = tuple(address for address in service.addresses if is_ip(address)) or ("",)
    label = names.outbound_cluster(port.number, "", service.host)
    chains: list[FilterChain] = []
    proxy = TcpProxy(((label, 1),))
    if bound is not None:
        place, destinations = world.place(bound.rule, port.number), world.destinations(bound.rule)
        proxy = tcp_route(bound.rule, place, destinations) or proxy
        if port.protocol.tls or port.protocol is Protocol.AUTO:
            for number, route in enumerate(tls_routes(bound.rule, place, destinations)):
                match = FilterChainMatch(server_names=route.server_names, transport_protocol=TLS)
                chains.append(FilterChain(f"{label}-tls-{number}", match, tcp=route.proxy))
    for address in addresses:
        if port.protocol.tls and not address:
            if not chains:
                match = FilterChainMatch(server_names=(service.host,), transport_protocol=TLS)
                yield address, FilterChain(label, match, tcp=proxy)
        elif port.protocol is not Protocol.AUTO:
            yield address, FilterChain(label, tcp=proxy)
        elif address:
            http = FilterChainMatch(application_protocols=PLAIN_HTTP)
            yield address, FilterChain(f"{label}-http", http, http=HttpManager(route_table=str(port.number)))
            yield address, FilterChain(label, tcp=proxy)
        for chain in chains:
            yield address, chain


def _virtual_outbound() -> Listener:
    """The one that is bound: an explicit HTTP proxy, and whatever was captured and is for no service."""
    http = FilterChain(
        f"{names.VIRTUAL_OUTBOUND}-http",
        FilterChainMatch(application_protocols=PLAIN_HTTP),
        http=HttpManager(route_table=HTTP_PROXY_TABLE, route_by_port=True),
    )
    rest = FilterChain(f"{names.VIRTUAL_OUTBOUND}-catchall-tcp", tcp=TcpProxy(((names.PASSTHROUGH, 1),)))
    return Listener(names.VIRTUAL_OUTBOUND, names.OUTBOUND_PORT, Direction.OUTBOUND, (http, rest))
