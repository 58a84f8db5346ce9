"""A gateway: the servers of the Gateways that select it, and the VirtualServices bound to them. Pure.

Source: Istio's ``pilot/pkg/networking/core/gateway.go`` and ``pilot/pkg/model/gateway.go``.

Servers on one port are merged, older Gateways first. Plain HTTP servers share a
route table; each server that terminates HTTPS has its own; a server whose
protocol does not fit the port's first one is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from meshd.api.networking.gateway import Gateway, Server, ServerTLSmode
from meshd.control.compiler import names
from meshd.control.compiler.gateway_tls import downstream_tls
from meshd.control.compiler.inbound import TLS, Guard
from meshd.control.compiler.matches import catches_all
from meshd.control.compiler.opaque import tcp_route, tls_routes
from meshd.control.compiler.world import World
from meshd.control.hosts import covers, is_wildcard, narrower
from meshd.control.mesh import Owned
from meshd.control.rules import Bound, virtual_services
from meshd.control.workloads import selects
from meshd.snapshot.cluster import Cluster, EndpointGroup
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import DownstreamTls, FilterChain, FilterChainMatch, HttpManager, Listener, TcpProxy
from meshd.snapshot.route import Forward, Route, RouteTable, VirtualHost

PLAIN_HTTP: Final = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB"})
PASSED_THROUGH: Final = frozenset({ServerTLSmode.PASSTHROUGH, ServerTLSmode.AUTO_PASSTHROUGH})


@attrs.frozen
class Compiled:
    """All of a gateway's snapshot."""

    listeners: tuple[Listener, ...]
    tables: tuple[RouteTable, ...]
    clusters: tuple[Cluster, ...]
    endpoints: tuple[EndpointGroup, ...]


@attrs.frozen
class Placed:
    """A server with its Gateway."""

    gateway: Owned[Gateway]
    server: Server

    @property
    def name(self) -> str:
        """How VirtualServices call its Gateway."""
        return f"{self.gateway.namespace}/{self.gateway.name}"

    @property
    def hosts(self) -> tuple[tuple[str, str], ...]:
        """Namespace of the VirtualServices it takes (``*`` for any) and name, for each host."""
        found = []
        for entry in self.server.hosts:
            namespace, slash, host = entry.rpartition("/")
            if namespace == ".":
                namespace = self.gateway.namespace
            found.append((namespace if slash else "*", host))
        return tuple(found)

    @property
    def kind(self) -> str:
        """``http`` (plain), ``https`` (terminated), ``tls`` (terminated bytes), ``sni`` (passed on) or ``tcp``."""
        protocol = self.server.port.protocol.upper()
        tls = self.server.tls
        if protocol in PLAIN_HTTP:
            return "http"
        if tls is None:
            return "sni" if protocol in {"TLS", "HTTPS"} else "tcp"
        if tls.mode in PASSED_THROUGH:
            return "sni"
        return "https" if protocol == "HTTPS" else "tls"

    @property
    def table(self) -> str:
        """Its route table's name."""
        port = self.server.port
        if self.kind == "http":
            return f"http.{port.number}"
        # Only HTTPS has a table; the others use its form to name their chains.
        return f"{self.kind}.{port.number}.{port.name}.{self.gateway.name}.{self.gateway.namespace}"

    def takes(self, bound: Bound) -> Iterator[str]:
        """The hosts under which a VirtualService appears here: the narrower of its and the server's."""
        for namespace, host in self.hosts:
            if namespace in {"*", bound.rule.namespace}:
                for own in bound.hosts:
                    found = narrower(host, own)
                    if found is not None:
                        yield found


def servers_of(world: World) -> tuple[Placed, ...]:
    """The servers of all Gateways that select this proxy, older Gateways first."""
    labels = dict(world.scope.labels)
    return tuple(
        Placed(gateway, server)
        for gateway in world.mesh.gateways
        if selects(gateway.resource.selector.items(), labels)
        for server in gateway.resource.servers
    )


def compile_gateway(world: World, guard: Guard) -> Compiled:
    """Everything a gateway does."""
    listeners: list[Listener] = []
    tables: dict[str, RouteTable] = {}
    for (bind, number), placed in _by_port(servers_of(world)).items():
        chains: list[FilterChain] = []
        plain = [each for each in placed if each.kind == "http"]
        if plain:
            table = _table(world, plain)
            tables.setdefault(table.name, table)
            chains.append(_http_chain(plain[0], guard, FilterChainMatch(), None))
        else:
            chains = list(_secure_chains(world, guard, placed, tables))
        if chains:
            name = names.listener(bind, number)
            listeners.append(Listener(name, number, Direction.GATEWAY, tuple(chains), host=bind))
    used = _used_clusters(listeners, tables.values())
    services = [each for each in world.services.values() if any(name.endswith(f"|{each.host}") for name in used)]
    return Compiled(
        listeners=tuple(listeners),
        tables=tuple(tables.values()),
        clusters=tuple(each for service in services for each in world.clusters(service) if each.name in used),
        endpoints=tuple(each for service in services for each in world.endpoints(service) if each.cluster in used),
    )


def _by_port(placed: tuple[Placed, ...]) -> dict[tuple[str, int], list[Placed]]:
    """Servers by address and port; only those that get on with the first one."""
    found: dict[tuple[str, int], list[Placed]] = {}
    for each in placed:
        together = found.setdefault((each.server.bind, each.server.port.number), [])
        if not together or _compatible(together[0].kind, each.kind):
            together.append(each)
    return found


def _compatible(first: str, other: str) -> bool:
    """Plain HTTP shares a port with plain HTTP, TLS of any sort with TLS, and plain TCP with nothing else."""
    secure = {"https", "tls", "sni"}
    return (first == other == "http") or (first in secure and other in secure)


# --- plain HTTP, and HTTPS that is terminated ---


def _http_chain(placed: Placed, guard: Guard, match: FilterChainMatch, tls: DownstreamTls | None) -> FilterChain:
    manager = HttpManager(
        route_table=placed.table,
        filters=() if guard.http is None else (guard.http,),
        use_remote_address=True,
        forward_client_cert="sanitize_set",
    )
    return FilterChain(placed.table, match, tls=tls, http=manager)


def _table(world: World, placed: list[Placed]) -> RouteTable:
    """The virtual hosts of servers that share a table.

    Several VirtualServices of one host are put one after the other, older
    first, with what catches everything at the end.
    """
    port = placed[0].server.port.number
    routes: dict[str, list[Route]] = {}
    secured: set[str] = set()
    for server in placed:
        redirected = server.server.tls is not None and server.server.tls.httpsRedirect
        for bound in virtual_services(world.mesh, world.scope.namespace, server.name):
            for host in dict.fromkeys(server.takes(bound)):
                own = routes.setdefault(host, [])
                own += [each for each in world.routes(bound.rule, port, server.name) if each not in own]
                if redirected:
                    secured.add(host)
        if redirected:
            for _, host in server.hosts:
                routes.setdefault(host, [])
                secured.add(host)
    hosts = [
        VirtualHost(
            name=names.virtual_host(host, port),
            domains=(host.lower(),),
            routes=tuple(sorted(found, key=lambda route: catches_all(route.match))),
            require_tls=host in secured,
        )
        for host, found in sorted(routes.items())
        if found or host in secured
    ]
    if not hosts:
        hosts = [VirtualHost(f"blackhole:{port}", ("*",), ())]
    return RouteTable(placed[0].table, tuple(sorted(hosts, key=lambda host: host.name)))


# --- TLS by server name, and TCP ---


def _secure_chains(
    world: World, guard: Guard, placed: list[Placed], tables: dict[str, RouteTable]
) -> Iterator[FilterChain]:
    """The chains of a port that is not plain HTTP; a server name is its first server's."""
    taken: set[str] = set()
    known: set[str] = set()
    for each in placed:
        if each.kind == "sni":
            yield from _passed_on(world, guard, each, taken)
        elif each.kind == "tcp":
            yield from _bytes_chain(world, guard, each, FilterChainMatch(), None)
        elif each.table not in known:
            # Two servers of one name in one Gateway (Istio refuses them): the first one counts.
            known.add(each.table)
            yield from _terminated(world, guard, each, taken, tables)


def _passed_on(world: World, guard: Guard, placed: Placed, taken: set[str]) -> Iterator[FilterChain]:
    filters = () if guard.tcp is None else (guard.tcp,)
    for chain in _passthrough_chains(world, placed):
        free = tuple(name for name in chain.match.server_names if name not in taken)
        if free:
            taken.update(free)
            yield attrs.evolve(chain, match=_named(free), filters=filters)


def _terminated(
    world: World, guard: Guard, placed: Placed, taken: set[str], tables: dict[str, RouteTable]
) -> Iterator[FilterChain]:
    free = tuple(dict.fromkeys(host.lower() for _, host in placed.hosts if host.lower() not in taken))
    settings = placed.server.tls
    if not free or settings is None:
        return
    taken.update(free)
    tls = downstream_tls(settings, world.scope.trust_domain, http=placed.kind == "https")
    if placed.kind == "https":
        table = _table(world, [placed])
        tables.setdefault(table.name, table)
        yield _http_chain(placed, guard, _named(free), tls)
    else:
        yield from _bytes_chain(world, guard, placed, _named(free), tls)


def _named(server_names: tuple[str, ...]) -> FilterChainMatch:
    """TLS for these names; ``*`` among them is any name, and none."""
    return FilterChainMatch(server_names=() if "*" in server_names else server_names, transport_protocol=TLS)


def _bytes_chain(
    world: World, guard: Guard, placed: Placed, match: FilterChainMatch, tls: DownstreamTls | None
) -> Iterator[FilterChain]:
    proxy = _tcp_proxy(world, placed)
    if proxy is not None:
        filters = () if guard.tcp is None else (guard.tcp,)
        yield FilterChain(placed.table, match, tls=tls, filters=filters, tcp=proxy)


def _passthrough_chains(world: World, placed: Placed) -> Iterator[FilterChain]:
    """TLS that is not terminated goes where the tls rules send its server name."""
    if placed.server.tls is not None and placed.server.tls.mode is ServerTLSmode.AUTO_PASSTHROUGH:
        return
    port = placed.server.port.number
    for bound in virtual_services(world.mesh, world.scope.namespace, placed.name):
        if not any(placed.takes(bound)):
            continue
        rule = bound.rule
        place, destinations = world.place(rule, port, placed.name), world.destinations(rule)
        for number, route in enumerate(tls_routes(rule, place, destinations)):
            names_here = tuple(
                name.lower()
                for name in route.server_names
                if any(covers(host, name) or (is_wildcard(name) and covers(name, host)) for _, host in placed.hosts)
            )
            if names_here:
                match = FilterChainMatch(server_names=names_here, transport_protocol=TLS)
                name = f"{placed.table}.{rule.name}.{rule.namespace}.{number}"
                yield FilterChain(name, match, tcp=route.proxy)


def _tcp_proxy(world: World, placed: Placed) -> TcpProxy | None:
    for bound in virtual_services(world.mesh, world.scope.namespace, placed.name):
        if any(placed.takes(bound)):
            rule = bound.rule
            place = world.place(rule, placed.server.port.number, placed.name)
            proxy = tcp_route(rule, place, world.destinations(rule))
            if proxy is not None:
                return proxy
    return None


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
