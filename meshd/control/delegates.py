"""VirtualServices that leave routes to others: delegates put in their place. Pure.

Source: Istio's ``pilot/pkg/model/virtualservice.go``. A delegate has no hosts.
Its routes take the place of the route that names it; each keeps its own
settings and takes from that route what it leaves open, and its matches must ask
for no more than that route lets through: one that does not is left out. A
delegate that does not exist, or is not exported to the namespace of the one
that names it, takes that route away and nothing else. There is one level.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import attrs

from meshd.api.common import Map, StringMatch
from meshd.api.networking.virtual_service import Destination, HTTPMatchRequest, HTTPRoute, VirtualService
from meshd.control.hosts import gateway_name, resolve, visible
from meshd.control.owned import Owned

Value = TypeVar("Value")

Rule = Owned[VirtualService]

INHERITED = (
    "rewrite",
    "directResponse",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirrorPercent",
    "mirrorPercentage",
    "corsPolicy",
    "headers",
)
"""What a delegate's route takes from the route that names it, where it says nothing itself."""


def merge_delegates(rules: Iterable[Rule], domain: str) -> tuple[Rule, ...]:
    """The VirtualServices that have hosts, with the routes of their delegates; order is kept."""
    listed = tuple(rules)
    delegates = {(rule.namespace, rule.name): rule for rule in listed if not rule.resource.hosts}
    return tuple(_merged(rule, delegates, domain) for rule in listed if rule.resource.hosts)


def is_root(rule: VirtualService) -> bool:
    """Whether any of its routes is left to another."""
    return any(route.delegate is not None for route in rule.http)


def _merged(root: Rule, delegates: dict[tuple[str, str], Rule], domain: str) -> Rule:
    if not is_root(root.resource):
        return root
    routes: list[HTTPRoute] = []
    origins: list[tuple[str, int]] = []
    for index, route in enumerate(root.resource.http):
        if route.delegate is None:
            routes.append(route)
            origins.append((str(root), index))
            continue
        delegate = delegates.get((route.delegate.namespace or root.namespace, route.delegate.name))
        if delegate is None or not visible(delegate.export_to, delegate.namespace, root.namespace):
            continue
        outer = _in_full(route, root.namespace, domain)
        for at, own in enumerate(delegate.resource.http):
            merged = merge_route(outer, _in_full(own, delegate.namespace, domain))
            if merged is not None:
                routes.append(merged)
                origins.append((str(delegate), at))
    return attrs.evolve(root, resource=attrs.evolve(root.resource, http=tuple(routes)), http_origins=tuple(origins))


def merge_route(root: HTTPRoute, own: HTTPRoute) -> HTTPRoute | None:
    """A delegate's route under the route that names it; None when their matches contradict each other."""
    matches = merge_matches(root.match, own.match)
    if matches is None:
        return None
    taken = {name: getattr(root, name) for name in INHERITED if getattr(own, name) is None}
    return attrs.evolve(
        own,
        name=_joined(root.name, own.name),
        match=matches,
        delegate=None,
        mirrors=own.mirrors or root.mirrors,
        **taken,
    )


def merge_matches(
    root: tuple[HTTPMatchRequest, ...], own: tuple[HTTPMatchRequest, ...]
) -> tuple[HTTPMatchRequest, ...] | None:
    """Both together; None when one of the delegate's matches lies under none of the root's."""
    if not root or not own:
        return own or root
    found: list[HTTPMatchRequest] = []
    for match in own:
        fitting = [_merged_match(outer, match) for outer in root if not contradicts(outer, match)]
        if not fitting:
            return None
        found += fitting
    return tuple(found)


def _merged_match(root: HTTPMatchRequest, own: HTTPMatchRequest) -> HTTPMatchRequest:
    return attrs.evolve(
        own,
        name=_joined(root.name, own.name),
        uri=own.uri or root.uri,
        scheme=own.scheme or root.scheme,
        method=own.method or root.method,
        authority=own.authority or root.authority,
        headers=_over(root.headers, own.headers),
        withoutHeaders=_over(root.withoutHeaders, own.withoutHeaders),
        queryParams=_over(root.queryParams, own.queryParams),
        port=own.port or root.port,
        sourceLabels=_over(root.sourceLabels, own.sourceLabels),
        sourceNamespace=own.sourceNamespace or root.sourceNamespace,
        gateways=own.gateways or root.gateways,
    )


def contradicts(root: HTTPMatchRequest, own: HTTPMatchRequest) -> bool:
    """Whether a delegate's match asks for something outside of what a root's match lets through."""
    compared = [(root.uri, own.uri), (root.scheme, own.scheme), (root.method, own.method)]
    compared.append((root.authority, own.authority))
    for outer, inner in (
        (root.headers, own.headers),
        (root.withoutHeaders, own.withoutHeaders),
        (root.queryParams, own.queryParams),
    ):
        compared += [(outer.get(name), match) for name, match in inner.items()]
    return (
        any(_outside(outer, inner) for outer, inner in compared)
        or root.ignoreUriCase != own.ignoreUriCase
        or bool(root.port and own.port and root.port != own.port)
        or bool(root.sourceNamespace and own.sourceNamespace != root.sourceNamespace)
        or any(root.sourceLabels.get(key, value) != value for key, value in own.sourceLabels.items())
        or bool(root.gateways and not set(own.gateways) <= set(root.gateways))
    )


def _outside(root: StringMatch | None, own: StringMatch | None) -> bool:
    """A regular expression lies within nothing and nothing within it; presence within nothing but its absence."""
    if root is None or own is None:
        return False
    if root.regex or own.regex:
        return True
    if root.exact:
        return own.exact != root.exact
    if root.prefix:
        inner = own.prefix or own.exact
        return not (inner and inner.startswith(root.prefix))
    return True


def _in_full(route: HTTPRoute, namespace: str, domain: str) -> HTTPRoute:
    """The route with every name in full: it will stand in a VirtualService of another namespace."""

    def full(destination: Destination) -> Destination:
        return attrs.evolve(destination, host=resolve(destination.host, namespace, domain))

    return attrs.evolve(
        route,
        match=tuple(
            attrs.evolve(match, gateways=tuple(gateway_name(name, namespace) for name in match.gateways))
            for match in route.match
        ),
        route=tuple(attrs.evolve(each, destination=full(each.destination)) for each in route.route),
        mirror=None if route.mirror is None else full(route.mirror),
        mirrors=tuple(attrs.evolve(each, destination=full(each.destination)) for each in route.mirrors),
    )


def _joined(root: str, own: str) -> str:
    return "-".join(name for name in (root, own) if name)


def _over(root: Map[str, Value], own: Map[str, Value]) -> Map[str, Value]:
    return Map({**root, **own}) if root else own
