"""Compile: a mesh and a proxy's scope in, its snapshot out. Pure.

``compile_snapshot`` puts the parts together; each part is a module whose
functions take only what they read, because their arguments are their cache key
(``memo``). Nothing compiled depends on files, lines or the order of documents.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from meshd.control.compiler import authz, names
from meshd.control.compiler.gateway import compile_gateway
from meshd.control.compiler.inbound import compile_inbound
from meshd.control.compiler.inbound_chains import Guard
from meshd.control.compiler.memo import Memo
from meshd.control.compiler.outbound import compile_outbound, special_clusters
from meshd.control.compiler.own_ports import bindable
from meshd.control.compiler.secrets import named_by, secret_refs
from meshd.control.compiler.world import World, by_cluster, by_name
from meshd.control.mesh import Mesh
from meshd.control.scope import PROXY_PORTS, Scope, peer_of
from meshd.control.sidecar_scope import SidecarScope
from meshd.snapshot.cluster import Cluster, EndpointGroup
from meshd.snapshot.listener import Listener
from meshd.snapshot.route import RouteTable
from meshd.snapshot.snapshot import Snapshot, Telemetry
from meshd.snapshot.wire import encode

__all__ = ["Memo", "compile_snapshot"]

OWN_LISTENERS = frozenset({names.VIRTUAL_INBOUND, names.VIRTUAL_OUTBOUND})


def compile_snapshot(mesh: Mesh, scope: Scope, memo: Memo | None = None) -> Snapshot:
    """Everything one proxy must do.

    Args:
        mesh: All documents.
        scope: Whose configuration it is.
        memo: What earlier compilations made, for other proxies or before the
            last change; give the same one every time and unchanged parts cost
            nothing.

    Returns:
        The snapshot with its version set. Its bytes: ``encode(snapshot, memo.encoded)``.
    """
    memo = memo or Memo()
    memo.turn_to(mesh)
    world = World(mesh, scope, memo)
    snapshot = _gateway(world) if world.sidecar is None else _sidecar(world, world.sidecar)
    return attrs.evolve(snapshot, version=encode(snapshot, memo.encoded).version)


def _sidecar(world: World, view: SidecarScope) -> Snapshot:
    inbound = compile_inbound(world, _guard(world), view.sidecar)
    outbound = compile_outbound(world, view)
    return _assemble(
        world,
        listeners=bindable((*inbound.listeners, *outbound.listeners), OWN_LISTENERS, PROXY_PORTS),
        tables=(*inbound.tables, *outbound.tables),
        clusters=(*inbound.clusters, *outbound.clusters, *special_clusters()),
        endpoints=(*inbound.endpoints, *outbound.endpoints),
    )


def _gateway(world: World) -> Snapshot:
    gateway = compile_gateway(world, _guard(world))
    return _assemble(
        world,
        listeners=gateway.listeners,
        tables=gateway.tables,
        clusters=(*gateway.clusters, *special_clusters()),
        endpoints=gateway.endpoints,
    )


def _guard(world: World) -> Guard:
    """Who may come in, for requests and for connections whose requests are not seen."""
    scope, mesh = world.scope, world.mesh
    place = (scope.namespace, scope.labels, mesh.root_namespace)
    policies = authz.concerning(mesh.authorization_policies, *place)
    tokens = authz.verifies_tokens(mesh.request_authentications, *place)
    domains = (scope.trust_domain, *mesh.config.trustDomainAliases)
    return Guard(
        policies=world.policies(scope.namespace),
        http=authz.compile_authorization(policies, domains, tcp=False, tokens=tokens),
        tcp=authz.compile_authorization(policies, domains, tcp=True, tokens=tokens),
    )


def _assemble(
    world: World,
    *,
    listeners: Iterable[Listener],
    tables: Iterable[RouteTable],
    clusters: Iterable[Cluster],
    endpoints: Iterable[EndpointGroup],
) -> Snapshot:
    """Put everything in canonical order."""
    scope = world.scope
    ordered = tuple(sorted(listeners, key=lambda listener: listener.name))
    known = by_name(clusters)
    named = named_by(ordered) | {each.tls.credential for each in known if each.tls is not None}
    node = peer_of(dict(scope.labels), workload=scope.name, namespace=scope.namespace, principal=scope.identity)
    return Snapshot(
        listeners=ordered,
        route_tables=tuple(sorted(tables, key=lambda table: table.name)),
        clusters=known,
        endpoints=by_cluster(endpoints),
        telemetry=Telemetry(node=node),
        secrets=secret_refs(named, scope.namespace, world.mesh.secrets),
        trust_domain=scope.trust_domain,
    )
