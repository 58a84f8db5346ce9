"""HTTP on a listener of our own: the accept loop that control plane, admin and demo share."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from meshd.errors import MeshdError
from meshd.http.limits import HttpLimits
from meshd.http.server import Drain, serve_connection
from meshd.http.stream import ServerStream
from meshd.net.connection import Connection, Listener
from meshd.net.timers import Timers

logger = logging.getLogger(__name__)

Handler = Callable[[ServerStream], Awaitable[None]]
Secure = Callable[[Connection], Awaitable[Connection]]

MOST_CONNECTIONS = 4096
"""Connections at once; more wait in the kernel's backlog."""
HANDSHAKE_TIMEOUT = 10.0
"""Seconds for a TLS handshake."""


async def serve(
    listener: Listener,
    handler: Handler,
    *,
    timers: Timers,
    drain: Drain,
    secure: Secure | None = None,
    limits: HttpLimits = HttpLimits(),
    most: int = MOST_CONNECTIONS,
) -> None:
    """Serve every connection of a listener until cancelled; the listener is closed at the end.

    Args:
        listener: Where connections come from.
        handler: Called for each request.
        timers: For the limits in time.
        drain: Ends idle connections when it begins.
        secure: Makes the TLS side of a connection; None serves plain text.
        limits: Sizes and times.
        most: Connections at once.
    """
    room = trio.Semaphore(most)

    async def one(connection: Connection) -> None:
        try:
            if secure is not None:
                with trio.fail_after(HANDSHAKE_TIMEOUT):
                    connection = await secure(connection)
            await serve_connection(connection, handler, timers=timers, limits=limits, drain=drain)
        except (MeshdError, trio.TooSlowError) as error:
            # One client's handshake or connection; nobody else is touched.
            logger.debug("connection ended", extra={"peer": str(connection.peer), "error": str(error)})
        finally:
            connection.close()
            room.release()

    try:
        # Connections fail alone (`one`); a bug in one of them takes the server down.
        async with trio.open_nursery() as connection_nursery:
            while True:
                await room.acquire()
                connection_nursery.start_soon(one, await listener.accept())
    finally:
        listener.close()
