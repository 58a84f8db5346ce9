"""What every server connection of one listener shares: the handler, the limits, the hooks, and the drain."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import attrs
import trio

from meshd.errors import ConnectionLost, MeshdError, ProtocolError
from meshd.http.head import Headers, ResponseHead
from meshd.http.limits import HttpLimits
from meshd.http.stream import ServerStream
from meshd.net.connection import Connection
from meshd.net.timers import Timers

_log = logging.getLogger(__name__)

Handler = Callable[[ServerStream], Awaitable[None]]
"""Answers one exchange. Returns when its response has ended (or was aborted)."""
ErrorReply = Callable[[Connection, ProtocolError], tuple[ResponseHead, bytes]]
"""What to answer a client that broke the protocol: a head and the whole body."""


class Drain:
    """The wish that connections end: idle ones at once, busy ones with their present exchange.

    One for any number of connections. Whoever accepts connections makes it.
    """

    __slots__ = ("_watchers", "active")

    def __init__(self) -> None:
        # The whole mutable state: whether it has begun, and whom to tell.
        self.active = False
        self._watchers: dict[object, Callable[[], None]] = {}

    def begin(self) -> None:
        """Begin. Idempotent; there is no way back."""
        if self.active:
            return
        self.active = True
        for callback in list(self._watchers.values()):
            callback()

    def watch(self, who: object, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when it begins."""
        self._watchers[who] = callback

    def forget(self, who: object) -> None:
        """The connection has ended."""
        self._watchers.pop(who, None)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._watchers)


def plain_reply(status: int) -> tuple[ResponseHead, bytes]:
    """A response whose body is its reason phrase, as Envoy's codec errors have."""
    body = HTTPStatus(status).phrase.encode()
    return ResponseHead(status, Headers.of([(b"content-type", b"text/plain")]), length=len(body)), body


def reply_to_protocol_error(connection: Connection, error: ProtocolError) -> tuple[ResponseHead, bytes]:
    """The reply when nobody wants to see it first."""
    del connection
    return plain_reply(error.status)


def log_bug(error: BaseException) -> None:
    """What happens to a bug when nobody else wants it."""
    _log.error("a handler failed", exc_info=error, extra={"error": type(error).__name__})


@attrs.frozen
class Service:
    """How connections are served: see ``server.serve_connection`` for the fields."""

    handler: Handler
    timers: Timers
    limits: HttpLimits
    drain: Drain
    accept_http_10: bool
    on_protocol_error: ErrorReply
    on_bug: Callable[[BaseException], None]

    async def handle(self, stream: ServerStream) -> None:
        """Run the handler; whatever it raises ends this exchange and nothing else.

        Raises:
            trio.Cancelled: never swallowed.
        """
        try:
            await self.handler(stream)
        except Exception as error:  # noqa: BLE001 - the one place where a handler's failure stops
            await self.fail(stream, error)
        else:
            if not stream.ended:
                await self.fail(stream, None)

    async def fail(self, stream: ServerStream, raised: Exception | None) -> None:
        """The handler raised; or it returned without ending its response (None)."""
        if stream.aborted:
            return
        error = RuntimeError("the handler returned without ending its response") if raised is None else _cause(raised)
        if isinstance(error, ProtocolError):
            reply = self.on_protocol_error(stream.connection, error)
        elif isinstance(error, MeshdError | trio.ClosedResourceError):
            stream.abort(error)
            return
        else:
            self.on_bug(error)
            reply = plain_reply(500)
        if stream.response_started:
            stream.abort(ConnectionLost("the response failed half-way"))
            return
        try:
            if stream.request.version != "HTTP/2":
                stream.close_after()
            await stream.respond(*reply, end=True)
        except MeshdError as failure:
            stream.abort(failure)


def _cause(error: Exception) -> Exception:
    """The one error that tells what happened: out of the group that a handler's nursery makes."""
    while isinstance(error, ExceptionGroup):
        _, foreign = error.split(MeshdError)
        error = min((foreign or error).exceptions, key=lambda each: not isinstance(each, ProtocolError))
    return error
