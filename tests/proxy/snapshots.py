"""Snapshots written by hand, small and whole: a gateway, an outbound and an inbound sidecar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from meshd.snapshot.cluster import Cluster, ConnectionLimits, Discovery, Endpoint, EndpointGroup, Peer, UpstreamTls
from meshd.snapshot.common import Direction, MatchKind, StringMatch
from meshd.snapshot.listener import DownstreamTls, FilterChain, FilterChainMatch, HttpManager, Listener, TcpProxy
from meshd.snapshot.policy import FilterSpec
from meshd.snapshot.route import (
    DirectResponse,
    Forward,
    Redirect,
    Route,
    RouteMatch,
    RouteTable,
    VirtualHost,
    WeightedCluster,
)
from meshd.snapshot.snapshot import AccessLog, Snapshot, Telemetry

ISTIO_ALPN = ("istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")
NODE = Peer("gw", "istio-system", "gw", "1", "gw", "1", "Kubernetes")


def forward(*clusters: str | WeightedCluster, **more: object) -> Forward:
    """To clusters, evenly."""
    targets = tuple(c if isinstance(c, WeightedCluster) else WeightedCluster(c) for c in clusters)
    return Forward(targets, **more)  # type: ignore[arg-type]


def route(action: Forward | Redirect | DirectResponse, prefix: str = "/", **more: object) -> Route:
    """By path prefix."""
    match = RouteMatch(path=StringMatch(MatchKind.PREFIX, prefix))
    return Route(str(more.pop("name", "r")), more.pop("match", match), action, **more)  # type: ignore[arg-type]


def table(*routes: Route, name: str = "http.80", domains: Sequence[str] = ("*",)) -> RouteTable:
    """One virtual host."""
    return RouteTable(name, (VirtualHost("vh", tuple(domains), routes),))


def cluster(name: str, **more: object) -> Cluster:
    """A cluster with endpoints; ``limits`` fields may be given as ``max_...``."""
    limits = {field.name: more.pop(field.name) for field in attrs.fields(ConnectionLimits) if field.name in more}
    return Cluster(name, limits=ConnectionLimits(**limits), **more)  # type: ignore[arg-type]


def endpoint(address: str, **more: object) -> Endpoint:
    """From ``ip:port``."""
    host, _, port = address.rpartition(":")
    return Endpoint(host, int(port), **more)  # type: ignore[arg-type]


def groups(endpoints: Mapping[str, Sequence[str | Endpoint]]) -> tuple[EndpointGroup, ...]:
    """Endpoints by cluster."""
    return tuple(
        EndpointGroup(name, tuple(e if isinstance(e, Endpoint) else endpoint(e) for e in members))
        for name, members in endpoints.items()
    )


def gateway(
    *routes: Route,
    clusters: Sequence[Cluster | str] = (),
    endpoints: Mapping[str, Sequence[str | Endpoint]] | None = None,
    filters: tuple[FilterSpec, ...] = (),
    tls: DownstreamTls | None = None,
    version: str = "1",
    port: int = 80,
    http: Mapping[str, object] | None = None,
) -> Snapshot:
    """A gateway on port 80 with one table."""
    manager = HttpManager(
        route_table="http.80",
        filters=filters,
        use_remote_address=True,
        forward_client_cert="sanitize_set",
        **(http or {}),  # type: ignore[arg-type]
    )
    listener = Listener(f"0.0.0.0_{port}", port, Direction.GATEWAY, (FilterChain("http", http=manager, tls=tls),))
    return assemble((listener,), (table(*routes),), clusters, endpoints, version=version)


def outbound(
    *routes: Route,
    clusters: Sequence[Cluster | str] = (),
    endpoints: Mapping[str, Sequence[str | Endpoint]] | None = None,
    version: str = "1",
    http: Mapping[str, object] | None = None,
) -> Snapshot:
    """A sidecar's outbound side on 15001, one table."""
    manager = HttpManager(route_table="80", forward_client_cert="always_forward", **(http or {}))  # type: ignore[arg-type]
    listener = Listener(
        "virtualOutbound", 15001, Direction.OUTBOUND, (FilterChain("http", http=manager),), host="127.0.0.1"
    )
    return assemble((listener,), (table(*routes, name="80"),), clusters, endpoints, version=version)


def inbound(
    *routes: Route,
    clusters: Sequence[Cluster | str] = (),
    endpoints: Mapping[str, Sequence[str | Endpoint]] | None = None,
    permissive: bool = False,
    filters: tuple[FilterSpec, ...] = (),
    app_port: int = 9080,
    version: str = "1",
) -> Snapshot:
    """A sidecar's inbound side on 15006 for an application on ``app_port``: STRICT or PERMISSIVE."""
    manager = HttpManager(route_table="inbound|9080||", filters=filters)
    tls = DownstreamTls(trust_domains=("cluster.local",))
    match = FilterChainMatch(
        destination_port=app_port,
        transport_protocol="tls",
        application_protocols=ISTIO_ALPN if permissive else (),
    )
    chains = [FilterChain("mtls", match, tls, http=manager)]
    if permissive:
        plain = FilterChainMatch(destination_port=app_port, transport_protocol="raw_buffer")
        chains.append(FilterChain("plain", plain, http=manager))
    listener = Listener("virtualInbound", 15006, Direction.INBOUND, tuple(chains), default_destination_port=app_port)
    return assemble((listener,), (table(*routes, name="inbound|9080||"),), clusters, endpoints, version=version)


def tcp(
    *clusters: tuple[str, int],
    endpoints: Mapping[str, Sequence[str | Endpoint]],
    idle_timeout: float = 3600.0,
    more: Sequence[Cluster] = (),
) -> Snapshot:
    """A gateway that relays bytes on port 80."""
    chain = FilterChain("tcp", tcp=TcpProxy(clusters, idle_timeout))
    listener = Listener("0.0.0.0_80", 80, Direction.GATEWAY, (chain,))
    known = {c.name for c in more}
    names = [name for name, _ in clusters if name not in known]
    return assemble((listener,), (), [*names, *more], endpoints)


def assemble(
    listeners: Sequence[Listener],
    tables: Sequence[RouteTable],
    clusters: Sequence[Cluster | str],
    endpoints: Mapping[str, Sequence[str | Endpoint]] | None,
    *,
    version: str = "1",
) -> Snapshot:
    """The parts together; clusters named only are plain ones; so are those that only endpoints name."""
    made = [c if isinstance(c, Cluster) else Cluster(c) for c in clusters]
    known = {c.name for c in made}
    made += [Cluster(name) for name in endpoints or {} if name not in known]
    return Snapshot(
        version=version,
        listeners=tuple(listeners),
        route_tables=tuple(tables),
        clusters=tuple(made),
        endpoints=groups(endpoints or {}),
        telemetry=Telemetry(node=NODE, access_log=AccessLog(encoding="JSON")),
    )


MUTUAL = DownstreamTls(trust_domains=("cluster.local",))
PASSTHROUGH = Cluster("PassthroughCluster", Discovery.ORIGINAL_DESTINATION)
__all__ = [
    "ISTIO_ALPN", "MUTUAL", "NODE", "PASSTHROUGH", "UpstreamTls", "assemble", "cluster", "endpoint", "forward",
    "gateway", "groups", "inbound", "outbound", "route", "table", "tcp",
]  # fmt: skip
