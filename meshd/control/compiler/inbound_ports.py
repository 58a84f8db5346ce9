"""Which ports a sidecar takes for its application: those of its services, or those a Sidecar lists. Pure.

Source: Istio's ``pilot/pkg/networking/core/listener_inbound.go``
(``buildInboundChainConfigs``) and ``cluster_builder.go``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import attrs

from meshd.api.networking.destination_rule import ConnectionPoolSettings
from meshd.api.networking.gateway import ServerTLSSettings
from meshd.api.networking.sidecar import CaptureMode, IstioIngressListener, Sidecar
from meshd.control.compiler import names
from meshd.control.compiler.clusters import rules_of
from meshd.control.compiler.targets import targets_of
from meshd.control.compiler.world import World
from meshd.control.owned import Owned
from meshd.control.scope import Scope
from meshd.control.services import Port, Protocol, Service, protocol_of

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - a part of a name
UNIX = "unix://"


@attrs.frozen
class Served:
    """One port that is taken. ``port`` 0 stands for all that no other entry names."""

    port: int
    """The application's, which callers and policies speak of."""
    protocol: Protocol
    host: str = ""
    """Where the application listens."""
    app_port: int = 0
    """At which port."""
    service: str = ""
    service_port: int = 0
    bind: str = ANY_ADDRESS
    bound: bool = False
    """It has a socket of its own, and is not reached through the common one."""
    tls: ServerTLSSettings | None = None
    """TLS that is terminated here, where mesh mTLS is off."""
    pool: ConnectionPoolSettings | None = None

    @property
    def cluster(self) -> str:
        """Its cluster, which is also its route table's name."""
        return names.inbound_cluster(self.port) if self.port else names.INBOUND_PASSTHROUGH

    @property
    def tcp_chain(self) -> str:
        """What its chains of bytes are called."""
        return names.listener(self.bind, self.port) if self.port else names.VIRTUAL_INBOUND

    @property
    def http_chain(self) -> str:
        """What its chains of HTTP are called."""
        return names.listener(self.bind, self.port) if self.port else names.INBOUND_CATCH_ALL


def served_ports(world: World, sidecar: Owned[Sidecar] | None) -> tuple[Served, ...]:
    """The ports that are taken, by number.

    Args:
        world: The mesh, and the proxy.
        sidecar: The Sidecar that holds for the proxy. If it lists ingress listeners there are no others.
    """
    if sidecar is not None and sidecar.resource.ingress:
        found = _listed(sidecar.resource, world.scope)
    else:
        found = _of_services(world, sidecar.resource if sidecar is not None else None)
    return tuple(found[number] for number in sorted(found))


def _of_services(world: World, sidecar: Sidecar | None) -> dict[int, Served]:
    """A port of several services is the oldest's, and has its protocol (Istio)."""
    scope = world.scope
    pool = sidecar.inboundConnectionPool if sidecar is not None else None
    found: dict[int, Served] = {}
    for target in targets_of(world.mesh, scope):
        if target.number not in found:
            service, port = target.service, target.port
            found[target.number] = Served(
                target.number,
                port.protocol,
                scope.app_host,
                target.number,
                service.host,
                port.number,
                pool=pool or _pool(world, service, port),
            )
    for number in scope.app_ports:
        found.setdefault(number, Served(number, Protocol.AUTO, scope.app_host, number, pool=pool))
    return found


def _pool(world: World, service: Service, port: Port) -> ConnectionPoolSettings | None:
    """The limits of the service's DestinationRule, which hold at the service's side too (Istio)."""
    policy = rules_of(world.destination_rules(service)).policy
    if policy is None:
        return None
    for setting in policy.portLevelSettings:
        if setting.port is not None and setting.port.number == port.number:
            return setting.connectionPool
    return policy.connectionPool


def _listed(sidecar: Sidecar, scope: Scope) -> dict[int, Served]:
    found: dict[int, Served] = {}
    for listener in sidecar.ingress:
        found.setdefault(listener.port.number, _ingress(listener, sidecar, scope))
    return found


def _ingress(listener: IstioIngressListener, sidecar: Sidecar, scope: Scope) -> Served:
    number = listener.port.number
    protocol = protocol_of(0, "", listener.port.protocol)
    if listener.tls is not None:
        protocol = TERMINATED.get(protocol, protocol)
    host, app_port = _endpoint(listener.defaultEndpoint, scope, number)
    return Served(
        number,
        protocol,
        host,
        app_port,
        service_port=number,
        bind=listener.bind or _own_address(scope),
        bound=listener.captureMode is CaptureMode.NONE,
        tls=listener.tls,
        pool=listener.connectionPool or sidecar.inboundConnectionPool,
    )


TERMINATED = {Protocol.HTTPS: Protocol.HTTP, Protocol.TLS: Protocol.TCP}
"""What is spoken inside TLS once it is terminated."""


def _endpoint(text: str, scope: Scope, number: int) -> tuple[str, int]:
    """Where ``defaultEndpoint`` is; the application's own host and the listener's port without one.

    ``0.0.0.0`` and ``[::]`` mean the workload's address.
    """
    if text.startswith(UNIX):
        return text, 0
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        return scope.app_host, number
    host = host.strip("[]")
    if host in {ANY_ADDRESS, "::"}:
        host = scope.address
    return host or scope.app_host, int(port)


def _own_address(scope: Scope) -> str:
    """The address that listeners of a Sidecar are named by: the workload's, if others could use it."""
    try:
        address = ipaddress.ip_address(scope.address)
    except ValueError:
        return ANY_ADDRESS
    private = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return ANY_ADDRESS if private else scope.address


def destination_of(served: Iterable[Served], app_ports: tuple[int, ...]) -> int:
    """The port a connection is taken to be for where nobody can tell: the one of the application's first port."""
    listed = tuple(each for each in served if not each.bound)
    for port in app_ports:
        for each in listed:
            if port in {each.port, each.app_port}:
                return each.port
    return app_ports[0] if app_ports else (listed[0].port if listed else 0)
