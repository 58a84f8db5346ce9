"""What tests of the HTTP stack share: timers, a served memory connection, and a raw client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio

from meshd.errors import ConnectionLost
from meshd.http.head import ResponseHead
from meshd.http.limits import HttpLimits
from meshd.http.server import Drain, serve_connection
from meshd.http.stream import ServerStream
from meshd.net.memory import Wire, memory_pair
from meshd.net.timers import Timers


@pytest.fixture
def timers(nursery: trio.Nursery) -> Timers:
    timers = Timers()
    nursery.start_soon(timers.run)
    return timers


@attrs.define
class Served:
    """A connection that is being served, seen from its client's end."""

    client: Any
    wire: Wire
    drain: Drain
    bugs: list[BaseException]
    done: trio.Event

    async def send(self, data: bytes) -> None:
        await self.client.send(data)

    async def read(self, size: int) -> bytes:
        """Exactly so many bytes, or what came before the end."""
        data = b""
        while len(data) < size:
            more = await self.client.receive()
            if not more:
                break
            data += more
            if len(data) > size:
                self.client.unread(data[size:])
                data = data[:size]
        return data

    async def read_until(self, end: bytes) -> bytes:
        """Up to and including ``end``, or what came before the end of the stream."""
        data = b""
        while end not in data:
            more = await self.client.receive()
            if not more:
                return data
            data += more
        at = data.index(end) + len(end)
        if data[at:]:
            self.client.unread(data[at:])
        return data[:at]

    async def read_all(self) -> bytes:
        data = b""
        while more := await self.client.receive():
            data += more
        return data

    async def read_all_or_reset(self) -> bytes:
        try:
            return await self.read_all()
        except ConnectionLost:
            return b""


Serve = Callable[..., Served]


@pytest.fixture
def serve(nursery: trio.Nursery, timers: Timers) -> Serve:
    """Begin to serve a memory connection with a handler."""

    def begin(
        handler: Callable[[ServerStream], Awaitable[None]], *, limits: HttpLimits | None = None, **options: Any
    ) -> Served:
        client, server = memory_pair()
        served = Served(client, client.wire, options.pop("drain", None) or Drain(), [], trio.Event())

        async def run() -> None:
            await serve_connection(
                server,
                handler,
                timers=timers,
                limits=limits or HttpLimits(),
                drain=served.drain,
                on_bug=served.bugs.append,
                **options,
            )
            served.done.set()

        nursery.start_soon(run)
        return served

    return begin


async def echo(stream: ServerStream) -> None:
    """Answers with what was asked, and the body."""
    body = b""
    while not stream.body.ended:
        body += await stream.body.receive()
    request = stream.request
    said = b"%b %b %b|%b|" % (request.method, request.authority, request.target, repr(request.length).encode())
    fields = b";".join(b"%b=%b" % item for item in request.headers.items())
    content = said + fields + b"|" + body
    await stream.respond(ResponseHead(200, length=len(content)), content, end=True)
