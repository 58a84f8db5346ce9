"""Filters, run for an explanation: the proxy's own, with a recorder on. Pure.

What decides is asked; what would wait (a delay, another server) is told of and
not run. Chance never strikes, unless it always would.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshd.policy.catalog import FilterContext, build_filters, waits
from meshd.policy.exchange import Exchange, HeadFilter, Reply
from meshd.snapshot.match import Recorder, Step
from meshd.snapshot.policy import Fault, FilterSpec


class _Never:
    """A source of chance that is always at its upper end."""

    def random(self) -> float:
        return 1.0 - 2**-53


FILTER_CONTEXT: Final = FilterContext(rng=_Never())


def ask(specifications: Iterable[FilterSpec], exchange: Exchange, record: Recorder) -> Reply | None:
    """The first answer that one of the filters gives; they edit the exchange's head as they would."""
    for specification in specifications:
        for item in build_filters((specification,), FILTER_CONTEXT):
            if waits(item):
                continue
            reply = _ask(item, exchange, record)  # type: ignore[arg-type]
            if reply is not None:
                if not isinstance(specification, Fault):
                    _record_answer(item, reply, record)
                return reply
    return None


def _ask(item: HeadFilter, exchange: Exchange, record: Recorder) -> Reply | None:
    explain = getattr(item, "explain", None)
    answer: Reply | None = explain(exchange, record) if explain is not None else item.request(exchange)
    return answer


def _record_answer(item: object, reply: Reply, record: Recorder) -> None:
    if getattr(item, "explain", None) is None:
        because = reply.reason or f"answers {reply.status}"
        record(Step("filter", -1, matched=True, because=because, name=type(item).__name__))
