"""Two connected ends in one process, and the wire between them, which a test can harm.

It behaves like TCP where TCP's manners matter to the code above:

- a bounded window in each direction, so a sender waits for its reader;
- closing with unread bytes is a reset for the peer; closing without is an end of stream;
- bytes that arrived before a reset can still be read, then ``ConnectionLost``.

Nothing here is fast, and nothing needs to be.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from meshd.errors import ConnectionLost
from meshd.net.address import Address
from meshd.net.connection import TlsInfo

KIB = 1024
WINDOW = 64 * KIB
"""Bytes that fit between a sender and its reader. Small beside a kernel's, so that tests meet back-pressure."""
CHUNK = 64 * KIB
"""The most that one ``receive`` returns (``Connection.receive``)."""
LOOPBACK = "127.0.0.1"
RESET = "connection reset by peer"
BROKEN = "broken pipe"


class _Pipe:
    """One direction of a wire."""

    __slots__ = ("chunks", "eof_at", "error", "reader", "reader_gone", "size", "writer")

    def __init__(self) -> None:
        # The whole mutable state: what is under way with its time of arrival,
        # how it ended, and who waits at either end.
        self.chunks: deque[tuple[float, bytes]] = deque()
        self.size = 0
        self.eof_at: float | None = None
        self.error: str = ""
        self.reader_gone = False
        self.reader = trio.lowlevel.ParkingLot()
        self.writer = trio.lowlevel.ParkingLot()

    def take(self, most: int, now: float) -> bytes | None:
        """Bytes that have arrived, b"" at the end of stream, None when there is nothing yet."""
        if not self.chunks:
            if self.error:
                raise ConnectionLost(self.error)
            return b"" if self.eof_at is not None and self.eof_at <= now else None
        pieces: list[bytes] = []
        room = most
        while self.chunks and room and self.chunks[0][0] <= now:
            at, piece = self.chunks.popleft()
            if len(piece) > room:
                self.chunks.appendleft((at, piece[room:]))
                piece = piece[:room]
            pieces.append(piece)
            room -= len(piece)
        if not pieces:
            return None
        self.size -= most - room
        self.writer.unpark_all()
        return b"".join(pieces)

    def next_arrival(self) -> float | None:
        """When something under way arrives, None when nothing is."""
        return self.chunks[0][0] if self.chunks else self.eof_at


class Wire:
    """What lies between two ends; the handle by which a test does harm.

    Attributes:
        client: The end that connected.
        server: The end that is accepted.
        latency: Seconds that bytes sent from now on take, each way.
        chunk: The most one ``receive`` returns; 1 feeds byte by byte.
        window: Bytes that fit in each direction.
        captured_from: Where the client was going, when the wire ends somewhere else.
    """

    def __init__(self, addresses: tuple[Address, Address], *, window: int = WINDOW) -> None:
        self.latency = 0.0
        self.chunk = CHUNK
        self.window = window
        self.captured_from: Address | None = None
        self._stalled = False
        forth, back = _Pipe(), _Pipe()
        self.client = MemoryConnection(self, addresses, back, forth)
        self.server = MemoryConnection(self, addresses[::-1], forth, back)

    def cut(self) -> None:
        """A reset for both ends, as when a machine between them dies with its connections."""
        for end in (self.client, self.server):
            end._receive_reset()

    def stall(self) -> None:
        """Deliver nothing more until ``resume``: the wire is silent, and fills up."""
        self._stalled = True

    def resume(self) -> None:
        """Deliver again."""
        self._stalled = False
        for end in (self.client, self.server):
            end._incoming.reader.unpark_all()

    @property
    def stalled(self) -> bool:
        """True between ``stall`` and ``resume``."""
        return self._stalled

    @property
    def closed(self) -> bool:
        """True when both ends are closed."""
        return self.client.closed and self.server.closed


class MemoryConnection:
    """One end of a wire (``Connection``). Made by ``MemoryNetwork`` and ``memory_pair``; whoever holds it closes it."""

    __slots__ = (
        "_error",
        "_incoming",
        "_outgoing",
        "_pushed",
        "_receiving",
        "_sending",
        "closed",
        "local",
        "on_hangup",
        "peer",
        "tls",
        "wire",
    )

    def __init__(self, wire: Wire, addresses: tuple[Address, Address], incoming: _Pipe, outgoing: _Pipe) -> None:
        self.wire = wire
        self.local, self.peer = addresses
        self.tls: TlsInfo | None = None
        self.on_hangup: Callable[[], None] | None = None
        self.closed = False
        self._incoming = incoming
        self._outgoing = outgoing
        self._pushed = b""
        self._error: Exception | None = None
        self._receiving = False
        self._sending = False

    @property
    def truncated(self) -> bool:
        """See ``Connection.truncated``."""
        return False

    def original_destination(self) -> Address | None:
        """See ``Redirected.original_destination``."""
        return self.wire.captured_from

    async def receive(self) -> bytes:
        """See ``Connection.receive``."""
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving from this connection")
        while (data := self.receive_nowait()) is None:
            self._receiving = True
            try:
                arrival = None if self.wire.stalled else self._incoming.next_arrival()
                if arrival is None:
                    await self._incoming.reader.park()
                else:
                    with trio.move_on_at(arrival):
                        await self._incoming.reader.park()
            finally:
                self._receiving = False
        return data

    def receive_nowait(self) -> bytes | None:
        """See ``Connection.receive_nowait``."""
        if self._error is not None:
            raise self._error
        if self._pushed:
            data, self._pushed = self._pushed, b""
            return data
        if self.wire.stalled and not self._incoming.error:
            return None
        return self._incoming.take(self.wire.chunk, trio.current_time())

    def send_nowait(self, data: bytes) -> int:  # noqa: ARG002 - only `send` can do it here
        """See ``Connection.send_nowait``."""
        return 0

    async def send(self, data: bytes) -> None:
        """See ``Connection.send``."""
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this connection")
        rest = memoryview(data)
        pipe = self._outgoing
        while True:
            self._check_sendable()
            room = self.wire.window - pipe.size
            if room > 0 and rest:
                piece = bytes(rest[:room])
                rest = rest[room:]
                pipe.chunks.append((trio.current_time() + self.wire.latency, piece))
                pipe.size += len(piece)
                pipe.reader.unpark_all()
            if not rest:
                return
            self._sending = True
            try:
                await pipe.writer.park()
            finally:
                self._sending = False

    def _check_sendable(self) -> None:
        if self._error is not None:
            raise self._error
        if self._incoming.error:
            raise ConnectionLost(self._incoming.error)
        if self._outgoing.eof_at is not None:
            raise trio.ClosedResourceError("the end of this stream was already sent")
        if self._outgoing.reader_gone:
            raise ConnectionLost(BROKEN)

    async def send_eof(self) -> None:
        """See ``Connection.send_eof``."""
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this connection")
        if self._error is not None:
            raise self._error
        self._end_stream()

    def unread(self, data: bytes) -> None:
        """See ``Connection.unread``."""
        self._pushed = data + self._pushed

    def abort(self, error: Exception) -> None:
        """See ``Connection.abort``: the peer sees a reset."""
        self._shut(error, reset=True)

    def close(self) -> None:
        """See ``Connection.close``: the peer sees the end, or a reset when bytes were left unread."""
        self._shut(trio.ClosedResourceError("this connection was closed"), reset=self._incoming.size > 0)

    async def aclose(self) -> None:
        """See ``Connection.aclose``. Draining is instant here: what has come is thrown away."""
        if not self.closed:
            self._incoming.chunks.clear()
            self._incoming.size = 0
            self.close()
        await trio.lowlevel.checkpoint()

    def _end_stream(self) -> None:
        pipe = self._outgoing
        if pipe.eof_at is not None:
            return
        pipe.eof_at = trio.current_time() + self.wire.latency
        pipe.reader.unpark_all()
        self._other_end()._hang_up_soon()

    def _shut(self, error: Exception, *, reset: bool) -> None:
        if self._error is not None:
            return
        self._error = error
        self.closed = True
        self._incoming.reader_gone = True
        self._outgoing.writer.unpark_all()
        self._incoming.reader.unpark_all()
        self._incoming.writer.unpark_all()
        if reset:
            self._other_end()._receive_reset()
        else:
            self._end_stream()

    def _receive_reset(self) -> None:
        if self.closed or self._incoming.error:
            return
        self._incoming.error = RESET
        self._incoming.reader.unpark_all()
        self._outgoing.writer.unpark_all()
        self._hang_up_soon()

    def _other_end(self) -> MemoryConnection:
        return self.wire.server if self is self.wire.client else self.wire.client

    def _hang_up_soon(self) -> None:
        # A reader that waits is woken, and learns by itself.
        if self.closed or self._receiving:
            return
        if self.wire.latency:
            trio.lowlevel.spawn_system_task(self._hang_up_later, self.wire.latency)
        else:
            trio.lowlevel.current_trio_token().run_sync_soon(self._hang_up)

    async def _hang_up_later(self, latency: float) -> None:
        await trio.sleep(latency)
        self._hang_up()

    def _hang_up(self) -> None:
        callback = self.on_hangup
        if callback is not None and not self._receiving and not self.closed:
            self.on_hangup = None
            callback()

    def __repr__(self) -> str:
        return f"<MemoryConnection {self.local} with {self.peer}{' closed' if self.closed else ''}>"


def memory_pair(*, window: int = WINDOW) -> tuple[MemoryConnection, MemoryConnection]:
    """Two connected ends, the client's first, without a network."""
    wire = Wire((Address(LOOPBACK, 32767), Address(LOOPBACK, 80)), window=window)
    return wire.client, wire.server
