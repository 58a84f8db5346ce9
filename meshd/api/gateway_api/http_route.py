"""``gateway.networking.k8s.io`` HTTPRoute: requests to hosts, at a Gateway's listeners or within the mesh. Pure values.

Source: ``apis/v1/httproute_types.go`` of the Gateway API.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

import attrs

from meshd.api.common import Duration, Int32, Map, Range
from meshd.api.gateway_api.references import (
    BackendObjectReference,
    HTTPHeaderFilter,
    HTTPRequestMirrorFilter,
    LocalObjectReference,
    ParentReference,
    SessionPersistence,
    Weight,
)


class PathMatchType(StrEnum):
    """``PathPrefix`` compares whole segments: ``/foo`` is a prefix of ``/foo/bar`` and not of ``/foobar``."""

    EXACT = "Exact"
    PATH_PREFIX = "PathPrefix"
    REGULAR_EXPRESSION = "RegularExpression"


class MatchType(StrEnum):
    """How a header's or a query parameter's value is compared."""

    EXACT = "Exact"
    REGULAR_EXPRESSION = "RegularExpression"


class HTTPMethod(StrEnum):
    """The methods that can be asked for."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    DELETE = "DELETE"
    CONNECT = "CONNECT"
    OPTIONS = "OPTIONS"
    TRACE = "TRACE"
    PATCH = "PATCH"


class CORSMethod(StrEnum):
    """The methods that a preflight can be told of; ``*`` is all."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    DELETE = "DELETE"
    CONNECT = "CONNECT"
    OPTIONS = "OPTIONS"
    TRACE = "TRACE"
    PATCH = "PATCH"
    ANY = "*"


class FilterType(StrEnum):
    """Which of a filter's fields is meant."""

    REQUEST_HEADER_MODIFIER = "RequestHeaderModifier"
    RESPONSE_HEADER_MODIFIER = "ResponseHeaderModifier"
    REQUEST_MIRROR = "RequestMirror"
    REQUEST_REDIRECT = "RequestRedirect"
    URL_REWRITE = "URLRewrite"
    EXTENSION_REF = "ExtensionRef"
    EXTERNAL_AUTH = "ExternalAuth"
    CORS = "CORS"


class PathModifierType(StrEnum):
    """What of a path is replaced."""

    REPLACE_FULL_PATH = "ReplaceFullPath"
    REPLACE_PREFIX_MATCH = "ReplacePrefixMatch"


class RedirectScheme(StrEnum):
    """Where a redirect leads."""

    HTTP = "http"
    HTTPS = "https"


@attrs.frozen
class HTTPPathMatch:
    """A condition on the path."""

    type: PathMatchType = PathMatchType.PATH_PREFIX
    value: str = "/"


@attrs.frozen
class HTTPHeaderMatch:
    """A condition on a header; of several with the same name the first counts."""

    name: str
    value: str
    type: MatchType = MatchType.EXACT


@attrs.frozen
class HTTPQueryParamMatch:
    """A condition on a query parameter; of several with the same name the first counts."""

    name: str
    value: str
    type: MatchType = MatchType.EXACT


@attrs.frozen
class HTTPRouteMatch:
    """All of it must hold; no path is the prefix ``/``."""

    path: HTTPPathMatch | None = None
    headers: tuple[HTTPHeaderMatch, ...] = ()
    queryParams: tuple[HTTPQueryParamMatch, ...] = ()
    method: HTTPMethod | None = None


@attrs.frozen
class HTTPPathModifier:
    """A path's new form."""

    type: PathModifierType
    replaceFullPath: str | None = None
    replacePrefixMatch: str | None = None


@attrs.frozen
class HTTPRequestRedirectFilter:
    """Answer with a Location; what is not given stays as in the request."""

    scheme: RedirectScheme | None = None
    hostname: str | None = None
    path: HTTPPathModifier | None = None
    port: Int32 | None = None
    statusCode: Annotated[int, Range(301, 308)] = 302


@attrs.frozen
class HTTPURLRewriteFilter:
    """Path or host changed before forwarding."""

    hostname: str | None = None
    path: HTTPPathModifier | None = None


@attrs.frozen
class HTTPCORSFilter:
    """Which origins may ask."""

    allowOrigins: tuple[str, ...] = ()
    allowCredentials: bool | None = None
    allowMethods: tuple[CORSMethod, ...] = ()
    allowHeaders: tuple[str, ...] = ()
    exposeHeaders: tuple[str, ...] = ()
    maxAge: Int32 = 5


@attrs.frozen
class HTTPRouteFilter:
    """One step of what is done to a request or its response; ``type`` says which field holds it."""

    type: FilterType
    requestHeaderModifier: HTTPHeaderFilter | None = None
    responseHeaderModifier: HTTPHeaderFilter | None = None
    requestMirror: HTTPRequestMirrorFilter | None = None
    requestRedirect: HTTPRequestRedirectFilter | None = None
    urlRewrite: HTTPURLRewriteFilter | None = None
    cors: HTTPCORSFilter | None = None
    extensionRef: LocalObjectReference | None = None
    externalAuth: Map[str, Any] | None = None

    # Mirrors are compiled, but the data plane does not send them yet. Requests that one of
    # the other two would have changed are refused: letting them pass could be less than was asked for.
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"requestMirror", "externalAuth", "extensionRef"})


@attrs.frozen
class HTTPBackendRef:
    """One of a rule's destinations; its share is its weight among all."""

    name: str
    group: str = ""
    kind: str = "Service"
    namespace: str | None = None
    port: Int32 | None = None
    weight: Weight = 1
    filters: tuple[HTTPRouteFilter, ...] = ()

    @property
    def object(self) -> BackendObjectReference:
        """What is referred to."""
        return BackendObjectReference(self.name, self.group, self.kind, self.namespace, self.port)


@attrs.frozen
class HTTPRouteTimeouts:
    """Of the whole exchange, and of one try; 0 is none."""

    request: Duration | None = None
    backendRequest: Duration | None = None


@attrs.frozen
class HTTPRouteRetry:
    """When and how often to try again."""

    codes: tuple[Int32, ...] = ()
    attempts: Int32 | None = None
    backoff: Duration | None = None


@attrs.frozen
class HTTPRouteRule:
    """What is done with requests that any of the matches is for; without matches, with all."""

    name: str | None = None
    matches: tuple[HTTPRouteMatch, ...] = ()
    filters: tuple[HTTPRouteFilter, ...] = ()
    backendRefs: tuple[HTTPBackendRef, ...] = ()
    timeouts: HTTPRouteTimeouts | None = None
    retry: HTTPRouteRetry | None = None
    sessionPersistence: SessionPersistence | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"sessionPersistence"})


@attrs.frozen
class HTTPRoute:
    """Rules for hosts. Which of several rules a request takes is decided by how specific they are."""

    parentRefs: tuple[ParentReference, ...] = ()
    hostnames: tuple[str, ...] = ()
    rules: tuple[HTTPRouteRule, ...] = (HTTPRouteRule(),)
    useDefaultGateways: str | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"useDefaultGateways"})
