"""The HTTP/1.1 client codec against scripted servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from meshd.errors import ConnectionLost, DeadlineExceeded, ProtocolError, ResponseFlag, UpstreamError
from meshd.http.h1 import H1ClientConnection
from meshd.http.h1_client_stream import check_start, render_request, render_start
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.limits import HttpLimits
from meshd.http.stream import ClientStream
from meshd.net.memory import memory_pair
from tests.http.test_guard import BAD_RESPONSES

GET = RequestHead(b"GET", b"/x", b"h")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """The other end, and the client on it."""

    def __init__(self, limits: HttpLimits | None = None) -> None:
        client, self.end = memory_pair()
        self.wire = client.wire
        self.client = H1ClientConnection(client, limits=limits)

    async def ask(self, head: RequestHead = GET) -> ClientStream:
        stream = self.client.open()
        await stream.send_head(head, end=True)
        return stream

    async def answer(self, data: bytes, *, end: bool = False) -> None:
        await self.end.send(data)
        if end:
            await self.end.send_eof()


async def read(stream: ClientStream) -> bytes:
    body = b""
    while not stream.body.ended:
        body += await stream.body.receive()
    return body


async def answer_of(stream: ClientStream) -> bytes:
    await stream.receive_head()
    return await read(stream)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (GET, b"GET /x HTTP/1.1\r\nhost: h\r\n"),
        (RequestHead(b"POST", b"/", b"h"), b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n"),
        (RequestHead(b"DELETE", b"/", b"h", length=3), b"DELETE / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n"),
        (RequestHead(b"GET", b"/", b"h", length=None), b"GET / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n"),
        (RequestHead(b"CONNECT", b"", b"h:1"), b"CONNECT h:1 HTTP/1.1\r\nhost: h:1\r\n"),
        (RequestHead(b"GET", b"/", b""), b"GET / HTTP/1.1\r\nhost: \r\n"),
        (
            RequestHead(b"GET", b"/", b"h", Headers(b"A: b\r\n"), upgrade=b"websocket"),
            b"GET / HTTP/1.1\r\nhost: h\r\nA: b\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
        ),
    ],
)
def test_requests_on_the_wire(head: RequestHead, expected: bytes) -> None:
    start = render_start(head)
    check_start(start)
    assert render_request(head, start) == expected


@pytest.mark.parametrize(
    "head",
    [
        RequestHead(b"GET", b"/a b", b"h"),
        RequestHead(b"GET", b"/a\r\nX: y", b"h"),
        RequestHead(b"GET", b"", b"h"),
        RequestHead(b"G T", b"/", b"h"),
        RequestHead(b"GET", b"/", b"h\r\nX: y"),
        RequestHead(b"GET", b"/", b"a,b"),
        RequestHead(b"GET", b"/\xff", b"h"),
    ],
)
async def test_what_would_not_be_one_request_is_never_written(head: RequestHead) -> None:
    server = Server()
    stream = server.client.open()
    with pytest.raises(ProtocolError):
        await stream.send_head(head, end=True)
    assert not stream.request_bytes_sent
    stream.finish()
    assert server.client.is_closed()


@pytest.mark.parametrize("chunk", [1, 10, 1000])
async def test_exchanges_on_one_connection(chunk: int) -> None:
    server = Server()
    server.wire.chunk = chunk
    for number in range(3):
        assert server.client.is_available()
        stream = await server.ask()
        assert stream.request_bytes_sent
        assert not server.client.is_available()
        await server.answer(
            b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK
            if number
            else b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nX: y\r\n\r\n"
        )
        head = await stream.receive_head()
        assert (head.status, head.length) == (200, 2 if number else None)
        assert await read(stream) == b"ok"
        assert (stream.body.trailers is not None) == (number == 0)
        stream.finish()
        stream.finish()
    assert server.client.requests == 3
    assert server.client.is_idle()
    assert "idle" in repr(server.client)


async def test_head_and_first_bytes_leave_in_one_send() -> None:
    server = Server()
    stream = server.client.open()
    await stream.send_head(RequestHead(b"POST", b"/", b"h", length=5), b"he", end=False)
    assert await server.end.receive() == b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhe"
    await stream.send(b"llo", end=True)
    assert await server.end.receive() == b"llo"
    await server.answer(OK)
    await stream.receive_head()
    assert stream.body.receive_nowait() == b"ok"
    stream.finish()
    assert server.client.is_available()


async def test_a_chunked_request_with_trailers() -> None:
    server = Server()
    stream = server.client.open()
    await stream.send_head(RequestHead(b"POST", b"/", b"h", length=None), end=False)
    await stream.send(b"")
    await stream.send(b"abc")
    await stream.send_trailers(Headers.of([(b"a", b"b")]))
    assert (await server.end.receive()).endswith(b"chunked\r\n\r\n3\r\nabc\r\n0\r\na: b\r\n\r\n")


@pytest.mark.parametrize("raw", BAD_RESPONSES.values(), ids=BAD_RESPONSES.keys())
async def test_bad_responses_end_the_connection(raw: bytes) -> None:
    server = Server()
    stream = await server.ask()
    await server.answer(raw)
    with pytest.raises(ProtocolError) as refused:
        await stream.receive_head()
    assert refused.value.status == 502
    stream.finish()
    assert server.client.is_closed()


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified", b"200 OK"])
async def test_responses_without_a_body(status: bytes) -> None:
    server = Server()
    stream = await server.ask(RequestHead(b"HEAD", b"/", b"h") if status[:1] == b"2" else GET)
    length = b"" if status[:3] == b"204" else b"Content-Length: 10\r\n"
    await server.answer(b"HTTP/1.1 " + status + b"\r\n" + length + b"\r\n")
    head = await stream.receive_head()
    assert head.length == (10 if length else 0)
    assert stream.body.ended
    assert await stream.body.receive() == b""
    stream.finish()
    assert server.client.is_available()


async def test_a_body_until_close() -> None:
    server = Server()
    stream = await server.ask()
    await server.answer(b"HTTP/1.0 200 OK\r\n\r\nabc", end=True)
    assert (await stream.receive_head()).version == "HTTP/1.0"
    assert await read(stream) == b"abc"
    stream.finish()
    assert server.client.is_closed()


async def test_a_body_until_close_without_goodbye_is_not_whole() -> None:
    server = Server()

    class Truncated:
        truncated = True

        def __getattr__(self, name: str) -> object:
            return getattr(connection, name)

    connection = server.client.connection
    client = H1ClientConnection(Truncated())  # type: ignore[arg-type]
    stream = client.open()
    await stream.send_head(GET, end=True)
    await server.answer(b"HTTP/1.1 200 OK\r\n\r\nabc", end=True)
    await stream.receive_head()
    assert stream.body.receive_nowait() == b"abc"
    with pytest.raises(ConnectionLost):
        await stream.body.receive()


WHOLE = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
}


@pytest.mark.parametrize("raw", WHOLE.values(), ids=WHOLE.keys())
async def test_cut_at_every_byte_is_never_whole(raw: bytes) -> None:
    for cut in range(len(raw)):
        server = Server()
        stream = await server.ask()
        await server.answer(raw[:cut], end=True)
        with pytest.raises((UpstreamError, ConnectionLost)) as lost:
            await answer_of(stream)
        if isinstance(lost.value, UpstreamError):
            assert lost.value.flag is ResponseFlag.UPSTREAM_TERMINATION
            assert lost.value.sent
        stream.finish()
        assert server.client.is_closed()


async def test_a_reset_before_the_head() -> None:
    server = Server()
    stream = await server.ask()
    server.wire.cut()
    with pytest.raises(UpstreamError, match="connection termination"):
        await stream.receive_head()
    with pytest.raises(UpstreamError):
        await stream.send_head(GET, end=True)


async def test_what_follows_a_response_ends_the_connection() -> None:
    server = Server()
    stream = await server.ask()
    await server.answer(OK + OK)
    await stream.receive_head()
    assert await read(stream) == b"ok"
    stream.finish()
    assert server.client.is_closed()


@pytest.mark.parametrize("unasked", [OK, b"", None])
async def test_what_comes_while_idle_ends_the_connection(unasked: bytes | None) -> None:
    server = Server()
    stream = await server.ask()
    await server.answer(OK)
    await stream.receive_head()
    await read(stream)
    stream.finish()
    assert server.client.is_available()
    if unasked is None:
        server.wire.cut()
    elif unasked:
        await server.answer(unasked)
    else:
        await server.end.send_eof()
    assert not server.client.is_available()
    assert server.client.is_closed()


@pytest.mark.parametrize(
    ("answer", "ended"),
    [(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", True), (OK, False)],
)
async def test_not_reused(answer: bytes, ended: bool) -> None:
    server = Server()
    stream = server.client.open()
    await stream.send_head(RequestHead(b"POST", b"/", b"h", length=0 if ended else 3), end=ended)
    await server.answer(answer)
    await stream.receive_head()
    await read(stream)
    stream.finish()
    assert server.client.is_closed()


async def test_the_unread_rest_that_is_here_does_not_cost_the_connection() -> None:
    server = Server()
    stream = await server.ask()
    await server.answer(OK)
    await stream.receive_head()
    stream.finish()
    assert server.client.is_available()


async def test_an_unfinished_exchange_costs_the_connection() -> None:
    server = Server()
    stream = await server.ask()
    stream.finish()
    assert server.client.is_closed()
    assert await server.end.receive() != b""


async def test_abort_and_close_end_waits() -> None:
    for how in ("abort", "close"):
        server = Server()
        stream = await server.ask()
        async with trio.open_nursery() as nursery:

            async def wait(stream: ClientStream = stream, how: str = how) -> None:
                with pytest.raises(DeadlineExceeded if how == "abort" else UpstreamError):
                    await stream.receive_head()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            if how == "abort":
                stream.abort(DeadlineExceeded("route timeout"))
            else:
                server.client.close()
        stream.finish()
        assert server.client.is_closed()


async def test_informational_heads_have_an_end() -> None:
    server = Server()
    stream = await server.ask()
    await server.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17)
    with pytest.raises(ProtocolError, match="without end"):
        await stream.receive_head()


@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"b" * 90_000]
)
async def test_response_heads_are_bounded(raw: bytes) -> None:
    server = Server()
    stream = await server.ask()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.answer, raw)
        with pytest.raises(ProtocolError) as refused:
            await stream.receive_head()
        nursery.cancel_scope.cancel()
    assert refused.value.status == 502


@pytest.mark.parametrize("chunk", [1, 10, 1000])
async def test_an_upgrade_is_a_tunnel(chunk: int) -> None:
    server = Server()
    server.wire.chunk = chunk
    stream = await server.ask(RequestHead(b"GET", b"/", b"h", upgrade=b"websocket"))
    await server.answer(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nX: y\r\n\r\n\x81\x05hello"
    )
    head = await stream.receive_head()
    assert (head.status, head.upgrade, list(head.headers.items())) == (101, b"websocket", [(b"x", b"y")])
    received = b""
    while len(received) < 7:
        received += await stream.body.receive()
    assert received == b"\x81\x05hello"
    await stream.send(b"bye", end=True)
    await server.answer(b"!", end=True)
    assert await read(stream) == b"!"
    stream.finish()
    assert server.client.is_closed()


async def test_connect_is_a_tunnel_when_agreed() -> None:
    server = Server()
    stream = await server.ask(RequestHead(b"CONNECT", b"", b"h:1"))
    await server.answer(b"HTTP/1.1 200 Connected\r\n\r\nraw", end=True)
    assert (await stream.receive_head()).status == 200
    assert await read(stream) == b"raw"
    server = Server()
    stream = await server.ask(RequestHead(b"CONNECT", b"", b"h:1"))
    await server.answer(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
    assert (await stream.receive_head()).length == 2
    assert await read(stream) == b"no"


@asynccontextmanager
async def cancelled_after(waits: int) -> AsyncIterator[trio.CancelScope]:
    """Cancel its block at the (n+1)-th checkpoint, like a caller whose patience ends there."""
    with trio.CancelScope() as scope:
        task = trio.lowlevel.current_task()

        class Count(trio.abc.Instrument):
            left = waits

            def before_task_step(self, stepped: trio.lowlevel.Task) -> None:
                if stepped is task:
                    self.left -= 1
                    if self.left < 0:
                        scope.cancel()

        instrument = Count()
        trio.lowlevel.add_instrument(instrument)
        try:
            yield scope
        finally:
            trio.lowlevel.remove_instrument(instrument)


async def test_cancelled_anywhere_the_connection_is_not_reused() -> None:
    for waits in range(40):
        server = Server()
        server.wire.chunk = 5
        stream = server.client.open()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.answer, WHOLE["chunked"])
            async with cancelled_after(waits) as scope:
                await stream.send_head(GET, end=True)
                await stream.receive_head()
                assert await read(stream) == b"hello"
        whole = not scope.cancelled_caught
        stream.finish()
        assert server.client.is_available() == whole
        if whole:
            break
    else:
        pytest.fail("never completed")


def test_response_heads_say_what_they_are() -> None:
    assert repr(ResponseHead(200)) == "<ResponseHead 200>"
