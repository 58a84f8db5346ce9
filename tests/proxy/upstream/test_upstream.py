"""A cluster at run time: pools, limits, connections that come and go."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.fakes import answer, hang
from tests.proxy.rig import Rig
from tests.proxy.snapshots import cluster, forward, gateway, route

A, B = "10.0.0.1:9080", "10.0.0.2:9080"


def limited(*addresses: str, **limits: object):
    return gateway(route(forward("c")), clusters=[cluster("c", **limits)], endpoints={"c": addresses or [A]})


async def together(rig: Rig, count: int) -> list:
    """So many requests at once, each on a connection of its own."""
    answers = []

    async def ask() -> None:
        answers.append(await rig.get())

    async with trio.open_nursery() as asking:
        for _ in range(count):
            asking.start_soon(ask)
    return answers


async def test_a_connection_is_used_again(nursery, autojump_clock):
    rig = await Rig.start(nursery, limited())
    backend = await rig.upstream(A)
    for _ in range(10):
        await rig.get()
    assert backend.connections == 1
    assert rig.engine.upstreams["c"].connections == 1


async def test_the_latest_used_is_used_first(nursery, autojump_clock):
    rig = await Rig.start(nursery, limited())
    backend = await rig.upstream(A, behaviour=answer(delay=1.0))
    await together(rig, 5)
    pool = next(iter(rig.engine.upstreams["c"].hosts.values())).pool
    assert len(pool.idle) == 5
    before = [pooled.client.requests for pooled in pool.idle]
    for _ in range(3):
        await rig.get()
    assert [pooled.client.requests for pooled in pool.idle] == [*before[:-1], before[-1] + 3]
    assert backend.connections == 5


async def test_an_idle_http2_connection_is_closed_in_time(nursery, autojump_clock):
    rig = await Rig.start(nursery, limited(idle_timeout=30.0, http2=True))
    backend = await rig.upstream(A)
    await rig.get()
    await trio.sleep(20)
    await rig.get()
    await trio.sleep(29)
    assert backend.open == 1
    await trio.sleep(2)
    assert (backend.open, rig.engine.upstreams["c"].connections) == (0, 0)


async def test_http2_connections_that_the_backend_closed_are_forgotten(nursery, autojump_clock):
    rig = await Rig.start(nursery, limited(http2=True, max_connections=1))
    backend = await rig.upstream(A)
    for _ in range(3):
        assert (await rig.get()).status == 200
        for wire in rig.network.wires:
            if wire.server.local.port == 9080:
                wire.cut()
        await trio.testing.wait_all_tasks_blocked()
    assert backend.connections == 3
    assert rig.engine.upstreams["c"].connections == 1


async def test_idle_connections_are_closed_in_time(nursery, autojump_clock):
    rig = await Rig.start(nursery, limited(idle_timeout=30.0))
    backend = await rig.upstream(A, behaviour=answer(delay=1.0))
    await together(rig, 3)
    await trio.sleep(20)
    await rig.get()
    await trio.sleep(15)
    assert backend.open == 1
    await trio.sleep(20)
    assert backend.open == 0
    assert rig.engine.upstreams["c"].connections == 0


@pytest.mark.parametrize("http2", [False, True])
async def test_a_connection_lives_so_long_and_no_longer(nursery, autojump_clock, http2):
    rig = await Rig.start(nursery, limited(max_connection_duration=10.0, http2=http2))
    backend = await rig.upstream(A)
    await rig.get()
    await trio.sleep(11)
    await rig.get()
    await rig.get()
    assert backend.connections <= 3
    assert backend.connections >= 2


@pytest.mark.parametrize("http2", [False, True])
async def test_so_many_requests_a_connection(nursery, autojump_clock, http2):
    rig = await Rig.start(nursery, limited(max_requests_per_connection=2, http2=http2))
    backend = await rig.upstream(A)
    for _ in range(6):
        assert (await rig.get()).status == 200
    assert backend.connections == 3
    await trio.testing.wait_all_tasks_blocked()
    assert backend.open == 0


async def test_a_connection_that_the_backend_closed_is_not_used(nursery, autojump_clock):
    rig = await Rig.start(nursery, limited())
    backend = await rig.upstream(A)
    await rig.get()
    backend.drain.begin()
    await trio.testing.wait_all_tasks_blocked()
    assert rig.engine.upstreams["c"].connections == 0
    assert (await rig.get()).status == 200


async def test_http2_shares_a_connection(nursery, autojump_clock):
    rig = await Rig.start(nursery, limited(http2=True))
    backend = await rig.upstream(A, behaviour=answer(delay=1.0))
    answers = await together(rig, 50)
    assert {got.status for got in answers} == {200}
    assert backend.connections == 1
    assert {got.at for got in answers} == {answers[0].at}


async def test_a_limit_of_connections_makes_a_line(nursery, autojump_clock):
    rig = await Rig.start(nursery, limited(max_connections=1))
    backend = await rig.upstream(A, behaviour=answer(delay=1.0))
    start = trio.current_time()
    answers = await together(rig, 5)
    assert [got.status for got in answers] == [200] * 5
    assert sorted(got.at - start for got in answers) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert backend.connections == 1


async def test_a_full_line_is_an_overflow(nursery, autojump_clock):
    rig = await Rig.start(nursery, limited(max_connections=1, max_pending_requests=1))
    await rig.upstream(A, behaviour=answer(delay=1.0))
    await rig.get()
    answers = await together(rig, 5)
    assert sorted(got.status for got in answers) == [200, 200, 503, 503, 503]
    refused = next(got for got in answers if got.status == 503)
    assert refused.body.endswith(b"reset reason: overflow")
    assert refused.header("x-envoy-overloaded") == "true"
    assert refused.header("x-meshd-reason") == "UO"


@pytest.mark.parametrize("http2", [False, True])
async def test_a_limit_of_requests(nursery, autojump_clock, http2):
    rig = await Rig.start(nursery, limited(max_requests=2, http2=http2))
    await rig.upstream(A, behaviour=answer(delay=1.0))
    answers = await together(rig, 5)
    assert sorted(got.status for got in answers) == [200, 200, 503, 503, 503]
    assert (await rig.get()).status == 200


async def test_at_the_limit_an_idle_connection_elsewhere_makes_room(nursery, autojump_clock):
    rig = await Rig.start(nursery, limited(A, B, max_connections=1))
    a, b = await rig.upstream(A), await rig.upstream(B)
    for _ in range(20):
        assert (await rig.get()).status == 200
    assert len(a.requests) > 0
    assert len(b.requests) > 0
    await trio.testing.wait_all_tasks_blocked()
    assert a.open + b.open == 1


async def test_a_host_that_left_serves_what_it_has_and_no_more(nursery, autojump_clock):
    rig = await Rig.start(nursery, limited(A, max_connections=1))
    backend = await rig.upstream(A, behaviour=answer(delay=1.0))
    other = await rig.upstream(B)
    async with trio.open_nursery() as asking:
        for _ in range(3):
            asking.start_soon(rig.get)
        await trio.sleep(0.5)
        rig.apply(limited(B))
        assert (await rig.get()).status == 200
    assert (len(backend.requests), len(other.requests)) == (3, 1)
    await trio.testing.wait_all_tasks_blocked()
    assert backend.open == 0
    assert rig.engine.upstreams["c"].leaving == set()


async def test_those_in_line_fail_together_when_nobody_listens(nursery, autojump_clock):
    rig = await Rig.start(nursery, limited())
    answers = await together(rig, 10)
    assert {got.status for got in answers} == {503}
    upstream = rig.engine.upstreams["c"]
    assert (upstream.active, upstream.pending, upstream.connections) == (0, 0, 0)
    host = next(iter(upstream.hosts.values()))
    assert host.active == 0
    assert host.connect_failures > 0


async def test_nothing_is_left_of_aborted_requests(nursery, autojump_clock):
    snapshot = gateway(
        route(forward("c", timeout=1.0)), clusters=[cluster("c", max_connections=3)], endpoints={"c": [A]}
    )
    rig = await Rig.start(nursery, snapshot)
    backend = await rig.upstream(A, behaviour=hang())
    answers = await together(rig, 10)
    assert {got.status for got in answers} == {504}
    await trio.testing.wait_all_tasks_blocked()
    upstream = rig.engine.upstreams["c"]
    assert (upstream.active, upstream.pending, upstream.connections, backend.open) == (0, 0, 0, 0)
    backend.default = answer()
    assert (await rig.get()).status == 200
