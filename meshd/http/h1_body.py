"""What comes in on an HTTP/1 connection: heads cut off at their blank line, bodies with the framing taken off.

Bytes wait in one place, ``Input.buffer``: what was received and not yet asked
for. Whoever takes from it takes all and puts back what is not theirs, so bytes
behind a message can neither be lost nor belong to two messages.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

from meshd.errors import ConnectionLost, ProtocolError
from meshd.http.framing import Decoder, UntilCloseDecoder, truncated
from meshd.http.guard import refuse_start
from meshd.http.head import Headers
from meshd.http.patience import Patience
from meshd.net.connection import Connection

PIECES_PER_TURN = 64
"""Pieces of a body that are received without waiting before other tasks get a turn."""


class Input:
    """The reading side of one HTTP/1 connection. Belongs to its codec."""

    __slots__ = ("buffer", "connection", "patience", "stream_idle")

    def __init__(self, connection: Connection, patience: Patience | None = None, stream_idle: float = math.inf) -> None:
        self.connection = connection
        self.buffer = b""
        self.patience = patience
        self.stream_idle = stream_idle

    async def receive(self) -> bytes:
        """Bytes held, else the next from the connection; b"" at the end."""
        data = self.buffer
        if data:
            self.buffer = b""
            return data
        patience = self.patience
        if patience is None:
            return await self.connection.receive()
        patience.reading = patience.now() + self.stream_idle
        try:
            return await self.connection.receive()
        finally:
            patience.reading = math.inf

    async def receive_head(self, data: bytes, *, limit: int, check: Callable[[bytes], None] | None = None) -> bytes:
        """The head that begins with ``data``; what follows it is held.

        Args:
            data: What has come of it.
            limit: Bytes it may have.
            check: Looks at each unfinished state of it; may refuse.

        Raises:
            ProtocolError: 431 when it is too large, 400 when it cannot become a head.
            ConnectionLost: the connection ended in the middle of it.
        """
        seen = 0
        while True:
            end = data.find(b"\r\n\r\n", max(0, seen - 3)) + 4
            if end >= 4:
                break
            if len(data) > limit:
                raise head_too_large()
            refuse_start(data, seen)
            if check is not None:
                check(data)
            seen = len(data)
            more = await self.connection.receive()
            if not more:
                raise ConnectionLost("the connection ended in the middle of a head")
            data += more
        if end > limit:
            raise head_too_large()
        self.buffer = data[end:]
        return data[:end]


def head_too_large() -> ProtocolError:
    """A head beyond its limit."""
    return ProtocolError("a head that is too large", status=431, detail="http1.headers_too_large")


class H1Body:
    """A body that is coming in (``Body``), its framing taken off by a decoder. Made by the codecs, one per message."""

    __slots__ = ("_before", "_decoder", "_input", "_pieces", "ended", "received", "trailers")

    def __init__(self, source: Input, decoder: Decoder, before: Callable[[], Awaitable[None]] | None = None) -> None:
        self._input = source
        self._decoder = decoder
        self._before = before
        self._pieces = 0
        self.ended = decoder.ended
        self.received = 0
        """Bytes of the body handed out so far."""
        self.trailers: Headers | None = None

    async def receive(self) -> bytes:
        """See ``Body``."""
        source = self._input
        while not self.ended:
            if self._before is not None:
                before, self._before = self._before, None
                if not source.buffer:
                    await before()
            self._pieces += 1
            if not self._pieces % PIECES_PER_TURN:
                await trio.lowlevel.checkpoint()
            data = await source.receive()
            if not data:
                self._feed_end()
                break
            piece = self._feed(data)
            if piece:
                return piece
        return b""

    def receive_nowait(self) -> bytes:
        """See ``Body``. Looks only at what was received with something else."""
        source = self._input
        if self.ended or not source.buffer:
            return b""
        data, source.buffer = source.buffer, b""
        return self._feed(data)

    def _feed(self, data: bytes) -> bytes:
        decoder = self._decoder
        piece = decoder.feed(data)
        self.received += len(piece)
        if decoder.ended:
            self.ended = True
            self.trailers = decoder.trailers
            self._input.buffer = decoder.rest
        return piece

    def _feed_end(self) -> None:
        decoder = self._decoder
        if isinstance(decoder, UntilCloseDecoder) and self._input.connection.truncated:
            raise ConnectionLost("the connection ended without TLS's goodbye, so the body may be cut")
        decoder.feed_end()
        self.ended = True

    def all_here(self) -> bool:
        """Whether the rest of the body has been received already, as far as can be told without reading it."""
        return self.ended


class LengthBody:
    """A body of a declared number of bytes (``Body``): by far the most bodies, so it is its own decoder.

    Args:
        source: Where it comes from.
        length: Bytes of it, at least one.
        before: Called once before the first wait for it.
    """

    __slots__ = ("_before", "_input", "_pieces", "ended", "received", "remaining")
    trailers: Headers | None = None

    def __init__(self, source: Input, length: int, before: Callable[[], Awaitable[None]] | None = None) -> None:
        self._input = source
        self._before = before
        self._pieces = 0
        self.ended = False
        self.received = 0
        self.remaining = length

    async def receive(self) -> bytes:
        """See ``Body``."""
        if self.ended:
            return b""
        source = self._input
        if self._before is not None:
            before, self._before = self._before, None
            if not source.buffer:
                await before()
        self._pieces += 1
        if not self._pieces % PIECES_PER_TURN:
            await trio.lowlevel.checkpoint()
        data = await source.receive()
        if not data:
            raise truncated()
        return self._take(data)

    def receive_nowait(self) -> bytes:
        """See ``Body``. Looks only at what was received with something else."""
        source = self._input
        data = source.buffer
        if self.ended or not data:
            return b""
        source.buffer = b""
        return self._take(data)

    def _take(self, data: bytes) -> bytes:
        remaining = self.remaining - len(data)
        if remaining <= 0:
            self.ended = True
            if remaining < 0:
                self._input.buffer = data[remaining:]
                data = data[:remaining]
                remaining = 0
        self.remaining = remaining
        self.received += len(data)
        return data

    def all_here(self) -> bool:
        """Whether the rest of the body has been received already."""
        return self.ended or self.remaining <= len(self._input.buffer)


class WholeBody:
    """A body all of whose bytes came with its head (``Body``)."""

    __slots__ = ("_data", "ended", "received")
    trailers: Headers | None = None

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.ended = False
        self.received = 0

    async def receive(self) -> bytes:
        """See ``Body``."""
        return self.receive_nowait()

    def receive_nowait(self) -> bytes:
        """See ``Body``."""
        if self.ended:
            return b""
        self.ended = True
        data = self._data
        self.received = len(data)
        return data

    def all_here(self) -> bool:
        """It is."""
        return True


class NoBody:
    """The body of a message that has none, or whose head has not come."""

    __slots__ = ()
    ended = True
    received = 0
    trailers: Headers | None = None

    async def receive(self) -> bytes:
        """Nothing."""
        return b""

    def receive_nowait(self) -> bytes:
        """Nothing."""
        return b""

    def all_here(self) -> bool:
        """Nothing is missing."""
        return True


NO_BODY_HERE = NoBody()


def whole_body(data: bytes) -> WholeBody | NoBody:
    """A body of these bytes and no trailers, all of it here."""
    return WholeBody(data) if data else NO_BODY_HERE
