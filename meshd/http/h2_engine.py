"""An HTTP/2 connection at work: one task reads the socket, one writes it, streams use both through queues.

Theory of operation. The *reader* feeds the codec and hands its events to
streams. The *writer* sleeps until somebody has made output; then it takes all
of it and sends it at once, so frames of many streams and all window updates of
a turn share a write. A stream that sends waits while the peer's windows or the
output are full: on its own window alone it is woken by its own WINDOW_UPDATE;
on what all share it stands in line, and whoever leaves room behind wakes the
next. The reader, too, waits while the output is full: a peer that makes us
answer but does not read cannot make us keep the answers.

Streams die in two ways: alone (RST_STREAM, a broken message) or together, when
the connection is lost, which ``H2Engine.fail`` tells each of them once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import trio

from meshd.errors import ConnectionLost, DeadlineExceeded, MeshdError
from meshd.http.h2_codec import Event, H2Codec
from meshd.http.h2_frames import NO_ERROR, H2Error
from meshd.http.h2_stream import H2StreamBase
from meshd.http.limits import HttpLimits
from meshd.http.waiter import Waiter
from meshd.net.connection import Connection
from meshd.net.timers import Timer, Timers

READS_PER_TURN = 32
"""Reads without waiting before other tasks get a turn."""
LOOK_EVERY = 60.0
"""Seconds between looks at the clocks of a connection, unless a limit is shorter."""
GOODBYE = 1.0
"""Seconds for the last output, a GOAWAY mostly, to leave (Envoy ``delayed_close_timeout``)."""


class Side(Protocol):
    """What differs between client and server; told by the engine."""

    def handle(self, event: Event) -> None:
        """Something the peer sent."""
        ...

    def failed(self, error: Exception) -> None:
        """Nothing more will come; called once."""
        ...


class H2Engine:
    """The shared machinery of one connection. Made and run by the client or server side.

    Args:
        connection: Connected.
        side: Whom to tell.
        client: Which side this is.
        limits: Bounds.
        timers: For clocks.
    """

    def __init__(self, connection: Connection, side: Side, *, client: bool, limits: HttpLimits, timers: Timers) -> None:
        self.connection = connection
        self.codec = H2Codec(client=client, limits=limits)
        self.limits = limits
        # A client's waits are bounded by whoever makes the request, who knows what it is for.
        self.stream_idle = math.inf if client else limits.stream_idle_timeout or math.inf
        self.send_timeout = math.inf if client else limits.send_timeout or self.stream_idle
        self.streams: dict[int, H2StreamBase] = {}
        self.closed = False
        """Nothing more can be sent or received."""
        self.deadline = math.inf
        """When the connection itself has waited long enough (trio's clock)."""
        self.on_deadline: Callable[[], None] = self.finish
        self._side = side
        self._failed = False
        self._finishing = False
        self._output = Waiter()
        self._drained = Waiter()
        self._reading = trio.CancelScope()
        self._line: dict[int, H2StreamBase] = {}
        self._timers = timers
        self._timer: Timer | None = None
        self._look_every = min(
            LOOK_EVERY,
            limits.idle_timeout or math.inf,
            self.stream_idle,
            self.send_timeout,
            limits.header_timeout or math.inf,
        )
        self._block_since = math.inf
        self._send_due = math.inf

    # Running

    async def run(self) -> None:
        """Read and write until the connection is over, however it ends; never raises for the peer's doings."""
        self._timer = self._timers.after(self._look_every, self._look)
        try:
            # Nothing that the peer does escapes from the writer or the reader; a bug in
            # either takes the other and the connection down.
            async with trio.open_nursery() as engine_nursery:
                engine_nursery.start_soon(self._write)
                with self._reading:
                    await self._read()
                self.finish()
                if self._failed:
                    engine_nursery.cancel_scope.deadline = trio.current_time() + GOODBYE
        finally:
            self.closed = True
            if self._timer is not None:
                self._timer.cancel()

    async def _write(self) -> None:
        try:
            while not self.closed:
                data = self.codec.take_output()
                if data:
                    self._send_due = trio.current_time() + self.send_timeout
                    await self.connection.send(data)
                    self._send_due = math.inf
                    self._drained.wake()
                    self.pass_room_on()
                elif self._finishing:
                    return
                else:
                    await self._output.wait()
        except (MeshdError, trio.ClosedResourceError) as error:
            self.fail(error)

    async def _read(self) -> None:
        codec, reads = self.codec, 0
        try:
            while not self.closed:
                reads += 1
                if not reads % READS_PER_TURN:
                    await trio.lowlevel.checkpoint()
                # Streams stop well before this; only answers to a peer that does not read get here.
                # (Were the bounds the same, two busy peers could wait for each other for ever.)
                while codec.pending >= 4 * self.limits.h2_send_buffer and not self.closed:
                    await self._drained.wait()
                data = await self.connection.receive()
                if not data:
                    raise ConnectionLost("the peer has closed the connection")
                for event in codec.receive(data):
                    self._side.handle(event)
                if codec.in_block != (self._block_since != math.inf):
                    self._block_since = trio.current_time() if codec.in_block else math.inf
                self.wake_writer()
        except H2Error as error:
            # The writer still sends the GOAWAY that says why.
            self._tell(error)
        except (MeshdError, trio.ClosedResourceError) as error:
            self.fail(error)

    def wake_writer(self) -> None:
        """There is output."""
        self._output.wake()

    def finish(self) -> None:
        """End when what is to be sent has been sent. Idempotent."""
        self._finishing = True
        self._reading.cancel()
        self._output.wake()

    def fail(self, error: Exception) -> None:
        """End now. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._output.wake()
        self._drained.wake()
        self.connection.abort(error)
        self._tell(error)

    def _tell(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            self._side.failed(error)

    # Room to send

    def room(self, stream_id: int) -> int:
        """Bytes a stream may send now."""
        codec = self.codec
        if self.closed or codec.pending >= self.limits.h2_send_buffer:
            return 0
        return codec.room(stream_id)

    async def wait_room(self, stream: H2StreamBase) -> None:
        """Wait until there may be room for this stream."""
        if self.codec.stream_room(stream.stream_id) > 0:
            self._line[stream.stream_id] = stream
        else:
            self.pass_room_on()
        try:
            await stream.room.wait()
        finally:
            self._line.pop(stream.stream_id, None)

    def pass_room_on(self) -> None:
        """Let the next in line look whether there is room."""
        for stream_id in self._line:
            self._line.pop(stream_id).room.wake()
            return

    def window_opened(self, stream_id: int) -> None:
        """The peer takes more: of one stream, or of all (0)."""
        if not stream_id:
            self.pass_room_on()
        elif stream_id in self.streams:
            self.streams[stream_id].room.wake()

    def settings_changed(self) -> None:
        """The peer's settings may have opened every stream's window."""
        for stream in self.streams.values():
            stream.room.wake()

    def reset(self, stream_id: int, code: int = NO_ERROR) -> None:
        """Send RST_STREAM."""
        if not self.closed:
            self.codec.reset(stream_id, code)
            self.wake_writer()

    # Clocks

    def _look(self) -> None:
        now = trio.current_time()
        self.codec.forgive()
        header_due = self._block_since + (self.limits.header_timeout or math.inf)
        if min(header_due, self._send_due) <= now:
            self._timer = None
            self.fail(DeadlineExceeded("request head" if header_due <= now else "stream idle timeout"))
            return
        next_look = min(now + self._look_every, header_due, self._send_due)
        for stream in list(self.streams.values()):
            due = min(stream.reading, stream.writing)
            if due <= now:
                stream.abort(DeadlineExceeded("stream idle timeout"))
            else:
                next_look = min(next_look, due)
        if self.deadline <= now:
            self.deadline = math.inf
            self.on_deadline()
        self._timer = self._timers.at(min(next_look, self.deadline), self._look)
