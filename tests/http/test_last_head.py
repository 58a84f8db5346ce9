"""A head that comes again means what it would mean if it were read anew, whatever was done to the one before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from meshd.errors import MeshdError
from meshd.http.h1 import H1ClientConnection
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.last_head import MOST_KEPT, LastHead
from meshd.http.limits import HttpLimits
from meshd.http.server import Drain, serve_connection
from meshd.http.stream import ServerStream
from meshd.net.memory import memory_pair
from meshd.net.timers import Timers
from tests.http.heads import request_head, response_head
from tests.http.test_grammar import request_meaning, response_meaning

T = TypeVar("T")
METHODS = (b"GET", b"GET", b"GET", b"HEAD", b"POST")


def spoil(head: RequestHead | ResponseHead) -> None:
    """Everything a filter could do to a head."""
    head.headers.set(b"spoilt", b"yes")
    head.headers.remove(b"accept")
    head.length = 77
    if isinstance(head, RequestHead):
        head.target, head.authority, head.method = b"/spoilt", b"spoilt", b"SPOILT"
    else:
        head.status, head.reason = 599, b"spoilt"


async def served(raws: list[bytes]) -> list[object]:
    """What a server makes of these requests, one after the other on one connection."""
    ours, theirs = memory_pair()
    seen: list[object] = []

    async def handler(stream: ServerStream) -> None:
        body = b""
        while not stream.body.ended:
            body += await stream.body.receive()
        seen.append((request_meaning(stream.request), body))
        spoil(stream.request)
        stream.request.method = b"GET"
        await stream.respond(ResponseHead(200, length=0), end=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: serve_connection(ours, handler, timers=Timers(), drain=Drain()))
        for raw in raws:
            answer = None
            try:
                with trio.move_on_after(1):
                    await theirs.send(raw)
                    answer = await theirs.receive()
            except (MeshdError, trio.ClosedResourceError) as error:
                seen.append(type(error))
            if not answer or b"connection: close" in answer:
                seen.append(answer)
                break
            seen.append(answer)
        theirs.close()
    return seen


async def answered(raws: list[tuple[bytes, bytes]]) -> list[object]:
    """What a client makes of these (method, response), one after the other on one connection, or until it closes."""
    ours, theirs = memory_pair()
    client = H1ClientConnection(ours, limits=HttpLimits())
    seen: list[object] = []
    for method, raw in raws:
        stream = client.open()
        try:
            with trio.move_on_after(1):
                await stream.send_head(RequestHead(method, b"/", b"h"), end=True)
                await theirs.receive()
                await theirs.send(raw)
                head = await stream.receive_head()
                body = stream.body.receive_nowait()
                seen.append((response_meaning(head), body, stream.body.ended))
                spoil(head)
        except MeshdError as error:
            seen.append(type(error))
        stream.finish()
        seen.append(client.is_available())
        if not client.is_available():
            break
    return seen


def with_and_without_memory(play: Callable[[T], Awaitable[list[object]]], raws: T) -> None:
    """The same must be seen."""

    def forget(*_: object, **__: object) -> None:
        pass

    remembered = trio.run(play, raws, clock=MockClock(autojump_threshold=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LastHead, "note", forget)
        assert trio.run(play, raws, clock=MockClock(autojump_threshold=0)) == remembered


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), order=st.lists(st.sampled_from((0, 0, 1, 2, 2, 2)), min_size=3, max_size=8))
def test_requests_that_come_again_mean_the_same(seed: int, order: list[int]) -> None:
    rng = Random(seed)
    heads = [request_head(rng) for _ in range(2)]
    heads.append(b"POST /x?y HTTP/1.1\r\nHost: h\r\nAccept: *\r\nContent-Length: 3\r\n\r\nabc")
    raws = [heads[at] for at in order]

    with_and_without_memory(served, raws)


@settings(max_examples=100)
@given(
    seed=st.integers(0, 2**32),
    order=st.lists(st.tuples(st.sampled_from((0, 2, 2, 2, 2)), st.sampled_from(METHODS)), min_size=3, max_size=8),
)
@example(seed=0, order=[(2, b"GET"), (2, b"GET"), (2, b"HEAD")])
def test_responses_that_come_again_mean_the_same(seed: int, order: list[tuple[int, bytes]]) -> None:
    rng = Random(seed)
    heads = [response_head(rng) for _ in range(2)]
    heads.append(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
    raws = [(method, heads[at]) for at, method in order]

    with_and_without_memory(answered, raws)


def test_a_head_is_kept_when_it_came_twice_and_is_nobody_elses() -> None:
    last: LastHead[RequestHead] = LastHead()
    head = RequestHead(b"GET", b"/", b"h", Headers(b"a: b\r\n"))
    last.note(b"raw", head, keep_alive=True)
    assert last.head is None
    last.note(b"raw", head, keep_alive=True)
    spoil(head)
    assert last.head is not None
    assert last.head.target == b"/"
    assert last.head.headers.render() == b"a: b\r\n"
    last.note(b"other", head, keep_alive=True)
    assert last.head is None


def test_the_method_counts() -> None:
    last: LastHead[ResponseHead] = LastHead()
    last.note(b"raw", ResponseHead(200), keep_alive=True, method=b"GET")
    last.note(b"raw", ResponseHead(200), keep_alive=True, method=b"HEAD")
    assert last.head is None


def test_a_large_head_is_not_kept() -> None:
    last: LastHead[RequestHead] = LastHead()
    for _ in range(3):
        last.note(b"x" * (MOST_KEPT + 1), RequestHead(b"GET", b"/", b"h"), keep_alive=True)
    assert last.head is None
    assert last.raw == b""
