"""``networking.istio.io`` VirtualService: requests to hosts. Pure values.

Source: Istio's ``networking/v1alpha3/virtual_service.proto``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import attrs

from meshd.api.common import Base64, Duration, Int32, Labels, Map, Percent, PortSelector, StringMatch, UInt32


@attrs.frozen
class Destination:
    """A service, one of its subsets, one of its ports."""

    host: str
    subset: str = ""
    port: PortSelector | None = None


@attrs.frozen
class HeaderOperations:
    """Applied in this order: remove, set, add."""

    set: Labels = Map()
    add: Labels = Map()
    remove: tuple[str, ...] = ()


@attrs.frozen
class Headers:
    """Edits of the request on its way up, of the response on its way down."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


@attrs.frozen
class HTTPMatchRequest:
    """All of it must hold. ``sourceLabels``, ``sourceNamespace`` and ``gateways`` speak of the proxy, not the request."""

    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: Map[str, StringMatch] = Map()
    port: UInt32 = 0
    sourceLabels: Labels = Map()
    gateways: tuple[str, ...] = ()
    queryParams: Map[str, StringMatch] = Map()
    ignoreUriCase: bool = False
    withoutHeaders: Map[str, StringMatch] = Map()
    sourceNamespace: str = ""
    statPrefix: str = ""

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"statPrefix"})


@attrs.frozen
class HTTPRouteDestination:
    """One destination of a route; a weight of 0 among several drops it."""

    destination: Destination
    weight: Int32 = 0
    headers: Headers | None = None


@attrs.frozen
class RouteDestination:
    """One destination of a TCP or TLS route."""

    destination: Destination
    weight: Int32 = 0


class RedirectPortSelection(StrEnum):
    """Where a redirect takes its port from."""

    FROM_PROTOCOL_DEFAULT = "FROM_PROTOCOL_DEFAULT"
    FROM_REQUEST_PORT = "FROM_REQUEST_PORT"


@attrs.frozen
class HTTPRedirect:
    """Answer with a Location; what is not given stays as in the request."""

    uri: str = ""
    authority: str = ""
    port: UInt32 | None = None
    derivePort: RedirectPortSelection | None = None
    scheme: str = ""
    redirectCode: UInt32 = 0
    prefixRewrite: str = ""


@attrs.frozen
class HTTPBody:
    """Exactly one of the two; ``bytes`` is base64."""

    string: str | None = None
    bytes: Base64 | None = None


@attrs.frozen
class HTTPDirectResponse:
    """Answer with this."""

    status: UInt32
    body: HTTPBody | None = None


@attrs.frozen
class Delegate:
    """Another VirtualService that has the routes of this one's match."""

    name: str = ""
    namespace: str = ""


@attrs.frozen
class RegexRewrite:
    r"""RE2 pattern and substitution (``\1``)."""

    match: str = ""
    rewrite: str = ""


@attrs.frozen
class HTTPRewrite:
    """Path or authority changed before forwarding."""

    uri: str = ""
    authority: str = ""
    uriRegexRewrite: RegexRewrite | None = None


@attrs.frozen
class HTTPRetry:
    """``attempts`` 0 or absent turns retries off; ``retryOn`` empty is the default list."""

    attempts: Int32 | None = None
    perTryTimeout: Duration | None = None
    retryOn: str = ""
    retryRemoteLocalities: bool | None = None
    retryIgnorePreviousHosts: bool | None = None
    backoff: Duration | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"retryRemoteLocalities"})


@attrs.frozen
class Delay:
    """``HTTPFaultInjection.Delay``. Without a percentage it never happens."""

    fixedDelay: Duration | None = None
    exponentialDelay: Duration | None = None
    percent: Int32 | None = None
    percentage: Percent | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"exponentialDelay"})


@attrs.frozen
class Abort:
    """``HTTPFaultInjection.Abort``. Without a percentage it never happens."""

    httpStatus: Int32 | None = None
    grpcStatus: str | None = None
    http2Error: str | None = None
    percentage: Percent | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"http2Error"})


@attrs.frozen
class HTTPFaultInjection:
    """The delay first, then the abort, independently sampled."""

    delay: Delay | None = None
    abort: Abort | None = None


class UnmatchedPreflights(StrEnum):
    """``CorsPolicy.UnmatchedPreflights``: what becomes of a preflight from another origin. UNSPECIFIED is FORWARD."""

    UNSPECIFIED = "UNSPECIFIED"
    FORWARD = "FORWARD"
    IGNORE = "IGNORE"


@attrs.frozen
class CorsPolicy:
    """Which origins may ask. ``allowOrigin`` is the old form of ``allowOrigins``: exact, or ``*``."""

    allowOrigin: tuple[str, ...] = ()
    allowOrigins: tuple[StringMatch, ...] = ()
    allowMethods: tuple[str, ...] = ()
    allowHeaders: tuple[str, ...] = ()
    exposeHeaders: tuple[str, ...] = ()
    maxAge: Duration | None = None
    allowCredentials: bool | None = None
    unmatchedPreflights: UnmatchedPreflights = UnmatchedPreflights.UNSPECIFIED


@attrs.frozen
class HTTPMirrorPolicy:
    """A copy of a share of the requests; without a percentage, of all."""

    destination: Destination
    percentage: Percent | None = None


@attrs.frozen
class HTTPRoute:
    """First match wins; no ``match`` matches everything."""

    name: str = ""
    match: tuple[HTTPMatchRequest, ...] = ()
    route: tuple[HTTPRouteDestination, ...] = ()
    redirect: HTTPRedirect | None = None
    directResponse: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: Duration | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: tuple[HTTPMirrorPolicy, ...] = ()
    mirrorPercent: UInt32 | None = None
    mirrorPercentage: Percent | None = None
    corsPolicy: CorsPolicy | None = None
    headers: Headers | None = None

    OLD_NAMES: ClassVar[Map[str, str]] = Map({"mirror_percent": "mirrorPercent"})
    NULL_ITEMS: ClassVar[frozenset[str]] = frozenset({"match"})
    # Mirrors are compiled, but the data plane does not send them yet.
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"mirror", "mirrors", "mirrorPercent", "mirrorPercentage"})


@attrs.frozen
class TLSMatchAttributes:
    """A TLS connection that is not terminated, by its SNI."""

    sniHosts: tuple[str, ...]
    destinationSubnets: tuple[str, ...] = ()
    port: UInt32 = 0
    sourceLabels: Labels = Map()
    gateways: tuple[str, ...] = ()
    sourceNamespace: str = ""


@attrs.frozen
class TLSRoute:
    """First match wins."""

    match: tuple[TLSMatchAttributes, ...]
    route: tuple[RouteDestination, ...] = ()


@attrs.frozen
class L4MatchAttributes:
    """An opaque connection."""

    destinationSubnets: tuple[str, ...] = ()
    port: UInt32 = 0
    sourceSubnet: str = ""
    sourceLabels: Labels = Map()
    gateways: tuple[str, ...] = ()
    sourceNamespace: str = ""

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"sourceSubnet"})


@attrs.frozen
class TCPRoute:
    """First match wins; no ``match`` matches everything."""

    match: tuple[L4MatchAttributes, ...] = ()
    route: tuple[RouteDestination, ...] = ()


@attrs.frozen
class VirtualService:
    """Routes for hosts. ``gateways`` empty means ``("mesh",)``, ``exportTo`` empty means ``("*",)``."""

    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HTTPRoute, ...] = ()
    tls: tuple[TLSRoute, ...] = ()
    tcp: tuple[TCPRoute, ...] = ()
    exportTo: tuple[str, ...] = ()
