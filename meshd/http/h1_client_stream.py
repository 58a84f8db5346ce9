"""One exchange of an HTTP/1.1 client connection: the request's first line and framing, the response's head and body."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from meshd.errors import ConnectionLost, ProtocolError, ResponseFlag, UpstreamError
from meshd.http import grammar, h11_head
from meshd.http.framing import (
    CHUNKED,
    LENGTH,
    NO_BODY,
    ChunkedDecoder,
    ChunkedEncoder,
    Encoder,
    LengthEncoder,
    PlainEncoder,
    UntilCloseDecoder,
)
from meshd.http.h1_body import NO_BODY_HERE, H1Body, Input, LengthBody, NoBody, WholeBody, head_too_large
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.limits import HttpLimits

if TYPE_CHECKING:
    from meshd.http.h1 import H1ClientConnection

# What was edited since it was checked (targets by rewrites, authorities by configuration)
# must still be one request line and one Host.
_START = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]++ [!-~]++ HTTP/1\.1\r\nhost: [!-+\--~]*+\r\n")
_HAS_BODY = frozenset((b"POST", b"PUT", b"PATCH"))
"""Methods for which no body is worth saying (RFC 9110 section 8.6)."""


def render_start(head: RequestHead) -> bytes:
    """The request line and the Host of a head, to be checked by ``check_start``."""
    target = head.authority if head.method == b"CONNECT" else head.target
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (head.method, target, head.authority)


def check_start(start: bytes) -> None:
    """Refuse what would not begin one well-formed request.

    Raises:
        ProtocolError: it is not one request line and one Host.
    """
    if _START.fullmatch(start) is None:
        raise ProtocolError("a request that cannot be written", detail="http1.invalid_url")


def render_request(head: RequestHead, start: bytes) -> bytes:
    """A request head for the wire after its ``start``, framing included, blank line not."""
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


def terminated(cause: str, *, sent: bool) -> UpstreamError:
    """The connection ended before the exchange did."""
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
        self.body: H1Body | LengthBody | WholeBody | NoBody = NO_BODY_HERE
        self.request_bytes_sent = False

    async def send_head(self, head: RequestHead, data: bytes = b"", *, end: bool) -> None:
        """See ``ClientStream``."""
        self._request = head
        owner = self._owner
        start = render_start(head)
        if start != owner.start:
            check_start(start)
            owner.start = start
        if end and not data and head.length == 0:
            message = render_request(head, start) + b"\r\n"
        else:
            encoder = self._encoder = self._encoder_for(head)
            message = b"%b\r\n%b" % (render_request(head, start), encoder.encode(data, end=end))
        self.request_bytes_sent = True
        connection = self.connection
        try:
            sent = connection.send_nowait(message)
            if sent < len(message):
                await connection.send(message[sent:])
        except ConnectionLost as error:
            raise terminated(str(error), sent=True) from error
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
            raise terminated(str(error), sent=True) from error

    async def receive_head(self) -> ResponseHead:
        """See ``ClientStream``."""
        request = self._request
        assert request is not None, "receive_head after send_head"
        source, connection = self._input, self.connection
        for _ in range(self._limits.max_informational + 1):
            try:
                data = source.buffer or await connection.receive()
                if not data:
                    raise terminated("before a response", sent=self.request_bytes_sent)
                read = self._owner.read_ordinary(data, request) or await self._read_slowly(data, request)
            except ConnectionLost as error:
                raise terminated(str(error), sent=self.request_bytes_sent) from error
            head = read[0]
            status = head.status
            if status == 101 or (request.method == b"CONNECT" and 200 <= status < 300):
                return self._begin_tunnel(request, head)
            if status >= 200:
                return self.begin(head, read[1], keep_alive=read[2])
        raise ProtocolError("informational responses without end", status=502, detail="http1.codec_error")

    def begin(self, head: ResponseHead, framing: int, *, keep_alive: bool) -> ResponseHead:
        """The final response head has come; its body is what follows."""
        self._keep_alive = keep_alive
        self._responded = True
        if framing != NO_BODY:
            self.body = self._body(head, framing)
        return head

    def follow(self, head: RequestHead) -> None:
        """Go on after ``fetch`` has sent a request."""
        self._request = head
        self._request_ended = True
        self.request_bytes_sent = True

    async def _read_slowly(self, data: bytes, request: RequestHead) -> tuple[ResponseHead, int, bool]:
        """The head that begins with ``data``, whatever it is like."""
        limits = self._limits
        try:
            raw = await self._input.receive_head(data, limit=limits.max_response_head)
        except ProtocolError as refused:
            refused.status = 502
            raise
        if raw.count(b"\n") > limits.max_headers + 2:
            raise _too_large()
        return grammar.read_response(raw, request) or h11_head.read_response(raw, request)

    def _body(self, head: ResponseHead, framing: int) -> H1Body | LengthBody | WholeBody:
        if framing == LENGTH:
            source, length = self._input, head.length or 0
            data = source.buffer
            if len(data) == length:
                source.buffer = b""
                return WholeBody(data)
            return LengthBody(source, length)
        return H1Body(self._input, ChunkedDecoder(self._limits) if framing == CHUNKED else UntilCloseDecoder())

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
        body = self.body
        if not body.ended and body.all_here():
            body.receive_nowait()
        clean = self._keep_alive and self._responded and self._request_ended and body.ended and not self._input.buffer
        self._owner.release(clean=clean)
