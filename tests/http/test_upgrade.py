"""After a 101 bytes go both ways until both ends have ended, and a lost end takes the other with it."""

from __future__ import annotations

import pytest
import trio

from meshd.errors import ConnectionLost
from meshd.http.h1 import H1ClientConnection
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.stream import ServerStream
from meshd.http.upgrade import relay
from meshd.net.memory import memory_pair
from tests.http.conftest import Serve
from tests.http.relays import relaying

UPGRADE = b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n"
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
)


async def shout(stream: ServerStream) -> None:
    """A server that switches, says hello at once, and answers in capitals."""
    assert stream.request.headers.get(b"sec-websocket-key") == b"k"
    await stream.respond(
        ResponseHead(101, Headers.of([(b"sec-websocket-accept", b"a")]), upgrade=b"websocket"), end=False
    )
    await stream.send(b"hello")
    while not stream.body.ended:
        data = await stream.body.receive()
        if data:
            await stream.send(data.upper())
    await stream.send(b"bye", end=True)


@pytest.mark.parametrize("chunk", [1, 10, 1000])
async def test_a_tunnel_through_a_relay(serve: Serve, chunk: int) -> None:
    behind = serve(shout)
    behind.wire.chunk = chunk
    served = serve(relaying(H1ClientConnection(behind.client)))
    served.wire.chunk = chunk
    await served.send(UPGRADE + b"early ")
    assert await served.read_until(b"\r\n\r\n") == SWITCHED
    await served.send(b"and late")
    assert await served.read(5) == b"hello"
    assert await served.read(14) == b"EARLY AND LATE"
    await served.client.send_eof()
    assert await served.read_all() == b"bye"
    await served.done.wait()
    await behind.done.wait()
    assert not served.bugs
    assert not behind.bugs


async def test_a_half_closed_tunnel_goes_on(serve: Serve) -> None:
    """The end of one direction is no hang-up, even when it comes while nobody reads."""
    aborted: list[Exception] = []

    async def handler(stream: ServerStream) -> None:
        stream.on_abort = aborted.append
        await stream.respond(ResponseHead(101, upgrade=b"websocket"), end=False)
        await trio.testing.wait_all_tasks_blocked()
        await stream.send(b"still here", end=True)

    served = serve(handler)
    await served.send(UPGRADE)
    await served.read_until(b"\r\n\r\n")
    await served.client.send_eof()
    assert await served.read_all() == b"still here"
    assert not aborted


async def test_a_lost_end_takes_the_other_with_it(serve: Serve) -> None:
    behind = serve(shout)
    served = serve(relaying(H1ClientConnection(behind.client)))
    await served.send(UPGRADE)
    await served.read_until(b"hello")
    behind.wire.cut()
    with pytest.raises(ConnectionLost):
        await served.read_all()
    await served.done.wait()
    assert not served.bugs


async def test_nothing_is_read_ahead_of_what_was_sent(serve: Serve) -> None:
    progress: list[int] = []

    async def handler(stream: ServerStream) -> None:
        near, _ = memory_pair()
        client = H1ClientConnection(near).open()
        await client.send_head(stream.request, end=False)
        near.unread(SWITCHED)
        head = await client.receive_head()
        await stream.respond(head, end=False)
        await relay(stream, client, on_progress=lambda: progress.append(1))

    served = serve(handler)
    await served.send(UPGRADE)
    sent = 0
    with trio.move_on_after(0.05):
        while True:
            await served.send(bytes(16_384))
            sent += 16_384
    assert sent <= 5 * 64 * 1024
    assert progress


async def test_an_upgrade_that_is_not_made_is_an_ordinary_answer(serve: Serve) -> None:
    async def no(stream: ServerStream) -> None:
        await stream.respond(ResponseHead(403, length=2), b"no", end=True)

    served = serve(no)
    await served.send(UPGRADE + UPGRADE)
    # What was sent for the other protocol must not be read as HTTP: the connection ends.
    assert await served.read_all() == (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
    served = serve(no)
    for _ in range(2):
        await served.send(UPGRADE)
        assert await served.read_until(b"\r\n\r\nno") == b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"


async def test_a_switch_nobody_asked_for_is_a_bug(serve: Serve) -> None:
    async def handler(stream: ServerStream) -> None:
        await stream.respond(ResponseHead(101, upgrade=b"x"), end=False)

    served = serve(handler)
    await served.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    with pytest.raises(ConnectionLost):
        await served.read_all()
    assert isinstance(served.bugs[0], ValueError)


async def test_connect_is_a_tunnel(serve: Serve) -> None:
    async def handler(stream: ServerStream) -> None:
        assert stream.request.target == b""
        await stream.respond(ResponseHead(200), end=False)
        data = await stream.body.receive()
        await stream.send(data, end=True)

    served = serve(handler)
    await served.send(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
    assert await served.read_until(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\n\r\n"
    await served.send(b"\x16\x03\x01")
    assert await served.read_all() == b"\x16\x03\x01"


async def test_requests_that_only_look_like_upgrades(serve: Serve) -> None:
    seen: list[RequestHead] = []

    async def handler(stream: ServerStream) -> None:
        seen.append(stream.request)
        await stream.respond(ResponseHead(204), end=True)

    served = serve(handler)
    await served.send(
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n"
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    )
    for _ in range(2):
        await served.read_until(b"\r\n\r\n")
    assert [head.upgrade for head in seen] == [b"", b""]
