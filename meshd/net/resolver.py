"""Host names to addresses by the system's resolver.

``getaddrinfo`` blocks, so each look-up takes a thread; how many at once is
bounded, and however many ask for one name it is looked up once. Answers are
kept for ``ttl`` seconds. When a look-up fails, the last good answer stays in
use: a name server that is away for a while must not take down what worked.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import attrs
import trio

from meshd.errors import ConnectionLost
from meshd.net.address import is_ip_literal

SECONDS = 1.0

TTL = 5 * SECONDS
"""Envoy's ``dns_refresh_rate``."""
FAILURE_TTL = 1 * SECONDS
"""How long a failure is believed: clients that retry must not each cost a look-up."""
TIMEOUT = 5 * SECONDS
"""Envoy's c-ares asks for 5 s."""
MAX_ENTRIES = 1024
CONCURRENCY = 8
MAX_NAME = 253
"""RFC 1035, section 2.3.4, in text form."""

LookUp = Callable[[str], tuple[str, ...]]
"""Blocking: a name's addresses in order of preference. Raises OSError."""


def system_look_up(host: str) -> tuple[str, ...]:
    """``getaddrinfo``, in its own order (RFC 6724), each address once."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(name[0]) for *_, name in found))


@attrs.frozen
class ResolverStatistics:
    """What a ``SystemResolver`` has done."""

    look_ups: int
    failures: int
    hits: int
    stale_answers: int
    """Last good answers given while the look-up failed."""
    entries: int


@attrs.define
class _Entry:
    """One name. ``running`` is set when the look-up under way is over."""

    addresses: tuple[str, ...] = ()
    fault: str = ""
    expires: float = -1.0
    running: trio.Event | None = None


class SystemResolver:
    """The system's resolver (``Resolver``), cached. Made by the process; needs no closing.

    Args:
        ttl: Seconds an answer is used without asking again.
        timeout: Seconds one look-up may take.
        max_entries: Names kept; beyond, the least recently made is forgotten.
        concurrency: Look-ups (threads) at once.
        look_up: Asks; tests give their own.
    """

    def __init__(
        self,
        *,
        ttl: float = TTL,
        timeout: float = TIMEOUT,
        max_entries: int = MAX_ENTRIES,
        concurrency: int = CONCURRENCY,
        look_up: LookUp = system_look_up,
    ) -> None:
        self._ttl = ttl
        self._timeout = timeout
        self._max_entries = max_entries
        self._look_up = look_up
        self._limiter = trio.CapacityLimiter(concurrency)
        # The whole mutable state: the names, in the order in which they were first asked for, and counters.
        self._entries: dict[str, _Entry] = {}
        self._look_ups = 0
        self._failures = 0
        self._hits = 0
        self._stale_answers = 0

    async def resolve(self, host: str) -> tuple[str, ...]:
        """See ``Resolver.resolve``."""
        if is_ip_literal(host):
            return (host,)
        name = host.lower().rstrip(".")
        if not name or len(name) > MAX_NAME or not name.isascii():
            raise ConnectionLost(f"{host[:MAX_NAME]!r} is no host name")
        while True:
            entry = self._entry(name)
            if trio.current_time() < entry.expires:
                self._hits += 1
                return self._answer(name, entry)
            if entry.running is None:
                await self._refresh(name, entry)
                return self._answer(name, entry)
            await entry.running.wait()

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            if len(self._entries) >= self._max_entries:
                del self._entries[next(iter(self._entries))]
            entry = self._entries[name] = _Entry()
        return entry

    def _answer(self, name: str, entry: _Entry) -> tuple[str, ...]:
        if not entry.addresses:
            raise ConnectionLost(f"cannot resolve {name!r}: {entry.fault}")
        if entry.fault:
            self._stale_answers += 1
        return entry.addresses

    async def _refresh(self, name: str, entry: _Entry) -> None:
        """Look a name up once. Cancelled, it leaves the entry as it was, and the next who waits tries."""
        entry.running = trio.Event()
        try:
            self._look_ups += 1
            entry.addresses = await self._ask(name)
            entry.fault = ""
            entry.expires = trio.current_time() + self._ttl
        except (OSError, UnicodeError) as error:
            # UnicodeError: a label that IDNA does not take.
            self._failures += 1
            entry.fault = (error.strerror if isinstance(error, OSError) else "") or str(error)
            entry.expires = trio.current_time() + min(self._ttl, FAILURE_TTL)
        finally:
            entry.running.set()
            entry.running = None

    async def _ask(self, name: str) -> tuple[str, ...]:
        with trio.move_on_after(self._timeout):
            addresses = await trio.to_thread.run_sync(
                self._look_up, name, abandon_on_cancel=True, limiter=self._limiter
            )
            if not addresses:
                raise OSError(None, "it has no address")
            return addresses
        raise OSError(None, f"no answer within {self._timeout:g} s")

    def statistics(self) -> ResolverStatistics:
        """Counters since the beginning."""
        return ResolverStatistics(
            look_ups=self._look_ups,
            failures=self._failures,
            hits=self._hits,
            stale_answers=self._stale_answers,
            entries=len(self._entries),
        )
