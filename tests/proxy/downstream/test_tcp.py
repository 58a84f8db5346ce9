"""Opaque bytes."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
import trio.testing

from meshd.errors import ConnectionLost
from meshd.net.address import Address
from tests.fakes import RawUpstream
from tests.proxy.rig import Rig
from tests.proxy.snapshots import cluster, tcp

A = "10.0.0.1:9080"


async def shout(connection, raw):
    while data := await connection.receive():
        raw.received += data
        await connection.send(data.upper())
    await connection.send(b"BYE")
    await connection.send_eof()


async def started(nursery, behave=shout, **more):
    rig = await Rig.start(nursery, tcp(("c", 1), endpoints={"c": [A]}, **more))
    raw = RawUpstream(behave)
    await nursery.start(raw.run, rig.network, Address.parse(A))
    return rig, raw, await rig.network.connect(rig.address())


async def read_all(connection) -> bytes:
    got = b""
    while data := await connection.receive():
        got += data
    return got


async def test_bytes_go_both_ways_and_a_half_close_passes(nursery, autojump_clock):
    rig, _, connection = await started(nursery)
    await connection.send(b"hello ")
    assert await connection.receive() == b"HELLO "
    await connection.send(b"there")
    await connection.send_eof()
    assert await read_all(connection) == b"THEREBYE"
    await trio.testing.wait_all_tasks_blocked()
    (line,) = await rig.logs()
    assert (line["bytes_received"], line["bytes_sent"]) == (11, 14)
    assert (line["upstream_cluster"], line["upstream_host"]) == ("c", A)
    assert rig.engine.upstreams["c"].connections == 0


async def test_a_server_may_speak_first(nursery, autojump_clock):
    async def greet(connection, raw):
        await connection.send(b"220 welcome\r\n")
        await connection.receive()

    _, _, connection = await started(nursery, greet)
    assert await connection.receive() == b"220 welcome\r\n"


async def test_nobody_there_resets_the_client(nursery, autojump_clock):
    rig = await Rig.start(nursery, tcp(("c", 1), endpoints={"c": [A]}))
    connection = await rig.network.connect(rig.address())
    with pytest.raises(ConnectionLost):
        await connection.receive()
    await trio.testing.wait_all_tasks_blocked()
    assert (await rig.logs())[0]["response_flags"] == "UF,URX"


async def test_no_cluster_resets_the_client(nursery, autojump_clock):
    snapshot = tcp(("gone", 1), endpoints={}, more=[cluster("gone")])
    rig = await Rig.start(nursery, snapshot)
    connection = await rig.network.connect(rig.address())
    with pytest.raises(ConnectionLost):
        await connection.receive()
    await trio.testing.wait_all_tasks_blocked()
    assert (await rig.logs())[0]["response_flags"] == "UH"


async def test_a_reset_passes(nursery, autojump_clock):
    async def break_off(connection, raw):
        await connection.receive()
        connection.abort(ConnectionLost("x"))

    _, _, connection = await started(nursery, break_off)
    await connection.send(b"x")
    with pytest.raises(ConnectionLost):
        await connection.receive()


async def test_silence_ends_it(nursery, autojump_clock):
    _, _, connection = await started(nursery, idle_timeout=10.0)
    await connection.send(b"x")
    assert await connection.receive() == b"X"
    await trio.sleep(9)
    await connection.send(b"y")
    assert await connection.receive() == b"Y"
    start = trio.current_time()
    with suppress(ConnectionLost):
        assert await connection.receive() == b""
    assert trio.current_time() - start == 10.0


async def test_a_half_closed_connection_does_not_hang_for_ever(nursery, autojump_clock):
    async def never(connection, raw):
        await trio.sleep_forever()

    rig, _, connection = await started(nursery, never)
    await connection.send_eof()
    start = trio.current_time()
    with suppress(ConnectionLost):
        await connection.receive()
    assert trio.current_time() - start == 60.0
    await trio.testing.wait_all_tasks_blocked()
    assert rig.engine.open_connections() == 0


async def test_weights_choose_clusters(nursery, autojump_clock):
    b = "10.0.0.2:9080"
    rig = await Rig.start(nursery, tcp(("c", 1), ("d", 3), endpoints={"c": [A], "d": [b]}))
    c, d = RawUpstream(shout), RawUpstream(shout)
    await nursery.start(c.run, rig.network, Address.parse(A))
    await nursery.start(d.run, rig.network, Address.parse(b))
    for _ in range(100):
        connection = await rig.network.connect(rig.address())
        await connection.send_eof()
        await read_all(connection)
    assert c.connections + d.connections == 100
    assert 60 <= d.connections <= 90


async def test_too_many_connections_overflow(nursery, autojump_clock):
    snapshot = tcp(("c", 1), endpoints={"c": [A]}, more=[cluster("c", max_connections=1)])
    rig = await Rig.start(nursery, snapshot)
    raw = RawUpstream(shout)
    await nursery.start(raw.run, rig.network, Address.parse(A))
    first = await rig.network.connect(rig.address())
    await first.send(b"x")
    await first.receive()
    second = await rig.network.connect(rig.address())
    with pytest.raises(ConnectionLost):
        await second.receive()
    await trio.testing.wait_all_tasks_blocked()
    assert (await rig.logs())[0]["response_flags"] == "UO"
