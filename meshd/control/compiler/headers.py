"""Header operations of routes and destinations, and the host rewrite hidden in them. Pure.

Source: Istio's ``pilot/pkg/networking/core/route/route.go`` (``TranslateHeadersOperations``).
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from meshd.api.networking.virtual_service import HeaderOperations as ApiOperations
from meshd.api.networking.virtual_service import Headers
from meshd.errors import ConfigError
from meshd.policy.headers import check_operations
from meshd.snapshot.common import HeaderOperations

HOST_NAMES = frozenset({"host", ":authority"})


@attrs.frozen
class Edits:
    """What a ``headers`` block asks for. ``host`` is a host rewrite, "" for none."""

    request: HeaderOperations = HeaderOperations()
    response: HeaderOperations = HeaderOperations()
    host: str = ""


def edits(headers: Headers | None) -> Edits:
    """Translate a ``headers`` block."""
    if headers is None:
        return Edits()
    return Edits(_operations(headers.request), _operations(headers.response), _host(headers.request))


def _operations(operations: ApiOperations | None) -> HeaderOperations:
    if operations is None:
        return HeaderOperations()
    return HeaderOperations(
        remove=tuple(name.lower() for name in operations.remove if _editable(name)),
        set=_pairs(operations.set.items()),
        add=_pairs(operations.add.items()),
    )


def _pairs(items: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name.lower(), value) for name, value in items if _editable(name) and _usable(name, value)))


def _usable(name: str, value: str) -> bool:
    """Whether the proxy knows every operator in a value: an edit with another is left out, as validation says."""
    if "%" not in value:
        return True
    try:
        check_operations(HeaderOperations(set=((name.lower(), value),)), request=True)
    except ConfigError:
        return False
    return True


def _editable(name: str) -> bool:
    """The request line and Host are no headers to edit; ``set`` of Host is a host rewrite instead."""
    return not name.startswith(":") and name.lower() != "host"


def _host(operations: ApiOperations | None) -> str:
    """The host rewrite that setting, or else adding, the Host or ``:authority`` asks for."""
    if operations is None:
        return ""
    for written in (operations.set, operations.add):
        found = {name.lower(): value for name, value in sorted(written.items()) if name.lower() in HOST_NAMES}
        host = found.get(":authority") or found.get("host", "")
        if host:
            return host
    return ""


def then(first: HeaderOperations, second: HeaderOperations) -> HeaderOperations:
    """Both in turn, as one: what ``second`` sets replaces what ``first`` set or added."""
    overwritten = {name for name, _ in second.set}
    return HeaderOperations(
        remove=tuple(dict.fromkeys((*first.remove, *second.remove))),
        set=(*(pair for pair in first.set if pair[0] not in overwritten), *second.set),
        add=(*(pair for pair in first.add if pair[0] not in overwritten), *second.add),
    )
