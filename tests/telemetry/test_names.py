"""Istio's metrics carry Istio's labels."""

from __future__ import annotations

from typing import Any

import attrs
from prometheus_client.parser import text_string_to_metric_families

from meshd.errors import ResponseFlag
from meshd.http.head import RequestHead
from meshd.net.address import Address
from meshd.policy.exchange import ConnectionInfo, Exchange
from meshd.snapshot.cluster import Cluster, Peer
from meshd.snapshot.common import Direction
from meshd.snapshot.snapshot import Telemetry
from meshd.telemetry.metrics import Registry
from meshd.telemetry.names import REQUEST_LABELS, ProcessMetrics, RequestMetrics, TcpMetrics

NODE = Peer(
    workload="productpage-v1",
    namespace="default",
    app="productpage",
    version="v1",
    canonical_service="productpage",
    canonical_revision="v1",
    cluster="Kubernetes",
    principal="cluster.local/ns/default/sa/bookinfo-productpage",
)
REVIEWS = attrs.evolve(
    NODE,
    workload="reviews-v2",
    app="reviews",
    version="v2",
    canonical_service="reviews",
    canonical_revision="v2",
    principal="cluster.local/ns/default/sa/bookinfo-reviews",
)
CLUSTER = Cluster(
    name="outbound|9080|v2|reviews.default.svc.cluster.local",
    service="reviews.default.svc.cluster.local",
    service_name="reviews",
    service_namespace="default",
)


def exchange(direction: Direction, **changes: Any) -> Exchange:
    address = Address("127.0.0.1", 1)
    info = ConnectionInfo(direction, address, address, 9080)
    made = Exchange(info, RequestHead(b"GET", b"/reviews/0"), 0.0, cluster=CLUSTER.name, status=200, bytes_sent=42)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def read(registry: Registry, name: str) -> list[tuple[dict[str, str], float]]:
    families = text_string_to_metric_families(b"".join(registry.render()).decode())
    return [(s.labels, s.value) for family in families for s in family.samples if s.name == name]


def test_a_client_reports_the_source() -> None:
    registry = Registry()
    metrics = RequestMetrics(registry, Telemetry(node=NODE), [CLUSTER])
    for _ in range(3):
        metrics.record(exchange(Direction.OUTBOUND, upstream_peer=REVIEWS, upstream_mtls=True), 0.012)
    [(labels, value)] = read(registry, "istio_requests_total")
    assert value == 3
    assert tuple(labels) == REQUEST_LABELS
    assert labels == {
        "reporter": "source",
        "source_workload": "productpage-v1",
        "source_canonical_service": "productpage",
        "source_canonical_revision": "v1",
        "source_workload_namespace": "default",
        "source_principal": "spiffe://cluster.local/ns/default/sa/bookinfo-productpage",
        "source_app": "productpage",
        "source_version": "v1",
        "source_cluster": "Kubernetes",
        "destination_workload": "reviews-v2",
        "destination_workload_namespace": "default",
        "destination_principal": "spiffe://cluster.local/ns/default/sa/bookinfo-reviews",
        "destination_app": "reviews",
        "destination_version": "v2",
        "destination_service": "reviews.default.svc.cluster.local",
        "destination_canonical_service": "reviews",
        "destination_canonical_revision": "v2",
        "destination_service_name": "reviews",
        "destination_service_namespace": "default",
        "destination_cluster": "Kubernetes",
        "request_protocol": "http",
        "response_code": "200",
        "grpc_response_status": "",
        "response_flags": "-",
        "connection_security_policy": "unknown",
    }
    [(_, took)] = read(registry, "istio_request_duration_milliseconds_sum")
    assert took == 36
    [(_, sent)] = read(registry, "istio_response_bytes_sum")
    assert sent == 126


def test_a_server_reports_the_destination() -> None:
    registry = Registry()
    metrics = RequestMetrics(registry, Telemetry(node=REVIEWS), [CLUSTER])
    address = Address("127.0.0.1", 1)
    secure = ConnectionInfo(Direction.INBOUND, address, address, 9080, principal=NODE.principal, mtls=True, tls=True)
    metrics.record(exchange(Direction.INBOUND, connection=secure, downstream_peer=NODE), 0.001)
    metrics.record(exchange(Direction.INBOUND, status=403), 0.001)
    rows = {labels["response_code"]: labels for labels, _ in read(registry, "istio_requests_total")}
    assert rows["200"]["reporter"] == "destination"
    assert rows["200"]["source_principal"] == f"spiffe://{NODE.principal}"
    assert rows["200"]["destination_principal"] == f"spiffe://{REVIEWS.principal}"
    assert rows["200"]["connection_security_policy"] == "mutual_tls"
    assert rows["403"]["connection_security_policy"] == "none"
    assert rows["403"]["source_workload"] == rows["403"]["source_principal"] == "unknown"


def test_what_distinguishes_requests_makes_series() -> None:
    registry = Registry()
    metrics = RequestMetrics(registry, Telemetry(node=NODE), [CLUSTER])
    metrics.record(exchange(Direction.OUTBOUND, flags=[ResponseFlag.UPSTREAM_TIMEOUT], status=504), 15)
    metrics.record(exchange(Direction.OUTBOUND, grpc=True, grpc_status=14), 1)
    rows = [labels for labels, _ in read(registry, "istio_requests_total")]
    assert [(r["response_flags"], r["request_protocol"], r["grpc_response_status"]) for r in rows] == [
        ("UT", "http", ""),
        ("-", "grpc", "14"),
    ]


def test_metrics_can_be_switched_off() -> None:
    registry = Registry()
    RequestMetrics(registry, Telemetry(metrics=False), []).record(exchange(Direction.OUTBOUND), 1)
    assert read(registry, "istio_requests_total") == []


def test_connections_have_their_own() -> None:
    registry = Registry()
    series = TcpMetrics(registry, Telemetry(node=NODE), [CLUSTER]).series(exchange(Direction.OUTBOUND))
    series.opened.inc()
    series.sent.inc(1000)
    [(labels, value)] = read(registry, "istio_tcp_sent_bytes_total")
    assert value == 1000
    assert labels["request_protocol"] == "tcp"
    assert "response_code" not in labels


def test_the_process_tells_its_configuration() -> None:
    registry = Registry()
    process = ProcessMetrics(registry, version="1.2.3")
    process.config("aa")
    process.config("bb")
    process.certificate(1234.0)
    process.rejected()
    assert read(registry, "meshd_config_version") == [({"version": "bb"}, 1)]
    assert read(registry, "meshd_cert_expiry_timestamp_seconds") == [({}, 1234)]
    assert read(registry, "meshd_build_info") == [({"version": "1.2.3"}, 1)]
    assert read(registry, "meshd_config_rejected_total") == [({}, 1)]
