"""A service's clusters: one for each port, and for each subset of its DestinationRules. Pure.

Source: Istio's ``pilot/pkg/networking/core/{cluster_builder,cluster_traffic_policy}.go``
and ``pilot/pkg/networking/util`` (``MergeSubsetTrafficPolicy``).
"""

from __future__ import annotations

from typing import Final

import attrs

from meshd.api.networking.destination_rule import (
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
from meshd.control.compiler.mtls import Peers, Reader, upstream_tls
from meshd.control.hosts import is_ip
from meshd.control.owned import Owned
from meshd.control.services import Port, Service, Source
from meshd.snapshot.cluster import Balancing, Cluster, ConnectionLimits, Discovery

DISCOVERY: Final = {
    Source.WORKLOADS: Discovery.ENDPOINTS,
    Source.DNS: Discovery.DNS,
    Source.CLIENT: Discovery.ORIGINAL_DESTINATION,
}
BALANCING: Final = {
    SimpleLB.RANDOM: Balancing.RANDOM,
    SimpleLB.ROUND_ROBIN: Balancing.ROUND_ROBIN,
}


@attrs.frozen(cache_hash=True)
class Client:
    """What a cluster reads of the proxy it is for, and of the mesh's settings."""

    trust_domains: tuple[str, ...]
    gateway: bool
    auto_mtls: bool = True
    connect_timeout: float = ConnectionLimits().connect_timeout
    upgrade: bool = False
    """HTTP is spoken as HTTP/2 unless a rule says otherwise."""
    pool: ConnectionPoolSettings | None = None
    """For services of which no rule says anything."""


@attrs.frozen
class _Policy:
    """A traffic policy for one port, with nothing more to be looked up."""

    balancer: LoadBalancerSettings | None = None
    pool: ConnectionPoolSettings | None = None
    tls: ClientTLSSettings | None = None


@attrs.frozen
class Rules:
    """Several DestinationRules of one host as one: the first policy there is, everybody's subsets (first of a name)."""

    policy: TrafficPolicy | None
    subsets: tuple[Subset, ...]
    selective: bool
    """They are for some workloads, and may name credentials."""


def rules_of(found: tuple[Owned[DestinationRule], ...]) -> Rules:
    """Merge the DestinationRules of one host."""
    if not found:
        return Rules(None, (), selective=False)
    subsets: dict[str, Subset] = {}
    for rule in found:
        for subset in rule.resource.subsets:
            subsets.setdefault(subset.name, subset)
    policies = (rule.resource.trafficPolicy for rule in found)
    policy = next((each for each in policies if each is not None), None)
    return Rules(policy, tuple(subsets.values()), found[0].resource.workloadSelector is not None)


def compile_clusters(
    service: Service, found: tuple[Owned[DestinationRule], ...], client: Client, peers: Peers
) -> tuple[Cluster, ...]:
    """All clusters of a service as one client sees it."""
    rules = rules_of(found)
    counting = next((each for each in found if each.resource.trafficPolicy is not None), found[0] if found else None)
    reader = Reader(
        trust_domains=client.trust_domains,
        auto_mtls=client.auto_mtls,
        credentials=client.gateway or rules.selective,
        rule=str(counting) if counting is not None else "",
        peers=peers,
    )
    maker = _Maker(service, client, reader, tuple(str(rule) for rule in found))
    clusters = []
    for port in service.ports:
        base = _layered(_Policy(), rules.policy, port.number)
        clusters.append(maker.cluster(port, "", base))
        clusters += [
            maker.cluster(port, subset.name, _layered(base, subset.trafficPolicy, port.number))
            for subset in rules.subsets
        ]
    return tuple(clusters)


def mentions_hash(found: tuple[Owned[DestinationRule], ...]) -> bool:
    """Whether any DestinationRule asks for a hash anywhere."""
    for rule in found:
        policies = [rule.resource.trafficPolicy, *(subset.trafficPolicy for subset in rule.resource.subsets)]
        for policy in policies:
            if policy is not None:
                balancers = [policy.loadBalancer, *(each.loadBalancer for each in policy.portLevelSettings)]
                if any(each is not None and each.consistentHash is not None for each in balancers):
                    return True
    return False


def hashed_clusters(service: Service, found: tuple[Owned[DestinationRule], ...]) -> tuple[str, ...]:
    """The clusters of a service whose servers are picked by a hash of the request."""
    rules = rules_of(found)
    hashed = []
    for port in service.ports:
        base = _layered(_Policy(), rules.policy, port.number)
        layers = [("", base)]
        layers += [(each.name, _layered(base, each.trafficPolicy, port.number)) for each in rules.subsets]
        for subset, policy in layers:
            if policy.balancer is not None and policy.balancer.consistentHash is not None:
                hashed.append(names.outbound_cluster(port.number, subset, service.host))
    return tuple(hashed)


def _layered(base: _Policy, policy: TrafficPolicy | None, port: int) -> _Policy:
    """A subset's blocks replace the host's one by one; settings for the port replace everything."""
    if policy is None:
        return base
    for setting in policy.portLevelSettings:
        if setting.port is not None and setting.port.number == port:
            return _Policy(setting.loadBalancer, setting.connectionPool, setting.tls)
    return _Policy(policy.loadBalancer or base.balancer, policy.connectionPool or base.pool, policy.tls or base.tls)


@attrs.frozen
class _Maker:
    """Makes the clusters of one service for one client."""

    service: Service
    client: Client
    reader: Reader
    rules: tuple[str, ...]

    def cluster(self, port: Port, subset: str, policy: _Policy) -> Cluster:
        service = self.service
        simple = policy.balancer.simple if policy.balancer else None
        pool = policy.pool or self.client.pool
        passthrough = simple is SimpleLB.PASSTHROUGH
        tls, reason = upstream_tls(service, port.number, subset, policy.tls, self.reader)
        return Cluster(
            name=names.outbound_cluster(port.number, subset, service.host),
            discovery=Discovery.ORIGINAL_DESTINATION if passthrough else DISCOVERY[service.source],
            service=service.host,
            service_name=service.name,
            service_namespace=service.namespace,
            port=port.number,
            addresses=() if subset else tuple(each for each in service.addresses if is_ip(each)),
            headless=service.headless and not subset,
            subset=subset,
            balancing=BALANCING.get(simple, Balancing.LEAST_REQUEST) if simple else Balancing.LEAST_REQUEST,
            http2=port.protocol.http2 or self._upgraded(port, pool),
            tls=tls,
            limits=limits(pool, self.client.connect_timeout),
            external=service.external,
            tls_reason=reason,
            rules=self.rules,
        )

    def _upgraded(self, port: Port, pool: ConnectionPoolSettings | None) -> bool:
        """A rule's word holds for any port that may be HTTP, the mesh's only for ports that say so."""
        said = pool.http.h2UpgradePolicy if pool is not None and pool.http is not None else H2UpgradePolicy.DEFAULT
        if said is H2UpgradePolicy.DEFAULT:
            return self.client.upgrade and port.protocol.http
        return said is H2UpgradePolicy.UPGRADE and not port.protocol.tls


def limits(
    pool: ConnectionPoolSettings | None, connect_timeout: float = ConnectionLimits().connect_timeout
) -> ConnectionLimits:
    """Pool sizes and times; what is not said is Istio's default. A duration of 0 turns its limit off."""
    found: dict[str, int | float | None] = {"connect_timeout": connect_timeout}
    if pool is not None and pool.tcp is not None:
        found |= {
            "max_connections": pool.tcp.maxConnections or None,
            "connect_timeout": pool.tcp.connectTimeout or connect_timeout,
            "max_connection_duration": pool.tcp.maxConnectionDuration,
            "tcp_idle_timeout": pool.tcp.idleTimeout,
            "idle_timeout": pool.tcp.idleTimeout,
        }
    if pool is not None and pool.http is not None:
        found |= {
            "max_pending_requests": pool.http.http1MaxPendingRequests or None,
            "max_requests": pool.http.http2MaxRequests or None,
            "max_retries": pool.http.maxRetries or None,
            "max_requests_per_connection": pool.http.maxRequestsPerConnection,
        }
        if pool.http.idleTimeout is not None:
            found["idle_timeout"] = pool.http.idleTimeout
    return ConnectionLimits(**{name: value for name, value in found.items() if value is not None})  # type: ignore[arg-type]
