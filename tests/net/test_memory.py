"""The network inside one process: addresses, machines, and the harm a test can do."""

from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from meshd.errors import ConnectionLost
from meshd.net.address import Address
from meshd.net.memory import MemoryNetwork, StaticResolver, Wire, memory_pair


async def test_machines_have_their_own_ports_and_loopback():
    network = MemoryNetwork()
    a, b = network.machine("10.0.0.1"), network.machine("10.0.0.2")
    at_a = a.listen(Address("", 15006))
    at_b = b.listen(Address("", 15006))
    private = b.listen(Address("127.0.0.1", 8080))
    client = await a.connect(Address("10.0.0.2", 15006))
    server = await at_b.accept()
    assert server.peer.host == "10.0.0.1"
    assert server.local == Address("10.0.0.2", 15006)
    await client.send(b"hello")
    assert await server.receive() == b"hello"
    loop = await b.connect(Address("127.0.0.1", 8080))
    assert (await private.accept()).peer.host == "127.0.0.1"
    assert loop.local.host == "127.0.0.1"
    for machine, address in ((a, Address("10.0.0.2", 8080)), (a, Address("127.0.0.1", 8080))):
        with pytest.raises(ConnectionLost, match="connection refused"):
            await machine.connect(address)
    with pytest.raises(OSError, match="Cannot assign"):
        a.listen(Address("10.0.0.2", 80))
    await a.connect(Address("127.0.0.1", 15006))
    assert (await at_a.accept()).peer.host == "127.0.0.1"


async def test_the_network_itself_owns_every_other_address():
    network = MemoryNetwork()
    listener = network.listen(Address("", 9080))
    await network.machine("10.0.0.1").connect(Address("192.0.2.7", 9080))
    connection = await listener.accept()
    assert connection.local == Address("192.0.2.7", 9080)
    assert connection.peer.host == "10.0.0.1"


def test_a_port_is_taken_once():
    network = MemoryNetwork()
    network.listen(Address("", 80))
    for host in ("", "127.0.0.1", "10.1.1.1"):
        with pytest.raises(OSError) as caught:
            network.listen(Address(host, 80))
        assert caught.value.errno == errno.EADDRINUSE
    network.machine("10.0.0.1").listen(Address("", 80))


def test_a_closed_listener_frees_its_port():
    network = MemoryNetwork()
    for _ in range(3):
        listener = network.listen(Address("127.0.0.1", 80))
        listener.close()
        listener.close()


async def test_port_0_is_a_free_port():
    network = MemoryNetwork()
    listeners = [network.listen(Address("", 0)) for _ in range(50)]
    assert len({listener.address.port for listener in listeners}) == 50
    await network.connect(listeners[7].address)
    await listeners[7].accept()


async def test_closing_a_listener_ends_a_pending_accept_and_resets_the_backlog():
    network = MemoryNetwork()
    listener = network.listen(Address("", 80))
    waiting = await network.connect(Address("10.0.0.9", 80))
    await listener.accept()
    abandoned = await network.connect(Address("10.0.0.9", 80))

    async def accept() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await other.accept()

    other = network.listen(Address("", 81))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        await wait_all_tasks_blocked()
        other.close()
    listener.close()
    with pytest.raises(ConnectionLost):
        await abandoned.receive()
    assert waiting.receive_nowait() is None
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()


async def test_a_full_backlog_lets_clients_wait(autojump_clock):
    network = MemoryNetwork()
    listener = network.listen(Address("", 80), backlog=2)
    for _ in range(2):
        await network.connect(Address("10.0.0.9", 80))
    with trio.move_on_after(10) as scope:
        await network.connect(Address("10.0.0.9", 80))
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.connect, Address("10.0.0.9", 80))
        await wait_all_tasks_blocked()
        for _ in range(3):
            await listener.accept()


async def test_silence_is_not_refusal(autojump_clock):
    network = MemoryNetwork()
    network.silent.add("10.0.0.9")
    with trio.move_on_after(60) as scope:
        await network.connect(Address("10.0.0.9", 80))
    assert scope.cancelled_caught


async def test_a_cut_is_a_loss_for_both():
    client, server = memory_pair()
    await client.send(b"last")
    client.wire.cut()
    assert await server.receive() == b"last"
    for end in (client, server):
        with pytest.raises(ConnectionLost, match="reset"):
            await end.receive()
        with pytest.raises(ConnectionLost, match="reset"):
            await end.send(b"x")


async def test_a_stalled_wire_holds_bytes_back_and_fills_up(autojump_clock):
    client, server = memory_pair(window=1000)
    client.wire.stall()
    await client.send(bytes(1000))
    with trio.move_on_after(5) as scope:
        await client.send(b"x")
    assert scope.cancelled_caught
    with trio.move_on_after(5) as scope:
        await server.receive()
    assert scope.cancelled_caught
    assert server.receive_nowait() is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.receive)
        await wait_all_tasks_blocked()
        client.wire.resume()


async def test_latency_is_exact_on_virtual_time(autojump_clock):
    network = MemoryNetwork()

    def slow(wire: Wire) -> None:
        wire.latency = 0.25

    network.on_wire = slow
    listener = network.listen(Address("", 80))
    client = await network.connect(Address("10.0.0.9", 80))
    assert trio.current_time() == 0.5
    server = await listener.accept()
    await client.send(b"a")
    await trio.sleep(0.1)
    await client.send(b"b")
    assert server.receive_nowait() is None
    assert await server.receive() == b"a"
    assert trio.current_time() == 0.75
    assert await server.receive() == b"b"
    assert trio.current_time() == 0.85
    told = trio.Event()
    server.on_hangup = told.set
    client.close()
    assert server.receive_nowait() is None
    await told.wait()
    assert trio.current_time() == 1.1
    assert await server.receive() == b""


async def test_a_wire_may_deliver_in_small_pieces():
    client, server = memory_pair()
    client.wire.chunk = 2
    await client.send(b"abcde")
    assert [await server.receive() for _ in range(3)] == [b"ab", b"cd", b"e"]


async def test_the_network_knows_what_is_open():
    network = MemoryNetwork()
    listener = network.listen(Address("", 80))
    client = await network.connect(Address("10.0.0.9", 80))
    server = await listener.accept()
    assert [wire.client for wire in network.wires] == [client]
    client.close()
    assert len(network.wires) == 1
    server.close()
    assert network.wires == ()


async def test_static_names():
    resolver = StaticResolver({"reviews": ["10.0.0.1", "10.0.0.2"]})
    assert await resolver.resolve("Reviews.") == ("10.0.0.1", "10.0.0.2")
    assert await resolver.resolve("::1") == ("::1",)
    with pytest.raises(ConnectionLost, match="ratings"):
        await resolver.resolve("ratings")
    resolver.names["ratings"] = ("10.0.0.3",)
    assert await resolver.resolve("ratings") == ("10.0.0.3",)
