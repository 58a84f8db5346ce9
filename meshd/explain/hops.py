"""Hop after hop: where a call that one proxy lets go is decided upon next. Pure.

A client's sidecar sends to a service; behind it are workloads, each with a
sidecar of its own, or a gateway, which send on in turn. What the first proxy
made of the request is what the next one gets.
"""

from __future__ import annotations

from typing import Final

import attrs

from meshd.control.analysis.pod_facts import Known
from meshd.control.scope import Scope
from meshd.control.services import Port, Service, Source
from meshd.control.workloads import Backend
from meshd.explain.background import unknown, with_background
from meshd.explain.call import MESH_ALPN, WEB_ALPN, Call, Protocol, Tls
from meshd.explain.decide import decide
from meshd.explain.decision import SERVED, Decision, Verdict
from meshd.explain.viewpoint import Viewpoint, account_of, address_of, has_sidecar, is_gateway
from meshd.explain.world import World
from meshd.net.address import Address
from meshd.snapshot.cluster import Cluster, TlsMode
from meshd.snapshot.common import Direction

MOST_HOPS: Final = 5
"""A client, an egress gateway, an east-west gateway, a server: more is a circle."""

MOST_SERVERS: Final = 50
"""Different workloads behind one service that are asked; they differ by version, seldom in more."""


@attrs.frozen
class Hop:
    """One proxy and what it decides. ``notes`` say what was assumed, and that others behind the same service differ."""

    view: Viewpoint
    call: Call
    decision: Decision
    notes: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """All notes in a line, "" when there are none."""
        return "; ".join(self.notes)


@attrs.frozen
class Server:
    """A workload that may get the call."""

    name: str
    namespace: str
    labels: tuple[tuple[str, str], ...]
    account: str
    address: str
    port: int
    sidecar: bool
    app_ports: tuple[int, ...] = ()
    """Set where a service names the port: only the workload's container says its number."""


def hop(world: World, view: Viewpoint, call: Call) -> Hop:
    """What one proxy decides."""
    scope = view.scope
    decision = decide(world.snapshot(scope), view.mode, call, lambda cluster: world.endpoints_known(cluster, scope))
    missing = unknown(world, view, call, decision)
    notes = (*view.notes, missing) if missing else view.notes
    return Hop(view, call, with_background(world, view, call, decision), notes)


def journey(world: World, view: Viewpoint, call: Call, *, further: bool = True) -> tuple[Hop, ...]:
    """The hops of a call, the asked proxy first; one only, unless ``further``."""
    hops = [hop(world, view, call)]
    while further and len(hops) < MOST_HOPS and hops[-1].view.mode is not Direction.INBOUND:
        found = _next(world, hops[-1])
        if found is None:
            break
        hops.append(found)
    return tuple(hops)


def _next(world: World, last: Hop) -> Hop | None:
    """The hop after one that was let go; the worst of the workloads there, with a note when they differ."""
    cluster = _cluster(world, last)
    if last.decision.verdict is not Verdict.ALLOW or cluster is None or cluster.external:
        return None
    service = world.service(cluster, last.view.scope)
    if service is None or service.source is not Source.WORKLOADS:
        return None
    found: dict[tuple[object, ...], Hop] = {}
    servers = [each for each in _servers(world, last, cluster, service) if each.sidecar][:MOST_SERVERS]
    for server in servers:
        key = (server.namespace, server.labels, server.account, server.port)
        if key not in found:
            found[key] = _arrive(world, last, cluster, server)
    if not found:
        return None
    hops = list(found.values())
    worst = next((each for each in hops if each.decision.verdict not in SERVED), hops[0])
    alike = sum((each.decision.verdict, each.decision.status) == _outcome(worst) for each in hops)
    if alike == len(hops):
        return worst
    note = f"{alike} of the {len(hops)} workloads behind {service.host} answer so; the others do not"
    return attrs.evolve(worst, notes=(*worst.notes, note))


def _outcome(hop: Hop) -> tuple[Verdict, int]:
    return hop.decision.verdict, hop.decision.status


def _cluster(world: World, last: Hop) -> Cluster | None:
    clusters = world.snapshot(last.view.scope).clusters
    return next((each for each in clusters if each.name == last.decision.cluster), None)


def _servers(world: World, last: Hop, cluster: Cluster, service: Service) -> list[Server]:
    """The workloads behind a cluster: those with an address, else those that templates will make."""
    port = service.port(cluster.port)
    listed = dict(world.mesh.backends.get((service.host, service.namespace), ())).get(cluster.port, ())
    wanted = set(last.decision.endpoints)
    backends = [each for each in listed if str(Address(each.host, each.port)) in wanted]
    if any(each.labels or each.mtls for each in backends):
        return [_of_backend(each) for each in backends]
    labels = world.subset_labels(service, cluster.subset, last.view.scope) or ()
    return [_of_known(each, port) for each in world.behind(service, labels) if port is not None]


def _of_backend(backend: Backend) -> Server:
    return Server(
        backend.name or str(Address(backend.host, backend.port)),
        backend.namespace,
        tuple(backend.labels.items()),
        backend.service_account,
        backend.host,
        backend.app_port,
        sidecar=backend.mtls,
    )


def _of_known(known: Known, port: Port) -> Server:
    number = port.target if isinstance(port.target, int) else _named_port(known, port)
    return Server(
        known.name,
        known.namespace,
        tuple(known.labels.items()),
        account_of(known),
        address_of(known),
        number,
        sidecar=has_sidecar(known),
        app_ports=(number,) if isinstance(port.target, str) else (),
    )


def _named_port(known: Known, port: Port) -> int:
    for container in known.containers:
        for each in container.get("ports") or ():
            if each.get("name") == port.target and isinstance(each.get("containerPort"), int):
                return int(each["containerPort"])
    return port.number


def _arrive(world: World, last: Hop, cluster: Cluster, server: Server) -> Hop:
    gateway = is_gateway(world, dict(server.labels))
    scope = Scope(
        kind="gateway" if gateway else "sidecar",
        namespace=server.namespace,
        service_account=server.account or "default",
        name=server.name,
        labels=server.labels,
        address=server.address,
        app_ports=() if gateway else server.app_ports,
        trust_domain=last.view.scope.trust_domain,
    )
    mode = Direction.GATEWAY if gateway else Direction.INBOUND
    name = f"{server.namespace}/{server.name}"
    return hop(world, Viewpoint(mode, scope, name), _carried(last, cluster, server, mode))


def _carried(last: Hop, cluster: Cluster, server: Server, mode: Direction) -> Call:
    """The call as the last proxy sends it on."""
    call, decision, tls = last.call, last.decision, cluster.tls
    mesh = decision.mtls.mode == "mutual" and tls is not None and tls.mode in {TlsMode.AUTO, TlsMode.ISTIO_MUTUAL}
    secured = Tls.MTLS if mesh else Tls.PLAINTEXT if tls is None or decision.mtls.mode == "disable" else Tls.TLS
    read = Protocol.HTTP2 if cluster.http2 else Protocol.HTTP
    protocol = Protocol.TCP if call.protocol is Protocol.TCP else read
    offered = () if secured is Tls.PLAINTEXT else (MESH_ALPN if mesh else WEB_ALPN)[protocol]
    passed_on = not decision.route_config and call.tls is not Tls.PLAINTEXT and secured is Tls.PLAINTEXT
    if passed_on:
        # Bytes of somebody else's TLS: the server sees the client's own handshake.
        secured, offered = call.tls, call.alpn
    return attrs.evolve(
        call,
        authority=decision.rewritten.host or call.authority,
        target=decision.rewritten.path or call.target,
        headers=decision.headers or call.headers,
        address=server.address,
        port=server.port if mode is Direction.INBOUND else _gateway_port(cluster, server),
        protocol=protocol,
        tls=secured,
        sni=call.sni if passed_on else tls.sni if tls is not None and secured is not Tls.PLAINTEXT else "",
        alpn=offered,
        peer=last.view.scope.identity if mesh else call.peer if passed_on else "",
        client=last.view.scope.address,
    )


def _gateway_port(cluster: Cluster, server: Server) -> int:
    return server.port or cluster.port
