"""Connections of a filter chain that leaves are brought to their end."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from meshd.errors import ConnectionLost
from meshd.http.head import RequestHead
from meshd.net.address import Address
from meshd.proxy.limits import ProxyLimits
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, FilterChainMatch, HttpManager, Listener, TcpProxy
from tests.fakes import RawUpstream, answer, read_answer
from tests.proxy.rig import Rig
from tests.proxy.snapshots import assemble, forward, route, table

A = "10.0.0.1:9080"
GRACE = 5.0
LIMITS = ProxyLimits(drain_timeout=GRACE)


def snapshot(chain: FilterChain, version: str):
    listener = Listener("0.0.0.0_80", 80, Direction.GATEWAY, (chain,))
    return assemble((listener,), (table(route(forward("a")), name="t"),), ["a"], {"a": [A]}, version=version)


def http(name: str, version: str):
    return snapshot(FilterChain(name, http=HttpManager(route_table="t")), version)


def opaque(name: str, version: str):
    return snapshot(FilterChain(name, tcp=TcpProxy((("a", 1),))), version)


async def test_an_idle_connection_is_closed_when_the_time_is_over(nursery, autojump_clock):
    rig = await Rig.start(nursery, http("one", "1"), limits=LIMITS)
    client = await rig.client.connection(rig.address())
    await trio.testing.wait_all_tasks_blocked()
    rig.apply(http("two", "2"))
    await trio.sleep(GRACE - 0.1)
    assert not client.is_closed(), "a request may be on its way"
    await trio.sleep(0.2)
    assert client.is_closed()


async def test_a_connection_whose_chain_stays_stays(nursery, autojump_clock):
    rig = await Rig.start(nursery, http("one", "1"), limits=LIMITS)
    await rig.upstream(A, "app")
    client = await rig.client.connection(rig.address())
    await trio.testing.wait_all_tasks_blocked()
    rig.apply(http("one", "2"))
    await trio.sleep(GRACE + 1)
    stream = client.open()
    await stream.send_head(RequestHead(b"GET", b"/", b"x"), end=True)
    assert (await read_answer(stream)).body == b"app"
    stream.finish()
    assert not client.is_closed()


async def test_a_chain_of_the_same_name_that_treats_connections_otherwise_is_another(nursery, autojump_clock):
    rig = await Rig.start(nursery, http("one", "1"), limits=LIMITS)
    client = await rig.client.connection(rig.address())
    await trio.testing.wait_all_tasks_blocked()
    rig.apply(opaque("one", "2"))
    await trio.sleep(GRACE + 0.1)
    assert client.is_closed()


async def test_chains_of_one_name_are_told_apart_by_what_they_match(nursery, autojump_clock):
    chains = (
        FilterChain("one", FilterChainMatch(application_protocols=("http/1.1",)), http=HttpManager(route_table="t")),
        FilterChain("one", tcp=TcpProxy((("b", 1),))),
    )
    listener = Listener("0.0.0.0_80", 80, Direction.GATEWAY, chains)
    clusters = {"a": [A], "b": ["10.0.0.2:1"]}
    whole = assemble((listener,), (table(route(forward("a")), name="t"),), ["a", "b"], clusters, version="1")
    rig = await Rig.start(nursery, whole, limits=LIMITS)
    await rig.upstream(A, "app")
    assert (await rig.get()).body == b"app"

    async def greet(connection, raw):
        await connection.send(b"bytes for " + await connection.receive())
        connection.close()

    await nursery.start(RawUpstream(greet).run, rig.network, Address("10.0.0.2", 1))
    connection = await rig.network.connect(rig.address())
    await connection.send(b"\x00you")
    assert await connection.receive() == b"bytes for \x00you"


async def test_an_exchange_under_way_ends_by_itself(nursery, autojump_clock):
    rig = await Rig.start(nursery, http("one", "1"), limits=LIMITS)
    await rig.upstream(A, "slow", answer(delay=60))
    got = []

    async def get() -> None:
        got.append(await rig.get())

    nursery.start_soon(get)
    await trio.sleep(1)
    rig.apply(http("two", "2"))
    await trio.sleep(59.5)
    assert [each.body for each in got] == [b"slow"]


async def test_opaque_connections_are_cut(nursery, autojump_clock):
    async def listen(connection, raw):
        while await connection.receive():
            pass

    rig = await Rig.start(nursery, opaque("one", "1"), limits=LIMITS)
    await nursery.start(RawUpstream(listen).run, rig.network, Address.parse(A))
    connection = await rig.network.connect(rig.address())
    await connection.send(b"hello")
    await trio.testing.wait_all_tasks_blocked()
    rig.apply(http("one", "2"))
    await trio.sleep(GRACE - 0.1)
    assert connection.receive_nowait() is None
    with pytest.raises(ConnectionLost):
        await connection.receive()
    assert trio.current_time() == pytest.approx(GRACE)
    assert rig.engine.open_connections() == 0


async def test_who_was_shaking_hands_meanwhile_is_not_forgotten(nursery, autojump_clock):
    rig = await Rig.start(nursery, http("one", "1"), limits=LIMITS)
    client = await rig.client.connection(rig.address())
    # Applied before the connection's task has run at all, or while it looked at the first bytes.
    rig.apply(http("two", "2"))
    await trio.sleep(GRACE + 0.2)
    rig.apply(http("three", "3"))
    await trio.sleep(GRACE + 0.2)
    assert client.is_closed()
