"""One HTTP route of a VirtualService alone: what it does and how. Pure.

What it matches, its headers, faults and CORS policies have modules of their own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from http import HTTPStatus

from meshd.api.document import Path
from meshd.api.networking.virtual_service import (
    HTTPDirectResponse,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    HTTPRoute,
)
from meshd.api.problem import FIELD_WITHOUT_EFFECT, Problem, error, warning
from meshd.control.analysis import checks
from meshd.control.analysis.validate_cors import cors_policy
from meshd.control.analysis.validate_destination import destination
from meshd.control.analysis.validate_fault import fault_injection
from meshd.control.analysis.validate_headers import headers, set_hosts
from meshd.control.analysis.validate_http_match import http_match

KIB = 1 << 10

RETRY_ON = frozenset(
    {
        # HTTP
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "envoy-ratelimited",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "http3-post-connect-failure",
        # gRPC
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    }
)
"""Envoy's retry conditions."""

_STATUSES = frozenset(str(status.value) for status in HTTPStatus)

LARGEST_BODY = 1024 * KIB
LARGE_BODY = 100 * KIB


def http_route(route: HTTPRoute, path: Path, *, delegated: bool = False) -> Iterator[Problem]:
    """Istio's rules for one entry of ``http``; the destinations of ``route`` are checked by the caller.

    ``delegated``: the VirtualService has no hosts, so that others delegate to it.
    """
    yield from _actions(route, path, delegated=delegated)
    for index, match in enumerate(route.match):
        yield from http_match(match, (*path, "match", index))
    if route.redirect is not None:
        yield from _redirect(route.redirect, route, (*path, "redirect"))
    if route.directResponse is not None:
        yield from _direct_response(route.directResponse, (*path, "directResponse"))
    if route.rewrite is not None:
        yield from _rewrite(route.rewrite, (*path, "rewrite"))
    yield from checks.duration(route.timeout, (*path, "timeout"))
    if route.retries is not None:
        yield from _retries(route.retries, (*path, "retries"))
    if route.fault is not None:
        yield from fault_injection(route.fault, (*path, "fault"))
    if route.corsPolicy is not None:
        yield from cors_policy(route.corsPolicy, (*path, "corsPolicy"))
    yield from _mirrors(route, path)
    yield from headers(route.headers, (*path, "headers"))
    yield from _one_authority(route, path)
    for index, each in enumerate(route.route):
        yield from headers(each.headers, (*path, "route", index, "headers"))


def _actions(route: HTTPRoute, path: Path, *, delegated: bool) -> Iterator[Problem]:
    """Exactly one of route, redirect, directResponse and delegate, and what goes with each."""
    if route.delegate is not None and delegated:
        yield error((*path, "delegate"), "what others delegate to cannot delegate further: write the route here")
    actions = [name for name in ("route", "redirect", "directResponse", "delegate") if getattr(route, name)]
    if not actions:
        yield error(path, "there is nothing to do: route, redirect or directResponse is needed", at_value=False)
    elif len(actions) > 1:
        yield error(path, f"{' and '.join(actions)} cannot stand together: choose one", at_value=False)
    alone = next((name for name in actions if name in ("redirect", "directResponse")), None)
    for name in ("fault", "rewrite"):
        if alone is not None and getattr(route, name) is not None:
            yield error((*path, name), f"{name} cannot stand with {alone}", at_value=False)


def _one_authority(route: HTTPRoute, path: Path) -> Iterator[Problem]:
    """The request's host is changed in one place."""
    names = set_hosts(route.headers)
    if route.rewrite is not None and route.rewrite.authority and names:
        yield error((*path, "rewrite", "authority"), "the authority is set by headers.request as well: choose one")
    elif len(names) > 1:
        yield error((*path, "headers", "request"), f"{' and '.join(names)} both set the authority: choose one")


def _redirect(redirect: HTTPRedirect, route: HTTPRoute, path: Path) -> Iterator[Problem]:
    if redirect.uri and redirect.prefixRewrite:
        yield error(path, "uri and prefixRewrite cannot both be given: choose one", at_value=False)
    if redirect.port is not None and redirect.derivePort is not None:
        yield error(path, "port and derivePort cannot both be given: choose one", at_value=False)
    texts = (redirect.uri, redirect.prefixRewrite, redirect.authority, redirect.scheme)
    if not any(texts) and redirect.port is None and redirect.derivePort is None:
        yield error(path, "a redirect needs uri, authority, scheme, port or prefixRewrite", at_value=False)
    if redirect.scheme not in ("", "http", "https"):
        yield error((*path, "scheme"), f'"{redirect.scheme}" is not a scheme: http or https')
    if redirect.port:
        yield from checks.port(redirect.port, (*path, "port"))
    for name in ("uri", "prefixRewrite"):
        yield from checks.uri_path(getattr(redirect, name), (*path, name))
    yield from checks.authority(redirect.authority, (*path, "authority"))
    if redirect.prefixRewrite and any(match.uri is None or match.uri.prefix is None for match in route.match):
        yield error((*path, "prefixRewrite"), "prefixRewrite needs matches on a uri's prefix")
    code = redirect.redirectCode
    if code and not 300 <= code <= 399:
        yield error((*path, "redirectCode"), f"{code} is not a redirect: 301, 302, 303, 307 or 308")
    elif code and code not in (301, 302, 303, 307, 308):
        yield error((*path, "redirectCode"), f"{code} cannot be sent by the proxy: use 301, 302, 303, 307 or 308")


def _direct_response(response: HTTPDirectResponse, path: Path) -> Iterator[Problem]:
    yield from checks.answer_status(response.status, (*path, "status"))
    if response.body is None:
        return
    if response.body.string is not None and response.body.bytes is not None:
        yield error((*path, "body"), "a body is either string or bytes: choose one", at_value=False)
    size = len(response.body.string.encode()) if response.body.string else 0
    if response.body.bytes is not None:
        size = len(base64.b64decode(response.body.bytes))
    if size > LARGEST_BODY:
        yield error((*path, "body"), f"the body has {size} bytes, more than {LARGEST_BODY} (1MB)", at_value=False)
    elif size > LARGE_BODY:
        yield warning((*path, "body"), f"the body has {size} bytes; every proxy keeps it in memory")


def _rewrite(rewrite: HTTPRewrite, path: Path) -> Iterator[Problem]:
    pattern = rewrite.uriRegexRewrite
    if rewrite.uri and pattern is not None:
        yield error(path, "uri and uriRegexRewrite cannot both be given: choose one", at_value=False)
    if not (rewrite.uri or rewrite.authority or pattern is not None):
        yield error(path, "a rewrite needs uri, uriRegexRewrite or authority", at_value=False)
    yield from checks.uri_path(rewrite.uri, (*path, "uri"))
    yield from checks.authority(rewrite.authority, (*path, "authority"))
    if pattern is not None:
        here = (*path, "uriRegexRewrite")
        if not pattern.match or not pattern.rewrite:
            yield error(here, "both match and rewrite are needed", at_value=False)
        if pattern.match:
            yield from checks.regex(pattern.match, (*here, "match"), pattern.rewrite)
        yield from checks.header_value(pattern.rewrite, (*here, "rewrite"))


def _retries(retries: HTTPRetry, path: Path) -> Iterator[Problem]:
    yield from checks.not_negative(retries.attempts, (*path, "attempts"))
    yield from checks.duration(retries.perTryTimeout, (*path, "perTryTimeout"))
    yield from checks.duration(retries.backoff, (*path, "backoff"))
    others = (retries.perTryTimeout, retries.retryOn or None, retries.retryRemoteLocalities)
    if not retries.attempts and any(other is not None for other in others):
        given = "0 attempts" if retries.attempts == 0 else "attempts left out, which is 0,"
        yield error((*path, "attempts"), f"{given} turn retries off: allow some, or take the other fields away")
    for token in retries.retryOn.split(","):
        word = token.strip()
        if word and word not in RETRY_ON and word not in _STATUSES:
            yield error((*path, "retryOn"), f'"{word}" is not a retry condition or a status such as 503')


def _mirrors(route: HTTPRoute, path: Path) -> Iterator[Problem]:
    if route.mirror is not None and route.mirrors:
        yield error(path, "mirror and mirrors cannot both be given: choose one", at_value=False)
    if route.mirrorPercent is not None:
        yield from checks.percent(route.mirrorPercent, (*path, "mirrorPercent"))
        yield warning((*path, "mirrorPercent"), 'mirrorPercent is deprecated: use "mirrorPercentage: {value: ...}"')
    yield from checks.percent(route.mirrorPercentage, (*path, "mirrorPercentage", "value"))
    if route.mirror is not None:
        yield from destination(route.mirror, (*path, "mirror"))
    elif route.mirrorPercentage is not None or route.mirrorPercent is not None:
        name = "mirrorPercentage" if route.mirrorPercentage is not None else "mirrorPercent"
        yield warning((*path, name), "without a mirror it has no effect", code=FIELD_WITHOUT_EFFECT)
    for index, policy in enumerate(route.mirrors):
        here = (*path, "mirrors", index)
        yield from destination(policy.destination, (*here, "destination"))
        yield from checks.percent(policy.percentage, (*here, "percentage", "value"))
