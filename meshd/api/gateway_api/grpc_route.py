"""``gateway.networking.k8s.io`` GRPCRoute: calls of gRPC services and methods. Pure values.

Source: ``apis/v1/grpcroute_types.go`` of the Gateway API.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import attrs

from meshd.api.common import Int32
from meshd.api.gateway_api.http_route import HTTPHeaderMatch, MatchType
from meshd.api.gateway_api.references import (
    HTTPHeaderFilter,
    HTTPRequestMirrorFilter,
    LocalObjectReference,
    ParentReference,
    SessionPersistence,
    Weight,
)


class GRPCFilterType(StrEnum):
    """Which of a filter's fields is meant."""

    REQUEST_HEADER_MODIFIER = "RequestHeaderModifier"
    RESPONSE_HEADER_MODIFIER = "ResponseHeaderModifier"
    REQUEST_MIRROR = "RequestMirror"
    EXTENSION_REF = "ExtensionRef"


@attrs.frozen
class GRPCMethodMatch:
    """A service, one of its methods, or a method of any service."""

    type: MatchType = MatchType.EXACT
    service: str | None = None
    method: str | None = None


@attrs.frozen
class GRPCRouteMatch:
    """All of it must hold; no method is any."""

    method: GRPCMethodMatch | None = None
    headers: tuple[HTTPHeaderMatch, ...] = ()


@attrs.frozen
class GRPCRouteFilter:
    """One step of what is done to a call or its response; ``type`` says which field holds it."""

    type: GRPCFilterType
    requestHeaderModifier: HTTPHeaderFilter | None = None
    responseHeaderModifier: HTTPHeaderFilter | None = None
    requestMirror: HTTPRequestMirrorFilter | None = None
    extensionRef: LocalObjectReference | None = None

    # Mirrors are compiled, but the data plane does not send them yet. Calls under an extension are refused.
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"requestMirror", "extensionRef"})


@attrs.frozen
class GRPCBackendRef:
    """One of a rule's destinations; its share is its weight among all."""

    name: str
    group: str = ""
    kind: str = "Service"
    namespace: str | None = None
    port: Int32 | None = None
    weight: Weight = 1
    filters: tuple[GRPCRouteFilter, ...] = ()


@attrs.frozen
class GRPCRouteRule:
    """What is done with calls that any of the matches is for; without matches, with all."""

    name: str | None = None
    matches: tuple[GRPCRouteMatch, ...] = ()
    filters: tuple[GRPCRouteFilter, ...] = ()
    backendRefs: tuple[GRPCBackendRef, ...] = ()
    sessionPersistence: SessionPersistence | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"sessionPersistence"})


@attrs.frozen
class GRPCRoute:
    """Rules for hosts."""

    parentRefs: tuple[ParentReference, ...] = ()
    hostnames: tuple[str, ...] = ()
    rules: tuple[GRPCRouteRule, ...] = ()
    useDefaultGateways: str | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"useDefaultGateways"})
