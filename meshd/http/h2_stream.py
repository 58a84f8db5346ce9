"""What both sides of an HTTP/2 stream share: the body that comes in, and the writing of the one that goes out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from meshd.errors import ProtocolError
from meshd.http.framing import Encoder
from meshd.http.head import Headers
from meshd.http.waiter import Waiter

if TYPE_CHECKING:
    from meshd.http.h2_engine import H2Engine


class H2Body:
    """A body that is coming in (``Body``). The window opens only for bytes that were handed out."""

    __slots__ = (
        "_arrived",
        "_before",
        "_complete",
        "_error",
        "_expected",
        "_pieces",
        "_size",
        "_stream",
        "_trailers",
        "_waiter",
        "ended",
        "received",
        "trailers",
    )

    def __init__(self, stream: H2StreamBase, *, expected: int | None, complete: bool) -> None:
        self._stream = stream
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._arrived = 0
        self._expected = expected
        self._complete = complete
        self._error: Exception | None = None
        self._waiter = Waiter()
        self._trailers: Headers | None = None
        self._before: Callable[[], Awaitable[None]] | None = None
        self.ended = complete
        self.received = 0
        """Bytes handed out so far."""
        self.trailers: Headers | None = None

    # Called by the engine

    def feed(self, data: bytes, size: int, *, ended: bool) -> None:
        """Bytes have come.

        Raises:
            ProtocolError: more or fewer than were declared.
        """
        self._arrived += len(data)
        if data:
            self._pieces.append(data)
        self._size += size
        if ended:
            self.complete(None)
        elif self._expected is not None and self._arrived > self._expected:
            raise _wrong_length()
        self._waiter.wake()

    def complete(self, trailers: Headers | None) -> None:
        """No more will come.

        Raises:
            ProtocolError: more or fewer bytes came than were declared.
        """
        if self._expected not in (None, self._arrived):
            raise _wrong_length()
        self._complete = True
        self._trailers = trailers
        if not self._pieces:
            self._finish()
        self._waiter.wake()

    def fail(self, error: Exception, *, at_once: bool) -> None:
        """Nothing more can be received; ``at_once`` forgets what has come, too."""
        if self.ended or (self._complete and not at_once):
            return
        if self._error is None:
            self._error = error
        if at_once:
            self.discard()
        self._waiter.wake()

    def discard(self) -> None:
        """Give back the window of bytes that nobody will take."""
        self._pieces.clear()
        if self._size:
            self._stream.acknowledge(self._size)
            self._size = 0

    def ask_first(self, before: Callable[[], Awaitable[None]]) -> None:
        """Have ``before`` called when the body is first wanted."""
        self._before = before

    # Called by the application

    async def receive(self) -> bytes:
        """See ``Body``."""
        stream = self._stream
        while True:
            piece = self.receive_nowait()
            if piece or self.ended:
                return piece
            if self._error is not None:
                raise self._error
            if self._before is not None:
                before, self._before = self._before, None
                await before()
            stream.reading = trio.current_time() + stream.engine.stream_idle
            try:
                await self._waiter.wait()
            finally:
                stream.reading = math.inf

    def receive_nowait(self) -> bytes:
        """See ``Body``."""
        pieces = self._pieces
        if not pieces:
            return b""
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.received += len(piece)
        size, self._size = self._size, 0
        if self._complete:
            self._finish()
        self._stream.acknowledge(size)
        return piece

    def _finish(self) -> None:
        self.ended = True
        self.trailers = self._trailers


def _wrong_length() -> ProtocolError:
    return ProtocolError("a body of another length than declared", detail="http2.content_length_mismatch")


class H2StreamBase(ABC):
    """A stream as its engine sees it. Subclassed by the two sides only."""

    __slots__ = (
        "_encoder",
        "_error",
        "aborted",
        "bytes_sent",
        "engine",
        "reading",
        "room",
        "send_ended",
        "stream_id",
        "writing",
    )

    def __init__(self, engine: H2Engine, stream_id: int) -> None:
        self.engine = engine
        self.stream_id = stream_id
        self.room = Waiter()
        """Where a sender waits for the peer's window or the socket."""
        self.reading = math.inf
        self.writing = math.inf
        """Until when a wait on the peer may last (trio's clock)."""
        self.send_ended = False
        self.aborted = False
        self.bytes_sent = 0
        self._encoder: Encoder | None = None
        self._error: Exception | None = None

    def acknowledge(self, size: int) -> None:
        """The application has taken bytes."""
        engine = self.engine
        if size and not engine.closed:
            engine.codec.acknowledge(self.stream_id, size)
            engine.wake_writer()

    @property
    def dead(self) -> bool:
        """Whether it was aborted, reset or lost."""
        return self._error is not None

    def check(self) -> None:
        """Raise what the stream was aborted with or has died of."""
        if self._error is not None:
            raise self._error

    async def write(self, data: bytes, *, end: bool) -> None:
        """Send bytes of the body as the windows and the socket take them."""
        engine, codec = self.engine, self.engine.codec
        at, size = 0, len(data)
        due = math.inf
        try:
            self.check()
            while at < size:
                room = engine.room(self.stream_id)
                if room <= 0:
                    if due == math.inf:
                        # One for the whole piece: a peer that opens its window byte by byte gains no time.
                        due = trio.current_time() + engine.send_timeout
                    self.writing = due
                    await engine.wait_room(self)
                    self.writing = math.inf
                    self.check()
                    continue
                piece = data[at : at + room]
                at += len(piece)
                self.send_ended = end and at == size
                codec.send_data(self.stream_id, piece, end=self.send_ended)
                self.bytes_sent += len(piece)
                engine.wake_writer()
            if end and not self.send_ended:
                codec.send_data(self.stream_id, b"", end=True)
                self.send_ended = True
                engine.wake_writer()
        finally:
            self.writing = math.inf
            # Whoever stops sending lets the next in line look, lest room be left unused.
            engine.pass_room_on()

    def write_trailers(self, fields: list[tuple[bytes, bytes]]) -> None:
        """End the message with trailers."""
        self.check()
        if fields:
            self.engine.codec.send_head(self.stream_id, fields, end=True)
        else:
            self.engine.codec.send_data(self.stream_id, b"", end=True)
        self.send_ended = True
        self.engine.wake_writer()

    def die(self, error: Exception) -> None:
        """Nothing can be sent any more."""
        if self._error is None:
            self._error = error
        self.room.wake()

    @abstractmethod
    def abort(self, error: Exception) -> None:
        """See ``ServerStream`` and ``ClientStream``."""
