"""Rules and matches that no request can reach, because an earlier one takes it. Pure.

Istio's own judgement, to the letter, which sees less than everything and
sometimes too much: a match on a path prefix is compared with earlier prefixes
and their other conditions by the beginnings of their texts.
Source: Istio's ``pkg/config/validation/virtualservice.go``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

import attrs

from meshd.api.common import StringMatch
from meshd.api.document import Document, Path
from meshd.api.networking.virtual_service import HTTPMatchRequest, HTTPRoute, TCPRoute, TLSRoute, VirtualService
from meshd.api.problem import Level, Problem, warning
from meshd.control.analysis.facts import Facts, told
from meshd.control.finding import Finding

UNREACHABLE = "IST0130"
INEFFECTIVE = "IST0131"


def unreachable_rules(facts: Facts) -> Iterable[Finding]:
    """Rules of VirtualServices that are never used, and matches that add nothing."""
    for document in facts.all(VirtualService):
        yield from told(document, unreachable(document))


def unreachable(document: Document) -> Iterator[Problem]:
    """The same for one VirtualService."""
    service: VirtualService = document.resource
    yield from _unreachable(service.http, ("spec", "http"))
    yield from _unreachable(service.tls, ("spec", "tls"))
    yield from _unreachable(service.tcp, ("spec", "tcp"))
    yield from _overlapping(service.http)


def _unreachable(routes: Sequence[HTTPRoute | TLSRoute | TCPRoute], path: Path) -> Iterator[Problem]:
    taken: dict[Hashable, int] = {}
    catch_all: int | None = None
    for index, route in enumerate(routes):
        here = (*path, index)
        if catch_all is not None:
            yield _rule(here, index, f"rule {catch_all} before it takes everything")
            if not route.match:
                catch_all = index
            continue
        if not route.match:
            catch_all = index
            continue
        earlier: list[int] = []
        for at, match in enumerate(route.match):
            conditions = _conditions(match)
            same = taken.get(conditions)
            if same is None:
                taken[conditions] = index
            else:
                earlier.append(same)
                message = f"match {at} of rule {index} adds nothing: rule {same} has it already"
                yield Problem(INEFFECTIVE, Level.INFO, (*here, "match", at), message)
        if len(earlier) == len(route.match):
            listed = ", ".join(str(number) for number in sorted(set(earlier)))
            yield _rule(here, index, f"all its matches are those of rule {listed} before it")


def _rule(path: Path, index: int, why: str) -> Problem:
    return warning(path, f"rule {index} is never used: {why}", code=UNREACHABLE)


def _conditions(match: object) -> Hashable:
    """A match without its name, which changes nothing."""
    if isinstance(match, HTTPMatchRequest):
        return attrs.evolve(match, name="")
    assert isinstance(match, Hashable)
    return match


@attrs.frozen
class _Prefix:
    """A match by a path prefix, its other conditions as texts: ``=exact``, ``^prefix``, "" for all else."""

    rule: int
    match: int
    prefix: str
    port: int
    method: str
    authority: str
    others: tuple[Mapping[str, str], Mapping[str, str], Mapping[str, str]]


def _overlapping(routes: Sequence[HTTPRoute]) -> Iterator[Problem]:
    """Matches by a prefix that begins with the prefix of an earlier one, with like conditions."""
    seen: dict[str, list[_Prefix]] = {}
    conditions: set[Hashable] = set()
    for index, route in enumerate(routes):
        if not route.match:
            return  # Whatever comes after is out of reach, which was said.
        for at, match in enumerate(route.match):
            same = _conditions(match)
            if same in conditions:
                continue
            conditions.add(same)
            prefix = _prefix(match, index, at)
            if prefix is None:
                continue
            for earlier in _beginnings(seen, prefix.prefix):
                if _covers(earlier, prefix):
                    yield Problem(
                        INEFFECTIVE,
                        Level.INFO,
                        ("spec", "http", index, "match", at),
                        f"match {at} of rule {index} (prefix {prefix.prefix}) is within match {earlier.match} of rule "
                        f"{earlier.rule} (prefix {earlier.prefix}), which comes first",
                    )
            seen.setdefault(prefix.prefix, []).append(prefix)


def _beginnings(seen: Mapping[str, list[_Prefix]], path: str) -> list[_Prefix]:
    """The matches seen whose prefix this one begins with, and is longer than, in their order."""
    found = [each for length in range(1, len(path)) for each in seen.get(path[:length], ())]
    return sorted(found, key=lambda each: (each.rule, each.match))


def _prefix(match: HTTPMatchRequest, rule: int, at: int) -> _Prefix | None:
    if match.uri is None or not match.uri.prefix:
        return None
    others = (
        {name: _text(each) for name, each in match.headers.items()},
        {name: _text(each) for name, each in match.queryParams.items()},
        {name: _text(each) for name, each in match.withoutHeaders.items()},
    )
    method = _text(match.method) or "=GET"
    return _Prefix(rule, at, match.uri.prefix, match.port, method, _text(match.authority), others)


def _text(match: StringMatch | None) -> str:
    if match is None:
        return ""
    if match.exact:
        return f"={match.exact}"
    return f"^{match.prefix}" if match.prefix else ""


def _covers(earlier: _Prefix, later: _Prefix) -> bool:
    """Whether Istio takes the earlier match to cover the later one, whose prefix begins with its own."""
    return (
        later.port == earlier.port
        and earlier.method.startswith(later.method)
        and earlier.authority.startswith(later.authority)
        and all(_all_cover(one, other) for one, other in zip(earlier.others, later.others, strict=True))
    )


def _all_cover(earlier: Mapping[str, str], later: Mapping[str, str]) -> bool:
    return earlier.keys() == later.keys() and all(text.startswith(later[name]) for name, text in earlier.items())
