"""Who tells sockets that they are ready: one task for all of them.

``trio.lowlevel.wait_readable`` costs a registration with the kernel for every
wait. Here a socket is registered once, for everything, edge-triggered, and one
task owns that epoll: it sleeps in Trio until the epoll has something to tell,
and wakes every connection concerned in one go (measured: 1.4 times the
requests of plain ``trio.socket``).

What a socket gives the poller is a function: ``wake(flags, error)``. It is
called in the poller's task, must be quick and must not raise. ``flags`` are
epoll's. ``error`` is given where the poller had to take the socket's pending
error to learn of it.

Where there is no epoll, ``LevelPoller`` tells the same through
``wait_readable`` and ``wait_writable``; it must be asked again (``rearm``)
each time a socket has been read empty.
"""

from __future__ import annotations

import select
import socket
from typing import Protocol

import trio

from meshd.net.outbox import Outbox

READABLE = 0x001
URGENT = 0x002
WRITABLE = 0x004
FAILED = 0x008
HUNG_UP = 0x010
PEER_ENDED = 0x2000
"""EPOLLIN, EPOLLPRI, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP: Linux's numbers, which every poller here speaks."""
EDGE_TRIGGERED = 1 << 31
EVERYTHING = READABLE | URGENT | WRITABLE | PEER_ENDED | EDGE_TRIGGERED

EVENTS_PER_POLL = 256
"""Connections woken before other tasks run: what is left is told in the next round, so none starves."""


class Wake(Protocol):
    """Called with what a socket has become ready for."""

    def __call__(self, flags: int, error: OSError | None = None, /) -> None: ...


class Poller(Protocol):
    """Tells sockets that they are ready. ``run`` must be running whenever a connection waits."""

    edge_triggered: bool
    """False: call ``rearm`` after a read found nothing more, and before waiting to write."""

    @property
    def outbox(self) -> Outbox | None:
        """Where small messages may wait for the end of a round of tasks; None where they may not."""
        ...

    def register(self, sock: socket.socket, wake: Wake) -> None:
        """Begin to tell ``wake`` what becomes of a connected socket, until ``unregister``."""
        ...

    def unregister(self, sock: socket.socket) -> None:
        """Stop. To be called before the socket is closed."""
        ...

    def rearm(self, sock: socket.socket, flags: int) -> None:
        """Tell again when it is ``READABLE`` or ``WRITABLE``."""
        ...

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell, until cancelled."""
        ...


class EdgePoller:
    """The shared edge-triggered epoll (``Poller``)."""

    edge_triggered = True

    def __init__(self) -> None:
        self.outbox: Outbox | None = Outbox()
        # The whole mutable state: the epoll, and whom to tell by file descriptor.
        self._epoll = select.epoll()
        self._wakes: dict[int, Wake] = {}

    def register(self, sock: socket.socket, wake: Wake) -> None:
        """See ``Poller.register``."""
        fd = sock.fileno()
        self._epoll.register(fd, EVERYTHING)
        self._wakes[fd] = wake

    def unregister(self, sock: socket.socket) -> None:
        """See ``Poller.unregister``."""
        fd = sock.fileno()
        if self._wakes.pop(fd, None) is not None and not self._epoll.closed:
            # Closing alone would do, were it not for a child between fork and
            # exec that still holds the file and would keep it registered.
            self._epoll.unregister(fd)

    def rearm(self, sock: socket.socket, flags: int) -> None:
        """Nothing to do: an edge tells by itself."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See ``Poller.run``."""
        task_status.started()
        poll, wakes, fd = self._epoll.poll, self._wakes, self._epoll.fileno()
        assert self.outbox is not None
        self.outbox.start()
        try:
            while True:
                await trio.lowlevel.wait_readable(fd)
                for ready, flags in poll(0, EVENTS_PER_POLL):
                    wake = wakes.get(ready)
                    if wake is not None:
                        wake(flags)
        finally:
            self.outbox.stop()
            self._epoll.close()


class LevelPoller:
    """The same by ``wait_readable`` and ``wait_writable``, for platforms without epoll (``Poller``).

    Each wait is a little task of ``run``'s nursery; nothing can fail in it but
    the socket being closed, which ends the wait and nothing else. An end of
    stream behind unread bytes is not seen before they are read.
    """

    edge_triggered = False
    outbox: Outbox | None = None
    """Whoever is asked again for each wait cannot be told by an edge that a held message may go on."""

    def __init__(self) -> None:
        # The whole mutable state: whom to tell, the waits under way (of each kind
        # one for a socket), and what to begin once ``run`` runs.
        self._wakes: dict[socket.socket, Wake] = {}
        self._watched: set[tuple[socket.socket, int]] = set()
        self._nursery: trio.Nursery | None = None
        self._pending: list[tuple[socket.socket, int]] = []

    def register(self, sock: socket.socket, wake: Wake) -> None:
        """See ``Poller.register``."""
        self._wakes[sock] = wake
        self.rearm(sock, READABLE)

    def unregister(self, sock: socket.socket) -> None:
        """See ``Poller.unregister``."""
        if self._wakes.pop(sock, None) is not None:
            trio.lowlevel.notify_closing(sock)

    def rearm(self, sock: socket.socket, flags: int) -> None:
        """See ``Poller.rearm``."""
        if self._nursery is None:
            self._pending.append((sock, flags))
        elif (sock, flags) not in self._watched:
            self._watched.add((sock, flags))
            self._nursery.start_soon(self._watch, sock, flags)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See ``Poller.run``."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for sock, flags in self._pending:
                self.rearm(sock, flags)
            self._pending.clear()
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def _watch(self, sock: socket.socket, flags: int) -> None:
        error: OSError | None = None
        try:
            if flags == READABLE:
                flags = await self._wait_readable(sock)
            elif sock in self._wakes:
                await trio.lowlevel.wait_writable(sock)
        except trio.ClosedResourceError:
            return
        except OSError as failed:
            flags, error = flags | HUNG_UP, failed
        finally:
            self._watched.discard((sock, flags & (READABLE | WRITABLE)))
        self._tell(sock, flags, error)

    async def _wait_readable(self, sock: socket.socket) -> int:
        """What it then is. Looks whether there are bytes or the end, and takes neither."""
        while sock in self._wakes:
            await trio.lowlevel.wait_readable(sock)
            try:
                ended = sock.recv(1, socket.MSG_PEEK) == b""
            except BlockingIOError:
                continue
            return READABLE | PEER_ENDED if ended else READABLE
        return READABLE

    def _tell(self, sock: socket.socket, flags: int, error: OSError | None = None) -> None:
        wake = self._wakes.get(sock)
        if wake is not None:
            wake(flags, error)


def make_poller() -> Poller:
    """The best poller this platform has."""
    return EdgePoller() if hasattr(select, "epoll") else LevelPoller()
