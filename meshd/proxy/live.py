"""A snapshot, compiled: what requests and connections look at. Built by ``compile_live``, swapped as a whole.

Everything that can be computed when a snapshot is applied is computed here:
chains of filters, routers, the plan of every route. A ``Live`` is never changed
once it is the engine's; requests that were begun with it end with it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import attrs
import trio

from meshd.errors import ConfigError
from meshd.http.head import RequestHead
from meshd.net.address import Address
from meshd.net.connection import Resolver
from meshd.net.timers import Timers
from meshd.policy.catalog import FilterContext, build_connection_filters, build_filters
from meshd.policy.exchange import ConnectionFilter, Exchange, Next, Response
from meshd.proxy import peer_metadata
from meshd.proxy.chain import compile_chain
from meshd.proxy.counters import ProxyCounters
from meshd.proxy.date import DateLine
from meshd.proxy.exchange import ProxyExchange
from meshd.proxy.forward import RoutePlan, forward
from meshd.proxy.limits import ProxyLimits
from meshd.proxy.local import local_response
from meshd.proxy.misdirected import is_shared, own_hosts
from meshd.proxy.path import normalizer
from meshd.proxy.reply import NO_ROUTE
from meshd.proxy.request_ids import RequestIds
from meshd.proxy.retry import RetryPlan
from meshd.proxy.router import RouteEntry, Router, Selector
from meshd.proxy.upstream.upstream import Upstream
from meshd.proxy.world import ProxyWorld
from meshd.snapshot.chains import VIRTUAL_INBOUND, VIRTUAL_OUTBOUND, needs_inspection, select_listener, terminates_tls
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, HttpManager, Listener, TcpProxy
from meshd.snapshot.route import Route
from meshd.snapshot.snapshot import Snapshot
from meshd.telemetry.access_log import AccessLogger
from meshd.telemetry.names import RequestMetrics, TcpMetrics

_HTTP_PROTOCOLS = frozenset(("http/1.0", "http/1.1", "h2c"))
"""What plaintext can be sniffed to be."""


@attrs.frozen(eq=False)
class Manager:
    """How HTTP is treated on one filter chain."""

    http: HttpManager
    chain: FilterChain
    direction: Direction
    select: Selector
    normalize: Callable[[bytes], bytes]
    run: Next
    """The chain's filters, then the route's, then its action."""

    def route(self, exchange: ProxyExchange, head: RequestHead) -> None:
        """Find the exchange's route, or note why there is none."""
        found = self.select(head)
        if isinstance(found, RouteEntry):
            exchange.entry = found
            exchange.route = found.route
            exchange.virtual_host = found.virtual_host
        else:
            exchange.entry = exchange.route = None
            exchange.no_route = found


@attrs.frozen(eq=False)
class LiveChain:
    """A filter chain, compiled: HTTP (``manager``) or TCP (``tcp``)."""

    chain: FilterChain
    filters: tuple[ConnectionFilter, ...]
    manager: Manager | None
    tcp: TcpProxy | None


@attrs.frozen(eq=False)
class LiveListener:
    """A listener, compiled."""

    listener: Listener
    chains: Mapping[str, LiveChain]
    """By ``FilterChain.kind``, for connections that outlive a configuration."""
    chosen: Mapping[int, LiveChain]
    """By the identity of the snapshot's chain: those of one port may share a name (as Istio's do)."""
    inspects: bool
    """The first bytes decide something, or tell the server name that a TLS client asks for."""
    inspects_http: bool
    """Whether plaintext is HTTP decides something."""

    def inspects_at(self, port: int) -> bool:
        """``inspects`` for a connection that was captured on its way to this port: a server there may speak first."""
        return needs_inspection(self.listener, port) or terminates_tls(self.listener, port)


@attrs.define(eq=False)
class Live:
    """One version of everything. ``upstreams`` and ``own`` are filled in when it is committed; then nothing changes."""

    snapshot: Snapshot
    listeners: Mapping[str, LiveListener]
    outbound: Mapping[int, tuple[Listener, ...]]
    """What captured connections go out by, for each port; 0 for every other port."""
    router: Router
    rng: random.Random
    timers: Timers
    limits: ProxyLimits
    resolver: Resolver
    request_ids: RequestIds
    node_metadata: bytes
    metrics: RequestMetrics
    tcp_metrics: TcpMetrics
    date: DateLine
    logger: AccessLogger | None
    slow_bodies: Callable[[str], None]
    """Count a request body that came too slowly, by listener."""
    observe: Callable[[Exchange, float], None] | None = None
    now: Callable[[], float] = trio.current_time
    """trio's clock. The engine puts the clock's own method here: the detour by ``trio`` costs three calls."""
    upstreams: dict[str, Upstream] = attrs.Factory(dict)
    own: frozenset[Address] = frozenset()
    """Where this proxy itself listens."""

    def listener_for(self, destination: Address) -> LiveListener | None:
        """The listener of a connection that was captured on its way out."""
        found = select_listener(
            self.outbound.get(destination.port, self.outbound[0]), destination.host, destination.port
        )
        return self.listeners[found.name] if found is not None else None

    def is_own(self, address: Address) -> bool:
        """Would a connection to this address come back to this proxy?"""
        for mine in self.own:
            if mine.port == address.port and (mine.host in ("", "0.0.0.0", "::", address.host)):  # noqa: S104
                return mine.host == address.host or address.host.startswith("127.") or address.host == "::1"
        return False


def compile_live(
    snapshot: Snapshot,
    world: ProxyWorld,
    request_ids: RequestIds,
    before: Live | None = None,
) -> Live:
    """Compile a snapshot; routes that are equal in the version ``before`` are taken over.

    Raises:
        ConfigError: it cannot be run; says which part of it.
    """
    context = FilterContext(rng=world.rng)
    router = Router.compile(snapshot.route_tables, before.router if before is not None else None)
    _plan_routes(router, context)
    listeners: dict[str, LiveListener] = {}
    for listener in snapshot.listeners:
        if listener.name in listeners:
            raise ConfigError("two listeners have this name", origin=f"listener {listener.name}")
        listeners[listener.name] = _compile_listener(listener, router, context, world)
    telemetry = snapshot.telemetry
    slow_bodies = ProxyCounters(world.registry).slow_bodies
    logs = world.log_writer is not None and telemetry.access_log.enabled
    return Live(
        snapshot=snapshot,
        listeners=listeners,
        outbound=_outbound_by_port(snapshot.listeners),
        router=router,
        rng=world.rng,
        timers=world.timers,
        limits=world.limits,
        resolver=world.resolver,
        request_ids=request_ids,
        node_metadata=peer_metadata.encode(telemetry.node),
        metrics=RequestMetrics(world.registry, telemetry, snapshot.clusters),
        tcp_metrics=TcpMetrics(world.registry, telemetry, snapshot.clusters),
        date=DateLine(world.wall_clock),
        logger=AccessLogger(telemetry.access_log, world.log_writer, world.wall_clock)
        if logs and world.log_writer is not None
        else None,
        slow_bodies=lambda listener: slow_bodies.labels(listener).inc(),
        observe=world.observe,
    )


def _outbound_by_port(listeners: Iterable[Listener]) -> dict[int, tuple[Listener, ...]]:
    """Ports this process was given for one service (``--bind``) are no destinations of the mesh.

    ``virtualInbound`` is one, as in Istio: what is on its way out to that port ends in its black hole.
    """
    rest: list[Listener] = []
    found: dict[int, list[Listener]] = {0: []}
    for listener in listeners:
        if listener.name == VIRTUAL_OUTBOUND:
            rest.append(listener)
        elif listener.name == VIRTUAL_INBOUND or (
            listener.direction is Direction.OUTBOUND and (listener.host or not listener.bound)
        ):
            found.setdefault(listener.port, []).append(listener)
    return {port: (*each, *rest) for port, each in found.items()}


def _compile_listener(listener: Listener, router: Router, context: FilterContext, world: ProxyWorld) -> LiveListener:
    chains: dict[str, LiveChain] = {}
    chosen: dict[int, LiveChain] = {}
    for chain in listener.every_chain:
        where = f"listener {listener.name}, filter chain {chain.name}"
        if (chain.http is None) == (chain.tcp is None):
            raise ConfigError("a filter chain is either HTTP or TCP", origin=where)
        manager = None
        if chain.http is not None:
            try:
                manager = _compile_manager(listener, chain, chain.http, router, context)
                if world.limits.refuse_misdirected and is_shared(listener, chain):
                    refused = ProxyCounters(world.registry).misdirected.labels(listener.name).inc
                    manager = attrs.evolve(manager, select=own_hosts(manager.select, listener, chain, refused))
            except ConfigError as error:
                raise ConfigError(error.message, origin=where, path=error.path, code=error.code) from error
        filters = build_connection_filters(chain.filters, context)
        chosen[id(chain)] = LiveChain(chain, filters, manager, chain.tcp)
        chains.setdefault(chain.kind, chosen[id(chain)])
    decides = needs_inspection(listener, listener.default_destination_port or listener.port)
    return LiveListener(
        listener,
        chains,
        chosen,
        inspects=decides or any(chain.tls is not None for chain in listener.every_chain),
        inspects_http=any(_HTTP_PROTOCOLS.intersection(chain.match.application_protocols) for chain in listener.chains),
    )


def _compile_manager(
    listener: Listener,
    chain: FilterChain,
    http: HttpManager,
    router: Router,
    context: FilterContext,
) -> Manager:
    return Manager(
        http=http,
        chain=chain,
        direction=listener.direction,
        select=router.selector(http),
        normalize=normalizer(http.path_normalization),
        run=compile_chain(build_filters(http.filters, context), _enter_route),
    )


def _enter_route(exchange: Exchange) -> Awaitable[Response]:
    """Between the chain's filters and the route's. Not a layer of its own: it gives what is to be awaited."""
    if TYPE_CHECKING:
        assert isinstance(exchange, ProxyExchange)
    if exchange.reroute:
        exchange.reroute = False
        exchange.manager.route(exchange, exchange.request)
    entry = exchange.entry
    if entry is None:
        return _no_route(exchange)
    plan: RoutePlan = entry.chain  # type: ignore[assignment]
    return plan.run(exchange)


async def _no_route(exchange: ProxyExchange) -> Response:
    return local_response(exchange, exchange.no_route or NO_ROUTE)


async def _answer(exchange: Exchange) -> Response:
    """A route that answers here: a redirect or a direct response."""
    assert isinstance(exchange, ProxyExchange)
    entry = exchange.entry
    assert entry is not None
    response = local_response(exchange, entry.reply(exchange))
    entry.edit_response(exchange, response.head)
    return response


def _plan_routes(router: Router, context: FilterContext) -> None:
    for entry in router.entries():
        if entry.chain is not None:
            continue
        try:
            entry.chain = _plan(entry, entry.route, context)
        except ConfigError as error:
            where = f"virtual host {entry.virtual_host}, route {entry.route.name}"
            raise ConfigError(error.message, origin=error.origin or where, path=error.path, code=error.code) from error


def _plan(entry: RouteEntry, route: Route, context: FilterContext) -> RoutePlan:
    filters = build_filters(route.filters, context)
    action = entry.forward
    if action is None:
        return RoutePlan(compile_chain(filters, _answer))
    retry = RetryPlan.of(action.retry) if action.retry is not None and action.retry.attempts > 0 else None
    if retry is None and action.retry is not None and action.retry.per_try_timeout:
        retry = RetryPlan.of(action.retry)
    return RoutePlan(
        compile_chain(filters, forward),
        timeout=action.timeout,
        retry=retry,
        missing_cluster_status=action.missing_cluster_status,
    )
