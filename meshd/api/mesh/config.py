"""``MeshConfig``, with Istio's defaults: what holds for the whole mesh. Pure values.

``MeshConfig()`` is the configuration of a mesh that nobody configured. Whom
the proxies send logs, spans and questions is in ``providers``, ``defaultConfig``
in ``proxy``.
Source: Istio's ``mesh/v1alpha1/config.proto`` and ``pkg/config/mesh``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import attrs

from meshd.api.common import Duration, Int32, Labels, Map
from meshd.api.mesh.providers import ExtensionProvider
from meshd.api.mesh.proxy import ProxyConfig
from meshd.api.networking.destination_rule import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    LocalityLoadBalancerSetting,
    OutlierDetection,
    TcpKeepalive,
    ZoneAwareLoadBalancerSetting,
)
from meshd.api.networking.virtual_service import HTTPRetry


class IngressControllerMode(StrEnum):
    """``MeshConfig.IngressControllerMode``: which Ingress objects are taken. UNSPECIFIED is STRICT."""

    UNSPECIFIED = "UNSPECIFIED"
    OFF = "OFF"
    DEFAULT = "DEFAULT"
    STRICT = "STRICT"


class AccessLogEncoding(StrEnum):
    """``MeshConfig.AccessLogEncoding``."""

    TEXT = "TEXT"
    JSON = "JSON"


class OutboundTrafficPolicyMode(StrEnum):
    """``MeshConfig.OutboundTrafficPolicy.Mode``."""

    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"
    ALLOW_ANY_DYNAMIC_DNS = "ALLOW_ANY_DYNAMIC_DNS"


@attrs.frozen
class OutboundTrafficPolicy:
    """What becomes of a call to a host nobody knows. The message's own zero value is REGISTRY_ONLY."""

    mode: OutboundTrafficPolicyMode = OutboundTrafficPolicyMode.REGISTRY_ONLY
    tls: ClientTLSSettings | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"tls"})


class InboundTrafficPolicyMode(StrEnum):
    """``MeshConfig.InboundTrafficPolicy.Mode``: to the address the caller meant, or to localhost."""

    PASSTHROUGH = "PASSTHROUGH"
    LOCALHOST = "LOCALHOST"


@attrs.frozen
class InboundTrafficPolicy:
    """How a sidecar speaks to its application."""

    mode: InboundTrafficPolicyMode = InboundTrafficPolicyMode.PASSTHROUGH


@attrs.frozen
class CertificateData:
    """One more root to trust: in PEM, or where a SPIFFE bundle is."""

    pem: str | None = None
    spiffeBundleUrl: str | None = None
    certSigners: tuple[str, ...] = ()
    trustDomains: tuple[str, ...] = ()


class MeshH2UpgradePolicy(StrEnum):
    """``MeshConfig.H2UpgradePolicy``."""

    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


@attrs.frozen
class Settings:
    """``ServiceSettings.Settings``."""

    clusterLocal: bool = False


@attrs.frozen
class ServiceSettings:
    """Settings of the services with these hosts."""

    settings: Settings | None = None
    hosts: tuple[str, ...] = ()


@attrs.frozen
class LabelSelectorRequirement:
    """``operator``: In, NotIn, Exists or DoesNotExist."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


@attrs.frozen
class LabelSelector:
    """Kubernetes' selector: all of both."""

    matchLabels: Labels = Map()
    matchExpressions: tuple[LabelSelectorRequirement, ...] = ()


class Scope(StrEnum):
    """``ServiceScopeConfigs.Scope``."""

    LOCAL = "LOCAL"
    GLOBAL = "GLOBAL"


@attrs.frozen
class ServiceScopeConfigs:
    """Which services are for other clusters too."""

    namespaceSelector: LabelSelector | None = None
    servicesSelector: LabelSelector | None = None
    scope: Scope = Scope.LOCAL


@attrs.frozen
class CA:
    """Somebody else who signs."""

    address: str = ""
    tlsSettings: ClientTLSSettings | None = None
    requestTimeout: Duration | None = None
    istiodSide: bool = False


@attrs.frozen
class DefaultProviders:
    """Names of ``extensionProviders`` that hold where no Telemetry says otherwise."""

    tracing: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    accessLogging: tuple[str, ...] = ()


class NormalizationType(StrEnum):
    """``ProxyPathNormalization.NormalizationType``. DEFAULT is BASE."""

    DEFAULT = "DEFAULT"
    NONE = "NONE"
    BASE = "BASE"
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


@attrs.frozen
class ProxyPathNormalization:
    """What is done to paths before routes and policies look at them."""

    normalization: NormalizationType = NormalizationType.DEFAULT


class TLSProtocol(StrEnum):
    """``MeshConfig.TLSConfig.TLSProtocol``; TLS_AUTO is 1.2 as the least."""

    TLS_AUTO = "TLS_AUTO"
    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


@attrs.frozen
class TLSConfig:
    """Versions, curves and ciphers."""

    minProtocolVersion: TLSProtocol = TLSProtocol.TLS_AUTO
    ecdhCurves: tuple[str, ...] = ()
    cipherSuites: tuple[str, ...] = ()

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"ecdhCurves"})


@attrs.frozen
class DefaultTrafficPolicy:
    """What holds for every host unless a DestinationRule says otherwise."""

    connectionPool: ConnectionPoolSettings | None = None
    outlierDetection: OutlierDetection | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"outlierDetection"})


class Visibility(StrEnum):
    """``ServiceEntryVisibility.Visibility``."""

    VISIBILITY_UNSPECIFIED = "VISIBILITY_UNSPECIFIED"
    NONE = "NONE"
    NAMESPACE = "NAMESPACE"
    PUBLIC = "PUBLIC"


@attrs.frozen
class MatchRule:
    """``ServiceEntryVisibility.MatchRule``."""

    namespaceSelector: LabelSelector | None = None


@attrs.frozen
class VisibilityPolicy:
    """``ServiceEntryVisibility.Policy``: the first rule that matches."""

    visibility: Visibility = Visibility.VISIBILITY_UNSPECIFIED
    matchingRules: tuple[MatchRule, ...] = ()


@attrs.frozen
class ServiceEntryVisibility:
    """How far ServiceEntries of namespaces may be seen, whatever they say."""

    defaultVisibility: Visibility = Visibility.VISIBILITY_UNSPECIFIED
    applyToSidecars: bool = False
    policies: tuple[VisibilityPolicy, ...] = ()


class Resource(StrEnum):
    """What a configuration source is asked for."""

    SERVICE_REGISTRY = "SERVICE_REGISTRY"


@attrs.frozen
class ConfigSource:
    """Where Istio's control plane reads configuration; meshd's is told by ``--store``."""

    address: str = ""
    tlsSettings: ClientTLSSettings | None = None
    subscribedResources: tuple[Resource, ...] = ()


@attrs.frozen
class Certificate:
    """A certificate that Istio's control plane once made."""

    secretName: str = ""
    dnsNames: tuple[str, ...] = ()


_EVERYBODY = ("*",)


@attrs.frozen
class MeshConfig:
    """What holds for the whole mesh; every default is Istio's."""

    proxyListenPort: Int32 = 15001
    proxyInboundListenPort: Int32 = 15006
    proxyHttpPort: Int32 = 0
    connectTimeout: Duration = Duration(10.0)
    hboneIdleTimeout: Duration = Duration(3600.0)
    protocolDetectionTimeout: Duration = Duration(0.0)
    tcpKeepalive: TcpKeepalive | None = None
    ingressClass: str = "istio"
    ingressService: str = "istio-ingressgateway"
    ingressControllerMode: IngressControllerMode = IngressControllerMode.STRICT
    ingressSelector: str = ""
    enableTracing: bool = True
    accessLogFile: str = ""
    accessLogFormat: str = ""
    accessLogEncoding: AccessLogEncoding = AccessLogEncoding.TEXT
    enableEnvoyAccessLogService: bool = False
    disableEnvoyListenerLog: bool = False
    defaultConfig: ProxyConfig = ProxyConfig()
    outboundTrafficPolicy: OutboundTrafficPolicy = OutboundTrafficPolicy(OutboundTrafficPolicyMode.ALLOW_ANY)
    inboundTrafficPolicy: InboundTrafficPolicy = InboundTrafficPolicy()
    configSources: tuple[ConfigSource, ...] = ()
    enableAutoMtls: bool = True
    trustDomain: str = "cluster.local"
    trustDomainAliases: tuple[str, ...] = ()
    caCertificates: tuple[CertificateData, ...] = ()
    defaultServiceExportTo: tuple[str, ...] = _EVERYBODY
    defaultVirtualServiceExportTo: tuple[str, ...] = _EVERYBODY
    defaultDestinationRuleExportTo: tuple[str, ...] = _EVERYBODY
    rootNamespace: str = "istio-system"
    localityLbSetting: LocalityLoadBalancerSetting = LocalityLoadBalancerSetting(enabled=True)
    zoneAwareLbSetting: ZoneAwareLoadBalancerSetting | None = None
    dnsRefreshRate: Duration = Duration(60.0)
    h2UpgradePolicy: MeshH2UpgradePolicy = MeshH2UpgradePolicy.DO_NOT_UPGRADE
    inboundClusterStatName: str = ""
    outboundClusterStatName: str = ""
    certificates: tuple[Certificate, ...] = ()
    serviceSettings: tuple[ServiceSettings, ...] = ()
    serviceScopeConfigs: tuple[ServiceScopeConfigs, ...] = ()
    enablePrometheusMerge: bool = True
    verifyCertificateAtClient: bool | None = None
    ca: CA | None = None
    extensionProviders: tuple[ExtensionProvider, ...] = ()
    defaultProviders: DefaultProviders = DefaultProviders()
    discoverySelectors: tuple[LabelSelector, ...] = ()
    pathNormalization: ProxyPathNormalization = ProxyPathNormalization()
    defaultHttpRetryPolicy: HTTPRetry | None = None
    defaultInboundHttpRetryPolicy: HTTPRetry | None = None
    meshMTLS: TLSConfig | None = None
    tlsDefaults: TLSConfig | None = None
    defaultTrafficPolicy: DefaultTrafficPolicy | None = None
    serviceEntryVisibility: ServiceEntryVisibility | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset(
        {
            "accessLogEncoding",
            "accessLogFile",
            "accessLogFormat",
            "caCertificates",
            "defaultProviders",
            "disableEnvoyListenerLog",
            "discoverySelectors",
            "dnsRefreshRate",
            "enableEnvoyAccessLogService",
            "enablePrometheusMerge",
            "enableTracing",
            "extensionProviders",
            "inboundClusterStatName",
            "inboundTrafficPolicy",
            "ingressClass",
            "ingressControllerMode",
            "ingressSelector",
            "ingressService",
            "localityLbSetting",
            "outboundClusterStatName",
            # The addresses are those of ``--inbound`` and ``--outbound``.
            "proxyInboundListenPort",
            "proxyListenPort",
            "serviceEntryVisibility",
            "serviceScopeConfigs",
            "serviceSettings",
            "tcpKeepalive",
            "trustDomain",
            "zoneAwareLbSetting",
        }
    )
    IRRELEVANT: ClassVar[frozenset[str]] = frozenset(
        # Istio's control plane as a program, its ambient mode, and what is old.
        {"ca", "certificates", "configSources", "hboneIdleTimeout", "verifyCertificateAtClient"}
    )
