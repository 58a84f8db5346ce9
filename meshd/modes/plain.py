"""A sidecar's configuration when nobody configures it: let everything through. Pure.

What comes in goes to the application; what goes out goes where its Host says.
No identity, no mutual TLS, no policy.
"""

from __future__ import annotations

from meshd.net.address import Address, is_ip_literal
from meshd.snapshot.cluster import Cluster, Discovery, Endpoint, EndpointGroup, Peer
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, FilterChainMatch, HttpManager, Listener, TcpProxy
from meshd.snapshot.match import HTTP_PROXY_TABLE
from meshd.snapshot.route import Forward, Route, RouteMatch, RouteTable, VirtualHost, WeightedCluster
from meshd.snapshot.snapshot import Snapshot, Telemetry

INBOUND = "virtualInbound"
OUTBOUND = "virtualOutbound"
PASSTHROUGH = "PassthroughCluster"
HTTP = FilterChainMatch(application_protocols=("http/1.1", "h2c"))


def plain_snapshot(upstream: Address | None, node: Peer) -> Snapshot:
    """Everything through.

    Args:
        upstream: The application; None takes nothing in.
        node: The workload, for metrics.
    """
    clusters = [Cluster(PASSTHROUGH, Discovery.ORIGINAL_DESTINATION)]
    listeners = [_listener(OUTBOUND, 15001, Direction.OUTBOUND, PASSTHROUGH, _outbound_manager())]
    tables = [_table(HTTP_PROXY_TABLE, PASSTHROUGH)]
    endpoints: list[EndpointGroup] = []
    if upstream is not None:
        name = f"inbound|{upstream.port}||"
        clusters.append(_application(name, upstream))
        endpoints.append(EndpointGroup(name, (Endpoint(upstream.host, upstream.port),)))
        tables.append(_table(name, name))
        manager = HttpManager(route_table=name)
        listeners.append(_listener(INBOUND, 15006, Direction.INBOUND, name, manager, port=upstream.port))
    return Snapshot(
        version="plain",
        listeners=tuple(sorted(listeners, key=lambda each: each.name)),
        route_tables=tuple(sorted(tables, key=lambda each: each.name)),
        clusters=tuple(sorted(clusters, key=lambda each: each.name)),
        endpoints=tuple(endpoints),
        telemetry=Telemetry(node=node),
    )


def _application(name: str, upstream: Address) -> Cluster:
    discovery = Discovery.ENDPOINTS if is_ip_literal(upstream.host) else Discovery.DNS
    return Cluster(name, discovery, port=upstream.port)


def _outbound_manager() -> HttpManager:
    return HttpManager(route_table=HTTP_PROXY_TABLE, route_by_port=True)


def _table(name: str, cluster: str) -> RouteTable:
    route = Route("default", RouteMatch(), Forward((WeightedCluster(cluster),)))
    return RouteTable(name, (VirtualHost(name, ("*",), (route,)),))


def _listener(
    name: str, mesh_port: int, direction: Direction, cluster: str, manager: HttpManager, *, port: int = 0
) -> Listener:
    http = FilterChain(f"{name}-http", HTTP, http=manager)
    opaque = FilterChain(f"{name}-catchall-tcp", tcp=TcpProxy(((cluster, 1),)))
    return Listener(name, mesh_port, direction, (http, opaque), default_destination_port=port)
