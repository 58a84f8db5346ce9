"""``networking.istio.io`` DestinationRule: how to talk to a host. Pure values.

Source: Istio's ``networking/v1alpha3/destination_rule.proto``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import attrs

from meshd.api.common import Duration, Int32, Labels, Map, PortSelector, UInt32, UInt64, WorkloadSelector


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
class RingHash:
    """``ConsistentHashLB.RingHash``; Istio's default size is 1024."""

    minimumRingSize: UInt64 | None = None


@attrs.frozen
class MagLev:
    """``ConsistentHashLB.MagLev``; the size must be a prime, Istio's default is 65537."""

    tableSize: UInt64 | None = None


@attrs.frozen
class HTTPCookieAttribute:
    """``HTTPCookie.Attribute``: one more attribute of a cookie that is made."""

    name: str
    value: str = ""


@attrs.frozen
class HTTPCookie:
    """``ConsistentHashLB.HTTPCookie``; with a ``ttl`` it is made where the client has none, 0 for a session."""

    name: str
    path: str = ""
    ttl: Duration | None = None
    attributes: tuple[HTTPCookieAttribute, ...] = ()


@attrs.frozen
class ConsistentHashLB:
    """What is hashed (exactly one), and how (at most one); ``minimumRingSize`` is the old place of RingHash's."""

    httpHeaderName: str | None = None
    httpCookie: HTTPCookie | None = None
    useSourceIp: bool | None = None
    httpQueryParameterName: str | None = None
    ringHash: RingHash | None = None
    maglev: MagLev | None = None
    minimumRingSize: UInt64 | None = None


@attrs.frozen
class Distribute:
    """``LocalityLoadBalancerSetting.Distribute``: shares in percent, by locality."""

    from_: str = ""
    to: Map[str, UInt32] = Map()


@attrs.frozen
class Failover:
    """Where the traffic of a region goes when its endpoints are ill."""

    from_: str = ""
    to: str = ""


@attrs.frozen
class LocalityLoadBalancerSetting:
    """At most one of the first three; it acts only where outlier detection is on."""

    distribute: tuple[Distribute, ...] = ()
    failover: tuple[Failover, ...] = ()
    failoverPriority: tuple[str, ...] = ()
    enabled: bool | None = None


@attrs.frozen
class ZoneAwareLoadBalancerSetting:
    """Stay in the zone as far as its endpoints can carry it; ``minClusterSize`` absent is 6."""

    enabled: bool | None = None
    failover: tuple[Failover, ...] = ()
    failoverPriority: tuple[str, ...] = ()
    minClusterSize: UInt64 | None = None


@attrs.frozen
class WarmupConfiguration:
    """A new host's slow start; absent is 10 percent, aggression 1."""

    duration: Duration
    minimumPercent: float | None = None
    aggression: float | None = None


@attrs.frozen
class LoadBalancerSettings:
    """How a host is picked: ``simple`` or ``consistentHash``, and within which locality."""

    simple: SimpleLB | None = None
    consistentHash: ConsistentHashLB | None = None
    localityLbSetting: LocalityLoadBalancerSetting | None = None
    zoneAwareLbSetting: ZoneAwareLoadBalancerSetting | None = None
    warmupDurationSecs: Duration | None = None
    warmup: WarmupConfiguration | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset(
        {"consistentHash", "localityLbSetting", "zoneAwareLbSetting", "warmupDurationSecs", "warmup"}
    )


@attrs.frozen
class TcpKeepalive:
    """``TCPSettings.TcpKeepalive``; absent is the operating system's."""

    probes: UInt32 | None = None
    time: Duration | None = None
    interval: Duration | None = None


@attrs.frozen
class TCPSettings:
    """``ConnectionPoolSettings.TCPSettings``; absent is Istio's default, per proxy."""

    maxConnections: Int32 | None = None
    connectTimeout: Duration | None = None
    tcpKeepalive: TcpKeepalive | None = None
    maxConnectionDuration: Duration | None = None
    idleTimeout: Duration | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"tcpKeepalive"})


class H2UpgradePolicy(StrEnum):
    """``ConnectionPoolSettings.HTTPSettings.H2UpgradePolicy``."""

    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


@attrs.frozen
class ConnectionKeepalive:
    """``HTTPSettings.ConnectionKeepalive``: HTTP/2 pings."""

    interval: Duration | None = None
    timeout: Duration | None = None


@attrs.frozen
class HTTPSettings:
    """``ConnectionPoolSettings.HTTPSettings``."""

    http1MaxPendingRequests: Int32 | None = None
    http2MaxRequests: Int32 | None = None
    maxRequestsPerConnection: Int32 | None = None
    maxRetries: Int32 | None = None
    idleTimeout: Duration | None = None
    h2UpgradePolicy: H2UpgradePolicy = H2UpgradePolicy.DEFAULT
    useClientProtocol: bool = False
    maxConcurrentStreams: Int32 | None = None
    http2KeepAlive: ConnectionKeepalive | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"useClientProtocol", "maxConcurrentStreams", "http2KeepAlive"})


@attrs.frozen
class ConnectionPoolSettings:
    """Limits and times of connections to a host."""

    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None


@attrs.frozen
class OutlierDetection:
    """When a host is left alone for a while.

    The block alone (``{}``) turns it on with Istio's defaults: 5 consecutive
    errors, every 10 s, for 30 s times the number of ejections, at most 10 %.
    """

    consecutiveErrors: Int32 | None = None
    """Old, and read by nobody."""
    splitExternalLocalOriginErrors: bool = False
    consecutiveLocalOriginFailures: UInt32 | None = None
    consecutiveGatewayErrors: UInt32 | None = None
    consecutive5xxErrors: UInt32 | None = None
    interval: Duration | None = None
    baseEjectionTime: Duration | None = None
    maxEjectionPercent: Int32 | None = None
    minHealthPercent: Int32 | None = None
    outlierDetectionHttpErrorCodes: tuple[UInt32, ...] = ()


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
    caCrl: str = ""

    REFUSED: ClassVar[frozenset[str]] = frozenset({"caCrl"})


@attrs.frozen
class PortTrafficPolicy:
    """``TrafficPolicy.PortTrafficPolicy``: replaces the policy above it entirely for one port."""

    port: PortSelector | None = None
    loadBalancer: LoadBalancerSettings | None = None
    connectionPool: ConnectionPoolSettings | None = None
    outlierDetection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"outlierDetection"})


@attrs.frozen
class TunnelSettings:
    """``TrafficPolicy.TunnelSettings``: TCP and TLS routes through a proxy. ``protocol`` is CONNECT or POST."""

    targetHost: str
    targetPort: UInt32
    protocol: str = ""


class ProxyProtocolVersion(StrEnum):
    """``TrafficPolicy.ProxyProtocol.VERSION``."""

    V1 = "V1"
    V2 = "V2"


@attrs.frozen
class ProxyProtocol:
    """``TrafficPolicy.ProxyProtocol``: the client's address, told to the host."""

    version: ProxyProtocolVersion = ProxyProtocolVersion.V1


@attrs.frozen
class RetryBudget:
    """``TrafficPolicy.RetryBudget``: retries as a share of what is under way; absent ``percent`` is 20."""

    percent: float | None = None
    minRetryConcurrency: UInt32 | None = None
    budgetInterval: Duration | None = None


@attrs.frozen
class TrafficPolicy:
    """A subset's blocks replace the host's, each as a whole."""

    loadBalancer: LoadBalancerSettings | None = None
    connectionPool: ConnectionPoolSettings | None = None
    outlierDetection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    portLevelSettings: tuple[PortTrafficPolicy, ...] = ()
    tunnel: TunnelSettings | None = None
    proxyProtocol: ProxyProtocol | None = None
    retryBudget: RetryBudget | None = None

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
