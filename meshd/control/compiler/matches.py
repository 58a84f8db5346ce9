"""VirtualService matches: which apply to a proxy at all, and what they ask of a request. Pure.

Source: Istio's ``pilot/pkg/networking/core/route/route.go`` (``TranslateRouteMatch``,
``sourceMatchHTTP``).
"""

from __future__ import annotations

from typing import Protocol

import attrs

from meshd.api.common import Map
from meshd.api.common import StringMatch as ApiMatch
from meshd.api.networking.virtual_service import HTTPMatchRequest
from meshd.control.hosts import gateway_name
from meshd.snapshot.common import HeaderMatch, MatchKind, StringMatch
from meshd.snapshot.route import QueryMatch, RouteMatch

CLAIMS = "@request.auth.claims"
"""Header keys with this prefix speak of a verified token, not of a header."""

ANY_PATH = StringMatch(MatchKind.PREFIX, "/")


@attrs.frozen
class Place:
    """Where a VirtualService's rules are compiled for: what of the proxy they can read.

    ``gateways`` is ``("mesh",)`` for a sidecar, else the gateway's ``ns/name``.
    """

    port: int
    gateways: tuple[str, ...]
    namespace: str
    labels: tuple[tuple[str, str], ...]


class Sourced(Protocol):
    """What the matches of http, tls and tcp rules have in common."""

    @property
    def port(self) -> int: ...
    @property
    def gateways(self) -> tuple[str, ...]: ...
    @property
    def sourceLabels(self) -> Map[str, str]: ...  # noqa: N802 - Istio's spelling
    @property
    def sourceNamespace(self) -> str: ...  # noqa: N802 - Istio's spelling


def concerns(match: Sourced, owner: str, place: Place) -> bool:
    """Whether a match applies to this proxy and port. Where it names gateways, nothing else is asked."""
    if match.port and match.port != place.port:
        return False
    if match.gateways:
        return any(gateway_name(name, owner) in place.gateways for name in match.gateways)
    labels = dict(place.labels)
    if any(labels.get(key) != value for key, value in match.sourceLabels.items()):
        return False
    return match.sourceNamespace in {"", place.namespace}


def concerns_connection(match: Sourced, owner: str, place: Place) -> bool:
    """Whether a match of a tls or tcp rule applies: unlike in http rules, gateways are asked for beside the rest."""
    bound = not match.gateways or any(gateway_name(name, owner) in place.gateways for name in match.gateways)
    labels = dict(place.labels)
    return (
        bound
        and match.port in {0, place.port}
        and all(labels.get(key) == value for key, value in match.sourceLabels.items())
        and match.sourceNamespace in {"", place.namespace}
    )


def string_match(match: ApiMatch, *, ignore_case: bool = False) -> StringMatch:
    """One comparison; ``{}`` and ``regex: "*"`` ask for presence."""
    if match.presence:
        return StringMatch(MatchKind.PRESENT)
    if match.exact is not None:
        return StringMatch(MatchKind.EXACT, match.exact, ignore_case)
    if match.prefix is not None:
        kind = MatchKind.PATH_PREFIX if match.segments else MatchKind.PREFIX
        return StringMatch(kind, match.prefix, ignore_case)
    return StringMatch(MatchKind.REGEX, match.regex or "")


def route_match(match: HTTPMatchRequest) -> RouteMatch | None:
    """What is asked of a request; None when nothing can ever match (claims of a token nobody verifies)."""
    if any(name.startswith(CLAIMS) for name in (*match.headers, *match.withoutHeaders)):
        return None
    headers = [HeaderMatch(name.lower(), string_match(each)) for name, each in sorted(match.headers.items())]
    for name, each in sorted(match.withoutHeaders.items()):
        compared = string_match(each)
        present = compared.kind is MatchKind.PRESENT
        headers.append(HeaderMatch(name.lower(), compared, invert=True, treat_missing_as_empty=not present))
    return RouteMatch(
        path=None if match.uri is None else _path_match(match.uri, ignore_case=match.ignoreUriCase),
        method=_optional(match.method),
        authority=_optional(match.authority),
        scheme=_optional(match.scheme),
        headers=tuple(headers),
        query=tuple(QueryMatch(name, string_match(each)) for name, each in sorted(match.queryParams.items())),
    )


def _optional(match: ApiMatch | None) -> StringMatch | None:
    return None if match is None else string_match(match)


def _path_match(match: ApiMatch, *, ignore_case: bool) -> StringMatch | None:
    compared = string_match(match, ignore_case=ignore_case)
    return None if compared.kind is MatchKind.PRESENT else compared


def catches_all(match: RouteMatch) -> bool:
    """True when every request matches, so that no later rule is ever reached."""
    prefixes = {MatchKind.PREFIX, MatchKind.PATH_PREFIX}
    anything = match.path is None or (match.path.kind in prefixes and match.path.value in {"", "/"})
    return anything and attrs.evolve(match, path=None) == RouteMatch()
