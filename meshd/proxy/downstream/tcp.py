"""Opaque bytes from a client to a cluster and back, each direction ending on its own."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from meshd.errors import ConnectionLost, DeadlineExceeded, MeshdError, ResponseFlag, UpstreamError
from meshd.http.head import RequestHead
from meshd.net.connection import Connection
from meshd.net.timers import Timer
from meshd.policy.exchange import ConnectionInfo, Exchange
from meshd.proxy.destination import connection_destination, host_at
from meshd.proxy.live import Live, LiveChain
from meshd.proxy.upstream.host import Host
from meshd.proxy.upstream.passthrough import PassthroughUpstream
from meshd.proxy.upstream.upstream import Upstream
from meshd.snapshot.listener import TcpProxy


class TcpConnection:
    """One client connection relayed as bytes. Made by the acceptor once the chain is known."""

    def __init__(self, info: ConnectionInfo, connection: Connection, live: Live, chain: LiveChain) -> None:
        self._connection = connection
        self._live = live
        self._chain = chain
        # A connection is logged as an exchange without a method.
        self._exchange = Exchange(info, RequestHead(b"", b""), trio.current_time())

    async def run(self) -> None:
        """Relay until both directions have ended; then log."""
        exchange = self._exchange
        connection = self._connection
        try:
            await self._relay()
            connection.close()
        except UpstreamError as error:
            exchange.flags.append(error.flag)
            if error.flag is ResponseFlag.UPSTREAM_CONNECTION_FAILURE:
                exchange.flags.append(ResponseFlag.RETRY_LIMIT_EXCEEDED)
            exchange.upstream_failure = exchange.reason = str(error)
            connection.abort(error)
        except (MeshdError, OSError) as error:
            exchange.reason = str(error)
            connection.abort(error)
        except BaseException:
            # Cancelled by a drain's deadline, or a bug: a reset, so that nothing cut looks complete.
            exchange.reason = "the proxy ended this connection"
            connection.abort(ConnectionLost("the proxy ends this connection"))
            raise
        finally:
            connection.close()
            if self._live.logger is not None:
                self._live.logger.log(exchange, trio.current_time())
            if self._live.observe is not None:
                self._live.observe(exchange, trio.current_time())

    async def _relay(self) -> None:
        exchange, live = self._exchange, self._live
        tcp = self._chain.tcp
        assert tcp is not None
        upstream = self._choose(tcp)
        exchange.cluster = upstream.cluster.name
        await upstream.wait_ready()
        host = self._host(upstream)
        exchange.upstream_host = host.name
        exchange.upstream_peer = host.endpoint.peer
        exchange.attempts = 1
        host.requests += 1
        other = await upstream.open_tcp(host)
        exchange.upstream_local = str(other.local)
        exchange.upstream_mtls = other.tls is not None and bool(other.tls.peer_uri)
        series = live.tcp_metrics.series(exchange)
        series.opened.inc()
        try:
            timeout = tcp.idle_timeout or upstream.cluster.limits.tcp_idle_timeout
            await _Relay(self._connection, other, exchange, live, timeout).run()
            host.successes += 1
        finally:
            other.close()
            upstream.closed_tcp(host)
            series.closed.inc()
            series.received.inc(exchange.bytes_received)
            series.sent.inc(exchange.bytes_sent)

    def _choose(self, tcp: TcpProxy) -> Upstream:
        live = self._live
        at = live.rng.random() * sum(weight for _, weight in tcp.clusters)
        name = ""
        for name, weight in tcp.clusters:  # noqa: B007 - the last one stands when rounding leaves the loop
            at -= weight
            if at < 0:
                break
        upstream = live.upstreams.get(name)
        if upstream is None:
            cause = f"the destination {name} does not exist"
            raise UpstreamError("no cluster", ResponseFlag.NO_CLUSTER, cause=cause)
        return upstream

    def _host(self, upstream: Upstream) -> Host:
        if not isinstance(upstream, PassthroughUpstream):
            return upstream.pick()
        info = self._exchange.connection
        return host_at(upstream, info, connection_destination(info), self._live)


class _Relay:
    """Two pumps, each the reader of one side and the writer of the other."""

    def __init__(self, client: Connection, server: Connection, exchange: Exchange, live: Live, timeout: float) -> None:
        self._client = client
        self._server = server
        self._exchange = exchange
        self._live = live
        self._timeout = timeout
        # The whole mutable state: the idle timer, and the first failure.
        self._timer: Timer | None = None
        self._failure: Exception | None = None

    async def run(self) -> None:
        timeout = self._timeout
        if timeout and timeout < math.inf:
            self._timer = self._live.timers.after(timeout, self._idle)
        try:
            # Either pump's failure ends both: it aborts the two connections.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pump, self._client, self._server, self._count_up)
                nursery.start_soon(self._pump, self._server, self._client, self._count_down)
        finally:
            if self._timer is not None:
                self._timer.cancel()
        if self._failure is not None and not isinstance(self._failure, DeadlineExceeded):
            raise self._failure

    def _count_up(self, size: int) -> None:
        self._exchange.bytes_received += size

    def _count_down(self, size: int) -> None:
        self._exchange.bytes_sent += size

    def _idle(self) -> None:
        self._fail(DeadlineExceeded("tcp idle timeout"))

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
            if isinstance(error, DeadlineExceeded):
                self._client.close()
                self._server.close()
            self._client.abort(error)
            self._server.abort(error)

    async def _pump(self, source: Connection, sink: Connection, count: Callable[[int], None]) -> None:
        try:
            while data := await source.receive():
                count(len(data))
                if self._timer is not None:
                    self._timer.deadline = trio.current_time() + self._timeout
                await sink.send(data)
            await sink.send_eof()
            if self._timer is not None:
                # The other direction may go on, but not in silence for ever.
                limit = min(self._timeout, self._live.limits.tcp_half_close_timeout)
                self._timeout = limit
                self._timer.cancel()
                self._timer = self._live.timers.after(limit, self._idle)
        except (ConnectionLost, DeadlineExceeded, OSError, trio.ClosedResourceError, trio.BrokenResourceError) as error:
            self._fail(error)
