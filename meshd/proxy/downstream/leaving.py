"""Connections of a filter chain that leaves: how they are brought to their end.

A chain leaves when a configuration has none of its name and kind any more (the
kind: its TLS settings, and opaque bytes or HTTP): mutual TLS became mandatory,
for one, and whoever is connected in plaintext must not stay. The several chains
of a port share a name, so it takes both to tell them apart.

As Envoy does it: its HTTP connections may make one request more (which is told
that it was the last), so that none is closed under a request that is on its
way; when the drain's time is over, those that are still idle are closed, and
opaque ones are cut.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import trio

from meshd.http.server import Drain
from meshd.net.timers import Timers
from meshd.proxy.live import LiveChain, LiveListener
from meshd.snapshot.listener import DownstreamTls


@attrs.define(eq=False)
class OnChain:
    """What the connections of one chain share. Made by the acceptor when the first one comes."""

    listener: str
    chain: LiveChain
    captured: bool = False
    """Its connections were led here on their way to this listener, which is not the acceptor's own."""
    drain: Drain = attrs.field(factory=Drain)
    """Of its HTTP connections."""
    opaque: set[trio.CancelScope] = attrs.field(factory=set)
    """One for each connection of opaque bytes."""

    def stays(self, listener: LiveListener | None) -> bool:
        """Does a configuration still have this chain?"""
        if listener is None or listener.listener.name != self.listener:
            return False
        present = listener.chains.get(self.chain.chain.kind)
        return present is not None and present.chain.tls == self.chain.chain.tls

    def leave(self, timers: Timers, deadline: float) -> None:
        """End the connections by ``deadline`` (trio's clock); exchanges that are under way then end by themselves."""
        timers.at(deadline, self.drain.begin)
        for scope in self.opaque:
            scope.deadline = min(scope.deadline, deadline)


class Chains:
    """The chains of one acceptor that have had connections. The whole mutable state is the dict of them."""

    def __init__(self, drain: Drain) -> None:
        """``drain``: of the acceptor; when it begins, every chain's does."""
        self._drain = drain
        self._known: dict[tuple[str, str, DownstreamTls | None], OnChain] = {}

    def of(self, listener: str, chain: LiveChain, *, captured: bool = False) -> OnChain:
        """What a new connection of this chain belongs to."""
        key = (listener if captured else "", chain.chain.kind, chain.chain.tls)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = OnChain(listener, chain, captured)
            self._drain.watch(known, known.drain.begin)
            if self._drain.active:
                known.drain.begin()
        return known

    def adopt(self, listeners: Mapping[str, LiveListener], own: str, timers: Timers, deadline: float) -> None:
        """A new configuration: end the connections of chains that it does not have any more.

        Args:
            listeners: All it has.
            own: The name of the acceptor's.
            timers: Call what is to be done later.
            deadline: trio's clock.
        """
        for key, known in list(self._known.items()):
            if not known.stays(listeners.get(known.listener if known.captured else own)):
                del self._known[key]
                self._drain.forget(known)
                known.leave(timers, deadline)
