"""Small messages are held until the present round of tasks is over; nothing is lost, doubled or out of order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from meshd.errors import ConnectionLost
from meshd.net.outbox import MOST_HELD, Outbox
from meshd.net.poller import EdgePoller
from meshd.net.sockets import SocketNetwork
from meshd.net.tcp import HELD, SocketConnection
from tests.net.pairs import LOOPBACK, receive_exactly

MEGABYTE = 1 << 20


@asynccontextmanager
async def pairs() -> AsyncIterator[tuple[SocketConnection, SocketConnection]]:
    """Two ends over real sockets."""
    async with trio.open_nursery() as nursery:
        poller = EdgePoller()
        await nursery.start(poller.run)
        network = SocketNetwork(poller)
        listener = network.listen(LOOPBACK)
        one = await network.connect(listener.address)
        other = await listener.accept()
        listener.close()
        assert isinstance(one, SocketConnection)
        assert isinstance(other, SocketConnection)
        try:
            yield one, other
        finally:
            one.close()
            other.close()
            nursery.cancel_scope.cancel()


async def rest_of(connection: SocketConnection) -> bytes:
    data = b""
    while more := await connection.receive():
        data += more
    return data


async def fill(connection: SocketConnection) -> int:
    """Send until the kernel takes no more; how much it took."""
    sent = 0
    while True:
        taken = connection.send_nowait(b"f" * MEGABYTE)
        sent += taken
        if taken < MEGABYTE:
            return sent


async def test_what_one_round_sends_leaves_in_one_go() -> None:
    async with pairs() as (one, other):
        assert one.send_nowait(b"one ") == 4
        assert one.send_nowait(b"two") == 3
        assert other.receive_nowait() is None
        await trio.lowlevel.checkpoint()
        assert await other.receive() == b"one two"


async def test_a_send_that_waits_goes_behind_what_is_held() -> None:
    async with pairs() as (one, other):
        one.send_nowait(b"first ")
        await one.send(b"second ")
        one.send_nowait(b"third")
        assert await receive_exactly(other, 18) == b"first second third"


async def test_more_than_is_held_goes_at_once() -> None:
    async with pairs() as (one, other):
        assert one.send_nowait(b"a" * HELD) == HELD
        assert one.send_nowait(b"b") == 1
        # The second let the first go, without a round having ended.
        assert await receive_exactly(other, HELD + 1) == b"a" * HELD + b"b"


@pytest.mark.parametrize("how", ["close", "aclose", "send_eof"])
async def test_what_is_held_leaves_before_the_end(how: str) -> None:
    async with pairs() as (one, other):
        one.send_nowait(b"last words")
        if how == "close":
            one.close()
        else:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(getattr(one, how))
                assert await rest_of(other) == b"last words"
                other.close()
            return
        assert await rest_of(other) == b"last words"


async def test_an_abort_takes_back_what_is_held() -> None:
    async with pairs() as (one, other):
        one.send_nowait(b"never mind")
        one.abort(RuntimeError("given up"))
        with pytest.raises(ConnectionLost):
            await rest_of(other)
        with pytest.raises(RuntimeError, match="given up"):
            one.send_nowait(b"more")


async def test_a_reader_that_is_slow_gets_everything_in_order() -> None:
    async with pairs() as (one, other):
        filled = await fill(one)
        assert one.send_nowait(b"small") == 5
        await wait_all_tasks_blocked()
        # The kernel had no room for it: it has to wait, and so has everybody behind it.
        assert one.send_nowait(b"more") == 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.send, b" and more")
            await wait_all_tasks_blocked()
            assert await receive_exactly(other, filled + 14) == b"f" * filled + b"small and more"
        assert one.send_nowait(b"!") == 1
        assert await other.receive() == b"!"


async def test_what_nobody_waits_for_follows_when_there_is_room() -> None:
    async with pairs() as (one, other):
        filled = await fill(one)
        one.send_nowait(b"small")
        await wait_all_tasks_blocked()
        assert await receive_exactly(other, filled + 5) == b"f" * filled + b"small"
        assert one.send_nowait(b"again") == 5
        assert await other.receive() == b"again"


async def test_an_end_waits_for_what_the_kernel_has_not_taken() -> None:
    async with pairs() as (one, other):
        filled = await fill(one)
        one.send_nowait(b"small")
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.send_eof)
            assert len(await rest_of(other)) == filled + 5


async def test_what_is_cut_by_a_close_does_not_look_whole() -> None:
    async with pairs() as (one, other):
        await fill(one)
        one.send_nowait(b"small")
        await wait_all_tasks_blocked()
        one.close()
        with pytest.raises(ConnectionLost):
            await rest_of(other)


async def test_a_failure_is_told_to_whoever_waits() -> None:
    async with pairs() as (one, other):
        other.abort(RuntimeError("gone"))
        await wait_all_tasks_blocked()
        one.send_nowait(b"to nobody")
        with pytest.raises(ConnectionLost):
            await one.receive()
        with pytest.raises(ConnectionLost):
            await one.send(b"more")


async def test_after_its_end_nothing_can_be_sent() -> None:
    async with pairs() as (one, _other):
        await one.send_eof()
        with pytest.raises(trio.ClosedResourceError):
            one.send_nowait(b"more")
        one.close()
        with pytest.raises(trio.ClosedResourceError):
            one.send_nowait(b"more")


async def test_nobody_waits_behind_many() -> None:
    outbox = Outbox()
    gone: list[int] = []
    for number in range(MOST_HELD):
        assert not gone
        outbox.add(lambda number=number: gone.append(number))  # type: ignore[misc]
    assert gone == list(range(MOST_HELD))


async def test_without_the_poller_everything_goes_at_once() -> None:
    async with trio.open_nursery() as nursery:
        poller = EdgePoller()
        network = SocketNetwork(poller)
        listener = network.listen(LOOPBACK)
        one = await network.connect(listener.address)
        other = await listener.accept()
        assert one.send_nowait(b"now") == 3
        await nursery.start(poller.run)
        assert await other.receive() == b"now"
        for each in (one, other, listener):
            each.close()
        nursery.cancel_scope.cancel()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["nowait", "nowait", "send", "turn", "read"]),
        st.sampled_from([1, 10, 1000, HELD - 1, HELD, HELD + 1, MEGABYTE]),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_bytes_come_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    async def main() -> None:
        async with pairs() as (one, other):
            sent, got = bytearray(), bytearray()

            async def read_all() -> None:
                got.extend(await rest_of(other))

            for number, (step, size) in enumerate(steps):
                data = bytes([number]) * size
                if step == "nowait":
                    sent += data[: one.send_nowait(data)]
                elif step == "turn":
                    await trio.lowlevel.checkpoint()
                elif step == "read":
                    got.extend(other.receive_nowait() or b"")
                else:
                    sent += data
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(one.send, data)
                        while len(got) < len(sent):
                            got.extend(await other.receive())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_all)
                await one.send_eof()
            assert got == sent

    trio.run(main)
