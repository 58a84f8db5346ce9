"""An application of the demo over real sockets, and the client it asks others with."""

from __future__ import annotations

import json

import pytest
import trio

from meshd.errors import ConnectionLost, MeshdError
from meshd.http.head import Headers, RequestHead
from meshd.modes.demo.client import Client
from meshd.modes.demo.ports import Claims
from meshd.modes.demo.service import Service
from meshd.modes.process import World, open_world
from meshd.modes.settings import Listening
from meshd.net.address import Address

NOBODY = Address("127.0.0.1", 1)


def head(path: str, method: bytes = b"GET", **headers: bytes) -> RequestHead:
    items = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return RequestHead(method, path.encode(), b"details:9080", Headers.of(items))


async def started(nursery: trio.Nursery, world: World, service: str, mesh: Address = NOBODY) -> Address:
    with Claims() as claims:
        address = Address("127.0.0.1", claims.take(1, world.rng)[0])
    nursery.start_soon(Service(service, "v2", address, mesh).run, world)
    while True:
        try:
            (await world.network.connect(address)).close()
        except ConnectionLost:
            await trio.lowlevel.checkpoint()
        else:
            return address


async def test_an_application_answers() -> None:
    async with open_world() as world, trio.open_nursery() as nursery:
        address = await started(nursery, world, "details")
        client = Client(world.network)
        for _ in range(2):
            answer, body = await client.request(address, head("/details/0"), most=10_000)
            assert answer.status == 200
            assert json.loads(body)["hops"][0]["version"] == "v2"
        answer, _ = await client.request(address, head("/none"), most=10_000)
        assert answer.status == 404
        client.close()
        nursery.cancel_scope.cancel()


async def test_one_application_asks_another() -> None:
    async with open_world() as world, trio.open_nursery() as nursery:
        ratings = await started(nursery, world, "ratings")
        reviews = await started(nursery, world, "reviews", mesh=ratings)
        client = Client(world.network)
        _, body = await client.request(reviews, head("/reviews/0", traceparent=b"x"), most=10_000)
        client.close()
        assert json.loads(body)["reviews"][0]["rating"] == {"stars": 5, "color": "black"}
        nursery.cancel_scope.cancel()


async def test_an_answer_that_is_too_long() -> None:
    async with open_world() as world, trio.open_nursery() as nursery:
        address = await started(nursery, world, "details")
        with pytest.raises(ConnectionLost, match="more than 10 bytes"):
            await Client(world.network).request(address, head("/details/0"), most=10)
        nursery.cancel_scope.cancel()


async def test_nobody_there() -> None:
    async with open_world() as world:
        with pytest.raises(MeshdError):
            await Client(world.network).request(NOBODY, head("/"), most=10)


async def test_two_demos_choose_different_ports() -> None:
    async with open_world() as world:
        with Claims() as one, Claims() as other:
            first = one.take(400, world.rng)
            second = other.take(400, world.rng)
            assert not set(first) & set(second)
            door = one.door(Listening(Address("127.0.0.1", first[0])))
            assert door.port != first[0], "it is taken, and was not asked for"
