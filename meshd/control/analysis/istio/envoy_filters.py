"""EnvoyFilters whose patches are ignored, or depend on the order in which they come. Pure.

Source: Istio's ``analyzers/envoyfilter``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from meshd.api.document import Document, Path
from meshd.api.foreign import look_up
from meshd.api.kinds import NETWORKING
from meshd.api.problem import Problem, error, warning
from meshd.control.analysis.facts import Facts, told
from meshd.control.finding import Finding

RELATIVE = "IST0151"
REPLACE = "IST0152"
ADD = "IST0153"
REMOVE = "IST0154"
RELATIVE_WITH_VERSION = "IST0155"

ROUTES: Final = frozenset({"ROUTE_CONFIGURATION", "HTTP_ROUTE"})
REPLACEABLE: Final = frozenset({"HTTP_FILTER", "NETWORK_FILTER", "VIRTUAL_HOST"})


def patches(facts: Facts) -> Iterable[Finding]:
    """Operations that do nothing where they stand, and relative ones without a priority."""
    versioned: set[str] = set()
    for document in facts.kind("EnvoyFilter", NETWORKING):
        yield from told(document, _patches(document, versioned))


def _patches(document: Document, versioned: set[str]) -> Iterator[Problem]:
    """``versioned``: names of filters that some patch before changes for one version of the proxy only."""
    listed = document.resource.get("spec", "configPatches")
    for index, patch in enumerate(listed if isinstance(listed, tuple) else ()):
        if look_up(patch, "patch") is None:
            return
        name = _filter_name(patch)
        yield from _operation(document, patch, ("spec", "configPatches", index), versioned=name in versioned)
        if look_up(patch, "match", "proxy", "proxyVersion"):
            versioned.add(name)


def _filter_name(patch: Any) -> str:
    value = look_up(patch, "patch", "value")
    if not value:
        return ""
    name = look_up(value, "name")
    if name is None:
        name = look_up(patch, "match", "listener", "filterChain", "filter", "name")
    return str(name or "")


def _operation(document: Document, patch: Any, path: Path, *, versioned: bool) -> Iterator[Problem]:
    operation, target = look_up(patch, "patch", "operation"), look_up(patch, "applyTo")
    where: Path = (*path, "patch", "operation")
    match operation:
        case "ADD":
            if target in ROUTES:
                yield error(where, "ADD does nothing for ROUTE_CONFIGURATION and HTTP_ROUTE: use MERGE", code=ADD)
            return
        case "REMOVE":
            if target in ROUTES:
                yield error(where, "REMOVE does nothing for ROUTE_CONFIGURATION and HTTP_ROUTE", code=REMOVE)
                return
        case "REPLACE":
            if target not in REPLACEABLE:
                message = "REPLACE is for HTTP_FILTER, NETWORK_FILTER and VIRTUAL_HOST only: elsewhere it does nothing"
                yield error(where, message, code=REPLACE)
                return
        case "INSERT_BEFORE" | "INSERT_AFTER":
            pass
        case _:
            return
    if document.resource.get("spec", "priority"):
        return
    if versioned:
        message = (
            "a relative operation without a priority, on a filter that others change for some versions of the proxy"
        )
        yield warning(where, f"{message}: it may not be applied during an upgrade", code=RELATIVE_WITH_VERSION)
    else:
        message = "a relative operation without a priority depends on which EnvoyFilter comes first"
        yield warning(where, f"{message}: set spec.priority, or use INSERT_FIRST or ADD", code=RELATIVE)
