"""One exchange of an HTTP/1.1 server connection: the answer's framing, its informational heads, its tunnel."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from meshd.errors import ConnectionLost
from meshd.http.framing import (
    ChunkedEncoder,
    Encoder,
    LengthEncoder,
    NoBodyEncoder,
    PlainEncoder,
    UntilCloseDecoder,
)
from meshd.http.h1_body import NO_BODY_HERE, H1Body, LengthBody, NoBody
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.limits import KIB

if TYPE_CHECKING:
    from meshd.http.h1_server import H1ServerConnection

_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_WHOLE_STATUS_LINES = {
    (status.value, reason): _STATUS_LINES[status.value]
    for status in HTTPStatus
    if status.value >= 200 and status.value not in (204, 304)
    for reason in (b"", status.phrase.encode())
}
"""By status and reason, for statuses whose responses have bodies."""
_ODD_METHODS = frozenset((b"HEAD", b"CONNECT"))
"""Methods whose responses are framed otherwise."""
SLICE = 256 * KIB
"""What a client must read within one idle time: less than a kilobyte a second by default."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def status_line(head: ResponseHead, *, old: bool = False) -> bytes:
    """The first line of a response; ``old`` for a client of HTTP/1.0."""
    if head.reason or old or head.status not in _STATUS_LINES:
        reason = head.reason or (HTTPStatus(head.status).phrase.encode() if head.status in _STATUS_LINES else b"")
        return b"HTTP/1.%d %d %b\r\n" % (0 if old else 1, head.status, reason)
    return _STATUS_LINES[head.status]


class H1ServerStream:
    """One exchange (``ServerStream``). Made by the connection for each request."""

    __slots__ = (
        "_encoder",
        "_on_abort",
        "_owner",
        "aborted",
        "body",
        "bytes_sent",
        "connection",
        "ended",
        "keep_alive",
        "request",
        "response_started",
        "tunnel",
    )

    def __init__(self, owner: H1ServerConnection, request: RequestHead, keep_alive: bool) -> None:  # noqa: FBT001
        self._owner = owner
        self._encoder: Encoder | None = None
        self._on_abort: Callable[[Exception], None] | None = None
        self.connection = owner.connection
        self.request = request
        self.body: H1Body | LengthBody | NoBody = NO_BODY_HERE
        self.bytes_sent = 0
        self.response_started = False
        self.aborted = False
        self.ended = False
        """Whether the response is complete on its way."""
        self.keep_alive = keep_alive
        """Whether another request may follow; false for good once ``connection: close`` was said."""
        self.tunnel = False

    @property
    def bytes_received(self) -> int:
        """See ``ServerStream``."""
        return self.body.received

    @property
    def on_abort(self) -> Callable[[Exception], None] | None:
        """See ``ServerStream``."""
        return self._on_abort

    @on_abort.setter
    def on_abort(self, callback: Callable[[Exception], None] | None) -> None:
        self._on_abort = callback
        if callback is None:
            self.connection.on_hangup = None
            return
        self.connection.on_hangup = self._hung_up
        source = self._owner.input
        if not source.buffer:
            # The end may have come before anybody listened for it.
            data = self.connection.receive_nowait()
            if data:
                source.buffer = data
            elif data is not None:
                self._hung_up()

    def _hung_up(self) -> None:
        callback, self._on_abort = self._on_abort, None
        if callback is not None:
            callback(ConnectionLost("the client has gone"))

    async def send_informational(self, head: ResponseHead) -> None:
        """See ``ServerStream``."""
        assert 100 <= head.status < 200
        assert head.status != 101
        assert not self.response_started
        if self.request.version != "HTTP/1.0":
            await self._owner.send(b"%b%b\r\n" % (status_line(head), head.headers.render()))

    async def send_continue(self) -> None:
        """Ask for the body the client holds back; called when it is first wanted."""
        if not self.response_started:
            await self._owner.send(_CONTINUE)

    async def respond(self, head: ResponseHead, data: bytes = b"", *, end: bool) -> None:
        """See ``ServerStream``."""
        assert not self.response_started, "one response per request"
        self.response_started = True
        start = _WHOLE_STATUS_LINES.get((head.status, head.reason))
        request = self.request
        if (
            start is None
            or not end
            or head.length != len(data)
            or request.version != "HTTP/1.1"
            or request.method in _ODD_METHODS
        ):
            await self._respond_piecemeal(head, data, end=end)
            return
        # What nearly every response is: one whole message.
        owner = self._owner
        close = b""
        if not (self.keep_alive and owner.may_continue(self)):
            self.keep_alive = False
            close = b"connection: close\r\n"
        wire = b"%b%bcontent-length: %d\r\n%b\r\n%b" % (start, head.headers.render(), len(data), close, data)
        if len(wire) > SLICE:
            await owner.send(wire)
        else:
            # Nearly always the client's buffer has room: nothing to be patient about.
            sent = self.connection.send_nowait(wire)
            if sent < len(wire):
                await owner.send(wire[sent:])
        self.bytes_sent = len(data)
        self.ended = True

    async def _respond_piecemeal(self, head: ResponseHead, data: bytes, *, end: bool) -> None:
        """Any response at all."""
        if head.status == 101 or (self.request.method == b"CONNECT" and 200 <= head.status < 300):
            await self._begin_tunnel(head)
            return
        owner, request, length = self._owner, self.request, head.length
        old = request.version == "HTTP/1.0"
        keep_alive = self.keep_alive and owner.may_continue(self)
        framing = b""
        if request.method == b"HEAD" or head.status in (204, 304):
            encoder: Encoder = NoBodyEncoder()
            if head.status != 204 and length is not None and (length or head.status != 304):
                framing = b"content-length: %d\r\n" % length
            elif length is None and head.status not in (204, 304) and not old:
                framing = b"transfer-encoding: chunked\r\n"
        elif length is not None:
            encoder = LengthEncoder(length)
            framing = b"content-length: %d\r\n" % length
        elif old:
            encoder, keep_alive = PlainEncoder(), False
        else:
            encoder = ChunkedEncoder()
            framing = b"transfer-encoding: chunked\r\n"
        if not keep_alive:
            framing += b"connection: close\r\n"
        elif old:
            framing += b"connection: keep-alive\r\n"
        self.keep_alive = keep_alive
        self._encoder = encoder
        wire = encoder.encode(data, end=end)
        await owner.send(b"%b%b%b\r\n%b" % (status_line(head, old=old), head.headers.render(), framing, wire))
        self.bytes_sent += len(data)
        self.ended = end

    async def _begin_tunnel(self, head: ResponseHead) -> None:
        owner = self._owner
        if head.status == 101:
            if not self.request.upgrade:
                raise ValueError("a 101 to a request that asked for no upgrade")
            switch = b"connection: upgrade\r\nupgrade: %b\r\n" % (head.upgrade or self.request.upgrade)
        else:
            switch = b""
        # In a tunnel the client's end is one direction's end, no reason to give up.
        self.on_abort = None
        self.keep_alive = False
        self.tunnel = True
        self._encoder = PlainEncoder()
        self.body = H1Body(owner.input, UntilCloseDecoder())
        await owner.send(b"%b%b%b\r\n" % (status_line(head), head.headers.render(), switch))

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """See ``ServerStream``."""
        assert self._encoder is not None, "send after respond(end=False)"
        wire = self._encoder.encode(data, end=end)
        if wire:
            await self._owner.send(wire)
            self.bytes_sent += len(data)
        if end:
            if self.tunnel:
                await self.connection.send_eof()
            self.ended = True

    async def send_trailers(self, trailers: Headers) -> None:
        """See ``ServerStream``."""
        assert self._encoder is not None, "send_trailers after respond(end=False)"
        wire = self._encoder.encode_trailers(trailers)
        if wire:
            await self._owner.send(wire)
        self.ended = True

    def abort(self, error: Exception) -> None:
        """See ``ServerStream``."""
        self.aborted = True
        self.keep_alive = False
        self._owner.input.buffer = b""
        self.connection.abort(error)

    def close_after(self) -> None:
        """See ``ServerStream``."""
        self.keep_alive = False
