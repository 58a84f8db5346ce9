"""Exchanges as telemetry sees them."""

from __future__ import annotations

from meshd.errors import ResponseFlag
from meshd.http.head import Headers, RequestHead
from meshd.net.address import Address
from meshd.policy.exchange import ConnectionInfo, Exchange
from meshd.snapshot.common import Direction
from meshd.snapshot.route import Forward, Route, RouteMatch, WeightedCluster
from meshd.telemetry.record import ExchangeRecord


def fits(exchange: Exchange) -> ExchangeRecord:
    """The type checker holds here that an exchange is what telemetry asks for."""
    return exchange


def finished() -> Exchange:
    """A request of Bookinfo that was answered."""
    headers = Headers.of([(b"user-agent", b"curl/8"), (b"x-forwarded-for", b"10.0.0.9"), (b"x-request-id", b"id-1")])
    connection = ConnectionInfo(
        Direction.OUTBOUND, Address("10.0.0.7", 43210), Address("10.0.0.1", 15001), 9080, server_name="", chain="c"
    )
    exchange = Exchange(connection, RequestHead(b"GET", b"/reviews/0?x=1", b"reviews:9080", headers), started=100.0)
    exchange.route = Route("default", RouteMatch(), Forward((WeightedCluster("c"),)))
    exchange.cluster = "outbound|9080|v1|reviews.default.svc.cluster.local"
    exchange.upstream_host = "10.0.0.3:9080"
    exchange.upstream_local = "10.0.0.1:5555"
    exchange.upstream_service_time_ms = 3
    exchange.status = 200
    exchange.bytes_received, exchange.bytes_sent = 12, 295
    exchange.response_headers = Headers.of([(b"server", b"x"), (b"x-up", b"1")])
    exchange.attempts = 1
    return exchange


def refused() -> Exchange:
    """A request that a fault has ended."""
    exchange = finished()
    exchange.upstream_host = exchange.upstream_local = ""
    exchange.upstream_service_time_ms = -1
    exchange.status = 503
    exchange.flags = [ResponseFlag.DELAY_INJECTED, ResponseFlag.FAULT_INJECTED]
    exchange.detail = "fault filter abort"
    exchange.upstream_failure = "delayed connect error: Connection refused"
    return exchange


def opaque() -> Exchange:
    """A TCP connection, recorded as an exchange without a method."""
    exchange = finished()
    exchange.request = RequestHead(b"", b"")
    exchange.route = None
    exchange.status = 0
    exchange.upstream_service_time_ms = -1
    exchange.response_headers = None
    exchange.detail = "rbac_access_denied_matched_policy[none]"
    return exchange
