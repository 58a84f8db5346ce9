"""Protocols of ports, as configuration spells them. Pure.

Source: Istio's ``pkg/config/protocol``.
"""

from __future__ import annotations

HTTP = frozenset({"HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-WEB"})
"""Plain-text HTTP in one of its forms."""
TLS = frozenset({"HTTPS", "TLS"})
OPAQUE = frozenset({"TCP", "MONGO", "MYSQL", "REDIS", "UDP", "HBONE"})
"""Neither of the two."""
STREAMS = frozenset({"TCP", "HTTPS", "TLS", "MONGO", "MYSQL", "REDIS"})
"""Those that are routed by connection."""
OF_GATEWAYS = ("HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB", "TLS", "TCP", "MONGO", "MYSQL", "REDIS")

ALL = tuple(sorted(HTTP | TLS | OPAQUE))


def parse(text: str) -> str:
    """Its name in capitals; "" when there is no such protocol."""
    name = text.upper()
    return name if name in ALL else ""
