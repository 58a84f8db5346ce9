"""Injected faults on virtual time."""

from __future__ import annotations

import random

import pytest
import trio

from meshd.errors import ResponseFlag
from meshd.http.head import ResponseHead
from meshd.policy.exchange import Exchange, Response
from meshd.policy.fault import Abort, Delay, sampler
from meshd.snapshot.common import Percent
from meshd.snapshot.policy import FaultAbort, FaultDelay
from tests.policy.subjects import exchange

ALWAYS = Percent(1_000_000)
NEVER = Percent(0)


class NoBody:
    """A body without bytes."""

    ended = True
    trailers = None

    async def receive(self) -> bytes:
        return b""

    def receive_nowait(self) -> bytes:
        return b""


async def passed(made: Exchange) -> Response:
    return Response(ResponseHead(200), NoBody())


async def test_a_delay_waits_then_goes_on(autojump_clock: object) -> None:
    made = exchange()
    start = trio.current_time()
    response = await Delay(FaultDelay(7.0, ALWAYS), random.Random(1))(made, passed)
    assert trio.current_time() - start == pytest.approx(7.0)
    assert response.head.status == 200
    assert made.flags == [ResponseFlag.DELAY_INJECTED]
    assert made.fault_injected


async def test_a_delay_that_does_not_strike_costs_nothing(autojump_clock: object) -> None:
    made = exchange()
    start = trio.current_time()
    await Delay(FaultDelay(7.0, NEVER), random.Random(1))(made, passed)
    assert trio.current_time() == start
    assert made.flags == []
    assert made.fault_injected, "a route with a fault has no timeout and no retries"


def test_an_abort_answers() -> None:
    made = exchange()
    reply = Abort(FaultAbort(ALWAYS, http_status=503), random.Random(1)).request(made)
    assert reply is not None
    assert (reply.status, reply.body, reply.flags) == (503, b"fault filter abort", (ResponseFlag.FAULT_INJECTED,))
    assert (reply.detail, reply.grpc_status) == ("fault_filter_abort", -1)
    assert made.fault_injected


def test_an_abort_that_does_not_strike_goes_on() -> None:
    made = exchange()
    assert Abort(FaultAbort(NEVER, http_status=503), random.Random(1)).request(made) is None
    assert made.fault_injected


@pytest.mark.parametrize(("grpc", "http"), [(14, 503), (0, 200), (4, 504), (16, 401), (99, 500)])
def test_a_grpc_abort_has_an_http_status_for_others(grpc: int, http: int) -> None:
    reply = Abort(FaultAbort(ALWAYS, grpc_status=grpc), random.Random(1)).request(exchange())
    assert reply is not None
    assert (reply.status, reply.grpc_status) == (http, grpc)


def test_shares_are_kept() -> None:
    strikes = sampler(Percent(250_000), random.Random(3))
    assert 450 < sum(strikes() for _ in range(2000)) < 550
