"""One request and its response on one connection: the seam between codecs and their users.

HTTP/1.1 and HTTP/2 look the same through these four protocols. ``http/h1.py``
and ``http/h2.py`` implement them; ``http/server.py`` hands ``ServerStream``s to
a handler; ``http/client.py`` and the proxy's pools open ``ClientStream``s.

Back-pressure is end to end: a body's bytes are read from the network only when
``Body.receive`` is called (HTTP/2: the window opens only for bytes that were
handed out), and ``send`` waits while the peer does not read.

Deadlines are the caller's: they call ``abort(DeadlineExceeded(...))`` from a
timer. After ``abort`` every pending and later operation of the stream raises
the given error; on HTTP/1.1 the connection is closed, on HTTP/2 the stream is
reset and the connection lives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.net.connection import Connection


class Body(Protocol):
    """The bytes of a message's body, framing taken off."""

    @property
    def ended(self) -> bool:
        """True once the last byte has been handed out. True from the start when there is no body."""
        ...

    @property
    def trailers(self) -> Headers | None:
        """Trailer fields, once ended; None when there were none."""
        ...

    async def receive(self) -> bytes:
        """The next piece, as it arrived (never empty before the end); b"" at the end.

        Raises:
            ProtocolError: the framing is broken.
            ConnectionLost: the connection ended in the middle (a truncated body
                is never presented as a complete one).
        """
        ...

    def receive_nowait(self) -> bytes:
        """A piece that is here already, b"" when there is none (look at ``ended``)."""
        ...


class ServerStream(Protocol):
    """The server's side of one exchange. Lives from its request head to the end of its response."""

    connection: Connection
    request: RequestHead
    response_started: bool
    ended: bool
    """True once the response's last byte was handed to the network."""
    aborted: bool
    """True after ``abort``."""
    bytes_sent: int
    """Body bytes of the response so far."""
    on_abort: Callable[[Exception], None] | None
    """Called once when the client has gone (connection hung up, stream reset)
    while nobody waits on this stream: the handler's cue to give up. Set by the handler;
    called while it is being set when the client has gone already."""

    @property
    def body(self) -> Body:
        """The request's body. After a 101, or a 2xx to CONNECT, the tunnel's bytes."""
        ...

    @property
    def bytes_received(self) -> int:
        """Body bytes of the request so far."""
        ...

    async def send_informational(self, head: ResponseHead) -> None:
        """Send a 1xx (100, 103). Dropped for HTTP/1.0 clients."""
        ...

    async def respond(self, head: ResponseHead, data: bytes = b"", *, end: bool) -> None:
        """Send the final head with the first bytes of the body in one write.

        ``head.length`` decides the framing: a number is Content-Length, None is
        chunked (HTTP/1.1) or until the end (HTTP/1.0, HTTP/2).
        """
        ...

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Send more of the body."""
        ...

    async def send_trailers(self, trailers: Headers) -> None:
        """End the response with trailer fields (dropped where the protocol has no place for them)."""
        ...

    def abort(self, error: Exception) -> None:
        """Give the exchange up: see the module's text."""
        ...

    def close_after(self) -> None:
        """Let this be the connection's last exchange: ``connection: close``, or GOAWAY. Only before ``respond``."""
        ...


class ClientStream(Protocol):
    """The client's side of one exchange. Made by ``ClientConnection.open``."""

    connection: Connection
    request_bytes_sent: bool
    """True once any byte of the request was handed to the network: a retry is then no longer certain to be the first execution."""

    @property
    def body(self) -> Body:
        """The response's body, or the tunnel's bytes; meaningful after ``receive_head``."""
        ...

    async def send_head(self, head: RequestHead, data: bytes = b"", *, end: bool) -> None:
        """Send the head with the first bytes of the body in one write. Does not change ``head``."""
        ...

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Send more of the body. Raises when the peer is gone or has reset the stream."""
        ...

    async def send_trailers(self, trailers: Headers) -> None:
        """End the request with trailer fields."""
        ...

    async def receive_head(self) -> ResponseHead:
        """Wait for the final response head (1xx other than 101 are dropped).

        Raises:
            ProtocolError: what came is no response.
            UpstreamError: the connection ended or the stream was reset before a
                head; ``sent`` and ``flag`` say what a retry may assume.
        """
        ...

    def abort(self, error: Exception) -> None:
        """Give the exchange up: see the module's text."""
        ...

    def finish(self) -> None:
        """The caller is done. Idempotent.

        A connection whose exchange is complete and clean becomes free again
        (HTTP/1.1: both messages ended, keep-alive); otherwise it is closed
        (HTTP/1.1) or the stream is reset (HTTP/2).
        """
        ...


class ClientConnection(Protocol):
    """A connection one can make requests on: the pool's five questions and a door."""

    connection: Connection
    requests: int
    """How many exchanges it has carried."""
    idle_since: float
    """trio's clock when the last exchange ended."""

    @property
    def protocol(self) -> str:
        """``http/1.1`` or ``h2``."""
        ...

    def is_available(self) -> bool:
        """May ``open`` be called now? HTTP/1.1: idle and open. HTTP/2: below the peer's stream limit, no GOAWAY."""
        ...

    def is_idle(self) -> bool:
        """No exchange is under way."""
        ...

    def is_closed(self) -> bool:
        """Nothing can be done with it any more (the peer may have closed it while idle)."""
        ...

    def open(self) -> ClientStream:
        """Begin an exchange. Only when ``is_available()``."""
        ...

    def close(self) -> None:
        """Close at once; exchanges under way fail with ``UpstreamError``."""
        ...
