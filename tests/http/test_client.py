"""The client over a memory network: reuse, limits, deadlines, and what it says when it fails."""

from __future__ import annotations

import ssl
import tempfile

import pytest
import trio
from trio.testing import MockClock

from meshd.errors import ConfigError, ConnectionLost, DeadlineExceeded, ProtocolError, UpstreamError
from meshd.http.client import KEEP, ClientTls, HttpClient
from meshd.http.head import Headers, ResponseHead
from meshd.http.limits import HttpLimits
from meshd.http.server import serve_connection
from meshd.http.stream import ServerStream
from meshd.net.address import Address
from meshd.net.connection import Connection
from meshd.net.memory import MemoryNetwork, StaticResolver
from meshd.net.timers import Timers
from meshd.net.tls import wrap_server
from tests.certs.pki import make_ca
from tests.http.conftest import echo


class Origin:
    """A server on a memory network, and a client for it."""

    def __init__(self, timers: Timers, nursery: trio.Nursery) -> None:
        self.network = MemoryNetwork()
        self.listener = self.network.listen(Address("10.0.0.1", 80))
        self.secure = self.network.listen(Address("10.0.0.1", 443))
        self.accepted: list[Connection] = []
        self.handler = echo
        self.limits = HttpLimits()
        self.timers = timers
        self.nursery = nursery
        self.context: ssl.SSLContext | None = None
        self.client = HttpClient(
            self.network, StaticResolver({"origin": ("10.0.0.9", "10.0.0.1")}), timers, tls=self.tls
        )
        self.trust: ssl.SSLContext | None = None
        nursery.start_soon(self.serve, self.listener)
        nursery.start_soon(self.serve, self.secure)

    def tls(self, host: str) -> ClientTls:
        assert host == "origin"
        assert self.trust is not None
        return ClientTls(self.trust)

    async def serve(self, listener: object) -> None:
        while True:
            connection = await listener.accept()  # type: ignore[attr-defined]
            self.accepted.append(connection)
            self.nursery.start_soon(self.serve_one, connection, listener is self.secure)

    async def serve_one(self, connection: Connection, secure: bool) -> None:
        if secure:
            assert self.context is not None
            try:
                connection = await wrap_server(connection, self.context)
            except Exception:  # noqa: BLE001 - the client's view is what is tested
                return
        await serve_connection(connection, self.handler, timers=self.timers, limits=self.limits)


@pytest.fixture
async def origin(timers: Timers, nursery: trio.Nursery) -> Origin:
    return Origin(timers, nursery)


async def test_a_request(origin: Origin) -> None:
    response = await origin.client.request(
        "POST", "http://origin/a?b=c", timeout=5, headers=[("X-A", "b")], body=b"hello"
    )
    assert response.status == 200
    assert response.headers.get(b"content-length") is None
    assert response.body == b"POST origin /a?b=c|5|x-a=b|hello"
    assert response.tls is None
    assert "hello" not in repr(response)


async def test_connections_are_kept(origin: Origin) -> None:
    for _ in range(3):
        await origin.client.request("GET", "http://origin", timeout=5)
    assert len(origin.accepted) == 1
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(lambda: origin.client.request("GET", "http://origin:80/", timeout=5))
    assert len(origin.accepted) == 3
    origin.client.close()
    await origin.client.request("GET", "http://origin/", timeout=5)
    assert len(origin.accepted) == 4


async def test_idle_connections_are_bounded_in_number_and_time(origin: Origin, autojump_clock: MockClock) -> None:
    del autojump_clock
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(lambda: origin.client.request("GET", "http://origin/", timeout=5))
    await trio.testing.wait_all_tasks_blocked()
    assert len([wire for wire in origin.network.wires if not wire.closed]) == 4
    await trio.sleep(KEEP - 1)
    await origin.client.request("GET", "http://origin/", timeout=5)
    await trio.sleep(2)
    assert len([wire for wire in origin.network.wires if not wire.closed]) == 1
    await trio.sleep(KEEP)
    assert not [wire for wire in origin.network.wires if not wire.closed]


async def test_a_kept_connection_that_died_is_replaced(origin: Origin) -> None:
    await origin.client.request("GET", "http://origin/", timeout=5)
    origin.network.wires[0].cut()
    assert (await origin.client.request("GET", "http://origin/", timeout=5)).status == 200
    assert len(origin.accepted) == 2


async def test_one_that_dies_under_the_request_is_tried_again_if_that_is_safe(origin: Origin) -> None:
    async def once(stream: ServerStream) -> None:
        if len(served) % 2:
            stream.abort(ConnectionLost("gone"))
        served.append(stream)
        if not stream.aborted:
            await echo(stream)

    served: list[ServerStream] = []
    origin.handler = once
    await origin.client.request("GET", "http://origin/", timeout=5)
    assert (await origin.client.request("GET", "http://origin/", timeout=5)).status == 200
    assert len(served) == 3
    with pytest.raises(UpstreamError):
        await origin.client.request("POST", "http://origin/", timeout=5)


async def test_the_deadline_covers_all_of_it(origin: Origin, autojump_clock: MockClock) -> None:
    del autojump_clock

    async def slow(stream: ServerStream) -> None:
        await stream.respond(ResponseHead(200, length=100), end=False)
        for _ in range(100):
            await trio.sleep(1)
            await stream.send(b"x")

    origin.handler = slow
    with pytest.raises(DeadlineExceeded, match="30 seconds"):
        await origin.client.request("GET", "http://origin/", timeout=30)
    assert trio.current_time() == pytest.approx(30)
    await trio.testing.wait_all_tasks_blocked()
    assert origin.network.wires == () or all(wire.client.closed for wire in origin.network.wires)


async def test_a_body_is_bounded(origin: Origin) -> None:
    async def large(stream: ServerStream) -> None:
        await stream.respond(ResponseHead(200, length=None), end=False)
        while True:
            await stream.send(bytes(10_000))

    origin.handler = large
    with pytest.raises(ProtocolError, match="more than 50000"):
        await origin.client.request("GET", "http://origin/", timeout=5, max_body=50_000)


async def test_a_stream_is_received_piece_by_piece(origin: Origin) -> None:
    async with origin.client.stream("GET", "http://origin/x", timeout=5) as response:
        assert response.status == 200
        assert isinstance(response.headers, Headers)
        assert await response.receive() == b"GET origin /x|0||"
        assert await response.receive() == b""
    async with origin.client.stream("GET", "http://origin/x", timeout=5):
        pass
    await origin.client.request("GET", "http://origin/x", timeout=5)
    assert len(origin.accepted) == 1


@pytest.mark.parametrize(
    "url",
    ["origin", "ftp://origin/", "http://", "http://u:p@origin/", "http://origin:x/", "http://origin/é", "http://[::1"],
)
async def test_urls_that_cannot_be_used(origin: Origin, url: str) -> None:
    with pytest.raises(ConfigError, match="is no URL"):
        await origin.client.request("GET", url, timeout=5)


async def test_what_cannot_be_reached(origin: Origin) -> None:
    with pytest.raises(ConnectionLost, match="refused"):
        await origin.client.request("GET", "http://origin:81/", timeout=5)
    with pytest.raises(ConnectionLost, match="nowhere"):
        await origin.client.request("GET", "http://nowhere/", timeout=5)


async def test_https(origin: Origin) -> None:
    ca = make_ca()
    identity = ca.issue(None, dns=("origin",))
    origin.context = server_context(identity.chain_pem, identity.key_pem)
    origin.trust = ssl.create_default_context(cadata=ca.root_pem)
    response = await origin.client.request("GET", "https://origin/", timeout=5)
    assert response.body.startswith(b"GET origin /|")
    assert response.tls is not None
    assert response.tls.version == "TLSv1.3"
    origin.client.close()
    origin.trust = ssl.create_default_context(cadata=make_ca().root_pem)
    with pytest.raises(Exception, match=r"(?i)certificate|verif"):
        await origin.client.request("GET", "https://origin/", timeout=5)


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


async def test_https_without_a_way_to_speak_it(origin: Origin, timers: Timers) -> None:
    client = HttpClient(origin.network, StaticResolver({"origin": ("10.0.0.1",)}), timers)
    with pytest.raises(ConfigError, match="TLS"):
        await client.request("GET", "https://origin/", timeout=5)
