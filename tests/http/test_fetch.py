"""An exchange made in one go means what it means as a stream, whatever the server does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import attrs
import pytest
import trio
import trio.lowlevel
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from meshd.errors import MeshdError, UpstreamError
from meshd.http.h1 import H1ClientConnection
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.stream import ClientStream
from meshd.net.memory import memory_pair
from tests.http.test_grammar import response_meaning


@attrs.frozen
class Exchange:
    """What one request is and how the server answers: pieces a second apart, then perhaps its end or a reset."""

    method: bytes
    body: bytes
    pieces: tuple[bytes, ...]
    ending: str = ""


def _cut(answer: bytes, cuts: list[int]) -> tuple[bytes, ...]:
    places = sorted({0, len(answer), *(cut % (len(answer) + 1) for cut in cuts)})
    return tuple(answer[start:end] for start, end in pairwise(places))


ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nt: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"nonsense\r\n\r\n",
    b"",
)

EXCHANGES = st.builds(
    lambda method, body, answer, cuts, ending: Exchange(
        method, body if method == b"POST" else b"", _cut(answer, cuts), ending
    ),
    st.sampled_from([b"GET", b"GET", b"HEAD", b"POST", b"DELETE"]),
    st.sampled_from([b"", b"abc"]),
    st.sampled_from(ANSWERS) | st.just(ANSWERS[0]),
    st.lists(st.integers(0, 200), max_size=2),
    st.sampled_from(["", "", "", "end", "reset"]),
)


async def _serve(end: Any, exchanges: list[Exchange], seen: list[bytes]) -> None:
    try:
        for exchange in exchanges:
            seen.append(await end.receive())
            for piece in exchange.pieces:
                await end.send(piece)
                await trio.sleep(1)
            if exchange.ending == "end":
                await end.send_eof()
            elif exchange.ending == "reset":
                end.abort(RuntimeError("gone"))
                return
    except (MeshdError, trio.ClosedResourceError, trio.BrokenResourceError, RuntimeError):
        seen.append(b"(broken)")


async def _rest(stream: ClientStream) -> tuple[bytes, object]:
    body = b""
    while not stream.body.ended:
        body += await stream.body.receive()
    trailers = stream.body.trailers
    return body, None if trailers is None else list(trailers.items())


def _failed(error: Exception) -> tuple[object, ...]:
    flags = (error.flag, error.sent) if isinstance(error, UpstreamError) else ()
    return (type(error), str(error), *flags)


async def _by_stream(client: H1ClientConnection, head: RequestHead, body: bytes) -> object:
    stream = client.open()
    try:
        await stream.send_head(head, body, end=True)
        answer = await stream.receive_head()
        return response_meaning(answer), await _rest(stream)
    except Exception as error:  # noqa: BLE001 - how it fails is what is compared
        return _failed(error)
    finally:
        stream.finish()


async def _at_once(client: H1ClientConnection, head: RequestHead, body: bytes) -> object:
    try:
        answer, data, stream = await client.fetch(head, body)
    except BaseException as error:
        client.adopt(head).finish()
        if not isinstance(error, Exception):
            raise
        return _failed(error)
    if stream is None:
        client.release(clean=True)
        return response_meaning(answer), (data, None)
    try:
        return response_meaning(answer), await _rest(stream)
    except Exception as error:  # noqa: BLE001 - how it fails is what is compared
        return _failed(error)
    finally:
        stream.finish()


async def _adopted(client: H1ClientConnection, head: RequestHead, body: bytes) -> object:
    """At once, and then as a stream after all (as when the answer asks for another try)."""
    try:
        answer, data, stream = await client.fetch(head, body)
        stream = stream or client.adopt(head, (answer, data))
        return response_meaning(answer), await _rest(stream)
    except Exception as error:  # noqa: BLE001 - how it fails is what is compared
        return _failed(error)
    finally:
        client.adopt(head).finish()


async def _played(way: Callable[..., Awaitable[object]], exchanges: list[Exchange]) -> list[object]:
    ours, theirs = memory_pair()
    client = H1ClientConnection(ours)
    seen: list[bytes] = []
    found: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_serve, theirs, exchanges, seen)
        for number, exchange in enumerate(exchanges):
            if not client.is_available():
                break
            head = RequestHead(
                exchange.method, b"/%d" % (number % 2), b"h", Headers(b"a: b\r\n"), length=len(exchange.body)
            )
            with trio.move_on_after(60):
                found.append(await way(client, head, exchange.body))
                found.append((client.is_idle(), client.is_available(), client.requests))
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    return [*found, seen]


@settings(max_examples=100, deadline=None)
@given(st.lists(EXCHANGES, min_size=1, max_size=3))
@example(
    [Exchange(b"GET", b"", (ANSWERS[0],)), Exchange(b"GET", b"", (ANSWERS[0],)), Exchange(b"HEAD", b"", (ANSWERS[0],))]
)
@example([Exchange(b"HEAD", b"", (ANSWERS[0][:-5],)), Exchange(b"GET", b"", (ANSWERS[8],))])
def test_at_once_means_what_a_stream_means(exchanges: list[Exchange]) -> None:
    one, other, third = (
        trio.run(_played, way, exchanges, clock=MockClock(autojump_threshold=0))
        for way in (_by_stream, _at_once, _adopted)
    )
    assert one == other == third


def _client() -> tuple[H1ClientConnection, Any]:
    ours, theirs = memory_pair()
    return H1ClientConnection(ours), theirs


async def test_given_up_from_outside(nursery: trio.Nursery) -> None:
    client, _server = _client()
    nursery.start_soon(_abort_soon, client)
    head = RequestHead(b"GET", b"/", b"h")
    with pytest.raises(RuntimeError, match="no longer wanted"):
        await client.fetch(head)
    client.adopt(head).finish()
    assert client.is_idle()
    assert client.is_closed()


async def _abort_soon(client: H1ClientConnection) -> None:
    await trio.testing.wait_all_tasks_blocked()
    assert not client.is_available()
    client.abort(RuntimeError("no longer wanted"))


def test_a_whole_answer_keeps_the_connection() -> None:
    async def run() -> tuple[ResponseHead, bytes, bool]:
        client, server = _client()
        await server.send(b"")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve, server, [Exchange(b"GET", b"", (ANSWERS[0],))], [])
            answer, data, stream = await client.fetch(RequestHead(b"GET", b"/", b"h"))
            assert stream is None
            assert not client.is_available()
            client.release(clean=True)
            nursery.cancel_scope.cancel()
        return answer, data, client.is_available()

    answer, data, free = trio.run(run, clock=MockClock(autojump_threshold=0))
    assert (answer.status, data, free) == (200, b"hello", True)
