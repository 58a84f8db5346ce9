"""A sidecar's inbound side: its application's ports, who may reach them, and how. Pure.

Source: Istio's ``pilot/pkg/networking/core/listener_inbound.go`` and
``pilot/pkg/security/authn``. One listener, ``virtualInbound``; a connection's
chain is chosen by the application's port it is for, by TLS or not, by the
client's ALPN, and, where a port's protocol is not said, by its first bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from meshd.api.security import MutualTLSMode
from meshd.control.compiler import names, retries
from meshd.control.compiler.peer_authn import Policy, mode_at
from meshd.control.hosts import is_ip
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.control.services import Port, Protocol, Service, precedence
from meshd.control.workloads import app_port, selects
from meshd.snapshot.cluster import Cluster, Discovery, Endpoint, EndpointGroup
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import DownstreamTls, FilterChain, FilterChainMatch, HttpManager, Listener, TcpProxy
from meshd.snapshot.policy import Authorization
from meshd.snapshot.route import Forward, Route, RouteMatch, RouteTable, VirtualHost, WeightedCluster

MESH_HTTP: Final = ("istio-http/1.0", "istio-http/1.1", "istio-h2")
MESH_BYTES: Final = ("istio", "istio-peer-exchange")
MESH_ALPN: Final = (*MESH_BYTES, *MESH_HTTP)
"""What a sidecar offers by ALPN: how mesh mTLS is told from the application's own TLS."""
PLAIN_HTTP: Final = ("http/1.1", "h2c")
"""What sniffing finds."""
SERVED_ALPN: Final = ("h2", "http/1.1")

TLS: Final = "tls"
PLAIN: Final = "raw_buffer"


@attrs.frozen
class Guard:
    """What stands before every port: peer authentication and authorization, for requests and for bytes."""

    policies: tuple[Policy, ...]
    http: Authorization | None
    tcp: Authorization | None


@attrs.frozen
class _Served:
    """One port of the application. ``port`` 0 stands for all that no other entry names."""

    port: int
    protocol: Protocol
    service: str = ""

    @property
    def cluster(self) -> str:
        return names.inbound_cluster(self.port) if self.port else names.INBOUND_PASSTHROUGH

    @property
    def label(self) -> str:
        return names.listener("", self.port) if self.port else names.VIRTUAL_INBOUND


@attrs.frozen
class Inbound:
    """The inbound half of a snapshot."""

    listener: Listener
    tables: tuple[RouteTable, ...]
    clusters: tuple[Cluster, ...]
    endpoints: tuple[EndpointGroup, ...]


def served_ports(mesh: Mesh, scope: Scope) -> tuple[tuple[int, Protocol, str], ...]:
    """The application's ports: number, protocol and the service they belong to, "" when there is none.

    A port of several services has the protocol that is said, then the word of
    the first by precedence.
    """
    claims: dict[int, list[tuple[Service, Port]]] = {port: [] for port in scope.app_ports}
    for service in sorted(mesh.services, key=precedence):
        for port in service.ports:
            for number in _claimed(mesh, scope, service, port):
                claims.setdefault(number, []).append((service, port))
    found = []
    for number, claimed in sorted(claims.items()):
        if not claimed:
            found.append((number, Protocol.AUTO, ""))
            continue
        service, port = min(claimed, key=lambda claim: claim[1].protocol is Protocol.AUTO)
        found.append((number, port.protocol, service.host))
    return tuple(found)


def _claimed(mesh: Mesh, scope: Scope, service: Service, port: Port) -> set[int]:
    """The ports of this workload that serve a service's port, by its selector and by its endpoints."""
    if service.namespace != scope.namespace or service.external:
        return set()
    found = set()
    if service.selector and selects(service.selector, dict(scope.labels)):
        served = app_port(service, port, {}, scope.app_ports)
        if served is not None and (not scope.app_ports or served in scope.app_ports):
            found.add(served)
    if scope.address:
        for backend in dict(mesh.backends[service.host, service.namespace]).get(port.number, ()):
            mine = not scope.app_ports or backend.app_port in scope.app_ports
            if backend.host == scope.address and mine:
                found.add(backend.app_port)
    return found


def compile_inbound(
    ports: tuple[tuple[int, Protocol, str], ...], guard: Guard, scope: Scope, set_ports: tuple[int, ...]
) -> Inbound:
    """Everything inbound.

    Args:
        ports: What ``served_ports`` gave.
        guard: Who may come in.
        scope: The proxy.
        set_ports: Ports that a policy names; those that are not served are passed through by its word.
    """
    served = [_Served(number, protocol, service) for number, protocol, service in ports]
    known = {each.port for each in served}
    chains = [chain for each in served for chain in _chains(each, guard, scope, each.port)]
    for number in set_ports:
        if number not in known:
            chains += _chains(_Served(0, Protocol.AUTO), guard, scope, number)
    chains += _chains(_Served(0, Protocol.AUTO), guard, scope, 0)
    chains.append(_black_hole())
    listener = Listener(
        name=names.VIRTUAL_INBOUND,
        port=names.INBOUND_PORT,
        direction=Direction.INBOUND,
        chains=tuple(chains),
        default_destination_port=scope.app_ports[0] if scope.app_ports else (served[0].port if served else 0),
    )
    readable = [each for each in (*served, _Served(0, Protocol.AUTO)) if each.protocol.http or _sniffed(each)]
    return Inbound(
        listener=listener,
        tables=tuple(_table(each) for each in readable),
        clusters=(*(_cluster(each, scope.app_host) for each in served), _passthrough()),
        endpoints=tuple(EndpointGroup(each.cluster, (Endpoint(scope.app_host, each.port),)) for each in served),
    )


def _sniffed(served: _Served) -> bool:
    return served.protocol is Protocol.AUTO


def _chains(served: _Served, guard: Guard, scope: Scope, port: int) -> Iterator[FilterChain]:
    """The chains of one port: the mesh's TLS, plaintext, and TLS that is the application's own."""
    mode = mode_at(guard.policies, scope.namespace, scope.labels, port)
    label = names.listener("", port) if port else served.label
    if mode is not MutualTLSMode.DISABLE:
        tls = DownstreamTls(alpn=SERVED_ALPN, trust_domains=(scope.trust_domain,))
        strict = mode is MutualTLSMode.STRICT
        yield from _mesh_chains(served, guard, f"{label}-mtls", port, tls, strict=strict)
        if strict:
            return
        # TLS without the mesh's ALPN is the application's own.
        opaque = FilterChainMatch(destination_port=port, transport_protocol=TLS)
        yield _tcp(served, guard, f"{label}-tls", opaque)
        plain = FilterChainMatch(destination_port=port, transport_protocol=PLAIN)
    else:
        plain = FilterChainMatch(destination_port=port)
    if served.protocol.http:
        yield _http(served, guard, label, plain)
        return
    if _sniffed(served):
        yield _http(served, guard, f"{label}-http", attrs.evolve(plain, application_protocols=PLAIN_HTTP))
    yield _tcp(served, guard, label, plain)


def _mesh_chains(
    served: _Served, guard: Guard, label: str, port: int, tls: DownstreamTls, *, strict: bool
) -> Iterator[FilterChain]:
    """Chains that terminate mesh mTLS; where nothing else is let in, any ALPN will do."""
    match = FilterChainMatch(destination_port=port, transport_protocol=TLS)
    offered: tuple[str, ...] = MESH_ALPN
    if _sniffed(served):
        http = attrs.evolve(match, application_protocols=MESH_HTTP)
        yield attrs.evolve(_http(served, guard, f"{label}-http", http), tls=tls)
        offered = MESH_BYTES
    rest = match if strict else attrs.evolve(match, application_protocols=offered)
    chain = _http if served.protocol.http else _tcp
    yield attrs.evolve(chain(served, guard, label, rest), tls=tls)


def _http(served: _Served, guard: Guard, name: str, match: FilterChainMatch) -> FilterChain:
    filters = () if guard.http is None else (guard.http,)
    return FilterChain(name, match, http=HttpManager(route_table=served.cluster, filters=filters))


def _tcp(served: _Served, guard: Guard, name: str, match: FilterChainMatch) -> FilterChain:
    filters = () if guard.tcp is None else (guard.tcp,)
    return FilterChain(name, match, filters=filters, tcp=TcpProxy(((served.cluster, 1),)))


def _black_hole() -> FilterChain:
    """A connection that says it is for this very listener would be passed to itself for ever."""
    match = FilterChainMatch(destination_port=names.INBOUND_PORT)
    return FilterChain(f"{names.VIRTUAL_INBOUND}-blackhole", match, tcp=TcpProxy(((names.BLACK_HOLE, 1),)))


def _table(served: _Served) -> RouteTable:
    retry = retries.inbound(None, grpc=served.protocol.grpc)
    forward = Forward((WeightedCluster(served.cluster),), retry=retry)
    host = VirtualHost(
        name=f"inbound|http|{served.port}",
        domains=("*",),
        routes=(Route(names.DEFAULT_ROUTE, RouteMatch(), forward),),
        service=served.service,
    )
    return RouteTable(served.cluster, (host,))


def _cluster(served: _Served, host: str) -> Cluster:
    discovery = Discovery.ENDPOINTS if is_ip(host) else Discovery.DNS
    return Cluster(names.inbound_cluster(served.port), discovery, port=served.port, http2=served.protocol.http2)


def _passthrough() -> Cluster:
    return Cluster(names.INBOUND_PASSTHROUGH, discovery=Discovery.ORIGINAL_DESTINATION)
