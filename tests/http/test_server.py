"""What a server connection does whatever the protocol: which protocol it is, draining, hooks, cancellation."""

from __future__ import annotations

import logging

import attrs
import pytest
import trio
from trio.testing import MockClock

from meshd.errors import ProtocolError
from meshd.http.h2 import connect_h2
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.server import Drain, serve_connection
from meshd.http.stream import ServerStream
from meshd.net.connection import Connection, TlsInfo
from meshd.net.memory import memory_pair
from meshd.net.timers import Timers
from tests.http.conftest import Serve, echo

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"


async def ok(stream: ServerStream) -> None:
    await stream.respond(ResponseHead(200, length=2), b"ok", end=True)


@pytest.mark.parametrize("step", [1, 5, 1000])
async def test_http2_is_recognised_by_its_preface(serve: Serve, step: int) -> None:
    served = serve(ok)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    for at in range(0, len(preface), step):
        await served.send(preface[at : at + step])
    assert (await served.read(9))[3] == 4, "a SETTINGS frame"


async def test_http2s_preface_is_refused_where_only_http1_is_spoken(serve: Serve) -> None:
    served = serve(ok, protocol="http/1.1")
    await served.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert (await served.read_all()).startswith(b"HTTP/1.1 505 ")


async def test_http1_is_refused_where_only_http2_is_spoken(serve: Serve) -> None:
    served = serve(ok, protocol="h2")
    await served.send(GET)
    answer = await served.read_all()
    assert answer[3] == 4
    assert answer[-17 + 3] == 7, "a GOAWAY is the last frame"


@pytest.mark.parametrize(("alpn", "is_h2"), [("h2", True), ("istio-h2", True), ("http/1.1", False), ("", False)])
async def test_alpn_decides(timers: Timers, nursery: trio.Nursery, alpn: str, is_h2: bool) -> None:
    client, server = memory_pair()
    server.tls = TlsInfo("TLSv1.3", "x", alpn, "", "")
    nursery.start_soon(lambda: serve_connection(server, echo, timers=timers))
    if is_h2:
        connection = await connect_h2(client, nursery, timers=timers)
        stream = connection.open()
        await stream.send_head(RequestHead(b"GET", b"/", b"h"), end=True)
        assert (await stream.receive_head()).status == 200
        stream.finish()
        connection.close()
    else:
        await client.send(GET)
        assert (await client.receive()).startswith(b"HTTP/1.1 200")


async def test_tls_makes_the_scheme_https(timers: Timers, nursery: trio.Nursery) -> None:
    client, server = memory_pair()
    server.tls = TlsInfo("TLSv1.3", "x", "", "", "")
    schemes: list[bytes] = []

    async def handler(stream: ServerStream) -> None:
        schemes.append(stream.request.scheme)
        await ok(stream)

    nursery.start_soon(lambda: serve_connection(server, handler, timers=timers))
    for target in (b"/", b"https://a/"):
        await client.send(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % target)
        assert b"200" in await client.receive()
    assert schemes == [b"https", b"https"]


async def test_draining_closes_idle_connections_at_once(serve: Serve) -> None:
    drain = Drain()
    idle, used = serve(ok, drain=drain), serve(ok, drain=drain)
    await used.send(GET)
    await used.read_until(b"ok")
    await trio.testing.wait_all_tasks_blocked()
    assert drain.connections == 2
    drain.begin()
    drain.begin()
    assert await idle.read_all() == b""
    assert await used.read_all() == b""
    await used.done.wait()
    assert drain.connections == 0


async def test_draining_lets_the_present_exchange_be_the_last(serve: Serve) -> None:
    release = trio.Event()

    async def handler(stream: ServerStream) -> None:
        await release.wait()
        await ok(stream)

    served = serve(handler)
    await served.send(GET + GET)
    await trio.testing.wait_all_tasks_blocked()
    served.drain.begin()
    await trio.testing.wait_all_tasks_blocked()
    release.set()
    assert await served.read_all() == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


async def test_a_connection_accepted_while_draining_is_served_once(serve: Serve) -> None:
    served = serve(ok)
    served.drain.begin()
    await served.send(GET)
    assert b"connection: close" in await served.read_all()


async def test_the_answer_to_broken_requests_can_be_ones_own(serve: Serve) -> None:
    seen: list[ProtocolError] = []

    def reply(connection: Connection, error: ProtocolError) -> tuple[ResponseHead, bytes]:
        assert connection.peer is not None
        seen.append(error)
        return ResponseHead(400, Headers.of([(b"x-flag", b"DPE")]), length=3), b"no!"

    served = serve(ok, on_protocol_error=reply)
    await served.send(b"BROKEN\r\n\r\n")
    assert await served.read_all() == (
        b"HTTP/1.1 400 Bad Request\r\nx-flag: DPE\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno!"
    )
    assert seen[0].detail == "http1.codec_error"


async def test_a_bug_is_logged_unless_somebody_wants_it(
    timers: Timers, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(stream: ServerStream) -> None:
        raise KeyError(stream.request.target)

    client, server = memory_pair()
    nursery.start_soon(lambda: serve_connection(server, handler, timers=timers))
    with caplog.at_level(logging.ERROR):
        await client.send(GET)
        assert b"500" in await client.receive()
    assert "a handler failed" in caplog.text


async def test_cancelling_closes_at_once(timers: Timers, nursery: trio.Nursery) -> None:
    for begun in (b"", GET[:10], GET):
        client, server = memory_pair()
        scope = trio.CancelScope()

        async def forever(stream: ServerStream) -> None:
            del stream
            await trio.sleep_forever()

        async def run(server: Connection = server, scope: trio.CancelScope = scope) -> None:
            with scope:
                await serve_connection(server, forever, timers=timers)

        nursery.start_soon(run)
        if begun:
            await client.send(begun)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        assert await client.receive() == b""
        assert server.closed


@attrs.define
class CancelledAt:
    """A connection that cancels its task at the n-th wait."""

    inner: Connection
    scope: trio.CancelScope
    left: int
    on_hangup: object = None

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    async def receive(self) -> bytes:
        self.count()
        return await self.inner.receive()

    def send_nowait(self, data: bytes) -> int:
        return 0

    async def send(self, data: bytes) -> None:
        self.count()
        await self.inner.send(data)

    def count(self) -> None:
        self.left -= 1
        if self.left < 0:
            self.scope.cancel()


async def test_cancelled_at_every_wait(timers: Timers, autojump_clock: MockClock) -> None:
    """Wherever the server is cancelled, the connection is closed and nothing hangs."""
    del autojump_clock
    for waits in range(20):
        client, server = memory_pair()
        client.wire.chunk = 11
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:

            async def run(server: Connection = server, scope: trio.CancelScope = scope, waits: int = waits) -> None:
                with scope:
                    await serve_connection(CancelledAt(server, scope, waits), echo, timers=timers)  # type: ignore[arg-type]

            nursery.start_soon(run)
            await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\n" + b"x" * 30)
            await client.send_eof()
            with trio.move_on_after(5):
                while await client.receive():
                    pass
        assert server.closed
        if not scope.cancelled_caught:
            break
    else:
        pytest.fail("never completed")
