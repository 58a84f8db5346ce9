"""Conditions in the status of objects by which a controller says that something does not work. Pure.

Source: Istio's ``analyzers/conditions``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from meshd.api.common import Map
from meshd.api.document import Document, Path
from meshd.api.foreign import look_up
from meshd.api.kinds import GATEWAY_API, NETWORKING, SECURITY
from meshd.api.problem import Problem, warning
from meshd.control.analysis.facts import Facts, told
from meshd.control.finding import Finding

NEGATIVE_CONDITION = "IST0171"

_GATEWAY: Final = frozenset({"Accepted", "Programmed", "ResolvedRefs"})
_BOUND: Final = frozenset({"istio.io/WaypointBound"})

WATCHED: Final[dict[tuple[str, str], frozenset[str]]] = {
    ("", "Service"): _BOUND,
    (NETWORKING, "ServiceEntry"): _BOUND,
    (SECURITY, "AuthorizationPolicy"): frozenset({"ZtunnelAccepted", "WaypointAccepted"}),
    (GATEWAY_API, "Gateway"): _GATEWAY,
    (GATEWAY_API, "HTTPRoute"): _GATEWAY,
    (GATEWAY_API, "GRPCRoute"): _GATEWAY,
}
"""The types of condition for which False is bad news, by group and kind."""


def conditions(facts: Facts) -> Iterable[Finding]:
    """Conditions that say no."""
    for (group, kind), types in WATCHED.items():
        for document in facts.metadata_of(kind, group):
            if document.status:
                yield from told(document, _judge(document, types))


def _judge(document: Document, types: frozenset[str]) -> Iterator[Problem]:
    for path, condition in _conditions(document):
        kind, reason = str(condition.get("type") or ""), str(condition.get("reason") or "")
        # Half a refusal is told as a success.
        partly = kind == "WaypointAccepted" and reason == "PartiallyInvalid"
        if (kind in types and condition.get("status") == "False") or partly:
            why = str(condition.get("message") or "")
            told_by = f"{kind} is {condition.get('status')} ({reason})" if reason else f"{kind} is False"
            yield warning(path, f"its status says {told_by}{': ' + why if why else ''}", code=NEGATIVE_CONDITION)


def _conditions(document: Document) -> Iterator[tuple[Path, Map[str, Any]]]:
    yield from _listed(document.status.get("conditions"), ("status", "conditions"))
    parents = document.status.get("parents")
    for index, parent in enumerate(parents if isinstance(parents, tuple) else ()):
        yield from _listed(look_up(parent, "conditions"), ("status", "parents", index, "conditions"))


def _listed(value: Any, path: Path) -> Iterator[tuple[Path, Map[str, Any]]]:
    for index, each in enumerate(value if isinstance(value, tuple) else ()):
        if isinstance(each, Map):
            yield (*path, index), each
