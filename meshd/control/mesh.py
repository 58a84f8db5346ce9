"""The mesh: all documents, put in order and ready to be looked up. Pure.

Made once for each change of the documents; never changes. Equal documents make
an equal mesh whatever their order and wherever they were written: files, lines
and the order of a directory are left behind here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from meshd.api.common import Map
from meshd.api.document import Document
from meshd.api.foreign import Foreign
from meshd.api.kinds import GATEWAY_API
from meshd.api.kubernetes import Endpoints, EndpointSlice, Secret
from meshd.api.mesh.config import MeshConfig
from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.gateway import Gateway
from meshd.api.networking.sidecar import Sidecar
from meshd.api.networking.virtual_service import VirtualService
from meshd.api.security import AuthorizationPolicy, PeerAuthentication, RequestAuthentication
from meshd.control import services as service_rules
from meshd.control import workloads as workload_rules
from meshd.control.delegates import merge_delegates
from meshd.control.gateway_api.translate import translate
from meshd.control.hosts import DOMAIN, visible
from meshd.control.owned import Owned, Resource
from meshd.control.services import Service, Source
from meshd.control.workloads import Backends, WorkloadIndex

__all__ = ["DRY_RUN", "ROOT_NAMESPACE", "Mesh", "Owned"]

ROOT_NAMESPACE: Final = "istio-system"
"""Where the mesh's configuration is kept; whose policies hold for the whole mesh unless it says otherwise."""

CONFIG_MAP: Final = "istio"

DRY_RUN: Final = "istio.io/dry-run"


def _by_host(services: Iterable[Service]) -> dict[str, tuple[Service, ...]]:
    found: dict[str, list[Service]] = {}
    for service in services:
        found.setdefault(service.host, []).append(service)
    return {host: tuple(sorted(each, key=service_rules.precedence)) for host, each in found.items()}


@attrs.frozen(eq=False)
class Mesh:
    """Everything there is. Collections are sorted, older first."""

    services: tuple[Service, ...] = ()
    backends: Mapping[tuple[str, str], Backends] = attrs.field(factory=dict, repr=False)
    """By the service's host and namespace."""
    virtual_services: tuple[Owned[VirtualService], ...] = ()
    """Delegates stand where they are named, and nowhere else."""
    destination_rules: tuple[Owned[DestinationRule], ...] = ()
    gateways: tuple[Owned[Gateway], ...] = ()
    sidecars: tuple[Owned[Sidecar], ...] = ()
    peer_authentications: tuple[Owned[PeerAuthentication], ...] = ()
    authorization_policies: tuple[Owned[AuthorizationPolicy], ...] = ()
    request_authentications: tuple[Owned[RequestAuthentication], ...] = ()
    secrets: Mapping[tuple[str, str], Secret] = attrs.field(factory=dict, repr=False)
    """By namespace and name."""
    gateway_secrets: frozenset[tuple[str, str]] = frozenset()
    """Namespaces of proxies, each with the name of a certificate elsewhere that those may have."""
    config: MeshConfig = MeshConfig()
    domain: str = DOMAIN
    by_host: Mapping[str, tuple[Service, ...]] = attrs.field(
        init=False, repr=False, default=attrs.Factory(lambda self: _by_host(self.services), takes_self=True)
    )

    @classmethod
    def of(cls, documents: Iterable[Document]) -> Mesh:
        """Put documents in order.

        The same object twice: which one counts is decided before (``ingest``); here
        it is the older one, else the one whose content sorts first, so that the
        order of ``documents`` never matters.
        """
        kinds: dict[str, list[Document]] = {}
        others: dict[str, list[Document]] = {}  # Another group's Gateway is not Istio's.
        for document in _unique(documents):
            if not isinstance(document.resource, Foreign):
                of_its_group = others if document.key.group == GATEWAY_API else kinds
                of_its_group.setdefault(document.kind, []).append(document)
        config = config_of(kinds.get("ConfigMap", ()))
        services, backends = _services(kinds, config)
        rules = _owned(kinds, "VirtualService", config.defaultVirtualServiceExportTo)
        translated = translate(others, kinds, config, DOMAIN)
        return cls(
            config=config,
            services=services,
            backends=backends,
            virtual_services=_by_age((*merge_delegates(rules, DOMAIN), *translated.virtual_services)),
            destination_rules=_owned(kinds, "DestinationRule", config.defaultDestinationRuleExportTo),
            gateways=_by_age((*_owned(kinds, "Gateway"), *translated.gateways)),
            sidecars=_owned(kinds, "Sidecar"),
            peer_authentications=_owned(kinds, "PeerAuthentication"),
            authorization_policies=_owned(kinds, "AuthorizationPolicy"),
            request_authentications=_owned(kinds, "RequestAuthentication"),
            gateway_secrets=translated.secrets,
            secrets={(each.namespace, each.name): each.resource for each in kinds.get("Secret", ())},
        )

    @property
    def root_namespace(self) -> str:
        """Whose policies hold for the whole mesh."""
        return self.config.rootNamespace

    def service(self, host: str, viewer: str) -> Service | None:
        """The service of a host as one namespace sees it: its own first, then Kubernetes', then the oldest."""
        candidates = [each for each in self.by_host.get(host, ()) if visible(each.export_to, each.namespace, viewer)]
        own = [each for each in candidates if each.namespace == viewer]
        return next(iter(own or candidates), None)

    def visible_services(self, viewer: str) -> tuple[Service, ...]:
        """One service for each host that a namespace sees, by host."""
        found = (self.service(host, viewer) for host in sorted(self.by_host))
        return tuple(service for service in found if service is not None)


def _unique(documents: Iterable[Document]) -> list[Document]:
    found: dict[Any, Document] = {}
    for document in documents:
        other = found.get(document.key)
        if other is None or _rank(document) < _rank(other):
            found[document.key] = document
    return sorted(found.values(), key=lambda document: (document.seniority, str(document.key)))


def _rank(document: Document) -> tuple[Any, ...]:
    labels = (sorted(document.labels.items()), sorted(document.annotations.items()))
    return (document.seniority, document.api_version, repr(document.resource), labels)


def config_of(maps: Iterable[Document]) -> MeshConfig:
    """The mesh's configuration, as Istio keeps it: key ``mesh`` of the ConfigMap ``istio``; Istio's defaults without one."""
    for document in maps:
        if document.name == CONFIG_MAP and document.namespace == ROOT_NAMESPACE:
            found: MeshConfig | None = document.resource.mesh
            return found or MeshConfig()
    return MeshConfig()


def _owned(kinds: dict[str, list[Document]], kind: str, export_to: tuple[str, ...] = ()) -> tuple[Owned[Any], ...]:
    return tuple(
        Owned(
            kind,
            each.namespace,
            each.name,
            each.resource,
            each.seniority,
            dry_run=each.annotations.get(DRY_RUN, "") == "true",
            annotations=each.annotations if kind == "Gateway" else Map(),
            export_to=getattr(each.resource, "exportTo", ()) or export_to,
        )
        for each in kinds.get(kind, ())
    )


def _by_age(rules: tuple[Owned[Resource], ...]) -> tuple[Owned[Resource], ...]:
    return tuple(sorted(rules, key=lambda rule: rule.seniority))


def _services(
    kinds: dict[str, list[Document]], config: MeshConfig
) -> tuple[tuple[Service, ...], dict[tuple[str, str], Backends]]:
    index = WorkloadIndex(workload_rules.from_document(each) for each in kinds.get("WorkloadEntry", ()))
    slices: dict[tuple[str, str], list[EndpointSlice]] = {}
    for each in kinds.get("EndpointSlice", ()):
        name = each.labels.get(workload_rules.SERVICE_NAME, "")
        slices.setdefault((each.namespace, name), []).append(each.resource)
    endpoints: dict[tuple[str, str], Endpoints] = {
        (each.namespace, each.name): each.resource for each in kinds.get("Endpoints", ())
    }
    declared: dict[tuple[str, str], list[tuple[Service, Backends]]] = {}
    for document in kinds.get("Service", ()):
        service = service_rules.from_kubernetes(document, config.defaultServiceExportTo, DOMAIN)
        own = (document.namespace, document.name)
        backends = _kubernetes_backends(document, service, slices.get(own, []), endpoints.get(own), index)
        declared.setdefault((service.host, service.namespace), []).append((service, backends))
    for document in kinds.get("ServiceEntry", ()):
        for service in service_rules.from_service_entry(document, config.defaultServiceExportTo):
            backends = workload_rules.backends_of_entry(service, document.resource, document, index)
            declared.setdefault((service.host, service.namespace), []).append((service, backends))
    services = [service_rules.merge(tuple(each for each, _ in found)) for found in declared.values()]
    joined = {key: workload_rules.join(backends for _, backends in found) for key, found in declared.items()}
    return tuple(sorted(services, key=lambda each: (each.seniority, each.host))), joined


def _kubernetes_backends(
    document: Document,
    service: Service,
    slices: list[EndpointSlice],
    endpoints: Endpoints | None,
    index: WorkloadIndex,
) -> Backends:
    spec = document.resource
    if service.source is Source.DNS:
        return workload_rules.backends_of_names(service, (spec.externalName,))
    parts = [workload_rules.backends_of_workloads(service, index.select(service.namespace, service.selector))]
    if slices:
        # Kubernetes writes the same endpoints in both forms.
        parts.append(workload_rules.backends_of_slices(service, slices))
    elif endpoints is not None:
        parts.append(workload_rules.backends_of_endpoints(service, endpoints, not_ready=spec.publishNotReadyAddresses))
    return workload_rules.join(parts)
