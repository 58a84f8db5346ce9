"""The forwarder: an exchange to a cluster and its answer back, in as many tries as the route allows.

The plain path (the whole request is here, no timeouts, a free connection) is a
straight line: pick, send, wait for the head. Nothing of it needs a task, a
nursery or a cancel scope: deadlines are timers that abort what is waited for.

Whatever goes wrong before a response head becomes a local reply here, so that
the filters around see a response in every case. Only a client that has gone is
an exception: there is nobody to reply to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from meshd.errors import MeshdError
from meshd.http.head import ResponseHead
from meshd.policy.exchange import Exchange, Next, Response
from meshd.proxy.attempt import answered, attempt
from meshd.proxy.exchange import ProxyExchange
from meshd.proxy.local import local_response
from meshd.proxy.reply import missing_cluster
from meshd.proxy.retry import RetryPlan
from meshd.proxy.tries import Tries, in_tries


@attrs.frozen(eq=False)
class RoutePlan:
    """What a route does, compiled; kept in its ``RouteEntry.chain``."""

    run: Next
    """The route's filters around its action."""
    timeout: float = 0.0
    retry: RetryPlan | None = None
    missing_cluster_status: int = 503
    limited: bool = attrs.field(init=False)
    """There is any timeout."""

    @limited.default
    def _limited(self) -> bool:
        return bool(self.timeout) or (self.retry is not None and bool(self.retry.per_try_timeout))


async def forward(exchange: Exchange) -> Response:
    """The last of a route's chain: send the exchange to its cluster."""
    if TYPE_CHECKING:
        assert isinstance(exchange, ProxyExchange)
    entry = exchange.entry
    assert entry is not None
    plan: RoutePlan = entry.chain  # type: ignore[assignment]
    live = exchange.live
    target = entry.only or entry.pick(live.rng)
    exchange.cluster = target.cluster
    if target.edits_requests:
        target.edit_request(exchange, exchange.request)
    upstream = live.upstreams.get(target.cluster)
    if upstream is None:
        response = local_response(exchange, missing_cluster(target.cluster, plan.missing_cluster_status))
    elif plan.limited or exchange.nursery is not None or not upstream.simple:
        response = await in_tries(Tries(exchange, upstream, plan), None)
    else:
        # The plain path: one try, and nothing to keep account of unless it does not go well.
        exchange.attempts = 1
        outcome: ResponseHead | Exception
        try:
            outcome = await attempt(exchange, upstream, upstream.only or upstream.pick(), None)
        except (MeshdError, OSError) as error:
            outcome = error
        retry = plan.retry
        if isinstance(outcome, ResponseHead) and (
            retry is None or not (exchange.grpc or retry.wants_status(outcome.status))
        ):
            response = answered(exchange, outcome)
        else:
            response = await in_tries(Tries(exchange, upstream, plan), outcome)
    if target.edits_responses:
        target.edit_response(exchange, response.head)
    return response
