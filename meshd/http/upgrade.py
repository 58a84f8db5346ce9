"""Relaying what follows a switch of protocols: bytes both ways, until both ends have ended.

After a 101 (or a 2xx to CONNECT) both streams carry raw bytes: ``body.receive``
gives the peer's, ``send`` takes ours, and ``end=True`` half-closes. Nothing is
buffered here: a piece is received only after the one before it was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from meshd.errors import MeshdError
from meshd.http.stream import Body, ClientStream, ServerStream


class _End(Protocol):
    @property
    def body(self) -> Body: ...

    async def send(self, data: bytes, *, end: bool = False) -> None: ...


async def relay(server: ServerStream, client: ClientStream, *, on_progress: Callable[[], None] | None = None) -> None:
    """Relay both ways with half-close; returns when both directions have ended.

    Args:
        server: After ``respond`` with the 101.
        client: After ``receive_head`` gave it.
        on_progress: Called for every piece relayed (an idle timer's push).

    Raises:
        ConnectionLost: one side was lost. The caller aborts the other.

    Cancellation: pieces under way are lost; the caller aborts both.
    """
    try:
        # One direction's failure ends the other: half a tunnel is of no use.
        async with trio.open_nursery() as tunnel_nursery:
            tunnel_nursery.start_soon(_pump, client, server, on_progress)
            await _pump(server, client, on_progress)
    except* MeshdError as group:
        failure = first_of(group)
    else:
        return
    raise failure


def first_of(group: BaseExceptionGroup[MeshdError]) -> MeshdError:
    """One error out of a group: they all tell of the same loss."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, MeshdError)
    return error


async def _pump(source: _End, sink: _End, on_progress: Callable[[], None] | None) -> None:
    body = source.body
    while not body.ended:
        data = await body.receive()
        if data:
            await sink.send(data)
            if on_progress is not None:
                on_progress()
    await sink.send(b"", end=True)
