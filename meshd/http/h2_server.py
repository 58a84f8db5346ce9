"""HTTP/2 as a server: one task per stream, all of them fed by one reader and emptied by one writer."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from meshd.errors import ConnectionLost, DeadlineExceeded, ProtocolError
from meshd.http.framing import Encoder, LengthEncoder, NoBodyEncoder, PlainEncoder
from meshd.http.h2_codec import (
    MAX_STREAM_ID,
    DataReceived,
    Event,
    HeadReceived,
    PingAcknowledged,
    SettingsReceived,
    StreamReset,
    TrailersReceived,
    WindowOpened,
)
from meshd.http.h2_engine import H2Engine
from meshd.http.h2_frames import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    H2Error,
)
from meshd.http.h2_head import read_request, read_trailers, write_response
from meshd.http.h2_stream import H2Body, H2StreamBase
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.serving import Service
from meshd.net.connection import Connection

_GRACEFUL, _FINAL = 1, 2


class H2ServerStream(H2StreamBase):
    """One exchange (``ServerStream``). Made by the connection for each request."""

    __slots__ = ("_on_abort", "_server", "body", "connection", "ended", "request", "response_started")

    def __init__(self, server: H2ServerConnection, stream_id: int, request: RequestHead, *, ended: bool) -> None:
        super().__init__(server.engine, stream_id)
        self._server = server
        self.connection = server.connection
        self.request = request
        self.body = H2Body(self, expected=request.length, complete=ended)
        if request.expect_continue:
            self.body.ask_first(self._send_continue)
        self.response_started = False
        self.ended = False
        self._on_abort: Callable[[Exception], None] | None = None

    @property
    def on_abort(self) -> Callable[[Exception], None] | None:
        """See ``ServerStream``."""
        return self._on_abort

    @on_abort.setter
    def on_abort(self, callback: Callable[[Exception], None] | None) -> None:
        if callback is not None and self._error is not None:
            callback(self._error)
        else:
            self._on_abort = callback

    @property
    def bytes_received(self) -> int:
        """See ``ServerStream``."""
        return self.body.received

    async def _send_continue(self) -> None:
        if not self.response_started:
            await self.send_informational(ResponseHead(100))

    async def send_informational(self, head: ResponseHead) -> None:
        """See ``ServerStream``."""
        assert 100 <= head.status < 200
        assert head.status != 101
        assert not self.response_started
        self.check()
        self.engine.codec.send_head(self.stream_id, write_response(head), end=False)
        self.engine.wake_writer()

    async def respond(self, head: ResponseHead, data: bytes = b"", *, end: bool) -> None:
        """See ``ServerStream``."""
        assert not self.response_started, "one response per request"
        if head.status == 101:
            raise ValueError("HTTP/2 has no 101")
        self.response_started = True
        self.check()
        request = self.request
        bodiless = request.method == b"HEAD" or head.status in (204, 304)
        tunnel = request.method == b"CONNECT" and 200 <= head.status < 300
        encoder: Encoder = NoBodyEncoder()
        if not bodiless:
            encoder = PlainEncoder() if head.length is None or tunnel else LengthEncoder(head.length)
        self._encoder = encoder
        data = encoder.encode(data, end=end)
        at_once = bodiless or (end and not data)
        fields = write_response(head, bodiless=bodiless or tunnel)
        self.engine.codec.send_head(self.stream_id, fields, end=at_once)
        self.engine.wake_writer()
        self.send_ended = at_once
        if data:
            await self.write(data, end=end)
        self.ended = end

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """See ``ServerStream``."""
        assert self._encoder is not None, "send after respond"
        data = self._encoder.encode(data, end=end)
        if not self.send_ended:
            await self.write(data, end=end)
        self.ended = end

    async def send_trailers(self, trailers: Headers) -> None:
        """See ``ServerStream``."""
        assert self._encoder is not None, "send_trailers after respond"
        self._encoder.encode_trailers(trailers)
        if not self.send_ended:
            self.write_trailers(list(trailers.items()))
        self.ended = True

    def abort(self, error: Exception) -> None:
        """See ``ServerStream``."""
        if self.aborted:
            return
        self.aborted = True
        code = INTERNAL_ERROR
        if isinstance(error, ProtocolError):
            code = PROTOCOL_ERROR
        elif isinstance(error, DeadlineExceeded):
            code = CANCEL
        self.engine.reset(self.stream_id, code)
        self.end_with(error, at_once=True)

    def close_after(self) -> None:
        """See ``ServerStream``."""
        self._server.go_away()

    def end_with(self, error: Exception, *, at_once: bool) -> None:
        """The stream is over; tell whoever waits, or else the handler's callback."""
        waiting = min(self.reading, self.writing) != math.inf
        self.die(error)
        self.body.fail(error, at_once=at_once)
        callback, self._on_abort = self._on_abort, None
        if callback is not None and not waiting and not self.aborted:
            callback(error)


class H2ServerConnection:
    """The connection under its streams (``Side``). Made and run by ``serve_h2``."""

    def __init__(self, connection: Connection, service: Service) -> None:
        self.connection = connection
        self.engine = H2Engine(connection, self, client=False, limits=service.limits, timers=service.timers)
        self.engine.on_deadline = self._close_idle
        self._service = service
        self._secure = connection.tls is not None
        self._nursery: trio.Nursery | None = None
        self._live = 0
        self._served = 0
        self._premature = 0
        self._leaving = 0

    async def run(self) -> None:
        """Serve until the connection is over; then all its handlers have ended."""
        engine, service = self.engine, self._service
        engine.codec.start()
        engine.wake_writer()
        self._set_idle()
        service.drain.watch(self, self.go_away)
        try:
            # Handlers live here: Service.handle lets none of their failures out. The
            # connection is served until it ends; then handlers hear of it and end.
            async with trio.open_nursery() as self._nursery:
                if service.drain.active:
                    self.go_away()
                await engine.run()
        finally:
            service.drain.forget(self)

    # Side

    def handle(self, event: Event) -> None:
        """See ``Side``."""
        if isinstance(event, DataReceived):
            self._data(event)
        elif isinstance(event, HeadReceived):
            self._head(event)
        elif isinstance(event, WindowOpened):
            self.engine.window_opened(event.stream_id)
        elif isinstance(event, StreamReset):
            self._reset(event)
        elif isinstance(event, TrailersReceived):
            self._trailers(event)
        elif isinstance(event, SettingsReceived):
            self.engine.settings_changed()
        elif isinstance(event, PingAcknowledged) and self._leaving == _GRACEFUL:
            self._go_away_for_good()

    def failed(self, error: Exception) -> None:
        """See ``Side``."""
        for stream in list(self.engine.streams.values()):
            assert isinstance(stream, H2ServerStream)
            stream.end_with(ConnectionLost(f"the client has gone: {error}"), at_once=False)

    def _head(self, event: HeadReceived) -> None:
        engine, limits = self.engine, self.engine.limits
        if self._leaving == _FINAL or self._live >= limits.h2_max_streams:
            engine.reset(event.stream_id, REFUSED_STREAM)
            if self._leaving != _FINAL:
                self._count_premature()
            return
        try:
            request = read_request(event.fields, ended=event.ended, secure=self._secure, limits=limits)
        except ProtocolError as error:
            self._refuse(event, error)
            return
        stream = H2ServerStream(self, event.stream_id, request, ended=event.ended)
        engine.streams[event.stream_id] = stream
        engine.deadline = math.inf
        self._live += 1
        self._served += 1
        assert self._nursery is not None
        self._nursery.start_soon(self._serve, stream)
        if 0 < limits.max_requests <= self._served:
            self.go_away()

    def _refuse(self, event: HeadReceived, error: ProtocolError) -> None:
        """Answer a request that breaks the rules, as far as windows allow without waiting."""
        head, data = self._service.on_protocol_error(self.connection, error)
        self._count_premature()
        codec = self.engine.codec
        if not codec.is_open(event.stream_id):
            # Reset in the same breath.
            return
        fits = len(data) <= codec.room(event.stream_id)
        codec.send_head(event.stream_id, write_response(head), end=not data)
        if data and fits:
            codec.send_data(event.stream_id, data, end=True)
        if not event.ended or (data and not fits):
            codec.reset(event.stream_id, NO_ERROR if fits else PROTOCOL_ERROR)

    async def _serve(self, stream: H2ServerStream) -> None:
        try:
            # A request that was reset in the same breath is not begun.
            if not stream.dead:
                await self._service.handle(stream)
        finally:
            self._finish(stream)

    def _finish(self, stream: H2ServerStream) -> None:
        engine = self.engine
        engine.streams.pop(stream.stream_id, None)
        if not stream.send_ended:
            engine.reset(stream.stream_id, INTERNAL_ERROR)
        else:
            self._premature = max(0, self._premature - 1)
            if not stream.body.ended:
                engine.reset(stream.stream_id, NO_ERROR)
        stream.body.discard()
        self._live -= 1
        if not self._live:
            self._set_idle()
            if self._leaving:
                self._close_idle()

    def _data(self, event: DataReceived) -> None:
        stream = self.engine.streams.get(event.stream_id)
        if stream is None:
            self.engine.codec.acknowledge(event.stream_id, event.size)
            return
        assert isinstance(stream, H2ServerStream)
        try:
            stream.body.feed(event.data, event.size, ended=event.ended)
        except ProtocolError as error:
            stream.abort(error)
            self._count_premature()

    def _trailers(self, event: TrailersReceived) -> None:
        stream = self.engine.streams.get(event.stream_id)
        if stream is None:
            return
        assert isinstance(stream, H2ServerStream)
        try:
            stream.body.complete(read_trailers(event.fields, self.engine.limits))
        except ProtocolError as error:
            stream.abort(error)
            self._count_premature()

    def _reset(self, event: StreamReset) -> None:
        stream = self.engine.streams.get(event.stream_id)
        if stream is None or not stream.send_ended:
            self._count_premature()
        if stream is not None:
            assert isinstance(stream, H2ServerStream)
            stream.end_with(ConnectionLost("the client has reset the stream"), at_once=True)

    def _count_premature(self) -> None:
        """Raises H2Error when the client mostly makes work to throw it away."""
        self._premature += 1
        if self._premature > self.engine.limits.h2_premature_resets:
            self.engine.codec.go_away(self.engine.codec.highest_peer_stream, ENHANCE_YOUR_CALM)
            raise H2Error("too many streams reset", code=ENHANCE_YOUR_CALM)

    # Leaving

    def _set_idle(self) -> None:
        self.engine.deadline = trio.current_time() + (self.engine.limits.idle_timeout or math.inf)

    def go_away(self) -> None:
        """Finish what is under way, take nothing new, and end. Idempotent."""
        if self._leaving:
            return
        self._leaving = _GRACEFUL
        if not self._live:
            self._close_idle()
            return
        # Requests that are on their way here are still taken: the mark is lowered when the
        # client has surely read this (RFC 9113 section 6.8).
        self.engine.codec.go_away(MAX_STREAM_ID)
        self.engine.codec.ping()
        self.engine.wake_writer()

    def _go_away_for_good(self) -> None:
        self._leaving = _FINAL
        self.engine.codec.go_away(self.engine.codec.highest_peer_stream)
        self.engine.wake_writer()

    def _close_idle(self) -> None:
        if self._leaving != _FINAL:
            self._go_away_for_good()
        self.engine.finish()


async def serve_h2(connection: Connection, service: Service) -> None:
    """Serve a connection whose client speaks HTTP/2, until it is over. The caller closes it.

    Cancellation: handlers are cancelled, nothing more is sent.
    """
    await H2ServerConnection(connection, service).run()
