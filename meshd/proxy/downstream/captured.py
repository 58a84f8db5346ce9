"""Connections that the kernel led here on their way to somewhere else: which listener's they are.

What goes out was on its way to an address; the listener for that address has it
(``select_listener``, which explanations call too), and every policy and log sees
the address the client meant. What comes in was on its way to a port of this
machine. A connection that was made to the proxy itself stays what it is.
"""

from __future__ import annotations

import attrs

from meshd.net.address import Address
from meshd.net.connection import Connection, Redirected
from meshd.proxy.live import Live, LiveListener
from meshd.snapshot.chains import VIRTUAL_INBOUND, VIRTUAL_OUTBOUND

_CAPTURING = frozenset({VIRTUAL_INBOUND, VIRTUAL_OUTBOUND})


@attrs.frozen
class Taken:
    """A connection with its listener. ``port`` is the one that chains and policies see."""

    listener: LiveListener
    port: int
    inspects: bool
    captured: bool = False


def take(connection: Connection, bound: Address, live: Live, listener: LiveListener) -> Taken:
    """Where a new connection belongs; a captured one has its original destination as ``local`` from now on.

    Args:
        connection: Just accepted.
        bound: Where it was accepted.
        live: The present configuration.
        listener: The one that is bound there.
    """
    mine = listener.listener
    there = _destination(connection) if mine.name in _CAPTURING else connection.local
    # Without capture the client came to our own port. TPROXY leaves the destination as it was.
    if mine.name not in _CAPTURING or there.port == bound.port:
        port = mine.default_destination_port or mine.port
        return Taken(listener, port, listener.inspects)
    connection.local = there
    if mine.name == VIRTUAL_OUTBOUND:
        listener = live.listener_for(there) or listener
    return Taken(listener, there.port, listener.inspects_at(there.port), captured=True)


def _destination(connection: Connection) -> Address:
    found = connection.original_destination() if isinstance(connection, Redirected) else None
    return found or connection.local
