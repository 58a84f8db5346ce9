"""A sidecar's configuration when nobody configures it: let everything through. Pure.

What comes in goes to the application; what goes out goes where its Host says.
Captured connections go where they were going. No identity, no mutual TLS, no
policy.
"""

from __future__ import annotations

import attrs

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
PASSTHROUGH_INBOUND = "InboundPassthroughCluster"


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
        clusters += [_application(name, upstream), Cluster(PASSTHROUGH_INBOUND, Discovery.ORIGINAL_DESTINATION)]
        endpoints.append(EndpointGroup(name, (Endpoint(upstream.host, upstream.port),)))
        tables.append(_table(name, name))
        manager = HttpManager(route_table=name)
        inbound = _listener(INBOUND, 15006, Direction.INBOUND, name, manager, port=upstream.port)
        rest = FilterChain(f"{INBOUND}-passthrough", tcp=TcpProxy(((PASSTHROUGH_INBOUND, 1),)))
        listeners.append(attrs.evolve(inbound, default_chain=rest))
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
    # Only at the port that is meant for us do we look: a server that was called elsewhere may speak first.
    here = FilterChainMatch(destination_port=port or mesh_port)
    http = FilterChain(f"{name}-http", attrs.evolve(here, application_protocols=("http/1.1", "h2c")), http=manager)
    opaque = TcpProxy(((cluster, 1),))
    return Listener(
        name,
        mesh_port,
        direction,
        (http, FilterChain(f"{name}-tcp", here, tcp=opaque)),
        default_destination_port=port,
        default_chain=FilterChain(f"{name}-catchall-tcp", tcp=opaque),
    )
