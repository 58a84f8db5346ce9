"""The kernel's network: connecting and listening (``Network``). Connections are in ``net/tcp.py``."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from meshd.errors import ConnectionLost
from meshd.net.accepting import SocketListener, open_listener
from meshd.net.address import Address, is_ip_literal
from meshd.net.poller import Poller, make_poller
from meshd.net.tcp import SocketConnection, describe

_BIND_ADDRESS_NO_PORT = 24
"""``IP_BIND_ADDRESS_NO_PORT`` (linux/in.h)."""
_INHERITS_OPTIONS = sys.platform == "linux"
"""Accepted sockets have the options of their listener."""


@attrs.frozen
class SocketOptions:
    """How sockets are set up.

    ``keepalive_idle``, ``keepalive_interval`` (seconds) and ``keepalive_probes``
    find peers that vanished without a word: after 90 s by default.
    ``reuse_port`` lets several processes listen on one port, the kernel sharing
    connections out among them.
    """

    keepalive_idle: int = 60
    keepalive_interval: int = 10
    keepalive_probes: int = 3
    reuse_port: bool = False

    def apply(self, sock: socket.socket) -> None:
        """Set what a connected socket needs. On Linux a listener's connections inherit it."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, self.keepalive_idle)
        if hasattr(socket, "TCP_KEEPINTVL"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, self.keepalive_interval)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, self.keepalive_probes)


@attrs.frozen
class NetworkStatistics:
    """What a ``SocketNetwork`` has done."""

    connected: int
    connect_failures: int
    accepted: int
    accept_overloads: int


class SocketNetwork:
    """Connections and listeners of the kernel (``Network``).

    Args:
        poller: Its ``run`` must be running in a nursery that outlives every connection.
        options: How sockets are set up.
    """

    def __init__(self, poller: Poller, options: SocketOptions = SocketOptions()) -> None:
        self._poller = poller
        self._options = options
        # The whole mutable state is these counters.
        self._connected = 0
        self._connect_failures = 0
        self._accepted = 0
        self._accept_overloads = 0

    async def connect(self, address: Address, *, source: str = "") -> SocketConnection:
        """See ``Network.connect``."""
        await trio.lowlevel.checkpoint()
        try:
            sock = await self._connect(address, source)
        except OSError as error:
            self._connect_failures += 1
            raise ConnectionLost(describe(error)) from error
        self._connected += 1
        return SocketConnection(sock, self._poller, to_address(sock.getsockname()), address)

    async def _connect(self, address: Address, source: str) -> socket.socket:
        family, target = _sockaddr(address)
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(0)
            self._options.apply(sock)
            if source:
                _bind_source(sock, source)
            try:
                sock.connect(target)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(sock)
                failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if failed:
                    raise OSError(failed, os.strerror(failed)) from None
        except BaseException:
            sock.close()
            raise
        if sock.getsockname() == target:
            # Linux connects a free ephemeral port of this machine to itself.
            sock.close()
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return sock

    def listen(self, address: Address, *, backlog: int = 1024) -> SocketListener[SocketConnection]:
        """See ``Network.listen``. "" is IPv4 and IPv6 on one socket. A host that is a name blocks while it is looked up."""
        sock = open_listener(address, backlog, reuse_port=self._options.reuse_port)
        self._options.apply(sock)
        return SocketListener(sock, Address(address.host, sock.getsockname()[1]), self._adopt, self._note_overload)

    def _note_overload(self) -> None:
        self._accept_overloads += 1

    def _adopt(self, sock: socket.socket, peer: tuple[str, int]) -> SocketConnection:
        sock.settimeout(0)
        if not _INHERITS_OPTIONS:
            self._options.apply(sock)
        connection = SocketConnection(sock, self._poller, to_address(sock.getsockname()), to_address(peer))
        self._accepted += 1
        return connection

    def statistics(self) -> NetworkStatistics:
        """Counters since the beginning."""
        return NetworkStatistics(
            connected=self._connected,
            connect_failures=self._connect_failures,
            accepted=self._accepted,
            accept_overloads=self._accept_overloads,
        )


@asynccontextmanager
async def open_socket_network(options: SocketOptions = SocketOptions()) -> AsyncIterator[SocketNetwork]:
    """A network with its poller running, for as long as the block."""
    poller = make_poller()
    async with trio.open_nursery() as nursery:
        await nursery.start(poller.run)
        yield SocketNetwork(poller, options)
        nursery.cancel_scope.cancel()


def _bind_source(sock: socket.socket, source: str) -> None:
    """Connect from this address. The port is chosen when the destination is known, so that each may be used for many."""
    if _INHERITS_OPTIONS:
        with contextlib.suppress(OSError):  # Linux before 4.2
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
    sock.bind((source, 0))


def _sockaddr(address: Address) -> tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]:
    if not is_ip_literal(address.host):
        raise OSError(errno.EINVAL, f"{address.host!r} is not an IP address")
    if ":" not in address.host:
        return socket.AF_INET, (address.host, address.port)
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return found[0][0], found[0][4]  # type: ignore[return-value]


def to_address(name: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    """From what ``getsockname`` gives. IPv4 in IPv6's clothes (a dual-stack listener) is IPv4."""
    host = name[0]
    return Address(host[7:] if host.startswith("::ffff:") and "." in host else host, name[1])
