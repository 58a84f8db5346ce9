"""A gateway's connections whose requests are not read: TLS by server name, and TCP. Pure.

Source: Istio's ``pilot/pkg/networking/core/gateway.go``
(``buildGatewayNetworkFiltersFromTLSRoutes``, ``builtAutoPassthroughFilterChains``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from meshd.api.networking.gateway import ServerTLSmode
from meshd.control.compiler import names
from meshd.control.compiler.gateway_servers import Placed
from meshd.control.compiler.inbound_chains import MESH_ALPN
from meshd.control.compiler.opaque import tcp_route, tls_routes
from meshd.control.compiler.world import World
from meshd.control.hosts import covers
from meshd.control.rules import Bound
from meshd.control.services import Service
from meshd.snapshot.cluster import Cluster, EndpointGroup
from meshd.snapshot.listener import DownstreamTls, FilterChain, FilterChainMatch, TcpProxy
from meshd.snapshot.policy import Authorization

OUTBOUND = "outbound|"


def auto_passthrough(placed: Placed) -> bool:
    """Whether a server sends connections on by the server name that mesh mTLS has, without any VirtualService."""
    return placed.server.tls is not None and placed.server.tls.mode is ServerTLSmode.AUTO_PASSTHROUGH


def bytes_chain(
    world: World, placed: Placed, rules: Iterable[Bound], guard: Authorization | None, tls: DownstreamTls | None
) -> Iterator[FilterChain]:
    """The chain of a TCP server, or of one that terminates TLS around bytes; none without a tcp rule for it."""
    for bound in rules:
        if not placed.meets(bound):
            continue
        rule = bound.rule
        place = world.place(rule, placed.server.port.number, placed.name)
        proxy = tcp_route(rule, place, world.destinations(rule))
        if proxy is not None:
            match = FilterChainMatch(server_names=placed.server_names) if tls is not None else FilterChainMatch()
            yield FilterChain(placed.table, match, tls=tls, filters=_filters(guard), tcp=proxy)
            return


def passed_chains(
    world: World, placed: Placed, rules: Iterable[Bound], guard: Authorization | None, taken: set[str]
) -> Iterator[FilterChain]:
    """TLS that is not terminated goes where the tls rules send its server name.

    ``taken`` are the server names of this address that have a chain already; a
    match with one of them is left out whole.
    """
    for bound in rules:
        if not placed.meets(bound):
            continue
        rule = bound.rule
        place = world.place(rule, placed.server.port.number, placed.name)
        for number, route in enumerate(tls_routes(rule, place, world.destinations(rule))):
            wanted = tuple(sorted({name.lower() for name in route.server_names}))
            if not route.proxy.clusters or not taken.isdisjoint(wanted):
                continue
            taken.update(wanted)
            name = f"{placed.table}.{rule.name}.{rule.namespace}.{number}"
            match = FilterChainMatch(server_names=() if "*" in wanted else wanted)
            yield FilterChain(name, match, filters=_filters(guard), tcp=route.proxy)


def _filters(guard: Authorization | None) -> tuple[Authorization, ...]:
    return () if guard is None else (guard,)


# --- the way between networks: server names of mesh mTLS ---


@attrs.frozen
class Onward:
    """Clusters that pass mesh mTLS on as it is, one for each port and subset of the mesh's own services."""

    clusters: tuple[Cluster, ...]
    endpoints: tuple[EndpointGroup, ...]


def onward(world: World, placed: Iterable[Placed]) -> Onward:
    """What servers in AUTO_PASSTHROUGH mode can send to.

    Only endpoints that speak mesh mTLS: the connection is one, and nobody else
    could make anything of it (nor should be reached by it unasked).
    """
    hosts = [host for each in placed if auto_passthrough(each) for _, host in each.hosts]
    clusters: list[Cluster] = []
    groups: list[EndpointGroup] = []
    for service in _reached(world, hosts):
        renamed = {cluster.name: _passed_name(cluster, service) for cluster in world.clusters(service)}
        clusters += [
            attrs.evolve(cluster, name=renamed[cluster.name], tls=None, http2=False)
            for cluster in world.clusters(service)
        ]
        for group in world.endpoints(service):
            if group.cluster in renamed:
                able = tuple(each for each in group.endpoints if each.mtls)
                groups.append(EndpointGroup(renamed[group.cluster], able))
    return Onward(tuple(clusters), tuple(groups))


def _reached(world: World, hosts: list[str]) -> Iterator[Service]:
    for service in world.services.values() if hosts else ():
        if not service.external and any(covers(host, service.host) for host in hosts):
            yield service


def _passed_name(cluster: Cluster, service: Service) -> str:
    return names.server_name(cluster.port, cluster.subset, service.host)


def onward_chains(world: World, placed: Placed, taken: set[str]) -> Iterator[FilterChain]:
    """One chain for each port and subset of the services of a server's hosts.

    The server name must be the cluster's and the client must offer the mesh's
    ALPN, so that on the other side only mesh mTLS is ever spoken. No policy is
    asked here: who calls can only be seen where the connection ends.
    """
    for service in _reached(world, [host for _, host in placed.hosts]):
        for cluster in world.clusters(service):
            name = _passed_name(cluster, service)
            if name not in taken:
                taken.add(name)
                match = FilterChainMatch(server_names=(name,), application_protocols=MESH_ALPN)
                yield FilterChain(name, match, tcp=TcpProxy(((name, 1),)))
