"""The proxy's own connections, recognised when they are captured. Pure.

A proxy that runs as a user whose connections are captured would otherwise call
itself for ever.
"""

from __future__ import annotations

from collections import deque

from meshd.net.address import Address

SECONDS = 1.0
REMEMBERED = 1024
REMEMBERED_FOR = 5 * SECONDS
"""A connection of ours that comes back does so at once."""


class OwnConnections:
    """The connections this proxy has just made.

    Both ends are compared: one port may be used for many destinations.
    """

    def __init__(self) -> None:
        # The whole mutable state: both ends with the time, oldest first, and how often each is there.
        self._made: deque[tuple[float, Address, Address]] = deque()
        self._known: dict[tuple[Address, Address], int] = {}

    def note(self, local: Address, remote: Address, now: float) -> None:
        """One was made (``now`` on trio's clock)."""
        self._forget(now)
        self._made.append((now, local, remote))
        self._known[local, remote] = self._known.get((local, remote), 0) + 1

    def made(self, local: Address, remote: Address, now: float) -> bool:
        """Was this one made a moment ago?"""
        self._forget(now)
        return (local, remote) in self._known

    def _forget(self, now: float) -> None:
        made = self._made
        while made and (len(made) >= REMEMBERED or made[0][0] < now - REMEMBERED_FOR):
            _, local, remote = made.popleft()
            left = self._known[local, remote] - 1
            if left:
                self._known[local, remote] = left
            else:
                del self._known[local, remote]
