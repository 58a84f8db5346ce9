"""Captured connections: whose they are, where they go on to, and that none goes round in a circle."""

from __future__ import annotations

import attrs
import pytest
import trio

from meshd.errors import ConnectionLost, MeshdError
from meshd.net.address import Address
from meshd.net.memory import MemoryNetwork, Wire
from meshd.proxy.capture.own_connections import REMEMBERED, REMEMBERED_FOR, OwnConnections
from meshd.snapshot.chains import VIRTUAL_INBOUND, VIRTUAL_OUTBOUND, select_listener
from meshd.snapshot.cluster import Cluster, Discovery, Endpoint, EndpointGroup
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, FilterChainMatch, Listener, TcpProxy
from meshd.snapshot.snapshot import Snapshot
from tests.proxy.rig import Rig

PASSTHROUGH = "PassthroughCluster"
OUTBOUND = Address("127.0.0.1", 15001)
INBOUND = Address("127.0.0.1", 15006)


def tcp(name: str, cluster: str, match: FilterChainMatch = FilterChainMatch()) -> FilterChain:
    return FilterChain(name, match, tcp=TcpProxy(((cluster, 1),)))


def outbound(name: str, port: int, cluster: str, host: str = "", *, bound: bool = False) -> Listener:
    return Listener(name, port, Direction.OUTBOUND, (tcp(name, cluster),), host=host, bound=bound)


SNAPSHOT = Snapshot(
    version="1",
    listeners=(
        outbound("0.0.0.0_9080", 9080, "reviews"),
        outbound("10.1.1.1_9080", 9080, "ratings", "10.1.1.1"),
        attrs.evolve(outbound(VIRTUAL_OUTBOUND, 15001, PASSTHROUGH, bound=True), host="127.0.0.1"),
        Listener(
            VIRTUAL_INBOUND,
            15006,
            Direction.INBOUND,
            (
                tcp("app", "app", FilterChainMatch(destination_port=8080)),
                tcp("rest", "InboundPassthroughCluster"),
            ),
            default_destination_port=8080,
        ),
    ),
    clusters=(
        Cluster("reviews"),
        Cluster("ratings"),
        Cluster("app"),
        Cluster(PASSTHROUGH, Discovery.ORIGINAL_DESTINATION),
        Cluster("InboundPassthroughCluster", Discovery.ORIGINAL_DESTINATION),
    ),
    endpoints=(
        EndpointGroup("reviews", (Endpoint("10.0.0.2", 1),)),
        EndpointGroup("ratings", (Endpoint("10.0.0.3", 1),)),
        EndpointGroup("app", (Endpoint("127.0.0.1", 8080),)),
    ),
)


class Programs:
    """Servers that say who they are and where they were called from, and a client that is captured."""

    def __init__(self, rig: Rig, network: MemoryNetwork, nursery: trio.Nursery) -> None:
        self.rig, self.network, self.nursery = rig, network, nursery

    async def serve(self, address: str) -> None:
        listener = self.network.listen(Address.parse(address))

        async def run() -> None:
            while True:
                connection = await listener.accept()
                await connection.send(f"{address} called from {connection.peer.host}".encode())
                await connection.send_eof()

        self.nursery.start_soon(run)

    async def call(self, to: Address, captured_from: str = "") -> str:
        """What the server says; ``to`` is where the kernel leads the connection."""

        def mark(wire: Wire) -> None:
            if wire.client.peer == to and captured_from:
                wire.captured_from = Address.parse(captured_from)

        self.network.on_wire = mark
        connection = await self.network.connect(to)
        self.network.on_wire = None if not captured_from else mark
        heard = b""
        while data := await connection.receive():
            heard += data
        connection.close()
        return heard.decode()


async def start(nursery: trio.Nursery) -> Programs:
    """A proxy with programs around it."""
    network = MemoryNetwork()
    rig = await Rig.start(nursery, SNAPSHOT, network=network)
    made = Programs(rig, network, nursery)
    for address in ("10.0.0.2:1", "10.0.0.3:1", "127.0.0.1:8080", "93.184.0.1:5432", "10.0.0.1:9999"):
        await made.serve(address)
    return made


@pytest.mark.parametrize(
    ("destination", "server"),
    [
        ("10.1.1.1:9080", "10.0.0.3:1"),
        ("10.1.1.2:9080", "10.0.0.2:1"),
        ("93.184.0.1:5432", "93.184.0.1:5432"),
    ],
)
async def test_the_listener_for_the_destination_has_it(nursery, autojump_clock, destination, server):
    programs = await start(nursery)
    assert await programs.call(OUTBOUND, destination) == f"{server} called from 127.0.0.1"


@pytest.mark.parametrize("destination", ["10.1.1.1:9080", "10.1.1.2:9080", "93.184.0.1:5432", "10.1.1.1:15006"])
async def test_it_is_the_one_an_explanation_names(nursery, autojump_clock, destination):
    programs = await start(nursery)
    address = Address.parse(destination)
    live = programs.rig.engine.current()
    found = live.listener_for(address)
    assert found is not None
    assert found.listener is select_listener(SNAPSHOT.listeners, address.host, address.port)


async def test_logs_and_policies_see_the_destination(nursery, autojump_clock):
    programs = await start(nursery)
    await programs.call(OUTBOUND, "93.184.0.1:5432")
    await trio.sleep(1)
    await programs.rig.log_writer.flush()
    assert b" 93.184.0.1:5432 127.0.0.1:" in programs.rig.sink.data


async def test_what_comes_in_is_for_the_port_it_was_sent_to(nursery, autojump_clock):
    programs = await start(nursery)
    assert await programs.call(INBOUND, "10.0.0.1:8080") == "127.0.0.1:8080 called from 127.0.0.1"


async def test_other_ports_are_handed_on_as_having_come_in(nursery, autojump_clock):
    programs = await start(nursery)
    assert await programs.call(INBOUND, "10.0.0.1:9999") == "10.0.0.1:9999 called from 127.0.0.6"


async def test_without_capture_the_application_is_meant(nursery, autojump_clock):
    programs = await start(nursery)
    assert await programs.call(INBOUND) == "127.0.0.1:8080 called from 127.0.0.1"


async def test_what_listens_on_loopback_alone_stays_alone(nursery, autojump_clock):
    programs = await start(nursery)
    await programs.serve("127.0.0.1:15000")
    with pytest.raises(MeshdError):
        await programs.call(INBOUND, "10.0.0.1:15000")


@pytest.mark.parametrize("port", [15001, 15006])
async def test_the_proxy_itself_is_no_destination(nursery, autojump_clock, port):
    programs = await start(nursery)
    # 15006 and 15001 are taken for a call to the proxy itself, 15001 by the inbound side is refused by name.
    entry = INBOUND if port == 15001 else OUTBOUND
    with pytest.raises(MeshdError):
        await programs.call(entry, f"127.0.0.1:{port}")


async def test_own_connections_that_come_back_are_refused(nursery, autojump_clock):
    own = OwnConnections()
    network = MemoryNetwork()
    rig = await Rig.start(nursery, SNAPSHOT, network=network, own_connections=own)
    made = Programs(rig, network, nursery)
    await made.serve("93.184.0.1:5432")

    def mark(wire: Wire) -> None:
        wire.captured_from = Address("93.184.0.1", 5432)
        own.note(wire.client.local, Address("93.184.0.1", 5432), trio.current_time())

    network.on_wire = mark
    connection = await network.connect(OUTBOUND)
    with pytest.raises(ConnectionLost):
        await connection.receive()
    assert 'reason="loop"' in b"".join(rig.registry.render()).decode()


async def test_a_new_configuration_keeps_captured_connections(nursery, autojump_clock):
    programs = await start(nursery)
    listener = programs.network.listen(Address("10.0.0.9", 7))
    programs.network.on_wire = lambda wire: setattr(wire, "captured_from", Address("10.0.0.9", 7))
    client = await programs.network.connect(OUTBOUND)
    programs.network.on_wire = None
    server = await listener.accept()

    programs.rig.apply(attrs.evolve(SNAPSHOT, version="2"))
    await trio.sleep(100)
    await client.send(b"still here")
    assert await server.receive() == b"still here"


async def test_a_listener_that_leaves_takes_its_captured_connections_along(nursery, autojump_clock):
    programs = await start(nursery)
    listener = programs.network.listen(Address("10.0.0.4", 1))
    programs.rig.apply(
        attrs.evolve(SNAPSHOT, version="2", endpoints=(EndpointGroup("reviews", (Endpoint("10.0.0.4", 1),)),))
    )
    programs.network.on_wire = lambda wire: setattr(wire, "captured_from", Address("10.9.9.9", 9080))
    client = await programs.network.connect(OUTBOUND)
    programs.network.on_wire = None
    await listener.accept()

    rest = tuple(each for each in SNAPSHOT.listeners if each.name != "0.0.0.0_9080")
    programs.rig.apply(attrs.evolve(SNAPSHOT, version="3", listeners=rest))
    with trio.fail_after(100), pytest.raises(ConnectionLost):
        await client.receive()


def test_own_connections_are_forgotten():
    own = OwnConnections()
    here, there = Address("10.0.0.1", 40000), Address("10.0.0.2", 80)
    own.note(here, there, 0.0)
    assert own.made(here, there, REMEMBERED_FOR)
    assert not own.made(here, Address("10.0.0.3", 80), 0.0)
    assert not own.made(here, there, REMEMBERED_FOR + 0.1)

    own.note(here, there, 10.0)
    for port in range(REMEMBERED):
        own.note(Address("10.0.0.1", port), there, 10.0)
    assert not own.made(here, there, 10.0)
