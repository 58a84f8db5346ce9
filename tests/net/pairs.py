"""Pairs of connected ends over every kind of transport, for tests that hold for all of them."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio

from meshd.certs.contexts import mesh_context
from meshd.errors import ConnectionLost
from meshd.net.address import Address
from meshd.net.connection import Connection, Network
from meshd.net.memory import MemoryNetwork
from meshd.net.poller import EdgePoller, LevelPoller
from meshd.net.sockets import SocketNetwork
from meshd.net.tls import wrap_client, wrap_server
from tests.certs.pki import RATINGS, REVIEWS, make_ca

NETWORKS = ("memory", "sockets-epoll", "sockets-fallback")
KINDS = (*NETWORKS, "tls")
LOOPBACK = Address("127.0.0.1", 0)

Pair = tuple[Connection, Connection]


async def open_network(kind: str, nursery: trio.Nursery) -> Network:
    """A network of this kind, its poller running in ``nursery``."""
    if not kind.startswith("sockets"):
        return MemoryNetwork()
    poller = EdgePoller() if kind == "sockets-epoll" else LevelPoller()
    await nursery.start(poller.run)
    return SocketNetwork(poller)


class Pairs:
    """Makes pairs, client's end first, and closes them all."""

    def __init__(self, kind: str, network: Network) -> None:
        self.kind = kind
        self.network = network
        self.made: list[Connection] = []

    async def __call__(self) -> Pair:
        listener = self.network.listen(LOOPBACK)
        client = await self.network.connect(listener.address)
        server = await listener.accept()
        listener.close()
        self.made += [client, server]
        if self.kind == "tls":
            client, server = await self._wrap(client, server)
        return client, server

    async def _wrap(self, client: Connection, server: Connection) -> Pair:
        ends: dict[str, Connection] = {}

        async def wrap(name: str, operation: Callable[[], Awaitable[Connection]]) -> None:
            ends[name] = await operation()

        client_context, server_context = tls_contexts()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wrap, "client", functools.partial(wrap_client, client, client_context))
            nursery.start_soon(wrap, "server", functools.partial(wrap_server, server, server_context))
        self.made += ends.values()
        return ends["client"], ends["server"]

    def close(self) -> None:
        """Close everything that was made."""
        for connection in self.made:
            connection.close()


@functools.cache
def tls_contexts():
    """The client's and the server's."""
    ca = make_ca()
    return mesh_context(ca.issue(RATINGS), server=False), mesh_context(ca.issue(REVIEWS), server=True)


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks and the kernel get on until something holds."""
    with trio.fail_after(10):
        while not condition():
            await trio.lowlevel.checkpoint()


async def receive_exactly(connection: Connection, count: int) -> bytes:
    """So many bytes; what came beyond is put back."""
    data = b""
    while len(data) < count:
        piece = await connection.receive()
        assert piece, f"ended after {len(data)} of {count}"
        data += piece
    connection.unread(data[count:])
    return data[:count]


async def receive_all(connection: Connection) -> bytes:
    """Everything up to the end of the stream."""
    pieces: list[bytes] = []
    while piece := await connection.receive():
        pieces.append(piece)
    return b"".join(pieces)


class StreamAdapter(trio.abc.HalfCloseableStream):
    """A ``Connection`` as one of Trio's streams, so that Trio's own conformance tests can judge it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def send_all(self, data: bytes) -> None:
        with _as_trio():
            await self.connection.send(data)
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()
        with _as_trio():
            await self.connection.send(b"")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if not isinstance(max_bytes, int | None):
            raise TypeError
        if max_bytes is not None and max_bytes < 1:
            raise ValueError
        with _as_trio():
            data = await self.connection.receive()
        if max_bytes is not None and len(data) > max_bytes:
            self.connection.unread(data[max_bytes:])
            data = data[:max_bytes]
        try:
            await trio.lowlevel.checkpoint()
        except BaseException:
            self.connection.unread(data)
            raise
        return data

    async def send_eof(self) -> None:
        with _as_trio():
            await self.connection.send_eof()
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await self.connection.aclose()


@contextmanager
def _as_trio() -> Iterator[None]:
    try:
        yield
    except ConnectionLost as error:
        raise trio.BrokenResourceError from error
