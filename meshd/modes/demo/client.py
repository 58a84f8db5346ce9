"""Requests of the demo's applications and of its visitor: a pool of plain HTTP/1.1 connections."""

from __future__ import annotations

import attrs

from meshd.errors import ConnectionLost, UpstreamError
from meshd.http.h1 import H1ClientConnection
from meshd.http.head import RequestHead, ResponseHead
from meshd.net.address import Address
from meshd.net.connection import Network

MOST_IDLE = 16
"""Idle connections kept for an address."""


@attrs.define(eq=False)
class Client:
    """Asks, and waits for the whole answer. Deadlines are the caller's: a cancelled request closes its connection."""

    network: Network
    # The whole mutable state: idle connections by address.
    _idle: dict[Address, list[H1ClientConnection]] = attrs.field(factory=dict, init=False)

    async def request(self, address: Address, head: RequestHead, *, most: int) -> tuple[ResponseHead, bytes]:
        """One request without a body.

        Args:
            address: Whom to ask.
            head: What to ask; its authority may be another than the address.
            most: Bytes of an answer's body.

        Raises:
            MeshdError: there is no (sensible) answer.
        """
        connection = self._take(address)
        if connection is not None:
            try:
                return await self._exchange(address, connection, head, most)
            except UpstreamError:
                # It was closed by the other side while it was idle; a new one will tell.
                pass
        connection = H1ClientConnection(await self.network.connect(address))
        return await self._exchange(address, connection, head, most)

    def close(self) -> None:
        """Close what is idle."""
        for connections in self._idle.values():
            while connections:
                connections.pop().close()

    def _take(self, address: Address) -> H1ClientConnection | None:
        idle = self._idle.get(address, [])
        while idle:
            connection = idle.pop()
            if connection.is_available():
                return connection
            connection.close()
        return None

    async def _exchange(
        self, address: Address, connection: H1ClientConnection, head: RequestHead, most: int
    ) -> tuple[ResponseHead, bytes]:
        stream = connection.open()
        whole = False
        try:
            await stream.send_head(head, end=True)
            answer = await stream.receive_head()
            body = b""
            while piece := await stream.body.receive():
                body += piece
                if len(body) > most:
                    raise ConnectionLost(f"{address} answers with more than {most} bytes")
            whole = True
            return answer, body
        finally:
            stream.finish()
            idle = self._idle.setdefault(address, [])
            if whole and len(idle) < MOST_IDLE and connection.is_available():
                idle.append(connection)
            else:
                connection.close()
