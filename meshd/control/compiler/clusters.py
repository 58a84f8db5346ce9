"""A service's clusters: one for each port, and for each subset of its DestinationRules. Pure.

Source: Istio's ``pilot/pkg/networking/core/{cluster_builder,cluster_traffic_policy,cluster_tls}.go``
and ``pilot/pkg/networking/util`` (``MergeTrafficPolicy``).
"""

from __future__ import annotations

from typing import Final

import attrs

from meshd.api.networking.destination_rule import (
    ClientTLSmode,
    ClientTLSSettings,
    ConnectionPoolSettings,
    DestinationRule,
    H2UpgradePolicy,
    LoadBalancerSettings,
    SimpleLB,
    Subset,
    TrafficPolicy,
)
from meshd.control.compiler import names
from meshd.control.compiler.secrets import credential
from meshd.control.hosts import is_wildcard
from meshd.control.mesh import Owned
from meshd.control.services import Port, Service, Source
from meshd.snapshot.cluster import Balancing, Cluster, ConnectionLimits, Discovery, TlsMode, UpstreamTls

DISCOVERY: Final = {
    Source.WORKLOADS: Discovery.ENDPOINTS,
    Source.DNS: Discovery.DNS,
    Source.CLIENT: Discovery.ORIGINAL_DESTINATION,
}
BALANCING: Final = {
    SimpleLB.RANDOM: Balancing.RANDOM,
    SimpleLB.ROUND_ROBIN: Balancing.ROUND_ROBIN,
}


@attrs.frozen
class Client:
    """What a cluster reads of the proxy it is for."""

    trust_domain: str
    gateway: bool


@attrs.frozen
class _Policy:
    """A traffic policy for one port, with nothing more to be looked up."""

    balancer: LoadBalancerSettings | None = None
    pool: ConnectionPoolSettings | None = None
    tls: ClientTLSSettings | None = None


@attrs.frozen
class Rules:
    """Several DestinationRules of one host as one: the first one's policy, everybody's subsets (first of a name)."""

    policy: TrafficPolicy | None
    subsets: tuple[Subset, ...]
    selective: bool
    """The policy is of a rule for some workloads, which may name credentials."""


def rules_of(found: tuple[Owned[DestinationRule], ...]) -> Rules:
    """Merge the DestinationRules of one host."""
    if not found:
        return Rules(None, (), selective=False)
    subsets: dict[str, Subset] = {}
    for rule in found:
        for subset in rule.resource.subsets:
            subsets.setdefault(subset.name, subset)
    first = found[0].resource
    return Rules(first.trafficPolicy, tuple(subsets.values()), first.workloadSelector is not None)


def compile_clusters(
    service: Service, found: tuple[Owned[DestinationRule], ...], client: Client
) -> tuple[Cluster, ...]:
    """All clusters of a service as one client sees it."""
    rules = rules_of(found)
    clusters = []
    for port in service.ports:
        base = _layered(_Policy(), rules.policy, port.number)
        clusters.append(_cluster(service, port, "", base, _Reader(client, rules.selective)))
        for subset in rules.subsets:
            policy = _layered(base, subset.trafficPolicy, port.number)
            clusters.append(_cluster(service, port, subset.name, policy, _Reader(client, rules.selective)))
    return tuple(clusters)


def _layered(base: _Policy, policy: TrafficPolicy | None, port: int) -> _Policy:
    """A subset's blocks replace the host's one by one; settings for the port replace everything."""
    if policy is None:
        return base
    for setting in policy.portLevelSettings:
        if setting.port is not None and setting.port.number == port:
            return _Policy(setting.loadBalancer, setting.connectionPool, setting.tls)
    return _Policy(policy.loadBalancer or base.balancer, policy.connectionPool or base.pool, policy.tls or base.tls)


@attrs.frozen
class _Reader:
    client: Client
    selective: bool


def _cluster(service: Service, port: Port, subset: str, policy: _Policy, reader: _Reader) -> Cluster:
    simple = policy.balancer.simple if policy.balancer else None
    http = policy.pool.http if policy.pool else None
    upgrade = http is not None and http.h2UpgradePolicy is H2UpgradePolicy.UPGRADE and not port.protocol.tls
    passthrough = simple is SimpleLB.PASSTHROUGH
    return Cluster(
        name=names.outbound_cluster(port.number, subset, service.host),
        discovery=Discovery.ORIGINAL_DESTINATION if passthrough else DISCOVERY[service.source],
        service=service.host,
        service_name=service.name,
        service_namespace=service.namespace,
        port=port.number,
        subset=subset,
        balancing=BALANCING.get(simple, Balancing.LEAST_REQUEST) if simple else Balancing.LEAST_REQUEST,
        http2=port.protocol.http2 or upgrade,
        tls=_tls(service, port.number, subset, policy.tls, reader),
        limits=limits(policy.pool),
        external=service.external,
    )


def _tls(
    service: Service, port: int, subset: str, settings: ClientTLSSettings | None, reader: _Reader
) -> UpstreamTls | None:
    mesh = UpstreamTls(
        mode=TlsMode.AUTO,
        sni=names.server_name(port, subset, service.host),
        subject_alt_names=service.subject_alt_names,
        trust_domains=(reader.client.trust_domain,),
    )
    if settings is None:
        return None if service.external else mesh
    if settings.mode is ClientTLSmode.DISABLE:
        return None
    sans = settings.subjectAltNames or service.subject_alt_names
    if settings.mode is ClientTLSmode.ISTIO_MUTUAL:
        return attrs.evolve(mesh, mode=TlsMode.ISTIO_MUTUAL, sni=settings.sni or mesh.sni, subject_alt_names=sans)
    mutual = settings.mode is ClientTLSmode.MUTUAL
    # A sidecar reads credentials only where a rule for some workloads names them (Istio).
    named = settings.credentialName if reader.client.gateway or reader.selective else ""
    return UpstreamTls(
        mode=TlsMode.MUTUAL if mutual else TlsMode.SIMPLE,
        sni=settings.sni or ("" if is_wildcard(service.host) else service.host),
        subject_alt_names=sans,
        ca_certificates=settings.caCertificates,
        client_certificate=settings.clientCertificate if mutual else "",
        private_key=settings.privateKey if mutual else "",
        credential=credential(named) if named else "",
        insecure_skip_verify=bool(settings.insecureSkipVerify),
    )


def limits(pool: ConnectionPoolSettings | None) -> ConnectionLimits:
    """Pool sizes and times; what is not said is Istio's default. A duration of 0 turns its limit off."""
    if pool is None:
        return ConnectionLimits()
    found: dict[str, int | float | None] = {}
    if pool.tcp is not None:
        found |= {
            "max_connections": pool.tcp.maxConnections or None,
            "connect_timeout": pool.tcp.connectTimeout or None,
            "max_connection_duration": pool.tcp.maxConnectionDuration,
            "tcp_idle_timeout": pool.tcp.idleTimeout,
        }
    if pool.http is not None:
        found |= {
            "max_pending_requests": pool.http.http1MaxPendingRequests or None,
            "max_requests": pool.http.http2MaxRequests or None,
            "max_retries": pool.http.maxRetries or None,
            "max_requests_per_connection": pool.http.maxRequestsPerConnection,
            "idle_timeout": pool.http.idleTimeout,
        }
    return ConnectionLimits(**{name: value for name, value in found.items() if value is not None})  # type: ignore[arg-type]
