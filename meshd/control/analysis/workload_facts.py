"""Which workloads are known, what selects them, and what their ports take. Pure.

Known are those that some document describes: Pods, the templates of
Deployments and their like, WorkloadEntries, WorkloadGroups, endpoints of
ServiceEntries. A directory of rules alone knows of none, and then nothing is
said about what selects nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

import attrs

from meshd.api.document import Document
from meshd.api.networking.service_entry import ServiceEntry
from meshd.api.networking.workload_group import WorkloadGroup
from meshd.api.security import MutualTLSMode, PeerAuthentication
from meshd.control.analysis.pod_facts import TEMPLATES, known_of
from meshd.control.mesh import Mesh
from meshd.control.owned import Owned
from meshd.control.services import Port, Service
from meshd.control.workloads import selects

if TYPE_CHECKING:
    from meshd.control.compiler.peer_authn import Decided

WORKLOAD_KINDS: Final = (*TEMPLATES, "Pod", "ServiceEntry", "WorkloadEntry", "WorkloadGroup")
"""Kinds that describe workloads."""

Labels = tuple[tuple[str, str], ...]


@attrs.frozen
class Described:
    """One workload, or all that are made from one template. ``labels`` are sorted."""

    kind: str
    namespace: str
    name: str
    labels: Labels

    @cached_property
    def mapping(self) -> dict[str, str]:
        """The labels to look up."""
        return dict(self.labels)


@attrs.frozen
class ServedPort:
    """A port of a service on a workload that it selects. ``number`` is the workload's own, 0 when it is only named."""

    service: Service
    port: Port
    number: int


class WorkloadFacts:
    """Made by ``Facts``; never changes."""

    def __init__(self, documents: Iterable[Document], mesh: Mesh) -> None:
        self._mesh = mesh
        self._by_label: dict[tuple[str, str, str], list[Described]] = {}
        self.by_namespace: dict[str, list[Described]] = {}
        for document in documents:
            for known in _described(document):
                self.by_namespace.setdefault(known.namespace, []).append(known)
                for key, value in known.labels:
                    self._by_label.setdefault((known.namespace, key, value), []).append(known)
        self._decided: dict[tuple[str, Labels, int], Decided] = {}

    def selected(self, namespace: str, labels: Mapping[str, str]) -> list[Described]:
        """The known workloads of a namespace that have all these labels; of all namespaces in the root namespace."""
        spaces = self.by_namespace if namespace == self._mesh.root_namespace else (namespace,)
        return [known for space in spaces for known in self.within(space, labels)]

    def within(self, namespace: str, labels: Mapping[str, str]) -> list[Described]:
        """The known workloads of one namespace that have all these labels."""
        if not labels:
            return self.by_namespace.get(namespace, [])
        candidates = min((self._by_label.get((namespace, *pair), []) for pair in labels.items()), key=len)
        return [known for known in candidates if selects(labels.items(), known.mapping)]

    def knows(self, namespace: str) -> bool:
        """Whether any workload of a namespace is known; for the root namespace, any at all."""
        return bool(self.by_namespace if namespace == self._mesh.root_namespace else self.by_namespace.get(namespace))

    def of_service(self, service: Service) -> list[Described]:
        """The known workloads behind a service."""
        return self.within(service.namespace, dict(service.selector)) if service.selector else []

    @cached_property
    def _services(self) -> dict[tuple[str, str, str], list[Service]]:
        """Services by one pair of their selector, which whatever they select must have."""
        found: dict[tuple[str, str, str], list[Service]] = {}
        for service in self._mesh.services:
            if service.selector:
                pair = min(service.selector, key=lambda each: len(self._by_label.get((service.namespace, *each), ())))
                found.setdefault((service.namespace, *pair), []).append(service)
        return found

    def ports(self, known: Described) -> list[ServedPort]:
        """What services offer on a workload."""
        found = []
        for pair in known.labels:
            for service in self._services.get((known.namespace, *pair), ()):
                if selects(service.selector, known.mapping):
                    found += [ServedPort(service, port, number_of(port)) for port in service.ports]
        return found

    @cached_property
    def _policies(self) -> dict[tuple[str, str, str], list[tuple[int, Owned[PeerAuthentication]]]]:
        """PeerAuthentications with their rank, by namespace and one pair of their selector ("" for those without)."""
        found: dict[tuple[str, str, str], list[tuple[int, Owned[PeerAuthentication]]]] = {}
        for rank, policy in enumerate(self._mesh.peer_authentications):
            selector = policy.resource.selector
            pairs = list(selector.matchLabels.items()) if selector is not None else []
            pair = min(pairs, key=lambda each: len(found.get((policy.namespace, *each), ())), default=("", ""))
            found.setdefault((policy.namespace, *pair), []).append((rank, policy))
        return found

    def _concerning(self, namespace: str, labels: Labels) -> tuple[Owned[PeerAuthentication], ...]:
        """Those that can be for a workload, older first."""
        spaces = dict.fromkeys((self._mesh.root_namespace, namespace))
        keys = [(space, *pair) for space in spaces for pair in (("", ""), *labels)]
        return tuple(
            policy for _, policy in sorted((each for key in keys for each in self._policies.get(key, ())), key=_rank)
        )

    def decided(self, namespace: str, labels: Labels, port: int) -> Decided:
        """What a workload's port takes, by the PeerAuthentications there are, and which of them says so."""
        # Its package is the whole compiler, which most meshes do not need to be judged.
        from meshd.control.compiler.peer_authn import concerning, decided_at

        key = (namespace, labels, port)
        if key not in self._decided:
            policies = concerning(self._concerning(namespace, labels), namespace, self._mesh.root_namespace)
            self._decided[key] = decided_at(policies, namespace, labels, port)
        return self._decided[key]

    def mode(self, namespace: str, labels: Labels, port: int) -> MutualTLSMode:
        """What a workload's port takes."""
        return self.decided(namespace, labels, port).mode

    def behind(self, service: Service, port: Port) -> list[Decided]:
        """What the workloads behind a service's port take; by its selector when no workload is known."""
        labels = {known.labels for known in self.of_service(service)} or {service.selector}
        return [self.decided(service.namespace, each, number_of(port)) for each in sorted(labels)]


def _rank(ranked: tuple[int, Owned[PeerAuthentication]]) -> int:
    return ranked[0]


def number_of(port: Port) -> int:
    """The workload's own port behind a service's; 0 when it is only named."""
    return port.target if isinstance(port.target, int) else 0


def _described(document: Document) -> Iterator[Described]:
    known = known_of(document)
    if known is not None:
        yield Described(document.kind, known.namespace, known.name, tuple(sorted(known.labels.items())))
        return
    for labels in _labels(document.resource):
        yield Described(document.kind, document.namespace, document.name, tuple(sorted(labels.items())))


def _labels(resource: object) -> Iterator[Mapping[str, str]]:
    """The labels of workloads that are neither pods nor entries of their own."""
    if isinstance(resource, ServiceEntry):
        yield from (endpoint.labels for endpoint in resource.endpoints if endpoint.labels)
    elif isinstance(resource, WorkloadGroup):
        own = resource.metadata.labels if resource.metadata is not None else {}
        yield {**resource.template.labels, **own}
