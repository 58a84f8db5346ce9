"""Rules that a proxy was not given, and why: the first question of whoever wonders where his rule went. Pure.

What the compiler left out is not in the snapshot; the VirtualServices tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from meshd.api.networking.virtual_service import HTTPMatchRequest, HTTPRoute, VirtualService
from meshd.control.compiler.matches import Place, concerns
from meshd.control.hosts import covers, gateway_name, resolve, visible
from meshd.control.owned import Owned
from meshd.control.rules import MESH, gateways_of
from meshd.control.scope import GATEWAY, Scope
from meshd.explain.decision import Seen
from meshd.explain.world import World
from meshd.snapshot.route import VirtualHost

Origins = tuple[tuple[str, int], ...]

MOST: Final = 20
"""VirtualServices that are told of though they have no part in it."""


@attrs.frozen
class Left:
    """A rule that this proxy was not given. ``position`` is its place in the VirtualService that has the host."""

    root: str
    position: int
    seen: Seen


def without(world: World, scope: Scope, host: VirtualHost, port: int) -> tuple[tuple[Left, ...], tuple[Seen, ...]]:
    """What has no route in a virtual host though it is for its hosts.

    Returns:
        The rules left out of VirtualServices that have routes here, and one
        ``Seen`` for each VirtualService that has none.
    """
    present = {(route.origin.resource, route.origin.rule) for route in host.routes}
    place = Place(port, gateways_here(world, scope), scope.namespace, scope.labels)
    rules: list[Left] = []
    strangers: list[Seen] = []
    taken = ""
    for rule in world.mesh.virtual_services:
        origins = origins_of(rule)
        if present.intersection(origins):
            taken = taken or str(rule)
            rules += _left(rule, origins, present, place)
        elif _is_for(world, rule, host) and len(strangers) < MOST:
            strangers.append(Seen("virtual_service", -1, matched=False, because="", name=str(rule), resource=str(rule)))
    by_name = {str(rule): rule for rule in world.mesh.virtual_services}
    told = (attrs.evolve(each, because=_why_no_part(by_name[each.resource], place, taken)) for each in strangers)
    return tuple(rules), tuple(told)


def gateways_here(world: World, scope: Scope) -> tuple[str, ...]:
    """How VirtualServices name what this proxy is: ``mesh``, or its Gateways."""
    if scope.kind != GATEWAY:
        return (MESH,)
    labels = dict(scope.labels)
    return tuple(
        f"{gateway.namespace}/{gateway.name}"
        for gateway in world.mesh.gateways
        if all(labels.get(key) == value for key, value in gateway.resource.selector.items())
    )


def origins_of(rule: Owned[VirtualService]) -> Origins:
    """Where each HTTP rule of a VirtualService was written: a delegate's are its own."""
    return rule.http_origins or tuple((str(rule), index) for index in range(len(rule.resource.http)))


def _is_for(world: World, rule: Owned[VirtualService], host: VirtualHost) -> bool:
    """Whether a VirtualService names a host of a virtual host."""
    wanted = {host.service} if host.service else set(host.domains)
    hosts = (resolve(each, rule.namespace, world.mesh.domain) for each in rule.resource.hosts)
    return any(each != "*" and covers(each, name) for each in hosts for name in wanted if name and name != "*")


def _left(rule: Owned[VirtualService], origins: Origins, present: set[tuple[str, int]], place: Place) -> Iterator[Left]:
    for position, (resource, index) in enumerate(origins):
        if (resource, index) not in present:
            because = _why_not_here(rule.resource.http[position], rule.namespace, place)
            yield Left(str(rule), position, Seen("route", index, matched=False, because=because, resource=resource))


def _why_not_here(http: HTTPRoute, owner: str, place: Place) -> str:
    here = [each for each in http.match if concerns(each, owner, place)]
    if http.match and not here:
        return "not for this proxy: " + "; ".join(_obstacles(http.match, place))
    return "it can never be taken: an earlier rule takes everything, or it has nothing to do"


def _obstacles(matches: Iterable[HTTPMatchRequest], place: Place) -> Iterator[str]:
    for match in matches:
        labels = dict(place.labels)
        if match.port and match.port != place.port:
            yield f"port {match.port}, and this is {place.port}"
        elif match.gateways:
            yield f"gateways {', '.join(match.gateways)}, and this is {' or '.join(place.gateways)}"
        elif match.sourceNamespace not in {"", place.namespace}:
            yield f"sourceNamespace {match.sourceNamespace}, and this is {place.namespace}"
        else:
            wrong = [(key, value) for key, value in match.sourceLabels.items() if labels.get(key) != value]
            yield ", ".join(
                f"sourceLabels {key}: {value}, and this is {labels.get(key) or 'absent'}" for key, value in wrong
            )


def _why_no_part(rule: Owned[VirtualService], place: Place, taken: str) -> str:
    """Why a VirtualService for these hosts has no routes here."""
    bound = gateways_of(rule)
    if not set(bound).intersection(place.gateways):
        names = ", ".join(gateway_name(each, rule.namespace) for each in bound)
        here = "a sidecar (mesh)" if place.gateways == (MESH,) else " or ".join(place.gateways) or "no Gateway's"
        return f"has no part here: it is for {names}, and this is {here}"
    if not visible(rule.export_to, rule.namespace, place.namespace):
        return f"has no part here: exportTo does not show it to namespace {place.namespace}"
    if rule.resource.http:
        reasons = dict.fromkeys(_why_not_here(http, rule.namespace, place) for http in rule.resource.http)
        if all(each.startswith("not for this proxy") for each in reasons):
            return f"has no part here: {'; '.join(reasons)}"
    elif rule.resource.tls or rule.resource.tcp:
        return "has no part here: it has no http rules"
    return f"has no part here: {taken} has this host" if taken else "has no part here: none of its rules can be taken"
