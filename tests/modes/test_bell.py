"""A watcher that can be rung."""

from __future__ import annotations

import trio

from meshd.control.sources.watching import ManualWatcher
from meshd.modes.bell import Bell


async def test_a_change_and_a_ring(autojump_clock: trio.testing.MockClock) -> None:
    watcher = ManualWatcher()
    bell = Bell(watcher)
    for wake in (watcher.changed, bell.ring):
        with trio.move_on_after(1) as scope:
            await bell.wait_change()
        assert scope.cancelled_caught, "nothing has happened yet"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bell.wait_change)
            await trio.testing.wait_all_tasks_blocked()
            wake()


async def test_a_ring_before_anybody_waits_is_kept() -> None:
    bell = Bell(ManualWatcher())
    bell.ring()
    with trio.fail_after(1):
        await bell.wait_change()
    bell.close()
