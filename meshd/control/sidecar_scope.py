"""What one sidecar sees: the Sidecar resource that holds for it, and what that lets through. Pure.

Source: Istio's ``pilot/pkg/model/sidecar.go``. A Sidecar has egress listeners:
each brings services and VirtualServices by namespace and host, for one port or
for every port that no listener names. Without one everything that is visible is
brought. Services that a VirtualService sends to are brought with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs

from meshd.api.mesh.config import MeshConfig, OutboundTrafficPolicyMode
from meshd.api.networking.sidecar import CaptureMode, IstioEgressListener, Sidecar
from meshd.api.networking.sidecar import OutboundTrafficPolicyMode as SidecarMode
from meshd.api.networking.virtual_service import Destination, VirtualService
from meshd.control.hosts import covers, overlaps, resolve, visible
from meshd.control.mesh import Mesh
from meshd.control.owned import Owned
from meshd.control.rules import Bound
from meshd.control.services import Port, Protocol, Service
from meshd.control.workloads import selects

HTTP_PROXY = "HTTP_PROXY"

EVERYTHING = IstioEgressListener(hosts=("*/*",))

SPOKEN = {"HTTP": Protocol.HTTP, "HTTP2": Protocol.HTTP2, "GRPC": Protocol.GRPC, "GRPC-WEB": Protocol.GRPC_WEB} | {
    "HTTPS": Protocol.HTTPS,
    "TLS": Protocol.TLS,
    "TCP": Protocol.TCP,
    "MONGO": Protocol.TCP,
    "REDIS": Protocol.TCP,
    "MYSQL": Protocol.TCP,
    HTTP_PROXY: Protocol.HTTP,
}
"""What a listener's port can be said to speak; anything else is sniffed."""


@attrs.frozen
class Egress:
    """One egress listener. ``port`` None: every port that no other listener names."""

    services: tuple[Service, ...]
    """By host; those that lack the port are left out."""
    rules: tuple[Bound, ...]
    """In order of their rights over a host."""
    port: Port | None = None
    bind: str = ""
    bound: bool = False
    """It has a port of its own, which the application speaks to; else it is for captured traffic."""
    proxy: bool = False
    """``HTTP_PROXY``: takes requests for any service."""


@attrs.frozen
class OutboundPolicy:
    """What becomes of calls to hosts nobody knows."""

    allow_any: bool = True
    egress_proxy: Destination | None = None


@attrs.frozen(eq=False)
class SidecarScope:
    """Everything one sidecar sees."""

    sidecar: Owned[Sidecar] | None
    egress: tuple[Egress, ...]
    services: tuple[Service, ...]
    """Those of all listeners and those their VirtualServices send to; one for each host."""
    policy: OutboundPolicy


def sidecar_of(mesh: Mesh, namespace: str, labels: tuple[tuple[str, str], ...]) -> Owned[Sidecar] | None:
    """The Sidecar that holds for a workload: one that selects it, its namespace's, the root namespace's; older first."""
    own = [each for each in mesh.sidecars if each.namespace == namespace]
    known = dict(labels)
    for each in own:
        selector = _selector(each)
        if selector and selects(selector, known):
            return each
    root = [each for each in mesh.sidecars if each.namespace == mesh.root_namespace]
    return next((each for each in (*own, *root) if not _selector(each)), None)


def _selector(sidecar: Owned[Sidecar]) -> tuple[tuple[str, str], ...]:
    selector = sidecar.resource.workloadSelector
    return tuple(selector.labels.items()) if selector is not None else ()


def scope_of(
    mesh: Mesh,
    sidecar: Owned[Sidecar] | None,
    namespace: str,
    rules: tuple[Bound, ...],
    destinations: Callable[[Owned[VirtualService]], Iterable[str]],
) -> SidecarScope:
    """What a sidecar of a namespace sees.

    Args:
        mesh: All documents.
        sidecar: What ``sidecar_of`` gave.
        namespace: The sidecar's.
        rules: The VirtualServices for sidecars that the namespace sees, in order.
        destinations: The hosts that a VirtualService sends to, in full.
    """
    seen = tuple(each for each in mesh.services if visible(each.export_to, each.namespace, namespace))
    listeners = sidecar.resource.egress if sidecar is not None else ()
    egress = tuple(_egress(each, namespace, seen, rules) for each in listeners or (EVERYTHING,))
    services: dict[str, Service] = {}
    for listener in egress:
        for service in listener.services:
            services[service.host] = _joined(services.get(service.host), service)
        for bound in listener.rules:
            for host in destinations(bound.rule):
                sent = mesh.service(host, namespace)
                if sent is not None:
                    services.setdefault(host, sent)
    return SidecarScope(sidecar, egress, tuple(services.values()), _policy(mesh.config, sidecar))


def _policy(config: MeshConfig, sidecar: Owned[Sidecar] | None) -> OutboundPolicy:
    own = sidecar.resource.outboundTrafficPolicy if sidecar is not None else None
    if own is None:
        return OutboundPolicy(config.outboundTrafficPolicy.mode is not OutboundTrafficPolicyMode.REGISTRY_ONLY)
    if own.mode is SidecarMode.REGISTRY_ONLY or sidecar is None:
        return OutboundPolicy(allow_any=False)
    proxy = own.egressProxy
    if proxy is not None:
        proxy = attrs.evolve(proxy, host=resolve(proxy.host, sidecar.namespace))
    return OutboundPolicy(egress_proxy=proxy)


def _joined(known: Service | None, other: Service) -> Service:
    """One service of two listeners that let different ports of it through."""
    if known is None or known.namespace != other.namespace:
        return known or other
    more = tuple(port for port in other.ports if known.port(port.number) is None)
    return attrs.evolve(known, ports=known.ports + more) if more else known


def _egress(
    listener: IstioEgressListener, namespace: str, services: tuple[Service, ...], rules: tuple[Bound, ...]
) -> Egress:
    imports = Imports.of(listener.hosts, namespace)
    said = listener.port
    protocol = said.protocol.upper() if said is not None else ""
    port = None
    if said is not None:
        port = Port(said.number, said.name, SPOKEN.get(protocol, Protocol.AUTO), said.number)
    proxy = protocol == HTTP_PROXY
    only = port.number if port is not None and not proxy else 0
    brought = (service for service in services if imports.service(service))
    return Egress(
        services=tuple(_one_of_each_host(_with_port(brought, only), namespace)),
        rules=tuple(bound for bound in rules if imports.rule(bound)),
        port=port,
        bind=listener.bind,
        bound=listener.captureMode is CaptureMode.NONE or listener.bind.startswith("unix:"),
        proxy=proxy,
    )


def _with_port(services: Iterable[Service], number: int) -> Iterator[Service]:
    """The services that have a port, with that port alone; all as they are for 0."""
    for service in services:
        port = service.port(number) if number else None
        if port is not None:
            yield service if len(service.ports) == 1 else attrs.evolve(service, ports=(port,))
        elif not number:
            yield service


def _one_of_each_host(services: Iterable[Service], namespace: str) -> list[Service]:
    """For each host the namespace's own service, else a Kubernetes one, else the oldest."""
    found: dict[str, Service] = {}
    for service in services:
        other = found.get(service.host)
        if other is None or _rank(service, namespace) < _rank(other, namespace):
            found[service.host] = service
    return sorted(found.values(), key=lambda each: (each.seniority, each.host))


def _rank(service: Service, namespace: str) -> tuple[bool, bool]:
    return (service.namespace != namespace, not service.registry)


@attrs.frozen
class Imports:
    """The hosts that an egress listener brings, and those it leaves out, by namespace (``*`` is all)."""

    listed: Mapping[str, tuple[str, ...]]
    excluded: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, hosts: Iterable[str], namespace: str) -> Imports:
        """Read ``namespace/host`` entries.

        ``.`` is the Sidecar's own namespace, ``~`` is none; ``~namespace/host``
        leaves out what another entry brings.
        """
        listed: dict[str, list[str]] = {}
        excluded: dict[str, list[str]] = {}
        for entry in hosts:
            owner, slash, host = entry.partition("/")
            if not slash or owner == "~":
                continue
            found = excluded if owner.startswith("~") else listed
            owner = owner.removeprefix("~")
            found.setdefault(namespace if owner == "." else owner, []).append(host)
        return cls(
            {key: tuple(each) for key, each in listed.items()}, {key: tuple(each) for key, each in excluded.items()}
        )

    @property
    def everything(self) -> bool:
        """Whether there is nothing to be asked."""
        return "*" in self.listed.get("*", ()) and not self.excluded

    def service(self, service: Service) -> bool:
        """Whether a service is brought: by its own name or under a wildcard."""
        return self.everything or (
            _under(self.listed, service.namespace, service.host)
            and not _under(self.excluded, service.namespace, service.host)
        )

    def rule(self, bound: Bound) -> bool:
        """Whether a VirtualService is brought: one of its hosts overlaps with what is, and is not left out."""
        if self.everything:
            return True
        owner = bound.rule.namespace
        return any(_meets(self.listed, owner, host) and not _under(self.excluded, owner, host) for host in bound.hosts)


def _under(hosts: Mapping[str, tuple[str, ...]], owner: str, host: str) -> bool:
    return any(covers(each, host) for each in (*hosts.get(owner, ()), *hosts.get("*", ())))


def _meets(hosts: Mapping[str, tuple[str, ...]], owner: str, host: str) -> bool:
    return any(overlaps(each, host) for each in (*hosts.get(owner, ()), *hosts.get("*", ())))
