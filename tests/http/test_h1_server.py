"""HTTP/1.1 served over a memory connection, byte by byte and all at once."""

from __future__ import annotations

import contextlib

import pytest
import trio

from meshd.errors import ConnectionLost, DeadlineExceeded, ProtocolError
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.limits import HttpLimits
from meshd.http.stream import ServerStream
from tests.http.conftest import Serve, echo
from tests.http.test_guard import REFUSED

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\nGET h /x|0|||"
POST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


async def ok(stream: ServerStream) -> None:
    await stream.respond(ResponseHead(200, length=2), b"ok", end=True)


async def test_an_exchange(serve: Serve) -> None:
    served = serve(echo)
    await served.send(b"GET /x?y HTTP/1.1\r\nHost: a:1\r\nAccept: z\r\n\r\n")
    assert await served.read_until(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n"
    assert await served.read(24) == b"GET a:1 /x?y|0|accept=z|"


@pytest.mark.parametrize("step", [1, 10, 1000])
async def test_requests_in_pieces_and_pipelined(serve: Serve, step: int) -> None:
    served = serve(echo)
    wire = GET + POST + b"\r\n" + CHUNKED + GET
    for at in range(0, len(wire), step):
        await served.send(wire[at : at + step])
    await served.client.send_eof()
    answers = await served.read_all()
    bodies = [part.partition(b"HTTP/1.1")[0] for part in answers.split(b"\r\n\r\n")[1:]]
    assert bodies == [b"GET h /x|0||", b"POST h /x|5||hello", b"POST h /c|None||hello", b"GET h /x|0||"]
    assert b"connection: close" not in answers


@pytest.mark.parametrize(("raw", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_the_guard_refuses_is_answered_and_closed(serve: Serve, raw: bytes, status: int) -> None:
    if raw.startswith(b"\r\n"):
        pytest.skip("one blank line before a request is forgiven")
    served = serve(ok)
    await served.send(raw + GET)
    answer = await served.read_all()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1 ") == 1, "nothing behind a broken request is served"


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\nHost: h\n\n", b"GET / \0"])
async def test_garbage_is_refused_without_waiting_for_more(serve: Serve, garbage: bytes) -> None:
    served = serve(ok)
    await served.send(garbage)
    assert (await served.read_all()).startswith(b"HTTP/1.1 400 Bad Request")


async def test_a_head_that_is_too_large(serve: Serve) -> None:
    served = serve(ok)
    await served.send(b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"x" * 62_000 + b"\r\n\r\n")
    assert (await served.read_all()).startswith(b"HTTP/1.1 431 ")


async def test_a_head_that_never_ends_is_too_large(serve: Serve) -> None:
    served = serve(ok)
    await served.send(b"GET / HTTP/1.1\r\nHost: h\r\n")
    sent = 0
    with contextlib.suppress(ConnectionLost):
        while sent < 1_000_000:
            await served.send(b"A: " + b"x" * 1000 + b"\r\n")
            sent += 1005
    assert sent < 300_000


@pytest.mark.parametrize("size", [101, 300])
async def test_too_many_headers(serve: Serve, size: int) -> None:
    served = serve(ok)
    await served.send(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * size + b"\r\n")
    assert (await served.read_all()).startswith(b"HTTP/1.1 431 ")


async def test_fewer_headers_by_setting(serve: Serve) -> None:
    served = serve(ok, limits=HttpLimits(max_headers=2))
    await served.send(b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n")
    assert (await served.read(15)) == b"HTTP/1.1 200 OK"
    await served.read_until(b"ok")
    await served.send(b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\nC: d\r\n\r\n")
    assert (await served.read_all()).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("whole", [True, False])
async def test_a_target_that_is_too_long(serve: Serve, whole: bool) -> None:
    served = serve(ok)
    await served.send(b"GET /" + b"x" * 33_000 + (b" HTTP/1.1\r\nHost: h\r\n\r\n" if whole else b""))
    assert (await served.read_all()).startswith(b"HTTP/1.1 414 ")


async def test_http_10(serve: Serve) -> None:
    async def until_close(stream: ServerStream) -> None:
        await stream.send_informational(ResponseHead(103))
        await stream.respond(ResponseHead(200, length=None), b"abc", end=False)
        await stream.send(b"def", end=True)

    served = serve(until_close, accept_http_10=True)
    await served.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert await served.read_all() == b"HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nabcdef"
    served = serve(ok, accept_http_10=True)
    await served.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n")
    assert await served.read_all() == (
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok"
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
    )


async def test_connection_close_is_obeyed(serve: Serve) -> None:
    served = serve(ok)
    await served.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + GET)
    assert await served.read_all() == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


@pytest.mark.parametrize(
    ("method", "head", "data", "expected"),
    [
        (b"HEAD", ResponseHead(200, length=5), b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        (b"HEAD", ResponseHead(200, length=5), b"hello", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        (b"HEAD", ResponseHead(200, length=None), b"", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        (b"GET", ResponseHead(204), b"", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", ResponseHead(304, length=7), b"", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n"),
        (b"GET", ResponseHead(304, length=None), b"", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        (b"GET", ResponseHead(299, length=0, reason=b"Odd"), b"", b"HTTP/1.1 299 Odd\r\ncontent-length: 0\r\n\r\n"),
        (b"GET", ResponseHead(299, length=0), b"", b"HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n"),
        (b"GET", ResponseHead(200, length=None), b"ab", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"),
    ],
)  # fmt: skip
async def test_responses_on_the_wire(
    serve: Serve, method: bytes, head: ResponseHead, data: bytes, expected: bytes
) -> None:
    async def handler(stream: ServerStream) -> None:
        await stream.respond(head, data, end=True)

    served = serve(handler)
    await served.send(method + b" / HTTP/1.1\r\nHost: h\r\n\r\n" + method + b" / HTTP/1.1\r\nHost: h\r\n\r\n")
    await served.client.send_eof()
    assert await served.read_all() == expected * 2
    assert not served.bugs


async def test_head_and_first_bytes_leave_in_one_send(serve: Serve) -> None:
    served = serve(ok)
    await served.send(GET)
    assert await served.client.receive() == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_trailers_and_informational(serve: Serve) -> None:
    async def handler(stream: ServerStream) -> None:
        assert stream.body.receive_nowait() == b"hello"
        assert stream.body.trailers is not None
        await stream.send_informational(ResponseHead(103, Headers.of([(b"link", b"x")])))
        await stream.respond(ResponseHead(200, length=None), end=False)
        await stream.send(b"abc")
        await stream.send(b"")
        await stream.send_trailers(stream.body.trailers)

    served = serve(handler)
    await served.send(
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n"
    )
    await served.client.send_eof()
    assert await served.read_all() == (
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n"
    )


async def test_100_is_sent_when_the_body_is_first_wanted(serve: Serve) -> None:
    served = serve(echo)
    await served.send(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert await served.client.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
    await served.send(b"hello")
    assert b"|hello" in await served.client.receive()


async def test_no_100_when_the_body_is_here_or_not_wanted(serve: Serve) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    served = serve(echo)
    await served.send(head + b"hello")
    assert (await served.client.receive()).startswith(b"HTTP/1.1 200 OK")
    served = serve(ok)
    await served.send(head)
    assert await served.read_all() == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


async def test_an_unread_body_never_becomes_a_request(serve: Serve) -> None:
    served = serve(ok)
    await served.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" + GET)
    assert await served.read_all() == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
    served = serve(ok)
    await served.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + GET)
    assert (await served.read_all()).count(b"HTTP/1.1 ") == 1


async def test_an_unread_body_that_is_here_is_thrown_away(serve: Serve) -> None:
    served = serve(ok)
    await served.send(POST + GET)
    await served.client.send_eof()
    assert await served.read_all() == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" * 2


async def test_a_broken_body_is_answered_400(serve: Serve) -> None:
    served = serve(echo)
    await served.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" + GET)
    answer = await served.read_all()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert not served.bugs


@pytest.mark.parametrize("cut", range(1, len(CHUNKED)))
async def test_a_request_cut_at_every_byte(serve: Serve, cut: int) -> None:
    outcomes: list[str] = []

    async def handler(stream: ServerStream) -> None:
        try:
            await echo(stream)
        except ConnectionLost:
            outcomes.append("lost")
            raise
        outcomes.append("answered")

    served = serve(handler)
    await served.send(CHUNKED[:cut])
    await served.client.send_eof()
    await served.read_all_or_reset()
    await served.done.wait()
    assert outcomes in ([], ["lost"])
    assert not served.bugs


async def test_a_handler_that_fails_early_gives_500_and_a_bug(serve: Serve) -> None:
    async def handler(stream: ServerStream) -> None:
        raise KeyError(stream.request.target)

    served = serve(handler)
    await served.send(GET + GET)
    answer = await served.read_all()
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"connection: close" in answer
    assert b"KeyError" not in answer
    assert [type(bug) for bug in served.bugs] == [KeyError]


async def test_a_handler_that_fails_late_resets(serve: Serve) -> None:
    async def handler(stream: ServerStream) -> None:
        await stream.respond(ResponseHead(200, length=10), b"12345", end=False)
        raise KeyError

    served = serve(handler)
    await served.send(GET)
    with pytest.raises(ConnectionLost):
        await served.read_all()
    assert len(served.bugs) == 1


async def test_a_handler_that_forgets_to_answer(serve: Serve) -> None:
    async def handler(stream: ServerStream) -> None:
        del stream

    served = serve(handler)
    await served.send(GET)
    assert (await served.read_all()).startswith(b"HTTP/1.1 500 ")
    assert "without ending" in str(served.bugs[0])


async def test_a_body_shorter_than_declared_never_looks_whole(serve: Serve) -> None:
    async def handler(stream: ServerStream) -> None:
        await stream.respond(ResponseHead(200, length=10), b"123", end=True)

    served = serve(handler)
    await served.send(GET)
    with pytest.raises(ConnectionLost):
        await served.read_all()
    assert isinstance(served.bugs[0], ValueError)


async def test_errors_out_of_a_nursery_are_looked_into(serve: Serve) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def handler(stream: ServerStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, ConnectionLost("upstream"))
            nursery.start_soon(fail, ProtocolError("broken", status=400))
        del stream

    served = serve(handler)
    await served.send(GET)
    assert (await served.read_all()).startswith(b"HTTP/1.1 400 ")
    assert not served.bugs


async def test_abort_resets(serve: Serve) -> None:
    seen: list[Exception] = []

    async def handler(stream: ServerStream) -> None:
        stream.abort(DeadlineExceeded("route timeout"))
        try:
            await stream.body.receive()
        except DeadlineExceeded as error:
            seen.append(error)
        with pytest.raises(DeadlineExceeded):
            await ok(stream)

    served = serve(handler)
    await served.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345")
    with pytest.raises(ConnectionLost):
        await served.read_all()
    await served.done.wait()
    assert len(seen) == 1
    assert not served.bugs


async def test_a_client_that_has_gone_is_heard_of(serve: Serve) -> None:
    gone: list[Exception] = []
    release = trio.Event()

    async def handler(stream: ServerStream) -> None:
        def heard(error: Exception) -> None:
            gone.append(error)
            release.set()

        stream.on_abort = heard
        assert stream.on_abort is heard
        await release.wait()
        stream.abort(ConnectionLost("gone"))

    served = serve(handler)
    await served.send(GET)
    await trio.testing.wait_all_tasks_blocked()
    served.client.close()
    await served.done.wait()
    assert len(gone) == 1
    assert isinstance(gone[0], ConnectionLost)


async def test_bytes_are_counted(serve: Serve) -> None:
    streams: list[ServerStream] = []

    async def handler(stream: ServerStream) -> None:
        streams.append(stream)
        await echo(stream)

    served = serve(handler)
    await served.send(CHUNKED)
    await served.client.receive()
    await trio.testing.wait_all_tasks_blocked()
    assert (streams[0].bytes_received, streams[0].bytes_sent) == (5, 21)
    assert streams[0].ended


@pytest.mark.parametrize("first", [b"\r", b"\r\n", b"\r\nGET"])
async def test_one_blank_line_before_a_request_is_forgiven(serve: Serve, first: bytes) -> None:
    served = serve(ok)
    await served.send(first)
    await trio.testing.wait_all_tasks_blocked()
    await served.send((b"\r\n" + GET).removeprefix(first))
    assert (await served.client.receive()).startswith(b"HTTP/1.1 200 OK")
    await served.send(b"\r\n\r\n" + GET)
    assert (await served.read_all()).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("begun", [b"", b"\r", b"GET / HT"])
async def test_a_client_that_goes_between_requests_is_no_news(serve: Serve, begun: bytes) -> None:
    for end in ("eof", "reset"):
        served = serve(ok)
        if begun:
            await served.send(begun)
        await trio.testing.wait_all_tasks_blocked()
        if end == "eof":
            await served.client.send_eof()
        else:
            served.wire.cut()
        await served.done.wait()
        assert not served.bugs


async def test_a_client_gone_before_anybody_listened_is_heard_of(serve: Serve) -> None:
    heard: list[Exception] = []

    async def handler(stream: ServerStream) -> None:
        await trio.testing.wait_all_tasks_blocked()
        stream.on_abort = heard.append
        stream.abort(ConnectionLost("gone"))

    served = serve(handler)
    await served.send(GET)
    await served.client.send_eof()
    await served.done.wait()
    assert len(heard) == 1


async def test_other_connections_get_their_turn(serve: Serve) -> None:
    """A client that sends ahead is served in order, but not to the end before others."""
    served = serve(ok, limits=HttpLimits(requests_per_turn=4))
    await served.send(GET * 100)
    turns = 0
    received = b""
    while received.count(b"ok") < 100:
        received += await served.client.receive()
        turns += 1
    assert turns >= 10


async def test_a_request_head_renders_what_it_means(serve: Serve) -> None:
    seen: list[RequestHead] = []

    async def handler(stream: ServerStream) -> None:
        seen.append(stream.request)
        await ok(stream)

    served = serve(handler)
    await served.send(b"GET http://A:80/x HTTP/1.1\r\nHost: b\r\nConnection: x-hop\r\nX-Hop: 1\r\nAccept: y\r\n\r\n")
    await served.read_until(b"ok")
    head = seen[0]
    assert (head.authority, head.target, head.scheme, head.version) == (b"A:80", b"/x", b"http", "HTTP/1.1")
    assert list(head.headers.items()) == [(b"accept", b"y")]
