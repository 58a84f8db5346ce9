"""How long a connection waits for its peer, at the price of an attribute write per wait.

A server connection waits for the next request, for bytes of a body, and for
room to send. Each wait sets a deadline and takes it back. One timer per
connection looks at the deadlines when the earliest of them could have passed;
it never needs to be moved, so a busy connection costs the timers nothing.
Deadlines are exact: no wait is shorter than the time between two looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from meshd.net.timers import Timer, Timers


class Patience:
    """The deadlines of one connection. Made and ended by whoever serves the connection.

    Args:
        timers: Who calls.
        shortest: Seconds of the shortest wait that will ever be set.
        expired: Called once when a deadline has passed.
    """

    __slots__ = ("_expired", "_shortest", "_timer", "_timers", "now", "reading", "writing")

    def __init__(self, timers: Timers, shortest: float, expired: Callable[[], None]) -> None:
        # The whole mutable state: both deadlines (trio's clock, infinite when nobody waits), and the timer.
        self.now = trio.lowlevel.current_clock().current_time
        """trio's clock, without the way to it."""
        self.reading = math.inf
        self.writing = math.inf
        self._timers = timers
        self._shortest = shortest
        self._expired = expired
        self._timer: Timer | None = timers.after(shortest, self._look)

    def _look(self) -> None:
        now = self.now()
        due = min(self.reading, self.writing)
        if due <= now:
            self._timer = None
            self._expired()
            return
        self._timer = self._timers.at(min(due, now + self._shortest), self._look)

    def end(self) -> None:
        """Never call again. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
