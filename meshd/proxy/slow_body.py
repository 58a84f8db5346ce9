"""Request bodies that come too slowly: 408.

What counts is the time that the proxy waited for the client: a backend that
does not take what the client would send holds nobody up but itself. Bodies that
may have nothing to say for long (gRPC, HTTP/2 without a length, tunnels) are
left to the stream idle timeout.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from meshd.errors import ProtocolError
from meshd.net.timers import Timer
from meshd.proxy.exchange import ProxyExchange


class Waiting(Protocol):
    """How long a client was waited for."""

    waiting_since: float
    waited: float


@attrs.define(eq=False)
class SlowBody:
    """The watch over one upload. Made by ``watch``; whoever made it ends it."""

    upload: Waiting
    exchange: ProxyExchange
    timeout: float
    least: float
    """Bytes per second."""
    # The whole mutable state: what had come and how long it was waited for at the last look, and the next look.
    _received: int = 0
    _waited: float = 0.0
    _timer: Timer | None = None

    @classmethod
    def watch(cls, upload: Waiting, exchange: ProxyExchange) -> SlowBody | None:
        """Begin, when there is a limit and it is for such a body."""
        limits = exchange.live.limits
        if not limits.body_timeout or exchange.grpc or not _foreseeable(exchange):
            return None
        found = cls(upload, exchange, limits.body_timeout, limits.body_rate, exchange.stream.bytes_received)
        found._timer = exchange.live.timers.after(limits.body_timeout, found._look)
        return found

    def end(self) -> None:
        """The body has come, or nobody wants it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        exchange, upload = self.exchange, self.upload
        received = exchange.stream.bytes_received
        waited = upload.waited + max(0.0, exchange.live.now() - upload.waiting_since)
        more, longer = received - self._received, waited - self._waited
        # Slow is who is waited for most of the time and sends less than the least meanwhile.
        if longer > self.timeout / 2 and more < self.least * longer:
            self._timer = None
            exchange.live.slow_bodies(exchange.connection.listener)
            exchange.abort(
                ProtocolError("a request body that came too slowly", status=408, detail="request_body_timeout")
            )
            return
        self._received, self._waited = received, waited
        self._timer = exchange.live.timers.after(self.timeout, self._look)


def _foreseeable(exchange: ProxyExchange) -> bool:
    request = exchange.request
    if request.upgrade or request.method == b"CONNECT":
        return False
    return request.length is not None or request.version != "HTTP/2"
