"""``networking.istio.io`` DestinationRule: how to talk to a host. Pure values.

Source: Istio's ``networking/v1alpha3/destination_rule.proto``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import attrs

from meshd.api.common import Duration, Labels, Map, PortSelector, WorkloadSelector


class SimpleLB(StrEnum):
    """``LoadBalancerSettings.SimpleLB``."""

    UNSPECIFIED = "UNSPECIFIED"
    """LEAST_REQUEST."""
    LEAST_CONN = "LEAST_CONN"
    """Old name of LEAST_REQUEST."""
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"


@attrs.frozen
class LoadBalancerSettings:
    """How a host is picked."""

    simple: SimpleLB | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset(
        {"consistentHash", "localityLbSetting", "zoneAwareLbSetting", "warmupDurationSecs", "warmup"}
    )


@attrs.frozen
class TCPSettings:
    """``ConnectionPoolSettings.TCPSettings``; absent is Istio's default, per proxy."""

    maxConnections: int | None = None
    connectTimeout: Duration | None = None
    maxConnectionDuration: Duration | None = None
    idleTimeout: Duration | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"tcpKeepalive"})


class H2UpgradePolicy(StrEnum):
    """``ConnectionPoolSettings.HTTPSettings.H2UpgradePolicy``."""

    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


@attrs.frozen
class HTTPSettings:
    """``ConnectionPoolSettings.HTTPSettings``."""

    http1MaxPendingRequests: int | None = None
    http2MaxRequests: int | None = None
    maxRequestsPerConnection: int | None = None
    maxRetries: int | None = None
    idleTimeout: Duration | None = None
    h2UpgradePolicy: H2UpgradePolicy = H2UpgradePolicy.DEFAULT

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"useClientProtocol", "maxConcurrentStreams", "http2KeepAlive"})


@attrs.frozen
class ConnectionPoolSettings:
    """Limits and times of connections to a host."""

    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None


class ClientTLSmode(StrEnum):
    """``ClientTLSSettings.TLSmode``."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


@attrs.frozen
class ClientTLSSettings:
    """TLS towards a host. Its presence turns automatic mTLS off."""

    mode: ClientTLSmode = ClientTLSmode.DISABLE
    clientCertificate: str = ""
    privateKey: str = ""
    caCertificates: str = ""
    credentialName: str = ""
    subjectAltNames: tuple[str, ...] = ()
    sni: str = ""
    insecureSkipVerify: bool | None = None

    REFUSED: ClassVar[frozenset[str]] = frozenset({"caCrl"})


@attrs.frozen
class PortTrafficPolicy:
    """``TrafficPolicy.PortTrafficPolicy``: replaces the policy above it entirely for one port."""

    port: PortSelector | None = None
    loadBalancer: LoadBalancerSettings | None = None
    connectionPool: ConnectionPoolSettings | None = None
    tls: ClientTLSSettings | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"outlierDetection"})


@attrs.frozen
class TrafficPolicy:
    """A subset's blocks replace the host's, each as a whole."""

    loadBalancer: LoadBalancerSettings | None = None
    connectionPool: ConnectionPoolSettings | None = None
    tls: ClientTLSSettings | None = None
    portLevelSettings: tuple[PortTrafficPolicy, ...] = ()

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"outlierDetection", "tunnel", "proxyProtocol", "retryBudget"})


@attrs.frozen
class Subset:
    """The endpoints that have all of ``labels``; no labels, all endpoints."""

    name: str
    labels: Labels = Map()
    trafficPolicy: TrafficPolicy | None = None


@attrs.frozen
class DestinationRule:
    """How clients talk to ``host``."""

    host: str
    trafficPolicy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    exportTo: tuple[str, ...] = ()
    workloadSelector: WorkloadSelector | None = None
