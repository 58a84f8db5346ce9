"""An HTTPRoute's rules as routes of a VirtualService: one for each match. Pure.

Source: Istio's ``pilot/pkg/config/kube/gateway/conversion.go`` (``convertHTTPRoute``,
``sortHTTPRoutes``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from meshd.api.common import Map, StringMatch
from meshd.api.document import Document
from meshd.api.gateway_api.grpc_route import GRPCRoute
from meshd.api.gateway_api.http_route import (
    FilterType,
    HTTPBackendRef,
    HTTPHeaderMatch,
    HTTPPathMatch,
    HTTPQueryParamMatch,
    HTTPRoute,
    HTTPRouteFilter,
    HTTPRouteMatch,
    HTTPRouteRetry,
    HTTPRouteRule,
    MatchType,
    PathMatchType,
)
from meshd.api.networking.virtual_service import (
    Destination,
    HTTPDirectResponse,
    HTTPMatchRequest,
    HTTPRetry,
    HTTPRouteDestination,
)
from meshd.api.networking.virtual_service import HTTPRoute as Http
from meshd.control.gateway_api.backends import NOT_SUPPORTED, Backends
from meshd.control.gateway_api.filters import effects_of, headers_alone
from meshd.control.gateway_api.grants import Referrer
from meshd.control.gateway_api.grpc import as_http

RETRY_ON: Final = ("connect-failure", "refused-stream", "unavailable", "cancelled")
RETRY_ATTEMPTS: Final = 2
"""Of a ``retry`` that does not say how many (Istio)."""

HEADER_FILTERS: Final = frozenset({FilterType.REQUEST_HEADER_MODIFIER, FilterType.RESPONSE_HEADER_MODIFIER})
"""What can be done for one of several destinations."""

NOBODY: Final = HTTPDirectResponse(500)
"""The answer of a rule without anyone to send to."""

EVERYTHING: Final = HTTPPathMatch()
ANY_PATH: Final = StringMatch(prefix="/", segments=True)
LAST: Final = 4


@attrs.frozen
class Rule:
    """One match of one rule, as a VirtualService's route has it."""

    http: Http
    origin: tuple[str, int]
    """The document it is of, and the rule's index."""
    match: int
    """Which of the rule's matches; -1 when it has none."""


def http_rules(document: Document, backends: Backends) -> tuple[Rule, ...]:
    """The rules of an HTTPRoute or a GRPCRoute."""
    resource = document.resource
    route = as_http(resource) if isinstance(resource, GRPCRoute) else resource
    return rules_of(route, Referrer(document.kind, document.namespace, document.name), backends)


def rules_of(route: HTTPRoute, referrer: Referrer, backends: Backends) -> tuple[Rule, ...]:
    """Every match of every rule, in the order that they are written in."""
    found: list[Rule] = []
    for index, rule in enumerate(route.rules):
        http = _route(rule, index, referrer, backends)
        for at, match in enumerate(rule.matches or (HTTPRouteMatch(),)):
            asked = (_match(match),)
            found.append(Rule(attrs.evolve(http, match=asked), (str(referrer), index), at if rule.matches else -1))
    return tuple(found)


def in_order(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Most specific first; what is equally specific stays as it was: older routes and earlier rules first."""
    return tuple(sorted(rules, key=_precedence))


def _precedence(rule: Rule) -> tuple[int, int, bool, int, int]:
    match = rule.http.match[0]
    rank, length = LAST, 0
    if match.uri is not None:
        for place, text in enumerate((match.uri.exact, match.uri.prefix, match.uri.regex)):
            if text is not None:
                rank, length = place, -len(text)
    if (match.uri, match.method, match.headers, match.queryParams) == (ANY_PATH, None, Map(), Map()):
        rank = LAST  # Else no regular expression would ever be compared.
    return (rank, length, match.method is None, -len(match.headers), -len(match.queryParams))


def at_port(rules: Iterable[Rule], port: int) -> Iterator[Rule]:
    """The same rules for requests to one port only."""
    for rule in rules:
        matches = tuple(attrs.evolve(match, port=port) for match in rule.http.match)
        yield attrs.evolve(rule, http=attrs.evolve(rule.http, match=matches))


def _match(match: HTTPRouteMatch) -> HTTPMatchRequest:
    return HTTPMatchRequest(
        uri=_path(match.path or EVERYTHING),
        headers=_values(match.headers, lower=True),
        queryParams=_values(match.queryParams),
        method=None if match.method is None else StringMatch(exact=match.method.value),
    )


def _path(path: HTTPPathMatch) -> StringMatch:
    match path.type:
        case PathMatchType.EXACT:
            return StringMatch(exact=path.value)
        case PathMatchType.REGULAR_EXPRESSION:
            return StringMatch(regex=path.value)
        case PathMatchType.PATH_PREFIX:
            return StringMatch(prefix=path.value, segments=True)


def _values(matches: Iterable[HTTPHeaderMatch | HTTPQueryParamMatch], *, lower: bool = False) -> Map[str, StringMatch]:
    """Of several conditions on one name the first counts."""
    found: dict[str, StringMatch] = {}
    for each in matches:
        exact = each.type is MatchType.EXACT
        name = each.name.lower() if lower else each.name
        found.setdefault(name, StringMatch(exact=each.value) if exact else StringMatch(regex=each.value))
    return Map(found)


def _route(rule: HTTPRouteRule, index: int, referrer: Referrer, backends: Backends) -> Http:
    """What a rule does, whatever its match."""
    effects = effects_of((*rule.filters, *_of_the_only(rule.backendRefs)), backends, referrer)
    http = Http(
        name=rule.name or f"{referrer.namespace}.{referrer.name}.{index}",
        headers=effects.headers,
        corsPolicy=effects.cors,
    )
    if not effects.usable:
        return attrs.evolve(http, directResponse=NOBODY)
    if effects.redirect is not None:
        return attrs.evolve(http, redirect=effects.redirect)
    destinations = tuple(_destinations(rule.backendRefs, referrer, backends))
    if not destinations:
        return attrs.evolve(http, directResponse=NOBODY)
    http = attrs.evolve(http, route=destinations, rewrite=effects.rewrite, mirrors=effects.mirrors)
    return _with_times(http, rule)


def _of_the_only(references: Sequence[HTTPBackendRef]) -> tuple[HTTPRouteFilter, ...]:
    """The filters of a rule's only destination that can as well be the rule's: all but those of headers."""
    if len(references) != 1:
        return ()
    return tuple(each for each in references[0].filters if each.type not in HEADER_FILTERS)


def _destinations(
    references: Sequence[HTTPBackendRef], referrer: Referrer, backends: Backends
) -> Iterator[HTTPRouteDestination]:
    """Those with a share of the requests."""
    for each in references:
        if not each.weight:
            continue
        filters = tuple(one for one in each.filters if len(references) > 1 or one.type in HEADER_FILTERS)
        headers, usable = headers_alone(filters, backends, referrer)
        destination = backends.destination(each.object, referrer) if usable else Destination(NOT_SUPPORTED)
        yield HTTPRouteDestination(destination, each.weight, headers)


def _with_times(http: Http, rule: HTTPRouteRule) -> Http:
    """Timeouts and retries: a time for each try is a retry's, and where there is no retry the only try's."""
    retries = None if rule.retry is None else _retries(rule.retry)
    timeout = None
    if rule.timeouts is not None:
        timeout = rule.timeouts.request
        each_try = rule.timeouts.backendRequest
        if each_try is not None and retries is not None:
            retries = attrs.evolve(retries, perTryTimeout=each_try)
        elif each_try is not None and each_try > 0:
            timeout = each_try
    return attrs.evolve(http, timeout=timeout, retries=retries)


def _retries(retry: HTTPRouteRetry) -> HTTPRetry:
    return HTTPRetry(
        attempts=RETRY_ATTEMPTS if retry.attempts is None else retry.attempts,
        retryOn=",".join((*RETRY_ON, *(str(code) for code in retry.codes))),
        backoff=retry.backoff,
    )
