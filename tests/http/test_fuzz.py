"""Whatever bytes come, a server answers or closes; nothing is a bug, nothing hangs, nothing is served twice."""

from __future__ import annotations

from random import Random

import h2.config
import h2.connection
import pytest
from trio.testing import MockClock

from meshd.errors import ConnectionLost, ProtocolError
from meshd.http import h11_head
from meshd.http.head import ResponseHead
from meshd.http.limits import HttpLimits
from meshd.http.stream import ServerStream
from tests.http.conftest import Serve, Served
from tests.http.h2_peers import POST, REQUEST
from tests.http.heads import request_head

LIMITS = HttpLimits(header_timeout=10, idle_timeout=10, stream_idle_timeout=10)


async def feed(served: Served, data: bytes, *, end: bool) -> bytes:
    """Send, and read whatever comes back."""
    try:
        await served.send(data)
        if end:
            await served.client.send_eof()
    except ConnectionLost:
        pass
    return await served.read_all_or_reset()


def status_of(raw: bytes) -> int:
    """With which status the authority refuses a head; 0 when it takes it."""
    try:
        h11_head.read_request(raw.removeprefix(b"\r\n"))
    except ProtocolError as error:
        return error.status
    return 0


async def fuzz_h1(serve: Serve, seed: int, rounds: int) -> int:
    rng = Random(seed)
    answered = 0
    for _ in range(rounds):
        handled: list[ServerStream] = []

        async def handler(stream: ServerStream, handled: list[ServerStream] = handled) -> None:
            handled.append(stream)
            while not stream.body.ended:
                await stream.body.receive()
            await stream.respond(ResponseHead(200, length=2), b"ok", end=True)

        raw = request_head(rng)
        body = rng.choice((b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", rng.randbytes(30)))
        served = serve(handler, limits=LIMITS)
        served.wire.chunk = rng.choice((3, 64, 65536))
        answer = await feed(served, raw + body, end=True)
        await served.done.wait()
        assert not served.bugs, (raw, body)
        refused = status_of(raw)
        assert bool(handled) == (not refused), raw
        assert not refused or answer.startswith((b"HTTP/1.1 %d " % refused, b"HTTP/1.1 400 ")), raw
        answered += b" 200 OK" in answer
    return answered


def h2_conversation(rng: Random) -> bytes:
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    client.initiate_connection()
    for _ in range(rng.randrange(1, 5)):
        stream_id = client.get_next_available_stream_id()
        if rng.random() < 0.5:
            client.send_headers(stream_id, [*REQUEST, (b"a", rng.randbytes(3).hex().encode())], end_stream=True)
        else:
            client.send_headers(stream_id, [*POST, (b"content-length", b"10")])
            client.send_data(stream_id, rng.randbytes(10), end_stream=rng.random() < 0.8)
        if rng.random() < 0.3:
            client.reset_stream(stream_id)
        if rng.random() < 0.3:
            client.ping(bytes(8))
    return client.data_to_send()


async def fuzz_h2(serve: Serve, seed: int, rounds: int) -> int:
    rng = Random(seed)
    answered = 0

    async def handler(stream: ServerStream) -> None:
        while not stream.body.ended:
            await stream.body.receive()
        await stream.respond(ResponseHead(200, length=2), b"ok", end=True)

    for _ in range(rounds):
        wire = bytearray(h2_conversation(rng))
        for _ in range(rng.choice((0, 1, 1, 3, 10))):
            at = rng.randrange(24, len(wire))
            if rng.random() < 0.7:
                wire[at] = rng.randrange(256)
            elif rng.random() < 0.5:
                del wire[at : at + rng.randrange(1, 12)]
            else:
                wire[at:at] = rng.randbytes(rng.randrange(1, 12))
            if len(wire) <= 24:
                break
        served = serve(handler, limits=LIMITS, protocol="h2")
        served.wire.chunk = rng.choice((3, 64, 65536))
        answer = await feed(served, bytes(wire), end=rng.random() < 0.2)
        await served.done.wait()
        assert not served.bugs, bytes(wire)
        answered += len(answer) > 100
    return answered


async def test_http1(serve: Serve, autojump_clock: MockClock) -> None:
    del autojump_clock
    assert await fuzz_h1(serve, 1, 400) > 30


async def test_http2(serve: Serve, autojump_clock: MockClock) -> None:
    del autojump_clock
    assert await fuzz_h2(serve, 1, 200) > 20


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_much_more(serve: Serve, autojump_clock: MockClock) -> None:
    del autojump_clock
    assert await fuzz_h1(serve, 2, 30_000) > 2_000
    assert await fuzz_h2(serve, 2, 10_000) > 1_000
