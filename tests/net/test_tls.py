"""TLS over memory connections: identities, alerts, ends of streams."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio

from meshd.certs.contexts import TlsSettings, mesh_context
from meshd.certs.verify import verify_spiffe
from meshd.errors import ConnectionLost, DeadlineExceeded, IdentityError, ProtocolError, TlsAlert
from meshd.net.memory import MemoryConnection, memory_pair
from meshd.net.tls import TlsConnection, wrap_client, wrap_server
from tests.certs.pki import RATINGS, REVIEWS, make_ca

MESH = TlsSettings(alpn=("h2", "http/1.1"))
KIB = 1024


@pytest.fixture(scope="module")
def ca():
    return make_ca()


@pytest.fixture(scope="module")
def server_context(ca):
    return mesh_context(ca.issue(REVIEWS), MESH, server=True)


@pytest.fixture(scope="module")
def client_context(ca):
    return mesh_context(ca.issue(RATINGS), MESH, server=False)


async def outcome(operation: Awaitable[object]) -> object:
    """What it returns or raises."""
    try:
        return await operation
    except Exception as error:  # noqa: BLE001 - the outcome is what is asserted
        return error


async def both(first: Callable[[], Awaitable[object]], second: Callable[[], Awaitable[object]]) -> list[object]:
    """What two operations that run together return or raise."""
    results: list[object] = [None, None]

    async def run(index: int, operation: Callable[[], Awaitable[object]]) -> None:
        results[index] = await outcome(operation())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, 0, first)
        nursery.start_soon(run, 1, second)
    return results


async def handshake(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext, **kwargs
) -> tuple[TlsConnection, TlsConnection, MemoryConnection, MemoryConnection]:
    client_end, server_end = memory_pair(**kwargs)
    client, server = await both(
        lambda: wrap_client(client_end, client_context, server_hostname="reviews"),
        lambda: wrap_server(server_end, server_context, server_name="reviews"),
    )
    assert isinstance(client, TlsConnection), client
    assert isinstance(server, TlsConnection), server
    return client, server, client_end, server_end


async def test_both_learn_who_the_other_is(ca, server_context, client_context):
    client_end, server_end = memory_pair()
    client, server = await both(
        lambda: wrap_client(client_end, client_context, verify=verify_spiffe(ids=[REVIEWS]), local_uri=RATINGS),
        lambda: wrap_server(
            server_end, server_context, verify=verify_spiffe(trust_domains=["cluster.local"]), server_name="reviews"
        ),
    )
    assert client.tls.peer_uri == REVIEWS
    assert client.tls.local_uri == RATINGS
    assert client.tls.alpn == "h2"
    assert client.tls.version == "TLSv1.3"
    assert server.tls.peer_uri == RATINGS
    assert server.tls.server_name == "reviews"
    assert server.tls.peer_certificate.startswith(b"\x30")
    await client.send(b"ping")
    assert await server.receive() == b"ping"
    await server.send(b"pong")
    assert await client.receive() == b"pong"
    await client.aclose()
    assert await server.receive() == b""
    assert not server.truncated
    await server.aclose()


async def test_works_one_byte_at_a_time(server_context, client_context):
    client_end, server_end = memory_pair()
    client_end.wire.chunk = 1
    client, server = await both(
        lambda: wrap_client(client_end, client_context), lambda: wrap_server(server_end, server_context)
    )
    await client.send(b"x" * 300)
    assert await server.receive() == b"x" * 300


async def test_a_large_send_waits_for_its_reader_and_arrives_whole(server_context, client_context):
    client, server, _, server_end = await handshake(client_context, server_context)
    data = bytes(range(256)) * 4 * KIB
    got = bytearray()
    most = 0

    async def read() -> None:
        nonlocal most
        while len(got) < len(data):
            piece = await server.receive()
            most = max(most, len(piece))
            got.extend(piece)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, data)
        await trio.testing.wait_all_tasks_blocked()
        assert server_end._incoming.size <= 64 * KIB
        nursery.start_soon(read)
    assert got == data
    assert 16 * KIB < most <= 64 * KIB, "records that are here together are handed out together"


async def test_decrypted_bytes_are_handed_out_while_the_transport_is_silent(server_context, client_context):
    client, server, _, _ = await handshake(client_context, server_context)
    for word in (b"one", b"two", b"three"):
        await client.send(word)
    assert await server.receive() == b"one"
    assert await server.receive() == b"two"
    assert server.receive_nowait() == b"three"
    assert server.receive_nowait() is None


async def test_unread_bytes_come_first(server_context, client_context):
    client, server, _, _ = await handshake(client_context, server_context)
    await client.send(b"world")
    server.unread(b"lo ")
    server.unread(b"hel")
    assert await server.receive() == b"hello "
    assert await server.receive() == b"world"


async def test_half_close_keeps_what_had_arrived(server_context, client_context):
    client, server, _, _ = await handshake(client_context, server_context)
    await client.send(b"request")
    await server.send(b"early")
    await server.send(b"words")
    # The client has not read them when it ends its own stream.
    assert client.receive_nowait() == b"early"
    await client.send_eof()
    await client.send_eof()
    assert await server.receive() == b"request"
    assert await server.receive() == b""
    assert not server.truncated
    await server.send(b"late")
    assert await client.receive() == b"words"
    assert await client.receive() == b"late"
    with pytest.raises(trio.ClosedResourceError):
        await client.send(b"more")
    await server.aclose()
    assert await client.receive() == b""


async def test_an_end_without_close_notify_is_flagged(server_context, client_context):
    client, server, client_end, _ = await handshake(client_context, server_context)
    await client.send(b"half of")
    client_end.close()
    assert await server.receive() == b"half of"
    assert await server.receive() == b""
    assert server.truncated


async def test_a_reset_is_lost_not_ended(server_context, client_context):
    client, server, client_end, _ = await handshake(client_context, server_context)
    await client.send(b"half of")
    client_end.wire.cut()
    assert await server.receive() == b"half of"
    with pytest.raises(ConnectionLost, match="reset"):
        await server.receive()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_a_client_of_another_authority_gets_an_alert(ca, server_context, version):
    stranger = make_ca("other").issue(RATINGS, bundle_pem=ca.root_pem)
    settings = TlsSettings(maximum_version=version)
    client_end, server_end = memory_pair()

    async def be_client() -> object:
        connection = await wrap_client(client_end, mesh_context(stranger, settings, server=False))
        return await connection.receive()

    client, server = await both(be_client, lambda: wrap_server(server_end, server_context))
    assert isinstance(client, TlsAlert), client
    assert "unknown ca" in str(client)
    assert isinstance(server, IdentityError), server
    assert server_end.closed


async def test_a_client_without_a_certificate_gets_an_alert(ca, server_context):
    client_end, server_end = memory_pair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=ca.root_pem)

    async def be_client() -> object:
        return await (await wrap_client(client_end, context)).receive()

    client, server = await both(be_client, lambda: wrap_server(server_end, server_context))
    assert isinstance(client, TlsAlert), client
    assert isinstance(server, IdentityError), server
    assert "no certificate" in str(server)


async def test_a_server_of_another_authority_gets_an_alert(ca, client_context):
    stranger = make_ca("other").issue(REVIEWS, bundle_pem=ca.root_pem)
    client_end, server_end = memory_pair()
    client, server = await both(
        lambda: wrap_client(client_end, client_context),
        lambda: wrap_server(server_end, mesh_context(stranger, MESH, server=True)),
    )
    assert isinstance(client, IdentityError), client
    assert isinstance(server, TlsAlert), server
    assert client_end.closed
    assert server_end.closed


async def test_a_peer_with_the_wrong_identity_is_closed_before_the_first_byte(ca, server_context, client_context):
    client_end, server_end = memory_pair()

    async def serve() -> object:
        connection = await wrap_server(server_end, server_context)
        return await connection.receive()

    client, served = await both(
        lambda: wrap_client(client_end, client_context, verify=verify_spiffe(ids=[RATINGS])), serve
    )
    assert isinstance(client, IdentityError)
    assert str(client) == f"the peer is {REVIEWS}, expected {RATINGS}"
    assert served == b""


async def test_plain_text_to_a_tls_port_is_a_protocol_error(server_context):
    client_end, server_end = memory_pair()
    await client_end.send(b"GET / HTTP/1.1\r\nhost: reviews\r\n\r\n")
    with pytest.raises(ProtocolError, match="TLS handshake failed: http request"):
        await wrap_server(server_end, server_context)
    assert server_end.closed


async def test_no_common_alpn_is_left_to_the_caller(ca, server_context):
    context = mesh_context(ca.issue(RATINGS), TlsSettings(alpn=("istio",)), server=False)
    client, server, _, _ = await handshake(context, server_context)
    assert client.tls.alpn == server.tls.alpn == ""


async def test_an_end_during_the_handshake_is_a_loss(server_context):
    client_end, server_end = memory_pair()
    client_end.close()
    with pytest.raises(ConnectionLost, match="closed during the TLS handshake"):
        await wrap_server(server_end, server_context)


async def test_the_bound_of_the_handshake_holds(server_context, client_context):
    client_end, server_end = memory_pair()
    _, server = await both(
        lambda: wrap_client(client_end, client_context),
        lambda: wrap_server(server_end, server_context, max_handshake_bytes=400),
    )
    assert isinstance(server, ProtocolError)
    assert "too long" in str(server)


async def first_flight(client_context: ssl.SSLContext) -> bytes:
    outgoing = ssl.MemoryBIO()
    tls = client_context.wrap_bio(ssl.MemoryBIO(), outgoing, server_side=False)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


async def test_cancelling_a_handshake_closes_the_connection(server_context):
    _, server_end = memory_pair()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wrap_server, server_end, server_context)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert server_end.closed


@pytest.mark.parametrize("side", ["client", "server"])
async def test_cut_at_every_few_bytes_of_the_handshake(server_context, client_context, side):
    """Whatever is missing, both sides end with a connection or an error of ours, and nothing hangs."""
    finished = 0
    for at in range(0, 2600, 61):
        client_end, server_end = memory_pair()
        sides = {"client": client_end, "server": server_end}
        sides[side] = CuttingConnection(sides[side], at)
        results = await both(
            partial(wrap_client, sides["client"], client_context), partial(wrap_server, sides["server"], server_context)
        )
        for result in results:
            assert isinstance(result, TlsConnection | ConnectionLost | ProtocolError), (at, result)
        finished += all(isinstance(result, TlsConnection) for result in results)
        client_end.close()
        server_end.close()
    assert 0 < finished < 40


class CuttingConnection:
    """A connection that is reset after so many bytes have been sent over it."""

    def __init__(self, inner: MemoryConnection, left: int) -> None:
        self.inner = inner
        self.left = left

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def send_nowait(self, data: bytes) -> int:
        return 0

    async def send(self, data: bytes) -> None:
        if self.left < len(data):
            await self.inner.send(data[: self.left])
            self.inner.wire.cut()
            self.left = -1
        if self.left >= 0:
            self.left -= len(data)
        await self.inner.send(data)


async def test_garbage_after_the_handshake_breaks_the_connection(server_context, client_context):
    client, server, client_end, _ = await handshake(client_context, server_context)
    await client.send(b"good")
    await client_end.send(b"\x17\x03\x03\x00\x20" + b"\x00" * 32)
    assert await server.receive() == b"good"
    for _ in range(2):
        with pytest.raises(ProtocolError, match="a TLS record failed"):
            await server.receive()
    await server.aclose()
    # The alert reached the client.
    with pytest.raises(TlsAlert, match="bad record mac"):
        await client.receive()


async def test_abort_ends_a_pending_receive_with_its_error(server_context, client_context):
    client, server, _, _ = await handshake(client_context, server_context)

    async def receive() -> None:
        with pytest.raises(DeadlineExceeded, match="idle"):
            await server.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        server.abort(DeadlineExceeded("idle"))
        server.abort(DeadlineExceeded("again"))
    with pytest.raises(DeadlineExceeded, match="idle"):
        await server.send(b"x")
    with pytest.raises(ConnectionLost):
        await client.receive()
    await server.aclose()


async def test_after_close_everything_raises_closed(server_context, client_context):
    client, server, _, _ = await handshake(client_context, server_context)
    await client.send(b"unread")
    server.close()
    server.close()
    for operation in (server.receive(), server.send(b"x"), server.send_eof()):
        with pytest.raises(trio.ClosedResourceError):
            await operation
    with pytest.raises(trio.ClosedResourceError):
        server.receive_nowait()
    await server.aclose()


async def test_aclose_is_bounded_when_the_peer_does_not_read(server_context, client_context, autojump_clock):
    client, _, client_end, _ = await handshake(client_context, server_context)
    with trio.move_on_after(5):
        await client.send(b"x" * 1024 * KIB)
    before = trio.current_time()
    await client.aclose()
    assert trio.current_time() - before <= 1.0
    assert client_end.closed


async def test_hang_up_passes_through(server_context, client_context):
    client, server, _, _ = await handshake(client_context, server_context)
    gone = trio.Event()
    server.on_hangup = gone.set
    await client.aclose()
    await gone.wait()
    assert server.on_hangup is None


async def test_key_updates_cannot_pile_up(server_context, client_context):
    """OpenSSL answers each; while we only receive, the answers are bounded."""
    client, server, _, _ = await handshake(client_context, server_context)
    server._outgoing.write(bytes(5 * KIB))
    await client.send(b"x")
    assert await server.receive() == b"x"
    server._incoming.write(b"\x17\x03\x03")
    with pytest.raises(ProtocolError, match="key updates"):
        await server.receive()


async def test_close_and_abort_are_the_transports(server_context, client_context):
    client, server, client_end, server_end = await handshake(client_context, server_context)
    client.abort(ConnectionLost("enough"))
    assert client_end.closed
    server.close()
    assert server_end.closed


@pytest.mark.parametrize("name", [None, "", ".example.com"])
async def test_a_server_that_cannot_be_checked_is_not_called(ca, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca.root_pem)
    client_end, _ = memory_pair()
    with pytest.raises(IdentityError, match="cannot be checked"):
        await wrap_client(client_end, context, server_hostname=name)
    assert client_end.closed
