"""A network inside one process, for tests on virtual time: no sockets, no threads.

It behaves like TCP where TCP's manners matter to the code above:

- a bounded window in each direction, so a sender waits for its reader;
- ``connect`` succeeds when the connection is in the backlog, before ``accept``;
- closing with unread bytes is a reset for the peer; closing without is an end of stream;
- bytes that arrived before a reset can still be read, then ``ConnectionLost``.

Every pair of connections is a ``Wire``, which a test can cut, stall, slow down
or make deliver a byte at a time. ``MemoryNetwork.machine`` gives a view with
its own address, its own loopback and its own ports, so a whole mesh of
"machines" that all listen on 15006 fits in one network.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import trio

from meshd.errors import ConnectionLost
from meshd.net.address import Address, is_ip_literal
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
    """

    def __init__(self, addresses: tuple[Address, Address], *, window: int = WINDOW) -> None:
        self.latency = 0.0
        self.chunk = CHUNK
        self.window = window
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
        if self.closed:
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


class MemoryListener:
    """A listening address (``Listener``). Made by ``listen``; whoever asked for it closes it."""

    def __init__(self, address: Address, backlog: int, forget: Callable[[], None]) -> None:
        self.address = address
        self._capacity = backlog
        self._forget = forget
        # The whole mutable state: connections not accepted yet, and whether it is closed.
        self._backlog: deque[Wire] = deque()
        self._closed = False
        self._acceptors = trio.lowlevel.ParkingLot()
        self._connectors = trio.lowlevel.ParkingLot()

    async def accept(self) -> MemoryConnection:
        """See ``Listener.accept``."""
        await trio.lowlevel.checkpoint()
        while not self._closed and not self._backlog:
            await self._acceptors.park()
        if self._closed:
            raise trio.ClosedResourceError("this listener was closed")
        self._connectors.unpark()
        return self._backlog.popleft().server

    async def offer(self, wire: Wire) -> None:
        """Queue a new connection; waits while the backlog is full, as a kernel lets SYNs wait."""
        while not self._closed and len(self._backlog) >= self._capacity:
            await self._connectors.park()
        if self._closed:
            raise ConnectionLost("connection refused")
        self._backlog.append(wire)
        self._acceptors.unpark()

    def close(self) -> None:
        """See ``Listener.close``. Connections that nobody accepted are reset."""
        if self._closed:
            return
        self._closed = True
        self._forget()
        for wire in self._backlog:
            wire.server.abort(ConnectionLost("listener closed"))
        self._backlog.clear()
        self._acceptors.unpark_all()
        self._connectors.unpark_all()


class MemoryNetwork:
    """Listeners and connections in one process (``Network``).

    Args:
        window: Bytes that fit in each direction of a connection.

    Attributes:
        wires: Every connection made and not yet closed at both ends, oldest first.
        on_wire: Called with each new wire before either end sees it: the place
            to set latency, chunk or window.
        silent: Hosts that never answer a ``connect`` (dropped packets).
    """

    def __init__(self, *, window: int = WINDOW) -> None:
        self.on_wire: Callable[[Wire], None] | None = None
        self.silent: set[str] = set()
        self._window = window
        self._wires: list[Wire] = []
        self._machines: set[str] = set()
        self._listeners: dict[tuple[str, str, int], MemoryListener] = {}
        self._next_port = 32768

    @property
    def wires(self) -> tuple[Wire, ...]:
        """See the class."""
        self._wires = [wire for wire in self._wires if not wire.closed]
        return tuple(self._wires)

    def machine(self, host: str) -> MemoryMachine:
        """A view from the machine with this address. Addresses that are no machine belong to the network itself."""
        self._machines.add(host)
        return MemoryMachine(self, host)

    async def connect(self, address: Address) -> MemoryConnection:
        """See ``Network.connect``."""
        return await self._connect("", address)

    def listen(self, address: Address, *, backlog: int = 1024) -> MemoryListener:
        """See ``Network.listen``. "" takes every host that is no ``machine``."""
        return self._listen("", address, backlog)

    async def _connect(self, machine: str, address: Address) -> MemoryConnection:
        await trio.lowlevel.checkpoint()
        if address.host in self.silent:
            await trio.sleep_forever()
        host, port = address.host, address.port
        target = machine if _is_loopback(host) else host if host in self._machines else ""
        listener = self._listeners.get((target, host, port)) or self._listeners.get((target, "", port))
        if listener is None:
            raise ConnectionLost("connection refused")
        local_host = LOOPBACK if _is_loopback(host) or not machine else machine
        wire = Wire((Address(local_host, self._free_port(machine)), address), window=self._window)
        if self.on_wire is not None:
            self.on_wire(wire)
        if wire.latency:
            await trio.sleep(2 * wire.latency)
        await listener.offer(wire)
        self._wires = [*self.wires, wire]
        return wire.client

    def _listen(self, machine: str, address: Address, backlog: int) -> MemoryListener:
        host = LOOPBACK if _is_loopback(address.host) else address.host
        port = address.port or self._free_port(machine)
        for at, bound, taken in self._listeners:
            if at == machine and taken == port and (bound == host or "" in (bound, host)):
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        key = (machine, host, port)
        listener = MemoryListener(Address(address.host, port), backlog, lambda: self._listeners.pop(key, None) and None)
        self._listeners[key] = listener
        return listener

    def _free_port(self, machine: str) -> int:
        taken = {port for at, _, port in self._listeners if at == machine}
        while True:
            self._next_port = self._next_port + 1 if self._next_port < 60999 else 32768
            if self._next_port not in taken:
                return self._next_port


class MemoryMachine:
    """One machine's view of a ``MemoryNetwork`` (``Network``): its own address, loopback and ports."""

    def __init__(self, network: MemoryNetwork, host: str) -> None:
        self.network = network
        self.host = host

    async def connect(self, address: Address) -> MemoryConnection:
        """See ``Network.connect``; the peer sees this machine's address."""
        return await self.network._connect(self.host, address)

    def listen(self, address: Address, *, backlog: int = 1024) -> MemoryListener:
        """See ``Network.listen``. Loopback is reached from this machine only."""
        if address.host not in ("", self.host) and not _is_loopback(address.host):
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        return self.network._listen(self.host, address, backlog)


class StaticResolver:
    """Names from a mapping (``Resolver``). The mapping may be changed by a test while it is used."""

    def __init__(self, names: Mapping[str, Sequence[str]] | None = None) -> None:
        self.names: dict[str, Sequence[str]] = dict(names or {})

    async def resolve(self, host: str) -> tuple[str, ...]:
        """See ``Resolver.resolve``."""
        if is_ip_literal(host):
            return (host,)
        await trio.lowlevel.checkpoint()
        addresses = tuple(self.names.get(host.lower().rstrip("."), ()))
        if not addresses:
            raise ConnectionLost(f"no address known for {host!r}")
        return addresses


def memory_pair(*, window: int = WINDOW) -> tuple[MemoryConnection, MemoryConnection]:
    """Two connected ends, the client's first, without a network."""
    wire = Wire((Address(LOOPBACK, 32767), Address(LOOPBACK, 80)), window=window)
    return wire.client, wire.server


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host in ("::1", "localhost")
