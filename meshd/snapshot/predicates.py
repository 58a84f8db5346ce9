"""String and header matches, compiled into callables. Pure.

The same meaning as ``snapshot.match`` (a property test holds them together),
made once when a snapshot is prepared: a predicate takes bytes, or headers, and
its result is to be used for its truth only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from meshd.snapshot.common import HeaderMatch, MatchKind, StringMatch
from meshd.snapshot.match import HeaderList
from meshd.snapshot.regex import full_match

Predicate = Callable[[bytes], object]
HeaderPredicate = Callable[[HeaderList], object]


def compile_string(match: StringMatch) -> Predicate:
    """A predicate on bytes.

    Raises:
        ConfigError: the regular expression is not RE2.
    """
    wanted = match.value.encode()
    if match.kind is MatchKind.REGEX:
        return full_match(match.value)
    if match.ignore_case:
        exact = compile_string(StringMatch(match.kind, wanted.lower().decode()))
        return lambda value: exact(value.lower())
    match match.kind:
        case MatchKind.EXACT:
            return wanted.__eq__
        case MatchKind.PREFIX:
            return lambda value: value.startswith(wanted)
        case MatchKind.SUFFIX:
            return lambda value: value.endswith(wanted)
        case MatchKind.PRESENT:
            return lambda _value: True
        case MatchKind.NON_EMPTY:
            return bool
    stem = wanted.rstrip(b"/")
    below = stem + b"/"
    return lambda value: value == stem or value.startswith(below)


def compile_any(matches: Iterable[StringMatch]) -> Predicate:
    """True when one of the matches holds; exact ones are one look-up.

    Raises:
        ConfigError: a regular expression is not RE2.
    """
    exact: set[bytes] = set()
    others: list[Predicate] = []
    for match in matches:
        if match.kind is MatchKind.EXACT and not match.ignore_case:
            exact.add(match.value.encode())
        else:
            others.append(compile_string(match))
    if not others:
        if len(exact) == 1:
            return next(iter(exact)).__eq__
        return frozenset(exact).__contains__
    if len(others) == 1 and not exact:
        return others[0]
    known = frozenset(exact)
    return lambda value: value in known or any(holds(value) for holds in others)


def compile_values(holds: Predicate) -> Callable[[list[bytes]], object]:
    """A predicate on a repeated header's values: any one of them, or all joined by ``,``."""

    def any_value(values: list[bytes]) -> object:
        if len(values) == 1:
            return holds(values[0])
        return any(holds(value) for value in values) or holds(b",".join(values))

    return any_value


def compile_header(match: HeaderMatch) -> HeaderPredicate:
    """A predicate on headers.

    Raises:
        ConfigError: the regular expression is not RE2.
    """
    name = match.name.encode()
    if match.match.kind is MatchKind.PRESENT:
        if match.invert:
            return lambda headers: not headers.get_all(name)
        return lambda headers: headers.get_all(name)
    any_value = compile_values(compile_string(match.match))
    missing = match.invert
    if match.treat_missing_as_empty:
        missing = bool(any_value([b""])) != match.invert
    invert = match.invert

    def holds(headers: HeaderList) -> object:
        values = headers.get_all(name)
        if not values:
            return missing
        return not any_value(values) if invert else any_value(values)

    return holds
