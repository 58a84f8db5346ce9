"""One HTTP route of a VirtualService alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from meshd.api.common import StringMatch
from meshd.api.document import Path
from meshd.api.networking.virtual_service import (
    Abort,
    Delay,
    HeaderOperations,
    Headers,
    HTTPDirectResponse,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    HTTPRoute,
)
from meshd.api.problem import Problem, error, warning
from meshd.control.analysis import checks
from meshd.errors import ConfigError
from meshd.policy.headers import check_operations
from meshd.snapshot.common import HeaderOperations as Edits

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

GRPC_CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
"""By number."""

_HOST_NAMES = (":authority", "host")

CLAIM_PREFIX = "@request.auth.claims"

LARGEST_BODY = 1024 * KIB
LARGE_BODY = 100 * KIB


def http_route(route: HTTPRoute, path: Path) -> Iterator[Problem]:
    """Istio's rules for one entry of ``http``; the destinations are checked by the caller."""
    yield from _actions(route, path)
    for index, match in enumerate(route.match):
        yield from _match(match, (*path, "match", index))
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
        yield from _fault(route.fault, (*path, "fault"))
    yield from _mirrors(route, path)
    yield from _headers(route.headers, (*path, "headers"))
    if route.rewrite is not None and route.rewrite.authority and _sets_host(route.headers):
        yield error((*path, "rewrite", "authority"), "the authority is set by headers.request as well: choose one")
    for index, destination in enumerate(route.route):
        yield from _headers(destination.headers, (*path, "route", index, "headers"))


def _actions(route: HTTPRoute, path: Path) -> Iterator[Problem]:
    """Exactly one of route, redirect, directResponse and delegate, and what goes with each."""
    actions = [
        name
        for name, value in (
            ("route", route.route),
            ("redirect", route.redirect),
            ("directResponse", route.directResponse),
            ("delegate", route.delegate),
        )
        if value
    ]
    if not actions:
        yield error(path, "there is nothing to do: route, redirect or directResponse is needed", at_value=False)
    elif len(actions) > 1:
        yield error(path, f"{' and '.join(actions)} cannot stand together: choose one", at_value=False)
    alone = next((name for name in actions if name in ("redirect", "directResponse")), None)
    for name in ("fault", "rewrite"):
        if alone is not None and getattr(route, name) is not None:
            yield error((*path, name), f"{name} cannot stand with {alone}", at_value=False)


def _match(match: HTTPMatchRequest, path: Path) -> Iterator[Problem]:
    for name in ("uri", "scheme", "method", "authority"):
        yield from checks.string_match(getattr(match, name), (*path, name))
    for field in ("headers", "withoutHeaders"):
        for name, value in getattr(match, field).items():
            here = (*path, field, name)
            if name.startswith(CLAIM_PREFIX):
                yield warning(here, "meshd does not validate JWTs yet, so this never matches")
            else:
                yield from checks.header_name(name, here)
            yield from checks.string_match(value, here)
    for name, value in match.queryParams.items():
        yield from _query(name, value, (*path, "queryParams", name))
    if match.port:
        yield from checks.port(match.port, (*path, "port"))
    yield from checks.labels(match.sourceLabels, (*path, "sourceLabels"))
    for index, gateway in enumerate(match.gateways):
        yield from checks.fqdn(gateway.rpartition("/")[2], (*path, "gateways", index))


def _query(name: str, value: StringMatch, path: Path) -> Iterator[Problem]:
    if not name:
        yield error(path, "a parameter's name is empty", at_value=False)
    yield from checks.string_match(value, path)


def _redirect(redirect: HTTPRedirect, route: HTTPRoute, path: Path) -> Iterator[Problem]:
    if redirect.uri and redirect.prefixRewrite:
        yield error(path, "uri and prefixRewrite cannot both be given: choose one", at_value=False)
    if redirect.port is not None and redirect.derivePort is not None:
        yield error(path, "port and derivePort cannot both be given: choose one", at_value=False)
    if not (
        redirect.uri
        or redirect.prefixRewrite
        or redirect.authority
        or redirect.scheme
        or redirect.port is not None
        or redirect.derivePort is not None
    ):
        yield error(path, "a redirect needs uri, authority, scheme, port or prefixRewrite", at_value=False)
    if redirect.scheme not in ("", "http", "https"):
        yield error((*path, "scheme"), f'"{redirect.scheme}" is not a scheme: http or https')
    if redirect.port is not None:
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
    if not 200 <= response.status <= 599:
        yield error((*path, "status"), f"{response.status} is not a status to answer with: 200 to 599")
    if response.body is None:
        return
    if (response.body.string is None) == (response.body.bytes is None):
        yield error((*path, "body"), "a body is either string or bytes", at_value=False)
    size = len(response.body.string.encode()) if response.body.string else 0
    if response.body.bytes is not None:
        decoded = _base64(response.body.bytes)
        if decoded is None:
            yield error((*path, "body", "bytes"), "not base64")
        else:
            size = len(decoded)
    if size > LARGEST_BODY:
        yield error((*path, "body"), f"the body has {size} bytes, more than {LARGEST_BODY}", at_value=False)
    elif size > LARGE_BODY:
        yield warning((*path, "body"), f"the body has {size} bytes; every proxy keeps it in memory")


def _base64(text: str) -> bytes | None:
    import base64
    import binascii

    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


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
    if retries.attempts == 0 and any(other is not None for other in others):
        yield error((*path, "attempts"), "0 attempts turn retries off; take the other fields away, or allow some")
    for token in re.split(r",", retries.retryOn):
        word = token.strip()
        if not word or word in RETRY_ON:
            continue
        if not (word.isdecimal() and 100 <= int(word) <= 599):
            yield error((*path, "retryOn"), f'"{word}" is not a retry condition or a status from 100 to 599')


def _fault(fault: HTTPFaultInjection, path: Path) -> Iterator[Problem]:
    if fault.delay is None and fault.abort is None:
        yield error(path, "a fault needs delay or abort", at_value=False)
    if fault.delay is not None:
        yield from _delay(fault.delay, (*path, "delay"))
    if fault.abort is not None:
        yield from _abort(fault.abort, (*path, "abort"))


def _delay(delay: Delay, path: Path) -> Iterator[Problem]:
    if delay.fixedDelay is None:
        yield error(path, "fixedDelay is needed", at_value=False)
    yield from checks.duration(delay.fixedDelay, (*path, "fixedDelay"))
    yield from checks.percent(delay.percentage, (*path, "percentage", "value"))
    yield from checks.percent(delay.percent, (*path, "percent"))
    if delay.percentage is None and delay.percent is None:
        yield warning(path, "without a percentage it never happens: add percentage: {value: 100}")


def _abort(abort: Abort, path: Path) -> Iterator[Problem]:
    if (abort.httpStatus is None) == (abort.grpcStatus is None):
        yield error(path, "either httpStatus or grpcStatus is needed", at_value=False)
    if abort.httpStatus is not None and not 200 <= abort.httpStatus <= 599:
        yield error((*path, "httpStatus"), f"{abort.httpStatus} is not a status to answer with: 200 to 599")
    if abort.grpcStatus is not None and abort.grpcStatus not in GRPC_CODES:
        yield error((*path, "grpcStatus"), f'"{abort.grpcStatus}" is not a gRPC status such as UNAVAILABLE')
    yield from checks.percent(abort.percentage, (*path, "percentage", "value"))
    if abort.percentage is None:
        yield warning(path, "without a percentage it never happens: add percentage: {value: 100}")


def _mirrors(route: HTTPRoute, path: Path) -> Iterator[Problem]:
    if route.mirror is not None and route.mirrors:
        yield error(path, "mirror and mirrors cannot both be given: choose one", at_value=False)
    yield from checks.percent(route.mirrorPercent, (*path, "mirrorPercent"))
    yield from checks.percent(route.mirrorPercentage, (*path, "mirrorPercentage", "value"))
    targets = [(route.mirror, (*path, "mirror"))] if route.mirror is not None else []
    for index, policy in enumerate(route.mirrors):
        here = (*path, "mirrors", index)
        targets.append((policy.destination, (*here, "destination")))
        yield from checks.percent(policy.percentage, (*here, "percentage", "value"))
    for target, here in targets:
        if not checks.is_address(target.host):
            yield from checks.fqdn(target.host, (*here, "host"))
        if target.port is not None:
            yield from checks.port(target.port.number, (*here, "port", "number"))


def _header(side: str, verb: str, name: str, value: str, path: Path) -> Iterator[Problem]:
    """One edit: the proxies' own code says whether it can be done."""
    found = [*checks.header_name(name, path), *checks.header_value(value, path)]
    yield from found
    if found:
        return
    edit = ((name, value),)
    if side == "request" and verb == "set" and name.lower() in _HOST_NAMES and "%" not in value:
        yield from checks.authority(value, path)
    try:
        check_operations(Edits(set=edit) if verb == "set" else Edits(add=edit), request=side == "request")
    except ConfigError as caught:
        yield error(path, caught.message)


def _sets_host(headers: Headers | None) -> bool:
    if headers is None or headers.request is None:
        return False
    return any(name.lower() in _HOST_NAMES for name in headers.request.set)


def _headers(headers: Headers | None, path: Path) -> Iterator[Problem]:
    if headers is None:
        return
    for side in ("request", "response"):
        operations: HeaderOperations | None = getattr(headers, side)
        if operations is None:
            continue
        for verb in ("set", "add"):
            for name, value in getattr(operations, verb).items():
                yield from _header(side, verb, name, value, (*path, side, verb, name))
        for index, name in enumerate(operations.remove):
            yield from checks.header_name(name, (*path, side, "remove", index))
