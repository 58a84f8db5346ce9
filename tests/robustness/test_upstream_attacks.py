"""Backends that answer with what is no answer: the client sees an error or a cut, never someone else's bytes."""

from __future__ import annotations

import attrs
import pytest
import trio

from meshd.errors import ConnectionLost
from meshd.net.address import Address
from meshd.net.connection import Connection
from tests.fakes import RawUpstream
from tests.proxy.rig import Rig
from tests.proxy.snapshots import forward, gateway, route
from tests.robustness.test_http1_attacks import BACKEND, GET, bugs, statuses_of

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
EVIL = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"


@attrs.frozen
class Answer:
    """What a backend sends, then (``close``) it closes. ``status`` None: the client's connection is cut."""

    name: str
    sent: bytes
    status: int | None = 502
    close: bool = False
    method: bytes = b"GET"


def head(*lines: bytes, line: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    return b"\r\n".join((line, *lines)) + b"\r\n\r\n" + body


CHUNKED = b"transfer-encoding: chunked"

ANSWERS = [
    Answer("garbage", b"\x00\x01\x02\x03" * 100),
    Answer("http 0.9", b"<html>hello</html>\r\n\r\n"),
    Answer("http 2.0", head(line=b"HTTP/2.0 200 OK")),
    Answer("http 1.2", head(line=b"HTTP/1.2 200 OK")),
    Answer("status 099", head(line=b"HTTP/1.1 099 No")),
    Answer("status 600", head(line=b"HTTP/1.1 600 No")),
    Answer("status 20", head(line=b"HTTP/1.1 20 No")),
    Answer("status 2000", head(line=b"HTTP/1.1 2000 No")),
    Answer("status plus", head(line=b"HTTP/1.1 +20 No")),
    Answer("unasked 101", head(b"connection: upgrade", b"upgrade: websocket", line=b"HTTP/1.1 101 Switching") + EVIL),
    Answer("two lengths", head(b"content-length: 2", b"content-length: 4", body=b"evil")),
    Answer("length list", head(b"content-length: 2, 4", body=b"evil")),
    Answer("length negative", head(b"content-length: -4", body=b"evil")),
    Answer("length plus", head(b"content-length: +4", body=b"evil")),
    Answer("length overflow", head(b"content-length: " + b"9" * 30, body=b"evil")),
    Answer("length and chunked", head(b"content-length: 4", CHUNKED, body=b"0\r\n\r\n" + EVIL)),
    Answer("coding of another kind", head(b"transfer-encoding: gzip", body=b"evil"), close=True),
    Answer("chunked twice", head(CHUNKED, CHUNKED, body=b"0\r\n\r\n")),
    Answer("bare LF", b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok"),
    Answer("splitting by LF", head(b"x: a\nset-cookie: evil=1", b"content-length: 2", body=b"ok")),
    Answer("splitting by CR", head(b"x: a\rset-cookie: evil=1", b"content-length: 2", body=b"ok")),
    Answer("NUL", head(b"x: a\x00b", b"content-length: 2", body=b"ok")),
    Answer("folded", head(b"x: a\r\n b", b"content-length: 2", body=b"ok")),
    Answer("space before colon", head(b"content-length : 2", body=b"ok")),
    Answer("no colon", head(b"hello", b"content-length: 2", body=b"ok")),
    Answer("204 with a body", head(b"content-length: 4", line=b"HTTP/1.1 204 No", body=b"evil")),
    Answer("headers over limit", head(*[b"a%d: b" % n for n in range(200)], b"content-length: 2", body=b"ok")),
    Answer("a header of 100 KiB", head(b"a: " + b"b" * 100 * 1024, b"content-length: 2", body=b"ok")),
    Answer("a head without end", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000),
    Answer("1xx without end", head(line=b"HTTP/1.1 103 Early") * 50),
    Answer("closes at once", b"", 503, close=True),
    Answer("closes in the head", b"HTTP/1.1 200 OK\r\ncontent-le", 503, close=True),
    # The head has gone on; the body must not look whole.
    Answer("body too short", head(b"content-length: 10", body=b"short"), None, close=True),
    Answer("chunk size junk", head(CHUNKED, body=b"5x\r\nhello\r\n0\r\n\r\n"), None),
    Answer("chunk data junk", head(CHUNKED, body=b"5\r\nhelloworld\r\n0\r\n\r\n"), None),
    Answer("chunk by LF", head(CHUNKED, body=b"5\nhello\n0\n\n"), None),
    Answer("chunks cut", head(CHUNKED, body=b"5\r\nhello\r\n"), None, close=True),
    Answer("trailers with framing", head(CHUNKED, body=b"0\r\ncontent-length: 4\r\n\r\n"), None),
    # Complete, and something behind it: what is behind must reach nobody.
    Answer("a second answer", OK + EVIL, 200),
    Answer("a body to HEAD", head(b"content-length: 40", body=EVIL), 200, method=b"HEAD"),
    Answer("a body to 304", head(line=b"HTTP/1.1 304 No") + EVIL, 304),
    Answer("a body to 204", head(line=b"HTTP/1.1 204 No") + EVIL, 204),
    Answer("junk after chunks", head(CHUNKED, body=b"2\r\nok\r\n0\r\n\r\n") + EVIL, 200),
    Answer("until close", head(body=b"ok"), 200, close=True),
]  # fmt: skip


class Scripted:
    """The first connection gets the attack, every later one a plain answer to each request."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.upstream = RawUpstream(self._serve)

    async def _serve(self, connection: Connection, upstream: RawUpstream) -> None:
        if upstream.connections == 1:
            await upstream.read_head(connection)
            await connection.send(self.answer.sent)
            if self.answer.close:
                return
            # What is asked on this connection again is answered with poison.
            while await connection.receive():
                await connection.send(EVIL)
            return
        while True:
            await upstream.read_head(connection)
            await connection.send(OK)


async def exchange(connection: Connection, request: bytes) -> tuple[bytes, bool]:
    """What comes back within a minute, and whether the connection ended by a reset."""
    got = b""
    await connection.send(request)
    with trio.move_on_after(60):
        try:
            while piece := await connection.receive():
                got += piece
        except ConnectionLost:
            return got, True
    return got, False


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name.replace(" ", "_"))
async def test_answers_that_are_none(nursery, autojump_clock, answer: Answer) -> None:
    rig = await Rig.start(nursery, gateway(route(forward("c")), endpoints={"c": [BACKEND]}))
    scripted = Scripted(answer)
    await nursery.start(scripted.upstream.run, rig.network, Address.parse(BACKEND))
    connection = await rig.network.connect(rig.address())
    got, reset = await exchange(connection, GET.replace(b"GET", answer.method))
    assert b"evil" not in got
    if answer.status is None:
        assert reset or b"\r\n0\r\n\r\n" not in got, "a truncated body is never shown as complete"
        assert statuses_of_start(got) in ([], [200], [502])
        assert reset, got
    elif answer.method == b"HEAD" or answer.status == 304:
        assert got.startswith(b"HTTP/1.1 %d " % answer.status)
        assert got.count(b"HTTP/") == 1
    else:
        assert got.startswith(b"HTTP/1.1 %d " % answer.status), got
        assert got.count(b"HTTP/") == 1
    # Others, and this client on another connection, are served, and by clean connections.
    for _ in range(2):
        other, _ = await exchange(await rig.network.connect(rig.address()), GET)
        assert statuses_of(other) == [200]
        assert other.endswith(b"ok")
    assert bugs(rig) == 0


def statuses_of_start(got: bytes) -> list[int]:
    return [int(got[9:12])] if got else []


async def test_an_answer_that_nobody_asked_for(nursery, autojump_clock) -> None:
    """A backend that sends on an idle connection cannot answer the next request before it is made."""
    rig = await Rig.start(nursery, gateway(route(forward("c")), endpoints={"c": [BACKEND]}))
    poison = trio.Event()
    poisoned = trio.Event()

    async def behave(connection: Connection, upstream: RawUpstream) -> None:
        first = upstream.connections == 1
        await upstream.read_head(connection)
        await connection.send(OK)
        if first:
            await poison.wait()
            await connection.send(EVIL)
            poisoned.set()
        while await connection.receive():
            await connection.send(EVIL if first else OK)

    upstream = RawUpstream(behave)
    await nursery.start(upstream.run, rig.network, Address.parse(BACKEND))
    connection = await rig.network.connect(rig.address())
    got, _ = await exchange(connection, GET)
    assert got.endswith(b"ok")
    poison.set()
    await poisoned.wait()
    got, _ = await exchange(connection, GET)
    assert got.endswith(b"ok")
    assert b"evil" not in got
    assert upstream.connections == 2
