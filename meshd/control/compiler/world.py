"""What every part of a compilation looks things up in: one mesh, seen by one proxy. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.virtual_service import VirtualService
from meshd.control.compiler import peer_authn
from meshd.control.compiler.clusters import Client, compile_clusters, rules_of
from meshd.control.compiler.endpoints import compile_endpoints
from meshd.control.compiler.matches import Place
from meshd.control.compiler.memo import Memo
from meshd.control.compiler.routes import Destinations, compile_routes, destination_hosts, reads_labels
from meshd.control.mesh import Mesh, Owned
from meshd.control.rules import MESH, DestinationRules
from meshd.control.scope import GATEWAY, Scope
from meshd.control.services import Service
from meshd.snapshot.cluster import Cluster, EndpointGroup
from meshd.snapshot.route import Route


@attrs.define
class World:
    """Made for one compilation. Looks things up here, so that what is memoised gets only what it reads."""

    mesh: Mesh
    scope: Scope
    memo: Memo
    services: dict[str, Service] = attrs.field(init=False)
    """What the proxy sees, by host."""
    _rules: DestinationRules = attrs.field(init=False)
    _policies: dict[str, tuple[peer_authn.Policy, ...]] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.services = {each.host: each for each in self.mesh.visible_services(self.scope.namespace)}
        self._rules = self.memo.call(DestinationRules, self.mesh)

    def place(self, rule: Owned[VirtualService], port: int, gateway: str = MESH) -> Place:
        """Where a rule is compiled for; without labels if it reads none, so that proxies can share the result."""
        labels = self.scope.labels if self.memo.call(reads_labels, rule) else ()
        return Place(port, (gateway,), self.scope.namespace, labels)

    def destinations(self, rule: Owned[VirtualService]) -> Destinations:
        """What a rule needs to know of the services it sends to."""
        hosts = self.memo.call(destination_hosts, rule, self.mesh.domain)
        found = ((host, self.services.get(host)) for host in hosts)
        ports = tuple((host, service.only_port) for host, service in found if service and service.only_port)
        return Destinations(self.mesh.domain, ports)

    def routes(self, rule: Owned[VirtualService], port: int, gateway: str = MESH) -> tuple[Route, ...]:
        """A VirtualService's routes at one port."""
        return self.memo.call(compile_routes, rule, self.place(rule, port, gateway), self.destinations(rule))

    def destination_rules(self, service: Service) -> tuple[Owned[DestinationRule], ...]:
        """The rules for calling a service."""
        return self._rules.find(service, self.scope.namespace, self.scope.labels)

    def clusters(self, service: Service) -> tuple[Cluster, ...]:
        """All clusters of a service."""
        client = Client(self.scope.trust_domain, gateway=self.scope.kind == GATEWAY)
        return self.memo.call(compile_clusters, service, self.destination_rules(service), client)

    def endpoints(self, service: Service) -> tuple[EndpointGroup, ...]:
        """The endpoints of all clusters of a service."""
        subsets = tuple(
            (subset.name, tuple(sorted(subset.labels.items())))
            for subset in rules_of(self.destination_rules(service)).subsets
        )
        backends = self.mesh.backends[service.host, service.namespace]
        return self.memo.call(
            compile_endpoints, service, backends, subsets, self.policies(service.namespace), self.scope.trust_domain
        )

    def policies(self, namespace: str) -> tuple[peer_authn.Policy, ...]:
        """The PeerAuthentications that can concern a workload of a namespace."""
        found = self._policies.get(namespace)
        if found is None:
            root = self.mesh.root_namespace
            found = peer_authn.concerning(self.mesh.peer_authentications, namespace, root)
            self._policies[namespace] = found
        return found


def by_name(clusters: Iterable[Cluster]) -> tuple[Cluster, ...]:
    """In canonical order, one of each name."""
    return tuple(cluster for _, cluster in sorted({each.name: each for each in clusters}.items()))


def by_cluster(groups: Iterable[EndpointGroup]) -> tuple[EndpointGroup, ...]:
    """In canonical order, one for each cluster."""
    return tuple(group for _, group in sorted({each.cluster: each for each in groups}.items()))
