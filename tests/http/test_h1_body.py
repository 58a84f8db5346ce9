"""A body of a declared length: exactly its bytes, however they arrive, and never whole when cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.errors import ConnectionLost
from meshd.http.h1_body import Input, LengthBody
from meshd.net.memory import memory_pair

CONTENT = b"0123456789"


def held(data: bytes) -> Input:
    """An input that has received ``data`` already."""
    source = Input(memory_pair()[0])
    source.buffer = data
    return source


@pytest.mark.parametrize("step", [1, 3, 10, 1000])
async def test_the_body_is_what_was_declared_and_the_rest_is_left(step: int) -> None:
    ours, theirs = memory_pair()
    source = Input(ours)
    body = LengthBody(source, len(CONTENT))
    read, wire = b"", CONTENT + b"next"
    while not body.ended:
        if not source.buffer:
            await theirs.send(wire[:step])
            wire = wire[step:]
        read += await body.receive()
    assert (read, body.received, body.trailers) == (CONTENT, len(CONTENT), None)
    assert source.buffer + wire == b"next"
    assert await body.receive() == b""


@given(data=st.binary(min_size=1, max_size=30), length=st.integers(1, 20))
def test_at_once(data: bytes, length: int) -> None:
    source = held(data)
    body = LengthBody(source, length)
    whole = len(data) >= length
    assert body.all_here() is whole
    assert body.receive_nowait() == data[:length]
    assert (body.ended, body.received, source.buffer) == (whole, len(data[:length]), data[length:])
    assert body.all_here() is whole
    assert body.receive_nowait() == b""
    assert source.buffer == data[length:]


async def test_a_cut_body_is_never_whole() -> None:
    ours, theirs = memory_pair()
    body = LengthBody(Input(ours), 5)
    await theirs.send(b"1234")
    await theirs.send_eof()
    assert await body.receive() == b"1234"
    with pytest.raises(ConnectionLost):
        await body.receive()
    assert not body.ended


async def test_what_is_held_back_is_asked_for_once_and_only_when_nothing_has_come() -> None:
    asked = []

    async def ask() -> None:
        asked.append(1)
        await theirs.send(b"345")

    ours, theirs = memory_pair()
    assert await LengthBody(held(b"1"), 1, ask).receive() == b"1"
    assert not asked
    body = LengthBody(Input(ours), 5, ask)
    assert await body.receive() == b"345"
    await theirs.send(b"67")
    assert await body.receive() == b"67"
    assert asked == [1]
