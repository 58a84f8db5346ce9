"""A gateway: the listeners of its servers, and the VirtualServices bound to them. Pure.

Source: Istio's ``pilot/pkg/networking/core/gateway.go``. Which servers there are
says ``gateway_servers``; connections whose requests are not read are the
business of ``gateway_streams``. Plain HTTP servers of one port share a route
table; each server that terminates HTTPS has its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from meshd.control.compiler import gateway_servers as kinds
from meshd.control.compiler import names
from meshd.control.compiler.edge import Edge
from meshd.control.compiler.gateway_servers import Placed, merged, servers_of
from meshd.control.compiler.gateway_streams import auto_passthrough, bytes_chain, onward, onward_chains, passed_chains
from meshd.control.compiler.gateway_tls import downstream_tls
from meshd.control.compiler.inbound_chains import Guard
from meshd.control.compiler.matches import catches_all
from meshd.control.compiler.memo import Memo
from meshd.control.compiler.targets import targets_of
from meshd.control.compiler.world import World
from meshd.control.hosts import specificity
from meshd.control.name_index import NameIndex
from meshd.control.rules import Bound, virtual_services
from meshd.snapshot.cluster import Cluster, EndpointGroup
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import DownstreamTls, FilterChain, FilterChainMatch, Listener
from meshd.snapshot.route import Forward, Route, RouteTable, VirtualHost


@attrs.frozen
class Compiled:
    """All of a gateway's snapshot."""

    listeners: tuple[Listener, ...]
    tables: tuple[RouteTable, ...]
    clusters: tuple[Cluster, ...]
    endpoints: tuple[EndpointGroup, ...]


@attrs.frozen
class _Ruled:
    """The VirtualServices bound to one Gateway, older first, and where their hosts are found."""

    bound: tuple[Bound, ...]
    by_host: NameIndex[int]
    """Their places in ``bound``."""


@attrs.define
class _Maker:
    """What every part of one gateway needs. The mutable state is what was looked up, by the Gateway's name."""

    world: World
    guard: Guard
    edge: Edge
    _ruled: dict[str, _Ruled] = attrs.field(factory=dict, init=False)

    def rules(self, placed: Placed) -> tuple[Bound, ...]:
        """The VirtualServices of a server's Gateway that could have a host in common with the server, older first."""
        ruled = self._ruled.get(placed.name)
        if ruled is None:
            bound = virtual_services(self.world.mesh, self.world.scope.namespace, placed.name)
            pairs = ((host, place) for place, each in enumerate(bound) for host in each.hosts)
            ruled = self._ruled[placed.name] = _Ruled(bound, NameIndex(pairs))
        places = {place for _, host in placed.hosts for place in ruled.by_host.overlapping(host)}
        return tuple(ruled.bound[place] for place in sorted(places))


def compile_gateway(world: World, guard: Guard) -> Compiled:
    """Everything a gateway does."""
    mesh, scope = world.mesh, world.scope
    maker = _Maker(world, guard, Edge.of(mesh.config))
    servers = merged(servers_of(mesh.gateways, scope.labels, targets_of(mesh, scope)))
    listeners: list[Listener] = []
    tables: dict[str, RouteTable] = {}
    for (bind, port), placed in servers.items():
        chains = tuple(_chains(maker, placed, tables))
        if chains:
            numbers = tuple(sorted({each.server.port.number for each in placed} - {port}))
            name = names.listener(bind, port)
            listeners.append(
                Listener(
                    name,
                    port,
                    Direction.GATEWAY,
                    chains,
                    host=bind,
                    server_ports=numbers,
                    proxy_protocol=maker.edge.proxy_protocol,
                )
            )
    used = _used_clusters(listeners, tables.values())
    hosts = {name.rpartition("|")[2] for name in used}
    services = [each for host, each in world.services.items() if host in hosts]
    passed = onward(world, (each for placed in servers.values() for each in placed))
    clusters = [each for service in services for each in world.clusters(service) if each.name in used]
    endpoints = [each for service in services for each in world.endpoints(service) if each.cluster in used]
    return Compiled(
        listeners=tuple(listeners),
        tables=tuple(tables.values()),
        clusters=(*clusters, *passed.clusters),
        endpoints=(*endpoints, *passed.endpoints),
    )


def _chains(maker: _Maker, placed: list[Placed], tables: dict[str, RouteTable]) -> Iterator[FilterChain]:
    """The chains of one address; their route tables are put into ``tables``."""
    world, tcp = maker.world, maker.guard.tcp
    if placed[0].kind == kinds.HTTP:
        table = _table(maker, placed)
        tables[table.name] = table
        yield _http_chain(maker, placed[0], None)
        return
    taken: set[str] = set()
    for each in placed:
        if each.kind == kinds.SNI and auto_passthrough(each):
            yield from onward_chains(world, each, taken)
        elif each.kind == kinds.SNI:
            yield from passed_chains(world, each, maker.rules(each), tcp, taken)
        elif each.kind == kinds.HTTPS:
            table = _table(maker, [each])
            tables[table.name] = table
            yield _http_chain(maker, each, _tls(maker, each))
        else:
            tls = _tls(maker, each) if each.kind == kinds.TLS else None
            yield from bytes_chain(world, each, maker.rules(each), tcp, tls)


def _tls(maker: _Maker, placed: Placed) -> DownstreamTls | None:
    settings = placed.server.tls
    if settings is None:
        return None
    domains = maker.edge.trust_domains(maker.world.scope)
    return downstream_tls(settings, domains, http=placed.kind == kinds.HTTPS, edge=maker.edge)


def _http_chain(maker: _Maker, placed: Placed, tls: DownstreamTls | None) -> FilterChain:
    guard, edge = maker.guard.http, maker.edge
    manager = attrs.evolve(edge.gateway_http(), route_table=placed.table, filters=() if guard is None else (guard,))
    match = FilterChainMatch() if tls is None else FilterChainMatch(server_names=placed.server_names)
    return FilterChain(placed.table, match, tls=tls, http=manager)


# --- route tables ---


@attrs.define
class _Host:
    """A virtual host in the making."""

    port: int
    """Of the server that it appeared at first: a part of its name."""
    parts: list[tuple[str, tuple[Route, ...]]] = attrs.field(factory=list)
    """The VirtualServices behind it, each with its Gateway, in order."""
    secured: bool = False

    def add(self, source: str, routes: tuple[Route, ...]) -> None:
        if all(known != source for known, _ in self.parts):
            self.parts.append((source, routes))

    @property
    def key(self) -> tuple[tuple[str, ...], bool]:
        """Hosts with the same VirtualServices behind them have the same routes."""
        return tuple(source for source, _ in self.parts), self.secured


def _table(maker: _Maker, placed: list[Placed]) -> RouteTable:
    """The virtual hosts of servers that share a table."""
    made: dict[str, tuple[Route, ...]] = {}
    hosts: dict[str, _Host] = {}
    for server in placed:
        port = server.server.port.number
        redirected = server.server.tls is not None and server.server.tls.httpsRedirect
        for bound in maker.rules(server):
            names_here = tuple(dict.fromkeys(host.lower() for host in server.takes(bound)))
            if not names_here:
                continue
            # A VirtualService has the routes of the first server of a Gateway that it appears at (Istio).
            source = f"{server.name} {bound.rule} {' '.join(bound.hosts)}"
            if source not in made:
                made[source] = maker.world.routes(bound.rule, port, server.name)
            if not made[source] and not _set_apart(bound):
                continue
            for name in names_here:
                host = hosts.setdefault(name, _Host(port))
                host.add(source, made[source])
                host.secured = host.secured or redirected
        if redirected:
            for _, name in server.hosts:
                hosts.setdefault(name.lower(), _Host(port)).secured = True
    virtual_hosts = _collapsed(hosts, maker.world.memo) or [
        VirtualHost(names.virtual_host("blackhole", _port(placed)), ("*",), ())
    ]
    return RouteTable(placed[0].table, tuple(sorted(virtual_hosts, key=lambda host: host.name)))


def _set_apart(bound: Bound) -> bool:
    """Whether a host has no routes so that those of less specific listeners of the Gateway API are not taken for its."""
    spec = bound.rule.resource
    return bound.rule.gateway_api and not (spec.http or spec.tls or spec.tcp)


def _port(placed: list[Placed]) -> int:
    return placed[0].server.port.number


def _collapsed(hosts: dict[str, _Host], memo: Memo) -> list[VirtualHost]:
    """Virtual hosts; names with the same routes become one, called after the most specific (Istio)."""
    together: dict[tuple[tuple[str, ...], bool], list[str]] = {}
    for name in sorted(hosts, key=specificity):
        together.setdefault(hosts[name].key, []).append(name)
    found = []
    for domains in together.values():
        host = hosts[domains[0]]
        empty = VirtualHost(
            names.virtual_host(domains[0], host.port), tuple(domains), routes=(), require_tls=host.secured
        )
        found.append(memo.call(_with_routes, empty, tuple(routes for _, routes in host.parts)))
    return found


def _with_routes(host: VirtualHost, parts: tuple[tuple[Route, ...], ...]) -> VirtualHost:
    """One VirtualService's routes after the other's, with what catches everything at the end."""
    routes = (route for part in parts for route in part)
    return attrs.evolve(host, routes=tuple(sorted(routes, key=lambda route: catches_all(route.match))))


def _used_clusters(listeners: Iterable[Listener], tables: Iterable[RouteTable]) -> set[str]:
    """The clusters that anything refers to: a gateway needs no others."""
    found: set[str] = set()
    for listener in listeners:
        for chain in listener.chains:
            if chain.tcp is not None:
                found.update(name for name, _ in chain.tcp.clusters)
    for table in tables:
        for host in table.virtual_hosts:
            for route in host.routes:
                if isinstance(route.action, Forward):
                    found.update(each.cluster for each in route.action.clusters)
                    found.update(each.cluster for each in route.action.mirrors)
    return found
