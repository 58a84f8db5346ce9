"""What one client may take, and for how long: each limit on virtual time."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
import trio.testing

from meshd.errors import ConnectionLost, MeshdError
from meshd.http.head import Headers, RequestHead
from meshd.http.limits import HttpLimits
from meshd.net.address import Address
from meshd.proxy.limits import ProxyLimits
from meshd.snapshot.route import DirectResponse
from tests.fakes import RawUpstream, answer
from tests.proxy.rig import Rig
from tests.proxy.snapshots import forward, gateway, route

A = "10.0.0.1:9080"
PUBLIC = Address("198.51.100.1", 80)
"""The gateway, as strangers reach it."""
HELLO = gateway(route(DirectResponse(200, "hi")))
BACKEND = gateway(route(forward("c")), endpoints={"c": [A]})
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


async def refused(rig: Rig, machine: str) -> bool:
    connection = await rig.network.machine(machine).connect(PUBLIC)
    await trio.testing.wait_all_tasks_blocked()
    try:
        await connection.send(GET)
        return await connection.receive() == b""
    except ConnectionLost:
        return True
    finally:
        connection.close()


async def test_connections_of_a_source_are_bounded(nursery, autojump_clock):
    rig = await Rig.start(nursery, HELLO, limits=ProxyLimits(connections_per_source=2))
    stranger = rig.network.machine("203.0.113.9")
    held = [await stranger.connect(PUBLIC) for _ in range(2)]
    await trio.testing.wait_all_tasks_blocked()
    assert await refused(rig, "203.0.113.9")
    assert not await refused(rig, "203.0.113.10"), "others are served"
    assert 'refused_total{listener="0.0.0.0_80",reason="source_limit"} 1' in rig.metrics()
    held[0].close()
    await trio.testing.wait_all_tasks_blocked()
    assert not await refused(rig, "203.0.113.9"), "it recovers"


async def test_a_burst_is_counted_while_it_is_accepted(nursery, autojump_clock):
    rig = await Rig.start(nursery, HELLO, limits=ProxyLimits(connections_per_source=5))
    for _ in range(20):
        await rig.network.connect(rig.address())
    await trio.testing.wait_all_tasks_blocked()
    assert rig.engine.open_connections() == 5


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
async def test_an_old_connection_ends_politely(nursery, autojump_clock, http2):
    rig = await Rig.start(nursery, BACKEND, limits=ProxyLimits(connection_age=100))
    release = trio.Event()

    async def slow(stream, received):
        await release.wait()
        await answer(200, b"done")(stream, received)

    await rig.upstream(A, behaviour=slow)
    connection = await rig.client.connection(rig.address(), http2=http2)
    got: list[int] = []

    async def ask():
        got.append((await rig.get(http2=http2)).status)

    rig.client._free[(rig.address(), http2, None)] = [connection]
    nursery.start_soon(ask)
    await trio.sleep(111)
    assert 'connections_aged_total{listener="0.0.0.0_80"} 1' in rig.metrics()
    assert got == [], "what is under way goes on"
    release.set()
    await trio.sleep(1)
    assert got == [200]
    assert connection.is_closed()
    assert rig.engine.open_connections() == 0


async def test_an_idle_old_connection_is_closed_and_a_young_one_not(nursery, autojump_clock):
    rig = await Rig.start(nursery, HELLO, limits=ProxyLimits(connection_age=100))
    connection = await rig.network.connect(rig.address())
    await trio.sleep(89)
    await connection.send(GET)
    assert (await connection.receive()).startswith(b"HTTP/1.1 200")
    assert await connection.receive() == b""
    assert 90 <= trio.current_time() <= 110


async def test_ages_differ_so_that_not_all_end_at_once(nursery, autojump_clock):
    rig = await Rig.start(nursery, HELLO, limits=ProxyLimits(connection_age=1000))
    ends: list[float] = []

    async def watch():
        connection = await rig.network.connect(rig.address())
        assert await connection.receive() == b""
        ends.append(trio.current_time())

    async with trio.open_nursery() as watchers:
        for _ in range(20):
            watchers.start_soon(watch)
    assert max(ends) - min(ends) > 50


async def test_requests_of_a_connection_are_bounded(nursery, autojump_clock):
    rig = await Rig.start(nursery, HELLO, http_limits=HttpLimits(max_requests=2))
    connection = await rig.network.connect(rig.address())
    await connection.send(GET * 3)
    data = b""
    with suppress(ConnectionLost):
        while piece := await connection.receive():
            data += piece
    assert data.count(b"HTTP/1.1 200") == 2
    assert data.count(b"connection: close") == 1


# Slow writers.

HEAD = b"POST / HTTP/1.1\r\nHost: h\r\n"


async def slow_post(rig: Rig, head: bytes, piece: bytes, every: float, until: float) -> bytes:
    """What comes back when a body is sent piece by piece."""
    connection = await rig.network.connect(rig.address())
    await connection.send(head)
    with suppress(MeshdError, trio.ClosedResourceError), trio.move_on_after(until):
        async with trio.open_nursery() as talk:

            async def feed():
                with suppress(MeshdError):
                    while True:
                        await connection.send(piece)
                        await trio.sleep(every)

            talk.start_soon(feed)
            data = await connection.receive()
            talk.cancel_scope.cancel()
        return data
    return b""


@pytest.mark.parametrize(
    "head",
    [HEAD + b"Content-Length: 1000000\r\n\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n"],
    ids=["length", "chunked"],
)
async def test_a_body_that_drips_is_408(nursery, autojump_clock, head):
    rig = await Rig.start(nursery, BACKEND, limits=ProxyLimits(body_timeout=60))
    await rig.upstream(A)
    got = await slow_post(rig, head, b"1\r\nx\r\n", 1.0, 200)
    assert got.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert trio.current_time() == pytest.approx(60, abs=1.5)
    assert 'slow_bodies_total{listener="0.0.0.0_80"} 1' in rig.metrics()
    (line,) = await rig.logs()
    assert line["response_code_details"] == "request_body_timeout"


async def test_a_silent_body_is_408(nursery, autojump_clock):
    rig = await Rig.start(nursery, BACKEND, limits=ProxyLimits(body_timeout=60))
    await rig.upstream(A)
    connection = await rig.network.connect(rig.address())
    await connection.send(HEAD + b"Content-Length: 10\r\n\r\n")
    assert (await connection.receive()).startswith(b"HTTP/1.1 408 ")
    assert trio.current_time() == pytest.approx(60)


async def test_a_body_that_comes_fast_enough_may_take_its_time(nursery, autojump_clock):
    rig = await Rig.start(nursery, BACKEND, limits=ProxyLimits(body_timeout=60))
    await rig.upstream(A)
    size = 300 * 600
    got = await slow_post(rig, HEAD + b"Content-Length: %d\r\n\r\n" % size, b"x" * 300, 1.0, 3600)
    assert got.startswith(b"HTTP/1.1 200 ")
    assert trio.current_time() > 590


async def test_a_slow_backend_is_not_the_clients_fault(nursery, autojump_clock):
    rig = await Rig.start(nursery, BACKEND, limits=ProxyLimits(body_timeout=10))

    async def slow(connection, raw):
        while raw.received.count(b"x") < 1_000_000:
            await trio.sleep(30)
            raw.received += await connection.receive()
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    await nursery.start(RawUpstream(slow).run, rig.network, Address.parse(A))
    got = await rig.client.post(rig.address(), "/", b"x" * 1_000_000)
    assert got.status == 200
    assert trio.current_time() > 60


async def test_a_stream_of_grpc_may_be_silent(nursery, autojump_clock):
    rig = await Rig.start(nursery, BACKEND, limits=ProxyLimits(body_timeout=10))
    await rig.upstream(A)
    client = await rig.client.connection(rig.address(), http2=True)
    stream = client.open()
    await stream.send_head(
        RequestHead(b"POST", b"/s/m", b"h", Headers.of([(b"content-type", b"application/grpc")]), length=None),
        end=False,
    )
    await trio.sleep(100)
    await stream.send(b"x", end=True)
    assert (await stream.receive_head()).status == 200
    stream.finish()


# Slow readers.


async def test_a_client_that_does_not_read_is_let_go(nursery, autojump_clock):
    rig = await Rig.start(nursery, BACKEND, http_limits=HttpLimits(send_timeout=20, stream_idle_timeout=3600))
    await rig.upstream(A, behaviour=answer(200, b"x" * 3_000_000))
    connection = await rig.network.connect(rig.address())
    await connection.send(GET)
    await trio.sleep(45)
    assert rig.engine.open_connections() == 0
    got = 0
    with suppress(ConnectionLost):
        while piece := await connection.receive():
            got += len(piece)
    assert got < 3_000_000


async def test_a_client_that_reads_slowly_gets_everything(nursery, autojump_clock):
    rig = await Rig.start(nursery, BACKEND, http_limits=HttpLimits(send_timeout=20, stream_idle_timeout=3600))
    await rig.upstream(A, behaviour=answer(200, b"x" * 600_000))
    connection = await rig.network.connect(rig.address())
    await connection.send(GET)
    data = b""
    while data.count(b"x") < 600_000:
        await trio.sleep(3)
        data += await connection.receive()
    assert trio.current_time() > 25
