"""A cluster at run time: its hosts, which is next, and streams to them.

``pick`` and ``lease_nowait`` decide and never wait: on the plain path a request
finds a free connection and goes. ``lease`` waits in line while a connection is
made. Connections are made in the engine's nursery, not in the request's task: a
client that leaves does not waste a handshake.

A change of hosts is one assignment of a new balancer. A host that left is
``retired``: what is under way on it ends as if nothing had happened, and its
connections close as they become free.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Sequence

import trio

from meshd.errors import ResponseFlag, UpstreamError
from meshd.net.connection import Connection
from meshd.net.timers import Timer
from meshd.proxy.upstream.balancer import Balancer, balancer_for
from meshd.proxy.upstream.connect import Connector, mutual
from meshd.proxy.upstream.host import Host
from meshd.proxy.upstream.lease import Lease
from meshd.proxy.upstream.pool import Pooled, Waiter
from meshd.snapshot.cluster import Cluster, Endpoint

_log = logging.getLogger(__name__)

NO_HOST: Collection[Host] = ()


class Upstream:
    """One cluster's hosts and connections. Created and retired by the engine."""

    def __init__(self, cluster: Cluster, connector: Connector, uniform: Callable[[], float]) -> None:
        self.cluster = cluster
        self._wears = _wears(cluster)
        self.connector = connector
        self._uniform = uniform
        # The whole mutable state is what follows.
        self.hosts: dict[tuple[str, int, bool, str], Host] = {}
        self._given: Sequence[Endpoint] | None = None
        """The endpoints as they were last given."""
        self._balancer: Balancer[Host] | None = None
        self.only: Host | None = None
        """The one host, when there is no choice."""
        self.leaving: set[Host] = set()
        self.connections = 0
        self.active = 0
        self.pending = 0
        self.retries = 0
        self.overflows = 0
        self.retired = False
        self._sweep: Timer | None = None
        self.simple = True
        """``pick`` alone gives a host: nothing has to be looked up or worked out first."""
        self.known = True
        """Whether the hosts are known; where names must be looked up first, ``wait_ready`` waits for it."""
        self.trouble = ""
        """Why there is no host, when somebody knows better than "no endpoint"."""

    # Hosts.

    def adopt(self, cluster: Cluster, endpoints: Sequence[Endpoint]) -> None:
        """Take over settings and endpoints; hosts that stay keep their connections and state."""
        if cluster == self.cluster and endpoints == self._given:
            return
        self.cluster = cluster
        self._wears = _wears(cluster)
        self._given = endpoints
        self.set_endpoints(endpoints)

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Make these the hosts."""
        before = self.hosts
        hosts: dict[tuple[str, int, bool, str], Host] = {}
        for endpoint in endpoints:
            key = Host.key(endpoint)
            host = before.get(key)
            if host is None:
                host = Host(endpoint)
            else:
                host.adopt(endpoint)
            hosts[key] = host
        present = tuple(hosts.values())
        self._balancer = balancer_for(self.cluster.balancing, present, self._uniform) if present else None
        self.hosts = hosts
        self.only = present[0] if len(present) == 1 else None
        for key, host in before.items():
            if key not in hosts:
                self.retire_host(host)

    def retire_host(self, host: Host) -> None:
        """Let a host go: free connections close now, the others when they become free."""
        host.retired = True
        for pooled in list(host.pool.idle):
            self._drop(host, pooled)
        for pooled in list(host.pool.multiplexed):
            if pooled.client.is_idle():
                self._drop(host, pooled)
        if host.active or host.pool.open or host.pool.connecting:
            self.leaving.add(host)

    def retire(self) -> None:
        """The cluster is gone: exchanges under way end, connections with them."""
        self.retired = True
        for host in self.hosts.values():
            self.retire_host(host)
        self._stop_sweeping()

    async def wait_ready(self) -> None:
        """Wait until hosts are known. Here they always are; see ``dns.py``."""

    def pick(self, avoid: Collection[Host] = NO_HOST, tries: int = 1) -> Host:
        """The host for the next try.

        Args:
            avoid: Hosts that failed this request already.
            tries: How often to pick again to avoid them; then the last pick stands.

        Raises:
            UpstreamError: there is no host (UH).
        """
        balancer = self._balancer
        if balancer is None:
            raise UpstreamError(
                "no healthy upstream",
                ResponseFlag.NO_HEALTHY_UPSTREAM,
                cause=self.trouble or f"{self.cluster.name} has no endpoint",
            )
        host = balancer.pick()
        if avoid:
            while host in avoid and tries > 0:
                host = balancer.pick()
                tries -= 1
        return host

    def named(self, name: str) -> Host | None:
        """The host with this address, ``10.0.0.3:9080``; None when it has left."""
        return next((host for host in self.hosts.values() if host.name == name), None)

    # Streams.

    def take(self, host: Host) -> Pooled | None:
        """A free HTTP/1.1 connection, for an exchange that the caller makes on it and ends with ``returned``.

        Raises:
            UpstreamError: the cluster's request limit is reached (UO).
        """
        most = self.cluster.limits.max_requests
        if self.active + self.pending >= most:
            raise self._overflow("max_requests", most)
        idle = host.pool.idle
        while idle:
            pooled = idle.pop()
            client = pooled.client
            if client.is_available():
                client.connection.on_hangup = None
                host.active += 1
                host.requests += 1
                self.active += 1
                return pooled
            self._drop(host, pooled)
        return None

    def lease_nowait(self, host: Host) -> Lease | None:
        """A stream on a connection that has room now; None when ``lease`` must wait for one.

        Raises:
            UpstreamError: the cluster's request limit is reached (UO).
        """
        pooled = self.take(host)
        if pooled is not None:
            return Lease(self, host, pooled, pooled.client.open())
        if host.pool.multiplexed and (shared := host.pool.take()) is not None:
            host.active += 1
            return self._leased(host, shared)
        return None

    async def lease(self, host: Host, waiter: Waiter) -> Lease:
        """Wait in line for a stream. ``waiter.abort`` ends the wait.

        Raises:
            UpstreamError: no connection could be made (UF), or the line is full (UO).
        """
        limits = self.cluster.limits
        if self.pending >= limits.max_pending_requests:
            raise self._overflow("max_pending_requests", limits.max_pending_requests)
        self.pending += 1
        host.active += 1
        host.pool.waiters.append(waiter)
        for pooled in [each for each in host.pool.multiplexed if each.client.is_closed()]:
            self._drop(host, pooled)
        self._grow(host)
        lease = None
        try:
            lease = await waiter.wait()
        finally:
            self.pending -= 1
            if lease is None and waiter.lease is None:
                host.active -= 1
        return lease

    async def open_tcp(self, host: Host) -> Connection:
        """A byte stream to a host. The caller ends it with ``closed_tcp``.

        Raises:
            UpstreamError: none could be made (UF), or there are too many (UO).
        """
        limits = self.cluster.limits
        if self.connections >= limits.max_connections:
            raise self._overflow("max_connections", limits.max_connections)
        self.connections += 1
        host.active += 1
        try:
            connection = await self.connector.open_tcp(self.cluster, host)
        except BaseException as error:
            self.closed_tcp(host)
            if isinstance(error, UpstreamError):
                host.connect_failures += 1
            raise
        host.connections += 1
        return connection

    def closed_tcp(self, host: Host) -> None:
        """A byte stream has ended."""
        self.connections -= 1
        host.active -= 1

    def _leased(self, host: Host, pooled: Pooled) -> Lease:
        client = pooled.client
        if not pooled.multiplexed:
            client.connection.on_hangup = None
        host.requests += 1
        self.active += 1
        return Lease(self, host, pooled, client.open())

    def returned(self, host: Host, pooled: Pooled) -> None:
        """A stream has ended (called by its lease): its connection serves the next, or is closed."""
        self.active -= 1
        host.active -= 1
        client = pooled.client
        if pooled.multiplexed:
            if not (host.retired or client.is_closed() or self._worn(pooled)):
                pass
            elif client.is_idle() or client.is_closed():
                self._drop(host, pooled)
            else:
                # No new streams on it; it closes with its last one.
                host.pool.remove(pooled)
        elif host.retired or not client.is_available() or (self._wears and self._worn(pooled)):
            self._drop(host, pooled)
        else:
            self._rest(host, pooled)
        if host.pool.waiters:
            self._serve(host)

    def _worn(self, pooled: Pooled) -> bool:
        """Has a connection carried, or lived through, as much as the cluster allows?"""
        limits = self.cluster.limits
        most, duration = limits.max_requests_per_connection, limits.max_connection_duration
        return (most > 0 and pooled.client.requests >= most) or (
            duration > 0 and trio.current_time() - pooled.born >= duration
        )

    def _rest(self, host: Host, pooled: Pooled) -> None:
        """Put a free HTTP/1.1 connection where the next request finds it first."""
        pooled.client.connection.on_hangup = pooled.hangup_hook
        host.pool.idle.append(pooled)
        if self._sweep is None:
            self._sweep_later()

    def _serve(self, host: Host) -> None:
        """Give what has room to those in line, then connect for the rest."""
        pool = host.pool
        while pool.waiters:
            pooled = pool.take()
            if pooled is None:
                break
            if not pooled.client.is_available():
                self._drop(host, pooled)
                continue
            waiter = pool.next_waiter()
            if waiter is None:
                if not pooled.multiplexed:
                    self._rest(host, pooled)
                break
            waiter.give(self._leased(host, pooled))
        if host.retired:
            for pooled in list(pool.idle):
                self._drop(host, pooled)
        self._grow(host)

    def _grow(self, host: Host) -> None:
        pool = host.pool
        wanted = pool.wanted(http2=self.cluster.http2)
        nursery = self.connector.nursery
        while wanted > 0:
            if self.connections >= self.cluster.limits.max_connections and not self._make_room(host):
                return
            if nursery is None:
                raise RuntimeError("an upstream is used before its engine runs")
            self.connections += 1
            pool.connecting += 1
            wanted -= 1
            nursery.start_soon(self._connect, host)

    def _make_room(self, host: Host) -> bool:
        """At the limit of connections: close a free one elsewhere, or let a host without any have its first (Envoy)."""
        for other in self.hosts.values():
            if other is not host and other.pool.idle:
                self._close(other, other.pool.idle[0])
                return True
        return host.pool.open + host.pool.connecting == 0

    async def _connect(self, host: Host) -> None:
        pool = host.pool
        try:
            client = await self.connector.open(self.cluster, host)
        except UpstreamError as error:
            self.connections -= 1
            pool.connecting -= 1
            host.connect_failures += 1
            _log.info(
                "connection failed",
                extra={"cluster": self.cluster.name, "host": host.name, "reason": str(error)},
            )
            # Those in line fail together, as in Envoy: each may try elsewhere.
            while (waiter := pool.next_waiter()) is not None:
                waiter.abort(error)
            self._settle(host)
            return
        except BaseException:
            self.connections -= 1
            pool.connecting -= 1
            raise
        pool.connecting -= 1
        pool.open += 1
        host.connections += 1
        pooled = Pooled(client, trio.current_time(), mtls=mutual(self.cluster, host.endpoint))
        pooled.hangup_hook = lambda: self._hung_up(host, pooled)
        if pooled.multiplexed:
            pool.multiplexed.append(pooled)
            self._sweep_later()
        else:
            self._rest(host, pooled)
        if host.retired and not pool.waiters:
            self._drop(host, pooled)
        else:
            self._serve(host)

    def _hung_up(self, host: Host, pooled: Pooled) -> None:
        """The peer closed a connection that was free."""
        if pooled in host.pool.idle:
            self._drop(host, pooled)

    def _drop(self, host: Host, pooled: Pooled) -> None:
        """Close a connection for good; at the limit, whoever waits anywhere may have its place."""
        self._close(host, pooled)
        if self.connections + 1 >= self.cluster.limits.max_connections:
            for other in self.hosts.values():
                if other.pool.waiters:
                    self._grow(other)

    def _close(self, host: Host, pooled: Pooled) -> None:
        host.pool.remove(pooled)
        pooled.client.connection.on_hangup = None
        pooled.client.close()
        host.pool.open -= 1
        self.connections -= 1
        self._settle(host)

    def _settle(self, host: Host) -> None:
        if host.retired and not (host.active or host.pool.open or host.pool.connecting):
            self.leaving.discard(host)

    def _overflow(self, limit: str, value: int) -> UpstreamError:
        self.overflows += 1
        cause = f"{self.cluster.name} is at its limit {limit}={value}"
        return UpstreamError("overflow", ResponseFlag.UPSTREAM_OVERFLOW, cause=cause)

    # Sweeping idle connections.

    def _sweep_later(self) -> None:
        if self._sweep is None and not self.retired:
            limits = self.cluster.limits
            after = min(limits.idle_timeout, limits.max_connection_duration or limits.idle_timeout)
            self._sweep_at(trio.current_time() + after)

    def _sweep_at(self, deadline: float) -> None:
        self._sweep = self.connector.timers.at(deadline, self._sweep_now)

    def _stop_sweeping(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _sweep_now(self) -> None:
        self._sweep = None
        limits = self.cluster.limits
        now = trio.current_time()
        earliest = math.inf
        for host in (*self.hosts.values(), *self.leaving):
            pool = host.pool
            for pooled in list(pool.overdue(now, limits.idle_timeout, limits.max_connection_duration)):
                self._drop(host, pooled)
            for pooled in (*pool.idle, *pool.multiplexed):
                if pooled.client.is_idle():
                    expiry = pool.expires(pooled, limits.idle_timeout, limits.max_connection_duration)
                else:
                    expiry = now + limits.idle_timeout
                earliest = min(earliest, expiry)
        if earliest < math.inf and not self.retired:
            self._sweep_at(earliest)


def _wears(cluster: Cluster) -> bool:
    """Is there a bound to what one connection may carry or live through?"""
    return cluster.limits.max_requests_per_connection > 0 or cluster.limits.max_connection_duration > 0
