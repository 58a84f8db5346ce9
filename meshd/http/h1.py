"""HTTP/1.1 as a client: one exchange at a time on a connection that is reused only when nothing is left over.

A connection is closed, and never used again, as soon as anything is not as it
should be: bytes behind a response, bytes while idle, a 101 nobody asked for, a
request or a body that did not end. What a server sent too much must never
become the answer to another request.
"""

from __future__ import annotations

import re

import trio

from meshd.errors import ConnectionLost, ProtocolError, ResponseFlag, UpstreamError
from meshd.http import grammar, h11_head
from meshd.http.framing import (
    LENGTH,
    ChunkedEncoder,
    Encoder,
    LengthDecoder,
    LengthEncoder,
    PlainEncoder,
    UntilCloseDecoder,
    decoder_for,
)
from meshd.http.h1_body import NO_BODY_HERE, H1Body, Input, NoBody, head_too_large
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.limits import HttpLimits
from meshd.net.connection import Connection

# What was edited since it was checked (targets by rewrites, authorities by configuration)
# must still be one request line and one Host.
_START = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]++ [!-~]++ HTTP/1\.1\r\nhost: [!-+\--~]*+\r\n")
_HAS_BODY = frozenset((b"POST", b"PUT", b"PATCH"))
"""Methods for which no body is worth saying (RFC 9110 section 8.6)."""


def render_request(head: RequestHead) -> bytes:
    """A request head for the wire, framing included, blank line not.

    Raises:
        ProtocolError: the head would not be one well-formed request.
    """
    target = head.authority if head.method == b"CONNECT" else head.target
    start = b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (head.method, target, head.authority)
    if _START.fullmatch(start) is None:
        raise ProtocolError("a request that cannot be written", detail="http1.invalid_url")
    length = head.length
    if length is None:
        return b"%b%btransfer-encoding: chunked\r\n" % (start, head.headers.render())
    if length or head.method in _HAS_BODY:
        return b"%b%bcontent-length: %d\r\n" % (start, head.headers.render(), length)
    if head.upgrade:
        return b"%b%bconnection: upgrade\r\nupgrade: %b\r\n" % (start, head.headers.render(), head.upgrade)
    return start + head.headers.render()


def _too_large() -> ProtocolError:
    error = head_too_large()
    error.status = 502
    return error


class H1ClientConnection:
    """An HTTP/1.1 connection to a server (``ClientConnection``). Whoever made the connection makes and closes this.

    Args:
        connection: Connected, its TLS handshake done.
        limits: Bounds of what the server may send.
    """

    __slots__ = ("_closed", "_input", "_limits", "_stream", "connection", "idle_since", "protocol", "requests")

    def __init__(self, connection: Connection, *, limits: HttpLimits | None = None) -> None:
        self.connection = connection
        self.protocol = "http/1.1"
        self.requests = 0
        self.idle_since = trio.current_time()
        self._limits = limits or HttpLimits()
        self._input = Input(connection)
        self._stream: H1ClientStream | None = None
        self._closed = False

    def is_available(self) -> bool:
        """See ``ClientConnection``."""
        return self._stream is None and not self.is_closed()

    def is_idle(self) -> bool:
        """See ``ClientConnection``."""
        return self._stream is None

    def is_closed(self) -> bool:
        """See ``ClientConnection``. An idle connection on which anything has come is closed: nobody asked."""
        if not self._closed and self._stream is None:
            try:
                unasked = self.connection.receive_nowait()
            except Exception:  # noqa: BLE001 - whatever it is, this connection cannot be used
                unasked = b""
            if unasked is not None:
                self.close()
        return self._closed

    def open(self) -> H1ClientStream:
        """See ``ClientConnection``."""
        assert self._stream is None, "one exchange at a time"
        self.requests += 1
        stream = self._stream = H1ClientStream(self, self._input, self._limits)
        return stream

    def close(self) -> None:
        """See ``ClientConnection``."""
        self._closed = True
        if self._stream is None:
            self.connection.close()
        else:
            self.connection.abort(_terminated("closed here", sent=self._stream.request_bytes_sent))

    def release(self, *, clean: bool) -> None:
        """The exchange is over (called by its stream)."""
        self._stream = None
        if clean and not self._closed:
            self.idle_since = trio.current_time()
        else:
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "idle" if self._stream is None else "busy"
        return f"<H1ClientConnection {self.connection.peer} {state} {self.requests} requests>"


def _terminated(cause: str, *, sent: bool) -> UpstreamError:
    return UpstreamError("connection termination", ResponseFlag.UPSTREAM_TERMINATION, cause=cause, sent=sent)


class H1ClientStream:
    """One exchange (``ClientStream``). Made by ``H1ClientConnection.open``; ended by ``finish``."""

    __slots__ = (
        "_encoder",
        "_finished",
        "_input",
        "_keep_alive",
        "_limits",
        "_owner",
        "_request",
        "_request_ended",
        "_responded",
        "body",
        "connection",
        "request_bytes_sent",
    )

    def __init__(self, owner: H1ClientConnection, source: Input, limits: HttpLimits) -> None:
        self._owner = owner
        self._input = source
        self._limits = limits
        self._request: RequestHead | None = None
        self._encoder: Encoder | None = None
        self._request_ended = False
        self._responded = False
        self._keep_alive = False
        self._finished = False
        self.connection = owner.connection
        self.body: H1Body | NoBody = NO_BODY_HERE
        self.request_bytes_sent = False

    async def send_head(self, head: RequestHead, data: bytes = b"", *, end: bool) -> None:
        """See ``ClientStream``."""
        self._request = head
        start = render_request(head)
        if end and not data and not head.length and head.length is not None:
            message = start + b"\r\n"
        else:
            encoder = self._encoder = self._encoder_for(head)
            message = b"%b\r\n%b" % (start, encoder.encode(data, end=end))
        self.request_bytes_sent = True
        await self._send(message)
        self._request_ended = end

    def _encoder_for(self, head: RequestHead) -> Encoder:
        if head.upgrade or head.method == b"CONNECT":
            # Nothing may follow such a head until the server has agreed; then it is a tunnel.
            return LengthEncoder(0)
        return ChunkedEncoder() if head.length is None else LengthEncoder(head.length)

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """See ``ClientStream``."""
        assert self._encoder is not None, "send after send_head(end=False)"
        wire = self._encoder.encode(data, end=end)
        if wire:
            await self._send(wire)
        if end:
            if isinstance(self._encoder, PlainEncoder):
                await self.connection.send_eof()
            self._request_ended = True

    async def send_trailers(self, trailers: Headers) -> None:
        """See ``ClientStream``."""
        assert self._encoder is not None, "send_trailers after send_head(end=False)"
        wire = self._encoder.encode_trailers(trailers)
        if wire:
            await self._send(wire)
        self._request_ended = True

    async def _send(self, wire: bytes) -> None:
        try:
            await self.connection.send(wire)
        except ConnectionLost as error:
            raise _terminated(str(error), sent=True) from error

    async def receive_head(self) -> ResponseHead:
        """See ``ClientStream``."""
        request = self._request
        assert request is not None, "receive_head after send_head"
        source = self._input
        for _ in range(self._limits.max_informational + 1):
            try:
                data = await source.receive()
                if not data:
                    raise _terminated("before a response", sent=self.request_bytes_sent)
                raw = await self._cut_head(data)
            except ConnectionLost as error:
                raise _terminated(str(error), sent=self.request_bytes_sent) from error
            read = grammar.read_response(raw, request) or h11_head.read_response(raw, request)
            head, framing, self._keep_alive = read
            if head.status >= 200:
                return self._begin_body(request, head, framing)
            if head.status == 101:
                return self._begin_tunnel(request, head)
        raise ProtocolError("informational responses without end", status=502, detail="http1.codec_error")

    async def _cut_head(self, data: bytes) -> bytes:
        limits = self._limits
        end = data.find(b"\r\n\r\n") + 4
        if 4 <= end <= limits.max_response_head:
            raw, self._input.buffer = data[:end], data[end:]
        else:
            try:
                raw = await self._input.receive_head(data, limit=limits.max_response_head)
            except ProtocolError as refused:
                refused.status = 502
                raise
        if raw.count(b"\n") > limits.max_headers + 2:
            raise _too_large()
        return raw

    def _begin_body(self, request: RequestHead, head: ResponseHead, framing: int) -> ResponseHead:
        if request.method == b"CONNECT" and head.status < 300:
            return self._begin_tunnel(request, head)
        self._responded = True
        if framing:
            decoder = LengthDecoder(head.length or 0) if framing == LENGTH else decoder_for(framing, 0, self._limits)
            self.body = H1Body(self._input, decoder, None)
        return head

    def _begin_tunnel(self, request: RequestHead, head: ResponseHead) -> ResponseHead:
        if request.method != b"CONNECT" and (not request.upgrade or head.upgrade != request.upgrade):
            raise ProtocolError("a switch of protocols that was not asked for", status=502, detail="http1.codec_error")
        self._responded = True
        self._keep_alive = False
        self._request_ended = False
        self._encoder = PlainEncoder()
        self.body = H1Body(self._input, UntilCloseDecoder())
        return head

    def abort(self, error: Exception) -> None:
        """See ``ClientStream``."""
        self._keep_alive = False
        self._input.buffer = b""
        self.connection.abort(error)

    def finish(self) -> None:
        """See ``ClientStream``."""
        if self._finished:
            return
        self._finished = True
        if not self.body.ended and self.body.all_here():
            self.body.receive_nowait()
        clean = (
            self._keep_alive and self._responded and self._request_ended and self.body.ended and not self._input.buffer
        )
        self._owner.release(clean=clean)
