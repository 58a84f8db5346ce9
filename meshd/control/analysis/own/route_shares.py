"""Weights and mirrors of routes that do not do what their numbers say. Pure.

Source: Istio's ``route.go``: weights are shares of their sum, a single
destination gets everything, a mirror of 0 % is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from meshd.api.document import Document, Path
from meshd.api.networking.virtual_service import (
    Destination,
    HTTPRoute,
    HTTPRouteDestination,
    RouteDestination,
    VirtualService,
)
from meshd.api.problem import Problem
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.remarks import remark
from meshd.control.finding import Finding

WEIGHTS_ARE_NO_PERCENT: Final = "MD0023"
WEIGHT_WITHOUT_EFFECT: Final = "MD0024"
MIRROR_WITHOUT_EFFECT: Final = "MD0025"

LEAST_SUM: Final = 50
"""Sums from here on are taken for percentages that were meant to be 100; below, for proportions such as 3 to 1."""


def route_shares(facts: Facts) -> Iterable[Finding]:
    """Weights and mirrors of VirtualServices."""
    for document in facts.all(VirtualService):
        yield from told(document, _of_service(document))


def _of_service(document: Document) -> Iterator[Problem]:
    service: VirtualService = document.resource
    for index, route in enumerate(service.http):
        here: Path = ("spec", "http", index)
        yield from _weights(document, route.route, (*here, "route"))
        yield from _mirrors(route, here)
    for index, tls in enumerate(service.tls):
        yield from _weights(document, tls.route, ("spec", "tls", index, "route"))
    for index, tcp in enumerate(service.tcp):
        yield from _weights(document, tcp.route, ("spec", "tcp", index, "route"))


def _weights(
    document: Document, destinations: Sequence[HTTPRouteDestination | RouteDestination], path: Path
) -> Iterator[Problem]:
    total = sum(each.weight for each in destinations)
    if len(destinations) == 1:
        here = (*path, 0, "weight")
        if document.has(here) and total != 100:
            yield remark(
                WEIGHT_WITHOUT_EFFECT,
                here,
                f"the only destination gets everything, whatever its weight ({total}): "
                "leave the weight out, or add the destination that gets the rest",
                at_value=True,
            )
    elif total >= LEAST_SUM and total != 100 and all(each.weight >= 0 for each in destinations):
        shares = ", ".join(f"{each.weight / total:.1%}" for each in destinations)
        yield remark(
            WEIGHTS_ARE_NO_PERCENT,
            path,
            f"the weights add up to {total}, not 100: they are proportions, and the shares become {shares}",
        )


def _mirrors(route: HTTPRoute, path: Path) -> Iterator[Problem]:
    percents = [name for name in ("mirrorPercentage", "mirrorPercent") if getattr(route, name) is not None]
    if percents and route.mirror is None:
        yield remark(
            MIRROR_WITHOUT_EFFECT,
            (*path, percents[0]),
            f"{percents[0]} belongs to mirror, which is not there: nothing is mirrored"
            + ("; in mirrors each entry has its own percentage" if route.mirrors else ""),
        )
    found: list[tuple[Path, Destination, float | None]] = []
    if route.mirror is not None:
        percent = route.mirrorPercentage.value if route.mirrorPercentage is not None else route.mirrorPercent
        found.append(((*path, "mirror"), route.mirror, percent))
    for index, policy in enumerate(route.mirrors):
        share = policy.percentage.value if policy.percentage is not None else None
        found.append(((*path, "mirrors", index), policy.destination, share))
    for here, target, percent in found:
        if percent == 0:
            yield remark(MIRROR_WITHOUT_EFFECT, here, "0 % are mirrored: nothing is; raise the percentage or remove it")
        elif percent is None or percent > 0:
            yield from _to_itself(route, target, here)


def _to_itself(route: HTTPRoute, target: Destination, path: Path) -> Iterator[Problem]:
    if len(route.route) == 1 and route.route[0].destination == target:
        yield remark(
            MIRROR_WITHOUT_EFFECT,
            path,
            f"requests are mirrored to where they go anyway ({target.host}): each is done twice there; "
            "name another host or subset",
        )
