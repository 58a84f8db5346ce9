"""``MeshConfig.extensionProviders``: whom proxies ask, and where they tell what happened. Pure values.

Source: Istio's ``mesh/v1alpha1/config.proto``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import attrs

from meshd.api.common import Duration, Int32, Int64, Labels, Map, UInt32


@attrs.frozen
class EnvoyExternalAuthorizationRequestBody:
    """How much of a body goes with the question."""

    maxRequestBytes: UInt32 = 0
    allowPartialMessage: bool = False
    packAsBytes: bool = False


@attrs.frozen
class EnvoyExternalAuthorizationHttpProvider:
    """An HTTP server that decides; ``timeout`` absent is 600 s, ``statusOnError`` empty is 403."""

    service: str = ""
    port: UInt32 = 0
    timeout: Duration | None = None
    pathPrefix: str = ""
    failOpen: bool = False
    clearRouteCache: bool = False
    statusOnError: str = ""
    includeHeadersInCheck: tuple[str, ...] = ()
    includeRequestHeadersInCheck: tuple[str, ...] = ()
    includeAdditionalHeadersInCheck: Labels = Map()
    includeRequestBodyInCheck: EnvoyExternalAuthorizationRequestBody | None = None
    headersToUpstreamOnAllow: tuple[str, ...] = ()
    headersToDownstreamOnDeny: tuple[str, ...] = ()
    headersToDownstreamOnAllow: tuple[str, ...] = ()


@attrs.frozen
class EnvoyExternalAuthorizationGrpcProvider:
    """A gRPC server that decides (``envoy.service.auth.v3``)."""

    service: str = ""
    port: UInt32 = 0
    timeout: Duration | None = None
    failOpen: bool = False
    clearRouteCache: bool = False
    statusOnError: str = ""
    includeRequestBodyInCheck: EnvoyExternalAuthorizationRequestBody | None = None


@attrs.frozen
class HttpHeader:
    """A header with a value, or with the value of an environment variable."""

    name: str = ""
    value: str | None = None
    envName: str | None = None


class TraceContextOption(StrEnum):
    """``ZipkinTracingProvider.TraceContextOption``."""

    USE_B3 = "USE_B3"
    USE_B3_WITH_W3C_PROPAGATION = "USE_B3_WITH_W3C_PROPAGATION"


@attrs.frozen
class ZipkinTracingProvider:
    """Spans for Zipkin; ``path`` empty is ``/api/v2/spans``."""

    service: str = ""
    port: UInt32 = 0
    maxTagLength: UInt32 = 0
    enable64bitTraceId: bool = False
    path: str = ""
    traceContextOption: TraceContextOption = TraceContextOption.USE_B3
    timeout: Duration | None = None
    headers: tuple[HttpHeader, ...] = ()


@attrs.frozen
class LightstepTracingProvider:
    """Spans for Lightstep."""

    service: str = ""
    port: UInt32 = 0
    accessToken: str = attrs.field(default="", repr=False)
    maxTagLength: UInt32 = 0


@attrs.frozen
class DatadogTracingProvider:
    """Spans for Datadog."""

    service: str = ""
    port: UInt32 = 0
    maxTagLength: UInt32 = 0


@attrs.frozen
class SkyWalkingTracingProvider:
    """Spans for SkyWalking."""

    service: str = ""
    port: UInt32 = 0
    accessToken: str = attrs.field(default="", repr=False)


@attrs.frozen
class Logging:
    """``StackdriverProvider.Logging``."""

    labels: Labels = Map()


@attrs.frozen
class StackdriverProvider:
    """Logs, metrics and spans for Google Cloud."""

    debug: bool = False
    maxNumberOfAttributes: Int64 | None = None
    maxNumberOfAnnotations: Int64 | None = None
    maxNumberOfMessageEvents: Int64 | None = None
    maxTagLength: UInt32 = 0
    logging: Logging | None = None


class TraceContext(StrEnum):
    """``OpenCensusAgentTracingProvider.TraceContext``."""

    UNSPECIFIED = "UNSPECIFIED"
    W3C_TRACE_CONTEXT = "W3C_TRACE_CONTEXT"
    GRPC_BIN = "GRPC_BIN"
    CLOUD_TRACE_CONTEXT = "CLOUD_TRACE_CONTEXT"
    B3 = "B3"


@attrs.frozen
class OpenCensusAgentTracingProvider:
    """Spans for OpenCensus."""

    service: str = ""
    port: UInt32 = 0
    context: tuple[TraceContext, ...] = ()
    maxTagLength: UInt32 = 0


@attrs.frozen
class PrometheusMetricsProvider:
    """Metrics to be fetched: nothing to say about it."""


@attrs.frozen
class LogFormat:
    """Text with operators, or a JSON object of them."""

    text: str | None = None
    labels: Map[str, Any] | None = None


@attrs.frozen
class EnvoyFileAccessLogProvider:
    """Access logs in a file."""

    path: str = ""
    logFormat: LogFormat | None = None
    omitEmptyValues: bool = False


@attrs.frozen
class EnvoyHttpGrpcV3LogProvider:
    """Access logs of HTTP for a gRPC server."""

    service: str = ""
    port: UInt32 = 0
    logName: str = ""
    filterStateObjectsToLog: tuple[str, ...] = ()
    additionalRequestHeadersToLog: tuple[str, ...] = ()
    additionalResponseHeadersToLog: tuple[str, ...] = ()
    additionalResponseTrailersToLog: tuple[str, ...] = ()


@attrs.frozen
class EnvoyTcpGrpcV3LogProvider:
    """Access logs of TCP for a gRPC server."""

    service: str = ""
    port: UInt32 = 0
    logName: str = ""
    filterStateObjectsToLog: tuple[str, ...] = ()


@attrs.frozen
class EnvoyOpenTelemetryLogProvider:
    """Access logs for OpenTelemetry."""

    service: str = ""
    port: UInt32 = 0
    logName: str = ""
    logFormat: LogFormat | None = None


class ServiceAttributeEnrichment(StrEnum):
    """Whose rules name the service of a span."""

    ISTIO_CANONICAL = "ISTIO_CANONICAL"
    OTEL_SEMANTIC_CONVENTIONS = "OTEL_SEMANTIC_CONVENTIONS"


@attrs.frozen
class HttpService:
    """How OTLP goes over HTTP."""

    path: str = ""
    timeout: Duration | None = None
    headers: tuple[HttpHeader, ...] = ()


@attrs.frozen
class GrpcService:
    """How OTLP goes over gRPC."""

    timeout: Duration | None = None
    initialMetadata: tuple[HttpHeader, ...] = ()


@attrs.frozen
class EnvironmentResourceDetector:
    """Attributes from ``OTEL_RESOURCE_ATTRIBUTES``."""


@attrs.frozen
class DynatraceResourceDetector:
    """Attributes from Dynatrace's files."""


@attrs.frozen
class ResourceDetectors:
    """Where attributes of the process come from."""

    environment: EnvironmentResourceDetector | None = None
    dynatrace: DynatraceResourceDetector | None = None


@attrs.frozen
class DynatraceApi:
    """``DynatraceSampler.DynatraceApi``."""

    service: str = ""
    port: UInt32 = 0
    http: HttpService | None = None


@attrs.frozen
class DynatraceSampler:
    """``OpenTelemetryTracingProvider.DynatraceSampler``; ``rootSpansPerMinute`` 0 is 1000."""

    tenant: str = ""
    clusterId: Int32 = 0
    rootSpansPerMinute: UInt32 = 0
    httpService: DynatraceApi | None = None


@attrs.frozen
class OpenTelemetryTracingProvider:
    """Spans for OpenTelemetry; ``http`` absent is gRPC."""

    service: str = ""
    port: UInt32 = 0
    maxTagLength: UInt32 = 0
    http: HttpService | None = None
    grpc: GrpcService | None = None
    resourceDetectors: ResourceDetectors | None = None
    serviceAttributeEnrichment: ServiceAttributeEnrichment = ServiceAttributeEnrichment.ISTIO_CANONICAL
    dynatraceSampler: DynatraceSampler | None = None


@attrs.frozen
class SDSProvider:
    """Certificates from a server."""

    name: str = ""
    service: str = ""
    port: UInt32 = 0


@attrs.frozen
class ExtensionProvider:
    """A name, and exactly one of the others."""

    name: str = ""
    envoyExtAuthzHttp: EnvoyExternalAuthorizationHttpProvider | None = None
    envoyExtAuthzGrpc: EnvoyExternalAuthorizationGrpcProvider | None = None
    zipkin: ZipkinTracingProvider | None = None
    lightstep: LightstepTracingProvider | None = None
    datadog: DatadogTracingProvider | None = None
    stackdriver: StackdriverProvider | None = None
    opencensus: OpenCensusAgentTracingProvider | None = None
    skywalking: SkyWalkingTracingProvider | None = None
    opentelemetry: OpenTelemetryTracingProvider | None = None
    prometheus: PrometheusMetricsProvider | None = None
    envoyFileAccessLog: EnvoyFileAccessLogProvider | None = None
    envoyHttpAls: EnvoyHttpGrpcV3LogProvider | None = None
    envoyTcpAls: EnvoyTcpGrpcV3LogProvider | None = None
    envoyOtelAls: EnvoyOpenTelemetryLogProvider | None = None
    sds: SDSProvider | None = None


BUILT_IN = (
    ExtensionProvider("prometheus", prometheus=PrometheusMetricsProvider()),
    ExtensionProvider("stackdriver", stackdriver=StackdriverProvider()),
    ExtensionProvider("envoy", envoyFileAccessLog=EnvoyFileAccessLogProvider("/dev/stdout")),
)
"""What every mesh has; a provider of the same name takes the place of one of these."""


def all_providers(own: tuple[ExtensionProvider, ...]) -> tuple[ExtensionProvider, ...]:
    """A mesh's own providers, and those built in that it did not replace. Of two with one name the later counts."""
    by_name = {provider.name: provider for provider in (*BUILT_IN, *own)}
    return tuple(by_name.values())
