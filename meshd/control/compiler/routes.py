"""A VirtualService's http rules as routes. Pure.

Source: Istio's ``pilot/pkg/networking/core/route/route.go``. Delegates stand in
their place already (``control.delegates``).
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import attrs

from meshd.api.common import Percent as ApiPercent
from meshd.api.networking.virtual_service import (
    Abort,
    Delay,
    Destination,
    HTTPDirectResponse,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRetry,
    HTTPRoute,
    HTTPRouteDestination,
    RedirectPortSelection,
    VirtualService,
)
from meshd.control.compiler import names, retries
from meshd.control.compiler.cors import cors
from meshd.control.compiler.headers import Edits, edits, then
from meshd.control.compiler.matches import ANY_PATH, Place, catches_all, concerns, route_match
from meshd.control.hosts import resolve
from meshd.control.owned import Owned
from meshd.snapshot.common import MatchKind, Percent
from meshd.snapshot.policy import Fault, FaultAbort, FaultDelay, FilterSpec
from meshd.snapshot.route import (
    DirectResponse,
    Forward,
    Mirror,
    Origin,
    Redirect,
    Rewrite,
    Route,
    RouteMatch,
    WeightedCluster,
)

PER_MILLION = 10_000
"""Millionths in one per cent."""

NO_BACKEND_STATUS: Final = 500
"""The Gateway API's answer where a destination does not exist, or may not be referred to."""

REDIRECT_CODES: Final = frozenset({301, 302, 303, 307, 308})

GRPC_STATUS: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""gRPC's status codes, at the place of their number."""


@attrs.frozen
class Destinations:
    """What a VirtualService's routes need to know of services and of the mesh.

    ``ports`` has, for each host that has exactly one port, that port;
    ``aliases`` the hosts that stand for others; ``hashed`` the clusters whose
    servers are picked by a hash of the request.
    """

    domain: str
    ports: tuple[tuple[str, int], ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    hashed: tuple[str, ...] = ()
    retries: HTTPRetry | None = None
    """The mesh's ``defaultHttpRetryPolicy``."""

    def cluster(self, destination: Destination, owner: str, listener_port: int) -> str:
        """Its cluster: the port that is said, else the service's only one, else the listener's."""
        host = resolve(destination.host, owner, self.domain)
        port = destination.port.number if destination.port and destination.port.number else 0
        host = dict(self.aliases).get(host, host)
        return names.outbound_cluster(port or dict(self.ports).get(host, 0) or listener_port, destination.subset, host)


def destination_hosts(rule: Owned[VirtualService], domain: str) -> tuple[str, ...]:
    """Every host that a VirtualService sends to, in full, sorted."""
    spec = rule.resource
    found = [each.destination for route in spec.http for each in route.route]
    found += [route.mirror for route in spec.http if route.mirror is not None]
    found += [each.destination for route in spec.http for each in route.mirrors]
    found += [each.destination for tls in spec.tls for each in tls.route]
    found += [each.destination for tcp in spec.tcp for each in tcp.route]
    return tuple(sorted({resolve(destination.host, rule.namespace, domain) for destination in found}))


def reads_labels(rule: Owned[VirtualService]) -> bool:
    """Whether any of its matches asks for the proxy's labels (so that others can share what is compiled)."""
    spec = rule.resource
    http = any(match.sourceLabels for route in spec.http for match in route.match)
    tls = any(match.sourceLabels for route in spec.tls for match in route.match)
    return http or tls or any(match.sourceLabels for route in spec.tcp for match in route.match)


@attrs.frozen
class Needs:
    """What a VirtualService's routes have to be told: of which hosts, and whether of the proxy's labels."""

    hosts: tuple[str, ...]
    labels: bool


def needs_of(rule: Owned[VirtualService], domain: str) -> Needs:
    """What a VirtualService reads of the world."""
    return Needs(destination_hosts(rule, domain), reads_labels(rule))


def compile_routes(rule: Owned[VirtualService], place: Place, destinations: Destinations) -> tuple[Route, ...]:
    """The routes of a VirtualService at one port of one proxy, in order, up to the first that catches all.

    Empty when none of its rules concerns this place: then the host is served
    as if it had no VirtualService (Istio).
    """
    found: list[Route] = []
    for index, http in enumerate(rule.resource.http):
        resource, number = rule.http_origins[index] if rule.http_origins else (str(rule), index)
        for at, match in enumerate(http.match or (None,)):
            if match is not None and not concerns(match, rule.namespace, place):
                continue
            route = _route(http, match, rule.namespace, place, destinations)
            if route is None:
                continue
            which = at if http.match else -1
            if rule.gateway_api:
                which = rule.http_matches[index]
                route = _without_cluster(route)
            found.append(attrs.evolve(route, origin=Origin(resource, number, which)))
            if catches_all(route.match):
                return tuple(found)
        if not http.match:
            # Without a match it would have caught everything, even if it can do nothing (Istio).
            break
    return tuple(found)


def _without_cluster(route: Route) -> Route:
    """A route of the Gateway API, which has an answer of its own for destinations that do not exist."""
    if not isinstance(route.action, Forward):
        return route
    return attrs.evolve(route, action=attrs.evolve(route.action, missing_cluster_status=NO_BACKEND_STATUS))


def _route(
    http: HTTPRoute, match: HTTPMatchRequest | None, owner: str, place: Place, destinations: Destinations
) -> Route | None:
    matched = RouteMatch() if match is None else route_match(match)
    if matched is None:
        return None
    name = ".".join(part for part in (http.name, match.name if match else "") if part) or names.DEFAULT_ROUTE
    changed = edits(http.headers)
    filters: tuple[FilterSpec, ...] = (*(() if http.fault is None else _fault(http.fault)), *cors(http.corsPolicy))
    if http.redirect is not None:
        redirect = _redirect(http.redirect)
        return None if redirect is None else _answer(name, matched, redirect, changed, filters)
    if http.directResponse is not None:
        return _answer(name, matched, _direct_response(http.directResponse), changed, filters)
    if not http.route:
        return None
    if len(http.route) == 1:
        # A single destination's headers and host count as the route's own, after them.
        single = edits(http.route[0].headers)
        changed = Edits(
            then(changed.request, single.request),
            then(changed.response, single.response),
            changed.host or single.host,
        )
    rewrite, matched = _rewrite(http, matched, changed.host)
    forward = _forward(http, owner, place, destinations)
    if any(isinstance(each, Fault) for each in filters):
        # Istio: a route that injects faults has neither a timeout nor retries.
        forward = attrs.evolve(forward, timeout=0.0, retry=None)
    return Route(
        name=name,
        match=matched,
        action=attrs.evolve(forward, rewrite=rewrite),
        filters=filters,
        request_headers=changed.request,
        response_headers=changed.response,
    )


def _answer(
    name: str, match: RouteMatch, action: Redirect | DirectResponse, changed: Edits, filters: tuple[FilterSpec, ...]
) -> Route:
    return Route(name, match, action, filters, request_headers=changed.request, response_headers=changed.response)


def _forward(http: HTTPRoute, owner: str, place: Place, destinations: Destinations) -> Forward:
    clusters = _clusters(http.route, owner, place, destinations)
    hashed = len(clusters) == 1 and clusters[0].cluster in destinations.hashed
    return Forward(
        clusters=clusters,
        timeout=http.timeout or 0.0,
        retry=retries.outbound(http.retries or destinations.retries, hashed=hashed),
        mirrors=_mirrors(http, owner, place, destinations),
    )


def _clusters(
    routed: tuple[HTTPRouteDestination, ...], owner: str, place: Place, destinations: Destinations
) -> tuple[WeightedCluster, ...]:
    if len(routed) == 1:
        return (WeightedCluster(destinations.cluster(routed[0].destination, owner, place.port)),)
    weighted = [each for each in routed if each.weight > 0]
    found = []
    for each in weighted or routed:
        changed = edits(each.headers)
        cluster = destinations.cluster(each.destination, owner, place.port)
        found.append(WeightedCluster(cluster, each.weight or 1, changed.request, changed.response, changed.host))
    return tuple(found)


def _mirrors(http: HTTPRoute, owner: str, place: Place, destinations: Destinations) -> tuple[Mirror, ...]:
    found = []
    if http.mirror is not None:
        share = http.mirrorPercentage
        if share is None and http.mirrorPercent is not None:
            share = ApiPercent(float(http.mirrorPercent))
        found.append((http.mirror, share))
    found += [(each.destination, each.percentage) for each in http.mirrors]
    mirrors = []
    for destination, share in found:
        percent = percent_of(share, absent=100.0)
        if percent.per_million:
            mirrors.append(Mirror(destinations.cluster(destination, owner, place.port), percent))
    return tuple(mirrors)


def percent_of(percent: ApiPercent | None, *, absent: float) -> Percent:
    """A percentage in millionths; ``absent`` is what a missing one means, in per cent."""
    value = absent if percent is None else percent.value
    return Percent(min(1_000_000, max(0, round(value * PER_MILLION))))


def _rewrite(http: HTTPRoute, match: RouteMatch, header_host: str) -> tuple[Rewrite, RouteMatch]:
    """The rewrite, and the match it goes with: a prefix rewrite without a path match is one of ``/``."""
    asked = http.rewrite
    if asked is None:
        return Rewrite(host=header_host), match
    host = asked.authority or header_host
    if asked.uriRegexRewrite is not None and asked.uriRegexRewrite.match:
        regex = (asked.uriRegexRewrite.match, asked.uriRegexRewrite.rewrite)
        return Rewrite(regex=regex, host=host), match
    if not asked.uri:
        return Rewrite(host=host), match
    if match.path is None:
        match = attrs.evolve(match, path=ANY_PATH)
    if match.path is not None and match.path.kind in {MatchKind.PREFIX, MatchKind.PATH_PREFIX}:
        return Rewrite(prefix=asked.uri, host=host), match
    return Rewrite(full=asked.uri, host=host), match


def _redirect(redirect: HTTPRedirect) -> Redirect | None:
    status = redirect.redirectCode or 301
    if status not in REDIRECT_CODES:
        return None
    standard = {"http": 80, "https": 443}.get(redirect.scheme)
    return Redirect(
        status=status,
        scheme=redirect.scheme,
        host=redirect.authority,
        port=0 if redirect.port == standard else redirect.port or 0,
        port_from_request=redirect.derivePort is RedirectPortSelection.FROM_REQUEST_PORT,
        path=redirect.uri,
        prefix=redirect.prefixRewrite or None,
    )


def _direct_response(response: HTTPDirectResponse) -> DirectResponse:
    body = response.body
    if body is None:
        return DirectResponse(response.status)
    if body.bytes is not None:
        try:
            return DirectResponse(response.status, base64.b64decode(body.bytes).decode("utf-8", "replace"))
        except binascii.Error:
            return DirectResponse(response.status)
    return DirectResponse(response.status, body.string or "")


def _fault(fault: HTTPFaultInjection) -> tuple[Fault, ...]:
    delay = None if fault.delay is None else _delay(fault.delay)
    abort = None if fault.abort is None else _abort(fault.abort)
    return () if delay is None and abort is None else (Fault(delay, abort),)


def _delay(delay: Delay) -> FaultDelay | None:
    share = delay.percentage
    if share is None and delay.percent is not None:
        share = ApiPercent(float(delay.percent))
    percent = percent_of(share, absent=0.0)
    return FaultDelay(delay.fixedDelay, percent) if delay.fixedDelay and percent.per_million else None


def _abort(abort: Abort) -> FaultAbort | None:
    percent = percent_of(abort.percentage, absent=0.0)
    if not percent.per_million:
        return None
    if abort.httpStatus is not None:
        return FaultAbort(percent, http_status=abort.httpStatus)
    status = (abort.grpcStatus or "").upper()
    number = GRPC_STATUS.index(status) if status in GRPC_STATUS else -1
    return FaultAbort(percent, grpc_status=number) if number >= 0 else None
