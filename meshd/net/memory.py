"""A network inside one process, for tests on virtual time: no sockets, no threads.

``connect`` succeeds when the connection is in the listener's backlog, before
``accept``, as in a kernel. Every connection is a ``Wire`` (``net/wire.py``),
which a test can cut, stall, slow down or make deliver a byte at a time.
``MemoryNetwork.machine`` gives a view with its own address, its own loopback
and its own ports, so a whole mesh of "machines" that all listen on 15006 fits
in one network.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import trio

from meshd.errors import ConnectionLost
from meshd.net.address import Address, is_ip_literal
from meshd.net.wire import LOOPBACK, WINDOW, MemoryConnection, Wire, memory_pair

__all__ = [
    "MemoryConnection",
    "MemoryListener",
    "MemoryMachine",
    "MemoryNetwork",
    "StaticResolver",
    "Wire",
    "memory_pair",
]


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

    async def connect(self, address: Address, *, source: str = "") -> MemoryConnection:
        """See ``Network.connect``."""
        return await self._connect("", address, source)

    def listen(self, address: Address, *, backlog: int = 1024) -> MemoryListener:
        """See ``Network.listen``. "" takes every host that is no ``machine``."""
        return self._listen("", address, backlog)

    async def _connect(self, machine: str, address: Address, source: str) -> MemoryConnection:
        await trio.lowlevel.checkpoint()
        if address.host in self.silent:
            await trio.sleep_forever()
        host, port = address.host, address.port
        target = machine if _is_loopback(host) else host if host in self._machines else ""
        listener = self._listeners.get((target, host, port)) or self._listeners.get((target, "", port))
        if listener is None:
            raise ConnectionLost("connection refused")
        local_host = source or (LOOPBACK if _is_loopback(host) or not machine else machine)
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

        def forget() -> None:
            del self._listeners[key]

        listener = MemoryListener(Address(address.host, port), backlog, forget)
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

    async def connect(self, address: Address, *, source: str = "") -> MemoryConnection:
        """See ``Network.connect``; the peer sees this machine's address."""
        return await self.network._connect(self.host, address, source)

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


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host in ("::1", "localhost")
