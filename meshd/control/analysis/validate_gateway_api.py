"""The Gateway API's rules for single documents, as far as they are not structure. Pure.

Source: the validations in the Gateway API's definitions
(``config/crd``: ``x-kubernetes-validations``), in words of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from meshd.api.document import Document, Path
from meshd.api.gateway_api.gateway import Gateway, Listener, TLSMode
from meshd.api.gateway_api.grpc_route import GRPCRoute
from meshd.api.gateway_api.http_route import HTTPPathModifier, HTTPRoute, HTTPRouteRule, PathMatchType, PathModifierType
from meshd.api.gateway_api.references import GROUP, ParentReference
from meshd.api.gateway_api.stream_routes import TCPRoute, TLSRoute
from meshd.api.problem import FIELD_NOT_SUPPORTED, Problem, error, warning
from meshd.control.analysis import checks
from meshd.control.gateway_api.listeners import MODES, ROUTES, TERMINATE_MODE
from meshd.control.gateway_api.within_mesh import parent_service

FIELDS: Final = {
    "RequestHeaderModifier": "requestHeaderModifier",
    "ResponseHeaderModifier": "responseHeaderModifier",
    "RequestMirror": "requestMirror",
    "RequestRedirect": "requestRedirect",
    "URLRewrite": "urlRewrite",
    "ExtensionRef": "extensionRef",
    "ExternalAuth": "externalAuth",
    "CORS": "cors",
}
"""The field of each type of filter."""

REPEATABLE: Final = frozenset({"RequestMirror", "ExtensionRef"})
REDIRECT_CODES: Final = frozenset({301, 302, 303, 307, 308})


def validate_route(document: Document) -> Iterator[Problem]:
    """An HTTPRoute or a GRPCRoute."""
    route: HTTPRoute | GRPCRoute = document.resource
    yield from _parents(route.parentRefs)
    for index, name in enumerate(route.hostnames):
        yield from checks.wildcard_host(name, ("spec", "hostnames", index))
    rules: tuple[Any, ...] = route.rules
    for index, rule in enumerate(rules):
        path: Path = ("spec", "rules", index)
        yield from _filters(rule.filters, (*path, "filters"))
        yield from _backends(rule.backendRefs, (*path, "backendRefs"))
        if isinstance(rule, HTTPRouteRule):
            yield from _http_rule(rule, path)


def validate_stream(document: Document) -> Iterator[Problem]:
    """A TLSRoute or a TCPRoute."""
    route: Any = document.resource
    yield from _parents(route.parentRefs)
    if len(route.rules) > 1:
        yield error(("spec", "rules", 1), "only one rule can be: put its backends into the first, with weights")
    for index, rule in enumerate(route.rules):
        yield from _backends(rule.backendRefs, ("spec", "rules", index, "backendRefs"))


def validate_gateway(document: Document) -> Iterator[Problem]:
    """A Gateway."""
    gateway: Gateway = document.resource
    seen: dict[tuple[object, ...], int] = {}
    names: set[str] = set()
    for index, listener in enumerate(gateway.listeners):
        path: Path = ("spec", "listeners", index)
        yield from _listener(listener, path)
        if listener.name in names:
            yield error((*path, "name"), f'another listener is called "{listener.name}" too: give each its own name')
        names.add(listener.name)
        what = (listener.port, listener.protocol, listener.hostname or "")
        if what in seen:
            yield error(path, f"listener {seen[what]} has the same port, protocol and hostname: change one of them")
        seen.setdefault(what, index)
    for index, address in enumerate(gateway.addresses):
        if address.type != "Hostname":
            message = "meshd listens where --port says: only an address of type Hostname, a Service's name, is read"
            yield warning(("spec", "addresses", index), message, code=FIELD_NOT_SUPPORTED)


def _listener(listener: Listener, path: Path) -> Iterator[Problem]:
    yield from checks.port(listener.port, (*path, "port"))
    if listener.hostname:
        yield from checks.wildcard_host(listener.hostname, (*path, "hostname"))
    if listener.protocol not in ROUTES:
        message = f"meshd has no listeners of {listener.protocol}: it takes {', '.join(ROUTES)}; this one is left out"
        yield warning((*path, "protocol"), message, at_value=True, code=FIELD_NOT_SUPPORTED)
        return
    secure = listener.protocol in {"HTTPS", "TLS"}
    tls = listener.tls
    if not secure:
        if tls is not None:
            yield error(
                (*path, "tls"), f"a listener of {listener.protocol} has no tls: take it away, or change the protocol"
            )
        return
    if tls is None:
        yield error(path, f"a listener of {listener.protocol} needs tls")
        return
    if listener.protocol == "HTTPS" and tls.mode is not TLSMode.TERMINATE:
        yield error(
            (*path, "tls", "mode"), "requests can only be read where TLS ends: write Terminate, or protocol TLS"
        )
    asked = tls.options.get(TERMINATE_MODE, "")
    if asked not in {"", "SIMPLE", *MODES}:
        known = ", ".join(("SIMPLE", *MODES))
        yield error((*path, "tls", "options", TERMINATE_MODE), f'"{asked}" is no such mode; known: {known}')
    if tls.mode is TLSMode.TERMINATE and not tls.certificateRefs and asked != "ISTIO_MUTUAL":
        yield error((*path, "tls"), "without certificateRefs there is no certificate to show, and nobody is served")


def _parents(parents: Sequence[ParentReference]) -> Iterator[Problem]:
    for index, parent in enumerate(parents):
        if not parent_service(parent) and (parent.group, parent.kind) != (GROUP, "Gateway"):
            message = (
                f"a route cannot be attached to a {parent.kind} of {parent.group or 'v1'} here: this has no effect"
            )
            yield warning(("spec", "parentRefs", index), message, code=FIELD_NOT_SUPPORTED)


def _filters(filters: Sequence[Any], path: Path) -> Iterator[Problem]:
    used: set[str] = set()
    for index, each in enumerate(filters):
        here = (*path, index)
        given = [name for name in FIELDS.values() if getattr(each, name, None) is not None]
        wanted = FIELDS[each.type.value]
        if wanted not in given:
            yield error(here, f'a filter of type {each.type.value} needs the field "{wanted}"')
        for name in given:
            if name != wanted:
                yield error(
                    (*here, name), f"a filter of type {each.type.value} has no such field: make it a filter of its own"
                )
        if each.type.value in used - REPEATABLE:
            yield error(here, f"there is a {each.type.value} before: join the two")
        used.add(each.type.value)
    if {"RequestRedirect", "URLRewrite"} <= used:
        yield error(path, "a request is either redirected or sent on with another URL: take one of the two away")


def _backends(references: Sequence[Any], path: Path) -> Iterator[Problem]:
    for index, each in enumerate(references):
        if (each.group, each.kind) == ("", "Service") and each.port is None:
            yield error((*path, index), f"which port of the Service {each.name}? Without one nothing can be sent there")
        if getattr(each, "filters", ()):
            yield from _filters(each.filters, (*path, index, "filters"))


def _http_rule(rule: HTTPRouteRule, path: Path) -> Iterator[Problem]:
    redirects = [index for index, each in enumerate(rule.filters) if each.requestRedirect is not None]
    if redirects and rule.backendRefs:
        yield error(
            (*path, "backendRefs"), "the rule redirects, so nothing is ever sent here: take one of the two away"
        )
    kinds = [match.path.type if match.path else PathMatchType.PATH_PREFIX for match in rule.matches]
    prefixes = all(kind is PathMatchType.PATH_PREFIX for kind in kinds)
    for index, each in enumerate(rule.filters):
        for name in ("requestRedirect", "urlRewrite"):
            found = getattr(each, name)
            if found is not None and found.path is not None:
                yield from _modifier(found.path, (*path, "filters", index, name, "path"), prefixes=prefixes)
        redirect = each.requestRedirect
        if redirect is not None and redirect.statusCode not in REDIRECT_CODES:
            here = (*path, "filters", index, "requestRedirect", "statusCode")
            yield error(
                here, f"{redirect.statusCode} is no redirect; known: {', '.join(map(str, sorted(REDIRECT_CODES)))}"
            )
    for index, match in enumerate(rule.matches):
        if match.path is None:
            continue
        here = (*path, "matches", index, "path", "value")
        if match.path.type is PathMatchType.REGULAR_EXPRESSION:
            yield from checks.regex(match.path.value, here)
        elif not match.path.value.startswith("/"):
            yield error(here, "paths begin with a slash, so this would match nothing")
    times = rule.timeouts
    if times is not None and times.request and times.backendRequest and times.backendRequest > times.request:
        message = "one try cannot take longer than the whole request: make it at most timeouts.request"
        yield error((*path, "timeouts", "backendRequest"), message)


def _modifier(modifier: HTTPPathModifier, path: Path, *, prefixes: bool) -> Iterator[Problem]:
    full = modifier.type is PathModifierType.REPLACE_FULL_PATH
    wanted = "replaceFullPath" if full else "replacePrefixMatch"
    if getattr(modifier, wanted) is None:
        yield error(path, f'{modifier.type.value} needs the field "{wanted}"')
    if not full and not prefixes:
        yield error(path, "there is a match that is no PathPrefix, so that there is no prefix to replace")


VALIDATORS: Final[dict[type, Callable[[Document], Iterator[Problem]]]] = {
    HTTPRoute: validate_route,
    GRPCRoute: validate_route,
    TLSRoute: validate_stream,
    TCPRoute: validate_stream,
    Gateway: validate_gateway,
}
