"""A request body on its way up, replayable as far as it is kept.

One task reads the client and writes to the backend of the present try. What it
has read is kept, up to a bound, in case another try must begin with it; past
the bound the try is final.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from meshd.errors import DeadlineExceeded, MeshdError, ProtocolError
from meshd.http.head import Headers, RequestHead
from meshd.http.stream import Body, ClientStream
from meshd.proxy.exchange import ProxyExchange
from meshd.proxy.reply import ClientGone, StreamIdle
from meshd.proxy.slow_body import SlowBody


class Upload:
    """The upload of one exchange, over all its tries."""

    def __init__(self, body: Body, first: bytes, *, keep: int, done: Callable[[], None]) -> None:
        """``first`` has been read already; ``done`` is called once when the client has sent everything."""
        self._body = body
        self._keep = keep
        self._done = done
        # The whole mutable state: the prefix that is kept (None once it would be
        # too long), the piece that no backend has been given yet, and the running task.
        self._kept: bytearray | None = bytearray(first)
        self._fresh = first
        self._announced = False
        self._scope: trio.CancelScope | None = None
        self._stopped: trio.Event | None = None
        self.waiting_since = math.inf
        """When the present wait for the client began (trio's clock)."""
        self.waited = 0.0
        """Seconds of all waits for the client that have ended."""
        self._forget_if_long()

    @property
    def replayable(self) -> bool:
        """Can another try begin from the start?"""
        return self._kept is not None

    async def begin(self, stream: ClientStream, head: RequestHead, exchange: ProxyExchange) -> None:
        """Send the head with what is here, and let the rest follow in ``exchange.nursery``."""
        prefix = bytes(self._kept) if self._kept is not None else self._fresh
        self._fresh = b""
        body = self._body
        ended, trailers = _end_of(body)
        await stream.send_head(head, prefix, end=ended and trailers is None)
        if ended and trailers is None:
            self._announce()
            return
        assert exchange.nursery is not None
        self._scope = trio.CancelScope()
        self._stopped = trio.Event()
        exchange.nursery.start_soon(self._run, stream, exchange, self._scope, self._stopped)

    async def stop(self) -> None:
        """End the present task, so that the client can be read for another try."""
        if self._scope is not None and self._stopped is not None:
            self._scope.cancel()
            await self._stopped.wait()
        self._scope = None

    async def _run(
        self,
        stream: ClientStream,
        exchange: ProxyExchange,
        scope: trio.CancelScope,
        stopped: trio.Event,
    ) -> None:
        watch = SlowBody.watch(self, exchange)
        try:
            with scope:
                await self._pump(stream, exchange)
        finally:
            if watch is not None:
                watch.end()
            stopped.set()

    async def _pump(self, stream: ClientStream, exchange: ProxyExchange) -> None:
        body, now = self._body, exchange.live.now
        while not body.ended:
            try:
                self.waiting_since = now()
                data = await body.receive()
                self.waited += now() - self.waiting_since
                self.waiting_since = math.inf
            except DeadlineExceeded:
                exchange.abort(StreamIdle())
                return
            except (MeshdError, trio.ClosedResourceError, trio.BrokenResourceError) as error:
                # The client broke the framing, or broke off: the exchange is over.
                exchange.abort(error if isinstance(error, ProtocolError) else ClientGone(str(error)))
                return
            exchange.touch()
            if data:
                self._remember(data)
            ended, trailers = _end_of(body)
            if ended:
                self._announce()
            try:
                await stream.send(data, end=ended and trailers is None)
            except MeshdError:
                # The backend takes no more; whether it has answered is for the reader to find out.
                return
        if body.trailers is not None:
            self._announce()
            try:
                await stream.send_trailers(body.trailers)
            except MeshdError:
                return

    def _remember(self, data: bytes) -> None:
        if self._kept is not None:
            self._kept += data
            self._forget_if_long()

    def _forget_if_long(self) -> None:
        if self._kept is not None and len(self._kept) > self._keep:
            self._kept = None

    def _announce(self) -> None:
        if not self._announced:
            self._announced = True
            self._done()


def _end_of(body: Body) -> tuple[bool, Headers | None]:
    """Whether a body has ended, and with what trailers."""
    return body.ended, body.trailers
