"""An upstream stream in somebody's hands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshd.http.stream import ClientStream
from meshd.proxy.upstream.host import Host
from meshd.proxy.upstream.pool import Pooled

if TYPE_CHECKING:
    from meshd.proxy.upstream.upstream import Upstream


class Lease:
    """An upstream stream in use. Made by ``Upstream``; whoever holds it calls ``release`` once done."""

    __slots__ = ("_released", "host", "pooled", "stream", "upstream")

    def __init__(self, upstream: Upstream, host: Host, pooled: Pooled, stream: ClientStream) -> None:
        self.upstream = upstream
        self.host = host
        self.pooled = pooled
        self.stream = stream
        self._released = False

    def release(self) -> None:
        """Give the stream up (aborting it if it is not complete) and let the next in line have the connection."""
        if self._released:
            return
        self._released = True
        self.stream.finish()
        self.upstream.returned(self.host, self.pooled)
