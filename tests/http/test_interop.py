"""HTTP/1.1 in, HTTP/2 between, HTTP/1.1 out: the message that arrives is the one that was sent."""

from __future__ import annotations

from random import Random

import attrs
import pytest
import trio

from meshd.http.h1 import H1ClientConnection
from meshd.http.h2 import connect_h2
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.server import serve_connection
from meshd.http.stream import ClientConnection, ServerStream
from meshd.net.memory import memory_pair
from meshd.net.timers import Timers
from tests.http.relays import relaying

NAMES = (b"accept", b"x-a", b"x-b", b"cookie", b"te", b"content-type")
VALUES = (b"1", b"two words", b"\xc3\xa9", b"a,b", b"", b"%20")
TOKENS = (b"a=1", b"b=2; c=3")


@attrs.frozen
class Message:
    """What has to arrive."""

    line: tuple[bytes, ...]
    fields: tuple[tuple[bytes, bytes], ...]
    length: int | None
    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...]


def fields(rng: Random) -> tuple[tuple[bytes, bytes], ...]:
    made: list[tuple[bytes, bytes]] = []
    for _ in range(rng.randrange(4)):
        name = rng.choice(NAMES)
        value = {b"te": b"trailers", b"cookie": rng.choice(TOKENS)}.get(name, rng.choice(VALUES))
        if name not in (b"te", b"cookie") or name not in dict(made):
            made.append((name, value))
    # A joined Cookie comes last out of HTTP/2, so it goes last into it.
    return tuple(sorted(made, key=lambda item: item[0] == b"cookie"))


def message(rng: Random, line: tuple[bytes, ...]) -> Message:
    body = rng.randbytes(rng.choice((0, 1, 10, 1000, 100_000)))
    chunked = rng.random() < 0.5
    trailers = ((b"x-sum", b"1"),) if chunked and rng.random() < 0.5 else ()
    length = None if chunked and (body or trailers) else len(body)
    return Message(line, fields(rng), length, body, trailers)


async def read_body(body: object) -> bytes:
    pieces = b""
    while not body.ended:  # type: ignore[attr-defined]
        pieces += await body.receive()  # type: ignore[attr-defined]
    return pieces


async def send(stream: object, made: Message) -> None:
    """The body in odd pieces."""
    at = 0
    while at < len(made.body):
        step = 1 + (at * 7919) % 30_000
        piece = made.body[at : at + step]
        at += step
        await stream.send(piece, end=at >= len(made.body) and not made.trailers)  # type: ignore[attr-defined]
    if made.trailers:
        await stream.send_trailers(Headers.of(made.trailers))  # type: ignore[attr-defined]


class World:
    """One relay in, one between, and a server at the end that answers as it was told."""

    def __init__(self, timers: Timers, nursery: trio.Nursery, chunk: int) -> None:
        self.timers, self.nursery, self.chunk = timers, nursery, chunk
        self.seen: list[Message] = []
        self.answer = Message((b"200",), (), 0, b"", ())

    def serve(self, handler: object) -> object:
        client, server = memory_pair()
        client.wire.chunk = self.chunk
        self.nursery.start_soon(lambda: serve_connection(server, handler, timers=self.timers))  # type: ignore[arg-type]
        return client

    async def backend(self, stream: ServerStream) -> None:
        head = stream.request
        body = await read_body(stream.body)
        trailers = tuple(stream.body.trailers.items()) if stream.body.trailers else ()
        line = (head.method, head.target, head.authority)
        self.seen.append(Message(line, tuple(head.headers.items()), head.length, body, trailers))
        answer = self.answer
        response = ResponseHead(int(answer.line[0]), Headers.of(answer.fields), length=answer.length)
        whole = not answer.body and not answer.trailers
        await stream.respond(response, end=whole)
        if not whole:
            await send(stream, answer)

    async def chain(self) -> ClientConnection:
        last = H1ClientConnection(self.serve(self.backend))  # type: ignore[arg-type]
        middle = await connect_h2(self.serve(relaying(last)), self.nursery, timers=self.timers)  # type: ignore[arg-type]
        return H1ClientConnection(self.serve(relaying(middle)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("chunk", "rounds"), [(64 * 1024, 150), (1000, 40), (7, 3)])
async def test_messages_survive_the_journey(timers: Timers, nursery: trio.Nursery, chunk: int, rounds: int) -> None:
    rng = Random(chunk)
    world = World(timers, nursery, chunk)
    client = await world.chain()
    for _ in range(rounds):
        asked = message(rng, (rng.choice((b"POST", b"PUT")), rng.choice((b"/", b"/a?b=%20")), b"H.example:80"))
        world.answer = message(rng, (rng.choice((b"200", b"404", b"503")),))
        head = RequestHead(asked.line[0], asked.line[1], asked.line[2], Headers.of(asked.fields), length=asked.length)
        assert client.is_available()
        stream = client.open()
        whole = not asked.body and not asked.trailers
        await stream.send_head(head, end=whole)
        if not whole:
            await send(stream, asked)
        answer = await stream.receive_head()
        body = await read_body(stream.body)
        trailers = tuple(stream.body.trailers.items()) if stream.body.trailers else ()
        stream.finish()
        assert world.seen.pop() == asked
        status = (b"%d" % answer.status,)
        assert Message(status, tuple(answer.headers.items()), answer.length, body, trailers) == world.answer
