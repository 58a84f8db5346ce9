"""Clients that have said all they have to say, and odd beginnings."""

from __future__ import annotations

from contextlib import suppress

import trio

from meshd.errors import ConnectionLost
from tests.fakes import answer
from tests.proxy.rig import Rig
from tests.proxy.snapshots import forward, gateway, route

A = "10.0.0.1:9080"
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"


async def talk(rig: Rig, data: bytes, *, end: bool) -> bytes:
    connection = await rig.network.connect(rig.address())
    await connection.send(data)
    if end:
        await connection.send_eof()
    got = b""
    with suppress(ConnectionLost), trio.move_on_after(30):
        while piece := await connection.receive():
            got += piece
    connection.close()
    return got


async def rig_with_backend(nursery):
    rig = await Rig.start(nursery, gateway(route(forward("c")), endpoints={"c": [A]}))

    async def slow(stream, received):
        await trio.sleep(1)
        await answer(200, b"done")(stream, received)

    return rig, await rig.upstream(A, behaviour=slow)


async def test_a_client_that_ends_its_side_while_it_waits_has_gone(nursery, autojump_clock):
    """As in Envoy over HTTP/1.1."""
    rig, _ = await rig_with_backend(nursery)
    assert await talk(rig, GET, end=True) == b""
    assert (await rig.get()).status == 200
    assert [line["response_code"] for line in await rig.logs()] == [0, 200]


async def test_others_are_not_harmed_by_an_end_behind_a_body(nursery, autojump_clock):
    rig, backend = await rig_with_backend(nursery)
    assert (await talk(rig, POST, end=True)).count(b"HTTP/1.1 ") <= 1
    assert (await rig.get()).status == 200
    assert [request.body for request in backend.requests if request.method == b"POST"] in ([], [b"hi"])


async def test_an_unfinished_body_reaches_nobody_as_a_whole_one(nursery, autojump_clock):
    rig, backend = await rig_with_backend(nursery)
    assert b"200" not in await talk(rig, POST[:-1], end=True)
    assert not any(request.whole for request in backend.requests)


async def test_one_blank_line_before_a_request_is_forgiven_and_more_are_not(nursery, autojump_clock):
    rig, _ = await rig_with_backend(nursery)
    assert (await talk(rig, b"\r\n" + GET, end=False)).startswith(b"HTTP/1.1 200")
    assert (await talk(rig, b"\r\n\r\n" + GET, end=False)).startswith(b"HTTP/1.1 400")
