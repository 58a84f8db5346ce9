"""Filters compiled into one call."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from meshd.errors import ConnectionLost, Denied
from meshd.http.h1_body import NO_BODY_HERE
from meshd.http.head import RequestHead, ResponseHead
from meshd.net.address import Address
from meshd.policy.exchange import ConnectionInfo, Reply, Response
from meshd.proxy.chain import compile_chain
from meshd.proxy.exchange import ProxyExchange
from meshd.proxy.reply import ClientGone
from meshd.snapshot.common import Direction, Percent
from meshd.snapshot.policy import Fault, FaultAbort, FaultDelay
from meshd.snapshot.route import DirectResponse
from tests.fakes import answer
from tests.proxy.rig import Rig
from tests.proxy.snapshots import forward, gateway, route

A = "10.0.0.1:9080"
ALWAYS = Percent(1_000_000)


class FakeStream:
    request = RequestHead(b"GET", b"/")


class FakeLive:
    now = staticmethod(trio.current_time)


def exchange() -> ProxyExchange:
    address = Address("10.0.0.9", 1)
    info = ConnectionInfo(Direction.OUTBOUND, address, address, 80)
    return ProxyExchange(info, FakeStream(), FakeLive(), None)


@attrs.frozen
class Note:
    """A head filter that writes down when it is asked."""

    name: str
    log: list[str]
    reply: Reply | None = None

    def request(self, exchange):
        self.log.append(f">{self.name}")
        return self.reply

    def response(self, exchange, response):
        self.log.append(f"<{self.name} {response.status}")


@attrs.frozen
class Wait:
    """A filter that waits."""

    name: str
    log: list[str]
    seconds: float = 1.0

    async def __call__(self, exchange, next):
        self.log.append(f">{self.name}")
        await trio.sleep(self.seconds)
        response = await next(exchange)
        self.log.append(f"<{self.name} {response.head.status}")
        return response


def last(log: list[str], status: int = 200):
    async def finish(exchange):
        log.append("last")
        return Response(ResponseHead(status), NO_BODY_HERE)

    return finish


async def test_no_filters_is_the_last_itself():
    finish = last([])
    assert compile_chain((), finish) is finish


@pytest.mark.parametrize("kinds", ["n", "nn", "w", "nw", "wn", "nwn", "nnwwnn", "wnw"])
async def test_requests_pass_in_order_and_responses_back(autojump_clock, kinds):
    log: list[str] = []
    filters = [(Note if kind == "n" else Wait)(f"{kind}{at}", log) for at, kind in enumerate(kinds)]
    await compile_chain(filters, last(log))(exchange())
    names = [item.name for item in filters]
    assert log == [f">{name}" for name in names] + ["last"] + [f"<{name} 200" for name in reversed(names)]


async def test_a_reply_turns_round_where_it_is_made(autojump_clock):
    log: list[str] = []
    denied = Reply(403, b"no", detail="d", reason="r")
    filters = [Note("a", log), Wait("w", log), Note("b", log), Note("c", log, denied), Note("d", log)]
    passed = exchange()
    response = await compile_chain(filters, last(log))(passed)
    assert log == [">a", ">w", ">b", ">c", "<c 403", "<b 403", "<w 403", "<a 403"]
    assert response.local
    assert (response.head.status, passed.detail, passed.reason) == (403, "d", "r")


async def test_a_chain_that_waits_can_be_ended_from_outside(autojump_clock):
    log: list[str] = []
    waiting = exchange()
    chain = compile_chain([Wait("w", log, 1000.0)], last(log))
    ended: list[BaseException] = []

    async def run() -> None:
        with pytest.raises(ClientGone) as caught:
            await chain(waiting)
        ended.append(caught.value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.sleep(5)
        waiting.client_gone(ConnectionLost("bye"))
    assert trio.current_time() == 5
    assert (len(ended), log) == (1, [">w"])


async def test_an_exchange_that_has_ended_does_not_begin_to_wait(autojump_clock):
    log: list[str] = []
    gone = exchange()
    gone.client_gone(ConnectionLost("bye"))
    with pytest.raises(ClientGone):
        await compile_chain([Wait("w", log)], last(log))(gone)
    assert trio.current_time() == 0


async def test_errors_pass_through(autojump_clock):
    async def fail(exchange):
        raise Denied("no")

    with pytest.raises(Denied):
        await compile_chain([Note("a", []), Wait("w", [])], fail)(exchange())


# In the engine: faults of a route.


async def test_a_delay_fault_waits_and_counts_against_nothing(nursery, autojump_clock):
    fault = Fault(delay=FaultDelay(7.0, ALWAYS))
    rig = await Rig.start(nursery, gateway(route(forward("c", timeout=2.0), filters=(fault,)), endpoints={"c": [A]}))
    await rig.upstream(A, behaviour=answer(200, b"late", delay=3.0))
    start = trio.current_time()
    got = await rig.get()
    assert (got.status, got.body, got.at - start) == (200, b"late", 10.0)
    assert (await rig.logs())[0]["response_flags"] == "DI"


async def test_an_abort_fault_answers(nursery, autojump_clock):
    fault = Fault(abort=FaultAbort(ALWAYS, http_status=418))
    rig = await Rig.start(nursery, gateway(route(DirectResponse(200), filters=(fault,))))
    got = await rig.get()
    assert (got.status, got.body) == (418, b"fault filter abort")


async def test_a_client_that_leaves_during_a_delay(nursery, autojump_clock):
    fault = Fault(delay=FaultDelay(100.0, ALWAYS))
    rig = await Rig.start(nursery, gateway(route(forward("c"), filters=(fault,)), endpoints={"c": [A]}))
    backend = await rig.upstream(A)
    client = await rig.client.connection(rig.address())
    stream = client.open()
    await stream.send_head(RequestHead(b"GET", b"/", b"x"), end=True)
    await trio.sleep(5)
    stream.abort(ConnectionLost("bye"))
    await trio.testing.wait_all_tasks_blocked()
    (line,) = await rig.logs()
    assert (line["response_code"], backend.requests) == (0, [])
    assert "DC" in str(line["response_flags"])
    assert trio.current_time() == 5
