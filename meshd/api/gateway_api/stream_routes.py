"""``gateway.networking.k8s.io`` TLSRoute and TCPRoute: connections whose bytes are not read. Pure values.

Source: ``apis/v1/{tlsroute,tcproute}_types.go`` of the Gateway API.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from meshd.api.gateway_api.references import BackendRef, ParentReference


@attrs.frozen
class TLSRouteRule:
    """Where connections go."""

    backendRefs: tuple[BackendRef, ...]
    name: str | None = None


@attrs.frozen
class TLSRoute:
    """Connections by the server name that the client asks for; there is one rule."""

    rules: tuple[TLSRouteRule, ...]
    parentRefs: tuple[ParentReference, ...] = ()
    hostnames: tuple[str, ...] = ()
    useDefaultGateways: str | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"useDefaultGateways"})


@attrs.frozen
class TCPRouteRule:
    """Where connections go."""

    backendRefs: tuple[BackendRef, ...]
    name: str | None = None


@attrs.frozen
class TCPRoute:
    """Every connection to a port; there is one rule."""

    rules: tuple[TCPRouteRule, ...]
    parentRefs: tuple[ParentReference, ...] = ()
    useDefaultGateways: str | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"useDefaultGateways"})
