"""Callbacks at a time, on trio's clock, from one task.

A deadline for every request must not cost a cancel scope for every request.
So deadlines are entries of one heap, and one task sleeps until the earliest.
It is tickless: with no entries nothing wakes, and on a ``MockClock`` that
jumps, deadlines are exact.

A timer can be pushed back for nothing: ``timer.deadline = later`` only writes
an attribute; the heap learns of it when the old time comes.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import count

import trio

SWEEP_FROM = 1000
"""Cancelled entries that are not worth a sweep."""


class Timer:
    """One pending callback. Made by ``Timers.at``."""

    __slots__ = ("_callback", "_queued", "_timers", "deadline")

    def __init__(self, timers: Timers, deadline: float, callback: Callable[[], None]) -> None:
        self._timers = timers
        self._callback: Callable[[], None] | None = callback
        self._queued = deadline
        self.deadline = deadline
        """When to call, on trio's clock. May be moved later freely; to move it earlier, cancel and make another."""

    def cancel(self) -> None:
        """Never call. Idempotent."""
        if self._callback is not None:
            self._callback = None
            self.deadline = math.inf
            self._timers._forget_one()


class Timers:
    """The heap of pending callbacks; ``run`` belongs in the process's nursery.

    Callbacks are synchronous, quick, and must not raise.
    """

    def __init__(self) -> None:
        # The whole mutable state: the heap, how many of its entries are cancelled, and
        # the scope of the present sleep.
        self._heap: list[tuple[float, int, Timer]] = []
        self._cancelled = 0
        self._sleep: trio.CancelScope | None = None
        self._order = count()

    def at(self, deadline: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` when trio's clock reaches ``deadline``."""
        timer = Timer(self, deadline, callback)
        self._push(timer)
        return timer

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` in ``seconds``."""
        return self.at(trio.current_time() + seconds, callback)

    def _push(self, timer: Timer) -> None:
        timer._queued = timer.deadline
        heapq.heappush(self._heap, (timer.deadline, next(self._order), timer))
        if self._sleep is not None and timer.deadline < self._sleep.deadline:
            self._sleep.deadline = timer.deadline

    def _forget_one(self) -> None:
        """Sweep the heap when most of it is cancelled: every request's deadline is, long before its time."""
        self._cancelled += 1
        if self._cancelled > SWEEP_FROM and 2 * self._cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2]._callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    async def run(self) -> None:
        """Fire timers until cancelled."""
        while True:
            due = self._heap[0][0] if self._heap else math.inf
            with trio.CancelScope(deadline=due) as self._sleep:
                await trio.sleep_forever()
            self._sleep = None
            self._fire(trio.current_time())

    def _fire(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)[2]
            if timer._callback is None:
                self._cancelled -= 1
                continue
            if timer.deadline > now:
                self._push(timer)
                continue
            callback, timer._callback = timer._callback, None
            callback()
