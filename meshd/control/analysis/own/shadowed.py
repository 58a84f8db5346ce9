"""Rules and matches that are never reached, because earlier ones take all they would take. Pure.

Istio's own codes speak of equal matches and of rules without any (``unreachable``);
here a match also covers what is narrower: a prefix longer paths, a rule without
a header those that ask for one. What Istio's codes say already is left to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from meshd.api.document import Document, Path
from meshd.api.networking.virtual_service import HTTPMatchRequest, HTTPRoute, TCPRoute, TLSRoute, VirtualService
from meshd.api.problem import Problem
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.istio.unreachable import unreachable
from meshd.control.analysis.own.implication import Kind, Taken, taken_by_connection, taken_by_http
from meshd.control.analysis.own.remarks import remark
from meshd.control.finding import Finding

SHADOWED_RULE: Final = "MD0010"
SHADOWED_MATCH: Final = "MD0011"

MOST_COMPARISONS: Final = 50_000
"""Of matches of one list of rules. Ordinary lists need some hundreds; what is not compared is not reported."""

Route = HTTPRoute | TLSRoute | TCPRoute


@attrs.frozen
class Place:
    """A match: of which rule, at which position of it (-1: the rule has no match and takes everything)."""

    rule: int
    match: int = -1
    owner: str = ""
    """Of a rule of another VirtualService: its name."""


class Earlier:
    """The matches that have been seen, to find one that covers another without comparing all.

    Each is filed under one thing that whatever it covers must have: a literal
    its path begins with, a header, a method, a port. Grows by ``add`` only.
    """

    def __init__(self) -> None:
        self._filed: dict[object, list[tuple[Taken, Place]]] = {}
        self.comparisons = 0

    def add(self, taken: Taken, place: Place) -> None:
        """Remember a match."""
        key = min(_needs(taken), key=lambda each: len(self._filed.get(each, ())))
        self._filed.setdefault(key, []).append((taken, place))

    def covering(self, taken: Taken) -> Place | None:
        """An earlier match that takes everything this one would."""
        for key in _has(taken):
            for other, place in self._filed.get(key, ()):
                if self.comparisons >= MOST_COMPARISONS:
                    return None
                self.comparisons += 1
                if other.covers(taken):
                    return place
        return None


def _needs(taken: Taken) -> list[object]:
    """What a match must have to be covered by this one: any of these would do to find it."""
    found: list[object] = []
    if taken.path.kind is not Kind.ANY:
        literal = taken.path.literal
        exact = taken.path.kind is Kind.EXACT
        found.append(("path", literal.lower()) if exact else ("begins", literal.lower()))
    for kind, texts in (("header", taken.headers), ("query", taken.query)):
        for name, text in texts.items():
            found.append((kind, name, text.literal) if text.kind is Kind.EXACT else (kind, name))
    if taken.method.kind is Kind.EXACT:
        found.append(("method", taken.method.value))
    if taken.port:
        found.append(("port", taken.port))
    found += [("name", name) for name in taken.server_names[:1] if len(taken.server_names) == 1 and name[0] != "*"]
    return found or [()]


def _has(taken: Taken) -> Iterator[object]:
    """Everything of this match under which one that covers it may be filed."""
    literal = taken.path.literal.lower()
    if taken.path.kind is Kind.EXACT:
        yield ("path", literal)
    if taken.path.kind is not Kind.ANY:
        yield from (("begins", literal[:length]) for length in range(len(literal) + 1))
    for kind, texts in (("header", taken.headers), ("query", taken.query)):
        for name, text in texts.items():
            yield (kind, name)
            if text.kind is Kind.EXACT:
                yield (kind, name, text.literal)
    if taken.method.kind is Kind.EXACT:
        yield ("method", taken.method.value)
    if taken.port:
        yield ("port", taken.port)
    yield from (("name", name) for name in taken.server_names)
    yield ()


def shadowed_rules(facts: Facts) -> Iterable[Finding]:
    """Rules and matches of VirtualServices that earlier ones leave nothing to."""
    for document in facts.all(VirtualService):
        yield from told(document, shadowed(document))


def shadowed(document: Document) -> Iterator[Problem]:
    """Rules and matches of one VirtualService that are never reached."""
    service: VirtualService = document.resource
    lists: tuple[tuple[str, Sequence[Route]], ...] = (
        ("http", service.http),
        ("tls", service.tls),
        ("tcp", service.tcp),
    )
    if not any(len(routes) > 1 or any(len(route.match) > 1 for route in routes) for _, routes in lists):
        return
    found = [problem for kind, routes in lists for problem in _of_list(document, routes, ("spec", kind))]
    if found:
        # What Istio's codes say is asked last, because mostly there is nothing.
        said = {problem.path for problem in unreachable(document)}
        yield from (problem for problem in found if problem.path not in said and problem.path[:3] not in said)


def _of_list(document: Document, routes: Sequence[Route], path: Path) -> Iterator[Problem]:
    earlier = Earlier()
    for index, route in enumerate(routes):
        here = (*path, index)
        matches = taken_by(route, document)
        covers = [earlier.covering(taken) for taken in matches]
        if all(covers):
            yield _of_rule(here, route, routes, [place for place in covers if place is not None])
        elif route.match:
            yield from _of_matches(here, routes, matches, covers)
        if isinstance(route, HTTPRoute) and route.delegate is not None:
            continue  # It takes what its delegate takes, which may be nothing.
        for at, taken in enumerate(matches):
            earlier.add(taken, Place(index, at if route.match else -1))


def taken_by(route: Route, document: Document) -> list[Taken]:
    """What each match of a rule takes; one without matches takes everything."""
    service: VirtualService = document.resource
    if isinstance(route, HTTPRoute):
        matches = route.match or (HTTPMatchRequest(),)
        return [taken_by_http(match, service.gateways, document.namespace) for match in matches]
    if not route.match:
        return [taken_by_http(HTTPMatchRequest(), service.gateways, document.namespace)]
    return [taken_by_connection(match, service.gateways, document.namespace) for match in route.match]


def _of_rule(path: Path, route: Route, routes: Sequence[Route], places: Sequence[Place]) -> Problem:
    rules = sorted({place.rule for place in places})
    index = path[-1]
    named = " and ".join(f"rule {number}{_named(routes[number])}" for number in rules)
    verb = "takes" if len(rules) == 1 else "take"
    hint = _word_boundary(route, routes, places)
    return remark(
        SHADOWED_RULE,
        path,
        f"rule {index}{_named(route)} is never used: {named} before it {verb} everything it would take{hint}; "
        f"put it before {'that one' if len(rules) == 1 else 'those'}, or remove it",
    )


def _of_matches(
    path: Path,
    routes: Sequence[Route],
    matches: Sequence[Taken],
    covers: Sequence[Place | None],
) -> Iterator[Problem]:
    route = routes[int(path[-1])]
    own = Earlier()
    if len(matches) == 1 and covers[0] is None:
        return
    for at, (taken, place) in enumerate(zip(matches, covers, strict=True)):
        here = (*path, "match", at)
        found = place or own.covering(taken)
        own.add(taken, Place(int(path[-1]), at))
        if found is None:
            continue
        if found.rule == path[-1]:
            why = f"match {found.match} of the same rule takes everything it would take; remove one of the two"
        else:
            hint = _word_boundary(route, routes, [found], at)
            why = (
                f"rule {found.rule}{_named(routes[found.rule])} before it takes everything it would take{hint}; "
                "put this rule before that one, or remove the match"
            )
        yield remark(SHADOWED_MATCH, here, f"match {at} of rule {path[-1]} is never used: {why}")


def _named(route: Route) -> str:
    return f' "{route.name}"' if isinstance(route, HTTPRoute) and route.name else ""


def _word_boundary(route: Route, routes: Sequence[Route], places: Sequence[Place], only: int | None = None) -> str:
    """Says so where a prefix took what only begins with the same letters: ``/foo`` takes ``/foobar``."""
    if not isinstance(route, HTTPRoute):
        return ""
    for place in places:
        other = routes[place.rule]
        if not isinstance(other, HTTPRoute) or place.match < 0 or place.match >= len(other.match):
            continue
        uri = other.match[place.match].uri
        prefix = uri.prefix if uri is not None else None
        for at, match in enumerate(route.match):
            mine = (match.uri.exact or match.uri.prefix) if match.uri is not None else None
            wanted = only is None or at == only
            if wanted and prefix and mine and mine.startswith(prefix) and not _at_boundary(prefix, mine):
                return (
                    f' (the prefix "{prefix}" also takes "{mine}": a prefix does not end at a slash of its own accord)'
                )
    return ""


def _at_boundary(prefix: str, path: str) -> bool:
    return prefix.endswith("/") or len(path) == len(prefix) or path[len(prefix)] in "/?"
