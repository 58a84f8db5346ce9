"""A sidecar's outbound side: every service it sees, by port and host. Pure.

One listener is bound, ``virtualOutbound``, and those that configuration gives a
port of their own; the others exist for connections that were captured on their
way to a service.
"""

from __future__ import annotations

import attrs

from meshd.control.compiler import names
from meshd.control.compiler.outbound_listeners import compile_listeners
from meshd.control.compiler.virtual_hosts import compile_tables
from meshd.control.compiler.world import World
from meshd.control.sidecar_scope import SidecarScope
from meshd.snapshot.cluster import Cluster, Discovery, EndpointGroup
from meshd.snapshot.listener import Listener
from meshd.snapshot.route import RouteTable


@attrs.frozen
class Outbound:
    """The outbound half of a snapshot."""

    listeners: tuple[Listener, ...]
    tables: tuple[RouteTable, ...]
    clusters: tuple[Cluster, ...]
    endpoints: tuple[EndpointGroup, ...]


def compile_outbound(world: World, scope: SidecarScope) -> Outbound:
    """Everything outbound of a proxy with this view."""
    listening = compile_listeners(world, scope)
    services = [service for service in world.services.values() if service.host not in world.aliases]
    return Outbound(
        listeners=listening.listeners,
        tables=tuple(compile_tables(world, scope, listening.sniffed)),
        clusters=tuple(cluster for service in services for cluster in world.clusters(service)),
        endpoints=tuple(group for service in services for group in world.endpoints(service)),
    )


def special_clusters() -> tuple[Cluster, ...]:
    """Where everything else goes."""
    return (
        Cluster(names.BLACK_HOLE),
        Cluster(names.PASSTHROUGH, discovery=Discovery.ORIGINAL_DESTINATION),
    )
