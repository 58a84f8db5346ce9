"""A waiter loses no wake-up and keeps no cancelled task; patience ends waits exactly when it says."""

from __future__ import annotations

import math

import pytest
import trio
from trio.testing import MockClock

from meshd.http.patience import Patience
from meshd.http.waiter import Waiter
from meshd.net.timers import Timers


async def test_a_wake_up_before_the_wait_is_kept() -> None:
    waiter = Waiter()
    waiter.wake()
    waiter.wake()
    with trio.fail_after(1):
        await waiter.wait()
    with trio.move_on_after(0) as scope:
        await waiter.wait()
    assert scope.cancelled_caught


async def test_a_parked_task_goes_on_once(nursery: trio.Nursery) -> None:
    waiter = Waiter()
    turns: list[int] = []

    async def wait() -> None:
        while True:
            await waiter.wait()
            turns.append(1)

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    waiter.wake()
    await trio.testing.wait_all_tasks_blocked()
    assert turns == [1]
    nursery.cancel_scope.cancel()


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    waiter = Waiter()
    with trio.move_on_after(0):
        await waiter.wait()
    waiter.wake()
    with trio.fail_after(1):
        await waiter.wait()


async def test_patience_is_exact(timers: Timers, autojump_clock: MockClock) -> None:
    del autojump_clock
    expired: list[float] = []
    patience = Patience(timers, 10, lambda: expired.append(trio.current_time()))
    await trio.sleep(7)
    patience.reading = trio.current_time() + 10
    await trio.sleep(9)
    patience.reading = math.inf
    await trio.sleep(100)
    assert not expired
    patience.writing = trio.current_time() + 35
    await trio.sleep(100)
    assert expired == [pytest.approx(151)]
    patience.end()
    patience.end()


async def test_ended_patience_does_nothing(timers: Timers, autojump_clock: MockClock) -> None:
    del autojump_clock
    expired: list[float] = []
    patience = Patience(timers, 10, lambda: expired.append(1))
    patience.reading = 5
    patience.end()
    await trio.sleep(100)
    assert not expired
