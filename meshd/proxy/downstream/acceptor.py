"""Accepting: from a new connection to the filter chain that treats it.

accept (bounded) -> first bytes, when they decide (bounded) -> filter chain ->
TLS, with the context of this moment -> connection filters -> HTTP or TCP.

A failure in a connection's task ends that connection: it is logged where it is a
bug, and the acceptor goes on. The nursery of connections is the acceptor's own,
so that a drain is a deadline on it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs
import trio

from meshd.errors import ConfigError, ConnectionLost, Denied, IdentityError, MeshdError, ProtocolError
from meshd.http.head import ResponseHead
from meshd.http.limits import HttpLimits
from meshd.http.server import serve_connection
from meshd.http.serving import Drain
from meshd.net import connection as net
from meshd.net.address import Address
from meshd.net.sniff import Sniffed, inspect
from meshd.policy.exchange import ConnectionInfo
from meshd.proxy.downstream.http import HttpConnection
from meshd.proxy.downstream.leaving import Chains, OnChain
from meshd.proxy.downstream.tcp import TcpConnection
from meshd.proxy.live import Live, LiveChain, LiveListener, Manager
from meshd.proxy.peer_metadata import namespace_of
from meshd.proxy.reply import from_error, render
from meshd.snapshot.chains import ConnectionFacts, select_chain
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import HttpManager, Listener

if TYPE_CHECKING:
    from meshd.proxy.engine import Engine

_log = logging.getLogger(__name__)

_GONE = (OSError, trio.ClosedResourceError, trio.BrokenResourceError)


class Acceptor:
    """One bound address. Created, renamed and drained by the engine; its socket outlives snapshots that keep it."""

    def __init__(self, engine: Engine, name: str, listener: net.Listener) -> None:
        self._engine = engine
        self._listener = listener
        self.address: Address = listener.address
        self.drain_signal = Drain()
        self._chains = Chains(self.drain_signal)
        # The whole mutable state: which listener of the snapshot this is now, how many
        # connections are open, the nursery they live in, and whether more are wanted.
        self.name = name
        self.open = 0
        self.connections: trio.Nursery | None = None
        self.listening = True
        self._deadline = float("inf")
        self.done = trio.Event()

    async def run(self) -> None:
        """Accept until told to stop; return when the last connection has ended."""
        try:
            async with trio.open_nursery() as connections:
                self.connections = connections
                connections.cancel_scope.deadline = self._deadline
                while self.listening:
                    try:
                        connection = await self._listener.accept()
                    except trio.ClosedResourceError:
                        break
                    if self._full():
                        connection.close()
                        continue
                    connections.start_soon(self._serve, connection)
        finally:
            self.stop_listening()
            self.done.set()

    def stop_listening(self) -> None:
        """Take no more connections."""
        self.listening = False
        self._listener.close()

    def adopt(self) -> None:
        """A new configuration is in force: connections of a kind that it does not take any more end, see ``OnChain``."""
        live = self._engine.live
        if live is not None:
            world = self._engine.world
            deadline = trio.current_time() + world.limits.drain_timeout
            self._chains.adopt(live.listeners.get(self.name), world.timers, deadline)

    def drain(self, deadline: float) -> None:
        """Stop listening, let exchanges under way end, and cut what is left at ``deadline`` (trio's clock)."""
        self.stop_listening()
        self.drain_signal.begin()
        self._deadline = min(self._deadline, deadline)
        if self.connections is not None:
            self.connections.cancel_scope.deadline = self._deadline

    def _full(self) -> bool:
        engine = self._engine
        limits = engine.world.limits
        if self.open >= limits.connections_per_listener:
            engine.counters.refused.labels(self.name, "listener_limit").inc()
            return True
        if engine.open_connections() >= limits.connections:
            engine.counters.refused.labels(self.name, "limit").inc()
            return True
        return False

    async def _serve(self, connection: net.Connection) -> None:
        engine = self._engine
        name = self.name
        self.open += 1
        gauge = engine.counters.open.labels(name)
        gauge.inc()
        engine.counters.accepted.labels(name).inc()
        try:
            await self._treat(connection)
        except trio.Cancelled:
            # A drain's deadline: a reset, so that nothing cut looks complete.
            connection.abort(ConnectionLost("the proxy stops"))
            raise
        except (MeshdError, *_GONE) as error:
            _log.debug("connection ended", extra={"listener": name, "reason": str(error)})
            connection.abort(error)
        except Exception as error:  # noqa: BLE001 - a bug ends its connection and nothing else
            engine.counters.bugs.inc()
            _log.exception("a bug in meshd ended a connection", extra={"listener": name})
            connection.abort(error)
        except BaseExceptionGroup as group:
            # Cancelled, and one of its tasks met something else meanwhile: that is this connection's business.
            connection.abort(ConnectionLost("the proxy stops"))
            cancelled = group.subgroup(trio.Cancelled)
            raise cancelled or group from None
        finally:
            connection.close()
            self.open -= 1
            gauge.inc(-1)

    async def _treat(self, connection: net.Connection) -> None:
        engine = self._engine
        live = engine.live
        listener = live.listeners.get(self.name) if live is not None else None
        if live is None or listener is None:
            return
        port = _destination_port(listener.listener)
        sniffed = await self._sniff(connection, listener)
        facts = ConnectionFacts(
            destination_port=port,
            destination_ip=connection.local.host,
            server_name=sniffed.server_name,
            transport_protocol=sniffed.transport_protocol,
            application_protocols=sniffed.application_protocols,
        )
        chosen = select_chain(listener.listener, facts)
        if chosen is None:
            self._refuse(connection, "no_filter_chain", "no filter chain takes this connection")
            return
        chain = listener.chosen[id(chosen)]
        if chosen.tls is not None:
            secured = await self._secure(connection, chain, sniffed.server_name)
            if secured is None:
                return
            connection = secured
        info = _info(listener.listener, chain, connection, port, sniffed.server_name)
        for item in chain.filters:
            denial = item.accept(info)
            if denial is not None:
                self._refuse(connection, "denied", denial.detail)
                return
        if chain.manager is not None:
            await self._serve_http(connection, info, chain.manager, self._enter(live, chain))
        else:
            await self._serve_opaque(TcpConnection(info, connection, live, chain), self._enter(live, chain))

    def _enter(self, live: Live, chain: LiveChain) -> OnChain:
        """Count a connection among its chain's, which may have left while hands were shaken."""
        entered = self._chains.of(self.name, chain)
        if self._engine.live is not live:
            self.adopt()
        return entered

    async def _sniff(self, connection: net.Connection, listener: LiveListener) -> Sniffed:
        if not listener.inspects:
            return Sniffed()
        timeout = listener.listener.detection_timeout or self._engine.world.limits.sniff_timeout
        with trio.move_on_after(timeout):
            return await inspect(connection, tls=True, http=listener.inspects_http)
        # Silence: an opaque connection, which may be one whose server speaks first.
        return Sniffed()

    async def _secure(self, connection: net.Connection, chain: LiveChain, server_name: str) -> net.Connection | None:
        """The TLS handshake; None when it failed (the client has been told as TLS tells it)."""
        tls = chain.chain.tls
        assert tls is not None
        timeout = self._engine.world.limits.handshake_timeout
        reason = f"no handshake within {timeout:g} s"
        with trio.move_on_after(timeout):
            try:
                return await self._engine.world.tls.accept(connection, tls, server_name)
            except (IdentityError, ConfigError, ConnectionLost, ProtocolError) as error:
                reason = str(error)
        self._refuse(connection, "tls_handshake", reason)
        return None

    async def _serve_opaque(self, connection: TcpConnection, entered: OnChain) -> None:
        with trio.CancelScope() as scope:
            entered.opaque.add(scope)
            try:
                await connection.run()
            finally:
                entered.opaque.discard(scope)

    async def _serve_http(
        self, connection: net.Connection, info: ConnectionInfo, manager: Manager, entered: OnChain
    ) -> None:
        engine = self._engine
        http = HttpConnection(info, connection, manager, current=engine.current, on_bug=engine.counters.bugs.inc)
        stranger = info.direction is Direction.GATEWAY

        def protocol_error(broken: net.Connection, error: ProtocolError) -> tuple[ResponseHead, bytes]:
            engine.counters.broken_requests.labels(info.listener).inc()
            _log.info(
                "broken request",
                extra={"listener": info.listener, "peer": str(broken.peer), "reason": str(error)},
            )
            return render(from_error(error), grpc=False, stranger=stranger)

        def bug(error: BaseException) -> None:
            engine.counters.bugs.inc()
            _log.error("a bug in meshd", exc_info=error, extra={"listener": info.listener})

        await serve_connection(
            connection,
            http.handle,
            timers=engine.world.timers,
            limits=limits_of(manager.http, engine.world.http_limits),
            accept_http_10=manager.http.accept_http_10,
            drain=entered.drain,
            on_protocol_error=protocol_error,
            on_bug=bug,
        )

    def _refuse(self, connection: net.Connection, reason: str, why: str) -> None:
        self._engine.counters.refused.labels(self.name, reason).inc()
        _log.info(
            "connection refused",
            extra={"listener": self.name, "peer": str(connection.peer), "reason": reason, "detail": why},
        )
        connection.abort(Denied(why))


def limits_of(http: HttpManager, limits: HttpLimits) -> HttpLimits:
    """The process's limits with what the configuration says for this chain."""
    return attrs.evolve(
        limits,
        idle_timeout=http.idle_timeout,
        header_timeout=http.request_headers_timeout or limits.header_timeout,
        # Istio's 0 is "off"; a silent peer is then bounded as an idle connection is.
        stream_idle_timeout=http.stream_idle_timeout or http.idle_timeout,
    )


def _destination_port(listener: Listener) -> int:
    """The port that policies and chains see: the application's when inbound, the mesh's otherwise."""
    return listener.default_destination_port or listener.port


def _info(
    listener: Listener,
    chain: LiveChain,
    connection: net.Connection,
    port: int,
    server_name: str,
) -> ConnectionInfo:
    tls = connection.tls
    principal = tls.peer_uri.removeprefix("spiffe://") if tls is not None else ""
    return ConnectionInfo(
        direction=listener.direction,
        peer=connection.peer,
        local=connection.local,
        destination_port=port,
        principal=principal,
        namespace=namespace_of(principal),
        server_name=server_name,
        tls=tls is not None,
        mtls=tls is not None and bool(tls.peer_certificate),
        listener=listener.name,
        chain=chain.chain.kind,
    )
