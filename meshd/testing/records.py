"""What the proxies of a mesh know of requests that are over: access log lines as values."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs
import trio

from meshd.net.address import Address
from meshd.policy.exchange import Exchange

RECORDS_KEPT = 10_000
MICROSECONDS = 6
"""Digits to which durations are rounded: sums of floats are then what a test writes down."""


@attrs.frozen
class AccessRecord:
    """What a proxy knows of a request once it is over: its access log line, as values."""

    at: float
    """When it began, on trio's clock."""
    took: float
    direction: str
    """``outbound``, ``inbound`` or ``gateway``."""
    method: str
    path: str
    host: str
    status: int
    flags: tuple[str, ...]
    """Response flags, as ``("UT",)``."""
    detail: str
    """Envoy's response code details: ``via_upstream``, ``route_not_found``, ``rbac_access_denied...``."""
    reason: str
    """In words, for answers that meshd itself made."""
    attempts: int
    """How many times a backend was tried."""
    cluster: str
    route: str
    virtual_host: str
    endpoint: str
    """``host:port`` of the backend that was used last, "" for none."""
    principal: str
    """The caller's SPIFFE id without ``spiffe://``, "" without mutual TLS."""
    mtls: bool
    """Mutual TLS on the way in."""
    upstream_mtls: bool
    """Mutual TLS on the way out."""
    request_id: str

    @classmethod
    def of(cls, exchange: Exchange, now: float) -> AccessRecord:
        """The record of an exchange that has just ended."""
        request, connection = exchange.request, exchange.connection
        return cls(
            at=exchange.started,
            took=round(now - exchange.started, MICROSECONDS),
            direction=connection.direction.value,
            method=request.method.decode("latin-1"),
            path=(exchange.original_path or request.target).decode("latin-1"),
            host=request.authority.decode("latin-1"),
            status=exchange.status,
            flags=tuple(flag.value for flag in exchange.flags),
            detail=exchange.detail or ("via_upstream" if exchange.upstream_host and exchange.status else ""),
            reason=exchange.reason,
            attempts=exchange.attempts,
            cluster=exchange.cluster,
            route=exchange.route.name if exchange.route is not None else "",
            virtual_host=exchange.virtual_host,
            endpoint=exchange.upstream_host,
            principal=connection.principal,
            mtls=connection.mtls,
            upstream_mtls=exchange.upstream_mtls,
            request_id=exchange.request_id.decode("latin-1"),
        )


class Records:
    """The records of one proxy, in the order in which its exchanges ended; the last 10,000 are kept."""

    def __init__(self, note: Callable[[AccessRecord], None] | None = None) -> None:
        """Make an empty log.

        Args:
            note: Is told every record too.
        """
        self._note = note
        # The whole mutable state: what is kept, and who waits for the next record of a connection.
        self._kept: deque[AccessRecord] = deque(maxlen=RECORDS_KEPT)
        self._waiting: dict[Address, Expected] = {}

    def observe(self, exchange: Exchange, now: float) -> None:
        """Take up an exchange that has ended (``ProxyWorld.observe``)."""
        record = AccessRecord.of(exchange, now)
        self._kept.append(record)
        if self._note is not None:
            self._note(record)
        expected = self._waiting.pop(exchange.connection.peer, None)
        if expected is not None:
            expected.record = record
            expected.there.set()

    def expect(self, client: Address) -> Expected:
        """Say that a request is about to be made from this client's address."""
        expected = self._waiting[client] = Expected()
        return expected

    def forget(self, client: Address) -> None:
        """Expect it no longer."""
        self._waiting.pop(client, None)

    @property
    def all(self) -> tuple[AccessRecord, ...]:
        """Those that are kept."""
        return tuple(self._kept)


@attrs.define(eq=False)
class Expected:
    """The record that a request will leave. Made by ``Records.expect``."""

    there: trio.Event = attrs.field(factory=trio.Event)
    record: AccessRecord | None = None


class Journal:
    """Which workloads each request reached, by its ``x-request-id``; the last 10,000 requests are kept."""

    def __init__(self) -> None:
        # The whole mutable state: who got what and when.
        self._arrivals: dict[str, list[tuple[float, str]]] = {}

    def arrived(self, request_id: str, at: float, workload: str) -> None:
        """Note that a request was at a workload."""
        if not request_id:
            return
        if request_id not in self._arrivals and len(self._arrivals) >= RECORDS_KEPT:
            del self._arrivals[next(iter(self._arrivals))]
        self._arrivals.setdefault(request_id, []).append((at, workload))

    def hosts(self, request_id: str) -> tuple[str, ...]:
        """The workloads it was at, in the order of time."""
        arrivals = self._arrivals.get(request_id, ())
        return tuple(workload for _, workload in sorted(arrivals, key=lambda arrival: arrival[0]))
