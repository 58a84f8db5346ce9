"""``MeshConfig.defaultConfig``: how the proxies themselves run, with Istio's defaults. Pure values.

Source: Istio's ``mesh/v1alpha1/proxy.proto``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import attrs

from meshd.api.common import Duration, Int32, Int64, Labels, Map, UInt32
from meshd.api.networking.destination_rule import ClientTLSSettings, TcpKeepalive
from meshd.api.networking.proxy_config import ProxyImage
from meshd.api.networking.workload_group import ReadinessProbe


class AuthenticationPolicy(StrEnum):
    """How a proxy speaks to the control plane."""

    NONE = "NONE"
    MUTUAL_TLS = "MUTUAL_TLS"
    INHERIT = "INHERIT"


@attrs.frozen
class Address:
    """``Tracing.Zipkin`` and ``Tracing.Datadog``."""

    address: str = ""


@attrs.frozen
class Lightstep:
    """``Tracing.Lightstep``."""

    address: str = ""
    accessToken: str = attrs.field(default="", repr=False)


@attrs.frozen
class Stackdriver:
    """``Tracing.Stackdriver``."""

    debug: bool = False
    maxNumberOfAttributes: Int64 | None = None
    maxNumberOfAnnotations: Int64 | None = None
    maxNumberOfMessageEvents: Int64 | None = None


class TraceContext(StrEnum):
    """``Tracing.OpenCensusAgent.TraceContext``."""

    UNSPECIFIED = "UNSPECIFIED"
    W3C_TRACE_CONTEXT = "W3C_TRACE_CONTEXT"
    GRPC_BIN = "GRPC_BIN"
    CLOUD_TRACE_CONTEXT = "CLOUD_TRACE_CONTEXT"
    B3 = "B3"


@attrs.frozen
class OpenCensusAgent:
    """``Tracing.OpenCensusAgent``."""

    address: str = ""
    context: tuple[TraceContext, ...] = ()


@attrs.frozen
class Literal:
    """``Tracing.Literal``."""

    value: str = ""


@attrs.frozen
class Named:
    """``Tracing.Environment`` and ``Tracing.RequestHeader``."""

    name: str = ""
    defaultValue: str = ""


@attrs.frozen
class CustomTag:
    """``Tracing.CustomTag``: exactly one of these."""

    literal: Literal | None = None
    environment: Named | None = None
    header: Named | None = None


@attrs.frozen
class Tracing:
    """At most one of the first five. ``sampling`` is in percent."""

    zipkin: Address | None = None
    lightstep: Lightstep | None = None
    datadog: Address | None = None
    stackdriver: Stackdriver | None = None
    openCensusAgent: OpenCensusAgent | None = None
    customTags: Map[str, CustomTag] = Map()
    maxPathTagLength: UInt32 = 0
    sampling: float = 0.0
    tlsSettings: ClientTLSSettings | None = None
    enableIstioTags: bool | None = None


@attrs.frozen
class SDS:
    """Old, and read by nobody."""

    enabled: bool = False
    k8sSaJwtPath: str = ""


class ForwardClientCertDetails(StrEnum):
    """What becomes of ``x-forwarded-client-cert``; UNDEFINED is the default of the place."""

    UNDEFINED = "UNDEFINED"
    SANITIZE = "SANITIZE"
    FORWARD_ONLY = "FORWARD_ONLY"
    APPEND_FORWARD = "APPEND_FORWARD"
    SANITIZE_SET = "SANITIZE_SET"
    ALWAYS_FORWARD_ONLY = "ALWAYS_FORWARD_ONLY"


@attrs.frozen
class ProxyProtocolConfiguration:
    """``Topology.ProxyProtocolConfiguration``: its presence is all that counts."""


@attrs.frozen
class Topology:
    """Who stands before a gateway."""

    numTrustedProxies: UInt32 = 0
    forwardClientCertDetails: ForwardClientCertDetails = ForwardClientCertDetails.UNDEFINED
    proxyProtocol: ProxyProtocolConfiguration | None = None


@attrs.frozen
class KeyAccelerator:
    """``PrivateKeyProvider.CryptoMb`` and ``QAT``."""

    pollDelay: Duration | None = None
    fallback: bool | None = None


@attrs.frozen
class PrivateKeyProvider:
    """Hardware that signs."""

    cryptomb: KeyAccelerator | None = None
    qat: KeyAccelerator | None = None


class TracingServiceName(StrEnum):
    """``ProxyConfig.TracingServiceName``: what a proxy is called in spans."""

    APP_LABEL_AND_NAMESPACE = "APP_LABEL_AND_NAMESPACE"
    CANONICAL_NAME_ONLY = "CANONICAL_NAME_ONLY"
    CANONICAL_NAME_AND_NAMESPACE = "CANONICAL_NAME_AND_NAMESPACE"


class InboundInterceptionMode(StrEnum):
    """``ProxyConfig.InboundInterceptionMode``."""

    REDIRECT = "REDIRECT"
    TPROXY = "TPROXY"
    NONE = "NONE"


@attrs.frozen
class ProxyStatsMatcher:
    """Which more of Envoy's statistics are wanted."""

    inclusionPrefixes: tuple[str, ...] = ()
    inclusionSuffixes: tuple[str, ...] = ()
    inclusionRegexps: tuple[str, ...] = ()


@attrs.frozen
class Server:
    """``ProxyHeaders.Server``; ``value`` empty is ``istio-envoy``."""

    disabled: bool | None = None
    value: str = ""


@attrs.frozen
class Disabled:
    """``ProxyHeaders.RequestId``, ``AttemptCount`` and ``EnvoyDebugHeaders``."""

    disabled: bool | None = None


@attrs.frozen
class Enabled:
    """``ProxyHeaders.XForwardedHost`` and ``XForwardedPort``."""

    enabled: bool | None = None


class MetadataExchangeMode(StrEnum):
    """``ProxyHeaders.MetadataExchangeMode``."""

    UNDEFINED = "UNDEFINED"
    IN_MESH = "IN_MESH"


@attrs.frozen
class MetadataExchangeHeaders:
    """``ProxyHeaders.MetadataExchangeHeaders``."""

    mode: MetadataExchangeMode = MetadataExchangeMode.UNDEFINED


@attrs.frozen
class SetCurrentClientCertDetails:
    """What is told of the client's certificate; subject, dns and uri unless said otherwise."""

    subject: bool | None = None
    cert: bool | None = None
    chain: bool | None = None
    dns: bool | None = None
    uri: bool | None = None


@attrs.frozen
class ProxyHeaders:
    """Headers that proxies add."""

    forwardedClientCert: ForwardClientCertDetails = ForwardClientCertDetails.UNDEFINED
    setCurrentClientCertDetails: SetCurrentClientCertDetails | None = None
    requestId: Disabled | None = None
    server: Server | None = None
    attemptCount: Disabled | None = None
    envoyDebugHeaders: Disabled | None = None
    metadataExchangeHeaders: MetadataExchangeHeaders | None = None
    preserveHttp1HeaderCase: bool | None = None
    xForwardedHost: Enabled | None = None
    xForwardedPort: Enabled | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset(
        {
            "attemptCount",
            "envoyDebugHeaders",
            "metadataExchangeHeaders",
            "preserveHttp1HeaderCase",
            "requestId",
            "server",
            "setCurrentClientCertDetails",
            "xForwardedHost",
            "xForwardedPort",
        }
    )


class Profile(StrEnum):
    """``ConnectionSettings.Profile``: EDGE has stricter defaults."""

    SIDECAR = "SIDECAR"
    EDGE = "EDGE"


class HeadersWithUnderscoresAction(StrEnum):
    """``ConnectionSettings.HeadersWithUnderscoresAction``."""

    HEADERS_WITH_UNDERSCORES_UNSPECIFIED = "HEADERS_WITH_UNDERSCORES_UNSPECIFIED"
    HEADERS_WITH_UNDERSCORES_ALLOW = "HEADERS_WITH_UNDERSCORES_ALLOW"
    HEADERS_WITH_UNDERSCORES_REJECT_REQUEST = "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST"
    HEADERS_WITH_UNDERSCORES_DROP_HEADER = "HEADERS_WITH_UNDERSCORES_DROP_HEADER"


class PathWithEscapedSlashesAction(StrEnum):
    """``ConnectionSettings.PathWithEscapedSlashesAction``."""

    PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED = "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED"
    KEEP_UNCHANGED = "KEEP_UNCHANGED"
    REJECT_REQUEST = "REJECT_REQUEST"
    UNESCAPE_AND_REDIRECT = "UNESCAPE_AND_REDIRECT"
    UNESCAPE_AND_FORWARD = "UNESCAPE_AND_FORWARD"


@attrs.frozen
class ConnectionSettings:
    """Limits of listeners and connections; absent is the profile's."""

    profile: Profile = Profile.SIDECAR
    listenerPerConnectionBufferLimitBytes: Int32 | None = None
    clusterPerConnectionBufferLimitBytes: Int32 | None = None
    httpIdleTimeout: Duration | None = None
    httpMaxConnectionDuration: Duration | None = None
    httpDrainTimeout: Duration | None = None
    httpRequestTimeout: Duration | None = None
    httpRequestHeadersTimeout: Duration | None = None
    httpStreamIdleTimeout: Duration | None = None
    httpMaxStreamDuration: Duration | None = None
    httpMaxConcurrentStreams: Int32 | None = None
    http2InitialStreamWindowSize: Int32 | None = None
    http2InitialConnectionWindowSize: Int32 | None = None
    httpHeadersWithUnderscoresAction: HeadersWithUnderscoresAction = (
        HeadersWithUnderscoresAction.HEADERS_WITH_UNDERSCORES_UNSPECIFIED
    )
    httpMergeSlashes: bool | None = None
    httpPathWithEscapedSlashesAction: PathWithEscapedSlashesAction = (
        PathWithEscapedSlashesAction.PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED
    )
    listenerConnectionLimit: Int32 | None = None
    globalDownstreamConnectionLimit: Int32 | None = None


@attrs.frozen
class RemoteService:
    """Where Envoy sends something."""

    address: str = ""
    tlsSettings: ClientTLSSettings | None = None
    tcpKeepalive: TcpKeepalive | None = None


@attrs.frozen
class ProxyConfig:
    """How proxies run; every default is Istio's. ``concurrency`` absent is by the processors, 0 is all of them."""

    configPath: str = "./etc/istio/proxy"
    binaryPath: str = "/usr/local/bin/envoy"
    serviceCluster: str | None = None
    tracingServiceName: TracingServiceName | None = None
    drainDuration: Duration = Duration(45.0)
    discoveryAddress: str = "istiod.istio-system.svc:15012"
    discoveryRefreshDelay: Duration | None = None
    zipkinAddress: str = ""
    statsdUdpAddress: str = ""
    envoyMetricsServiceAddress: str = ""
    proxyAdminPort: Int32 = 15000
    availabilityZone: str = ""
    controlPlaneAuthPolicy: AuthenticationPolicy = AuthenticationPolicy.MUTUAL_TLS
    customConfigFile: str = ""
    statNameLength: Int32 = 189
    concurrency: Int32 | None = None
    proxyBootstrapTemplatePath: str = ""
    interceptionMode: InboundInterceptionMode = InboundInterceptionMode.REDIRECT
    tracing: Tracing | None = None
    sds: SDS | None = None
    envoyAccessLogService: RemoteService | None = None
    envoyMetricsService: RemoteService | None = None
    proxyMetadata: Labels = Map()
    runtimeValues: Labels = Map()
    statusPort: Int32 = 15020
    extraStatTags: tuple[str, ...] = ()
    gatewayTopology: Topology | None = None
    terminationDrainDuration: Duration = Duration(5.0)
    meshId: str = ""
    readinessProbe: ReadinessProbe | None = None
    proxyStatsMatcher: ProxyStatsMatcher | None = None
    holdApplicationUntilProxyStarts: bool | None = None
    caCertificatesPem: tuple[str, ...] = ()
    image: ProxyImage | None = None
    privateKeyProvider: PrivateKeyProvider | None = None
    proxyHeaders: ProxyHeaders | None = None
    fileFlushInterval: Duration = Duration(1.0)
    fileFlushMinSizeKb: UInt32 = 64
    statsCompression: bool = True
    connectionSettings: ConnectionSettings | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset(
        {
            "caCertificatesPem",
            "concurrency",
            "connectionSettings",
            "drainDuration",
            "envoyAccessLogService",
            "envoyMetricsService",
            "extraStatTags",
            "holdApplicationUntilProxyStarts",
            "interceptionMode",
            "meshId",
            "privateKeyProvider",
            "proxyAdminPort",
            "proxyStatsMatcher",
            "readinessProbe",
            "statsdUdpAddress",
            "statusPort",
            "terminationDrainDuration",
            "tracing",
            "tracingServiceName",
        }
    )
    IRRELEVANT: ClassVar[frozenset[str]] = frozenset(
        # Envoy as a program, the way to Istio's control plane, and what is old.
        {
            "availabilityZone",
            "binaryPath",
            "configPath",
            "controlPlaneAuthPolicy",
            "customConfigFile",
            "discoveryAddress",
            "discoveryRefreshDelay",
            "envoyMetricsServiceAddress",
            "fileFlushInterval",
            "fileFlushMinSizeKb",
            "image",
            "proxyBootstrapTemplatePath",
            "runtimeValues",
            "sds",
            "serviceCluster",
            "statNameLength",
            "statsCompression",
            "zipkinAddress",
        }
    )
