"""The documents behind a decision: what the snapshot does not say of where things come from. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from meshd.control.compiler.clusters import rules_of
from meshd.control.compiler.gateway_servers import merged, servers_of
from meshd.control.compiler.names import BLACK_HOLE, PASSTHROUGH
from meshd.control.compiler.targets import targets_of
from meshd.control.hosts import covers, resolve
from meshd.explain import mutual
from meshd.explain.call import Call
from meshd.explain.decision import Decision, Seen, Verdict
from meshd.explain.left_out import Left, origins_of, without
from meshd.explain.viewpoint import Viewpoint
from meshd.explain.world import World
from meshd.net.address import is_ip_literal
from meshd.snapshot.cluster import Cluster
from meshd.snapshot.common import Direction
from meshd.snapshot.route import VirtualHost
from meshd.snapshot.snapshot import Snapshot


def with_background(world: World, view: Viewpoint, call: Call, decision: Decision) -> Decision:
    """A decision with the documents behind it: Gateway servers, rules left out, subsets, who decides about TLS."""
    snapshot = world.snapshot(view.scope)
    if view.mode is Direction.GATEWAY:
        decision = _after(decision, "listener", tuple(_servers(world, view, call, snapshot, decision)))
    if view.mode is Direction.INBOUND:
        decision = mutual.of_server(world, view.scope, call, decision)
    else:
        decision = _with_rules_left_out(world, view, call, snapshot, decision)
    cluster = next((each for each in snapshot.clusters if each.name == decision.cluster), None)
    if cluster is not None and view.mode is not Direction.INBOUND:
        decision = mutual.of_client(world, cluster, decision)
        decision = _after(decision, "cluster", tuple(_subset(world, view, cluster)))
    return world.places.locate(decision)


def unknown(world: World, view: Viewpoint, call: Call, decision: Decision) -> str:
    """What is missing where a sidecar lets a call pass as one that the mesh does not know; "" where nothing is."""
    if view.mode is not Direction.OUTBOUND or decision.cluster not in {PASSTHROUGH, BLACK_HOLE}:
        return ""
    if is_ip_literal(call.host):
        return ""
    name = resolve(call.host, view.scope.namespace, world.mesh.domain)
    short = f"{name}." if not name.endswith(world.mesh.domain) else name
    known = [each for each in world.mesh.services if covers(each.host, name) or _is_named(each.host, short, world)]
    if not known:
        more = "" if world.complete else ": give --config the file that has it, if there is one"
        return f"no Service or ServiceEntry here has the host {call.host}{more}"
    ports = sorted({port.number for service in known for port in service.ports})
    if call.port in ports:
        return ""
    return f"{known[0].host} has no port {call.port}, but {', '.join(map(str, ports)) or 'none at all'}"


def _is_named(host: str, short: str, world: World) -> bool:
    """Whether a service of the mesh may be called so: ``reviews.default.``, ``reviews.default.svc.``."""
    return host.endswith(world.mesh.domain) and host.startswith(short)


def _after(decision: Decision, at: str, more: tuple[Seen, ...]) -> Decision:
    """Steps put behind the last one of a kind."""
    last = max((index for index, step in enumerate(decision.steps) if step.at == at), default=-1)
    if not more or last < 0:
        return decision
    return attrs.evolve(decision, steps=(*decision.steps[: last + 1], *more, *decision.steps[last + 1 :]))


def _servers(world: World, view: Viewpoint, call: Call, snapshot: Snapshot, decision: Decision) -> Iterator[Seen]:
    """The servers of Gateways at the listener: those for the host first, or all when none is."""
    listener = next((each for each in snapshot.listeners if each.name == decision.listener), None)
    if listener is None:
        return
    scope = view.scope
    found = merged(servers_of(world.mesh.gateways, scope.labels, targets_of(world.mesh, scope)))
    placed = found.get((listener.host, listener.port), [])
    name = call.sni or call.host
    mine = [each for each in placed if any(covers(host, name) for _, host in each.hosts)]
    for each in mine or placed:
        resource, section = str(each.gateway), "servers"
        index = each.gateway.resource.servers.index(each.server)
        if each.gateway.gateway_api:
            (resource, index), section = each.gateway.http_origins[0], "listeners"
        hosts = ", ".join(each.server.hosts)
        port = each.server.port
        because = f"{port.protocol} {port.number} for {hosts}" + ("" if mine else f", and not for {name}")
        file = world.places.of(resource, ("spec", section, index))
        yield Seen("gateway", index, matched=bool(mine), because=because, name=resource, resource=resource, file=file)


def _with_rules_left_out(world: World, view: Viewpoint, call: Call, snapshot: Snapshot, decision: Decision) -> Decision:
    """The rules of VirtualServices that this proxy was not given, each at its place among those it was."""
    host = _virtual_host(snapshot, decision)
    if host is None:
        return decision
    left, strangers = without(world, view.scope, host, call.port)
    steps: list[Seen] = []
    pending = list(left)
    for step in decision.steps:
        if step.at == "route" and step.resource:
            earlier = [each for each in pending if _is_before(world, each, step)]
            steps += [each.seen for each in earlier]
            pending = [each for each in pending if each not in earlier]
        steps.append(step)
    if decision.route is None and decision.verdict is Verdict.NO_ROUTE:
        steps += [each.seen for each in pending]
    found = attrs.evolve(decision, steps=tuple(steps))
    return _after(found, "virtual_host", strangers)


def _is_before(world: World, left: Left, step: Seen) -> bool:
    """Whether a rule left out stands before the one of a step, in the same VirtualService."""
    for rule in world.mesh.virtual_services:
        if str(rule) == left.root:
            origins = origins_of(rule)
            at = (step.resource, step.rule)
            return at in origins and left.position < origins.index(at)
    return False


def _virtual_host(snapshot: Snapshot, decision: Decision) -> VirtualHost | None:
    tables = (table for table in snapshot.route_tables if table.name == decision.route_config)
    hosts = (host for table in tables for host in table.virtual_hosts if host.name == decision.virtual_host)
    return next(hosts, None)


def _subset(world: World, view: Viewpoint, cluster: Cluster) -> Iterator[Seen]:
    """The DestinationRule that defines a cluster's subset, or those that say how to call its host."""
    service = world.service(cluster, view.scope)
    if not cluster.subset or service is None:
        for resource in cluster.rules:
            yield Seen("settings", -1, matched=True, because="", name=resource, resource=resource)
        return
    rules = world.compilation(view.scope).destination_rules(service)
    subset = next((each for each in rules_of(rules).subsets if each.name == cluster.subset), None)
    for rule in rules:
        if subset is not None and subset in rule.resource.subsets:
            resource = str(rule)
            index = rule.resource.subsets.index(subset)
            labels = ", ".join(f"{key}={value}" for key, value in subset.labels.items()) or "all labels"
            file = world.places.of(resource, ("spec", "subsets", index))
            yield Seen("subset", index, matched=True, because=labels, name=cluster.subset, resource=resource, file=file)
            return
