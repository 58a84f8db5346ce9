"""``telemetry.istio.io`` Telemetry: what is told of requests. Pure values.

Source: Istio's ``telemetry/v1alpha1/telemetry.proto``.
"""

from __future__ import annotations

from enum import StrEnum

import attrs

from meshd.api.common import Duration, Map, PolicyTargetReference, WorkloadSelector


class WorkloadMode(StrEnum):
    """Which side of a request."""

    CLIENT_AND_SERVER = "CLIENT_AND_SERVER"
    CLIENT = "CLIENT"
    SERVER = "SERVER"


@attrs.frozen
class ProviderRef:
    """One of MeshConfig's ``extensionProviders``."""

    name: str


@attrs.frozen
class ModeSelector:
    """``Tracing.TracingSelector`` and ``AccessLogging.LogSelector``."""

    mode: WorkloadMode = WorkloadMode.CLIENT_AND_SERVER


@attrs.frozen
class Literal:
    """A tag that is always the same."""

    value: str


@attrs.frozen
class Environment:
    """A tag from the proxy's environment."""

    name: str
    defaultValue: str = ""


@attrs.frozen
class RequestHeader:
    """A tag from a request's header."""

    name: str
    defaultValue: str = ""


@attrs.frozen
class Formatter:
    """A tag from an access log's command operators."""

    value: str


@attrs.frozen
class CustomTag:
    """Exactly one of these."""

    literal: Literal | None = None
    environment: Environment | None = None
    header: RequestHeader | None = None
    formatter: Formatter | None = None


@attrs.frozen
class Tracing:
    """Spans; absent values are inherited."""

    match: ModeSelector | None = None
    providers: tuple[ProviderRef, ...] = ()
    randomSamplingPercentage: float | None = None
    disableSpanReporting: bool | None = None
    customTags: Map[str, CustomTag] = Map()
    useRequestIdForTraceSampling: bool | None = None
    enableIstioTags: bool | None = None
    disableContextPropagation: bool | None = None


class IstioMetric(StrEnum):
    """``MetricSelector.IstioMetric``."""

    ALL_METRICS = "ALL_METRICS"
    REQUEST_COUNT = "REQUEST_COUNT"
    REQUEST_DURATION = "REQUEST_DURATION"
    REQUEST_SIZE = "REQUEST_SIZE"
    RESPONSE_SIZE = "RESPONSE_SIZE"
    TCP_OPENED_CONNECTIONS = "TCP_OPENED_CONNECTIONS"
    TCP_CLOSED_CONNECTIONS = "TCP_CLOSED_CONNECTIONS"
    TCP_SENT_BYTES = "TCP_SENT_BYTES"
    TCP_RECEIVED_BYTES = "TCP_RECEIVED_BYTES"
    GRPC_REQUEST_MESSAGES = "GRPC_REQUEST_MESSAGES"
    GRPC_RESPONSE_MESSAGES = "GRPC_RESPONSE_MESSAGES"


@attrs.frozen
class MetricSelector:
    """One of Istio's metrics or one by its own name; neither is all."""

    metric: IstioMetric | None = None
    customMetric: str | None = None
    mode: WorkloadMode = WorkloadMode.CLIENT_AND_SERVER


class TagOperation(StrEnum):
    """``MetricsOverrides.TagOverride.Operation``."""

    UPSERT = "UPSERT"
    REMOVE = "REMOVE"


@attrs.frozen
class TagOverride:
    """``value`` is a CEL expression, for UPSERT only."""

    operation: TagOperation = TagOperation.UPSERT
    value: str = ""


@attrs.frozen
class MetricsOverrides:
    """A change of some metrics."""

    match: MetricSelector | None = None
    disabled: bool | None = None
    tagOverrides: Map[str, TagOverride] = Map()


@attrs.frozen
class Metrics:
    """Metrics; ``reportingInterval`` absent is 5 s."""

    providers: tuple[ProviderRef, ...] = ()
    overrides: tuple[MetricsOverrides, ...] = ()
    reportingInterval: Duration | None = None


@attrs.frozen
class Filter:
    """``AccessLogging.Filter``: a CEL expression; only what it holds for is logged."""

    expression: str = ""


@attrs.frozen
class AccessLogging:
    """Access logs; no ``providers``: the default ones."""

    match: ModeSelector | None = None
    providers: tuple[ProviderRef, ...] = ()
    disabled: bool | None = None
    filter: Filter | None = None


@attrs.frozen
class Telemetry:
    """What is told, for workloads, a namespace or the mesh."""

    selector: WorkloadSelector | None = None
    targetRef: PolicyTargetReference | None = None
    targetRefs: tuple[PolicyTargetReference, ...] = ()
    tracing: tuple[Tracing, ...] = ()
    metrics: tuple[Metrics, ...] = ()
    accessLogging: tuple[AccessLogging, ...] = ()
