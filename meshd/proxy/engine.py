"""The engine: runs a snapshot, and changes over to the next one without breaking what is under way.

``prepare`` compiles and binds, and may fail; nothing that runs has changed then.
``commit`` swaps, in one function without a wait. What is equal in both is kept:
a listener with the same address keeps its socket, a cluster its connections, a
host its state. What left drains.

Requests take ``live`` once, when they begin. Connections stay: their next
request lives by the new configuration.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping

import attrs
import trio

from meshd.errors import ConfigError
from meshd.net import connection as net
from meshd.net.address import Address
from meshd.proxy.bindings import Binding
from meshd.proxy.counters import ProxyCounters
from meshd.proxy.downstream.acceptor import Acceptor
from meshd.proxy.live import Live, compile_live
from meshd.proxy.overload import Overload, refusing
from meshd.proxy.request_ids import RequestIds
from meshd.proxy.sources import Sources
from meshd.proxy.upstream.connect import Connector
from meshd.proxy.upstream.dns import DnsUpstream
from meshd.proxy.upstream.passthrough import PassthroughUpstream
from meshd.proxy.upstream.upstream import Upstream
from meshd.proxy.world import ProxyWorld
from meshd.snapshot.cluster import Cluster, Discovery, Endpoint
from meshd.snapshot.snapshot import Snapshot

_log = logging.getLogger(__name__)


@attrs.frozen(eq=False)
class Prepared:
    """A snapshot ready to be committed. Made by ``Engine.prepare``; goes to ``commit`` or to ``discard``."""

    live: Live
    bindings: Mapping[str, Binding]
    """By listener name, those that are bound."""
    opened: Mapping[str, net.Listener]
    """Sockets that were opened for it, by listener name."""
    endpoints: Mapping[str, tuple[Endpoint, ...]]
    """By cluster name."""


@attrs.frozen
class Readiness:
    """Is the proxy fit for traffic? True when there is no ``reason`` against it."""

    reason: str = ""

    def __bool__(self) -> bool:
        return not self.reason


@attrs.frozen
class EngineStatistics:
    """A look at an engine (numbers of the moment)."""

    version: str
    listeners: int
    connections: int
    clusters: int
    upstream_connections: int
    requests_active: int
    draining: bool


class Engine:
    """The data plane. Made by ``modes``; ``run`` belongs in the process's nursery."""

    def __init__(self, world: ProxyWorld) -> None:
        self.world = world
        self.counters = ProxyCounters(world.registry)
        self._connector = Connector(world.network, world.tls, world.timers, world.http_limits)
        self._request_ids = RequestIds(world.rng)
        # The whole mutable state is these fields.
        self.live: Live | None = None
        self._serving: Live | None = None
        """What connections live by: ``live``, or the variant of it that refuses when there is too much to do."""
        self.sources = Sources(world.limits.connections_per_source)
        self.overload = Overload(
            world.limits.memory, world.memory, world.timers, self.open_connections, self._set_serving
        )
        self._upstreams: dict[str, Upstream] = {}
        self._acceptors: dict[str, Acceptor] = {}
        """By listener name."""
        self._bound: dict[str, Binding] = {}
        self._leaving: set[Acceptor] = set()
        self._acceptor_nursery: trio.Nursery | None = None
        self._now: Callable[[], float] = trio.current_time
        self._draining = False
        self._stopped = trio.Event()

    # Applying snapshots.

    def prepare(self, snapshot: Snapshot) -> Prepared:
        """Compile a snapshot and open the sockets it needs; nothing that runs changes.

        Raises:
            ConfigError: it cannot be run: says what is wrong and where.
        """
        endpoints = _endpoints(snapshot)
        for cluster in snapshot.clusters:
            if cluster.discovery is Discovery.DNS and not endpoints.get(cluster.name):
                _log.warning("a DNS cluster without names", extra={"cluster": cluster.name})
        live = compile_live(snapshot, self.world, self._request_ids, self.live)
        bindings = self._plan_bindings(live)
        opened: dict[str, net.Listener] = {}
        try:
            for name, binding in bindings.items():
                if self._bound.get(name) != binding and self._keeper(name, binding, bindings) is None:
                    opened[name] = self._open(name, binding)
        except ConfigError:
            for listener in opened.values():
                listener.close()
            raise
        return Prepared(live, bindings, opened, endpoints)

    def discard(self, prepared: Prepared) -> None:
        """Give up a prepared snapshot that will not be committed."""
        for listener in prepared.opened.values():
            listener.close()

    def commit(self, prepared: Prepared) -> None:
        """Change over, at once. What left drains in the background."""
        live = prepared.live
        leaving = self._swap_upstreams(live, prepared.endpoints)
        acceptors = self._swap_acceptors(prepared)
        live.now = self._now
        live.own = frozenset(acceptor.address for acceptor in self._acceptors.values())
        self.live = live
        self._set_serving()
        for upstream in leaving:
            upstream.retire()
        for acceptor in acceptors:
            self._start(acceptor)
        for acceptor in self._acceptors.values():
            acceptor.adopt()
        _log.info(
            "configuration applied",
            extra={
                "version": live.snapshot.version,
                "listeners": len(self._acceptors),
                "clusters": len(self._upstreams),
            },
        )

    def current(self) -> Live:
        """The configuration that a request beginning now lives by."""
        assert self._serving is not None
        return self._serving

    def _set_serving(self) -> None:
        """A new configuration, or a new answer to whether there is too much to do."""
        self.counters.overload.set(1 if self.overload.active else 0)
        live = self.live
        self._serving = refusing(live, self.counters) if live is not None and self.overload.active else live

    def _plan_bindings(self, live: Live) -> dict[str, Binding]:
        bindings: dict[str, Binding] = {}
        taken: dict[Address, str] = {}
        for listener in live.snapshot.listeners:
            binding = self.world.bindings.of(listener)
            if binding is None:
                continue
            other = taken.setdefault(binding.address, listener.name) if binding.address.port else listener.name
            if other != listener.name:
                raise ConfigError(
                    f"{binding.address} is wanted by listener {other} too: give one of them another address",
                    origin=f"listener {listener.name}",
                )
            bindings[listener.name] = binding
        return bindings

    def _keeper(self, name: str, binding: Binding, bindings: Mapping[str, Binding]) -> str | None:
        """The listener whose socket a renamed listener takes over: same address, and it is leaving."""
        for other, bound in self._bound.items():
            if bound == binding and binding.address.port and other != name and bindings.get(other) != bound:
                return other
        return None

    def _open(self, name: str, binding: Binding) -> net.Listener:
        failure: OSError | None = None
        for address in binding.candidates(self.world.bindings.tries):
            try:
                return self.world.network.listen(address)
            except OSError as error:
                failure = error
        reason = (failure.strerror or str(failure)) if failure is not None else "no port is left"
        raise ConfigError(
            f"cannot listen on {binding.address}: {reason}; free it or choose another address",
            origin=f"listener {name}",
        ) from failure

    def _swap_acceptors(self, prepared: Prepared) -> list[Acceptor]:
        """Make the acceptors those of a prepared snapshot; returns the new ones, to be started."""
        before, bound = self._acceptors, self._bound
        after: dict[str, Acceptor] = {}
        fresh: list[Acceptor] = []
        for name, binding in prepared.bindings.items():
            if name in prepared.opened:
                after[name] = Acceptor(self, name, prepared.opened[name])
                fresh.append(after[name])
            elif bound.get(name) == binding:
                after[name] = before[name]
            else:
                keeper = self._keeper(name, binding, prepared.bindings)
                assert keeper is not None, "prepare opened no socket because there was one to keep"
                after[name] = before[keeper]
                after[name].name = name
        deadline = trio.current_time() + self.world.limits.drain_timeout if before else math.inf
        for acceptor in before.values():
            if acceptor not in after.values():
                self._leaving.add(acceptor)
                acceptor.drain(deadline)
        self._acceptors = after
        self._bound = dict(prepared.bindings)
        return fresh

    def _swap_upstreams(self, live: Live, endpoints: Mapping[str, tuple[Endpoint, ...]]) -> list[Upstream]:
        """Fill in ``live.upstreams``, keeping those that stay; returns the ones that leave."""
        before = self._upstreams
        after: dict[str, Upstream] = {}
        for cluster in live.snapshot.clusters:
            upstream = before.get(cluster.name)
            if upstream is None or not _same_kind(upstream.cluster, cluster):
                upstream = self._make_upstream(cluster)
            upstream.adopt(cluster, endpoints.get(cluster.name, ()))
            after[cluster.name] = upstream
        live.upstreams = self._upstreams = after
        return [upstream for name, upstream in before.items() if after.get(name) is not upstream]

    def _make_upstream(self, cluster: Cluster) -> Upstream:
        world = self.world
        uniform = world.rng.random
        match cluster.discovery:
            case Discovery.DNS:
                return DnsUpstream(
                    cluster,
                    self._connector,
                    uniform,
                    resolver=world.resolver,
                    refresh=world.limits.dns_refresh,
                    retry=world.limits.dns_retry,
                )
            case Discovery.ORIGINAL_DESTINATION:
                return PassthroughUpstream(cluster, self._connector, uniform, capacity=world.limits.destinations)
            case Discovery.ENDPOINTS:
                return Upstream(cluster, self._connector, uniform)

    # Running.

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until drained or cancelled. ``task_status.started()`` once snapshots can be served."""
        # Upstream connections outlive exchanges and acceptors: theirs is the outer nursery.
        # What fails in it is one connection's business and is reported to whoever waits for it.
        async with trio.open_nursery() as upstream_nursery:
            self._connector.nursery = upstream_nursery
            self._now = trio.lowlevel.current_clock().current_time
            if self.live is not None:
                self.live.now = self._now
                self._set_serving()
            self.overload.start()
            for upstream in self._upstreams.values():
                if isinstance(upstream, DnsUpstream):
                    upstream.start()
            try:
                async with trio.open_nursery() as acceptor_nursery:
                    self._acceptor_nursery = acceptor_nursery
                    for acceptor in self._acceptors.values():
                        self._start(acceptor)
                    task_status.started()
                    await self._stopped.wait()
            finally:
                self.overload.stop()
                self._acceptor_nursery = None
                for acceptor in self._acceptors.values():
                    acceptor.stop_listening()
                for upstream in self._upstreams.values():
                    upstream.retire()
                self._connector.nursery = None
                upstream_nursery.cancel_scope.cancel()

    def _start(self, acceptor: Acceptor) -> None:
        if self._acceptor_nursery is not None:
            self._acceptor_nursery.start_soon(self._accept, acceptor)

    async def _accept(self, acceptor: Acceptor) -> None:
        try:
            await acceptor.run()
        finally:
            self._leaving.discard(acceptor)

    async def drain(self, grace: float | None = None) -> None:
        """Stop: say that we are not ready, take no more, let exchanges end, cut them at the deadline.

        Args:
            grace: Seconds for exchanges under way; None takes the limit's.

        Cancellation: what is under way is cut.
        """
        limits = self.world.limits
        self._draining = True
        for acceptor in self._acceptors.values():
            acceptor.drain_signal.begin()
        if limits.drain_grace:
            await trio.sleep(limits.drain_grace)
        deadline = trio.current_time() + (limits.drain_timeout if grace is None else grace)
        going = [*self._acceptors.values(), *self._leaving]
        for acceptor in going:
            acceptor.drain(deadline)
        if self._acceptor_nursery is not None:
            for acceptor in going:
                await acceptor.done.wait()
        self._stopped.set()

    # Looking at it.

    @property
    def ready(self) -> Readiness:
        """Whether traffic can be taken, and if not, why."""
        live = self.live
        if self._draining:
            return Readiness("draining")
        if live is None:
            return Readiness("no configuration yet")
        if self._acceptor_nursery is None:
            return Readiness("not running yet")
        for listener in live.snapshot.listeners:
            for chain in listener.every_chain:
                if chain.tls is not None and chain.tls.certificate == "default":
                    missing = self.world.tls.missing(chain.tls)
                    if missing:
                        return Readiness(missing)
        return Readiness()

    @property
    def draining(self) -> bool:
        """Whether it has been told to stop."""
        return self._draining

    @property
    def addresses(self) -> Mapping[str, Address]:
        """Where each listener of the present configuration is really bound."""
        return {name: acceptor.address for name, acceptor in self._acceptors.items()}

    @property
    def acceptors(self) -> tuple[Acceptor, ...]:
        """The present ones."""
        return tuple(self._acceptors.values())

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """The present ones, by cluster name."""
        return self._upstreams

    def open_connections(self) -> int:
        """Downstream connections, of leaving listeners too."""
        return sum(acceptor.open for acceptor in self._acceptors.values()) + sum(
            acceptor.open for acceptor in self._leaving
        )

    def statistics(self) -> EngineStatistics:
        """Numbers of the moment."""
        upstreams = self._upstreams.values()
        return EngineStatistics(
            version=self.live.snapshot.version if self.live is not None else "",
            listeners=len(self._acceptors),
            connections=self.open_connections(),
            clusters=len(self._upstreams),
            upstream_connections=sum(upstream.connections for upstream in upstreams),
            requests_active=sum(upstream.active for upstream in upstreams),
            draining=self._draining,
        )


def _endpoints(snapshot: Snapshot) -> dict[str, tuple[Endpoint, ...]]:
    found: dict[str, tuple[Endpoint, ...]] = {}
    names = set()
    for cluster in snapshot.clusters:
        if cluster.name in names:
            raise ConfigError("two clusters have this name", origin=f"cluster {cluster.name}")
        names.add(cluster.name)
    for group in snapshot.endpoints:
        found[group.cluster] = found.get(group.cluster, ()) + group.endpoints
    return found


def _same_kind(one: Cluster, other: Cluster) -> bool:
    """Do connections made for one serve the other?"""
    return one.discovery is other.discovery and one.tls == other.tls and one.http2 == other.http2
