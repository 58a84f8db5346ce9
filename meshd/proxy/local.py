"""Responses that are made here: a reply as the ``Response`` that filters and the downstream side know. Pure."""

from __future__ import annotations

from meshd.http.head import Headers
from meshd.policy.exchange import Exchange, Reply, Response
from meshd.proxy.reply import render
from meshd.snapshot.common import Direction


class BytesBody:
    """A body that is all here. The whole mutable state is what has not been handed out."""

    __slots__ = ("_data", "trailers")

    def __init__(self, data: bytes = b"", trailers: Headers | None = None) -> None:
        self._data = data
        self.trailers = trailers

    @property
    def ended(self) -> bool:
        """Nothing is left."""
        return not self._data

    async def receive(self) -> bytes:
        return self.receive_nowait()

    def receive_nowait(self) -> bytes:
        data, self._data = self._data, b""
        return data


def local_response(exchange: Exchange, reply: Reply) -> Response:
    """Answer an exchange here: notes the reply in its record and makes the response."""
    exchange.flags.extend(reply.flags)
    exchange.detail = reply.detail
    exchange.reason = reply.reason
    head, body = render(reply, grpc=exchange.grpc, stranger=exchange.connection.direction is Direction.GATEWAY)
    return Response(head, BytesBody(body), local=True)
