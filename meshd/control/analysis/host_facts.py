"""Which hosts, subsets and ports there are to refer to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

import attrs

from meshd.api.document import Document, Key
from meshd.api.kubernetes import Service as KubernetesService
from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.service_entry import ServiceEntry
from meshd.api.networking.virtual_service import VirtualService
from meshd.control import hosts
from meshd.control.analysis.destinations import destinations
from meshd.control.hosts import visible
from meshd.control.mesh import Mesh
from meshd.control.name_index import NameIndex
from meshd.control.services import Service


@attrs.frozen(eq=False)
class HostFacts:
    """What there is to refer to. Made by ``Facts``."""

    mesh: Mesh
    known_hosts: frozenset[str]
    subsets: dict[str, set[str]]
    """By host as a DestinationRule means it."""
    written: frozenset[Key]
    """Services that a person wrote."""
    named: dict[str, str]
    """The mesh's own services by their first name; of several, the first by alphabet."""

    subset_labels: dict[tuple[str, str], Mapping[str, str]]
    """By host and subset."""
    routed: frozenset[tuple[str, str]]
    """The hosts and subsets to which some VirtualService routes."""

    @classmethod
    def of(
        cls, documents: Sequence[Document], mesh: Mesh, known_hosts: Collection[str], refused: Collection[Key]
    ) -> HostFacts:
        """Look through all documents once."""
        subsets: dict[str, set[str]] = {}
        labels: dict[tuple[str, str], Mapping[str, str]] = {}
        written: set[Key] = set()
        broken: set[str] = set()
        for document in documents:
            resource = document.resource
            if isinstance(resource, DestinationRule):
                host = hosts.resolve(resource.host, document.namespace, mesh.domain)
                subsets.setdefault(host, set()).update(subset.name for subset in resource.subsets)
                labels.update({(host, subset.name): subset.labels for subset in resource.subsets})
            elif isinstance(resource, KubernetesService):
                if document.marks is not None:
                    written.add(document.key)
                if document.key in refused:
                    broken.add(hosts.service_host(document.name, document.namespace, mesh.domain))
            elif isinstance(resource, ServiceEntry) and document.key in refused:
                broken.update(resource.hosts)
        routed = {
            (hosts.resolve(target.host, document.namespace, mesh.domain), target.subset)
            for document in documents
            if isinstance(document.resource, VirtualService)
            for _, target in destinations(document.resource)
            if target.subset
        }
        named = {
            host.partition(".")[0]: host for host in sorted(mesh.by_host, reverse=True) if host.endswith(mesh.domain)
        }
        return cls(
            mesh,
            frozenset(known_hosts) | broken,
            subsets,
            frozenset(written),
            named,
            labels,
            frozenset(routed),
        )

    @cached_property
    def _wildcards(self) -> NameIndex[str]:
        """Hosts of services that stand for others."""
        return NameIndex((host, host) for host in self.mesh.by_host if hosts.is_wildcard(host))

    @cached_property
    def _known(self) -> NameIndex[str]:
        return NameIndex((host, host) for host in self.known_hosts)

    @cached_property
    def _everything(self) -> NameIndex[str]:
        return NameIndex((host, host) for host in (*self.mesh.by_host, *self.known_hosts))

    @cached_property
    def _rules(self) -> NameIndex[set[str]]:
        """The subsets of DestinationRules."""
        return NameIndex(self.subsets.items())

    def resolve(self, host: str, namespace: str) -> str:
        """A host as a rule of a namespace means it."""
        return hosts.resolve(host, namespace, self.mesh.domain)

    def services(self, host: str) -> tuple[Service, ...]:
        """The services of a host, by its own name or by a wildcard that covers it."""
        exact = self.mesh.by_host.get(host)
        if exact:
            return exact
        return tuple(service for each in self._wildcards.covering(host) for service in self.mesh.by_host[each])

    def exists(self, host: str) -> bool:
        """Whether there is such a host; for a wildcard, whether it covers any."""
        if hosts.is_wildcard(host):
            return any(self._everything.overlapping(host))
        return bool(self.services(host)) or any(self._known.covering(host))

    def exists_for(self, host: str, document: Document) -> bool:
        """Whether there is such a host where a rule holds: its ``exportTo``, else its own namespace."""
        if hosts.is_wildcard(host):
            return self.exists(host)
        scopes = [document.namespace if each == "." else each for each in document.resource.exportTo]
        for service in self.services(host):
            public = not service.export_to or "*" in service.export_to
            if public or any(
                visible(service.export_to, service.namespace, each) for each in scopes or [document.namespace]
            ):
                return True
        return any(self._known.covering(host))

    def has_rule(self, host: str) -> bool:
        """Whether some DestinationRule speaks of the host."""
        return next(self._rules.covering(host), None) is not None

    def has_subset(self, host: str, subset: str) -> bool:
        """Whether some DestinationRule gives the host such a subset."""
        return any(subset in subsets for subsets in self._rules.covering(host))

    def is_written(self, service: Service) -> bool:
        """Whether a person wrote this service, rather than that its sidecars registered it."""
        return Key("", "Service", service.namespace, service.name) in self.written or not service.registry
