"""Changing configurations over, and stopping, without breaking what is under way."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from meshd.errors import ConfigError, ConnectionLost, MeshdError
from meshd.http.head import RequestHead
from meshd.net.address import Address
from meshd.net.memory import MemoryNetwork
from meshd.proxy.bindings import Binding, Bindings
from meshd.proxy.limits import ProxyLimits
from meshd.snapshot.common import Direction, MatchKind, StringMatch
from meshd.snapshot.listener import FilterChain, HttpManager, Listener
from meshd.snapshot.route import DirectResponse, RouteMatch, RouteTable, VirtualHost
from tests.fakes import answer, hang, pieces, read_answer
from tests.proxy.rig import Rig
from tests.proxy.snapshots import MUTUAL, assemble, cluster, endpoint, forward, gateway, route, table

A, B = "10.0.0.1:9080", "10.0.0.2:9080"


def to(*addresses: str, version: str = "1", **more: object):
    return gateway(route(forward("c")), endpoints={"c": addresses}, version=version, **more)


async def test_not_ready_says_why(nursery, autojump_clock):
    rig = Rig(nursery, MemoryNetwork())
    assert (bool(rig.engine.ready), rig.engine.ready.reason) == (False, "no configuration yet")
    rig.apply(to(A))
    assert rig.engine.ready.reason == "not running yet"
    await nursery.start(rig.engine.run)
    assert rig.engine.ready


async def test_a_listener_for_the_mesh_needs_a_certificate(nursery, autojump_clock):
    rig = await Rig.start(nursery, to(A, tls=MUTUAL))
    assert rig.engine.ready.reason == "no TLS here"


async def test_a_connection_lives_through_a_change_and_its_next_request_by_the_new_one(nursery, autojump_clock):
    rig = await Rig.start(nursery, gateway(route(DirectResponse(200, "one"))))
    client = await rig.client.connection(rig.address())
    for version, expected in (("1", b"one"), ("2", b"two"), ("3", b"three")):
        rig.apply(gateway(route(DirectResponse(200, expected.decode())), version=version))
        stream = client.open()
        await stream.send_head(RequestHead(b"GET", b"/", b"x"), end=True)
        assert (await read_answer(stream)).body == expected
        stream.finish()
        assert client.is_available()
    assert rig.engine.statistics().version == "3"


async def test_new_trust_in_hops_holds_for_the_next_request_of_a_connection(nursery, autojump_clock):
    rig = await Rig.start(nursery, to(A))
    backend = await rig.upstream(A)
    forwarded = [(b"x-forwarded-for", b"198.51.100.7")]
    await rig.get(headers=forwarded)
    rig.apply(to(A, version="2", http={"trusted_hops": 1}))
    await rig.get(headers=forwarded)
    assert [r.headers.get(b"x-envoy-external-address") for r in backend.requests] == [b"127.0.0.1", b"198.51.100.7"]
    assert rig.engine.open_connections() == 1


async def test_a_request_ends_with_the_configuration_it_began_with(nursery, autojump_clock):
    rig = await Rig.start(nursery, to(A))
    await rig.upstream(A, "old", answer(200, b"old", delay=10.0))
    await rig.upstream(B, "new")
    got: list[bytes] = []

    async def ask() -> None:
        got.append((await rig.get()).body)

    async with trio.open_nursery() as asking:
        asking.start_soon(ask)
        await trio.sleep(5)
        rig.apply(to(B, version="2"))
        assert (await rig.get()).body == b"new"
        assert got == []
    assert got == [b"old"]
    await trio.testing.wait_all_tasks_blocked()
    assert rig.engine.upstreams["c"].leaving == set()
    assert rig.engine.upstreams["c"].connections == 1


async def test_a_cluster_and_a_listener_removed_under_a_request(nursery, autojump_clock):
    rig = await Rig.start(nursery, to(A))
    backend = await rig.upstream(A, behaviour=pieces([b"x"] * 10, gap=1.0))
    got: list[bytes] = []

    async def ask() -> None:
        got.append((await rig.get()).body)

    async with trio.open_nursery() as asking:
        asking.start_soon(ask)
        await trio.sleep(5)
        address = rig.address()
        rig.apply(assemble((), (), (), None, version="2"))
        with pytest.raises(ConnectionLost):
            await rig.network.connect(address)
    assert got == [b"x" * 10]
    await trio.testing.wait_all_tasks_blocked()
    assert (backend.open, rig.engine.open_connections()) == (0, 0)


async def test_200_changes_under_load_lose_nothing(nursery, autojump_clock):
    snapshots = [
        to(A, version="a"),
        to(A, B, version="b"),
        gateway(route(forward("d")), endpoints={"d": [B]}, version="c"),
        gateway(
            route(forward("c"), match=RouteMatch(StringMatch(MatchKind.PREFIX, "/"))),
            clusters=[cluster("c", max_requests_per_connection=3)],
            endpoints={"c": [endpoint(A, weight=5), B]},
            version="d",
        ),
    ]
    rig = await Rig.start(nursery, snapshots[0])
    await rig.upstream(A, "a", answer(200, b"ok", delay=0.05))
    await rig.upstream(B, "b", answer(200, b"ok", delay=0.02))
    statuses: list[int] = []
    stop = False

    async def load() -> None:
        while not stop:
            got = await rig.get()
            statuses.append(got.status)
            assert got.body == b"ok"

    async with trio.open_nursery() as loading:
        for _ in range(8):
            loading.start_soon(load)
        for turn in range(200):
            await trio.sleep(0.013)
            rig.apply(snapshots[turn % len(snapshots)])
        stop = True
    assert len(statuses) > 300
    assert set(statuses) == {200}
    await trio.testing.wait_all_tasks_blocked()
    assert rig.engine.statistics().requests_active == 0


async def test_unchanged_hosts_keep_their_connections(nursery, autojump_clock):
    rig = await Rig.start(nursery, to(A))
    backend = await rig.upstream(A)
    await rig.get()
    host = next(iter(rig.engine.upstreams["c"].hosts.values()))
    rig.apply(to(A, B, version="2"))
    rig.apply(to(A, version="3"))
    await rig.get()
    assert backend.connections == 1
    assert next(iter(rig.engine.upstreams["c"].hosts.values())) is host
    assert host.requests == 2


async def test_a_cluster_that_speaks_otherwise_gets_new_connections(nursery, autojump_clock):
    rig = await Rig.start(nursery, to(A))
    backend = await rig.upstream(A)
    await rig.get()
    rig.apply(gateway(route(forward("c")), clusters=[cluster("c", http2=True)], endpoints={"c": [A]}, version="2"))
    await rig.get()
    await trio.testing.wait_all_tasks_blocked()
    assert [r.version for r in backend.requests] == ["HTTP/1.1", "HTTP/2"]
    assert backend.open == 1


async def test_a_bad_snapshot_changes_nothing(nursery, autojump_clock):
    rig = await Rig.start(nursery, gateway(route(DirectResponse(200, "good"))))
    listeners = rig.engine.live.snapshot.listeners
    twice = assemble(listeners + listeners, (table(name="http.80"),), (), None)
    neither = assemble((Listener("x", 81, Direction.GATEWAY, (FilterChain("c"),)),), (), (), None)
    no_table = assemble(
        (Listener("x", 82, Direction.GATEWAY, (FilterChain("c", http=HttpManager(route_table="none")),)),), (), (), None
    )
    clusters = assemble((), (), ["c", "c"], None)
    for bad, word in ((twice, "two"), (neither, "either HTTP or TCP"), (no_table, "none"), (clusters, "two clusters")):
        with pytest.raises(ConfigError) as caught:
            rig.engine.prepare(bad)
        assert word in str(caught.value)
    assert (await rig.get()).body == b"good"
    assert len(rig.engine.addresses) == 1


async def test_a_taken_port_is_an_error_that_says_so(nursery, autojump_clock):
    network = MemoryNetwork()
    network.listen(Address("", 8080))
    bindings = Bindings(ports=((80, Binding(Address("", 8080))),))
    rig = await Rig.start(nursery, network=network, bindings=bindings)
    with pytest.raises(ConfigError) as caught:
        rig.engine.prepare(to(A))
    assert ":8080" in str(caught.value)
    assert "already in use" in str(caught.value)


async def test_a_default_port_that_is_taken_moves_on(nursery, autojump_clock):
    network = MemoryNetwork()
    network.listen(Address("", 80))
    rig = await Rig.start(nursery, to(A), network=network, bindings=Bindings(movable=True))
    assert rig.engine.addresses["0.0.0.0_80"].port == 81
    rig.apply(to(A, version="2"))
    assert rig.engine.addresses["0.0.0.0_80"].port == 81


async def test_two_listeners_cannot_have_one_address(nursery, autojump_clock):
    chain = FilterChain("c", http=HttpManager(route_table="t"))
    listeners = [Listener(name, 80, Direction.GATEWAY, (chain,)) for name in ("a", "b")]
    rig = await Rig.start(nursery)
    with pytest.raises(ConfigError, match="wanted by listener a too"):
        rig.engine.prepare(assemble(listeners, (table(name="t"),), (), None))


async def test_a_prepared_snapshot_that_is_discarded_leaves_no_socket(nursery, autojump_clock):
    rig = await Rig.start(nursery)
    rig.engine.discard(rig.engine.prepare(to(A)))
    with pytest.raises(ConnectionLost):
        await rig.network.connect(Address("127.0.0.1", 80))
    rig.apply(to(A))
    await rig.network.connect(Address("127.0.0.1", 80))


async def test_a_renamed_listener_keeps_its_socket(nursery, autojump_clock):
    rig = await Rig.start(nursery, gateway(route(DirectResponse(200, "one"))))
    renamed = rig.engine.live.snapshot
    listener = renamed.listeners[0]
    chain = FilterChain("other", http=listener.chains[0].http)
    await rig.get()
    rig.apply(
        assemble(
            (Listener("renamed", 80, Direction.GATEWAY, (chain,)),),
            (table(route(DirectResponse(200, "two"))),),
            (),
            None,
        )
    )
    assert list(rig.engine.addresses) == ["renamed"]
    got = await rig.client.get(rig.address("renamed"))
    assert got.body in (b"one", b"two")
    got = await rig.client.get(rig.address("renamed"))
    assert got.body == b"two", "a connection whose chain is gone serves one request more, and closes"


async def test_a_connection_whose_chain_is_gone_is_served_once_more_as_before(nursery, autojump_clock):
    rig = await Rig.start(nursery, to(A))
    await rig.upstream(A, "as before")
    client = await rig.client.connection(rig.address())
    await trio.testing.wait_all_tasks_blocked()
    chain = FilterChain("other", http=HttpManager(route_table="t"))
    rig.apply(
        assemble((Listener("0.0.0.0_80", 80, Direction.GATEWAY, (chain,)),), (table(name="t"),), (), None, version="2")
    )
    stream = client.open()
    await stream.send_head(RequestHead(b"GET", b"/", b"x"), end=True)
    assert (await read_answer(stream)).body == b"as before"
    stream.finish()
    assert client.is_closed()
    assert (await rig.get()).status == 404


# Drain.


async def test_a_drain_lets_requests_end_and_then_the_engine_ends(nursery, autojump_clock):
    rig = Rig(nursery, MemoryNetwork())
    nursery.start_soon(rig.timers.run)
    ended = trio.Event()

    async def run(task_status=trio.TASK_STATUS_IGNORED):
        await rig.engine.run(task_status)
        ended.set()

    await nursery.start(run)
    rig.apply(to(A))
    await rig.upstream(A, behaviour=answer(200, b"done", delay=10.0))
    got = []

    async def ask() -> None:
        got.append(await rig.get())

    await rig.client.connection(rig.address())
    async with trio.open_nursery() as asking:
        asking.start_soon(ask)
        await trio.sleep(1)
        asking.start_soon(rig.engine.drain)
        await trio.sleep(0.1)
        assert rig.engine.ready.reason == "draining"
        with pytest.raises(ConnectionLost):
            await rig.network.connect(rig.address())
    assert (got[0].status, got[0].body) == (200, b"done")
    await ended.wait()
    assert rig.engine.open_connections() == 0


@pytest.mark.parametrize("down", [False, True], ids=["from-h1", "from-h2"])
async def test_a_drain_cuts_what_does_not_end(nursery, autojump_clock, down):
    rig = await Rig.start(nursery, to(A), limits=ProxyLimits(drain_timeout=5.0))
    await rig.upstream(A, behaviour=hang())
    failures = []

    async def ask() -> None:
        try:
            await rig.get(http2=down)
        except MeshdError as error:
            failures.append((trio.current_time(), error))

    start = trio.current_time()
    async with trio.open_nursery() as asking:
        asking.start_soon(ask)
        await trio.sleep(1)
        await rig.engine.drain()
    assert len(failures) == 1
    assert failures[0][0] - start == 6.0


async def test_a_drain_with_grace_is_unready_before_it_refuses(nursery, autojump_clock):
    rig = await Rig.start(nursery, to(A), limits=ProxyLimits(drain_grace=3.0))
    await rig.upstream(A)
    async with trio.open_nursery() as draining:
        draining.start_soon(rig.engine.drain)
        await trio.sleep(1)
        assert not rig.engine.ready
        assert (await rig.get()).status == 200
        await trio.sleep(3)
        with pytest.raises(ConnectionLost):
            await rig.network.connect(Address("127.0.0.1", 80))


# What a change costs.


async def test_what_is_equal_is_taken_over_as_it_is(nursery, autojump_clock):
    def snapshot(body: str, version: str):
        hosts = (
            VirtualHost("a", ("a.example",), (route(forward("c")),)),
            VirtualHost("b", ("b.example",), (route(DirectResponse(200, body)),)),
        )
        one = gateway(endpoints={"c": [A]}, version=version)
        return assemble(one.listeners, (RouteTable("http.80", hosts),), (), {"c": [A]}, version=version)

    rig = await Rig.start(nursery, snapshot("one", "1"))
    before = {entry.virtual_host: entry for entry in rig.engine.live.router.entries()}
    rig.apply(snapshot("two", "2"))
    after = {entry.virtual_host: entry for entry in rig.engine.live.router.entries()}
    assert after["a"] is before["a"]
    assert after["b"] is not before["b"]
    assert (await rig.get(host="b.example")).body == b"two"
