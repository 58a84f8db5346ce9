"""Accepting: from a new connection to the filter chain that treats it.

accept (bounded) -> first bytes, when they decide (bounded) -> filter chain ->
TLS, with the context of this moment -> connection filters -> HTTP or TCP.

A failure in a connection's task ends that connection: it is logged where it is a
bug, and the acceptor goes on. The nursery of connections is the acceptor's own,
so that a drain is a deadline on it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
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
from meshd.net.proxy_protocol import read_header
from meshd.net.sniff import Sniffed, inspect
from meshd.policy.exchange import ConnectionInfo
from meshd.proxy.downstream.captured import Taken, take
from meshd.proxy.downstream.http import HttpConnection
from meshd.proxy.downstream.leaving import Chains, OnChain
from meshd.proxy.downstream.tcp import TcpConnection
from meshd.proxy.live import Live, LiveChain, LiveListener, Manager
from meshd.proxy.peer_metadata import namespace_of
from meshd.proxy.reply import from_error, render
from meshd.snapshot.chains import ConnectionFacts, select_chain
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import HttpManager

if TYPE_CHECKING:
    from meshd.proxy.engine import Engine

_log = logging.getLogger(__name__)

LOOP = "this proxy's own connections are captured: run it as the user that `meshd capture install --proxy-uid` names"

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
                    source = self._admit(connection)
                    if source is None:
                        connection.close()
                        continue
                    connections.start_soon(self._serve, connection, source)
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
            self._chains.adopt(live.listeners, self.name, world.timers, deadline)

    def drain(self, deadline: float) -> None:
        """Stop listening, let exchanges under way end, and cut what is left at ``deadline`` (trio's clock)."""
        self.stop_listening()
        self.drain_signal.begin()
        self._deadline = min(self._deadline, deadline)
        if self.connections is not None:
            self.connections.cancel_scope.deadline = self._deadline

    def _admit(self, connection: net.Connection) -> str | None:
        """Count a new connection if there may be one more; its source, see ``Sources``, or None."""
        engine = self._engine
        limits = engine.world.limits
        reason = ""
        if self.open >= limits.connections_per_listener:
            reason = "listener_limit"
        elif engine.open_connections() >= limits.connections:
            reason = "limit"
        listener = engine.live.listeners.get(self.name) if engine.live is not None else None
        # A load balancer is no client: whose a connection is, it says itself (see ``_introduce``).
        told = listener is not None and listener.listener.proxy_protocol
        source = None if reason else "" if told else engine.sources.enter(connection.peer.host)
        if source is None:
            engine.counters.refused.labels(self.name, reason or "source_limit").inc()
            return None
        # Here, not in its task, so that a burst is counted while it is accepted.
        self.open += 1
        return source

    async def _serve(self, connection: net.Connection, source: str) -> None:
        engine = self._engine
        name = self.name
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
            engine.sources.leave(source)
            gauge.inc(-1)

    async def _treat(self, connection: net.Connection) -> None:
        engine = self._engine
        if engine.live is None:
            return
        live = engine.current()
        listener = live.listeners.get(self.name)
        if listener is None:
            return
        if not listener.listener.proxy_protocol:
            await self._treat_known(connection, live, listener)
            return
        direct = connection.peer
        source = await self._introduce(connection)
        if source is None:
            return
        try:
            await self._treat_known(connection, live, listener, direct)
        finally:
            engine.sources.leave(source)

    async def _introduce(self, connection: net.Connection) -> str | None:
        """Take off the header that says whose connection this is; its source, see ``Sources``, or None when refused."""
        limits = self._engine.world.limits
        told, why = None, f"no PROXY protocol header within {limits.sniff_timeout:g} s"
        with trio.move_on_after(limits.sniff_timeout):
            try:
                told = await read_header(connection, limits.max_proxy_header)
            except (ConnectionLost, ProtocolError) as error:
                why = str(error)
        if told is None:
            self._refuse(connection, "proxy_protocol", why)
            return None
        if told.source is not None and told.destination is not None:
            connection.peer, connection.local = told.source, told.destination
        source = self._engine.sources.enter(connection.peer.host)
        if source is None:
            self._refuse(connection, "source_limit", "this client has too many connections")
        return source

    async def _treat_known(
        self, connection: net.Connection, live: Live, listener: LiveListener, direct: Address | None = None
    ) -> None:
        """``direct``: who made the connection, when it is someone else's."""
        engine = self._engine
        taken = take(connection, self.address, live, listener)
        listener, port = taken.listener, taken.port
        if taken.captured and engine.world.own_connections.made(connection.peer, connection.local, live.now()):
            self._refuse(connection, "loop", LOOP)
            return
        sniffed = await self._sniff(connection, taken)
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
        info = _info(taken, chain, connection, sniffed.server_name, direct)
        for item in chain.filters:
            denial = item.accept(info)
            if denial is not None:
                self._refuse(connection, "denied", denial.detail)
                return
        if chain.manager is not None:
            await self._serve_http(connection, info, chain.manager, self._enter(live, chain, taken))
        elif engine.overload.active:
            self._refuse(connection, "overload", "the proxy is short of memory")
        else:
            await self._serve_opaque(TcpConnection(info, connection, live, chain), self._enter(live, chain, taken))

    def _enter(self, live: Live, chain: LiveChain, taken: Taken) -> OnChain:
        """Count a connection among its chain's, which may have left while hands were shaken."""
        name = taken.listener.listener.name if taken.captured else self.name
        entered = self._chains.of(name, chain, captured=taken.captured)
        if self._engine.current() is not live:
            self.adopt()
        return entered

    async def _sniff(self, connection: net.Connection, taken: Taken) -> Sniffed:
        if not taken.inspects:
            return Sniffed()
        listener = taken.listener
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

        with self._ageing(entered.drain) as drain:
            await serve_connection(
                connection,
                http.handle,
                timers=engine.world.timers,
                limits=limits_of(manager.http, engine.world.http_limits),
                accept_http_10=manager.http.accept_http_10,
                drain=drain,
                on_protocol_error=protocol_error,
                on_bug=bug,
            )

    @contextmanager
    def _ageing(self, drain: Drain) -> Iterator[Drain]:
        """What ends a connection: what ends all of its chain, or its age."""
        engine = self._engine
        age = engine.world.limits.connection_age
        if not age:
            yield drain
            return
        own = Drain()
        counter = engine.counters.aged.labels(self.name)

        def end() -> None:
            counter.inc()
            own.begin()

        if drain.active:
            own.begin()
        drain.watch(own, own.begin)
        # Connections made at one time must not all be made again at one time.
        timer = engine.world.timers.after(age * (0.9 + 0.2 * engine.world.rng.random()), end)
        try:
            yield own
        finally:
            timer.cancel()
            drain.forget(own)

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
        idle_timeout=min(http.idle_timeout or math.inf, limits.idle_timeout or math.inf),
        header_timeout=http.request_headers_timeout or limits.header_timeout,
        # Istio's 0 is "off"; a silent peer is then bounded by the process's own limit.
        stream_idle_timeout=http.stream_idle_timeout or limits.stream_idle_timeout,
    )


def _info(
    taken: Taken, chain: LiveChain, connection: net.Connection, server_name: str, direct: Address | None
) -> ConnectionInfo:
    listener = taken.listener.listener
    tls = connection.tls
    principal = tls.peer_uri.removeprefix("spiffe://") if tls is not None else ""
    return ConnectionInfo(
        direction=listener.direction,
        peer=connection.peer,
        local=connection.local,
        destination_port=taken.port,
        captured=taken.captured,
        direct=direct,
        principal=principal,
        namespace=namespace_of(principal),
        server_name=server_name,
        tls=tls is not None,
        mtls=tls is not None and bool(tls.peer_certificate),
        listener=listener.name,
        chain=chain.chain.kind,
    )
