"""For whom policies are: selectors without workloads, the root namespace, policies behind older ones. Pure.

Source: Istio's ``ComposePeerAuthentication`` (the oldest of each scope counts),
``pilot/pkg/model`` (how each kind reads its selector) and
``pilot/pkg/security/authz`` (one external authorizer a workload). That an
AuthorizationPolicy, a Sidecar or a Telemetry selects nothing is said by codes
of Istio's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshd.api.document import Document, Path
from meshd.api.foreign import Foreign
from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.proxy_config import ProxyConfig
from meshd.api.networking.service_entry import ServiceEntry
from meshd.api.problem import Problem
from meshd.api.security import Action, AuthorizationPolicy, PeerAuthentication, RequestAuthentication
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.remarks import remark
from meshd.control.analysis.workload_facts import WORKLOAD_KINDS
from meshd.control.finding import Finding

SELECTS_NOTHING: Final = "MD0049"
ROOT_SELECTOR: Final = "MD0050"
BEHIND_AN_OLDER: Final = "MD0051"
SEVERAL_AUTHORIZERS: Final = "MD0060"

FIELDS: Final[Mapping[type, tuple[str, ...]]] = {
    PeerAuthentication: ("selector", "matchLabels"),
    RequestAuthentication: ("selector", "matchLabels"),
    ProxyConfig: ("selector", "matchLabels"),
    DestinationRule: ("workloadSelector", "matchLabels"),
    ServiceEntry: ("workloadSelector", "labels"),
}
"""Where each kind keeps the labels of the workloads that it is for."""

FOREIGN_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "EnvoyFilter": ("workloadSelector", "labels"),
    "WasmPlugin": ("selector", "matchLabels"),
    "TrafficExtension": ("selector", "matchLabels"),
}

FROM_ROOT_FOR_ALL: Final = (RequestAuthentication, ProxyConfig)
"""Kinds whose selector in the root namespace speaks of workloads everywhere."""


def selectors(facts: Facts) -> Iterable[Finding]:
    """Selectors that no known workload matches, and those of the root namespace that reach less far than it does."""
    root = facts.mesh.root_namespace
    unsure = facts.lost(*WORKLOAD_KINDS)
    for kind, field in FIELDS.items():
        for document in facts.all(kind):
            labels = _labels(document.resource, field)
            path: Path = ("spec", field[0])
            if labels and kind is PeerAuthentication and document.namespace == root:
                yield from told(document, [_in_root(path, root)])
            elif labels and not unsure:
                yield from told(document, _selects_nothing(facts, document, labels, path))
    for document in facts.all(Foreign):
        labels = selector_of(document) or {}
        if labels and not unsure:
            path = ("spec", FOREIGN_FIELDS[document.kind][0])
            yield from told(document, _selects_nothing(facts, document, labels, path))


def selector_of(document: Document) -> Mapping[str, str] | None:
    """The labels of the workloads that a document is for, {} for all of them; None for kinds that select none."""
    resource = document.resource
    if isinstance(resource, Foreign):
        foreign = FOREIGN_FIELDS.get(document.kind)
        found = resource.get("spec", *foreign) if foreign is not None else None
        return found if isinstance(found, Mapping) else None if foreign is None else {}
    field = FIELDS.get(type(resource))
    return None if field is None else _labels(resource, field)


def _labels(resource: Any, field: tuple[str, ...]) -> Mapping[str, str]:
    selector = getattr(resource, field[0])
    return getattr(selector, field[1]) if selector is not None else {}


def _selects_nothing(facts: Facts, document: Document, labels: Mapping[str, str], path: Path) -> Iterator[Problem]:
    far = isinstance(document.resource, (*FROM_ROOT_FOR_ALL, Foreign))
    known = facts.workloads
    space = document.namespace
    if far:
        there, found = known.knows(space), known.selected(space, labels)
    else:
        there, found = bool(known.by_namespace.get(space)), known.within(space, labels)
    if there and not found and not any(each.namespace == space or far for each in facts.pods.select(labels)):
        pairs = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
        where = "any namespace" if far and space == facts.mesh.root_namespace else f"namespace {space}"
        yield remark(
            SELECTS_NOTHING,
            path,
            f"it is for workloads with {pairs}, and none that is known in {where} has these labels: it has no effect; "
            "mend the labels, or remove it",
        )


def _in_root(path: Path, root: str) -> Problem:
    return remark(
        ROOT_SELECTOR,
        path,
        f"with a selector it holds for workloads of {root} at most, not for the mesh: leave the selector out for a "
        "rule of the whole mesh, or move it to the workloads' namespace",
    )


def older_ones(facts: Facts) -> Iterable[Finding]:
    """PeerAuthentications of one scope: the oldest counts, the others do not."""
    scopes: dict[tuple[str, tuple[tuple[str, str], ...]], list[Document]] = {}
    for document in facts.all(PeerAuthentication):
        labels = tuple(sorted(_labels(document.resource, FIELDS[PeerAuthentication]).items()))
        scopes.setdefault((document.namespace, labels), []).append(document)
    for documents in scopes.values():
        first, *others = sorted(documents, key=lambda each: each.seniority)
        for document in others:
            yield from told(document, [_behind(first)])


def _behind(first: Document) -> Problem:
    return remark(
        BEHIND_AN_OLDER,
        ("metadata", "name"),
        f"it has no effect: PeerAuthentication {first.namespace}/{first.name} ({first.origin}) is for the same "
        "workloads and is older (or first by name), and only that one counts; make one of the two",
        at_value=True,
    )


def authorizers(facts: Facts) -> Iterable[Finding]:
    """Workloads that two external authorizers would decide for: Istio then denies everything."""
    custom = [each for each in facts.all(AuthorizationPolicy) if _provider(each)]
    by_scope: dict[tuple[str, tuple[tuple[str, str], ...]], list[Document]] = {}
    for document in custom:
        by_scope.setdefault((document.namespace, _scope(document)), []).append(document)
    root = facts.mesh.root_namespace
    for document in custom:
        space, labels = document.namespace, _scope(document)
        rivals = [
            *by_scope.get((space, labels), ()),
            *(by_scope.get((space, ()), ()) if labels else ()),
            *(by_scope.get((root, ()), ()) if space != root else ()),
        ]
        others = sorted({f"{e.namespace}/{e.name}" for e in rivals if _provider(e) != _provider(document)})
        if others:
            yield from told(document, [_several(document, others)])


def _several(document: Document, others: list[str]) -> Problem:
    return remark(
        SEVERAL_AUTHORIZERS,
        ("spec", "provider"),
        f"its workloads deny everything that a CUSTOM policy matches: AuthorizationPolicy {', '.join(others)} names "
        f'another provider than "{_provider(document)}" for them, and one workload has one provider; use the same',
    )


def _provider(document: Document) -> str:
    policy: AuthorizationPolicy = document.resource
    named = policy.provider.name if policy.provider is not None else ""
    return named if policy.action is Action.CUSTOM else ""


def _scope(document: Document) -> tuple[tuple[str, str], ...]:
    policy: AuthorizationPolicy = document.resource
    labels = policy.selector.matchLabels if policy.selector is not None else {}
    return tuple(sorted(labels.items()))
