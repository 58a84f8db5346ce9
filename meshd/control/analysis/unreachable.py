"""Routes that no request can reach, because an earlier one takes it. Pure.

Source: Istio's ``pkg/config/validation`` (IST0130), and what its generator
does: a route after one that takes everything is dropped.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence

import attrs

from meshd.api.document import Document, Path
from meshd.api.networking.virtual_service import HTTPMatchRequest, HTTPRoute, TCPRoute, TLSRoute, VirtualService
from meshd.api.problem import Problem, warning
from meshd.control.analysis.facts import Facts, told
from meshd.control.finding import Finding

UNREACHABLE = "IST0130"


def unreachable_rules(facts: Facts) -> Iterable[Finding]:
    """Rules of VirtualServices that are never used."""
    for document in facts.all(VirtualService):
        yield from told(document, unreachable(document))


def unreachable(document: Document) -> Iterator[Problem]:
    """Rules of a VirtualService that are never used."""
    service: VirtualService = document.resource
    yield from _unreachable(service.http, ("spec", "http"))
    yield from _unreachable(service.tls, ("spec", "tls"))
    yield from _unreachable(service.tcp, ("spec", "tcp"))


def _unreachable(routes: Sequence[HTTPRoute | TLSRoute | TCPRoute], path: Path) -> Iterator[Problem]:
    taken: dict[Hashable, int] = {}
    catch_all: int | None = None
    for index, route in enumerate(routes):
        here = (*path, index)
        if catch_all is not None:
            yield _finding(here, index, f"rule {catch_all} before it takes everything")
            continue
        conditions = [_conditions(match) for match in route.match]
        if conditions and all(condition in taken for condition in conditions):
            earlier = ", ".join(str(number) for number in sorted({taken[condition] for condition in conditions}))
            yield _finding(here, index, f"all its matches are those of rule {earlier} before it")
        for condition in conditions:
            taken.setdefault(condition, index)
        if not conditions or any(_everything(match) for match in route.match):
            catch_all = index


def _finding(path: Path, index: int, why: str) -> Problem:
    return warning(path, f"rule {index} is never used: {why}", code=UNREACHABLE)


def _conditions(match: object) -> Hashable:
    """A match without its name, which changes nothing."""
    if isinstance(match, HTTPMatchRequest):
        return attrs.evolve(match, name="")
    assert isinstance(match, Hashable)
    return match


def _everything(match: object) -> bool:
    """Whether it has no condition at all; the path prefix ``/`` is none."""
    if not isinstance(match, HTTPMatchRequest):
        return False
    plain = attrs.evolve(match, name="", ignoreUriCase=False)
    if plain.uri is not None and plain.uri.prefix == "/":
        plain = attrs.evolve(plain, uri=None)
    return plain == HTTPMatchRequest()
