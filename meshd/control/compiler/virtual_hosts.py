"""A sidecar's route tables: for each port, the virtual hosts of the services it sees there. Pure.

Source: Istio's ``pilot/pkg/networking/core/httproute.go`` and ``core/route/route.go``
(``BuildSidecarVirtualHostWrapper``).

Every VirtualService of an egress listener is tried in order of its rights. A
host that is a service is that service's virtual host; the first VirtualService
with a route at this port keeps it, and of several wildcards the most specific
has it. A host that is no service appears beside such services, and by itself on
port 80. Services that are left have a route to themselves. Two intended
differences from Istio: a service is never taken for an unknown host on port 80
because it has no such port, and unknown hosts are known on the explicit proxy
port even where no service is on port 80.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final

import attrs

from meshd.api.networking.virtual_service import HTTPRetry
from meshd.control.compiler import names, retries
from meshd.control.compiler.world import Naming, World
from meshd.control.hosts import domains, is_wildcard, literals
from meshd.control.name_index import NameIndex
from meshd.control.rules import Bound, HostIndex
from meshd.control.services import Port, Protocol, Service
from meshd.control.sidecar_scope import Egress, OutboundPolicy, SidecarScope
from meshd.snapshot.match import HTTP_PROXY_TABLE
from meshd.snapshot.route import DirectResponse, Forward, Route, RouteMatch, RouteTable, VirtualHost, WeightedCluster

LEGACY_PORT: Final = 80
"""Where a VirtualService for a host that is no service has its routes (Istio)."""

BLOCKED_STATUS: Final = 502


def readable(port: Port) -> bool:
    """HTTP, or what may turn out to be."""
    return port.protocol.http or port.protocol is Protocol.AUTO


def compile_tables(world: World, scope: SidecarScope, sniffed: Iterable[tuple[Service, int]]) -> Iterator[RouteTable]:
    """Every route table of a sidecar's outbound side.

    Args:
        world: The mesh as the proxy sees it.
        scope: The proxy's view.
        sniffed: Services' ports with an address of their own and a protocol that is
            not said: what is sent there is for them, whatever its Host.
    """
    catch_all = unknown_hosts(world, scope.policy)
    unknown: list[VirtualHost] | None = None
    by_name: dict[str, VirtualHost] = {}
    views = [_View(world, egress) for egress in scope.egress]
    for number, view in sorted(_ports(views).items()):
        hosts = list(distinct(view.hosts(number)))
        if number == LEGACY_PORT:
            unknown = [host for host in hosts if not host.service]
        by_name.update((host.name, host) for host in hosts)
        yield _table(str(number), hosts, catch_all)
    if unknown is None:
        everywhere = [view for view in views if view.egress.port is None or view.egress.proxy][:1]
        unknown = [host for view in everywhere for host in distinct(view.hosts(LEGACY_PORT))]
    yield _table(HTTP_PROXY_TABLE, unknown, catch_all)
    for service, number in sniffed:
        own = by_name.get(names.virtual_host(service.host, number))
        found = () if own is None else (world.memo.call(_alone, own),)
        yield RouteTable(names.virtual_host(service.host, number), found)


def _table(name: str, hosts: list[VirtualHost], catch_all: VirtualHost) -> RouteTable:
    return RouteTable(name, tuple(sorted((*hosts, catch_all), key=lambda host: host.name)))


def _alone(host: VirtualHost) -> VirtualHost:
    return attrs.evolve(host, domains=("*",))


def _ports(views: list[_View]) -> dict[int, _View]:
    """For each port with something readable, the listener that says what is there: one for that port, one for all."""
    found: dict[int, _View] = {}
    claimed: set[int] = set()
    for view in views:
        port = view.egress.port
        if port is not None and not view.egress.proxy:
            claimed.add(port.number)
            if readable(port) and view.egress.services:
                found.setdefault(port.number, view)
    # Listeners without a port come before those that take requests for any.
    for view in sorted(views, key=lambda each: each.egress.proxy):
        if view.egress.port is None or view.egress.proxy:
            for service in view.egress.services:
                for port in service.ports:
                    if readable(port) and port.number not in claimed:
                        found.setdefault(port.number, view)
    return found


@attrs.define
class _Here:
    """The services of one port, by host."""

    services: dict[str, Service]

    @cached_property
    def index(self) -> NameIndex[Service]:
        """To find those that a wildcard stands for; only made when there is one."""
        return NameIndex(self.services.items())

    @cached_property
    def _wild(self) -> NameIndex[Service]:
        return NameIndex((host, service) for host, service in self.services.items() if is_wildcard(host))

    def meets(self, host: str) -> bool:
        """Whether a VirtualService's host overlaps with that of a service."""
        if host in self.services:
            return True
        found = self.index.overlapping(host) if is_wildcard(host) else self._wild.covering(host)
        return next(found, None) is not None


@attrs.define
class _View:
    """One egress listener's services and rules."""

    world: World
    egress: Egress
    _index: HostIndex[Bound] | None = attrs.field(default=None, init=False)

    def hosts(self, number: int) -> Iterator[VirtualHost]:
        """The virtual hosts of one port, those with the first rights first."""
        world = self.world
        here = _Here({service.host: service for service in self.egress.services if service.port(number) is not None})
        taken: set[str] = set()
        for bound in self.egress.rules:
            if number != LEGACY_PORT and not any(here.meets(host) for host in bound.hosts):
                continue
            unknown, services = self._split(bound, here)
            served = [service for service in services if _readable_at(service, number)]
            if not served and (number != LEGACY_PORT or not unknown):
                continue
            routes = world.routes(bound.rule, number)
            if not routes:
                continue
            for host in unknown:
                yield world.memo.call(_unknown_host, host, number, world.scope.namespace, routes, world.mesh.domain)
            for service in served:
                if service.host not in taken:
                    taken.add(service.host)
                    yield _service_host(world, service, number, routes)
        for service in here.services.values():
            if service.host not in taken and _readable_at(service, number) and service.host not in world.aliases:
                yield _service_host(world, service, number, ())

    def _split(self, bound: Bound, here: _Here) -> tuple[list[str], list[Service]]:
        """A VirtualService's hosts that are no services, and the services that are its own.

        Routes of the Gateway API have only services, and those only for clients of
        their own namespace, or as the service's own.
        """
        unknown: list[str] = []
        services: list[Service] = []
        for host in bound.hosts:
            if is_wildcard(host):
                covered = dict.fromkeys(here.index.overlapping(host))
                services += [service for service in covered if self._most_specific(service.host) is bound]
                if not covered:
                    unknown.append(host)
            elif host in here.services:
                services.append(here.services[host])
            elif host not in self.world.services:
                unknown.append(host)
        if bound.rule.gateway_api:
            owner = bound.rule.namespace
            viewer = self.world.scope.namespace
            return [], [each for each in services if owner in {viewer, each.namespace}]
        return unknown, services

    def _most_specific(self, host: str) -> Bound | None:
        """The VirtualService with the most specific host for a service; of several the first."""
        if self._index is None:
            self._index = HostIndex((each, bound) for bound in self.egress.rules for each in bound.hosts)
        return next(iter(self._index.first(host)), None)


def _readable_at(service: Service, number: int) -> bool:
    port = service.port(number)
    return port is not None and readable(port)


def _service_host(world: World, service: Service, number: int, routes: tuple[Route, ...]) -> VirtualHost:
    if not routes:
        cluster = names.outbound_cluster(number, "", service.host)
        hashed = cluster in world.hashed(service)
        routes = (world.memo.call(default_route, cluster, world.retries, hashed),)
    naming = world.naming
    if world.aliases:
        also = tuple(sorted(alias for alias, host in world.aliases.items() if host == service.host))
        naming = attrs.evolve(naming, aliases=also) if also else naming
    return world.memo.call(service_host, service, number, naming, routes)


def service_host(service: Service, port: int, naming: Naming, routes: tuple[Route, ...]) -> VirtualHost:
    """The virtual host of a service's port, under its names, those of its aliases and its addresses."""
    named = [*domains(service.host, naming.viewer, (), naming.domain)]
    for alias in naming.aliases:
        named += domains(alias, naming.viewer, (), naming.domain)
    return VirtualHost(
        name=names.virtual_host(service.host, port),
        domains=tuple(dict.fromkeys((*named, *literals(service.addresses)))),
        routes=routes,
        service=service.host,
    )


def default_route(cluster: str, retry: HTTPRetry | None, hashed: bool) -> Route:  # noqa: FBT001 - a memo's arguments are positional
    """Everything to the service itself."""
    forward = Forward((WeightedCluster(cluster),), retry=retries.outbound(retry, hashed=hashed))
    return Route(names.DEFAULT_ROUTE, RouteMatch(), forward)


def _unknown_host(host: str, port: int, viewer: str, routes: tuple[Route, ...], domain: str) -> VirtualHost:
    return VirtualHost(names.virtual_host(host, port), domains(host, viewer, (), domain), routes)


def distinct(hosts: Iterable[VirtualHost]) -> Iterator[VirtualHost]:
    """Each domain is the first host's that has it, and a service's full name is its own.

    A host of which no domain is left, or with the name of an earlier one, is left out.
    """
    listed = list(hosts)
    full = {host.service.lower() for host in listed if host.service}
    taken: set[str] = set()
    named: set[str] = set()
    for host in listed:
        own = host.service.lower()
        free = tuple(
            domain
            for domain in host.domains
            if domain not in taken and (not own or domain == own or domain not in full)
        )
        if not free or host.name in named:
            continue
        taken.update(free)
        named.add(host.name)
        yield host if len(free) == len(host.domains) else attrs.evolve(host, domains=free)


def unknown_hosts(world: World, policy: OutboundPolicy) -> VirtualHost:
    """Hosts that nobody declared: passed through to where they were going, to the egress proxy, or refused."""
    return world.memo.call(_catch_all, policy, egress_cluster(policy))


def egress_cluster(policy: OutboundPolicy) -> str:
    """Where calls to unknown hosts go."""
    if not policy.allow_any:
        return names.BLACK_HOLE
    proxy = policy.egress_proxy
    if proxy is None:
        return names.PASSTHROUGH
    return names.outbound_cluster(proxy.port.number if proxy.port else 0, proxy.subset, proxy.host)


def _catch_all(policy: OutboundPolicy, cluster: str) -> VirtualHost:
    if not policy.allow_any:
        refusal = Route(names.BLOCK_ALL, RouteMatch(), DirectResponse(BLOCKED_STATUS))
        return VirtualHost(names.BLOCK_ALL, ("*",), (refusal,))
    forward = Forward((WeightedCluster(cluster),))
    return VirtualHost(names.ALLOW_ANY, ("*",), (Route(names.ALLOW_ANY, RouteMatch(), forward),))
