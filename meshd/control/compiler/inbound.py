"""A sidecar's inbound side: its application's ports, who may reach them, and how. Pure.

Source: Istio's ``pilot/pkg/networking/core/listener_inbound.go`` and
``pilot/pkg/security/authn``. One listener, ``virtualInbound``, has the chains of
all ports; a Sidecar's ingress listener that is not captured has one of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from meshd.api.networking.sidecar import Sidecar
from meshd.api.networking.virtual_service import HTTPRetry
from meshd.control.compiler import names, retries
from meshd.control.compiler.clusters import limits
from meshd.control.compiler.edge import Edge
from meshd.control.compiler.inbound_chains import ChainMaker, Guard
from meshd.control.compiler.inbound_ports import UNIX, Served, destination_of, served_ports
from meshd.control.compiler.peer_authn import ports_set
from meshd.control.compiler.world import World
from meshd.control.hosts import is_ip
from meshd.control.owned import Owned
from meshd.control.services import Protocol
from meshd.snapshot.cluster import Cluster, Discovery, Endpoint, EndpointGroup
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, FilterChainMatch, Listener, TcpProxy
from meshd.snapshot.route import Forward, Route, RouteMatch, RouteTable, VirtualHost, WeightedCluster

PASSED_THROUGH = Served(0, Protocol.AUTO)
"""Every port that is not the application's by any word of the mesh."""


@attrs.frozen
class Inbound:
    """The inbound half of a snapshot."""

    listeners: tuple[Listener, ...]
    tables: tuple[RouteTable, ...]
    clusters: tuple[Cluster, ...]
    endpoints: tuple[EndpointGroup, ...]


def compile_inbound(world: World, guard: Guard, sidecar: Owned[Sidecar] | None = None) -> Inbound:
    """Everything inbound.

    Args:
        world: The mesh, and the proxy.
        guard: Who may come in.
        sidecar: The Sidecar that holds for the proxy, if any.
    """
    scope, config = world.scope, world.mesh.config
    edge = Edge.of(config)
    served = served_ports(world, sidecar)
    maker = ChainMaker(guard, scope, edge)
    # A policy may speak of ports that are not served: those are passed through by its word.
    set_ports = ports_set(guard.policies, scope.namespace, scope.labels)
    passed = [number for number in set_ports if number not in {each.port for each in served}]
    virtual = Listener(
        name=names.VIRTUAL_INBOUND,
        port=edge.inbound_port,
        direction=Direction.INBOUND,
        chains=(
            *(chain for each in served if not each.bound for chain in maker.chains(each, each.port)),
            *(chain for number in (*passed, 0) for chain in maker.chains(PASSED_THROUGH, number)),
            _black_hole(edge.inbound_port),
        ),
        detection_timeout=edge.detection_timeout,
        default_destination_port=destination_of(served, scope.app_ports),
    )
    own = tuple(_own_listener(each, maker) for each in served if each.bound)
    readable = [each for each in (*served, PASSED_THROUGH) if each.protocol.http or each.protocol is Protocol.AUTO]
    return Inbound(
        listeners=(virtual, *own),
        tables=tuple(_table(each, config.defaultInboundHttpRetryPolicy) for each in readable),
        clusters=(*map(_cluster, served), _passthrough()),
        endpoints=tuple(_endpoints(served)),
    )


def _own_listener(served: Served, maker: ChainMaker) -> Listener:
    """A port with a socket of its own (``captureMode: NONE``)."""
    return Listener(
        name=served.tcp_chain,
        port=served.port,
        direction=Direction.INBOUND,
        chains=maker.chains(served, served.port),
        host="" if served.bind == "0.0.0.0" else served.bind,  # noqa: S104 - compared, not bound
        detection_timeout=maker.edge.detection_timeout,
        default_destination_port=served.port,
    )


def _black_hole(port: int) -> FilterChain:
    """A connection that says it is for this very listener would be passed to itself for ever."""
    match = FilterChainMatch(destination_port=port)
    return FilterChain(names.INBOUND_BLACK_HOLE, match, tcp=TcpProxy(((names.BLACK_HOLE, 1),)))


def _table(served: Served, retry_policy: HTTPRetry | None) -> RouteTable:
    retry = retries.inbound(retry_policy, grpc=served.protocol.grpc)
    forward = Forward((WeightedCluster(served.cluster),), retry=retry)
    host = VirtualHost(
        name=f"inbound|http|{served.service_port}",
        domains=("*",),
        routes=(Route(names.DEFAULT_ROUTE, RouteMatch(), forward),),
        service=served.service,
    )
    return RouteTable(served.cluster, (host,))


def _cluster(served: Served) -> Cluster:
    discovery = Discovery.ENDPOINTS if is_ip(served.host) or served.host.startswith(UNIX) else Discovery.DNS
    return Cluster(served.cluster, discovery, port=served.port, http2=served.protocol.http2, limits=limits(served.pool))


def _endpoints(served: Iterable[Served]) -> Iterable[EndpointGroup]:
    """Where the application is. Unix sockets cannot be reached yet: such a port has nobody behind it."""
    for each in served:
        reached = () if each.host.startswith(UNIX) else (Endpoint(each.host, each.app_port),)
        yield EndpointGroup(each.cluster, reached)


def _passthrough() -> Cluster:
    return Cluster(names.INBOUND_PASSTHROUGH, discovery=Discovery.ORIGINAL_DESTINATION)
