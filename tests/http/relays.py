"""A relay as small as can be: what came on a server stream goes out on a client stream, and back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from meshd.http.stream import Body, ClientConnection, ClientStream, ServerStream
from meshd.http.upgrade import relay

Handler = Callable[[ServerStream], Awaitable[None]]


async def _send_request(server: ServerStream, client: ClientStream) -> None:
    head = server.request
    body = server.body
    first = body.receive_nowait()
    await client.send_head(head, first, end=_over(body))
    await _pump(body, client)


def _over(body: Body) -> bool:
    """Whether nothing follows but the end."""
    return body.ended and body.trailers is None


async def _pump(body: Body, sink: ClientStream | ServerStream) -> None:
    if _over(body):
        return
    while not body.ended:
        data = await body.receive()
        if data or _over(body):
            await sink.send(data, end=_over(body))
    if body.trailers is not None:
        await sink.send_trailers(body.trailers)


def relaying(connection: ClientConnection) -> Handler:
    """A handler that asks the server behind ``connection``."""

    async def handler(server: ServerStream) -> None:
        client = connection.open()
        try:
            if server.request.upgrade:
                await client.send_head(server.request, end=False)
            else:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_send_request, server, client)
            head = await client.receive_head()
            body = client.body
            if head.status == 101:
                await server.respond(head, end=False)
                await relay(server, client)
                return
            first = body.receive_nowait()
            await server.respond(head, first, end=_over(body))
            await _pump(body, server)
        finally:
            client.finish()

    return handler
