"""Which hosts, subsets and ports there are to refer to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

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
    wildcards: tuple[str, ...]
    """Hosts of services, and below of DestinationRules, that must be compared one by one."""
    wildcard_rules: tuple[str, ...]
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
            tuple(host for host in mesh.by_host if hosts.is_wildcard(host)),
            tuple(host for host in subsets if hosts.is_wildcard(host)),
            named,
            labels,
            frozenset(routed),
        )

    def resolve(self, host: str, namespace: str) -> str:
        """A host as a rule of a namespace means it."""
        return hosts.resolve(host, namespace, self.mesh.domain)

    def services(self, host: str) -> tuple[Service, ...]:
        """The services of a host, by its own name or by a wildcard that covers it."""
        exact = self.mesh.by_host.get(host)
        if exact:
            return exact
        covering = (pattern for pattern in self.wildcards if hosts.covers(pattern, host))
        return tuple(service for pattern in covering for service in self.mesh.by_host[pattern])

    def exists(self, host: str) -> bool:
        """Whether there is such a host; for a wildcard, whether it covers any."""
        if hosts.is_wildcard(host):
            everything = (*self.mesh.by_host, *self.known_hosts)
            return any(hosts.overlaps(host, each) for each in everything)
        if self.services(host) or host in self.known_hosts:
            return True
        return any(hosts.covers(each, host) for each in self.known_hosts)

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
        return host in self.known_hosts or any(hosts.covers(each, host) for each in self.known_hosts)

    def has_rule(self, host: str) -> bool:
        """Whether some DestinationRule speaks of the host."""
        return host in self.subsets or any(hosts.covers(pattern, host) for pattern in self.wildcard_rules)

    def has_subset(self, host: str, subset: str) -> bool:
        """Whether some DestinationRule gives the host such a subset."""
        covering = (pattern for pattern in self.wildcard_rules if hosts.covers(pattern, host))
        return any(subset in self.subsets[pattern] for pattern in (*covering, host) if pattern in self.subsets)

    def is_written(self, service: Service) -> bool:
        """Whether a person wrote this service, rather than that its sidecars registered it."""
        return Key("", "Service", service.namespace, service.name) in self.written or not service.registry
