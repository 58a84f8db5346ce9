"""Routes whose parent is a Service or a ServiceEntry: requests that sidecars send. Pure.

Source: Istio's ``pilot/pkg/config/kube/gateway/conversion.go`` (``buildHTTPVirtualServices``).

A route is for clients of its own namespace, and when that is the service's own,
for all; of a namespace's routes for one host and port those of several
HTTPRoutes are one list, in the order of how specific they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from meshd.api.document import Document
from meshd.api.gateway_api.http_route import HTTPRoute
from meshd.api.gateway_api.references import ParentReference
from meshd.api.kinds import NETWORKING
from meshd.api.networking.virtual_service import VirtualService
from meshd.control.gateway_api.backends import Backends
from meshd.control.gateway_api.grants import Referrer
from meshd.control.gateway_api.http_rules import Rule, at_port, in_order, rules_of
from meshd.control.hosts import MESH, service_host
from meshd.control.owned import Owned


def parent_service(parent: ParentReference) -> bool:
    """Whether a parent is a service of the mesh."""
    return (parent.group, parent.kind) in {("", "Service"), ("core", "Service"), (NETWORKING, "ServiceEntry")}


@attrs.define
class Gathered:
    """A VirtualService in the making: everything routes of one place say of one host."""

    first: Document
    host: str
    gateway: str
    rules: list[Rule] = attrs.field(factory=list)

    def made(self, export_to: tuple[str, ...]) -> Owned[VirtualService]:
        """The VirtualService, under the name of its oldest route."""
        rules = in_order(self.rules)
        spec = VirtualService((self.host,), (self.gateway,), http=tuple(rule.http for rule in rules))
        return Owned(
            self.first.kind,
            self.first.namespace,
            self.first.name,
            spec,
            self.first.seniority,
            export_to=export_to,
            gateway_api=True,
            http_origins=tuple(rule.origin for rule in rules),
            http_matches=tuple(rule.match for rule in rules),
        )


def within_mesh(
    routes: Iterable[Document],
    entries: Mapping[tuple[str, str], tuple[str, ...]],
    backends: Backends,
    export_to: tuple[str, ...],
) -> Iterator[Owned[VirtualService]]:
    """The VirtualServices of sidecars.

    Args:
        routes: HTTPRoutes, older first.
        entries: The hosts of ServiceEntries by namespace and name.
        backends: Where requests go.
        export_to: Who sees VirtualServices that do not say it.
    """
    found: dict[tuple[str, int, str], Gathered] = {}
    for document in routes:
        route: HTTPRoute = document.resource
        parents = [each for each in route.parentRefs if parent_service(each)]
        if not parents:
            continue
        rules = rules_of(route, Referrer(document.kind, document.namespace, document.name), backends)
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
