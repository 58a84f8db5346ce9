"""Our HTTP/2 client against the h2 library as its server."""

from __future__ import annotations

import h2.events
import h2.settings
import pytest
import trio
from trio.testing import MockClock

from meshd.errors import ConnectionLost, DeadlineExceeded, MeshdError, ProtocolError, ResponseFlag, UpstreamError
from meshd.http.h2 import H2ClientConnection, H2ClientStream, connect_h2
from meshd.http.h2_frames import goaway_frame
from meshd.http.head import Headers, RequestHead
from meshd.http.limits import KIB, HttpLimits
from meshd.net.memory import memory_pair
from meshd.net.timers import Timers
from tests.http.h2_peers import Peer

GET = RequestHead(b"GET", b"/x", b"h")


@pytest.fixture
def connect(timers: Timers, nursery: trio.Nursery):
    async def begin(
        *, chunk: int = 64 * KIB, limits: HttpLimits | None = None, lenient: bool = False, **settings: int
    ) -> tuple[H2ClientConnection, Peer]:
        client, server = memory_pair()
        client.wire.chunk = chunk
        peer = Peer(server, client=False, lenient=lenient)
        nursery.start_soon(peer.run)
        await peer.start(**settings)
        return await connect_h2(client, nursery, timers=timers, limits=limits), peer

    return begin


async def read(stream: H2ClientStream) -> bytes:
    body = b""
    while not stream.body.ended:
        body += await stream.body.receive()
    return body


async def answer(peer: Peer, stream_id: int, *fields: tuple[bytes, bytes], data: bytes = b"", end: bool = True) -> None:
    await peer.wait_for(h2.events.RequestReceived, stream_id)
    peer.h2.send_headers(stream_id, [(b":status", b"200"), *fields], end_stream=end and not data)
    if data:
        peer.h2.send_data(stream_id, data, end_stream=end)
    await peer.flush()


@pytest.mark.parametrize("chunk", [1, 10, 64 * KIB])
async def test_exchanges_at_once(connect, chunk: int) -> None:
    client, peer = await connect(chunk=chunk)
    streams = [client.open() for _ in range(3)]
    for number, stream in enumerate(streams):
        await stream.send_head(RequestHead(b"GET", b"/%d" % number, b"h", Headers(b"A: b\r\n")), end=True)
    for stream_id in (5, 3, 1):
        await answer(peer, stream_id, (b"content-length", b"1"), (b"c", b"d"), data=b"%d" % stream_id)
    for stream, expected in zip(streams, (b"1", b"3", b"5"), strict=True):
        head = await stream.receive_head()
        assert (head.status, head.length, head.version) == (200, 1, "HTTP/2")
        assert list(head.headers.items()) == [(b"c", b"d")]
        assert await read(stream) == expected
        stream.finish()
        stream.finish()
    assert peer.head(3) == {b":method": b"GET", b":path": b"/1", b":scheme": b"http", b":authority": b"h", b"a": b"b"}
    assert client.is_idle()
    assert client.is_available()
    assert client.requests == 3
    assert client.protocol == "h2"
    assert "3 requests" in repr(client)


async def test_a_request_with_a_body_and_trailers(connect) -> None:
    client, peer = await connect()
    stream = client.open()
    await stream.send_head(RequestHead(b"POST", b"/x", b"h", length=None), b"he", end=False)
    await stream.send(b"llo")
    await stream.send_trailers(Headers.of([(b"x", b"y")]))
    await peer.wait_for(h2.events.TrailersReceived, 1)
    assert peer.data(1) == b"hello"
    stream.finish()


async def test_the_servers_window_is_respected(connect) -> None:
    client, peer = await connect(initial_window_size=1000)
    peer.acknowledge = False
    stream = client.open()
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            await stream.send_head(RequestHead(b"POST", b"/x", b"h", length=5000), bytes(5000), end=True)

        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert len(peer.data(1)) == 1000
        peer.h2.increment_flow_control_window(10_000, 1)
        await peer.flush()
    await peer.wait_for(h2.events.StreamEnded, 1)
    stream.finish()


async def test_our_window_opens_only_for_bytes_taken(connect) -> None:
    client, peer = await connect(limits=HttpLimits(h2_stream_window=10_000))
    await peer.wait_for(h2.events.RemoteSettingsChanged)
    stream = client.open()
    await stream.send_head(GET, end=True)
    await answer(peer, 1, data=bytes(10_000), end=False)
    await stream.receive_head()
    await trio.testing.wait_all_tasks_blocked()
    assert peer.h2.local_flow_control_window(1) == 0
    assert len(stream.body.receive_nowait()) == 10_000
    await peer.wait_for(h2.events.WindowUpdated, 1)
    stream.finish()


async def test_the_servers_stream_limit_is_respected(connect) -> None:
    client, peer = await connect(max_concurrent_streams=2)
    await trio.testing.wait_all_tasks_blocked()
    first, second = client.open(), client.open()
    assert not client.is_available()
    first.finish()
    assert client.is_available()
    second.finish()
    del peer


async def test_informational_is_dropped_and_bounded(connect) -> None:
    client, peer = await connect()
    stream, endless = client.open(), client.open()
    for each in (stream, endless):
        await each.send_head(GET, end=True)
    await peer.wait_for(h2.events.RequestReceived, 3)
    peer.h2.send_headers(1, [(b":status", b"103")])
    for _ in range(17):
        peer.h2.send_headers(3, [(b":status", b"103")])
    await answer(peer, 1)
    assert (await stream.receive_head()).status == 200
    with pytest.raises(ProtocolError, match="without end"):
        await endless.receive_head()
    stream.finish()
    endless.finish()


@pytest.mark.parametrize(("code", "sent", "reason"), [(7, False, "refused"), (2, True, "remote reset")])
async def test_a_reset_before_the_head(connect, code: int, sent: bool, reason: str) -> None:
    client, peer = await connect()
    stream = client.open()
    await stream.send_head(GET, end=True)
    await peer.wait_for(h2.events.RequestReceived, 1)
    peer.h2.reset_stream(1, code)
    await peer.flush()
    with pytest.raises(UpstreamError, match=reason) as lost:
        await stream.receive_head()
    assert (lost.value.sent, lost.value.flag) == (sent, ResponseFlag.UPSTREAM_REMOTE_RESET)
    stream.finish()
    assert client.is_available()


async def test_a_reset_in_the_body_is_never_an_end(connect) -> None:
    client, peer = await connect()
    stream = client.open()
    await stream.send_head(GET, end=True)
    await answer(peer, 1, data=b"abc", end=False)
    await stream.receive_head()
    await trio.testing.wait_all_tasks_blocked()
    peer.h2.reset_stream(1, 0)
    await peer.flush()
    await trio.testing.wait_all_tasks_blocked()
    assert await stream.body.receive() == b"abc"
    with pytest.raises(ConnectionLost):
        await stream.body.receive()
    assert not stream.body.ended
    stream.finish()


async def test_an_early_answer_then_a_reset_stays_good(connect) -> None:
    client, peer = await connect()
    stream = client.open()
    await stream.send_head(RequestHead(b"POST", b"/", b"h", length=None), b"x", end=False)
    await answer(peer, 1, data=b"no")
    peer.h2.reset_stream(1, 0)
    await peer.flush()
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(UpstreamError):
        await stream.send(b"more")
    assert (await stream.receive_head()).status == 200
    assert await read(stream) == b"no"
    stream.finish()


@pytest.mark.parametrize(
    ("fields", "data", "end"),
    [
        ([(b"content-length", b"5")], b"1234", True),
        ([(b"content-length", b"5")], b"123456", False),
        ([(b"content-length", b"5")], b"", True),
        ([(b"a", b"b\r\nc: d")], b"", True),
        ([(b"transfer-encoding", b"chunked")], b"", True),
    ],
)
async def test_bad_responses(connect, fields, data: bytes, end: bool) -> None:
    client, peer = await connect(lenient=True)
    stream = client.open()
    await stream.send_head(GET, end=True)
    await answer(peer, 1, *fields, data=data, end=end)
    with pytest.raises(MeshdError) as lost:
        await receive_all(stream)
    if isinstance(lost.value, ProtocolError):
        assert lost.value.status == 502
    stream.finish()


async def receive_all(stream: H2ClientStream) -> bytes:
    await stream.receive_head()
    return await read(stream)


async def test_goaway_lets_streams_below_its_mark_finish(connect) -> None:
    client, peer = await connect()
    below, above = client.open(), client.open()
    for stream in (below, above):
        await stream.send_head(GET, end=True)
    await peer.wait_for(h2.events.RequestReceived, 3)
    await peer.connection.send(goaway_frame(1, 0))
    with pytest.raises(UpstreamError) as refused:
        await above.receive_head()
    assert not refused.value.sent
    assert not client.is_available()
    await answer(peer, 1, data=b"ok")
    assert await receive_all(below) == b"ok"
    above.finish()
    below.finish()
    assert client.is_closed()
    await peer.wait_closed()


async def test_a_head_after_goaway_is_refused_unsent(connect) -> None:
    client, peer = await connect()
    other, stream = client.open(), client.open()
    await other.send_head(GET, end=True)
    await peer.connection.send(goaway_frame(99, 0))
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(UpstreamError) as refused:
        await stream.send_head(GET, end=True)
    assert not refused.value.sent
    assert not stream.request_bytes_sent
    stream.finish()
    other.finish()


async def test_losing_the_connection(connect) -> None:
    client, peer = await connect()
    waiting, reading, sending = (client.open() for _ in range(3))
    for stream in (waiting, reading):
        await stream.send_head(GET, end=True)
    await sending.send_head(RequestHead(b"POST", b"/", b"h", length=None), end=False)
    await answer(peer, 3, data=b"abc", end=False)
    await reading.receive_head()
    assert await reading.body.receive() == b"abc"
    client.connection.wire.cut()
    with pytest.raises(UpstreamError) as lost:
        await waiting.receive_head()
    assert lost.value.flag is ResponseFlag.UPSTREAM_TERMINATION
    with pytest.raises(ConnectionLost):
        await reading.body.receive()
    with pytest.raises(UpstreamError):
        await sending.send(b"x")
    for stream in (waiting, reading, sending):
        stream.finish()
    assert client.is_closed()
    assert not client.is_available()


async def test_abort_resets_one_stream_only(connect) -> None:
    client, peer = await connect()
    aborted, other = client.open(), client.open()
    for stream in (aborted, other):
        await stream.send_head(GET, end=True)
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(DeadlineExceeded):
                await aborted.receive_head()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        aborted.abort(DeadlineExceeded("per-try timeout"))
    reset = await peer.wait_for(h2.events.StreamReset, 1)
    assert reset.error_code == 8
    await answer(peer, 3, data=b"ok")
    assert await receive_all(other) == b"ok"
    aborted.finish()
    other.finish()
    assert client.is_available()


async def test_an_unfinished_exchange_is_cancelled(connect) -> None:
    client, peer = await connect()
    stream = client.open()
    await stream.send_head(GET, end=True)
    await answer(peer, 1, data=b"abc", end=False)
    await stream.receive_head()
    stream.finish()
    await peer.wait_for(h2.events.StreamReset, 1)
    assert client.is_idle()


async def test_a_server_that_does_not_speak_http2(timers: Timers, nursery: trio.Nursery) -> None:
    client, server = memory_pair()
    await server.send(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
    with pytest.raises(ProtocolError):
        await connect_h2(client, nursery, timers=timers)


async def test_a_server_that_hangs_up(timers: Timers, nursery: trio.Nursery) -> None:
    client, server = memory_pair()
    server.close()
    with pytest.raises(ConnectionLost):
        await connect_h2(client, nursery, timers=timers)


async def test_a_server_that_says_nothing(timers: Timers, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    del autojump_clock
    client, _ = memory_pair()
    with trio.move_on_after(5) as scope:
        await connect_h2(client, nursery, timers=timers)
    assert scope.cancelled_caught
    assert client.closed


async def test_closing(connect) -> None:
    client, peer = await connect()
    client.close()
    assert client.is_closed()
    await peer.wait_closed()
    assert peer.goaways
    client, peer = await connect()
    stream = client.open()
    await stream.send_head(GET, end=True)
    client.close()
    with pytest.raises(UpstreamError):
        await stream.receive_head()
    stream.finish()


async def test_what_cannot_be_said_in_http2_is_never_written(connect) -> None:
    client, peer = await connect()
    stream = client.open()
    with pytest.raises(ProtocolError):
        await stream.send_head(RequestHead(b"GET", b"/", b"h", upgrade=b"websocket"), end=True)
    assert not stream.request_bytes_sent
    stream.finish()
    assert client.is_available()
    del peer


async def test_a_response_of_no_body(connect) -> None:
    client, peer = await connect()
    stream = client.open()
    await stream.send_head(RequestHead(b"HEAD", b"/", b"h"), end=True)
    await answer(peer, 1, (b"content-length", b"10"))
    head = await stream.receive_head()
    assert head.length == 10
    assert await read(stream) == b""
    stream.finish()
