"""Fault injection: a delay that waits, an abort that answers.

The delay comes first, then the abort, each sampled for itself (Istio). A route
with a fault has no timeout and no retries, whether or not the fault strikes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from meshd.errors import ResponseFlag
from meshd.http.head import ResponseHead
from meshd.policy.exchange import Exchange, Next, Reply, Response
from meshd.snapshot.common import Percent
from meshd.snapshot.policy import FaultAbort, FaultDelay

_MILLION = 1_000_000

_HTTP_STATUS = (200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401)
"""The HTTP status of each gRPC status, for clients that do not speak gRPC (Envoy's mapping)."""


class Randomness(Protocol):
    """What sampling needs of ``random.Random``."""

    def random(self) -> float: ...


def sampler(percent: Percent, rng: Randomness) -> Callable[[], bool]:
    """Does chance strike? Never and always ask no randomness."""
    share = percent.per_million
    if share <= 0:
        return lambda: False
    if share >= _MILLION:
        return lambda: True
    return lambda: rng.random() * _MILLION < share


class Delay:
    """Waits before going on; a filter."""

    __slots__ = ("_seconds", "_strikes")

    def __init__(self, delay: FaultDelay, rng: Randomness) -> None:
        self._seconds = delay.seconds
        self._strikes = sampler(delay.percent, rng)

    async def __call__(self, exchange: Exchange, next: Next) -> Response:
        exchange.fault_injected = True
        if self._strikes():
            # Loaded by every proxy long before; explanations load this module and wait for nothing.
            import trio

            exchange.flags.append(ResponseFlag.DELAY_INJECTED)
            await trio.sleep(self._seconds)
        return await next(exchange)


class Abort:
    """Answers instead of forwarding; a head filter."""

    __slots__ = ("_grpc_status", "_status", "_strikes")

    def __init__(self, abort: FaultAbort, rng: Randomness) -> None:
        self._grpc_status = abort.grpc_status
        by_grpc = _HTTP_STATUS[abort.grpc_status] if 0 <= abort.grpc_status < len(_HTTP_STATUS) else 500
        self._status = abort.http_status if abort.http_status >= 0 else by_grpc
        self._strikes = sampler(abort.percent, rng)

    def request(self, exchange: Exchange) -> Reply | None:
        exchange.fault_injected = True
        if not self._strikes():
            return None
        return Reply(
            self._status,
            body=b"fault filter abort",
            flags=(ResponseFlag.FAULT_INJECTED,),
            detail="fault_filter_abort",
            reason="a fault that this route's configuration injects",
            grpc_status=self._grpc_status,
        )

    def response(self, exchange: Exchange, response: ResponseHead) -> None:
        pass
