"""Too much at once: when to refuse, how, and when to go on.

Memory is looked at by a timer, more often the fuller it is; nothing is asked
per request. While the proxy has too much, connections live by a variant of
the configuration in which every HTTP chain answers 503 (flag OM) and closes,
and opaque connections are not taken. It recovers by itself: when memory is a
tenth below the limit again, or when no connection is open and so none can be
what fills it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs
import trio

from meshd.errors import ResponseFlag
from meshd.http.head import RequestHead
from meshd.net.timers import Timer, Timers
from meshd.policy.exchange import Exchange, Reply, Response
from meshd.proxy.counters import ProxyCounters
from meshd.proxy.exchange import ProxyExchange
from meshd.proxy.live import Live, LiveChain, LiveListener
from meshd.proxy.local import local_response
from meshd.proxy.memory import Memory

_log = logging.getLogger(__name__)

SECONDS = 1.0
LOOK_SELDOM = 1 * SECONDS
LOOK_OFTEN = 0.1 * SECONDS
QUIET = 10 * SECONDS
"""Between two times of telling the log."""
BUSY = 0.5
"""Of the limit: from here on memory is looked at often."""
RECOVERED = 0.9
"""Of the limit: below it requests are taken again."""

OVERLOADED = Reply(
    503,
    b"overloaded",
    headers=((b"retry-after", b"1"),),
    flags=(ResponseFlag.OVERLOAD_MANAGER,),
    detail="overload",
    reason="this proxy is short of memory: it takes no request until some is free again",
)


class Overload:
    """Watches the process's memory for an engine. Made by the engine; ``start`` when it runs.

    Args:
        limit: Bytes; 0: nothing is watched.
        memory: Where it is read.
        timers: Who calls.
        connections: How many downstream connections are open.
        changed: Told when requests are to be refused, and when to be taken again.
    """

    def __init__(
        self, limit: int, memory: Memory, timers: Timers, connections: Callable[[], int], changed: Callable[[], None]
    ) -> None:
        self._limit = limit
        self._memory = memory
        self._timers = timers
        self._connections = connections
        self._changed = changed
        # The whole mutable state.
        self.active = False
        """Requests are being refused."""
        self._timer: Timer | None = None
        self._told = -QUIET
        self._telling = True

    def start(self) -> None:
        """Begin to look. Idempotent."""
        if self._limit and self._timer is None:
            self._timer = self._timers.after(LOOK_SELDOM, self._look)

    def stop(self) -> None:
        """Look no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        used = self._memory.used()
        if not self.active and used >= self._limit and self._connections():
            self._memory.shrink()
            used = self._memory.used()
            if used >= self._limit:
                self._turn(active=True, used=used)
        elif self.active:
            if used >= RECOVERED * self._limit:
                self._memory.shrink()
                used = self._memory.used()
            if used < RECOVERED * self._limit or not self._connections():
                self._turn(active=False, used=used)
        often = self.active or used >= BUSY * self._limit
        self._timer = self._timers.after(LOOK_OFTEN if often else LOOK_SELDOM, self._look)

    def _turn(self, *, active: bool, used: int) -> None:
        self.active = active
        now = trio.current_time()
        # Both turns of a pair are told, or neither: whoever flaps fills no log.
        if active:
            self._telling = now - self._told >= QUIET
        if self._telling:
            self._told = now
            said = "short of memory: refusing requests" if active else "taking requests again"
            _log.warning(said, extra={"memory": used, "limit": self._limit, "connections": self._connections()})
        self._changed()


def refusing(live: Live, counters: ProxyCounters) -> Live:
    """A configuration in which every HTTP chain answers that there is too much to do."""
    listeners = {name: _refusing(listener, counters) for name, listener in live.listeners.items()}
    return attrs.evolve(live, listeners=listeners)


def _refusing(listener: LiveListener, counters: ProxyCounters) -> LiveListener:
    count = counters.overloaded.labels(listener.listener.name).inc

    async def refuse(exchange: Exchange) -> Response:
        assert isinstance(exchange, ProxyExchange)
        count()
        exchange.stream.close_after()
        return local_response(exchange, OVERLOADED)

    def find(_request: RequestHead) -> Reply:
        return OVERLOADED

    def variant(chain: LiveChain) -> LiveChain:
        if chain.manager is None:
            return chain
        return attrs.evolve(chain, manager=attrs.evolve(chain.manager, select=find, run=refuse))

    chosen = {key: variant(chain) for key, chain in listener.chosen.items()}
    chains = {key: chosen[id(chain.chain)] for key, chain in listener.chains.items()}
    return attrs.evolve(listener, chains=chains, chosen=chosen)
