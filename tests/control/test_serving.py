"""The listeners of the API."""

from __future__ import annotations

from random import Random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from meshd.control.serving import ServingLimits
from meshd.errors import ConnectionLost
from meshd.net.address import Address
from tests.agent.rig import CONTROL, ControlRig
from tests.control.api import Client, identity_of


async def restart(control: ControlRig, nursery: trio.Nursery, limits: ServingLimits) -> None:
    await control.stop()
    control.options["serving"] = limits
    await control.start(nursery)


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\x00" * 1000, b"\x16"])
async def test_what_is_no_tls_is_sent_away(control: ControlRig, data: bytes, autojump_clock: MockClock) -> None:
    connection = await control.network.connect(CONTROL)
    if data:
        await connection.send(data)
    began = trio.current_time()
    try:
        while await connection.receive():
            pass
    except ConnectionLost:
        pass
    assert trio.current_time() - began <= 10
    await trio.sleep(2)
    assert control.listener.statistics() == {"connections": 0, "anonymous": 0}
    assert (await Client(control).ask("GET", "/v1/bundle")).status == 200


async def test_random_bytes_harm_nobody(control: ControlRig, autojump_clock: MockClock) -> None:
    rng = Random(5)
    for _ in range(50):
        connection = await control.network.connect(CONTROL)
        await connection.send(b"\x16\x03\x01" + rng.randbytes(rng.randrange(1, 300)))
        connection.close()
    await trio.sleep(11)
    assert control.listener.statistics()["connections"] == 0
    assert (await Client(control).ask("GET", "/v1/bundle")).status == 200


async def test_strangers_cannot_crowd_out_the_mesh(
    control: ControlRig, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await restart(control, nursery, ServingLimits(max_anonymous=5))
    proxy = Client(control, identity_of(control))
    assert (await proxy.ask("GET", "/v1/bundle")).status == 200
    strangers = [await control.network.connect(CONTROL) for _ in range(8)]
    await wait_all_tasks_blocked()
    assert control.listener.statistics() == {"connections": 6, "anonymous": 5}
    assert (await proxy.ask("GET", "/v1/bundle")).status == 200, "who is known is served"
    await trio.sleep(11)
    assert control.listener.statistics()["anonymous"] == 0
    for stranger in strangers:
        stranger.close()
    assert (await Client(control).ask("GET", "/v1/bundle")).status == 200


async def test_a_limit_on_connections(control: ControlRig, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    await restart(control, nursery, ServingLimits(max_connections=2))
    clients = [Client(control, identity_of(control, f"a{index}")) for index in range(2)]
    for client in clients:
        assert (await client.ask("GET", "/v1/bundle")).status == 200
    third = await control.network.connect(CONTROL)
    assert await third.receive() == b""
    clients[0].channel.close()
    await trio.sleep(1)
    assert (await Client(control).ask("GET", "/v1/bundle")).status == 200


async def test_idle_connections_end(control: ControlRig, autojump_clock: MockClock) -> None:
    client = Client(control)
    assert (await client.ask("GET", "/v1/bundle")).status == 200
    await trio.sleep(121)
    assert control.listener.statistics()["connections"] == 0
    assert (await client.ask("GET", "/v1/bundle")).status == 200


async def test_drain(control: ControlRig, autojump_clock: MockClock) -> None:
    client = Client(control)
    assert (await client.ask("GET", "/v1/bundle")).status == 200
    control.listener.drain()
    await trio.sleep(1)
    assert control.listener.statistics()["connections"] == 0


def test_the_rig_listens_where_clients_ask() -> None:
    assert Address("127.0.0.1", 15012) == CONTROL
