"""Every time limit, on virtual time (sizes are met in the codecs' own tests)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from meshd.errors import ConnectionLost, DeadlineExceeded
from meshd.http.head import ResponseHead
from meshd.http.limits import HttpLimits
from meshd.http.stream import ServerStream
from tests.http.conftest import Serve

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"


async def ok(stream: ServerStream) -> None:
    await stream.respond(ResponseHead(200, length=2), b"ok", end=True)


async def read_body(stream: ServerStream) -> None:
    while not stream.body.ended:
        await stream.body.receive()
    await ok(stream)


async def test_an_idle_connection_is_closed(serve: Serve, autojump_clock: MockClock) -> None:
    del autojump_clock
    served = serve(ok, limits=HttpLimits(idle_timeout=90))
    assert await served.read_all() == b""
    assert trio.current_time() == pytest.approx(90)


async def test_idle_begins_anew_with_each_request(serve: Serve, autojump_clock: MockClock) -> None:
    del autojump_clock
    served = serve(ok, limits=HttpLimits(idle_timeout=90))
    for _ in range(3):
        await trio.sleep(80)
        await served.send(GET)
        assert b"200 OK" in await served.client.receive()
    assert await served.read_all() == b""
    assert trio.current_time() == pytest.approx(3 * 80 + 90)


async def test_a_slow_head_is_answered_408(serve: Serve, autojump_clock: MockClock) -> None:
    del autojump_clock
    served = serve(ok, limits=HttpLimits(header_timeout=10))
    await served.send(GET[:1])
    for byte in GET[1:10]:
        await trio.sleep(1.05)
        await served.send(bytes([byte]))
    assert (await served.read_all()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert trio.current_time() == pytest.approx(10, abs=1.2)


async def test_a_silent_body_ends_the_exchange(serve: Serve, autojump_clock: MockClock) -> None:
    del autojump_clock
    outcomes: list[Exception] = []

    async def handler(stream: ServerStream) -> None:
        try:
            await read_body(stream)
        except DeadlineExceeded as error:
            outcomes.append(error)
            raise

    served = serve(handler, limits=HttpLimits(stream_idle_timeout=30))
    await served.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n")
    await trio.sleep(29)
    await served.send(b"x")
    with pytest.raises(ConnectionLost):
        await served.read_all()
    await served.done.wait()
    assert trio.current_time() == pytest.approx(59)
    assert "stream idle" in str(outcomes[0])


async def test_a_client_that_never_reads_is_sent_away(serve: Serve, autojump_clock: MockClock) -> None:
    del autojump_clock

    async def handler(stream: ServerStream) -> None:
        await stream.respond(ResponseHead(200, length=10_000_000), bytes(10_000_000), end=True)

    served = serve(handler, limits=HttpLimits(stream_idle_timeout=30))
    await served.send(GET)
    await served.done.wait()
    assert trio.current_time() == pytest.approx(30)


async def test_a_handler_may_take_its_time(serve: Serve, autojump_clock: MockClock) -> None:
    del autojump_clock

    async def handler(stream: ServerStream) -> None:
        await trio.sleep(7200)
        await ok(stream)

    served = serve(handler, limits=HttpLimits(idle_timeout=60, stream_idle_timeout=30))
    await served.send(GET)
    assert b"200 OK" in await served.client.receive()


async def test_no_limits_at_all(serve: Serve, autojump_clock: MockClock) -> None:
    del autojump_clock
    served = serve(read_body, limits=HttpLimits(idle_timeout=0, stream_idle_timeout=0, header_timeout=0))
    await trio.sleep(50_000)
    await served.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n")
    await trio.sleep(50_000)
    await served.send(b"\r\n1")
    await trio.sleep(50_000)
    await served.send(b"2")
    assert b"200 OK" in await served.client.receive()


async def test_requests_on_a_connection(serve: Serve) -> None:
    served = serve(ok, limits=HttpLimits(max_requests=2))
    await served.send(GET * 3)
    answers = await served.read_all()
    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.count(b"connection: close") == 1
