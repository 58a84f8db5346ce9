"""An exchange as the proxy carries it: what filters see, and what it takes to end it from outside.

An exchange waits in one place at a time: for a connection, for a back-off to
pass, for the backend, for the client. ``current`` is that place when somebody
else may have to end the wait (a deadline, a vanished client, a drain), and
``abort`` ends it, from any task, synchronously.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from meshd.http.stream import ServerStream
from meshd.net.timers import Timer
from meshd.policy.exchange import ConnectionInfo, Exchange, Reply
from meshd.proxy.reply import ClientGone

if TYPE_CHECKING:
    from meshd.proxy.live import Live, Manager
    from meshd.proxy.router import RouteEntry
    from meshd.proxy.upstream.lease import Lease


class Abortable(Protocol):
    """Something that can be waited for and given up: a stream, a place in a queue, a pause."""

    def abort(self, error: Exception) -> None:
        """Let the wait raise ``error``."""
        ...


class ProxyExchange(Exchange):
    """One request and its response on their way through this proxy."""

    stream: ServerStream
    live: Live
    """The configuration this request was begun with, and ends with."""
    manager: Manager
    entry: RouteEntry | None = None
    no_route: Reply | None = None
    """Why there is no ``entry``; answered after the chain's filters."""
    body: bytes = b""
    """The request's whole body, when it is here already."""
    nursery: trio.Nursery | None = None
    """For the upload of a body that still comes; None when ``body`` is all."""
    lease: Lease | None = None
    """The upstream stream in use."""
    current: Abortable | None = None
    scope: trio.CancelScope | None = None
    """Around filters that wait; None where none does."""
    failure: Exception | None = None
    """What ended the exchange from outside."""
    deadline: Timer | None = None
    idle: Timer | None = None
    """Fires when nothing has moved for the manager's ``stream_idle_timeout``."""
    tunnel: bool = False
    """Switched to another protocol: bytes both ways until both have ended."""

    def __init__(self, connection: ConnectionInfo, stream: ServerStream, live: Live, manager: Manager) -> None:
        # Exchange.__init__, written out: this is made for every request.
        self.connection = connection
        self.request = stream.request
        self.started = live.now()
        self.flags = []
        self.stream = stream
        self.live = live
        self.manager = manager

    def abort(self, error: Exception) -> None:
        """End the exchange: what is waited for raises ``error``; so does the next thing that would wait."""
        if self.failure is not None:
            return
        self.failure = error
        if self.current is not None:
            self.current.abort(error)
        if self.scope is not None:
            self.scope.cancel()

    def touch(self) -> None:
        """Something moved: the idle timer starts again."""
        if self.idle is not None:
            self.idle.deadline = self.live.now() + self.manager.http.stream_idle_timeout

    def client_gone(self, error: Exception) -> None:
        """The client hung up or reset its stream (``ServerStream.on_abort``)."""
        self.abort(ClientGone(str(error)))

    def release(self) -> None:
        """Give back what the exchange holds: the upstream stream and its timers. Idempotent."""
        lease = self.lease
        if lease is not None:
            self.lease = None
            self.current = None
            lease.release()
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None
        if self.idle is not None:
            self.idle.cancel()
            self.idle = None
