"""What an application does with a connection that is not HTTP, as a test says it.

Bytes (or a text) are said at once to whoever connects; ``echo()``, ``hang()``
and ``reset()`` do what they say; an async function is given the connection.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from meshd.errors import ConnectionLost
from meshd.net.connection import Connection

Talk = Callable[[Connection], Awaitable[None]]


async def echo_bytes(connection: Connection) -> None:
    """Send back what comes, until the other side has no more."""
    while data := await connection.receive():
        await connection.send(data)
    await connection.aclose()


async def listen_only(connection: Connection) -> None:
    """Take what comes and say nothing."""
    while await connection.receive():
        pass


async def reset_at_once(connection: Connection) -> None:
    """Reset the connection."""
    connection.abort(ConnectionLost("reset by the fake service"))


def greeting(data: bytes) -> Talk:
    """Say this at once, then listen."""

    async def talk(connection: Connection) -> None:
        await connection.send(data)
        await listen_only(connection)
        await connection.aclose()

    return talk


def talk_of(behaviour: Any) -> Talk:
    """Any behaviour of an application that does not speak HTTP.

    Raises:
        TypeError: it is none.
    """
    known: Talk | None = getattr(behaviour, "talk", None)
    if known is not None:
        return known
    if isinstance(behaviour, bytes | str):
        return greeting(behaviour.encode() if isinstance(behaviour, str) else behaviour)
    if inspect.iscoroutinefunction(behaviour):
        found: Talk = behaviour
        return found
    raise TypeError(
        f"{behaviour!r} is nothing that an application does with a TCP connection: give bytes to say at once, echo(),"
        " hang(), reset(), an async function of the connection, or a list of these, one for each connection"
    )
