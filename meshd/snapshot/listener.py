"""Listeners and filter chains: what to accept, and what it is. Pure values.

Names follow Istio: ``virtualInbound`` (15006), ``virtualOutbound`` (15001),
``0.0.0.0_9080`` for an outbound port, ``0.0.0.0_8080`` for a gateway's.
"""

from __future__ import annotations

import attrs

from meshd.snapshot.common import Direction
from meshd.snapshot.policy import FilterSpec
from meshd.snapshot.route import Origin


@attrs.frozen
class FilterChainMatch:
    """When a chain is chosen. Empty fields match everything.

    Order of specificity is Envoy's: destination port, destination address (longest
    prefix), server name (exact, then longest ``*.suffix``), transport protocol,
    application protocols.
    """

    destination_port: int = 0
    """Inbound: the application's port. 0: any."""
    prefix_ranges: tuple[str, ...] = ()
    """Destination addresses as CIDR; a bare address is itself alone."""
    server_names: tuple[str, ...] = ()
    transport_protocol: str = ""
    """``tls``, ``raw_buffer`` or "" (either)."""
    application_protocols: tuple[str, ...] = ()
    """TLS: what the client offers by ALPN. Plain: ``http/1.1``, ``h2c`` as sniffed."""


@attrs.frozen
class DownstreamTls:
    """How to terminate TLS.

    ``certificate`` names a secret: ``default`` is the workload's own, anything
    else a gateway credential (``kubernetes://name`` of Istio). ``validation``
    names the roots a client certificate must chain to: ``ROOTCA`` is the mesh's
    bundle, "" asks for no client certificate.
    """

    certificate: str = "default"
    validation: str = "ROOTCA"
    require_client_certificate: bool = True
    alpn: tuple[str, ...] = ("h2", "http/1.1")
    minimum_version: str = "TLSv1_2"
    maximum_version: str = "TLSv1_3"
    cipher_suites: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()
    """Mesh mTLS: the trust domains whose SPIFFE ids are let in."""
    subject_alt_names: tuple[str, ...] = ()
    """MUTUAL at a gateway: acceptable SANs, empty for any that chains."""


@attrs.frozen
class HttpManager:
    """What is done with HTTP on a chain (Envoy's HTTP connection manager).

    ``route_table`` names a ``RouteTable``. An outbound explicit proxy has ""
    there and ``route_by_port``: the authority's port picks the table of that
    name (``9080``); without a port, ``80`` if there is one, else the only table
    that knows the host. ``virtual_host`` pins one virtual host whatever Host
    says (``--bind SERVICE:PORT=ADDR``).
    """

    route_table: str = ""
    route_by_port: bool = False
    virtual_host: str = ""
    filters: tuple[FilterSpec, ...] = ()
    use_remote_address: bool = False
    """A gateway: append the peer to x-forwarded-for, set x-forwarded-proto, believe no identity header."""
    trusted_hops: int = 0
    forward_client_cert: str = "append_forward"
    """x-forwarded-client-cert: ``append_forward`` (inbound), ``sanitize_set`` (gateway), ``sanitize``, ``always_forward``, ``forward_only`` (if the client showed a certificate)."""
    path_normalization: str = "BASE"
    """``NONE``, ``BASE``, ``MERGE_SLASHES`` or ``DECODE_AND_MERGE_SLASHES``."""
    idle_timeout: float = 3600.0
    stream_idle_timeout: float = 0.0
    """Seconds without a byte either way on one exchange; 0 is off (Istio)."""
    request_headers_timeout: float = 0.0
    """0 takes the proxy's own limit."""
    accept_http_10: bool = False
    upgrades: tuple[str, ...] = ("websocket",)


@attrs.frozen
class TcpProxy:
    """Opaque bytes to a cluster (weights as in routes). ``idle_timeout`` 0: as the cluster's limits say."""

    clusters: tuple[tuple[str, int], ...]
    idle_timeout: float = 0.0
    origin: Origin = Origin()
    """The rule that sends it there; none: it goes where it was going."""


@attrs.frozen
class FilterChain:
    """One way of treating a connection: TLS or not, then HTTP or TCP (exactly one of the two)."""

    name: str
    match: FilterChainMatch = FilterChainMatch()
    tls: DownstreamTls | None = None
    filters: tuple[FilterSpec, ...] = ()
    """Connection filters (TCP authorization)."""
    http: HttpManager | None = None
    tcp: TcpProxy | None = None

    @property
    def kind(self) -> str:
        """Name, protocol and whether TLS ends here: what a connection of one version goes on with in the next.

        The several chains of a port share a name; this tells apart those that treat connections differently.
        """
        return f"{self.name} {'http' if self.http is not None else 'tcp'}{'+tls' if self.tls is not None else ''}"


@attrs.frozen
class Listener:
    """An address and what to do with its connections.

    ``port`` is the mesh's port (15006, 15001, 9080, a gateway server's port);
    where it is really bound is the process's business (``proxy.bindings``).
    ``bound`` False: only reached by transparent capture through ``virtualOutbound``.
    """

    name: str
    port: int
    direction: Direction
    chains: tuple[FilterChain, ...]
    host: str = ""
    bound: bool = True
    detection_timeout: float = 0.0
    """Seconds to wait for the first bytes when they decide the chain; then the chain without
    conditions is taken. 0 (Istio): the proxy's own bound."""
    default_chain: FilterChain | None = None
    """For connections that ``chains`` do not take."""
    server_ports: tuple[int, ...] = ()
    """A gateway: ports of its servers that its Service translates to this one."""
    proxy_protocol: bool = False
    """Every connection begins with a PROXY protocol header (version 1 or 2), which says whose it is."""
    default_destination_port: int = 0
    """Inbound without capture: the application's port a connection is taken to be for."""

    @property
    def every_chain(self) -> tuple[FilterChain, ...]:
        """All chains, the default one last."""
        return self.chains if self.default_chain is None else (*self.chains, self.default_chain)
