"""Clients that attack by HTTP/2: each is sent away in bounded memory, and others are served meanwhile.

CVE-2023-44487 (rapid reset), CVE-2025-8671 (resets provoked from the server),
CVE-2024-27316 and kin (CONTINUATION), CVE-2019-9511 to 9518 (dribble, ping,
priority, settings, empty frames, zero windows), HPACK bombs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import hpack
import pytest
import trio
import trio.testing

from meshd.errors import ConnectionLost
from meshd.http.limits import HttpLimits
from tests.fakes import answer
from tests.proxy.rig import Rig
from tests.proxy.snapshots import forward, gateway, route

A = "10.0.0.1:9080"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, _, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4
HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", "/")]
POST = [(":method", "POST"), *HEAD[1:]]
ROUNDS = 20_000
"""More than any client may send of anything."""


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def block(fields: list[tuple[str, str]]) -> bytes:
    return hpack.Encoder().encode(fields)


def head(stream_id: int, fields: list[tuple[str, str]] = HEAD, *, end: bool = True) -> bytes:
    # Without indexing, so that a block means the same every time.
    plain = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields
    )
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream_id, plain)


def odd() -> Iterator[int]:
    return iter(range(1, 2 * ROUNDS, 2))


def rapid_reset() -> Iterator[bytes]:
    for stream_id in odd():
        yield head(stream_id) + frame(RST_STREAM, 0, stream_id, number(8))


def made_you_reset(provocation: Callable[[int], bytes]) -> Callable[[], Iterator[bytes]]:
    def attack() -> Iterator[bytes]:
        for stream_id in odd():
            yield head(stream_id, POST, end=False) + provocation(stream_id)

    return attack


def endless_block(payload: bytes) -> Callable[[], Iterator[bytes]]:
    def attack() -> Iterator[bytes]:
        yield frame(HEADERS, END_STREAM, 1, block(HEAD))
        for _ in range(ROUNDS):
            yield frame(CONTINUATION, 0, 1, payload)

    return attack


def repeated(data: bytes, before: bytes = b"") -> Callable[[], Iterator[bytes]]:
    def attack() -> Iterator[bytes]:
        yield before
        for _ in range(ROUNDS):
            yield data

    return attack


def table_bomb() -> Iterator[bytes]:
    """A large entry, put into the table once and named thousands of times."""
    yield frame(HEADERS, END_HEADERS | END_STREAM, 1, block([*HEAD, ("x-bomb", "b" * 3000)]))
    for stream_id in iter(range(3, 2 * ROUNDS, 2)):
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream_id, block(HEAD) + b"\xbe" * 15_000)


def crumbs() -> Iterator[bytes]:
    for stream_id in odd():
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream_id, block(HEAD) + b"\x0f\x11\x00" * 5000)


def refused_streams() -> Iterator[bytes]:
    for stream_id in odd():
        yield head(stream_id, POST, end=False)


def dribble() -> Iterator[bytes]:
    """A window of one byte at a time for a large answer."""
    yield frame(SETTINGS, 0, 0, b"\0\4" + number(0)) + head(1)
    for _ in range(ROUNDS):
        yield frame(WINDOW_UPDATE, 0, 1, number(1))


def window_swings() -> Iterator[bytes]:
    """SETTINGS that move the windows of many streams up and down."""
    yield b"".join(head(stream_id, POST, end=False) for stream_id in range(1, 120, 2))
    for index in range(ROUNDS):
        yield frame(SETTINGS, 0, 0, b"\0\4" + number(65535 if index % 2 else 0))


ATTACKS: dict[str, Callable[[], Iterator[bytes]]] = {
    "rapid reset": rapid_reset,
    "window update of zero": made_you_reset(lambda stream: frame(WINDOW_UPDATE, 0, stream, number(0))),
    "window overflow": made_you_reset(lambda stream: frame(WINDOW_UPDATE, 0, stream, number(2**31 - 1)) * 2),
    "data after the end": made_you_reset(
        lambda stream: frame(DATA, END_STREAM, stream) + frame(DATA, END_STREAM, stream, b"x")
    ),
    "depends on itself": made_you_reset(lambda stream: frame(PRIORITY, 0, stream, number(stream) + b"\1")),
    "pseudo-headers in trailers": made_you_reset(lambda stream: head(stream, HEAD)),
    "broken requests": lambda: (head(stream_id, [*HEAD, ("Upper", "x")]) for stream_id in odd()),
    "wrong lengths": lambda: (
        head(stream_id, [*POST, ("content-length", "5")], end=False) + frame(DATA, END_STREAM, stream_id, b"x")
        for stream_id in odd()
    ),
    "continuation, empty": endless_block(b""),
    "continuation, full": endless_block(b"\0\1a\x7f\x80\x7f" + b"x" * 16_000),
    "settings": repeated(frame(SETTINGS, 0, 0)),
    "settings, many": repeated(frame(SETTINGS, 0, 0, (b"\0\4" + number(65535)) * 500)),
    "settings acknowledged unasked": repeated(frame(SETTINGS, 1, 0)),
    "ping": repeated(frame(PING, 0, 0, bytes(8))),
    "ping acknowledged unasked": repeated(frame(PING, 1, 0, bytes(8))),
    "priority": repeated(frame(PRIORITY, 0, 3, number(0) + b"\1")),
    "resets of what is over": repeated(frame(RST_STREAM, 0, 1, number(8)), before=head(1)),
    "unknown frames": repeated(frame(0x77, 0, 0, b"x" * 100)),
    "empty data": repeated(frame(DATA, 0, 1), before=head(1, POST, end=False)),
    "padded nothing": repeated(frame(DATA, 8, 1, b"\xff" + bytes(255)), before=head(1, POST, end=False)),
    "window updates for nothing": repeated(frame(WINDOW_UPDATE, 0, 0, number(1))),
    "dribble": dribble,
    "window swings": window_swings,
    "refused streams": refused_streams,
    "table bomb": table_bomb,
    "cookie crumbs": crumbs,
    "push": repeated(frame(PUSH_PROMISE, END_HEADERS, 1, number(2)), before=head(1)),
    "huge integers": repeated(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x7f" + b"\xff" * 1000)),
    "giant frames": repeated(frame(DATA, 0, 1, b"x" * 60_000), before=head(1, POST, end=False)),
}


async def attack(rig: Rig, frames: Iterator[bytes]) -> int:
    """Send until sent away; how many pieces went."""
    connection = await rig.network.connect(rig.address())
    sent = 0
    async with trio.open_nursery() as talk:

        async def read() -> None:
            try:
                while await connection.receive():
                    pass
            except (ConnectionLost, trio.ClosedResourceError):
                pass
            talk.cancel_scope.cancel()

        talk.start_soon(read)
        try:
            await connection.send(PREFACE + frame(SETTINGS, 0, 0))
            for data in frames:
                await connection.send(data)
                sent += 1
        except (ConnectionLost, trio.ClosedResourceError):
            talk.cancel_scope.cancel()
    connection.close()
    return sent


@pytest.mark.parametrize("name", ATTACKS)
async def test_whoever_floods_is_sent_away_and_others_are_served(nursery, autojump_clock, name):
    snapshot = gateway(route(forward("c")), endpoints={"c": [A]})
    rig = await Rig.start(nursery, snapshot, http_limits=HttpLimits(h2_max_streams=128))
    await rig.upstream(A, behaviour=answer(200, b"x" * 200_000))
    assert (await rig.get(http2=True)).status == 200
    served: list[int] = []
    over = trio.Event()

    async def bystander() -> None:
        while not over.is_set():
            served.append((await rig.get()).status)
            await trio.lowlevel.checkpoint()

    nursery.start_soon(bystander)
    began = time.process_time()
    with trio.fail_after(600):
        sent = await attack(rig, ATTACKS[name]())
    cost = time.process_time() - began
    over.set()
    assert sent < ROUNDS, "nobody stopped it"
    await trio.testing.wait_all_tasks_blocked()
    assert served
    assert set(served) == {200}
    assert rig.engine.open_connections() <= 2, "the bystanders alone"
    assert (await rig.get(http2=True)).status == 200
    assert "meshd_bugs_total 0" in rig.metrics()
    assert cost < 20


async def test_streams_that_never_end_are_bounded(nursery, autojump_clock):
    """No answer is read and no request ends: so many streams, then no more, and not for ever."""
    snapshot = gateway(route(forward("c")), endpoints={"c": [A]})
    limits = HttpLimits(h2_max_streams=100, stream_idle_timeout=60, send_timeout=30)
    rig = await Rig.start(nursery, snapshot, http_limits=limits)
    backend = await rig.upstream(A, behaviour=answer(200, b"x" * 100_000))
    connection = await rig.network.connect(rig.address())
    await connection.send(PREFACE + frame(SETTINGS, 0, 0, b"\0\4" + number(0)))
    await connection.send(b"".join(head(stream_id) for stream_id in range(1, 400, 2)))
    await trio.testing.wait_all_tasks_blocked()
    assert len(backend.requests) <= 100
    assert (await rig.get(http2=True)).status == 200
    await trio.sleep(95)
    upstream = rig.engine.upstreams["c"]
    assert upstream.active == 0, "the backend's streams were given back"
