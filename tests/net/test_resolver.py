from __future__ import annotations

import threading

import pytest
import trio

from meshd.errors import ConnectionLost
from meshd.net.resolver import SystemResolver


class Names:
    """A name service. Set ``answers``; look at ``asked``."""

    def __init__(self, **answers: tuple[str, ...] | OSError) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, name: str) -> tuple[str, ...]:
        self.asked.append(name)
        answer = self.answers.get(name, OSError(-2, "Name or service not known"))
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock(mock_clock):
    """Stands still, as threads take real time; a test moves it with ``jump``."""
    return mock_clock


async def test_literals_are_answered_directly():
    names = Names()
    resolver = SystemResolver(look_up=names)
    assert await resolver.resolve("10.0.0.1") == ("10.0.0.1",)
    assert await resolver.resolve("2001:db8::1") == ("2001:db8::1",)
    assert names.asked == []


async def test_answers_are_kept_for_their_time(clock):
    names = Names(reviews=("10.0.0.1", "10.0.0.2"))
    resolver = SystemResolver(look_up=names, ttl=5)
    assert await resolver.resolve("Reviews.") == ("10.0.0.1", "10.0.0.2")
    clock.jump(4.9)
    assert await resolver.resolve("reviews") == ("10.0.0.1", "10.0.0.2")
    assert names.asked == ["reviews"]
    clock.jump(0.2)
    names.answers["reviews"] = ("10.0.0.3",)
    assert await resolver.resolve("reviews") == ("10.0.0.3",)
    statistics = resolver.statistics()
    assert (statistics.look_ups, statistics.hits, statistics.failures, statistics.entries) == (2, 1, 0, 1)


async def test_the_last_good_answer_outlives_a_failure(clock):
    names = Names(reviews=("10.0.0.1",))
    resolver = SystemResolver(look_up=names)
    await resolver.resolve("reviews")
    names.answers.clear()
    for _ in range(3):
        clock.jump(1000)
        assert await resolver.resolve("reviews") == ("10.0.0.1",)
    assert resolver.statistics().stale_answers == 3
    assert resolver.statistics().failures == 3


async def test_a_failure_is_told_and_believed_for_a_moment(clock):
    names = Names()
    resolver = SystemResolver(look_up=names)
    for _ in range(3):
        with pytest.raises(ConnectionLost, match="cannot resolve 'nowhere': Name or service not known"):
            await resolver.resolve("nowhere")
    assert names.asked == ["nowhere"]
    clock.jump(1.1)
    names.answers["nowhere"] = ("10.0.0.1",)
    assert await resolver.resolve("nowhere") == ("10.0.0.1",)


async def test_an_empty_answer_is_a_failure():
    with pytest.raises(ConnectionLost, match="no address"):
        await SystemResolver(look_up=Names(empty=())).resolve("empty")


@pytest.mark.parametrize("name", ["", ".", "x" * 300, "münchen.example"])
async def test_what_is_no_name_is_not_asked(name):
    names = Names()
    with pytest.raises(ConnectionLost, match="no host name"):
        await SystemResolver(look_up=names).resolve(name)
    assert names.asked == []


async def test_a_label_that_idna_refuses_is_a_failure():
    def look_up(name: str) -> tuple[str, ...]:
        raise UnicodeError("label empty or too long")

    with pytest.raises(ConnectionLost, match="label empty"):
        await SystemResolver(look_up=look_up).resolve("a..b")


async def test_one_look_up_for_many_askers_and_a_cancelled_one_harms_no_other():
    release = threading.Event()

    def look_up(name: str) -> tuple[str, ...]:
        release.wait(10)
        return ("10.0.0.1",)

    resolver = SystemResolver(look_up=look_up)
    answers = []

    async def ask() -> None:
        answers.append(await resolver.resolve("reviews"))

    async def ask_and_give_up(scope: trio.CancelScope) -> None:
        with scope:
            await ask()

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(ask_and_give_up, scope)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):
            nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert resolver.statistics().look_ups == 1
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        release.set()
    assert answers == [("10.0.0.1",)] * 5
    assert resolver.statistics().look_ups == 2


async def test_look_ups_are_bounded_in_number_and_time(clock):
    release = threading.Event()
    running = most = 0

    def look_up(name: str) -> tuple[str, ...]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        release.wait(10)
        running -= 1
        return ("10.0.0.1",)

    resolver = SystemResolver(look_up=look_up, concurrency=2, timeout=3)

    async def ask(name: str) -> None:
        with pytest.raises(ConnectionLost, match="no answer within 3 s"):
            await resolver.resolve(name)

    async with trio.open_nursery() as nursery:
        for name in ("a", "b", "c", "d"):
            nursery.start_soon(ask, name)
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(3.1)
    release.set()
    assert most <= 2


async def test_names_are_bounded():
    resolver = SystemResolver(look_up=lambda name: ("10.0.0.1",), max_entries=3)
    for name in "abcdef":
        await resolver.resolve(name)
    assert resolver.statistics().entries == 3


async def test_the_system_knows_localhost():
    addresses = await SystemResolver().resolve("localhost")
    assert set(addresses) <= {"127.0.0.1", "::1"}
    assert addresses
