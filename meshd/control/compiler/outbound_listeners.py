"""A sidecar's outbound listeners: for each port, or address and port, what its connections are. Pure.

Source: Istio's ``pilot/pkg/networking/core/listener.go`` (``buildSidecarOutboundListeners``).

HTTP services share ``0.0.0.0_PORT``; other services have a listener of their own
where they have an address, and share the port's where they have none or a range.
What meets at one listener is told apart by address range, server name and by
what a connection turns out to be; of two that cannot be told apart the older
service has the connections. What no chain is for goes where unknown hosts go.
Ports of a Sidecar's egress listeners are served with what those bring, and with
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from meshd.control.compiler import names
from meshd.control.compiler.inbound_chains import PLAIN, PLAIN_HTTP, TLS
from meshd.control.compiler.opaque import Ruled, tcp_chains, tls_chains
from meshd.control.compiler.virtual_hosts import egress_cluster
from meshd.control.compiler.world import World
from meshd.control.hosts import is_ip
from meshd.control.name_index import NameIndex
from meshd.control.rules import Bound
from meshd.control.services import Port, Protocol, Service, Source
from meshd.control.sidecar_scope import Egress, SidecarScope
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, FilterChainMatch, Listener, TcpProxy
from meshd.snapshot.match import HTTP_PROXY_TABLE

LOOPBACK = "127.0.0.1"

SNIFFED_HTTP = FilterChainMatch(transport_protocol=PLAIN, application_protocols=PLAIN_HTTP)

ANYTHING = FilterChainMatch()


@attrs.define
class Entry:
    """A listener in the making. ``host`` "" is every address."""

    host: str
    port: int
    bound: bool
    http: bool
    """All it has is HTTP, so nothing needs to be told apart."""
    sniffed: bool = False
    """HTTP and bytes meet here."""
    locked: bool = False
    """It belongs to an egress listener for this port: no other service is added."""
    chains: dict[FilterChainMatch, FilterChain] = attrs.field(factory=dict)

    def add(self, chains: tuple[FilterChain, ...]) -> None:
        """Add what can be told apart from what is there."""
        for chain in chains:
            self.chains.setdefault(chain.match, chain)


@attrs.frozen
class Listening:
    """Listeners, and the services' ports that have a route table of their own."""

    listeners: tuple[Listener, ...]
    sniffed: tuple[tuple[Service, int], ...]


@attrs.define
class _Builder:
    """The whole mutable state: listeners in the making, sniffed ports with an address, the present egress' rules."""

    world: World
    entries: dict[tuple[str, int], Entry] = attrs.field(factory=dict)
    sniffed: dict[tuple[str, int], tuple[Service, int]] = attrs.field(factory=dict)
    rules: NameIndex[int] = attrs.field(factory=lambda: NameIndex(()))

    def listen(self, egress: Egress) -> None:
        """Everything of one egress listener."""
        if egress.bind.startswith("unix:"):
            return
        self.rules = _connection_rules(egress)
        if egress.port is not None:
            for service in egress.services:
                self._add(egress, service, egress.port)
            return
        for entry in self.entries.values():
            entry.locked = True
        for service in egress.services:
            for port in service.ports:
                self._add(egress, service, port)

    def _add(self, egress: Egress, service: Service, port: Port) -> None:
        if service.host in self.world.aliases:
            return
        if egress.proxy or port.protocol.http:
            self._http(egress, port)
            return
        for host, range_ in self._addresses(egress, service, port):
            self._opaque(egress, service, port, host, range_)

    def _bind(self, egress: Egress) -> str:
        return egress.bind or (LOOPBACK if egress.bound else "")

    def _addresses(self, egress: Egress, service: Service, port: Port) -> Iterator[tuple[str, str]]:
        """Where connections for a service's port come: address and range, both "" for anywhere."""
        bind = self._bind(egress)
        if bind:
            yield bind, ""
            return
        if not service.addresses and (service.headless or service.source is Source.CLIENT):
            hosts = self._workloads(service, port)
            # A ServiceEntry without any workloads is for whatever has no listener of its own.
            if hosts or service.headless or service.selector:
                yield from ((host, "") for host in hosts if host != self.world.scope.address)
                return
        if not service.addresses:
            yield "", ""
        for address in service.addresses:
            yield (address, "") if is_ip(address) else ("", address)

    def _workloads(self, service: Service, port: Port) -> tuple[str, ...]:
        """The addresses of a service's workloads; the proxy's own is the inbound side's business."""
        backends = dict(self.world.mesh.backends[service.host, service.namespace]).get(port.number, ())
        return tuple(dict.fromkeys(each.host for each in backends if is_ip(each.host)))

    def _http(self, egress: Egress, port: Port) -> None:
        host = self._bind(egress)
        entry = self.entries.get((host, port.number))
        if entry is not None and (entry.locked or entry.http or entry.sniffed):
            return
        label = names.listener(host, port.number)
        manager = self.world.manager(str(port.number))
        if egress.proxy:
            manager = self.world.manager(HTTP_PROXY_TABLE, route_by_port=True)
        whole = bool(host) and entry is None
        chain = FilterChain(label, ANYTHING if whole else SNIFFED_HTTP, http=manager)
        if entry is None:
            entry = Entry(host, port.number, egress.bound, http=whole)
            self.entries[host, port.number] = entry
        entry.sniffed = not whole
        entry.add((chain,))

    def _opaque(self, egress: Egress, service: Service, port: Port, host: str, range_: str) -> None:
        entry = self.entries.get((host, port.number))
        if entry is not None and entry.locked:
            return
        auto = port.protocol is Protocol.AUTO
        if auto and entry is not None and entry.sniffed:
            return
        chains = self._chains(egress, service, port, host, range_)
        if auto:
            chains += (self._sniffed_http(service, port, host),)
        if entry is None or (auto and entry.http):
            entry = Entry(host, port.number, egress.bound, http=False)
            self.entries[host, port.number] = entry
        elif entry.http:
            # What was HTTP alone must now be told apart.
            kept = entry.chains.pop(ANYTHING)
            entry.add((attrs.evolve(kept, match=SNIFFED_HTTP),))
            entry.http, entry.sniffed = False, True
        entry.sniffed = entry.sniffed or auto
        entry.add(chains)

    def _sniffed_http(self, service: Service, port: Port, host: str) -> FilterChain:
        table = str(port.number)
        if host:
            table = names.virtual_host(service.host, port.number)
            self.sniffed[service.host, port.number] = (service, port.number)
        return FilterChain(f"{table}-http", SNIFFED_HTTP, http=self.world.manager(table))

    def _chains(self, egress: Egress, service: Service, port: Port, host: str, range_: str) -> tuple[FilterChain, ...]:
        number = port.number if service.port(port.number) else service.only_port or port.number
        cluster = names.outbound_cluster(number, "", service.host)
        places = sorted(set(self.rules.overlapping(service.host)))
        rules = tuple(self._ruled(egress.rules[at], port.number) for at in places)
        ranges = (range_,) if range_ else ()
        if port.protocol.tls:
            return tls_chains(rules, cluster, ranges, service.host if not host else "")
        return tcp_chains(rules, cluster, ranges)

    def _ruled(self, bound: Bound, number: int) -> Ruled:
        return Ruled(bound.rule, self.world.place(bound.rule, number), self.world.destinations(bound.rule))


def _connection_rules(egress: Egress) -> NameIndex[int]:
    """The places of the VirtualServices that have rules for connections, by host."""
    return NameIndex(
        (host, at)
        for at, bound in enumerate(egress.rules)
        if bound.rule.resource.tls or bound.rule.resource.tcp
        for host in bound.hosts
    )


def compile_listeners(world: World, scope: SidecarScope) -> Listening:
    """Every outbound listener of a sidecar."""
    builder = _Builder(world)
    for egress in scope.egress:
        builder.listen(egress)
    rest = FilterChain(names.PASSTHROUGH_CHAIN, tcp=TcpProxy(((egress_cluster(scope.policy), 1),)))
    listeners = [
        world.memo.call(_same, _listener(entry, rest, world.config.protocolDetectionTimeout))
        for entry in builder.entries.values()
    ]
    listeners.append(_virtual_outbound(world, rest))
    if world.config.proxyHttpPort:
        listeners.append(_http_proxy(world))
    return Listening(tuple(listeners), tuple(builder.sniffed.values()))


def _same(listener: Listener) -> Listener:
    """Through a memo: one object for equal listeners, which is written once."""
    return listener


def _listener(entry: Entry, rest: FilterChain, detection_timeout: float) -> Listener:
    """A chain without conditions takes what the others do not; where there is none, unknown traffic's way does."""
    chains = dict(entry.chains)
    default = chains.pop(ANYTHING, None)
    if not chains and default is not None:
        chains, default = {ANYTHING: default}, None
    elif default is None:
        default = rest
    return Listener(
        name=names.listener(entry.host, entry.port),
        port=entry.port,
        direction=Direction.OUTBOUND,
        chains=tuple(chains.values()),
        host=entry.host,
        bound=entry.bound,
        detection_timeout=detection_timeout if entry.sniffed else 0.0,
        default_chain=default,
    )


def _virtual_outbound(world: World, rest: FilterChain) -> Listener:
    """The one that is bound: an explicit HTTP proxy, and what was captured on its way to no known port.

    A connection made to this very port is HTTP or of no use: passed on, it would come back for ever.
    """
    port = world.config.proxyListenPort
    http = attrs.evolve(SNIFFED_HTTP, destination_port=port)
    manager = world.manager(HTTP_PROXY_TABLE, route_by_port=True)
    chains = (
        FilterChain(f"{names.VIRTUAL_OUTBOUND}-http", http, http=manager),
        *(
            FilterChain(
                names.OUTBOUND_BLACK_HOLE,
                FilterChainMatch(destination_port=port, transport_protocol=transport),
                tcp=TcpProxy(((names.BLACK_HOLE, 1),)),
            )
            for transport in (PLAIN, TLS)
        ),
    )
    default = attrs.evolve(rest, name=names.OUTBOUND_CATCH_ALL)
    return Listener(names.VIRTUAL_OUTBOUND, port, Direction.OUTBOUND, chains, default_chain=default)


def _http_proxy(world: World) -> Listener:
    """The mesh's ``proxyHttpPort``: a proxy for requests to any service."""
    port = world.config.proxyHttpPort
    name = names.listener(LOOPBACK, port)
    manager = world.manager(HTTP_PROXY_TABLE, route_by_port=True)
    return Listener(name, port, Direction.OUTBOUND, (FilterChain(name, http=manager),), host=LOOPBACK)
