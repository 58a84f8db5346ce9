"""What every part of a compilation looks things up in: one mesh, seen by one proxy. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import attrs

from meshd.api.mesh.config import MeshConfig
from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.sidecar import Sidecar
from meshd.api.networking.virtual_service import HTTPRetry, VirtualService
from meshd.control.compiler import peer_authn
from meshd.control.compiler.clusters import Client, compile_clusters, hashed_clusters, mentions_hash, rules_of
from meshd.control.compiler.endpoints import compile_endpoints
from meshd.control.compiler.matches import Place
from meshd.control.compiler.memo import Memo
from meshd.control.compiler.mtls import Peers, peers_of
from meshd.control.compiler.routes import Destinations, compile_routes, destination_hosts, needs_of
from meshd.control.mesh import Mesh
from meshd.control.owned import Owned
from meshd.control.rules import MESH, DestinationRules, virtual_services
from meshd.control.scope import GATEWAY, Scope
from meshd.control.services import Service, Source
from meshd.control.sidecar_scope import SidecarScope, scope_of, sidecar_of
from meshd.snapshot.cluster import Cluster, EndpointGroup
from meshd.snapshot.listener import HttpManager
from meshd.snapshot.route import Route


@attrs.frozen(cache_hash=True)
class Naming:
    """What a service's names depend on beside itself."""

    viewer: str
    domain: str
    aliases: tuple[str, ...] = ()
    """The hosts that stand for it."""


@attrs.define
class World:
    """Made for one compilation. Looks things up here, so that what is memoised gets only what it reads."""

    mesh: Mesh
    scope: Scope
    memo: Memo
    services: dict[str, Service] = attrs.field(init=False)
    """What the proxy sees, by host."""
    sidecar: SidecarScope | None = attrs.field(init=False)
    """A sidecar's view; None for a gateway."""
    aliases: dict[str, str] = attrs.field(init=False)
    """The services that stand for another one that is seen, by host: ``ExternalName``."""
    _rules: DestinationRules = attrs.field(init=False)
    _found: dict[str, tuple[Owned[DestinationRule], ...]] = attrs.field(factory=dict, init=False)
    _policies: dict[str, tuple[peer_authn.Policy, ...]] = attrs.field(factory=dict, init=False)
    _peers: dict[str, Peers] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        scope = self.scope
        self._rules = self.memo.call(DestinationRules, self.mesh)
        self.sidecar = None
        if scope.kind != GATEWAY:
            sidecar = sidecar_of(self.mesh, scope.namespace, scope.labels)
            self.sidecar = self.memo.call(_scope, self.mesh, sidecar, scope.namespace)
            listed: Iterable[Service] = self.sidecar.services
        else:
            listed = self.mesh.visible_services(scope.namespace)
        self.services = {each.host: each for each in listed}
        self.aliases = {
            each.host: each.alias
            for each in self.services.values()
            if each.alias in self.services and not self.services[each.alias].alias
        }

    @property
    def config(self) -> MeshConfig:
        """What holds for the whole mesh."""
        return self.mesh.config

    @property
    def retries(self) -> HTTPRetry | None:
        """How routes that say nothing of it try again; None for Istio's default."""
        return self.config.defaultHttpRetryPolicy

    def manager(self, table: str, *, route_by_port: bool = False) -> HttpManager:
        """How a sidecar's outbound chain treats HTTP, with the mesh's settings."""
        mode = path_normalization(self.config)
        return HttpManager(route_table=table, route_by_port=route_by_port, path_normalization=mode)

    @cached_property
    def naming(self) -> Naming:
        """How services are called where this proxy lives."""
        return Naming(self.scope.namespace, self.mesh.domain)

    def place(self, rule: Owned[VirtualService], port: int, gateway: str = MESH) -> Place:
        """Where a rule is compiled for; without labels if it reads none, so that proxies can share the result."""
        labels = self.scope.labels if self.memo.call(needs_of, rule, self.mesh.domain).labels else ()
        return Place(port, (gateway,), self.scope.namespace, labels)

    def destinations(self, rule: Owned[VirtualService]) -> Destinations:
        """What a rule needs to know of the services it sends to."""
        hosts = self.memo.call(needs_of, rule, self.mesh.domain).hosts
        ports: list[tuple[str, int]] = []
        aliases: list[tuple[str, str]] = []
        hashed: list[str] = []
        for host in hosts:
            meant = self.aliases.get(host)
            if meant is not None:
                aliases.append((host, meant))
            service = self.services.get(meant or host)
            if service is None:
                continue
            if service.only_port:
                ports.append((service.host, service.only_port))
            hashed += self.hashed(service)
        return Destinations(self.mesh.domain, tuple(ports), tuple(aliases), tuple(hashed), self.retries)

    def routes(self, rule: Owned[VirtualService], port: int, gateway: str = MESH) -> tuple[Route, ...]:
        """A VirtualService's routes at one port."""
        return self.memo.call(compile_routes, rule, self.place(rule, port, gateway), self.destinations(rule))

    def destination_rules(self, service: Service) -> tuple[Owned[DestinationRule], ...]:
        """The rules for calling a service."""
        found = self._found.get(service.host)
        if found is None:
            found = self._rules.find(service, self.scope.namespace, self.scope.labels)
            self._found[service.host] = found
        return found

    def hashed(self, service: Service) -> tuple[str, ...]:
        """The clusters of a service whose servers are picked by a hash of the request."""
        rules = self.destination_rules(service)
        return self.memo.call(hashed_clusters, service, rules) if mentions_hash(rules) else ()

    @cached_property
    def client(self) -> Client:
        """What clusters read of this proxy and of the mesh's settings."""
        config = self.config
        default = config.defaultTrafficPolicy
        return Client(
            trust_domains=(self.scope.trust_domain, *config.trustDomainAliases),
            gateway=self.scope.kind == GATEWAY,
            auto_mtls=config.enableAutoMtls,
            connect_timeout=config.connectTimeout,
            upgrade=config.h2UpgradePolicy.value == "UPGRADE",
            pool=None if default is None else default.connectionPool,
        )

    def clusters(self, service: Service) -> tuple[Cluster, ...]:
        """All clusters of a service."""
        return self.memo.call(
            compile_clusters, service, self.destination_rules(service), self.client, self.peers(service)
        )

    def peers(self, service: Service) -> Peers:
        """Whether the workloads of a service take the mesh's mTLS at all."""
        namespace = service.namespace
        policies = self.policies(namespace)
        if service.source is Source.CLIENT:
            return self.memo.call(peers_of, policies, namespace, self.mesh.backends[service.host, namespace])
        found = self._peers.get(namespace)
        if found is None:
            found = self._peers[namespace] = self.memo.call(peers_of, policies, namespace, None)
        return found

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


def _scope(mesh: Mesh, sidecar: Owned[Sidecar] | None, namespace: str) -> SidecarScope:
    rules = virtual_services(mesh, namespace)
    return scope_of(mesh, sidecar, namespace, rules, lambda rule: destination_hosts(rule, mesh.domain))


def path_normalization(config: MeshConfig) -> str:
    """The mesh's mode of path normalisation; ``DEFAULT`` is ``BASE``."""
    mode = config.pathNormalization.normalization.value
    return "BASE" if mode == "DEFAULT" else mode


def by_name(clusters: Iterable[Cluster]) -> tuple[Cluster, ...]:
    """In canonical order, one of each name."""
    return tuple(cluster for _, cluster in sorted({each.name: each for each in clusters}.items()))


def by_cluster(groups: Iterable[EndpointGroup]) -> tuple[EndpointGroup, ...]:
    """In canonical order, one for each cluster."""
    return tuple(group for _, group in sorted({each.cluster: each for each in groups}.items()))
