"""The filter chains of a port by protocol and mutual TLS: who is let in how. Pure.

Source: Istio's ``pilot/pkg/networking/core/listener_inbound.go`` and its table of
filter chain matches. A connection's chain is chosen by TLS or not, by the
client's ALPN, and, where a port's protocol is not said, by its first bytes.
Several chains of a port have one name, as in Istio.
"""

from __future__ import annotations

from typing import Final

import attrs

from meshd.api.security import MutualTLSMode
from meshd.control.compiler.edge import Edge
from meshd.control.compiler.gateway_tls import downstream_tls
from meshd.control.compiler.inbound_ports import Served
from meshd.control.compiler.peer_authn import Policy, mode_at
from meshd.control.scope import Scope
from meshd.control.services import Protocol
from meshd.snapshot.listener import DownstreamTls, FilterChain, FilterChainMatch, TcpProxy
from meshd.snapshot.policy import Authorization

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
class _Way:
    """One way in: TLS or not, what ALPN or sniffing says, what is then spoken, and whether mesh mTLS ends here."""

    transport: str
    offered: tuple[str, ...]
    http: bool
    mesh: bool = False


_STRICT: Final = MutualTLSMode.STRICT
_PERMISSIVE: Final = MutualTLSMode.PERMISSIVE
_DISABLE: Final = MutualTLSMode.DISABLE

HTTP_WAYS: Final = {
    _STRICT: (_Way(TLS, (), http=True, mesh=True),),
    # Other TLS than the mesh's has no way in: the port is said to speak HTTP.
    _PERMISSIVE: (_Way(TLS, MESH_ALPN, http=True, mesh=True), _Way(PLAIN, (), http=True)),
    _DISABLE: (_Way("", (), http=True),),
}
TCP_WAYS: Final = {
    _STRICT: (_Way(TLS, (), http=False, mesh=True),),
    # TLS without the mesh's ALPN is the application's own.
    _PERMISSIVE: (
        _Way(TLS, MESH_ALPN, http=False, mesh=True),
        _Way(TLS, (), http=False),
        _Way(PLAIN, (), http=False),
    ),
    _DISABLE: (_Way("", (), http=False),),
}
SNIFFED_WAYS: Final = {
    _STRICT: (_Way(TLS, MESH_HTTP, http=True, mesh=True), _Way(TLS, (), http=False, mesh=True)),
    _PERMISSIVE: (
        _Way(TLS, MESH_HTTP, http=True, mesh=True),
        _Way(PLAIN, PLAIN_HTTP, http=True),
        _Way(TLS, MESH_BYTES, http=False, mesh=True),
        _Way(PLAIN, (), http=False),
        _Way(TLS, (), http=False),
    ),
    # An application's HTTPS offers http/1.1 too: only plaintext can be sniffed to be HTTP.
    _DISABLE: (_Way(PLAIN, PLAIN_HTTP, http=True), _Way(PLAIN, (), http=False), _Way(TLS, (), http=False)),
}


@attrs.frozen
class ChainMaker:
    """Makes the chains of one workload's ports."""

    guard: Guard
    scope: Scope
    edge: Edge

    def chains(self, served: Served, port: int) -> tuple[FilterChain, ...]:
        """The chains of one port (0: of all that have none of their own)."""
        mode = mode_at(self.guard.policies, self.scope.namespace, self.scope.labels, port)
        if served.tls is not None and mode is _DISABLE:
            return (self._terminating(served, port),)
        ways = SNIFFED_WAYS if served.protocol is Protocol.AUTO else HTTP_WAYS if served.protocol.http else TCP_WAYS
        mesh = self._mesh_tls()
        return tuple(self._chain(served, port, way, mesh if way.mesh else None) for way in ways[mode])

    def _terminating(self, served: Served, port: int) -> FilterChain:
        """TLS as a Sidecar's ingress listener has it: certificates of its own, nothing of the mesh."""
        assert served.tls is not None
        http = served.protocol.http
        domains = self.edge.trust_domains(self.scope)
        return self._chain(
            served, port, _Way(TLS, (), http=http), downstream_tls(served.tls, domains, http=http, edge=self.edge)
        )

    def _mesh_tls(self) -> DownstreamTls:
        return DownstreamTls(
            alpn=SERVED_ALPN,
            trust_domains=self.edge.trust_domains(self.scope),
            minimum_version=self.edge.mesh_least,
            cipher_suites=self.edge.mesh_ciphers,
        )

    def _chain(self, served: Served, port: int, way: _Way, tls: DownstreamTls | None) -> FilterChain:
        match = FilterChainMatch(
            destination_port=port, transport_protocol=way.transport, application_protocols=way.offered
        )
        guard = self.guard
        if way.http:
            filters = () if guard.http is None else (guard.http,)
            manager = attrs.evolve(self.edge.sidecar_http(), route_table=served.cluster, filters=filters)
            return FilterChain(served.http_chain, match, tls=tls, http=manager)
        only = () if guard.tcp is None else (guard.tcp,)
        return FilterChain(served.tcp_chain, match, tls=tls, filters=only, tcp=TcpProxy(((served.cluster, 1),)))
