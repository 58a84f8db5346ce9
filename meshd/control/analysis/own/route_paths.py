"""Paths in routes that mean something else than they seem to: prefixes, rewrites, regular expressions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from meshd.api.common import StringMatch
from meshd.api.document import Path
from meshd.api.networking.virtual_service import HTTPMatchRequest, HTTPRoute, VirtualService
from meshd.api.problem import Problem
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.regex_text import Shape, has_bare_dot, shape_of
from meshd.control.analysis.own.remarks import remark
from meshd.control.finding import Finding

PREFIX_WITHIN_WORD: Final = "MD0012"
REWRITE_JOINS_BADLY: Final = "MD0013"
NEVER_MATCHES: Final = "MD0014"
REGEX_ANCHORS: Final = "MD0015"
REGEX_NOT_NEEDED: Final = "MD0016"
REGEX_LARGE: Final = "MD0017"

LARGE_PROGRAM: Final = 1000
"""Instructions of RE2: some forty times those of an ordinary expression, all of which a request may have to pass."""


def route_paths(facts: Facts) -> Iterable[Finding]:
    """How the rules of VirtualServices compare and rewrite paths."""
    for document in facts.all(VirtualService):
        service: VirtualService = document.resource
        yield from told(document, _of_service(service))


def _of_service(service: VirtualService) -> Iterator[Problem]:
    elsewhere = _Elsewhere(service.http)
    for index, route in enumerate(service.http):
        here: Path = ("spec", "http", index)
        for at, match in enumerate(route.match):
            yield from _regexes(match, (*here, "match", at))
            yield from _plain_path(match, (*here, "match", at))
            yield from _prefix(elsewhere, match, index, (*here, "match", at))
        yield from _rewrite(route, here)


class _Elsewhere:
    """Which prefixes rules have, and what rules do, to ask what a later one would do with a path. Never changes."""

    def __init__(self, routes: tuple[HTTPRoute, ...]) -> None:
        self._actions = [attrs.evolve(route, name="", match=()) for route in routes]
        self._first: dict[str, int] = {}
        self._last: dict[str, list[int]] = {}
        for index, route in enumerate(routes):
            for prefix in _prefixes(route):
                self._first.setdefault(prefix, index)
                self._last.setdefault(prefix, []).append(index)

    def knows_slash(self, prefix: str, index: int) -> bool:
        """Whether the author knows: the same prefix stands there, or before, with its slash."""
        return self._first.get(f"{prefix}/", index + 1) <= index

    def would_differ(self, prefix: str, index: int) -> bool:
        """Whether a later rule would take longer words than ``prefix`` and do something else with them."""
        beginnings = (prefix[:length] for length in range(len(prefix) + 1))
        last = [rules[-1] for each in beginnings if (rules := self._last.get(each)) and rules[-1] > index]
        return any(self._actions[each] != self._actions[index] for each in last)


def _prefixes(route: HTTPRoute) -> set[str]:
    """The path prefixes that a rule takes; "" is every path."""
    if not route.match:
        return {""}
    taken = (("" if match.uri is None else match.uri.prefix) for match in route.match)
    return {prefix for prefix in taken if prefix is not None}


def _prefix(elsewhere: _Elsewhere, match: HTTPMatchRequest, index: int, path: Path) -> Iterator[Problem]:
    """A prefix that ends within a word, where the longer words would have gone elsewhere."""
    prefix = match.uri.prefix if match.uri is not None else None
    if not prefix or not prefix[-1].isalnum() or elsewhere.knows_slash(prefix, index):
        return
    if elsewhere.would_differ(prefix, index):
        yield remark(
            PREFIX_WITHIN_WORD,
            (*path, "uri", "prefix"),
            f'the prefix "{prefix}" also takes "{prefix}x", which a later rule would serve otherwise: prefixes do not '
            f'end at a slash; where that is not meant, write exact "{prefix}" and prefix "{prefix}/"',
            at_value=True,
        )


def _rewrite(route: HTTPRoute, path: Path) -> Iterator[Problem]:
    """A prefix replaced by one that does not end alike: ``/a/x`` becomes ``//x``, or ``/bx``."""
    new = route.rewrite.uri if route.rewrite is not None else ""
    if not new:
        return
    prefixes = [match.uri.prefix if match.uri is not None else None for match in route.match] or [None]
    for at, (prefix, match) in enumerate(zip(prefixes, route.match or (None,), strict=True)):
        if match is not None and match.uri is not None and prefix is None:
            continue  # The whole path is replaced.
        old = prefix or "/"
        if old.endswith("/") == new.endswith("/"):
            continue
        if not old.endswith("/") and f"{old}/" in [each for each in prefixes[:at] if each]:
            continue  # Whatever has a slash after it was taken by the match before.
        sample = f"{old}x" if old.endswith("/") else f"{old}/x"
        remedy = (f'write the prefix as "{old}/"' if new.endswith("/") else f'write the rewrite as "{new}/"') + (
            f', after a match of exact "{old}" where that is needed' if new.endswith("/") else ""
        )
        yield remark(
            REWRITE_JOINS_BADLY,
            (*path, "rewrite", "uri"),
            f'"{sample}" becomes "{new}{sample[len(old) :]}": "{new}" takes the place of "{old}" letter by letter; {remedy}',
            at_value=True,
        )
        return


def _plain_path(match: HTTPMatchRequest, path: Path) -> Iterator[Problem]:
    """A path that no request has."""
    uri = match.uri
    for name, value in (("exact", uri.exact), ("prefix", uri.prefix)) if uri is not None else ():
        if not value:
            continue
        here = (*path, "uri", name)
        if not value.startswith("/") and value != "*":
            yield remark(
                NEVER_MATCHES,
                here,
                f'"{value}" matches no request: paths begin with a slash, as in "/{value}"',
                at_value=True,
            )
        elif "?" in value:
            yield remark(
                NEVER_MATCHES,
                here,
                f'"{value}" matches no request: what is compared ends before the "?"; use queryParams',
                at_value=True,
            )


def _regexes(match: HTTPMatchRequest, path: Path) -> Iterator[Problem]:
    singles = (("uri", match.uri), ("authority", match.authority), ("scheme", match.scheme), ("method", match.method))
    for name, value in singles:
        if value is not None and value.regex:
            yield from _regex(value, (*path, name, "regex"), name)
    for field in ("headers", "withoutHeaders", "queryParams"):
        for name, value in getattr(match, field).items():
            if value.regex:
                yield from _regex(value, (*path, field, name, "regex"), field)


def _regex(value: StringMatch, path: Path, field: str) -> Iterator[Problem]:
    pattern = value.regex or ""
    shape = shape_of(pattern)
    if field == "uri" and shape.literal and not shape.literal.startswith("/"):
        yield remark(
            NEVER_MATCHES,
            path,
            f'"{pattern}" matches no path: it must match all of it, and paths begin with a slash; '
            f'write ".*{pattern}" for paths that end so, or begin it with "/"',
            at_value=True,
        )
    elif _thinks_of_searching(pattern):
        yield remark(
            REGEX_ANCHORS,
            path,
            f'"{pattern}" must match the whole text, not a part of it: as it stands only "{shape.literal}" does; '
            'add ".*" where something may follow or come before, or use exact',
            at_value=True,
        )
    elif _is_plain(shape, pattern):
        better = f'exact: "{shape.literal}"' if shape.exact else f'prefix: "{shape.literal}"'
        yield remark(
            REGEX_NOT_NEEDED, path, f'"{pattern}" compares as {better} does, at a higher price: use that', at_value=True
        )
    elif field == "authority" and has_bare_dot(pattern):
        yield remark(
            REGEX_ANCHORS,
            path,
            f'in "{pattern}" a "." stands for any character, so that other hosts match too: write it as "\\."',
            at_value=True,
        )
    size = _program_size(pattern)
    if size > LARGE_PROGRAM:
        yield remark(
            REGEX_LARGE,
            path,
            f"the expression becomes {size} instructions, which every request that comes so far has to pass: "
            "use fewer or smaller repetitions, or prefix and exact",
            at_value=True,
        )


def _thinks_of_searching(pattern: str) -> bool:
    """Whether it is anchored on one side only and ends in plain letters, as one writes for a search."""
    begins, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    return begins != ends and shape_of(pattern).exact and shape_of(pattern).literal != ""


def _is_plain(shape: Shape, pattern: str) -> bool:
    return bool(shape.literal) and (shape.exact or shape.prefix) and pattern != "*"


def _program_size(pattern: str) -> int:
    """How large it is for RE2; 0 when it is none, or plainly small."""
    if "{" not in pattern and len(pattern) < 200:
        return 0
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return int(re2.compile(pattern.encode(), options).programsize)
    except re2.error:
        return 0
