"""Sidecars and Telemetries: that each means a workload, and that no workload has two. Pure.

Source: Istio's ``analyzers/sidecar`` and ``analyzers/telemetry``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from meshd.api.document import Document, Path
from meshd.api.networking.sidecar import Sidecar
from meshd.api.problem import error, warning
from meshd.api.telemetry import Telemetry
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.istio.injected import is_ambient, is_ambient_namespace
from meshd.control.analysis.pod_facts import Known, labels_text
from meshd.control.finding import Finding

NOT_FOUND = "IST0101"
SIDECARS_FOR_ONE_WORKLOAD = "IST0110"
SIDECARS_WITHOUT_SELECTOR = "IST0111"
NO_EMPTY_PROVIDERS = "IST0157"
TELEMETRIES_FOR_ONE_WORKLOAD = "IST0159"
TELEMETRIES_WITHOUT_SELECTOR = "IST0160"
INEFFECTIVE = "IST0167"

Chosen: TypeAlias = tuple[Document, Mapping[str, str]]
"""A document and the labels of the workloads it means."""


def sidecars(facts: Facts) -> Iterable[Finding]:
    """Sidecars that mean no workload, or the same one, or all of a namespace that has another for all."""
    for_all: list[Document] = []
    chosen: list[Chosen] = []
    for document in facts.all(Sidecar):
        selector = document.resource.workloadSelector
        if selector is not None and selector.labels:
            chosen.append((document, selector.labels))
        elif is_ambient_namespace(facts.namespaces.get(document.namespace)):
            message = "has no effect: the pods of its namespace take part without sidecars (ambient)"
            yield from told(document, (warning(("metadata", "name"), message, code=INEFFECTIVE),))
        else:
            for_all.append(document)
    yield from _several(for_all, SIDECARS_WITHOUT_SELECTOR)
    if facts.complete:
        yield from _chosen_sidecars(facts, chosen)


def _chosen_sidecars(facts: Facts, chosen: Sequence[Chosen]) -> Iterator[Finding]:
    yield from _missing(facts, chosen, ("spec", "workloadSelector"))
    ineffective: set[str] = set()
    for known, documents in _shared(facts, chosen):
        if is_ambient(known):
            for document in documents:
                if str(document.key) not in ineffective:
                    ineffective.add(str(document.key))
                    message = f"has no effect on {known.name}, which takes part without a sidecar (ambient)"
                    yield from told(document, (warning(("spec", "workloadSelector"), message, code=INEFFECTIVE),))
        elif len(documents) > 1:
            yield from _conflict(documents, known, SIDECARS_FOR_ONE_WORKLOAD)


def telemetries(facts: Facts) -> Iterable[Finding]:
    """Telemetries that mean no workload, or the same one."""
    chosen = [
        (document, document.resource.selector.matchLabels)
        for document in facts.all(Telemetry)
        if document.resource.selector is not None and document.resource.selector.matchLabels
    ]
    yield from _missing(facts, chosen, ("spec", "selector"))
    for known, documents in _shared(facts, chosen):
        if len(documents) > 1:
            yield from _conflict(documents, known, TELEMETRIES_FOR_ONE_WORKLOAD)


def default_telemetries(facts: Facts) -> Iterable[Finding]:
    """Several Telemetries for all workloads of one namespace."""
    without = [
        each for each in facts.all(Telemetry) if each.resource.selector is None and not _has_target(each.resource)
    ]
    yield from _several(without, TELEMETRIES_WITHOUT_SELECTOR)


def _has_target(telemetry: Telemetry) -> bool:
    return telemetry.targetRef is not None or bool(telemetry.targetRefs)


def telemetry_providers(facts: Facts) -> Iterable[Finding]:
    """Access logging to nobody: neither the Telemetry nor the mesh names a provider."""
    if facts.mesh.config.defaultProviders.accessLogging:
        return
    for document in facts.all(Telemetry):
        for index, logging in enumerate(document.resource.accessLogging):
            if not logging.providers:
                path = ("spec", "accessLogging", index)
                message = "names no provider and the mesh has no default one: it is ignored; set providers"
                yield from told(document, (warning(path, message, code=NO_EMPTY_PROVIDERS),))


def _missing(facts: Facts, chosen: Iterable[Chosen], path: Path) -> Iterator[Finding]:
    for document, selector in chosen:
        if not facts.pods.select(selector, document.namespace):
            message = f"no workload of namespace {document.namespace} has the labels {labels_text(selector)}"
            yield from told(document, (error(path, message, code=NOT_FOUND),))


def _shared(facts: Facts, chosen: Iterable[Chosen]) -> Iterator[tuple[Known, tuple[Document, ...]]]:
    """Every workload that is meant, with who means it. What makes pods is asked only where no pod is there."""
    found: dict[int, tuple[Known, list[Document]]] = {}
    for document, selector in chosen:
        selected = facts.pods.select(selector, document.namespace)
        pods = [known for known in selected if known.is_pod]
        for known in pods or selected:
            found.setdefault(id(known), (known, []))[1].append(document)
    for known, documents in found.values():
        yield known, tuple(documents)


def _conflict(documents: Sequence[Document], known: Known, code: str) -> Iterator[Finding]:
    names = ", ".join(sorted(document.name for document in documents))
    message = f"{names} in namespace {known.namespace} all mean the workload {known.name}: only one of them can hold"
    for document in documents:
        yield from told(document, (error(("metadata", "name"), message, at_value=False, code=code),))


def _several(documents: Iterable[Document], code: str) -> Iterator[Finding]:
    by_namespace: dict[str, list[Any]] = {}
    for document in documents:
        by_namespace.setdefault(document.namespace, []).append(document)
    for namespace, found in sorted(by_namespace.items()):
        if len(found) > 1:
            names = ", ".join(sorted(document.name for document in found))
            message = f"{names} in namespace {namespace} have no selector: only one of them can hold for all workloads"
            for document in found:
                yield from told(document, (error(("metadata", "name"), message, at_value=False, code=code),))
