"""Filters compiled into one call: decisions become loops, and only what waits becomes a layer.

``compile_chain`` gives ``Next``: the first filter's entry, the last filter's
exit. Neighbouring ``HeadFilter``s share one loop; each ``Filter`` is a layer of
``await``. Requests pass from first to last, responses back from last to first,
and a reply made by a filter passes back through that filter and those before it
(as Envoy's local replies do).

A chain in which something waits runs in a cancel scope, because a filter can
wait for anything; a chain of decisions needs none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import cast

import trio

from meshd.policy.catalog import waits
from meshd.policy.exchange import Exchange, Filter, HeadFilter, Next, Reply, Response
from meshd.proxy.exchange import ProxyExchange
from meshd.proxy.local import local_response


def compile_chain(filters: Sequence[HeadFilter | Filter], last: Next) -> Next:
    """One callable that runs ``filters`` in order around ``last``."""
    chain = last
    heads: list[HeadFilter] = []
    for item in reversed(filters):
        if waits(item):
            chain = _waiting(cast("Filter", item), _deciding(heads, chain))
            heads = []
        else:
            heads.insert(0, cast("HeadFilter", item))
    chain = _deciding(heads, chain)
    return _scoped(chain) if any(waits(item) for item in filters) else chain


def _deciding(heads: Sequence[HeadFilter], after: Next) -> Next:
    if not heads:
        return after
    filters = tuple(heads)
    if len(filters) == 1:
        return _deciding_one(filters[0], after)
    backwards = tuple(reversed(filters))

    async def decide(exchange: Exchange) -> Response:
        for at, item in enumerate(filters):
            reply = item.request(exchange)
            if reply is not None:
                response = local_response(exchange, reply)
                for passed in reversed(filters[: at + 1]):
                    passed.response(exchange, response.head)
                return response
        response = await after(exchange)
        for item in backwards:
            item.response(exchange, response.head)
        return response

    return decide


def _deciding_one(item: HeadFilter, after: Next) -> Next:
    ask, amend = item.request, item.response
    if getattr(item, "decides_only", False):
        # Its ``response`` does nothing, so the response need not come by here; nor need a layer wait for it.
        return _refusing(item, after)

    async def decide(exchange: Exchange) -> Response:
        reply = ask(exchange)
        response = await after(exchange) if reply is None else local_response(exchange, reply)
        amend(exchange, response.head)
        return response

    return decide


def _refusing(item: HeadFilter, after: Next) -> Next:
    ask = item.request

    def decide(exchange: Exchange) -> Awaitable[Response]:
        reply = ask(exchange)
        return after(exchange) if reply is None else _refuse(exchange, reply)

    return decide


async def _refuse(exchange: Exchange, reply: Reply) -> Response:
    return local_response(exchange, reply)


def _waiting(item: Filter, after: Next) -> Next:
    async def wait(exchange: Exchange) -> Response:
        return await item(exchange, after)

    return wait


def _scoped(chain: Next) -> Next:
    async def scoped(exchange: Exchange) -> Response:
        assert isinstance(exchange, ProxyExchange)
        outer = exchange.scope
        with trio.CancelScope() as scope:
            exchange.scope = scope
            if exchange.failure is not None:
                scope.cancel()
            try:
                return await chain(exchange)
            finally:
                exchange.scope = outer
        assert exchange.failure is not None
        raise exchange.failure

    return scoped
