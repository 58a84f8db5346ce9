"""Short of memory: refusing early, cheaply, and not for ever."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from meshd.errors import MeshdError
from meshd.proxy.limits import ProxyLimits
from meshd.proxy.memory import Memory
from meshd.snapshot.route import DirectResponse
from tests.proxy.rig import Rig
from tests.proxy.snapshots import forward, gateway, route, tcp

A = "10.0.0.1:9080"
MIB = 1024 * 1024
LIMITS = ProxyLimits(memory=100 * MIB)
HELLO = gateway(route(DirectResponse(200, "hi")))


@attrs.define
class Machine:
    """Memory that a test sets."""

    used: int = 10 * MIB
    garbage: int = 0
    shrunk: int = 0

    def shrink(self) -> None:
        self.shrunk += 1
        self.used -= self.garbage
        self.garbage = 0

    @property
    def memory(self) -> Memory:
        return Memory(lambda: self.used, self.shrink)


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
async def test_requests_are_refused_and_taken_again(nursery, autojump_clock, http2):
    machine = Machine()
    rig = await Rig.start(nursery, HELLO, limits=LIMITS, memory=machine.memory)
    assert (await rig.get(http2=http2)).status == 200
    machine.used = 101 * MIB
    await trio.sleep(1.01)
    for _ in range(2):
        got = await rig.get(http2=http2)
        assert (got.status, got.body) == (503, b"overloaded")
        assert got.header("x-meshd-reason") == "OM"
        assert got.header("retry-after") == "1"
    assert "meshd_overload_active 1" in rig.metrics()
    assert 'meshd_overload_requests_refused_total{listener="0.0.0.0_80"} 2' in rig.metrics()
    assert [line["response_flags"] for line in await rig.logs()] == ["-", "OM", "OM"]
    machine.used = 95 * MIB
    held = await rig.network.connect(rig.address())
    await trio.sleep(0.3)
    assert (await rig.get(http2=http2)).status == 503, "not before it is a tenth below"
    machine.used = 89 * MIB
    await trio.sleep(0.11)
    assert (await rig.get(http2=http2)).status == 200
    assert "meshd_overload_active 0" in rig.metrics()
    held.close()


async def test_connections_that_were_refused_end(nursery, autojump_clock):
    machine = Machine()
    rig = await Rig.start(nursery, HELLO, limits=LIMITS, memory=machine.memory)
    await rig.get()
    machine.used = 200 * MIB
    await trio.sleep(1.01)
    assert (await rig.get()).status == 503
    await trio.testing.wait_all_tasks_blocked()
    assert rig.engine.open_connections() == 0


async def test_opaque_connections_are_not_taken(nursery, autojump_clock):
    machine = Machine()
    rig = await Rig.start(nursery, tcp(("c", 1), endpoints={"c": [A]}), limits=LIMITS, memory=machine.memory)
    holder = await rig.upstream(A)
    first = await rig.network.connect(rig.address())
    machine.used = 200 * MIB
    await trio.sleep(1.01)
    connection = await rig.network.connect(rig.address())
    with pytest.raises(MeshdError):
        await connection.receive()
    assert 'reason="overload"} 1' in rig.metrics()
    assert holder.requests == []
    first.close()


async def test_garbage_is_given_back_before_anything_is_refused(nursery, autojump_clock):
    machine = Machine()
    rig = await Rig.start(nursery, HELLO, limits=LIMITS, memory=machine.memory)
    assert (await rig.get()).status == 200
    machine.used, machine.garbage = 120 * MIB, 60 * MIB
    await trio.sleep(1.01)
    assert machine.shrunk == 1
    assert (await rig.get()).status == 200


async def test_a_limit_below_what_the_proxy_needs_by_itself_does_not_stop_it_for_ever(nursery, autojump_clock, caplog):
    machine = Machine(used=150 * MIB)
    rig = await Rig.start(nursery, HELLO, limits=LIMITS, memory=machine.memory)
    await trio.sleep(5)
    assert (await rig.get()).status == 200, "no connection was open: it is not clients that fill it"
    await trio.sleep(1)
    assert (await rig.get()).status == 503
    await trio.sleep(1)
    assert (await rig.get()).status == 200
    for _ in range(20):
        await rig.get()
        await trio.sleep(0.2)
    assert len([record for record in caplog.records if "refusing requests" in record.getMessage()]) <= 2


async def test_a_new_configuration_does_not_end_it(nursery, autojump_clock):
    machine = Machine()
    rig = await Rig.start(nursery, HELLO, limits=LIMITS, memory=machine.memory)
    held = await rig.network.connect(rig.address())
    machine.used = 200 * MIB
    await trio.sleep(1.01)
    rig.apply(gateway(route(forward("c")), endpoints={"c": [A]}, version="2"))
    assert (await rig.get()).status == 503
    assert rig.engine.live is not None
    assert rig.engine.live.snapshot.version == "2"
    held.close()


async def test_without_a_limit_nothing_is_looked_at(nursery, autojump_clock):
    def used() -> int:
        raise AssertionError("nobody asked")

    await Rig.start(nursery, HELLO, memory=Memory(used, used))
    await trio.sleep(100)
