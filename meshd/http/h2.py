"""HTTP/2 as a client: many exchanges at once on one connection."""

from __future__ import annotations

from typing import Literal

import h2.exceptions
import trio

from meshd.errors import ConnectionLost, MeshdError, ProtocolError, ResponseFlag, UpstreamError
from meshd.http.framing import Encoder, LengthEncoder, PlainEncoder
from meshd.http.h1_body import NO_BODY_HERE, NoBody
from meshd.http.h2_codec import (
    DataReceived,
    Event,
    HeadReceived,
    InformationalReceived,
    SettingsReceived,
    StreamReset,
    TrailersReceived,
    WindowOpened,
)
from meshd.http.h2_engine import H2Engine
from meshd.http.h2_frames import CANCEL, NO_ERROR, REFUSED_STREAM, GoAway
from meshd.http.h2_head import read_response, read_trailers, write_request
from meshd.http.h2_stream import H2Body, H2StreamBase
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.limits import HttpLimits
from meshd.http.waiter import Waiter
from meshd.net.connection import Connection
from meshd.net.timers import Timers


def _refused(cause: str) -> UpstreamError:
    return UpstreamError("remote refused stream reset", ResponseFlag.UPSTREAM_REMOTE_RESET, cause=cause, sent=False)


class H2ClientStream(H2StreamBase):
    """One exchange (``ClientStream``). Made by ``H2ClientConnection.open``; ended by ``finish``."""

    __slots__ = (
        "_client",
        "_finished",
        "_head",
        "_informational",
        "_request",
        "_waiter",
        "body",
        "connection",
        "request_bytes_sent",
    )

    def __init__(self, client: H2ClientConnection) -> None:
        super().__init__(client.engine, 0)
        self._client = client
        self._request: RequestHead | None = None
        self._head: ResponseHead | None = None
        self._informational = 0
        self._waiter = Waiter()
        self._finished = False
        self.connection = client.connection
        self.body: H2Body | NoBody = NO_BODY_HERE
        self.request_bytes_sent = False

    # Called by the application

    async def send_head(self, head: RequestHead, data: bytes = b"", *, end: bool) -> None:
        """See ``ClientStream``."""
        self.check()
        fields = write_request(head)
        self._client.assign_id(self)
        self._request = head
        encoder: Encoder = PlainEncoder() if head.length is None else LengthEncoder(head.length)
        if head.method == b"CONNECT":
            encoder = PlainEncoder()
        self._encoder = encoder
        data = encoder.encode(data, end=end)
        self.request_bytes_sent = True
        self.send_ended = end and not data
        self.engine.codec.send_head(self.stream_id, fields, end=self.send_ended)
        self.engine.wake_writer()
        if data:
            await self.write(data, end=end)

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """See ``ClientStream``."""
        assert self._encoder is not None, "send after send_head(end=False)"
        await self.write(self._encoder.encode(data, end=end), end=end)

    async def send_trailers(self, trailers: Headers) -> None:
        """See ``ClientStream``."""
        assert self._encoder is not None, "send_trailers after send_head(end=False)"
        self._encoder.encode_trailers(trailers)
        self.write_trailers(list(trailers.items()))

    async def receive_head(self) -> ResponseHead:
        """See ``ClientStream``."""
        while self._head is None:
            self.check()
            await self._waiter.wait()
        return self._head

    def abort(self, error: Exception) -> None:
        """See ``ClientStream``."""
        if not self.aborted:
            self.aborted = True
            if self.stream_id:
                self.engine.reset(self.stream_id, CANCEL)
            self.end_with(error, error, at_once=True)

    def finish(self) -> None:
        """See ``ClientStream``."""
        if self._finished:
            return
        self._finished = True
        whole = self.send_ended and self._head is not None and self.body.ended
        if self.stream_id and not whole:
            self.engine.reset(self.stream_id, CANCEL)
        if isinstance(self.body, H2Body):
            self.body.discard()
        self._client.release(self)

    # Called by the connection

    def begin_response(self, event: HeadReceived) -> None:
        """The final head has come.

        Raises:
            ProtocolError: it is none.
        """
        assert self._request is not None
        head = read_response(event.fields, self._request, ended=event.ended, limits=self.engine.limits)
        bodiless = self._request.method == b"HEAD" or head.status in (204, 304)
        self._head = head
        self.body = H2Body(self, expected=0 if bodiless else head.length, complete=event.ended)
        self._waiter.wake()

    def informational(self) -> None:
        """A 1xx has come; they are dropped.

        Raises:
            ProtocolError: there is no end to them.
        """
        self._informational += 1
        if self._informational > self.engine.limits.max_informational:
            raise ProtocolError("informational responses without end", status=502, detail="http2.codec_error")

    def end_with(self, error: Exception, body_error: Exception, *, at_once: bool) -> None:
        """The stream is over; a response that came whole stays good."""
        self.die(error)
        if isinstance(self.body, H2Body):
            self.body.fail(body_error, at_once=at_once)
        self._waiter.wake()


class H2ClientConnection:
    """An HTTP/2 connection to a server (``ClientConnection``, ``Side``). Made by ``connect_h2``; closed by its owner."""

    def __init__(self, connection: Connection, *, timers: Timers, limits: HttpLimits) -> None:
        self.connection = connection
        self.engine = H2Engine(connection, self, client=True, limits=limits, timers=timers)
        self.protocol: Literal["h2"] = "h2"
        self.requests = 0
        self.idle_since = trio.current_time()
        self._active = 0
        self._leaving = False
        self._error: Exception | None = None
        self._ready = trio.Event()

    async def run(self) -> None:
        """Until the connection is over. Never raises for what the server does."""
        self.engine.codec.start()
        self.engine.wake_writer()
        try:
            await self.engine.run()
        finally:
            self._leaving = True
            self._ready.set()
            self.failed(ConnectionLost("closed here"))
            self.connection.close()

    async def wait_ready(self) -> None:
        """Until the server's settings have come: the proof that it speaks HTTP/2.

        Raises:
            ProtocolError: it does not.
            ConnectionLost: it has gone.
        """
        await self._ready.wait()
        if self._error is not None:
            raise self._error

    # ClientConnection

    def is_available(self) -> bool:
        """See ``ClientConnection``."""
        engine = self.engine
        most = min(engine.codec.peer_max_streams, engine.limits.h2_max_streams)
        return not (self._leaving or engine.closed) and self._error is None and self._active < most

    def is_idle(self) -> bool:
        """See ``ClientConnection``."""
        return not self._active

    def is_closed(self) -> bool:
        """See ``ClientConnection``."""
        return self.engine.closed or self._error is not None or (self._leaving and not self._active)

    def open(self) -> H2ClientStream:
        """See ``ClientConnection``."""
        self._active += 1
        self.requests += 1
        return H2ClientStream(self)

    def close(self) -> None:
        """See ``ClientConnection``."""
        self._leaving = True
        if self._active:
            self.engine.fail(ConnectionLost("closed here"))
        elif not self.engine.closed:
            self.engine.codec.go_away(0, NO_ERROR)
            self.engine.finish()

    def assign_id(self, stream: H2ClientStream) -> None:
        """Give a stream the next id, just before its head is sent (ids must rise).

        Raises:
            UpstreamError: the connection has ended meanwhile; nothing was sent.
        """
        if self._leaving or self._error is not None:
            raise _refused("the connection is closing")
        try:
            stream.stream_id = self.engine.codec.next_stream_id()
        except h2.exceptions.NoAvailableStreamIDError as error:
            self._leaving = True
            raise _refused("the connection is used up") from error
        self.engine.streams[stream.stream_id] = stream

    def release(self, stream: H2ClientStream) -> None:
        """An exchange is over (called by its stream)."""
        self.engine.streams.pop(stream.stream_id, None)
        self._active -= 1
        if not self._active:
            self.idle_since = trio.current_time()
            if self._leaving and not self.engine.closed:
                self.close()

    # Side

    def handle(self, event: Event) -> None:
        """See ``Side``."""
        if isinstance(event, SettingsReceived):
            self._ready.set()
            self.engine.settings_changed()
        elif isinstance(event, WindowOpened):
            self.engine.window_opened(event.stream_id)
        elif isinstance(event, GoAway):
            self._go_away(event)
        elif isinstance(event, DataReceived | HeadReceived | InformationalReceived | TrailersReceived | StreamReset):
            stream = self.engine.streams.get(event.stream_id)
            if stream is not None:
                assert isinstance(stream, H2ClientStream)
                self._stream_event(stream, event)
            elif isinstance(event, DataReceived):
                self.engine.codec.acknowledge(event.stream_id, event.size)

    def _stream_event(
        self,
        stream: H2ClientStream,
        event: DataReceived | HeadReceived | InformationalReceived | TrailersReceived | StreamReset,
    ) -> None:
        body = stream.body
        try:
            if isinstance(event, HeadReceived):
                stream.begin_response(event)
            elif isinstance(event, InformationalReceived):
                stream.informational()
            elif isinstance(event, StreamReset):
                self._reset(stream, event)
            elif isinstance(body, H2Body):
                if isinstance(event, DataReceived):
                    body.feed(event.data, event.size, ended=event.ended)
                else:
                    body.complete(read_trailers(event.fields, self.engine.limits))
        except ProtocolError as error:
            error.status = 502
            stream.abort(error)

    def _reset(self, stream: H2ClientStream, event: StreamReset) -> None:
        if event.code == REFUSED_STREAM:
            error = _refused("refused")
        else:
            error = UpstreamError(
                "remote reset", ResponseFlag.UPSTREAM_REMOTE_RESET, cause=f"code {event.code}", sent=True
            )
        stream.end_with(error, ConnectionLost("the server has reset the stream"), at_once=False)

    def _go_away(self, event: GoAway) -> None:
        self._leaving = True
        for stream_id, stream in list(self.engine.streams.items()):
            if stream_id > event.last_stream_id:
                assert isinstance(stream, H2ClientStream)
                stream.end_with(_refused("the server is going away"), ConnectionLost("refused"), at_once=True)
        if not self._active:
            self.engine.finish()

    def failed(self, error: Exception) -> None:
        """See ``Side``."""
        if self._error is None:
            self._error = error if isinstance(error, MeshdError) else ConnectionLost("closed here")
        self._ready.set()
        for stream in list(self.engine.streams.values()):
            assert isinstance(stream, H2ClientStream)
            if isinstance(error, ProtocolError):
                mapped: Exception = ProtocolError(str(error), status=502, detail=error.detail)
            else:
                mapped = UpstreamError(
                    "connection termination", ResponseFlag.UPSTREAM_TERMINATION, cause=str(error), sent=True
                )
            stream.end_with(mapped, ConnectionLost(str(error)), at_once=False)

    def __repr__(self) -> str:
        return f"<H2ClientConnection {self.connection.peer} {self._active} active {self.requests} requests>"


async def connect_h2(
    connection: Connection, nursery: trio.Nursery, *, timers: Timers, limits: HttpLimits | None = None
) -> H2ClientConnection:
    """Begin HTTP/2 on a connection and wait for the server's settings.

    Args:
        connection: Connected, its TLS handshake done; it belongs to the result now.
        nursery: Where its tasks live; they end with the connection and never fail.
        timers: For clocks.
        limits: Bounds.

    Raises:
        ProtocolError: the server does not speak HTTP/2.
        ConnectionLost: it has gone.

    Cancellation: the connection is closed.
    """
    client = H2ClientConnection(connection, timers=timers, limits=limits or HttpLimits())
    nursery.start_soon(client.run)
    try:
        await client.wait_ready()
    except BaseException:
        client.engine.fail(ConnectionLost("closed here"))
        raise
    return client
