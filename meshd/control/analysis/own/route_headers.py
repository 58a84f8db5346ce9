"""Headers of routes: edits without effect, hosts that stay as they were, origins let in too freely. Pure.

Source: Istio's ``route.go`` (``TranslateHeadersOperations`` and the order in
which a route's and its destinations' edits are applied).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from meshd.api.document import Document, Path
from meshd.api.networking.virtual_service import CorsPolicy, HeaderOperations, Headers, HTTPRoute, VirtualService
from meshd.api.problem import Problem
from meshd.control import hosts
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.regex_text import has_bare_dot, shape_of
from meshd.control.analysis.own.remarks import remark
from meshd.control.finding import Finding
from meshd.control.services import Source

EDIT_WITHOUT_EFFECT: Final = "MD0026"
HOST_KEPT: Final = "MD0027"
CORS_TOO_OPEN: Final = "MD0028"

OF_THE_CONNECTION: Final = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"}
)
"""Each proxy writes these anew for its own connection."""

HOST_NAMES: Final = frozenset({"host", ":authority"})


def route_headers(facts: Facts) -> Iterable[Finding]:
    """Header edits, host rewrites and CORS policies of VirtualServices."""
    for document in facts.all(VirtualService):
        yield from told(document, _of_service(facts, document))


def _of_service(facts: Facts, document: Document) -> Iterator[Problem]:
    service: VirtualService = document.resource
    for index, route in enumerate(service.http):
        here: Path = ("spec", "http", index)
        yield from _edits(route, here)
        yield from _host_kept(facts, document, route, here)
        if route.corsPolicy is not None and route.corsPolicy.allowCredentials:
            yield from _cors(route.corsPolicy, (*here, "corsPolicy"))


def _edits(route: HTTPRoute, path: Path) -> Iterator[Problem]:
    yield from _useless(route.headers, (*path, "headers"))
    for index, destination in enumerate(route.route):
        here = (*path, "route", index, "headers")
        yield from _useless(destination.headers, here)
        if len(route.route) > 1:
            yield from _overridden(route.headers, destination.headers, here)


def _useless(headers: Headers | None, path: Path) -> Iterator[Problem]:
    for side in ("request", "response"):
        operations: HeaderOperations | None = getattr(headers, side) if headers is not None else None
        if operations is None:
            continue
        for index, name in enumerate(operations.remove):
            if name.lower() in OF_THE_CONNECTION:
                yield remark(
                    EDIT_WITHOUT_EFFECT,
                    (*path, side, "remove", index),
                    f"removing {name} changes nothing: every proxy writes it anew for its own connection; "
                    "take the entry away",
                )
        for name in operations.add:
            if name.lower() in HOST_NAMES and side == "request":
                yield remark(
                    EDIT_WITHOUT_EFFECT,
                    (*path, side, "add", name),
                    f"adding {name} changes nothing: there is one host; to rewrite it use set, or rewrite.authority",
                )


def _overridden(route: Headers | None, destination: Headers | None, path: Path) -> Iterator[Problem]:
    """Among several destinations the route's edits come last, and its host alone counts."""
    if destination is None:
        return
    for side in ("request", "response"):
        inner: HeaderOperations | None = getattr(destination, side)
        outer: HeaderOperations | None = getattr(route, side) if route is not None else None
        for name in inner.set if inner is not None else ():
            here = (*path, side, "set", name)
            if side == "request" and name.lower() in HOST_NAMES:
                yield remark(
                    EDIT_WITHOUT_EFFECT,
                    here,
                    f"setting {name} for one of several destinations changes nothing: the host is rewritten for the "
                    "whole route, by rewrite.authority or the route's own headers; write a rule for each host",
                )
            elif outer is not None and name.lower() in {each.lower() for each in outer.set}:
                yield remark(
                    EDIT_WITHOUT_EFFECT,
                    here,
                    f"{name} is set by the route as well, which with several destinations comes last and wins: "
                    "take one of the two away",
                )


def _host_kept(facts: Facts, document: Document, route: HTTPRoute, path: Path) -> Iterator[Problem]:
    """A host of somebody else's that gets requests for another host."""
    service: VirtualService = document.resource
    if _rewrites(route) or route.delegate is not None:
        return
    for index, destination in enumerate(route.route):
        wanted = facts.hosts.resolve(destination.destination.host, document.namespace)
        if hosts.is_wildcard(wanted) or any(hosts.covers(host, wanted) for host in service.hosts):
            continue
        found = facts.mesh.by_host.get(wanted, ())
        if found and all(each.external and not each.registry and each.source is Source.DNS for each in found):
            yield remark(
                HOST_KEPT,
                (*path, "route", index, "destination", "host"),
                f"requests come to {wanted} with the Host of the caller ({service.hosts[0] if service.hosts else '*'}), "
                f"which servers outside of the mesh seldom serve; add rewrite: {{authority: {wanted}}}",
                at_value=True,
            )
            return


def _rewrites(route: HTTPRoute) -> bool:
    if route.rewrite is not None and route.rewrite.authority:
        return True
    blocks = [route.headers, *(each.headers for each in route.route)]
    edits = [block.request for block in blocks if block is not None and block.request is not None]
    return any(name.lower() in HOST_NAMES for edit in edits for name in edit.set)


def _cors(policy: CorsPolicy, path: Path) -> Iterator[Problem]:
    """Origins that may read answers with the user's cookies, and are more than was meant."""
    for index, text in enumerate(policy.allowOrigin):
        if text == "*":
            yield _anybody((*path, "allowOrigin", index))
    for index, origin in enumerate(policy.allowOrigins):
        here = (*path, "allowOrigins", index)
        if origin.exact == "*" or origin.regex in {".*", ".+", "*"} or origin.prefix in {"http", "http://", "https://"}:
            yield _anybody(here)
        elif origin.prefix is not None and not _has_port(origin.prefix):
            yield remark(
                CORS_TOO_OPEN,
                (*here, "prefix"),
                f'the prefix "{origin.prefix}" also lets "{origin.prefix}.evil.example" in, with the user\'s cookies: '
                "use exact",
                at_value=True,
            )
        elif origin.regex and (has_bare_dot(origin.regex) or _open_at_left(origin.regex)):
            yield remark(
                CORS_TOO_OPEN,
                (*here, "regex"),
                f'"{origin.regex}" also matches hosts that only look alike, with the user\'s cookies: '
                'escape each dot as "\\.", and put one before the name that ".*" may be followed by',
                at_value=True,
            )


def _anybody(path: Path) -> Problem:
    return remark(
        CORS_TOO_OPEN,
        path,
        "every web page may call with the user's cookies and read the answer, because of allowCredentials: "
        "name the origins that are meant",
    )


def _has_port(prefix: str) -> bool:
    return prefix.rpartition(":")[2].isdigit() or "/" in prefix.partition("://")[2]


def _open_at_left(pattern: str) -> bool:
    """``https://.*example`` also takes ``https://notexample``."""
    rest = shape_of(pattern).rest
    return any(rest.startswith(each) and rest[2:3].isalnum() for each in (".*", ".+"))
