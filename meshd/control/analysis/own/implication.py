"""Whether everything that one match takes is also taken by another. Pure.

The answer is cautious: True is certain, False is "not certain". Both matches
belong to rules of which the earlier one is asked first, so that a later match
that is covered is never reached.

Source of the meanings: Istio's ``pilot/pkg/networking/core/route/route.go``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import cached_property

import attrs

from meshd.api.common import StringMatch
from meshd.api.networking.virtual_service import HTTPMatchRequest, L4MatchAttributes, TLSMatchAttributes
from meshd.control import hosts
from meshd.control.analysis.own.regex_text import shape_of
from meshd.control.rules import MESH, gateway_name
from meshd.errors import ConfigError
from meshd.snapshot.regex import full_match


class Kind(Enum):
    """What a text is compared by."""

    ANY = "any"
    PRESENT = "present"
    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"


@attrs.frozen
class Text:
    """One comparison. ``literal`` is what everything that matches begins with."""

    kind: Kind
    value: str = ""
    literal: str = ""
    ignore_case: bool = False

    @cached_property
    def matches(self) -> Callable[[bytes], object]:
        """Of a regular expression."""
        try:
            return full_match(self.value)
        except ConfigError:
            return lambda _text: False

    def covers(self, other: Text) -> bool:
        """Whether every text that ``other`` matches is one of these."""
        if self.kind is Kind.ANY:
            return True
        if self.kind is Kind.PRESENT or other.kind in {Kind.ANY, Kind.PRESENT}:
            return self.kind is Kind.PRESENT and other.kind is not Kind.ANY
        if self.kind is Kind.REGEX:
            same = other.kind is Kind.REGEX and other.value == self.value
            return same or (
                other.kind is Kind.EXACT and not other.ignore_case and bool(self.matches(other.value.encode()))
            )
        mine, theirs = self.value, other.literal
        if other.ignore_case and not self.ignore_case and mine.lower() != mine.upper():
            return False
        if self.ignore_case:
            mine, theirs = mine.lower(), theirs.lower()
        if self.kind is Kind.EXACT:
            return other.kind is Kind.EXACT and mine == theirs
        return theirs.startswith(mine)


ANY = Text(Kind.ANY)


def of_path(match: StringMatch | None, *, ignore_case: bool = False) -> Text:
    """A comparison of paths, which all begin with ``/``."""
    found = _of_text(match, ignore_case=ignore_case)
    anything = found.kind is Kind.PRESENT or (found.kind is Kind.PREFIX and found.value in {"", "/"})
    return ANY if anything else found


def of_header(match: StringMatch | None) -> Text:
    """A comparison of a header, a parameter or another text."""
    found = _of_text(match)
    return Text(Kind.PRESENT) if found.kind is Kind.PREFIX and not found.value else found


def _of_text(match: StringMatch | None, *, ignore_case: bool = False) -> Text:
    if match is None:
        return ANY
    if match.presence:
        return Text(Kind.PRESENT)
    if match.exact is not None:
        return Text(Kind.EXACT, match.exact, match.exact, ignore_case)
    if match.prefix is not None:
        return Text(Kind.PREFIX, match.prefix, match.prefix, ignore_case)
    pattern = match.regex or ""
    shape = shape_of(pattern)
    if shape.exact:
        return Text(Kind.EXACT, shape.literal, shape.literal)
    if shape.prefix:
        return Text(Kind.PREFIX, shape.literal, shape.literal)
    return Text(Kind.REGEX, pattern, shape.literal)


@attrs.frozen
class Taken:
    """What one match takes, of HTTP, TLS or opaque connections."""

    path: Text = ANY
    method: Text = ANY
    scheme: Text = ANY
    authority: Text = ANY
    headers: Mapping[str, Text] = attrs.field(factory=dict)
    without: Mapping[str, Text] = attrs.field(factory=dict)
    query: Mapping[str, Text] = attrs.field(factory=dict)
    server_names: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    port: int = 0
    gateways: frozenset[str] = frozenset()
    labels: frozenset[tuple[str, str]] = frozenset()
    namespace: str = ""

    def covers(self, other: Taken) -> bool:
        """Whether everything that ``other`` takes is taken here."""
        return (
            self.port in {0, other.port}
            and self.path.covers(other.path)
            and self.method.covers(other.method)
            and self.scheme.covers(other.scheme)
            and self.authority.covers(other.authority)
            and self.gateways >= other.gateways
            and self.labels <= other.labels
            and self.namespace in {"", other.namespace}
            and _all_covered(self.headers, other.headers)
            and _all_covered(self.query, other.query)
            and _none_let_in(self.without, other.without)
            and _names_covered(self.server_names, other.server_names)
            and _subnets_covered(self.subnets, other.subnets)
        )

    @property
    def everything(self) -> bool:
        """Nothing is asked of a request; which gateways and whose sidecars may be."""
        return (
            self.path is ANY
            and self.method is ANY
            and self.scheme is ANY
            and self.authority is ANY
            and not (self.headers or self.without or self.query or self.port or self.server_names or self.subnets)
        )


def _all_covered(mine: Mapping[str, Text], theirs: Mapping[str, Text]) -> bool:
    return all(text.covers(theirs.get(name, ANY)) for name, text in mine.items())


def _none_let_in(mine: Mapping[str, Text], theirs: Mapping[str, Text]) -> bool:
    """What must not be there: the other's exclusion must be the wider one."""
    return all(name in theirs and _excludes(theirs[name], text) for name, text in mine.items())


def _excludes(wider: Text, text: Text) -> bool:
    # A header that is absent counts as empty, unless it is its presence that is excluded.
    if text.kind is Kind.PRESENT:
        return wider.kind is Kind.PRESENT
    if wider.kind is Kind.PRESENT:
        return not text.covers(Text(Kind.EXACT))
    return wider.covers(text)


def _names_covered(mine: Sequence[str], theirs: Sequence[str]) -> bool:
    if not mine:
        return True
    return bool(theirs) and all(any(hosts.covers(one, name) for one in mine) for name in theirs)


def _subnets_covered(mine: Sequence[str], theirs: Sequence[str]) -> bool:
    if not mine:
        return True
    return bool(theirs) and all(any(_within(each, one) for one in mine) for each in theirs)


def _within(inner: str, outer: str) -> bool:
    try:
        small, large = ipaddress.ip_network(inner, strict=False), ipaddress.ip_network(outer, strict=False)
    except ValueError:
        return inner == outer
    return small.version == large.version and (small.network_address in large and small.broadcast_address in large)


def taken_by_http(match: HTTPMatchRequest, gateways: Sequence[str], namespace: str) -> Taken:
    """What a match of an HTTP rule takes.

    Args:
        match: The match.
        gateways: The VirtualService's own.
        namespace: The VirtualService's.
    """
    bound, labels, source = _of_proxy(match, gateways, namespace)
    return Taken(
        path=of_path(match.uri, ignore_case=match.ignoreUriCase),
        method=of_header(match.method),
        scheme=of_header(match.scheme),
        authority=of_header(match.authority),
        headers={name.lower(): of_header(each) for name, each in match.headers.items()},
        without={name.lower(): of_header(each) for name, each in match.withoutHeaders.items()},
        query={name: of_header(each) for name, each in match.queryParams.items()},
        port=match.port,
        gateways=bound,
        labels=labels,
        namespace=source,
    )


def taken_by_connection(
    match: TLSMatchAttributes | L4MatchAttributes, gateways: Sequence[str], namespace: str
) -> Taken:
    """What a match of a TLS or TCP rule takes."""
    bound, labels, source = _of_proxy(match, gateways, namespace)
    return Taken(
        server_names=match.sniHosts if isinstance(match, TLSMatchAttributes) else (),
        subnets=match.destinationSubnets,
        port=match.port,
        gateways=bound,
        labels=labels,
        namespace=source,
    )


def _of_proxy(
    match: HTTPMatchRequest | TLSMatchAttributes | L4MatchAttributes, gateways: Sequence[str], namespace: str
) -> tuple[frozenset[str], frozenset[tuple[str, str]], str]:
    """What is asked of the proxy. Where a match names gateways, nothing else is asked of it."""
    names = frozenset(gateway_name(name, namespace) for name in match.gateways or gateways) or frozenset((MESH,))
    if match.gateways:
        return names, frozenset(), ""
    return names, frozenset(match.sourceLabels.items()), match.sourceNamespace
