"""Clusters and endpoints: where requests can go. Pure values.

Names follow Istio: ``outbound|9080|v1|reviews.default.svc.cluster.local``,
``inbound|9080||``, ``PassthroughCluster``, ``BlackHoleCluster``.
"""

from __future__ import annotations

from enum import StrEnum

import attrs


class Discovery(StrEnum):
    """Where a cluster's endpoints come from."""

    ENDPOINTS = "endpoints"
    """The ``EndpointGroup`` with the cluster's name."""
    DNS = "dns"
    """Every address of the endpoint's host name (Envoy's STRICT_DNS)."""
    ORIGINAL_DESTINATION = "original_destination"
    """Where the client was going (passthrough)."""


class Balancing(StrEnum):
    """How a host is picked (Istio's ``simple``)."""

    LEAST_REQUEST = "LEAST_REQUEST"
    ROUND_ROBIN = "ROUND_ROBIN"
    RANDOM = "RANDOM"


class TlsMode(StrEnum):
    """ClientTLSSettings.mode, with Istio's auto mTLS spelt out."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    AUTO = "AUTO"
    """ISTIO_MUTUAL to endpoints that can (``Endpoint.mtls``), plaintext to the others."""


@attrs.frozen
class UpstreamTls:
    """How to speak TLS to a cluster.

    ISTIO_MUTUAL and AUTO: the workload's certificate and the mesh's bundle; the
    server must show one of ``subject_alt_names`` (SPIFFE ids; empty: the
    endpoint's own ``identity``; if that is empty too, any id of ``trust_domains``).
    SIMPLE and MUTUAL: a web certificate for ``sni`` or one of
    ``subject_alt_names``, rooted in ``ca_certificates`` (file) or the system's.
    """

    mode: TlsMode
    sni: str = ""
    subject_alt_names: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()
    ca_certificates: str = ""
    client_certificate: str = ""
    private_key: str = ""
    credential: str = ""
    insecure_skip_verify: bool = False
    minimum_version: str = "TLSv1_2"


@attrs.frozen
class ConnectionLimits:
    """Pool sizes per proxy (DestinationRule.connectionPool); 2**32-1 is "no limit"."""

    max_connections: int = 2**32 - 1
    max_pending_requests: int = 2**32 - 1
    max_requests: int = 2**32 - 1
    max_retries: int = 2**32 - 1
    max_requests_per_connection: int = 0
    connect_timeout: float = 10.0
    idle_timeout: float = 3600.0
    max_connection_duration: float = 0.0
    tcp_idle_timeout: float = 3600.0


@attrs.frozen(cache_hash=True)
class Peer:
    """Who a cluster or endpoint is, for metrics' labels; "" is reported as ``unknown``.

    Its hash is kept: it is part of the key that finds a request's metrics.
    """

    workload: str = ""
    namespace: str = ""
    app: str = ""
    version: str = ""
    canonical_service: str = ""
    canonical_revision: str = ""
    cluster: str = ""
    principal: str = ""


@attrs.frozen
class Endpoint:
    """One address of a service. ``host`` is an IP literal, or a name when the cluster is ``DNS``."""

    host: str
    port: int
    weight: int = 1
    mtls: bool = False
    """Speaks the mesh's mTLS (label ``security.istio.io/tlsMode: istio``)."""
    identity: str = ""
    """Its SPIFFE id, "" when not known."""
    locality: str = ""
    peer: Peer = Peer()


@attrs.frozen
class EndpointGroup:
    """The endpoints of one cluster, in canonical order."""

    cluster: str
    endpoints: tuple[Endpoint, ...]


@attrs.frozen
class Cluster:
    """A group of interchangeable endpoints and how to talk to them."""

    name: str
    discovery: Discovery = Discovery.ENDPOINTS
    service: str = ""
    """Host name of the service, "" for inbound and special clusters."""
    service_name: str = ""
    service_namespace: str = ""
    port: int = 0
    addresses: tuple[str, ...] = ()
    """IP addresses that the service itself is called by (not its endpoints'); told once, not with every subset."""
    headless: bool = False
    """The service has no address on purpose: clients call its endpoints by theirs."""
    subset: str = ""
    balancing: Balancing = Balancing.LEAST_REQUEST
    http2: bool = False
    """Speak HTTP/2 (the service's port is grpc or http2)."""
    tls: UpstreamTls | None = None
    limits: ConnectionLimits = ConnectionLimits()
    external: bool = False
    """MESH_EXTERNAL: not part of the mesh."""
    tls_reason: str = ""
    """Why ``tls`` is what it is, for explanations; "" where automatic mTLS decides endpoint by endpoint."""
    rules: tuple[str, ...] = ()
    """The DestinationRules it was made from, the one whose policy counts first: ``DestinationRule default/reviews``."""
