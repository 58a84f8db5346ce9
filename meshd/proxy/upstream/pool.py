"""The connections to one host, and the requests that wait for one. Decides; waits for nothing.

HTTP/1.1: one exchange at a time; free connections are reused last in, first
out, so that the surplus grows old and is swept. HTTP/2: connections are shared
up to the peer's limit of streams.

``upstream.py`` does what is decided here: it connects, opens streams, and wakes
whoever waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import trio

from meshd.http.stream import ClientConnection

if TYPE_CHECKING:
    from meshd.proxy.upstream.lease import Lease


class Pooled:
    """A connection of a pool. Made when it is connected; closed by the pool's upstream."""

    __slots__ = ("born", "client", "hangup_hook", "local", "metadata_due", "mtls", "multiplexed")

    def __init__(self, client: ClientConnection, born: float, *, mtls: bool) -> None:
        self.client = client
        self.born = born
        """trio's clock when it was connected."""
        self.mtls = mtls
        self.metadata_due = mtls
        """The peer has not been told yet who we are."""
        self.multiplexed = client.protocol == "h2"
        self.local = str(client.connection.local)
        self.hangup_hook: Callable[[], None] | None = None
        """What to call when the peer hangs up while it is free."""

    @property
    def unproven(self) -> bool:
        """Mutual TLS that has carried no second request: the server may yet have refused us."""
        return self.mtls and self.client.requests <= 1


class Waiter:
    """A request in line. The whole mutable state: what it was given, or why it gets nothing."""

    __slots__ = ("_event", "error", "lease")

    def __init__(self) -> None:
        self._event = trio.Event()
        self.lease: Lease | None = None
        self.error: Exception | None = None

    @property
    def settled(self) -> bool:
        """It has got an answer already."""
        return self._event.is_set()

    def give(self, lease: Lease) -> None:
        """Here is its stream."""
        self.lease = lease
        self._event.set()

    def abort(self, error: Exception) -> None:
        """It will get nothing."""
        self.error = error
        self._event.set()

    async def wait(self) -> Lease:
        """The stream.

        Raises:
            Exception: what ``abort`` was given.

        Cancellation: a stream that has been given meanwhile goes back.
        """
        try:
            await self._event.wait()
        except BaseException:
            self._event.set()
            if self.lease is not None:
                self.lease.release()
            raise
        if self.error is not None:
            if self.lease is not None:
                self.lease.release()
            raise self.error
        assert self.lease is not None
        return self.lease


class Pool:
    """The whole mutable state is these five fields."""

    __slots__ = ("connecting", "idle", "multiplexed", "open", "waiters")

    def __init__(self) -> None:
        self.idle: list[Pooled] = []
        """HTTP/1.1: free ones, latest used last."""
        self.multiplexed: list[Pooled] = []
        """HTTP/2: all of them."""
        self.open = 0
        """Connections of either kind, busy ones too."""
        self.connecting = 0
        self.waiters: deque[Waiter] = deque()

    def take(self) -> Pooled | None:
        """A connection that may have room for one more exchange (a free one may have died: ask it)."""
        if self.idle:
            return self.idle.pop()
        for pooled in self.multiplexed:
            if pooled.client.is_available():
                return pooled
        return None

    def next_waiter(self) -> Waiter | None:
        """The first in line that still waits."""
        waiters = self.waiters
        while waiters:
            waiter = waiters.popleft()
            if not waiter.settled:
                return waiter
        return None

    def wanted(self, *, http2: bool) -> int:
        """How many more connections should be made for those in line."""
        waiting = sum(not waiter.settled for waiter in self.waiters)
        if http2:
            waiting = min(waiting, 1)
        return max(0, waiting - self.connecting)

    def overdue(self, now: float, idle_timeout: float, duration: float) -> Iterator[Pooled]:
        """Idle connections that have been idle, or alive, for long enough; gone ones too."""
        for pooled in (*self.idle, *self.multiplexed):
            client = pooled.client
            if client.is_closed() or (client.is_idle() and self.expires(pooled, idle_timeout, duration) <= now):
                yield pooled

    @staticmethod
    def expires(pooled: Pooled, idle_timeout: float, duration: float) -> float:
        """When an idle connection is closed (trio's clock)."""
        limit = pooled.client.idle_since + idle_timeout
        return min(limit, pooled.born + duration) if duration else limit

    def remove(self, pooled: Pooled) -> bool:
        """Forget a free or shared connection. True when it was one."""
        for place in (self.idle, self.multiplexed):
            if pooled in place:
                place.remove(pooled)
                return True
        return False
