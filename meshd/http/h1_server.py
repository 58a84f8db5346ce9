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

import trio

from meshd.errors import ConnectionLost, DeadlineExceeded, ProtocolError
from meshd.http import grammar, h11_head
from meshd.http.framing import ChunkedDecoder
from meshd.http.h1_body import H1Body, Input, LengthBody, head_too_large
from meshd.http.h1_server_stream import SLICE, H1ServerStream, status_line
from meshd.http.head import RequestHead
from meshd.http.last_head import LastHead
from meshd.http.patience import Patience
from meshd.http.serving import Service
from meshd.net.connection import Connection

_CR = 0x0D
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
"""What an HTTP/2 client sends first looks like this request to HTTP/1 (RFC 9113 section 3.4)."""


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
        "_send_timeout",
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
        self._send_timeout = limits.send_timeout or stream_idle
        shortest = min(limits.idle_timeout or math.inf, stream_idle, self._send_timeout, 60.0)
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
        service, connection, source, patience = self._service, self.connection, self.input, self.patience
        service.drain.watch(self, self._drain)
        try:
            while True:
                data = source.buffer
                if not data:
                    if service.drain.active and self._requests:
                        return False
                    self._idle = True
                    patience.reading = patience.now() + self._idle_timeout
                    data = await connection.receive()
                    self._idle = False
                    patience.reading = math.inf
                    if not data:
                        return False
                try:
                    stream = self._read_ordinary(data) or await self._read_slowly(data)
                except ProtocolError as error:
                    await self._refuse(error)
                    return False
                if stream is None:
                    return self._is_h2
                try:
                    await service.handler(stream)
                except Exception as error:  # noqa: BLE001 - whatever it is, it ends this exchange and nothing else
                    await service.fail(stream, error)
                connection.on_hangup = None
                if not stream.ended or not stream.body.ended or not stream.keep_alive:
                    if not stream.ended:
                        await service.fail(stream, None)
                    if not self._end(stream):
                        return False
                if not self._requests % self._limits.requests_per_turn:
                    await trio.lowlevel.checkpoint()
        except (ConnectionLost, trio.ClosedResourceError):
            if not self._idle:
                raise
            # A client that resets an idle connection has merely gone; or ``_expired`` or ``_drain`` has closed it.
            return False
        finally:
            patience.end()
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
            patience.writing = patience.now() + self._send_timeout
            if len(wire) <= SLICE:
                await self.connection.send(wire)
                return
            # A large answer to a slow client goes in slices: what counts is that it reads on.
            for at in range(0, len(wire), SLICE):
                patience.writing = patience.now() + self._send_timeout
                await self.connection.send(wire[at : at + SLICE])
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
