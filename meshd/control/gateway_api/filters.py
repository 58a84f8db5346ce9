"""A rule's filters as the settings of a VirtualService's route. Pure.

Source: Istio's ``pilot/pkg/config/kube/gateway/conversion.go`` (``createRedirectFilter``,
``createRewriteFilter``, ``createHeadersFilter``, ``createCorsFilter``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from meshd.api.common import Duration, Map, StringMatch
from meshd.api.gateway_api.http_route import (
    HTTPCORSFilter,
    HTTPRequestRedirectFilter,
    HTTPRouteFilter,
    HTTPURLRewriteFilter,
    PathModifierType,
)
from meshd.api.gateway_api.references import HTTPHeader, HTTPHeaderFilter
from meshd.api.networking.virtual_service import (
    CorsPolicy,
    HeaderOperations,
    Headers,
    HTTPMirrorPolicy,
    HTTPRedirect,
    HTTPRewrite,
    RedirectPortSelection,
    RegexRewrite,
)
from meshd.control.gateway_api.backends import Backends
from meshd.control.gateway_api.grants import Referrer

WHOLE_PATH: Final = "^/.*$"


@attrs.frozen
class Effects:
    """What a list of filters comes to. ``usable`` is False when one of them is of a sort that there is not."""

    headers: Headers | None = None
    redirect: HTTPRedirect | None = None
    rewrite: HTTPRewrite | None = None
    mirrors: tuple[HTTPMirrorPolicy, ...] = ()
    cors: CorsPolicy | None = None
    usable: bool = True


def effects_of(filters: Iterable[HTTPRouteFilter], backends: Backends, referrer: Referrer) -> Effects:
    """A rule's filters."""
    found = Effects()
    for each in filters:
        found = _with_filter(found, each, backends, referrer)
    return found


def _with_filter(found: Effects, each: HTTPRouteFilter, backends: Backends, referrer: Referrer) -> Effects:
    # A filter's type and its field are held together by validation.
    if each.requestHeaderModifier is not None or each.responseHeaderModifier is not None:
        before = found.headers or Headers()
        request = before.request if each.requestHeaderModifier is None else _operations(each.requestHeaderModifier)
        response = before.response if each.responseHeaderModifier is None else _operations(each.responseHeaderModifier)
        return attrs.evolve(found, headers=Headers(request, response))
    if each.requestRedirect is not None:
        return attrs.evolve(found, redirect=_redirect(each.requestRedirect))
    if each.urlRewrite is not None:
        return attrs.evolve(found, rewrite=_rewrite(each.urlRewrite))
    if each.cors is not None:
        return attrs.evolve(found, cors=_cors(each.cors))
    if each.requestMirror is not None:
        mirror = backends.mirror(each.requestMirror, referrer)
        return found if mirror is None else attrs.evolve(found, mirrors=(*found.mirrors, mirror))
    return attrs.evolve(found, usable=False)


def headers_alone(
    filters: Iterable[HTTPRouteFilter], backends: Backends, referrer: Referrer
) -> tuple[Headers | None, bool]:
    """A destination's filters: only headers can be edited there; and whether that is all they ask for."""
    found = effects_of(filters, backends, referrer)
    others = (found.redirect, found.rewrite, found.cors)
    return found.headers, found.usable and not found.mirrors and all(each is None for each in others)


def _operations(edits: HTTPHeaderFilter) -> HeaderOperations:
    return HeaderOperations(_by_name(edits.set), _by_name(edits.add), edits.remove)


def _by_name(headers: Iterable[HTTPHeader]) -> Map[str, str]:
    """Of several entries for one name the first counts, whatever their case."""
    found: dict[str, str] = {}
    for header in headers:
        found.setdefault(header.name.lower(), header.value)
    return Map(found)


def _redirect(asked: HTTPRequestRedirectFilter) -> HTTPRedirect:
    port = RedirectPortSelection.FROM_REQUEST_PORT
    if asked.scheme is not None:
        port = RedirectPortSelection.FROM_PROTOCOL_DEFAULT
    full = prefix = ""
    if asked.path is not None:
        if asked.path.type is PathModifierType.REPLACE_FULL_PATH:
            full = asked.path.replaceFullPath or "/"
        else:
            prefix = asked.path.replacePrefixMatch or "/"
    return HTTPRedirect(
        uri=full,
        prefixRewrite=prefix,
        authority=asked.hostname or "",
        port=asked.port,
        derivePort=None if asked.port is not None else port,
        scheme="" if asked.scheme is None else asked.scheme.value,
        redirectCode=asked.statusCode,
    )


def _rewrite(asked: HTTPURLRewriteFilter) -> HTTPRewrite:
    host = asked.hostname or ""
    if asked.path is None:
        return HTTPRewrite(authority=host)
    if asked.path.type is PathModifierType.REPLACE_PREFIX_MATCH:
        return HTTPRewrite(uri=asked.path.replacePrefixMatch or "/", authority=host)
    # Replaced whatever the match is of, so by a pattern (``uri`` would replace a prefix where there is one).
    whole = (asked.path.replaceFullPath or "/").replace("\\", "\\\\")
    return HTTPRewrite(authority=host, uriRegexRewrite=RegexRewrite(WHOLE_PATH, whole))


def _cors(asked: HTTPCORSFilter) -> CorsPolicy:
    return CorsPolicy(
        allowOrigins=tuple(_origin(each) for each in asked.allowOrigins),
        allowCredentials=asked.allowCredentials,
        allowMethods=tuple(each.value for each in asked.allowMethods),
        allowHeaders=asked.allowHeaders,
        exposeHeaders=asked.exposeHeaders,
        maxAge=Duration(float(asked.maxAge)),
    )


def _origin(origin: str) -> StringMatch:
    """An origin: exact, ``*``, or with a ``*`` for any names before a domain."""
    if "*" not in origin:
        return StringMatch(exact=origin)
    return StringMatch(regex=".*".join(quoted(part) for part in origin.split("*")))


def quoted(text: str) -> str:
    """Text that means itself in a regular expression."""
    return "".join(f"\\{each}" if each in "\\.+*?()|[]{}^$" else each for each in text)
