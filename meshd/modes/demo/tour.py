"""``meshd demo --check``: a tour of what a mesh does, with what was seen written down.

Each stop changes something and looks until the change is seen, or its time is
up. What one stop put into the store it takes out again.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import attrs
import trio

from meshd.errors import MeshdError
from meshd.modes.demo.children import Children, Say
from meshd.modes.demo.plan import Plan
from meshd.modes.demo.visitor import Page, Visitor
from meshd.modes.process import expected_error

HANDSHAKE_EVERY = 0.2
"""Seconds between two looks at a certificate."""
LIVE_WITHIN = 1.0
"""Seconds from a file in the store to its effect: what the demo promises."""
STOP_WITHIN = 12.0
"""Seconds for most stops."""
ROTATION_WITHIN = 30.0
"""Seconds; certificates of the tour live 40 and are renewed at half of that."""
TOUR_WITHIN = 58.0
LOOK_EVERY = 0.02
PAGES_TO_TRUST = 8
"""Pages in a row before a change is believed."""
PAGES_TO_COUNT = 120
PAGES_AT_ONCE = 6
FEWEST_PERCENT, MOST_PERCENT = 6, 36
"""Around 20 of 120 draws: four standard deviations either way."""
LEAST_TRAFFIC = 40
"""Requests before "none failed" means something."""
TRAFFIC_EVERY = 0.02
"""Seconds between the requests of the traffic that runs beside a stop."""


class NotSeen(MeshdError):
    """A stop of the tour did not show what it should have."""


@attrs.define
class Traffic:
    """Requests that go on while something is broken: how many, and what went wrong."""

    asked: int = 0
    failures: list[str] = attrs.field(factory=list)

    def verdict(self) -> str:
        """For the tour's line.

        Raises:
            NotSeen: a request failed.
        """
        if self.failures:
            raise NotSeen(f"{len(self.failures)} of {self.asked} requests failed, the first: {self.failures[0]}")
        return f"{self.asked} requests meanwhile, none failed"


@attrs.frozen
class Tour:
    """The stops. Each returns what it saw, or raises ``NotSeen``."""

    plan: Plan
    children: Children
    visitor: Visitor

    def stops(self) -> tuple[tuple[str, Callable[[], Awaitable[str]]], ...]:
        """Title and stop, in order."""
        return (
            ("mutual TLS on every hop", self.mutual_tls),
            ("plain text is refused", self.plain_text),
            ("the versions take turns", self.turns),
            ("a route changes", self.route),
            ("a route by weight", self.weights),
            ("an injected abort", self.abort),
            ("an injected delay", self.delay),
            ("a policy refuses", self.deny),
            ("a sidecar is killed under traffic", self.sidecar),
            ("the control plane is killed under traffic", self.control),
            ("certificates are renewed under traffic", self.rotation),
        )

    async def mutual_tls(self) -> str:
        page = await self._until(lambda page: len(page.hops) == 4, "a page of four hops")
        for hop in page.hops:
            if not (hop.caller and hop.certificate):
                raise NotSeen(f"{hop.service} was called without a certificate")
        return "".join(
            f"\n      {hop.service + '-' + hop.version:<15} saw {hop.caller}  {hop.certificate[:12]}"
            for hop in page.hops
        )

    async def plain_text(self) -> str:
        answer = await self.visitor.plain_text(self.plan.workload("ratings-v1"))
        if answer:
            raise NotSeen(f"the sidecar of ratings answered: {answer.splitlines()[0]}")
        return "the sidecar of ratings closed the connection"

    async def turns(self) -> str:
        seen: dict[str, int] = {}
        with trio.move_on_after(STOP_WITHIN):
            while len(seen) < 3:
                page = await self.visitor.page()
                seen[page.reviews] = seen.get(page.reviews, 0) + 1
        if set(seen) != {"reviews-v1", "reviews-v2", "reviews-v3"}:
            raise NotSeen(f"only {sorted(seen)} answered")
        return ", ".join(f"{name} {count}x" for name, count in sorted(seen.items()))

    async def route(self) -> str:
        with self._in_store("reviews-v3.yaml"):
            took = await self._live(lambda page: page.reviews == "reviews-v3" and page.stars == "red")
            return f"red stars for everybody after {took * 1000:.0f} ms"

    async def weights(self) -> str:
        seen: Counter[str] = Counter()

        async def look() -> None:
            seen[(await self.visitor.page()).reviews] += 1

        with self._in_store("reviews-80-20.yaml"):
            await self._settled(lambda page: page.reviews in {"reviews-v1", "reviews-v2"}, "the weighted route")
            for _ in range(PAGES_TO_COUNT // PAGES_AT_ONCE):
                # The errors of one page are those of the stop.
                async with trio.open_nursery() as pages_nursery:
                    for _ in range(PAGES_AT_ONCE):
                        pages_nursery.start_soon(look)
        percent = round(100 * seen["reviews-v2"] / PAGES_TO_COUNT)
        if set(seen) != {"reviews-v1", "reviews-v2"} or not FEWEST_PERCENT <= percent <= MOST_PERCENT:
            raise NotSeen(f"of {PAGES_TO_COUNT} pages: {dict(seen)}")
        return f"{percent} % of {PAGES_TO_COUNT} pages by version 2, where 20 were asked for"

    async def abort(self) -> str:
        async with self._calm():
            with self._in_store("ratings-abort.yaml"):
                took = await self._live(lambda page: page.stars == "unavailable" and page.whole)
                return f"reviews without ratings after {took * 1000:.0f} ms, the page whole"

    async def delay(self) -> str:
        async with self._calm():
            with self._in_store("ratings-delay.yaml"):
                page = await self._until(lambda page: page.seconds >= 1.5, "a slow page")
                if page.stars != "red":
                    raise NotSeen(f"a slow page with stars: {page.stars}")
                return f"the page took {page.seconds:.1f} s, and came with red stars"

    async def deny(self) -> str:
        async with self._calm():
            with self._in_store("ratings-deny.yaml"):
                took = await self._live(lambda page: page.stars == "unavailable")
                shop, reviews = self.plan.workload("productpage-v1"), self.plan.workload("reviews-v3")
                allowed, _ = await self.visitor.ask_as(shop, "ratings:9080", "/ratings/0")
                status, text = await self.visitor.ask_as(reviews, "ratings:9080", "/ratings/0")
        if (allowed, status) != (200, 403):
            raise NotSeen(f"productpage got {allowed} (expected 200), reviews {status} (expected 403)")
        return f"after {took * 1000:.0f} ms reviews is told 403 {text.strip()!r}, productpage 200"

    async def sidecar(self) -> str:
        name = "reviews-v2.sidecar"
        async with self._traffic() as traffic:
            dead = self.children.pid(name)
            self.children.signal(name, signal.SIGKILL)
            await self._back(name, dead)
            await self._until(lambda page: page.reviews == "reviews-v2", "an answer of reviews-v2")
        return f"SIGKILL to {dead}; reviews-v2 is back; {traffic.verdict()}"

    async def control(self) -> str:
        async with self._traffic() as traffic:
            dead = self.children.pid("control")
            self.children.signal("control", signal.SIGKILL)
            await self._back("control", dead)
            with self._in_store("reviews-v3.yaml"):
                began = trio.current_time()
                await self._settled(lambda page: page.reviews == "reviews-v3", "the change made after its return")
                took = trio.current_time() - began
        return f"SIGKILL to {dead}; a change was live {took:.1f} s after its return; {traffic.verdict()}"

    async def rotation(self) -> str:
        # A new connection is shown the new certificate; those that exist live on with the old one.
        shop = self.plan.workload("productpage-v1")
        before = now = await self.visitor.certificate(shop)
        async with self._traffic() as traffic:
            with trio.move_on_after(ROTATION_WITHIN):
                while now == before:
                    await trio.sleep(HANDSHAKE_EVERY)
                    now = await self.visitor.certificate(shop)
            asked = traffic.asked
            while traffic.asked < asked + LEAST_TRAFFIC // 2:
                await trio.sleep(TRAFFIC_EVERY)
        if now == before:
            raise NotSeen(f"productpage still shows {before[:12]} after {ROTATION_WITHIN:.0f} s")
        return f"productpage showed {before[:12]}, now {now[:12]}; {traffic.verdict()}"

    @contextlib.contextmanager
    def _in_store(self, name: str) -> Iterator[None]:
        """An example's file in the store, for as long as the block."""
        target = self.plan.store / name
        shutil.copyfile(self.plan.examples / name, target)
        try:
            yield
        finally:
            target.unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def _calm(self) -> AsyncIterator[None]:
        """Everybody on version 3, nothing slow, nothing broken: what a change is seen against."""
        with self._in_store("reviews-v3.yaml"):
            await self._settled(lambda page: page.stars == "red" and page.seconds < 1, "a quiet page with red stars")
            yield

    async def _until(self, seen: Callable[[Page], bool], what: str) -> Page:
        with trio.move_on_after(STOP_WITHIN):
            while True:
                page = await self.visitor.page()
                if seen(page):
                    return page
                await trio.sleep(LOOK_EVERY)
        raise NotSeen(f"{what} did not come within {STOP_WITHIN:.0f} s")

    async def _settled(self, seen: Callable[[Page], bool], what: str) -> float:
        """When (trio's clock) the first of several pages in a row that are as they should be was there."""
        row, first = 0, 0.0
        with trio.move_on_after(STOP_WITHIN):
            while row < PAGES_TO_TRUST:
                if seen(await self.visitor.page()):
                    first = first if row else trio.current_time()
                    row += 1
                else:
                    row = 0
                    await trio.sleep(LOOK_EVERY)
            return first
        raise NotSeen(f"{what} did not come within {STOP_WITHIN:.0f} s")

    async def _live(self, seen: Callable[[Page], bool]) -> float:
        """Seconds from now until every page is as it should be.

        Raises:
            NotSeen: it takes longer than the demo promises.
        """
        began = trio.current_time()
        took = max(0.0, await self._settled(seen, "the change") - began)
        if took > LIVE_WITHIN:
            raise NotSeen(f"the change was live after {took:.2f} s, not within {LIVE_WITHIN:.0f} s")
        return took

    async def _back(self, name: str, dead: int) -> None:
        """Wait for a killed process's successor."""
        with trio.move_on_after(STOP_WITHIN):
            while self.children.pid(name) == dead or not self.children.is_alive(name):
                await trio.sleep(LOOK_EVERY)
            return
        raise NotSeen(f"{name} was not started again")

    @contextlib.asynccontextmanager
    async def _traffic(self) -> AsyncIterator[Traffic]:
        """Steady requests for the page beside the block; the record is complete after it."""
        traffic = Traffic()
        # The loop raises nothing but bugs.
        async with trio.open_nursery() as traffic_nursery:
            traffic_nursery.start_soon(self._ask_steadily, traffic)
            yield traffic
            while traffic.asked < LEAST_TRAFFIC:
                await trio.sleep(LOOK_EVERY)
            traffic_nursery.cancel_scope.cancel()

    async def _ask_steadily(self, traffic: Traffic) -> None:
        while True:
            try:
                page = await self.visitor.page()
            except MeshdError as error:
                traffic.failures.append(str(error))
            else:
                if not page.whole:
                    traffic.failures.append(f"status {page.status}, the page not whole")
            traffic.asked += 1
            await trio.sleep(TRAFFIC_EVERY)


async def make(plan: Plan, children: Children, visitor: Visitor, say: Say, took: float) -> int:
    """Make the tour.

    Args:
        plan: What runs.
        children: The processes, to be killed now and then.
        visitor: Who looks.
        say: Where to write.
        took: Seconds it took to be ready.

    Returns:
        0 when every stop showed what it should, else 1.
    """
    began = trio.current_time()
    say(f"ok    the first page, {took:.1f} s after the start")
    failed = 0
    done = 0
    tour = Tour(plan, children, visitor)
    stops = tour.stops()
    with trio.move_on_after(TOUR_WITHIN - took):
        for title, stop in stops:
            saw, trouble = await _attempt(stop)
            failed += bool(trouble)
            say(f"FAIL  {title}: {trouble}" if trouble else f"ok    {title}: {saw}")
            done += 1
    if done < len(stops):
        failed += 1
        say(f"FAIL  {stops[done][0]}: the tour took longer than {TOUR_WITHIN:.0f} s")
    say(f"{'All seen' if not failed else f'{failed} not seen'}, in {trio.current_time() - began + took:.0f} s.")
    return 1 if failed else 0


async def _attempt(stop: Callable[[], Awaitable[str]]) -> tuple[str, str]:
    """What a stop saw, and what went wrong ("" when nothing)."""
    try:
        return await stop(), ""
    except MeshdError as error:
        return "", str(error)
    except BaseExceptionGroup as group:
        # A stop with traffic beside it fails inside a nursery.
        expected = expected_error(group)
        if expected is None:
            raise
        return "", str(expected)
