from __future__ import annotations

import pytest
import trio

from meshd.net.timers import Timers


@pytest.fixture
async def timers(nursery):
    timers = Timers()
    nursery.start_soon(timers.run)
    return timers


async def test_timers_fire_in_order_and_on_time(timers, autojump_clock):
    fired: list[tuple[str, float]] = []

    def note(name: str):
        return lambda: fired.append((name, trio.current_time()))

    timers.after(3, note("c"))
    timers.after(1, note("a"))
    await trio.sleep(0.5)
    timers.at(2, note("b"))
    await trio.sleep(10)
    assert fired == [("a", 1), ("b", 2), ("c", 3)]


async def test_a_cancelled_timer_stays_silent(timers, autojump_clock):
    fired: list[int] = []
    timer = timers.after(1, lambda: fired.append(1))
    timer.cancel()
    timer.cancel()
    await trio.sleep(5)
    assert fired == []


async def test_a_timer_can_be_pushed_back(timers, autojump_clock):
    fired: list[float] = []
    timer = timers.after(1, lambda: fired.append(trio.current_time()))
    await trio.sleep(0.9)
    timer.deadline = 4
    await trio.sleep(10)
    assert fired == [4]


async def test_a_callback_may_set_a_timer(timers, autojump_clock):
    fired: list[float] = []

    def again() -> None:
        fired.append(trio.current_time())
        if len(fired) < 3:
            timers.after(2, again)

    timers.after(1, again)
    await trio.sleep(20)
    assert fired == [1, 3, 5]


async def test_nothing_to_do_wakes_nobody(timers, autojump_clock):
    before = trio.current_time()
    with trio.move_on_after(1_000_000):
        await trio.sleep_forever()
    assert trio.current_time() - before == 1_000_000


async def test_cancelled_timers_do_not_pile_up(timers, autojump_clock):
    fired: list[float] = []
    for number in range(20_000):
        timers.after(3600, lambda: fired.append(0.0)).cancel()
        if not number % 100:
            timers.after(number / 100, lambda: fired.append(trio.current_time()))
    assert len(timers._heap) < 3_000
    await trio.sleep(4000)
    assert fired == sorted(fired)
    assert len(fired) == 200
