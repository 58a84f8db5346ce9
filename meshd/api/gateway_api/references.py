"""What the kinds of the Gateway API have in common: references, headers to edit. Pure values.

Source: ``apis/v1/{shared_types,object_reference_types,httproute_types}.go`` of the Gateway API.
"""

from __future__ import annotations

from typing import Annotated

import attrs

from meshd.api.common import Int32, Labels, Map, Natural, Range

GROUP = "gateway.networking.k8s.io"

Weight = Annotated[int, Range(0, 1_000_000)]


@attrs.frozen
class ParentReference:
    """What a route is attached to: a Gateway's listeners, or for requests within the mesh a Service.

    ``kind`` ServiceEntry of ``networking.istio.io`` is Istio's addition to these.
    """

    name: str
    group: str = GROUP
    kind: str = "Gateway"
    namespace: str | None = None
    sectionName: str | None = None
    port: Int32 | None = None


@attrs.frozen
class BackendObjectReference:
    """Where requests go: a Service, or by Istio's addition a host (kind Hostname of ``networking.istio.io``)."""

    name: str
    group: str = ""
    kind: str = "Service"
    namespace: str | None = None
    port: Int32 | None = None


@attrs.frozen
class BackendRef:
    """One of the destinations of a connection; a weight of 0 gets nothing."""

    name: str
    group: str = ""
    kind: str = "Service"
    namespace: str | None = None
    port: Int32 | None = None
    weight: Weight = 1


@attrs.frozen
class SecretObjectReference:
    """A Secret; in another namespace only with a ReferenceGrant there."""

    name: str
    group: str = ""
    kind: str = "Secret"
    namespace: str | None = None


@attrs.frozen
class ObjectReference:
    """Some object, in another namespace only with a ReferenceGrant there."""

    group: str
    kind: str
    name: str
    namespace: str | None = None


@attrs.frozen
class LocalObjectReference:
    """Some object of the same namespace."""

    group: str
    kind: str
    name: str


@attrs.frozen
class HTTPHeader:
    """A header and its value."""

    name: str
    value: str


@attrs.frozen
class HTTPHeaderFilter:
    """Headers to set, to add, to remove."""

    set: tuple[HTTPHeader, ...] = ()
    add: tuple[HTTPHeader, ...] = ()
    remove: tuple[str, ...] = ()


@attrs.frozen
class Fraction:
    """``numerator`` of ``denominator``."""

    numerator: Natural
    denominator: Int32 = 100


@attrs.frozen
class HTTPRequestMirrorFilter:
    """A copy of a share of the requests; of all without one."""

    backendRef: BackendObjectReference
    percent: Natural | None = None
    fraction: Fraction | None = None


@attrs.frozen
class CookieConfig:
    """How long a session's cookie lives."""

    lifetimeType: str = "Session"


@attrs.frozen
class SessionPersistence:
    """Requests of one session to one server."""

    sessionName: str | None = None
    absoluteTimeout: str | None = None
    idleTimeout: str | None = None
    type: str = "Cookie"
    cookieConfig: CookieConfig | None = None


@attrs.frozen
class LabelSelectorRequirement:
    """One condition on labels: In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


@attrs.frozen
class LabelSelector:
    """Labels that an object must have; all conditions must hold."""

    matchLabels: Labels = Map()
    matchExpressions: tuple[LabelSelectorRequirement, ...] = ()
