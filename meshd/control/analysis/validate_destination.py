"""Destinations of routes and mirrors. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshd.api.document import Path
from meshd.api.networking.virtual_service import Destination, HTTPRouteDestination, RouteDestination
from meshd.api.problem import Problem, error
from meshd.control.analysis import checks


def destinations(routes: Sequence[HTTPRouteDestination | RouteDestination], path: Path) -> Iterator[Problem]:
    """The destinations of a route and their weights."""
    for index, route in enumerate(routes):
        here = (*path, index)
        yield from destination(route.destination, (*here, "destination"))
        yield from checks.not_negative(route.weight, (*here, "weight"))
    if len(routes) > 1 and sum(route.weight for route in routes) == 0:
        yield error(path, "all the weights together are 0: nothing would get a request", at_value=False)


def destination(target: Destination, path: Path) -> Iterator[Problem]:
    """Host, subset and port."""
    if target.host == "*":
        yield error((*path, "host"), '"*" is not a destination: name a service')
    else:
        yield from checks.wildcard_host(target.host, (*path, "host"))
    if target.subset:
        yield from subset_name(target.subset, (*path, "subset"))
    if target.port is not None:
        yield from checks.port(target.port.number, (*path, "port", "number"))


def subset_name(name: str, path: Path) -> Iterator[Problem]:
    """The name of a DestinationRule's subset."""
    if not checks.LABEL.fullmatch(name):
        yield error(path, f'"{name}" is not a subset\'s name: letters, digits and "-", 63 at most')
