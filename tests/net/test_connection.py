"""What every connection promises (``net/connection.py``), over every transport."""

from __future__ import annotations

import pytest
import trio
from trio.testing import check_half_closeable_stream, wait_all_tasks_blocked

from meshd.errors import ConnectionLost, DeadlineExceeded
from meshd.net import tcp
from tests.net.pairs import KINDS, Pairs, StreamAdapter, open_network, receive_all, receive_exactly, until

KIB = 1024
MANY = 8 * KIB * KIB  # more than any buffer between two ends


@pytest.fixture(params=KINDS)
async def pair(request, nursery):
    pairs = Pairs(request.param, await open_network(request.param, nursery))
    yield pairs
    pairs.close()


async def send_for_ever(connection, size: int = 100) -> None:
    while True:
        await connection.send(bytes(size))


async def receive_into(connection, got: bytearray) -> None:
    while piece := await connection.receive():
        got += piece


async def test_bytes_go_both_ways(pair):
    client, server = await pair()
    await client.send(b"ping")
    assert await server.receive() == b"ping"
    await server.send(b"pong")
    assert await client.receive() == b"pong"
    assert client.peer == server.local
    assert client.local == server.peer


async def test_a_sender_waits_for_its_reader_and_nothing_is_lost(pair):
    client, server = await pair()
    data = bytes(range(256)) * (MANY // 256)
    done = trio.Event()

    async def send() -> None:
        await client.send(data)
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await wait_all_tasks_blocked(0.01)
        assert not done.is_set()
        got = bytearray()
        while len(got) < len(data):
            piece = await server.receive()
            assert 0 < len(piece) <= 64 * KIB
            got += piece
        assert got == data
    assert done.is_set()


async def test_receive_nowait_tells_what_is_here(pair):
    client, server = await pair()
    assert server.receive_nowait() is None
    await client.send(b"x")
    got: list[bytes] = []
    await until(lambda: (data := server.receive_nowait()) is not None and not got.append(data))
    assert got == [b"x"]
    assert server.receive_nowait() is None
    await client.send_eof()
    await until(lambda: server.receive_nowait() == b"")
    assert server.receive_nowait() == b""


async def test_unread_bytes_come_first(pair):
    client, server = await pair()
    await client.send(b"abcdef")
    assert await receive_exactly(server, 2) == b"ab"
    server.unread(b"AB")
    assert await receive_exactly(server, 6) == b"ABcdef"
    server.unread(b"")
    server.unread(b"x")
    assert server.receive_nowait() == b"x"


async def test_half_close(pair):
    client, server = await pair()
    await client.send(b"request")
    await client.send_eof()
    await client.send_eof()
    assert await receive_all(server) == b"request"
    assert await server.receive() == b""
    assert not server.truncated
    await server.send(b"response")
    assert await client.receive() == b"response"
    with pytest.raises(trio.ClosedResourceError):
        await client.send(b"more")


async def test_bytes_and_end_that_come_together_are_both_told(pair):
    """An edge-triggered reader that takes a short read for an empty socket would wait for ever here."""
    client, server = await pair()
    for _ in range(3):
        await client.send(b"last words")
    await client.aclose() if pair.kind == "tls" else client.close()
    await wait_all_tasks_blocked(0.01)
    with trio.fail_after(5):
        assert await receive_all(server) == b"last words" * 3
        assert await server.receive() == b""


@pytest.mark.parametrize("size", [64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 128 * KIB])
async def test_reads_that_fill_the_buffer_exactly(pair, size):
    client, server = await pair()
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, bytes(size))
            assert await receive_exactly(server, size) == bytes(size)
        assert server.receive_nowait() is None


async def test_after_close_everything_raises_closed(pair):
    client, server = await pair()
    server.close()
    server.close()
    for operation in (server.receive, server.send_eof, lambda: server.send(b"x")):
        with pytest.raises(trio.ClosedResourceError):
            await operation()
    with pytest.raises(trio.ClosedResourceError):
        server.receive_nowait()
    await server.aclose()
    assert await client.receive() == b""


async def test_closing_wakes_who_waits(pair):
    client, server = await pair()
    outcomes: list[str] = []

    async def receive() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await client.receive()
        outcomes.append("receive")

    async def send() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await client.send(bytes(MANY))
        outcomes.append("send")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        nursery.start_soon(send)
        await wait_all_tasks_blocked(0.01)
        client.close()
    assert sorted(outcomes) == ["receive", "send"]
    server.close()


async def test_abort_raises_its_error_now_and_later(pair):
    client, _ = await pair()
    outcomes: list[str] = []

    async def expect(operation, *args) -> None:
        with pytest.raises(DeadlineExceeded, match="idle exceeded"):
            await operation(*args)
        outcomes.append(operation.__name__)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect, client.receive)
        nursery.start_soon(expect, client.send, bytes(MANY))
        await wait_all_tasks_blocked(0.01)
        client.abort(DeadlineExceeded("idle"))
        client.abort(DeadlineExceeded("second"))
        client.close()
    await expect(client.receive)
    await expect(client.send, b"x")
    await expect(client.send_eof)
    assert len(outcomes) == 5
    await client.aclose()


async def test_abort_looks_like_a_reset_to_the_peer(pair):
    """A body without a length must not look whole."""
    client, server = await pair()
    await client.send(b"half")
    assert await server.receive() == b"half"
    client.abort(ConnectionLost("gave up"))
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="connection reset by peer"):
            await server.receive()


async def test_what_came_before_a_reset_can_be_read(pair):
    client, server = await pair()
    await client.send(b"answer")
    client.abort(ConnectionLost("gave up"))
    await wait_all_tasks_blocked(0.01)
    assert await server.receive() == b"answer"
    for _ in range(2):
        with pytest.raises(ConnectionLost):
            await server.receive()


async def test_a_send_that_learns_of_the_reset_does_not_hide_it_from_the_reader(pair):
    client, server = await pair()
    client.abort(ConnectionLost("gave up"))
    await wait_all_tasks_blocked(0.01)
    with pytest.raises(ConnectionLost):
        await send_for_ever(server)
    with pytest.raises(ConnectionLost):
        await server.receive()


async def test_closing_with_unread_bytes_resets(pair):
    client, server = await pair()
    await client.send(b"never read")
    await wait_all_tasks_blocked(0.01)
    server.close()
    with pytest.raises(ConnectionLost):
        await client.receive()


async def test_sending_to_a_peer_that_is_gone(pair):
    client, server = await pair()
    server.close()
    with pytest.raises(ConnectionLost, match=r"broken pipe|connection reset by peer"):
        await send_for_ever(client)


async def test_a_sender_learns_that_its_peer_has_gone(pair):
    client, server = await pair()

    async def send() -> None:
        with pytest.raises(ConnectionLost):
            await client.send(bytes(MANY))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await wait_all_tasks_blocked(0.01)
        server.close()


async def test_two_readers_or_two_writers_are_a_mistake(pair):
    client, _ = await pair()

    async def expect_closed(operation, *args) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await operation(*args)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_closed, client.receive)
        nursery.start_soon(expect_closed, client.send, bytes(MANY))
        await wait_all_tasks_blocked(0.01)
        with pytest.raises(trio.BusyResourceError):
            await client.receive()
        with pytest.raises(trio.BusyResourceError):
            await client.send(b"y")
        with pytest.raises(trio.BusyResourceError):
            await client.send_eof()
        client.close()


async def test_a_cancelled_receive_loses_nothing(pair):
    client, server = await pair()
    for number in range(5):
        with trio.CancelScope() as scope:
            scope.cancel()
            await server.receive()
        assert scope.cancelled_caught
        await client.send(b"%d" % number)
        assert await server.receive() == b"%d" % number


async def test_cancelling_after_any_number_of_steps_leaves_the_reader_sound(pair):
    """Cancel the reader at the first, second, ... scheduling step while bytes arrive; they are all there afterwards."""
    for steps in range(12):
        client, server = await pair()
        got = bytearray()

        async def read(scope: trio.CancelScope, got: bytearray = got, server=server) -> None:
            with scope:
                await receive_into(server, got)

        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            nursery.start_soon(read, scope)
            nursery.start_soon(cancel_after, steps, scope)
            for number in range(8):
                await client.send(b"%d" % number)
                await trio.lowlevel.checkpoint()
        await client.send_eof()
        got += await receive_all(server)
        assert got == b"01234567"
        server.close()


async def cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def test_a_hang_up_is_told_once_to_who_does_not_read(pair):
    client, server = await pair()
    told: list[str] = []
    server.on_hangup = lambda: told.append("gone")
    await client.send(b"bytes are no hang-up")
    await wait_all_tasks_blocked(0.01)
    assert told == []
    await server.receive()
    await client.aclose() if pair.kind == "tls" else client.close()
    await until(lambda: bool(told))
    assert server.on_hangup is None
    assert await server.receive() == b""
    await wait_all_tasks_blocked(0.01)
    assert told == ["gone"]


async def test_a_reset_is_a_hang_up(pair):
    client, server = await pair()
    told: list[str] = []
    server.on_hangup = lambda: told.append("gone")
    await wait_all_tasks_blocked(0.01)
    client.abort(ConnectionLost("gave up"))
    await until(lambda: bool(told))
    with pytest.raises(ConnectionLost):
        await server.receive()


async def test_a_reader_learns_by_itself(pair):
    client, server = await pair()
    told: list[str] = []
    server.on_hangup = lambda: told.append("gone")

    async def read() -> None:
        assert await server.receive() == b""

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked(0.01)
        await client.aclose() if pair.kind == "tls" else client.close()
    assert told == []


async def test_a_hang_up_may_abort_the_connection(pair):
    client, server = await pair()
    server.on_hangup = lambda: server.abort(ConnectionLost("client gone"))
    client.close()
    await wait_all_tasks_blocked(0.01)
    with pytest.raises(ConnectionLost, match="client gone"):
        await server.send(b"too late")


async def test_last_words_are_heard_though_we_did_not_listen(pair):
    """A server that answers before it has read the whole request, and closes."""
    client, server = await pair()
    await client.send(bytes(30 * KIB))
    await wait_all_tasks_blocked(0.01)

    async def answer() -> None:
        await server.send(b"413")
        await server.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        await wait_all_tasks_blocked(0.01)
        assert await receive_all(client) == b"413"
        await client.aclose()


async def test_aclose_ends_for_a_peer_that_stays(pair, monkeypatch):
    monkeypatch.setattr(tcp, "DRAIN_TIME", 0.02)
    client, server = await pair()
    with trio.fail_after(2):
        await server.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await server.receive()
    assert await client.receive() == b""


async def test_aclose_ends_for_a_peer_that_goes_on_sending(pair, monkeypatch):
    monkeypatch.setattr(tcp, "DRAIN_BYTES", 100 * KIB)
    client, server = await pair()

    async def flood() -> None:
        with pytest.raises(ConnectionLost):
            await send_for_ever(client, 64 * KIB)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            await wait_all_tasks_blocked(0.01)
            await server.aclose()


async def test_aclose_cancelled_closes(pair):
    client, server = await pair()
    with trio.CancelScope() as scope:
        scope.cancel()
        await server.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await server.receive()
    client.close()


async def test_aborting_ends_an_aclose_under_way(pair):
    client, server = await pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.aclose)
        await wait_all_tasks_blocked(0.01)
        server.abort(DeadlineExceeded("drain"))
    client.close()


async def test_cut_at_every_byte(pair):
    """However much arrived before the cut, the reader gets exactly that, and then a loss, never an end."""
    message = b"HTTP/1.1 200 OK\r\n\r\nbody"
    for at in range(len(message) + 1):
        client, server = await pair()
        await client.send(message[:at]) if at else None
        client.abort(ConnectionLost("cut"))
        got = bytearray()
        with pytest.raises(ConnectionLost):
            await receive_into(server, got)
        assert got == message[:at]
        server.close()


async def test_trio_s_own_conformance_tests(pair):
    async def make() -> tuple[StreamAdapter, StreamAdapter]:
        client, server = await pair()
        return StreamAdapter(client), StreamAdapter(server)

    await check_half_closeable_stream(make, None)
