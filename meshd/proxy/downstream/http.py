"""HTTP from a client: every request of one connection becomes an exchange, and every exchange ends in a record.

``HttpConnection.handle`` is the handler that ``http.server`` calls for each
request, whatever the protocol. It takes the engine's configuration once; runs
the chain; sends what comes back, with back-pressure; and whatever happens, gives
back what was held and reports the outcome exactly once.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from meshd.errors import ConnectionLost, MeshdError, ProtocolError, ResponseFlag, UpstreamError
from meshd.http.head import RequestHead
from meshd.http.stream import Body, ServerStream
from meshd.http.upgrade import relay
from meshd.net.connection import Connection
from meshd.policy.exchange import ConnectionInfo, Reply, Response
from meshd.proxy import peer_metadata
from meshd.proxy.exchange import ProxyExchange
from meshd.proxy.identity_headers import Introduction, take_metadata
from meshd.proxy.live import Live, Manager
from meshd.proxy.local import local_response
from meshd.proxy.reply import ClientGone, StreamIdle, from_error
from meshd.snapshot.cluster import Peer
from meshd.snapshot.common import Direction

_log = logging.getLogger(__name__)

_GRPC = b"application/grpc"
_UPGRADE_REFUSED = Reply(
    403, b"", detail="upgrade_failed", reason="this listener does not let connections change protocol"
)


class HttpConnection:
    """One client connection that speaks HTTP. Made by the acceptor once the chain is known."""

    __slots__ = (
        "_connection",
        "_current",
        "_info",
        "_introduction",
        "_live",
        "_manager",
        "_peer",
        "_peer_believed",
        "on_bug",
    )

    def __init__(
        self,
        info: ConnectionInfo,
        connection: Connection,
        manager: Manager,
        *,
        current: Callable[[], Live],
        on_bug: Callable[[], None],
    ) -> None:
        """``current`` gives the engine's configuration of the moment."""
        live = current()
        self._info = info
        self._current = current
        self.on_bug = on_bug
        # The whole mutable state: the configuration last seen with its manager, and what the peer said of itself.
        self._live = live
        self._manager = manager
        self._peer: Peer | None = None
        self._peer_believed = info.mtls and info.direction is Direction.INBOUND
        self._connection = connection
        self._introduction = self._introduce(manager, live)

    def handle(self, stream: ServerStream) -> Awaitable[None]:
        """One exchange, from its head to its last byte. Not a layer of its own: it gives what is to be awaited."""
        live = self._current()
        if live is not self._live:
            live = self._adopt(live, stream)
        exchange = ProxyExchange(self._info, stream, live, self._manager)
        stream.on_abort = exchange.client_gone
        body = stream.body
        if not body.ended:
            try:
                exchange.body = body.receive_nowait()
            except MeshdError as error:
                return self._exchange(exchange, error)
            if not _whole(body):
                return self._exchange_with_upload(exchange)
        return self._exchange(exchange)

    def _adopt(self, live: Live, stream: ServerStream) -> Live:
        """A new configuration: this connection's requests live by it from now on, if it still has their chain."""
        info = self._info
        listener = live.listeners.get(info.listener)
        chain = listener.chains.get(info.chain) if listener is not None else None
        if chain is None or chain.manager is None or chain.chain.tls != self._manager.chain.tls:
            # This kind of connection is not accepted any more: serve this request as before, and no further one.
            stream.close_after()
            return self._live
        if chain.manager.http != self._manager.http:
            self._introduction = self._introduce(chain.manager, live)
        self._live = live
        self._manager = chain.manager
        return live

    def _introduce(self, manager: Manager, live: Live) -> Introduction:
        connection = self._connection
        return Introduction(manager.http, connection.peer, connection.tls, request_id=live.request_ids.take)

    async def _exchange_with_upload(self, exchange: ProxyExchange) -> None:
        # The upload's task lives here. It reports failures through the exchange and
        # raises nothing; when the response is complete it has nothing left to do.
        async with trio.open_nursery() as nursery:
            exchange.nursery = nursery
            await self._exchange(exchange)
            nursery.cancel_scope.cancel()

    async def _exchange(self, exchange: ProxyExchange, broken: MeshdError | None = None) -> None:
        """``broken``: the request is of no use, and why."""
        stream = exchange.stream
        try:
            try:
                if broken is not None:
                    raise broken
                response = self._receive(exchange) or await exchange.manager.run(exchange)
            except MeshdError as error:
                if isinstance(error, ClientGone) or isinstance(exchange.failure, ClientGone):
                    raise
                response = local_response(exchange, from_error(error, attempts=exchange.attempts))
            await _send(exchange, response)
        except (MeshdError, OSError, trio.ClosedResourceError, trio.BrokenResourceError) as error:
            _note_failure(exchange, error)
            stream.abort(error)
        except Exception:  # noqa: BLE001 - a bug ends its exchange and nothing else
            self.on_bug()
            _log.exception("a bug in meshd", extra={"request_id": exchange.request_id.decode("ascii", "replace")})
            await _send_bug(exchange)
        finally:
            # Also so that exchange and stream do not hold each other, and go without the garbage collector.
            stream.on_abort = None
            if exchange.lease is not None or exchange.idle is not None or exchange.deadline is not None:
                exchange.release()
            _report(exchange)

    def _receive(self, exchange: ProxyExchange) -> Response | None:
        """What is done with a head before the chain; a response when the chain must not see it."""
        manager = exchange.manager
        head = exchange.request
        headers = head.headers
        if head.method == b"POST":
            kind = headers.get(b"content-type")
            exchange.grpc = kind is not None and kind.startswith(_GRPC) and kind[16:17] in (b"", b"+", b";")
        introduction = self._introduction
        if headers.has_prefix(b"x-"):
            if introduction.stranger:
                introduction.apply_to_stranger(exchange)
            else:
                if headers.has_prefix(peer_metadata.HEADER):
                    self._learn_peer(take_metadata(head))
                introduction.apply_to_neighbour(exchange)
        else:
            introduction.apply_to_fresh(exchange)
        exchange.downstream_peer = self._peer
        head.target = manager.normalize(head.target)
        if manager.http.stream_idle_timeout:
            exchange.idle = exchange.live.timers.after(
                manager.http.stream_idle_timeout,
                partial(exchange.abort, StreamIdle()),
            )
        if (head.upgrade or head.method == b"CONNECT") and _tunnel_kind(head) not in manager.http.upgrades:
            return local_response(exchange, _UPGRADE_REFUSED)
        manager.route(exchange, head)
        return None

    def _learn_peer(self, value: bytes) -> None:
        if self._peer_believed and self._peer is None and value:
            self._peer = peer_metadata.decode(value, self._info.principal)


def _tunnel_kind(head: RequestHead) -> str:
    """What a request wants its connection to become, as ``HttpManager.upgrades`` names it."""
    return head.upgrade.lower().decode("ascii", "replace") or "connect"


def _send(exchange: ProxyExchange, response: Response) -> Awaitable[None]:
    """The response to the client. Not a layer of its own: it gives what is to be awaited."""
    head = response.head
    if b"date" not in head.headers:
        head.headers.append(exchange.live.date.now())
    exchange.status = head.status
    exchange.response_headers = head.headers
    if exchange.tunnel:
        return _tunnel(exchange, response)
    body = response.body
    data = b"" if body.ended else body.receive_nowait()
    if exchange.nursery is None and body.ended and body.trailers is None:
        # Everything is here: the connection upstream can serve others while this is written.
        if exchange.grpc:
            _note_grpc(exchange, response)
        exchange.release()
        return exchange.stream.respond(head, data, end=True)
    return _send_pieces(exchange, response, data)


async def _send_pieces(exchange: ProxyExchange, response: Response, data: bytes) -> None:
    """The response piece by piece, as it arrives."""
    stream, body = exchange.stream, response.body
    whole = _whole(body)
    if whole:
        await _finish(exchange, response)
    await stream.respond(response.head, data, end=whole)
    if whole:
        return
    while not body.ended:
        data = await body.receive()
        exchange.touch()
        if _whole(body):
            await _finish(exchange, response)
            await stream.send(data, end=True)
            return
        if data:
            await stream.send(data)
    trailers = body.trailers
    await _finish(exchange, response)
    assert trailers is not None
    await stream.send_trailers(trailers)


async def _finish(exchange: ProxyExchange, response: Response) -> None:
    """The response has come to its end: note what it said last, and give its stream back."""
    if exchange.grpc:
        _note_grpc(exchange, response)
    if exchange.nursery is not None:
        # An upload whose last bytes have just been taken notes it when its task runs, and it became
        # runnable at the latest in the turn in which the response's end did: let it, so that its
        # connection counts as clean.
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
    exchange.release()


def _whole(body: Body) -> bool:
    """Nothing of it is left, not even trailers."""
    return body.ended and body.trailers is None


async def _tunnel(exchange: ProxyExchange, response: Response) -> None:
    """Both ways until both ends are done: websocket, CONNECT."""
    stream = exchange.stream
    assert exchange.lease is not None
    await stream.respond(response.head, end=False)
    if exchange.deadline is not None:
        exchange.deadline.cancel()
    await relay(stream, exchange.lease.stream, on_progress=exchange.touch)


async def _send_bug(exchange: ProxyExchange) -> None:
    stream = exchange.stream
    error = RuntimeError("internal error")
    if stream.response_started:
        stream.abort(error)
        return
    response = local_response(exchange, from_error(error))
    exchange.status = response.head.status
    try:
        await stream.respond(response.head, response.body.receive_nowait(), end=True)
    except (MeshdError, OSError, trio.ClosedResourceError, trio.BrokenResourceError) as broken:
        stream.abort(broken)


def _note_grpc(exchange: ProxyExchange, response: Response) -> None:
    value = None
    if response.body.trailers is not None:
        value = response.body.trailers.get(b"grpc-status")
    if value is None:
        value = response.head.headers.get(b"grpc-status")
    if value is not None and value.isdigit():
        exchange.grpc_status = int(value)


def _note_failure(exchange: ProxyExchange, error: BaseException) -> None:
    """The exchange was cut: by whom, for the log."""
    cause = exchange.failure or error
    if isinstance(cause, UpstreamError):
        flag, detail = cause.flag, f"upstream_reset_after_response_started{{{cause.reason.replace(' ', '_')}}}"
    elif isinstance(cause, ClientGone) or exchange.lease is None:
        flag, detail = ResponseFlag.DOWNSTREAM_TERMINATION, "downstream_remote_disconnect"
    elif isinstance(cause, (ProtocolError, ConnectionLost)):
        # The backend broke off in the middle: Envoy calls it a protocol error.
        flag, detail = ResponseFlag.UPSTREAM_PROTOCOL_ERROR, "upstream_reset_after_response_started{protocol_error}"
    else:
        reply = from_error(cause)
        flag, detail = (reply.flags or (ResponseFlag.LOCAL_RESET,))[0], reply.detail
    if flag not in exchange.flags:
        exchange.flags.append(flag)
    exchange.detail = detail


def _report(exchange: ProxyExchange) -> None:
    """Metrics and the access log, once per exchange."""
    stream = exchange.stream
    live = exchange.live
    exchange.bytes_received = stream.bytes_received
    exchange.bytes_sent = stream.bytes_sent
    exchange.body = b""
    now = live.now()
    live.metrics.record(exchange, now - exchange.started)
    if live.logger is not None:
        live.logger.log(exchange, now)
    if live.observe is not None:
        live.observe(exchange, now)
