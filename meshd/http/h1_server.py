"""HTTP/1.1 as a server: one task reads a head, runs the handler, and reads the next.

Theory of operation. A connection is in one of three phases: *idle* (between
requests; draining and the idle timeout close it at once), *head* (bytes of a
head have come; the header timeout answers 408) and *exchange* (the handler has
it). Requests that were sent ahead wait in ``Input.buffer`` and are answered in
order. After an exchange the next one may begin only if the response ended, the
request's body ended or lies whole in the buffer, and nobody said ``close``;
else the connection is closed politely, so that nothing of an unread body can
ever be taken for a request.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from http import HTTPStatus

import trio

from meshd.errors import ConnectionLost, DeadlineExceeded, ProtocolError
from meshd.http import grammar, h11_head
from meshd.http.framing import (
    ChunkedDecoder,
    ChunkedEncoder,
    Encoder,
    LengthEncoder,
    NoBodyEncoder,
    PlainEncoder,
    UntilCloseDecoder,
)
from meshd.http.h1_body import NO_BODY_HERE, H1Body, Input, LengthBody, NoBody, head_too_large
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.last_head import LastHead
from meshd.http.limits import KIB
from meshd.http.patience import Patience
from meshd.http.serving import Service
from meshd.net.connection import Connection

_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_CR = 0x0D
_WHOLE_STATUS_LINES = {
    (status.value, reason): _STATUS_LINES[status.value]
    for status in HTTPStatus
    if status.value >= 200 and status.value not in (204, 304)
    for reason in (b"", status.phrase.encode())
}
"""By status and reason, for statuses whose responses have bodies."""
_ODD_METHODS = frozenset((b"HEAD", b"CONNECT"))
"""Methods whose responses are framed otherwise."""
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
"""What an HTTP/2 client sends first looks like this request to HTTP/1 (RFC 9113 section 3.4)."""
_SLICE = 256 * KIB
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
        if len(wire) > _SLICE:
            await owner.send(wire)
        else:
            # ``owner.send`` without its layer.
            patience = owner.patience
            patience.writing = patience.now() + owner.input.stream_idle
            try:
                await self.connection.send(wire)
            finally:
                patience.writing = math.inf
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


class H1ServerConnection:
    """The connection under its exchanges. Made and run by ``server.serve_connection``, which also closes the connection.

    Args:
        connection: Just accepted, its TLS handshake done.
        service: Handler, limits and hooks.
        detect: Whether an HTTP/2 client may turn up.
    """

    __slots__ = (
        "_detect",
        "_idle",
        "_idle_timeout",
        "_is_h2",
        "_last",
        "_limits",
        "_requests",
        "_service",
        "connection",
        "input",
        "patience",
        "secure",
    )

    def __init__(self, connection: Connection, service: Service, *, detect: bool) -> None:
        limits = service.limits
        self.connection = connection
        self.secure = connection.tls is not None
        self._service = service
        self._limits = limits
        self._idle_timeout = limits.idle_timeout or math.inf
        stream_idle = limits.stream_idle_timeout or math.inf
        shortest = min(limits.idle_timeout or math.inf, stream_idle, 60.0)
        self.patience = Patience(service.timers, shortest, self._expired)
        self.input = Input(connection, self.patience, stream_idle)
        self._last: LastHead[RequestHead] = LastHead()
        self._detect = detect
        self._is_h2 = False
        self._requests = 0
        self._idle = False

    async def run(self) -> bool:
        """Serve until nothing more can follow; then the connection wants a polite close.

        Returns:
            True when the client turned out to speak HTTP/2 (its bytes are unread).

        Raises:
            ConnectionLost: the connection is broken.
            Exception: what an exchange was aborted with.
        """
        service, connection, source = self._service, self.connection, self.input
        service.drain.watch(self, self._drain)
        try:
            while True:
                data = source.buffer or await self._wait_idle()
                if not data:
                    return False
                try:
                    stream = self._read_ordinary(data) or await self._read_slowly(data)
                except ProtocolError as error:
                    await self._refuse(error)
                    return False
                if stream is None:
                    return self._is_h2
                await service.handle(stream)
                connection.on_hangup = None
                if not self._end(stream):
                    return False
                if not self._requests % self._limits.requests_per_turn:
                    await trio.lowlevel.checkpoint()
        finally:
            self.patience.end()
            service.drain.forget(self)

    async def _refuse(self, error: ProtocolError) -> None:
        """Answer a head that could not be read."""
        head, data = self._service.on_protocol_error(self.connection, error)
        block = head.headers.render() + b"content-length: %d\r\nconnection: close\r\n" % len(data)
        await self.send(b"%b%b\r\n%b" % (status_line(head), block, data))

    def _read_ordinary(self, data: bytes) -> H1ServerStream | None:
        """The request that ``data`` begins with, when its head is whole and ordinary; else ``_read_slowly`` must look."""
        last, limits = self._last, self._limits
        head = last.head
        if head is not None and data.startswith(last.raw):
            request, keep_alive, size = head.copy(), last.keep_alive, len(last.raw)
        else:
            size = data.find(b"\r\n\r\n", 0, limits.max_head) + 4
            raw = data if size == len(data) else data[:size]
            if size < 4 or (limits.max_headers < grammar.MAX_HEADERS and raw.count(b"\n") > limits.max_headers + 2):
                return None
            read = grammar.read_request(raw, secure=self.secure)
            if read is None or len(read[0].target) > limits.max_uri:
                return None
            request, keep_alive = read
            last.note(raw, request, keep_alive=keep_alive)
        self.input.buffer = data[size:]
        return self._begin(request, keep_alive=keep_alive)

    def _begin(self, request: RequestHead, *, keep_alive: bool) -> H1ServerStream:
        self._requests += 1
        stream = H1ServerStream(self, request, keep_alive)
        if request.length != 0:
            before = stream.send_continue if request.expect_continue else None
            if request.length:
                stream.body = LengthBody(self.input, request.length, before)
            else:
                stream.body = H1Body(self.input, ChunkedDecoder(self._limits), before)
        return stream

    async def _read_slowly(self, data: bytes) -> H1ServerStream | None:
        """The request that begins with ``data``, whatever it is like; None for an HTTP/2 client."""
        limits = self._limits
        raw = await self._receive_head(data)
        read = grammar.read_request(raw, secure=self.secure) if raw.count(b"\n") <= limits.max_headers + 2 else None
        if read is None or len(read[0].target) > limits.max_uri:
            if raw == H2_PREFACE and self._detect and not self._requests:
                self.connection.unread(raw + self.input.buffer)
                self._is_h2 = True
                return None
            read = self._read_unusual(raw)
        request, keep_alive = read
        return self._begin(request, keep_alive=keep_alive)

    async def _wait_idle(self) -> bytes:
        """The first bytes of a request; b"" when none will come: the client or the drain has ended it, or time has."""
        if self._service.drain.active and self._requests:
            return b""
        self._idle = True
        self.patience.reading = self.patience.now() + self._idle_timeout
        try:
            return await self.connection.receive()
        except trio.ClosedResourceError:
            # Closed by ``_expired`` or ``_drain`` while idle.
            return b""
        except ConnectionLost:
            # A client that resets an idle connection has merely gone.
            return b""
        finally:
            self._idle = False
            self.patience.reading = math.inf

    async def _receive_head(self, data: bytes) -> bytes:
        """A head that did not come in one piece, or begins with the blank line that RFC 9112 section 2.2 forgives."""
        timeout = self._limits.header_timeout or math.inf
        with trio.move_on_after(timeout):
            while len(data) < 3 and data[0] == _CR:
                more = await self.connection.receive()
                if not more:
                    raise ConnectionLost("the connection ended in the middle of a head")
                data += more
            data = data.removeprefix(b"\r\n")
            return await self.input.receive_head(data, limit=self._limits.max_head, check=self._check_line)
        raise ProtocolError("a request head that took too long", status=408, detail="request_header_timeout")

    def _check_line(self, data: bytes) -> None:
        """Refuse a target that is too long before the rest of its head has come."""
        if len(data) > self._limits.max_uri and data.find(b"\r\n", 0, self._limits.max_uri + 64) < 0:
            raise _uri_too_long()

    def _read_unusual(self, raw: bytes) -> tuple[RequestHead, bool]:
        limits = self._limits
        if len(raw.partition(b"\r\n")[0]) > limits.max_uri + 64:
            raise _uri_too_long()
        if raw.count(b"\n") > limits.max_headers + 2:
            raise head_too_large()
        request, keep_alive = h11_head.read_request(
            raw, secure=self.secure, accept_http_10=self._service.accept_http_10
        )
        if len(request.target) > limits.max_uri:
            raise _uri_too_long()
        return request, keep_alive

    def may_continue(self, stream: H1ServerStream) -> bool:
        """Whether another request may follow this response, which is about to be sent."""
        limits = self._limits
        if self._service.drain.active or 0 < limits.max_requests <= self._requests:
            return False
        if stream.request.upgrade and self.input.buffer:
            # Sent for a protocol that is not being switched to; it must not be read as HTTP.
            return False
        return stream.body.all_here()

    def _end(self, stream: H1ServerStream) -> bool:
        """Whether the connection goes on."""
        if not (stream.keep_alive and stream.ended):
            return False
        if not stream.body.ended:
            stream.body.receive_nowait()
        return stream.body.ended

    async def send(self, wire: bytes) -> None:
        """Send, with the patience that a client which does not read deserves."""
        patience = self.patience
        try:
            patience.writing = patience.now() + self.input.stream_idle
            if len(wire) <= _SLICE:
                await self.connection.send(wire)
                return
            # A large answer to a slow client goes in slices: what counts is that it reads on.
            for at in range(0, len(wire), _SLICE):
                patience.writing = patience.now() + self.input.stream_idle
                await self.connection.send(wire[at : at + _SLICE])
        finally:
            patience.writing = math.inf

    def _expired(self) -> None:
        if self._idle:
            self.connection.close()
        else:
            self.connection.abort(DeadlineExceeded("stream idle timeout"))

    def _drain(self) -> None:
        if self._idle:
            self.connection.close()


def _uri_too_long() -> ProtocolError:
    return ProtocolError("a request target that is too long", status=414, detail="http1.uri_too_long")
