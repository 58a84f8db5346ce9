"""A GRPCRoute as the HTTPRoute it stands for: calls are requests to ``/service/method``. Pure.

Source: Istio's ``pilot/pkg/config/kube/gateway/conversion.go`` (``createGRPCURIMatch``).
"""

from __future__ import annotations

from typing import Final

from meshd.api.gateway_api.grpc_route import GRPCBackendRef, GRPCMethodMatch, GRPCRoute, GRPCRouteFilter, GRPCRouteRule
from meshd.api.gateway_api.http_route import (
    FilterType,
    HTTPBackendRef,
    HTTPPathMatch,
    HTTPRoute,
    HTTPRouteFilter,
    HTTPRouteMatch,
    HTTPRouteRule,
    MatchType,
    PathMatchType,
)

ANY_NAME: Final = "[^/]+"


def as_http(route: GRPCRoute) -> HTTPRoute:
    """The same rules for requests."""
    rules = tuple(_rule(rule) for rule in route.rules)
    return HTTPRoute(route.parentRefs, route.hostnames, rules or (HTTPRouteRule(),))


def _rule(rule: GRPCRouteRule) -> HTTPRouteRule:
    return HTTPRouteRule(
        name=rule.name,
        matches=tuple(HTTPRouteMatch(path=_path(match.method), headers=match.headers) for match in rule.matches),
        filters=tuple(_filter(each) for each in rule.filters),
        backendRefs=tuple(_backend(each) for each in rule.backendRefs),
    )


def _path(method: GRPCMethodMatch | None) -> HTTPPathMatch | None:
    if method is None or not (method.service or method.method):
        return None
    if method.type is MatchType.REGULAR_EXPRESSION:
        value = f"/{method.service or ANY_NAME}/{method.method or ANY_NAME}"
        return HTTPPathMatch(PathMatchType.REGULAR_EXPRESSION, value)
    if method.service and method.method:
        return HTTPPathMatch(PathMatchType.EXACT, f"/{method.service}/{method.method}")
    if method.service:
        return HTTPPathMatch(PathMatchType.PATH_PREFIX, f"/{method.service}")
    return HTTPPathMatch(PathMatchType.REGULAR_EXPRESSION, f"/{ANY_NAME}/{method.method}")


def _filter(each: GRPCRouteFilter) -> HTTPRouteFilter:
    return HTTPRouteFilter(
        FilterType(each.type.value),
        requestHeaderModifier=each.requestHeaderModifier,
        responseHeaderModifier=each.responseHeaderModifier,
        requestMirror=each.requestMirror,
        extensionRef=each.extensionRef,
    )


def _backend(each: GRPCBackendRef) -> HTTPBackendRef:
    filters = tuple(_filter(one) for one in each.filters)
    return HTTPBackendRef(each.name, each.group, each.kind, each.namespace, each.port, each.weight, filters)
