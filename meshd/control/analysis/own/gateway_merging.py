"""VirtualServices that one gateway puts together for one host, and rules lost by that. Pure.

Source: Istio's ``pilot/pkg/networking/core/gateway.go``: the rules of the oldest
VirtualService come first, those that take everything last of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from meshd.api.document import Document
from meshd.api.networking.virtual_service import HTTPRoute, VirtualService
from meshd.api.problem import Problem
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.implication import Taken
from meshd.control.analysis.own.remarks import remark
from meshd.control.analysis.own.shadowed import Earlier, Place, taken_by
from meshd.control.analysis.own.viewers import gateway_names
from meshd.control.finding import Finding

SHADOWED_AT_GATEWAY: Final = "MD0044"


def shadowed_at_gateways(facts: Facts) -> Iterable[Finding]:
    """Rules that another VirtualService of the same host takes everything from, at a gateway."""
    groups: dict[tuple[str, str, str], list[Document]] = {}
    for document in facts.all(VirtualService):
        if document.resource.http:
            for name in gateway_names(document):
                for host in document.resource.hosts:
                    groups.setdefault((*name, host), []).append(document)
    said: set[tuple[object, int]] = set()
    for (namespace, gateway, host), documents in groups.items():
        if len(documents) > 1:
            yield from _of_group(f"{namespace}/{gateway}", host, documents, said)


def _of_group(gateway: str, host: str, documents: list[Document], said: set[tuple[object, int]]) -> Iterator[Finding]:
    earlier, last = Earlier(), Earlier()
    for document in sorted(documents, key=lambda each: each.seniority):
        pending: list[tuple[bool, Taken, Place]] = []
        problems: list[Problem] = []
        for index, route in enumerate(document.resource.http):
            matches = [taken for taken in _at(gateway, route, document) if taken is not None]
            covers = [(last if taken.everything else earlier).covering(taken) for taken in matches]
            if matches and all(covers) and (document.key, index) not in said:
                said.add((document.key, index))
                problems.append(_lost(gateway, host, index, [place for place in covers if place is not None]))
            if route.delegate is None:
                owner = f"{document.namespace}/{document.name}"
                pending += [(taken.everything, taken, Place(index, -1, owner)) for taken in matches]
        for everything, taken, place in pending:
            (last if everything else earlier).add(taken, place)
        yield from told(document, problems)


def _at(gateway: str, route: HTTPRoute, document: Document) -> Iterator[Taken | None]:
    """What a rule's matches take at one gateway; None for those that are not for it."""
    only = frozenset((gateway,))
    for taken in taken_by(route, document):
        yield attrs.evolve(taken, gateways=only) if gateway in taken.gateways else None


def _lost(gateway: str, host: str, index: int, places: list[Place]) -> Problem:
    others = sorted({f"rule {place.rule} of VirtualService {place.owner}" for place in places})
    return remark(
        SHADOWED_AT_GATEWAY,
        ("spec", "http", index),
        f"rule {index} is never used for {host} at gateway {gateway}: {' and '.join(others)}, which is older (or first "
        "by name) and so comes first, takes everything it would take; make one VirtualService of them, or narrow "
        "the other's match",
    )
