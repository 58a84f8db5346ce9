"""The stack once over the kernel's TCP: what memory connections cannot show."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from meshd.http.h1 import H1ClientConnection
from meshd.http.h2 import connect_h2
from meshd.http.head import RequestHead, ResponseHead
from meshd.http.limits import HttpLimits
from meshd.http.server import serve_connection
from meshd.http.stream import ClientConnection, ClientStream, ServerStream
from meshd.net.address import Address
from meshd.net.poller import EdgePoller
from meshd.net.sockets import SocketNetwork
from meshd.net.timers import Timers

MANY = 3_000_000


async def echo_as_it_comes(stream: ServerStream) -> None:
    """Answers while it is asked: both ways at once."""
    await stream.respond(ResponseHead(200, length=None), end=False)
    while not stream.body.ended:
        data = await stream.body.receive()
        if data:
            await stream.send(data)
    await stream.send(b"", end=True)


@pytest.fixture
async def network(nursery: trio.Nursery) -> SocketNetwork:
    poller = EdgePoller()
    await nursery.start(poller.run)
    return SocketNetwork(poller)


async def listen(network: SocketNetwork, nursery: trio.Nursery, timers: Timers) -> Address:
    listener = network.listen(Address("127.0.0.1", 0))

    async def accept() -> None:
        try:
            while True:
                connection = await listener.accept()
                nursery.start_soon(partial(serve_connection, connection, echo_as_it_comes, timers=timers))
        finally:
            listener.close()

    nursery.start_soon(accept)
    return listener.address


async def both_ways(client: ClientConnection, size: int) -> int:
    """Send and receive at once; how much came back."""
    stream = client.open()
    received = 0

    async def send(stream: ClientStream) -> None:
        await stream.send_head(RequestHead(b"POST", b"/", b"h", length=None), end=False)
        for at in range(0, size, 50_000):
            await stream.send(bytes(50_000), end=at + 50_000 >= size)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, stream)
        while not stream.request_bytes_sent:
            await trio.lowlevel.checkpoint()
        await stream.receive_head()
        while not stream.body.ended:
            received += len(await stream.body.receive())
    stream.finish()
    return received


async def test_http1_both_ways_at_once(network: SocketNetwork, nursery: trio.Nursery, timers: Timers) -> None:
    address = await listen(network, nursery, timers)
    client = H1ClientConnection(await network.connect(address))
    with trio.fail_after(20):
        assert await both_ways(client, MANY) == MANY
    client.close()


async def test_http2_streams_both_ways_at_once(network: SocketNetwork, nursery: trio.Nursery, timers: Timers) -> None:
    """Both ends are as busy as can be; neither may wait for the other for ever."""
    address = await listen(network, nursery, timers)
    client = await connect_h2(
        await network.connect(address), nursery, timers=timers, limits=HttpLimits(h2_send_buffer=20_000)
    )
    received: list[int] = []

    async def one() -> None:
        received.append(await both_ways(client, MANY // 5))

    with trio.fail_after(20):
        async with trio.open_nursery() as streams:
            for _ in range(5):
                streams.start_soon(one)
    assert received == [MANY // 5] * 5
    client.close()


async def test_refusals_reach_the_client(network: SocketNetwork, nursery: trio.Nursery, timers: Timers) -> None:
    """The last words are read although the client goes on sending: no reset overtakes them."""
    address = await listen(network, nursery, timers)
    for _ in range(5):
        connection = await network.connect(address)
        await connection.send(
            b"POST / HTTP/1.1\r\nHost: h\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)
        )
        answer = b""
        while data := await connection.receive():
            answer += data
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        connection.close()
