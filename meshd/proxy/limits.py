"""How much the data plane takes on, and how long it waits. Pure values.

What a cluster or a listener's configuration says goes before these. Limits
of heads, bodies and streams are the codecs' (``http/limits.py``).
"""

from __future__ import annotations

import attrs

SECONDS = 1.0
KIB = 1024
MIB = 1024 * KIB


@attrs.frozen
class ProxyLimits:
    """The process's own bounds; every one is a setting of ``modes``."""

    connections: int = 20_000
    """Downstream connections of the whole proxy; more are closed at once."""
    connections_per_listener: int = 10_000
    """Downstream connections of one listener; more are closed at once."""
    connections_per_source: int = 10_000
    """Downstream connections of one client address (IPv6: of one /64, which is what a client has); more are
    closed at once. Half of all, so that no stranger alone can take them (Envoy and nginx: none). 0: no limit."""
    connection_age: float = 0.0
    """How old a downstream connection that speaks HTTP may become, give or take a tenth; then it ends politely
    (Envoy's max_connection_duration, off too). 0: no limit."""
    memory: int = 0
    """Resident bytes of the process beyond which requests are refused (503, flag OM) until it is a tenth below
    again. 0: no limit of its own; the process then takes nine tenths of its cgroup's."""
    sniff_timeout: float = 15 * SECONDS
    """Silence of a client whose first bytes decide the filter chain (Envoy's listener_filters_timeout)."""
    max_proxy_header: int = 4 * KIB
    """Bytes of a PROXY protocol header (its addresses take 52 at most, what clouds add a few dozen). It must
    come within ``sniff_timeout``."""
    handshake_timeout: float = 10 * SECONDS
    """A client's TLS handshake (Envoy: transport_socket_connect_timeout, off; nginx 60 s)."""
    body_timeout: float = 0.0
    """Within how long a client must have sent some of a request's body that it was waited for; then: 408.
    It counts for bodies whose end is foreseeable: not for gRPC, tunnels and HTTP/2 bodies without a length.
    A gateway has 60 s (nginx client_body_timeout). 0: none, as Envoy."""
    body_rate: int = 240
    """Bytes per second that "some" means (Kestrel's MinRequestBodyDataRate has as many)."""
    replay_bytes: int = 1 * MIB
    """Of a request body that are kept for another try (Envoy's per_connection_buffer_limit_bytes)."""
    dns_refresh: float = 60 * SECONDS
    """Between two look-ups of a DNS cluster's names (Istio's dnsRefreshRate)."""
    dns_retry: float = 2 * SECONDS
    """After a failed look-up; doubled at each failure up to ``dns_refresh``."""
    destinations: int = 1024
    """Idle destinations remembered by a passthrough cluster."""
    drain_timeout: float = 30 * SECONDS
    """By --drain-timeout. For exchanges under way when the proxy or a listener drains; then they are cut."""
    drain_grace: float = 0.0
    """How long a draining proxy goes on accepting while it already says that it is not ready."""
    tcp_half_close_timeout: float = 60 * SECONDS
    """For the other direction of a relayed connection that is silent after one side has ended."""
    refuse_misdirected: bool = True
    """A gateway answers 421 to requests for a host of another server than their TLS connection was made to
    (RFC 9110 section 15.5.20; Envoy serves them)."""
