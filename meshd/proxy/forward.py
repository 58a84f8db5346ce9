"""The forwarder: an exchange to a cluster and its answer back, in as many tries as the route allows.

The plain path (the whole request is here, no timeouts, a free connection) is a
straight line: pick, send, wait for the head. Nothing of it needs a task, a
nursery or a cancel scope: deadlines are timers that abort what is waited for.

Whatever goes wrong before a response head becomes a local reply here, so that
the filters around see a response in every case. Only a client that has gone is
an exception: there is nobody to reply to.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

import attrs

from meshd.errors import MeshdError
from meshd.http.h1 import H1ClientConnection
from meshd.http.h1_body import whole_body
from meshd.http.head import ResponseHead
from meshd.policy.exchange import Exchange, Next, Response
from meshd.proxy.attempt import answered, attempt, begin_try, end_try, is_whole
from meshd.proxy.exchange import ProxyExchange
from meshd.proxy.local import local_response
from meshd.proxy.reply import missing_cluster
from meshd.proxy.retry import RetryPlan
from meshd.proxy.route_entry import Target
from meshd.proxy.tries import Tries, in_tries
from meshd.proxy.upstream.lease import Lease
from meshd.proxy.upstream.upstream import Upstream


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

    def is_final(self, exchange: Exchange, status: int) -> bool:
        """Whether a response with this status is passed on without asking whether it calls for another try."""
        retry = self.retry
        return retry is None or not (exchange.grpc or retry.wants_status(status))


def forward(exchange: Exchange) -> Awaitable[Response]:
    """The last of a route's chain: send the exchange to its cluster. Not a layer of its own: it gives what is to be awaited."""
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
        response = _missing(exchange, target, plan)
    elif plan.limited or exchange.nursery is not None or not upstream.simple:
        response = in_tries(Tries(exchange, upstream, plan), None)
    else:
        response = _forward_plainly(exchange, upstream, plan)
    return _edited(exchange, target, response) if target.edits_responses else response


async def _missing(exchange: ProxyExchange, target: Target, plan: RoutePlan) -> Response:
    return local_response(exchange, missing_cluster(target.cluster, plan.missing_cluster_status))


async def _edited(exchange: ProxyExchange, target: Target, coming: Awaitable[Response]) -> Response:
    response = await coming
    target.edit_response(exchange, response.head)
    return response


async def _forward_plainly(exchange: ProxyExchange, upstream: Upstream, plan: RoutePlan) -> Response:
    """The plain path: one try, and nothing to keep account of unless it does not go well."""
    exchange.attempts = 1
    outcome: ResponseHead | Exception
    try:
        host = upstream.only or upstream.pick()
        pooled = upstream.take(host) if is_whole(exchange) else None
        if pooled is None:
            outcome = await attempt(exchange, upstream, host, None)
        else:
            # As ``attempt``, but in one go, and the connection is free again as soon as the answer is here.
            client = pooled.client
            if TYPE_CHECKING:
                assert isinstance(client, H1ClientConnection)
            exchange.upstream_host = host.name
            exchange.current = client
            head = begin_try(exchange, host, pooled)
            began = exchange.live.now()
            try:
                answer, data, stream = await client.fetch(head, exchange.body)
            except BaseException:
                exchange.current = rest = client.adopt(head)
                exchange.lease = Lease(upstream, host, pooled, rest)
                raise
            end_try(exchange, host, answer, began)
            if stream is None and plan.is_final(exchange, answer.status):
                exchange.current = None
                client.release(clean=True)
                upstream.returned(host, pooled)
                return answered(exchange, answer, whole_body(data))
            outcome = answer
            exchange.current = rest = stream or client.adopt(head, (answer, data))
            exchange.lease = Lease(upstream, host, pooled, rest)
    except (MeshdError, OSError) as error:
        outcome = error
    if isinstance(outcome, ResponseHead) and plan.is_final(exchange, outcome.status):
        assert exchange.lease is not None
        return answered(exchange, outcome, exchange.lease.stream.body)
    return await in_tries(Tries(exchange, upstream, plan), outcome)
