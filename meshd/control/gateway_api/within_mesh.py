"""Routes whose parent is a Service or a ServiceEntry: requests that sidecars send. Pure.

Source: Istio's ``pilot/pkg/config/kube/gateway/conversion.go`` (``buildHTTPVirtualServices``).

A route is for clients of its own namespace, and when that is the service's own,
for all; of a namespace's routes for one host and port those of several
HTTPRoutes are one list, in the order of how specific they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from meshd.api.document import Document
from meshd.api.gateway_api.references import ParentReference
from meshd.api.kinds import NETWORKING
from meshd.api.networking.virtual_service import (
    L4MatchAttributes,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
    VirtualService,
)
from meshd.control.gateway_api.backends import Backends
from meshd.control.gateway_api.gathered import Gathered
from meshd.control.gateway_api.grants import Referrer
from meshd.control.gateway_api.http_rules import at_port, http_rules
from meshd.control.hosts import MESH, service_host
from meshd.control.owned import Owned


def parent_service(parent: ParentReference) -> bool:
    """Whether a parent is a service of the mesh."""
    return (parent.group, parent.kind) in {("", "Service"), ("core", "Service"), (NETWORKING, "ServiceEntry")}


def within_mesh(
    routes: Iterable[Document],
    entries: Mapping[tuple[str, str], tuple[str, ...]],
    backends: Backends,
    export_to: tuple[str, ...],
) -> Iterator[Owned[VirtualService]]:
    """The VirtualServices of sidecars.

    Args:
        routes: HTTPRoutes and GRPCRoutes, older first.
        entries: The hosts of ServiceEntries by namespace and name.
        backends: Where requests go.
        export_to: Who sees VirtualServices that do not say it.
    """
    found: dict[tuple[str, int, str], Gathered] = {}
    for document in routes:
        parents = [each for each in document.resource.parentRefs if parent_service(each)]
        if not parents:
            continue
        rules = http_rules(document, backends)
        for parent in dict.fromkeys(parents):
            port = parent.port or 0
            mine = tuple(at_port(rules, port)) if port else rules
            for host in _hosts(parent, document.namespace, entries, backends.domain):
                key = (document.namespace, port, host)
                found.setdefault(key, Gathered(document, host, MESH)).rules.extend(mine)
    return (each.made(export_to) for each in found.values())


def _hosts(
    parent: ParentReference, owner: str, entries: Mapping[tuple[str, str], tuple[str, ...]], domain: str
) -> tuple[str, ...]:
    namespace = parent.namespace or owner
    if parent.kind == "ServiceEntry":
        return entries.get((namespace, parent.name), ())
    return (service_host(parent.name, namespace, domain),)


def streams_within_mesh(
    routes: Iterable[Document],
    entries: Mapping[tuple[str, str], tuple[str, ...]],
    backends: Backends,
    export_to: tuple[str, ...],
) -> Iterator[Owned[VirtualService]]:
    """The VirtualServices of sidecars for TCPRoutes and TLSRoutes; as for ``within_mesh``."""
    for document in routes:
        parents = [each for each in document.resource.parentRefs if parent_service(each)]
        for parent in dict.fromkeys(parents):
            for host in _hosts(parent, document.namespace, entries, backends.domain):
                spec = _stream(document, host, parent.port or 0, backends)
                yield Owned(
                    document.kind,
                    document.namespace,
                    document.name,
                    spec,
                    document.seniority,
                    export_to=export_to,
                    gateway_api=True,
                )


def _stream(document: Document, host: str, port: int, backends: Backends) -> VirtualService:
    referrer = Referrer(document.kind, document.namespace, document.name)
    targets = [backends.streams(rule.backendRefs, referrer) for rule in document.resource.rules[:1]]
    if document.kind == "TLSRoute":
        names = document.resource.hostnames or (host,)
        tls = tuple(TLSRoute((TLSMatchAttributes(names, port=port),), each) for each in targets)
        return VirtualService((host,), (MESH,), tls=tls)
    match = (L4MatchAttributes(port=port),) if port else ()
    return VirtualService((host,), (MESH,), tcp=tuple(TCPRoute(match, each) for each in targets))
