"""Istio's standard metrics, and meshd's about itself: names, labels, meaning. Pure.

Names, label order and the word ``unknown`` are Istio's, so that its dashboards
work. One set of objects belongs to one snapshot: the children a request needs
are found by a key of what distinguishes it, and label texts are made once.

Source: Istio's standard metrics; buckets as Envoy's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import attrs

from meshd.snapshot.cluster import Cluster, Peer
from meshd.snapshot.common import Direction
from meshd.snapshot.snapshot import Telemetry
from meshd.telemetry.metrics import Counter, Histogram, Registry
from meshd.telemetry.record import ExchangeRecord

UNKNOWN: Final = "unknown"

_ENDS: Final = (
    "reporter",
    "source_workload", "source_canonical_service", "source_canonical_revision", "source_workload_namespace",
    "source_principal", "source_app", "source_version", "source_cluster",
    "destination_workload", "destination_workload_namespace", "destination_principal", "destination_app",
    "destination_version", "destination_service", "destination_canonical_service",
    "destination_canonical_revision", "destination_service_name", "destination_service_namespace",
    "destination_cluster",
)  # fmt: skip
REQUEST_LABELS: Final = (
    *_ENDS,
    "request_protocol",
    "response_code",
    "grpc_response_status",
    "response_flags",
    "connection_security_policy",
)
TCP_LABELS: Final = (*_ENDS, "request_protocol", "response_flags", "connection_security_policy")

_NOBODY: Final = Peer()
_NOWHERE: Final = Cluster(name="")


@attrs.define
class RequestSeries:
    """The four children of one combination of labels."""

    total: Counter
    duration: Histogram
    request_bytes: Histogram
    response_bytes: Histogram


@attrs.define
class TcpSeries:
    """The four children of one combination of labels."""

    opened: Counter
    closed: Counter
    received: Counter
    sent: Counter


class _Ends:
    """Who talks to whom: the labels that requests and connections share."""

    def __init__(self, telemetry: Telemetry, clusters: Iterable[Cluster]) -> None:
        self._node = telemetry.node
        self._clusters = {cluster.name: cluster for cluster in clusters}

    def labels(self, exchange: ExchangeRecord) -> tuple[str, ...]:
        """The values of ``_ENDS``."""
        connection = exchange.connection
        inbound = connection.direction is Direction.INBOUND
        if inbound:
            source, destination, secure = exchange.downstream_peer or _NOBODY, self._node, connection.mtls
            source_principal, destination_principal = connection.principal, self._node.principal
        else:
            source, destination, secure = self._node, exchange.upstream_peer or _NOBODY, exchange.upstream_mtls
            source_principal, destination_principal = self._node.principal, destination.principal
        cluster = self._clusters.get(exchange.cluster, _NOWHERE)
        return (
            "destination" if inbound else "source",
            source.workload or UNKNOWN,
            source.canonical_service or UNKNOWN,
            source.canonical_revision or ("latest" if source.canonical_service else UNKNOWN),
            source.namespace or UNKNOWN,
            _principal(source_principal, secure=secure),
            source.app or UNKNOWN,
            source.version or UNKNOWN,
            source.cluster or UNKNOWN,
            destination.workload or UNKNOWN,
            destination.namespace or UNKNOWN,
            _principal(destination_principal, secure=secure),
            destination.app or UNKNOWN,
            destination.version or UNKNOWN,
            cluster.service or UNKNOWN,
            destination.canonical_service or UNKNOWN,
            destination.canonical_revision or ("latest" if destination.canonical_service else UNKNOWN),
            cluster.service_name or (destination.canonical_service if inbound else "") or cluster.name or UNKNOWN,
            cluster.service_namespace or destination.namespace or UNKNOWN,
            destination.cluster or UNKNOWN,
        )

    def security(self, exchange: ExchangeRecord) -> str:
        """Only the server's side can know (Istio): ``mutual_tls``, ``none``, or ``unknown``."""
        if exchange.connection.direction is not Direction.INBOUND:
            return UNKNOWN
        return "mutual_tls" if exchange.connection.mtls else "none"


def _principal(principal: str, *, secure: bool) -> str:
    if not secure or not principal:
        return UNKNOWN
    return principal if principal.startswith("spiffe://") else f"spiffe://{principal}"


class RequestMetrics:
    """``istio_requests_total`` and its kin for one snapshot."""

    def __init__(self, registry: Registry, telemetry: Telemetry, clusters: Iterable[Cluster]) -> None:
        """Find the families; ``telemetry.metrics`` False makes ``record`` do nothing."""
        self._ends = _Ends(telemetry, clusters)
        self._enabled = telemetry.metrics
        self._total = registry.counter("istio_requests_total", "Requests handled by the proxy.", REQUEST_LABELS)
        self._duration = registry.histogram(
            "istio_request_duration_milliseconds", "From request head to the response's last byte.", REQUEST_LABELS
        )
        self._request_bytes = registry.histogram("istio_request_bytes", "Request body bytes.", REQUEST_LABELS)
        self._response_bytes = registry.histogram("istio_response_bytes", "Response body bytes.", REQUEST_LABELS)
        # The whole mutable state: the children by what distinguishes a request.
        self._series: dict[tuple[object, ...], RequestSeries] = {}

    def record(self, exchange: ExchangeRecord, duration: float) -> None:
        """Count one exchange that has ended, ``duration`` seconds after its head was complete."""
        if not self._enabled:
            return
        connection = exchange.connection
        flags = exchange.flags
        key = (
            exchange.cluster,
            exchange.upstream_host,
            exchange.status,
            exchange.upstream_mtls,
            exchange.grpc_status if exchange.grpc else None,
            connection.direction,
            connection.principal,
            exchange.downstream_peer,
            tuple(flags) if flags else None,
        )
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._resolve(exchange)
        series.total.value += 1
        series.duration.observe(duration * 1000.0)
        series.request_bytes.observe(exchange.bytes_received)
        series.response_bytes.observe(exchange.bytes_sent)

    def _resolve(self, exchange: ExchangeRecord) -> RequestSeries:
        if len(self._series) >= KEPT:
            # Only a short cut is lost; the children themselves are in their families.
            self._series.clear()
        labels = (
            *self._ends.labels(exchange),
            "grpc" if exchange.grpc else "http",
            str(exchange.status),
            str(exchange.grpc_status) if exchange.grpc and exchange.grpc_status >= 0 else "",
            _flags(exchange),
            self._ends.security(exchange),
        )
        return RequestSeries(
            total=self._total.labels(*labels),
            duration=self._duration.labels(*labels),
            request_bytes=self._request_bytes.labels(*labels),
            response_bytes=self._response_bytes.labels(*labels),
        )


KEPT: Final = 20_000
"""Combinations remembered per snapshot; upstream addresses and peers come and go."""


def _flags(exchange: ExchangeRecord) -> str:
    return ",".join(flag.value for flag in exchange.flags) or "-"


class TcpMetrics:
    """``istio_tcp_*`` for one snapshot."""

    def __init__(self, registry: Registry, telemetry: Telemetry, clusters: Iterable[Cluster]) -> None:
        self._ends = _Ends(telemetry, clusters)
        self._families = (
            registry.counter("istio_tcp_connections_opened_total", "TCP connections opened.", TCP_LABELS),
            registry.counter("istio_tcp_connections_closed_total", "TCP connections closed.", TCP_LABELS),
            registry.counter("istio_tcp_received_bytes_total", "Bytes received from the client.", TCP_LABELS),
            registry.counter("istio_tcp_sent_bytes_total", "Bytes sent to the client.", TCP_LABELS),
        )

    def series(self, exchange: ExchangeRecord) -> TcpSeries:
        """The children for a connection that carries opaque bytes."""
        labels = (*self._ends.labels(exchange), "tcp", _flags(exchange), self._ends.security(exchange))
        opened, closed, received, sent = (family.labels(*labels) for family in self._families)
        return TcpSeries(opened=opened, closed=closed, received=received, sent=sent)


class ProcessMetrics:
    """What a meshd process says of itself."""

    def __init__(self, registry: Registry, *, version: str) -> None:
        """``version`` is meshd's own."""
        build = registry.gauge("meshd_build_info", "Always 1; the version is a label.", ("version",))
        build.labels(version).set(1)
        self._config = registry.gauge("meshd_config_version", "1 for the configuration in use.", ("version",))
        self._expiry = registry.gauge(
            "meshd_cert_expiry_timestamp_seconds", "When the certificate in use ends, seconds since the epoch."
        )
        self._rejected = registry.counter(
            "meshd_config_rejected_total", "Configurations that were refused; the last good one stayed."
        ).labels()

    def config(self, version: str) -> None:
        """This configuration is in use from now on."""
        self._config.clear()
        self._config.labels(version).set(1)

    def certificate(self, not_after: float) -> None:
        """A certificate that ends at ``not_after`` (seconds since the epoch) is in use."""
        self._expiry.labels().set(not_after)

    def follow_certificate(self, not_after: Callable[[], float]) -> None:
        """Ask for the end of the certificate in use whenever the page is rendered."""
        self._expiry.labels().follow(not_after)

    def rejected(self) -> None:
        """A configuration was refused."""
        self._rejected.inc()
