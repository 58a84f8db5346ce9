"""Requests for a host of another server than the one their TLS connection was made to. Pure.

A gateway's servers share an address and are told apart by the server name in
the ClientHello. One that wants client certificates must not be reached through
a connection made to one that wants none: such requests are answered 421, and
clients that share connections between hosts make another one (RFC 9110 section
15.5.20). What may be asked of a connection is decided when a snapshot is
applied: only chains beside which others stand have anything to look up, and
plaintext never has.
"""

from __future__ import annotations

from collections.abc import Callable

from meshd.errors import ResponseFlag
from meshd.http.head import RequestHead
from meshd.policy.exchange import Reply
from meshd.proxy.route_entry import RouteEntry
from meshd.proxy.router import Selector
from meshd.snapshot.chains import other_owner
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, Listener
from meshd.snapshot.match import host_of, text

REMEMBERED = 1024
"""Spellings of authorities remembered per chain, so that a repeated one is one look-up."""
LONGEST_REMEMBERED = 255
"""Bytes of an authority worth remembering (no host name is longer, RFC 1035)."""


def is_shared(listener: Listener, chain: FilterChain) -> bool:
    """Do other servers stand beside this one, so that requests could be meant for them?"""
    gateway = listener.direction is Direction.GATEWAY
    others = any(other is not chain and other.match != chain.match for other in listener.every_chain)
    return gateway and chain.tls is not None and others


def own_hosts(select: Selector, listener: Listener, chain: FilterChain, count: Callable[[], None]) -> Selector:
    """A selector that answers 421 to requests for hosts of other servers of a listener.

    Args:
        select: Finds routes.
        listener: A gateway's.
        chain: The chain whose requests are looked at.
        count: Called for each that is refused.
    """
    # The only mutable state: authorities seen, and what they come to.
    remembered: dict[bytes, Reply | None] = {}

    def find(request: RequestHead) -> RouteEntry | Reply:
        authority = request.authority
        try:
            refusal = remembered[authority]
        except KeyError:
            refusal = misdirected(listener, chain, authority)
            if len(authority) <= LONGEST_REMEMBERED:
                if len(remembered) >= REMEMBERED:
                    remembered.clear()
                remembered[authority] = refusal
        if refusal is None:
            return select(request)
        count()
        return refusal

    return find


def misdirected(listener: Listener, chain: FilterChain, authority: bytes) -> Reply | None:
    """The answer to a request for a host of another server; None when it is for this one."""
    host = text(host_of(authority))
    if not is_shared(listener, chain):
        return None
    owner = other_owner(listener, chain, host)
    if owner is None:
        return None
    return Reply(
        421,
        b"Misdirected Request",
        flags=(ResponseFlag.NO_ROUTE,),
        detail="misdirected_request",
        reason=f"{host!r} belongs to {owner.name}, and this connection was made to {chain.name}: "
        "make a connection with that server name",
    )
