"""HTTP/1.1 as a client: one exchange at a time on a connection that is reused only when nothing is left over.

A connection is closed, and never used again, as soon as anything is not as it
should be: bytes behind a response, bytes while idle, a 101 nobody asked for, a
request or a body that did not end. What a server sent too much must never
become the answer to another request.
"""

from __future__ import annotations

import trio

from meshd.errors import ConnectionLost
from meshd.http import grammar
from meshd.http.framing import LENGTH, NO_BODY
from meshd.http.h1_body import Input, whole_body
from meshd.http.h1_client_stream import H1ClientStream, check_start, render_request, render_start, terminated
from meshd.http.head import RequestHead, ResponseHead
from meshd.http.last_head import LastHead
from meshd.http.limits import HttpLimits
from meshd.net.connection import Connection


class H1ClientConnection:
    """An HTTP/1.1 connection to a server (``ClientConnection``). Whoever made the connection makes and closes this.

    Args:
        connection: Connected, its TLS handshake done.
        limits: Bounds of what the server may send.
    """

    __slots__ = (
        "_busy",
        "_closed",
        "_input",
        "_limits",
        "_now",
        "_stream",
        "connection",
        "idle_since",
        "last",
        "protocol",
        "requests",
        "start",
    )

    def __init__(self, connection: Connection, *, limits: HttpLimits | None = None) -> None:
        self.connection = connection
        self.protocol = "http/1.1"
        self.requests = 0
        self._now = trio.lowlevel.current_clock().current_time
        self.idle_since = self._now()
        self._limits = limits or HttpLimits()
        self._input = Input(connection)
        self.start = b""
        """The last request's start, known to be well formed."""
        self.last: LastHead[ResponseHead] = LastHead()
        self._busy = False
        self._stream: H1ClientStream | None = None
        """The exchange under way, unless ``fetch`` still has it to itself."""
        self._closed = False

    def is_available(self) -> bool:
        """See ``ClientConnection``. A free connection on which anything has come is closed: nobody asked."""
        if self._busy or self._closed:
            return False
        try:
            unasked = self.connection.receive_nowait()
        except Exception:  # noqa: BLE001 - whatever it is, this connection cannot be used
            unasked = b""
        if unasked is None:
            return True
        self.close()
        return False

    def is_idle(self) -> bool:
        """See ``ClientConnection``."""
        return not self._busy

    def is_closed(self) -> bool:
        """See ``ClientConnection``."""
        return self._closed or (not self._busy and not self.is_available())

    def open(self) -> H1ClientStream:
        """See ``ClientConnection``."""
        assert not self._busy, "one exchange at a time"
        self.requests += 1
        self._busy = True
        stream = self._stream = H1ClientStream(self, self._input, self._limits)
        return stream

    async def fetch(self, head: RequestHead, data: bytes = b"") -> tuple[ResponseHead, bytes, H1ClientStream | None]:
        """A whole exchange in one go: what most exchanges are, at a good part of a stream's price.

        It means what ``open``, ``send_head``, ``receive_head`` and ``finish`` mean together, and
        becomes them where it is not as simple as that (a test holds the two together).

        Args:
            head: Of a request that asks for no other protocol.
            data: All of the request's body, ``head.length`` bytes.

        Returns:
            The response's head and its whole body, or the head, b"" and the stream that the
            rest of the body comes by. Without a stream the caller says ``release(clean=True)``,
            or goes on with ``adopt``.

        Raises:
            MeshdError: as ``ClientStream`` does; the exchange is then ended by ``adopt(head).finish()``.
        """
        assert not self._busy, "one exchange at a time"
        self.requests += 1
        self._busy = True
        start = render_start(head)
        if start != self.start:
            check_start(start)
            self.start = start
        message = b"%b\r\n%b" % (render_request(head, start), data)
        connection, source = self.connection, self._input
        try:
            sent = connection.send_nowait(message)
            if sent < len(message):
                await connection.send(message[sent:])
            received = source.buffer or await connection.receive()
        except ConnectionLost as error:
            raise terminated(str(error), sent=True) from error
        read = self.read_ordinary(received, head) if received else None
        if read is not None:
            response, framing, keep_alive = read
            rest = source.buffer
            if keep_alive and (len(rest) == response.length if framing == LENGTH else framing == NO_BODY and not rest):
                source.buffer = b""
                return response, rest if framing == LENGTH else b"", None
        elif received:
            source.buffer = received
        stream = self.adopt(head)
        return (
            (stream.begin(read[0], read[1], keep_alive=read[2]) if read is not None else await stream.receive_head()),
            b"",
            stream,
        )

    def adopt(self, head: RequestHead, answer: tuple[ResponseHead, bytes] | None = None) -> H1ClientStream:
        """The exchange that ``fetch`` has begun, as a stream; ``answer`` when it has returned all of it."""
        stream = self._stream
        if stream is None:
            stream = self._stream = H1ClientStream(self, self._input, self._limits)
            stream.follow(head)
        if answer is not None:
            stream.begin(answer[0], NO_BODY, keep_alive=True)
            stream.body = whole_body(answer[1])
        return stream

    def read_ordinary(self, data: bytes, request: RequestHead) -> tuple[ResponseHead, int, bool] | None:
        """The head that ``data`` begins with, when it is whole and ordinary; else the stream must look closely."""
        last, limits = self.last, self._limits
        kept = last.head
        if kept is not None and data.startswith(last.raw) and request.method == last.method:
            self._input.buffer = data[len(last.raw) :]
            return kept.copy(), last.framing, last.keep_alive
        end = data.find(b"\r\n\r\n", 0, limits.max_response_head) + 4
        if end < 4:
            return None
        raw = data[:end]
        if limits.max_headers < grammar.MAX_HEADERS and raw.count(b"\n") > limits.max_headers + 2:
            return None
        read = grammar.read_response(raw, request)
        if read is not None:
            self._input.buffer = data[end:]
            last.note(raw, read[0], framing=read[1], keep_alive=read[2], method=request.method)
        return read

    def abort(self, error: Exception) -> None:
        """Give up the exchange that is under way in ``fetch``, which raises ``error``."""
        self._input.buffer = b""
        self.connection.abort(error)

    def close(self) -> None:
        """See ``ClientConnection``."""
        self._closed = True
        if not self._busy:
            self.connection.close()
        else:
            sent = self._stream is None or self._stream.request_bytes_sent
            self.connection.abort(terminated("closed here", sent=sent))

    def release(self, *, clean: bool) -> None:
        """The exchange is over (called by its stream, or by whom ``fetch`` has given all of it)."""
        self._busy = False
        self._stream = None
        if clean and not self._closed:
            self.idle_since = self._now()
        else:
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "busy" if self._busy else "idle"
        return f"<H1ClientConnection {self.connection.peer} {state} {self.requests} requests>"
