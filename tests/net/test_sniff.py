from __future__ import annotations

import pytest
import trio

from meshd.errors import ConnectionLost
from meshd.net.memory import memory_pair
from meshd.net.sniff import Sniffed, inspect
from tests.net.test_first_bytes import openssl_hello


async def test_everything_is_put_back():
    client, server = memory_pair()
    client.wire.chunk = 7
    data = openssl_hello("reviews", ("istio", "h2"))
    await client.send(data + b"rest")
    sniffed = await inspect(server, tls=True, http=True)
    assert sniffed.transport_protocol == "tls"
    assert sniffed.application_protocols == ("istio", "h2")
    assert sniffed.server_name == "reviews"
    got = b""
    while len(got) < len(data) + 4:
        got += await server.receive()
    assert got == data + b"rest"


@pytest.mark.parametrize(
    ("data", "protocols"),
    [(b"GET / HTTP/1.1\r\n\r\n", ("http/1.1",)), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ("h2c",)), (b"\x00\x01", ())],
)
async def test_plain_protocols(data, protocols):
    client, server = memory_pair()
    await client.send(data)
    sniffed = await inspect(server, tls=True, http=True)
    assert sniffed.transport_protocol == "raw_buffer"
    assert sniffed.application_protocols == protocols
    assert sniffed.server_name == ""
    assert await server.receive() == data


async def test_nothing_is_read_when_nothing_is_looked_for():
    _, server = memory_pair()
    assert await inspect(server, tls=False, http=False) == Sniffed()


async def test_a_peer_that_ends_too_early():
    client, server = memory_pair()
    await client.send(b"GET /")
    await client.send_eof()
    assert await inspect(server, tls=True, http=True) == Sniffed(ended=True)
    assert await server.receive() == b"GET /"
    assert await server.receive() == b""


async def test_too_many_bytes_are_opaque():
    client, server = memory_pair()
    await client.send(b"\x16\x03\x01\x3f\xff\x01\x00\x3f\x00" + bytes(200))
    assert await inspect(server, tls=True, http=True, max_bytes=100) == Sniffed()
    assert len(await server.receive()) == 209


async def test_a_deadline_loses_nothing(autojump_clock):
    client, server = memory_pair()
    await client.send(b"GET /")
    with trio.move_on_after(1) as scope:
        await inspect(server, tls=True, http=True)
    assert scope.cancelled_caught
    assert await server.receive() == b"GET /"


async def test_a_reset_is_a_loss():
    client, server = memory_pair()
    client.wire.cut()
    with pytest.raises(ConnectionLost):
        await inspect(server, tls=True, http=True)
