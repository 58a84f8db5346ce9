"""The services that a proxy itself is a workload of, and at which of its ports. Pure.

Source: Istio's ``pilot/pkg/model/context.go`` (``SetServiceTargets``) and the
registries' ``GetProxyServiceTargets``: by the selector of a service of the
proxy's own namespace, or by an endpoint with the proxy's address.
"""

from __future__ import annotations

import attrs

from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.control.services import Port, Service, Source
from meshd.control.workloads import app_port, selects


@attrs.frozen
class Target:
    """One port of a service, and the workload's port that serves it."""

    service: Service
    port: Port
    number: int


def targets_of(mesh: Mesh, scope: Scope) -> tuple[Target, ...]:
    """What a proxy's workload serves, older services first, then by host.

    Services of other namespaces are none of its, whatever they say: or anybody
    could take over a workload's port.
    """
    own = [each for each in mesh.services if each.namespace == scope.namespace and each.source is not Source.DNS]
    return tuple(
        Target(service, port, number)
        for service in sorted(own, key=lambda each: (each.seniority[0], each.host))
        for port in service.ports
        for number in sorted(_claimed(mesh, scope, service, port))
    )


def _claimed(mesh: Mesh, scope: Scope, service: Service, port: Port) -> set[int]:
    """The workload's ports that serve a service's port, by its selector and by its endpoints."""
    found = set()
    if service.selector and selects(service.selector, dict(scope.labels)):
        served = app_port(service, port, {}, scope.app_ports)
        if served is not None and (not scope.app_ports or served in scope.app_ports):
            found.add(served)
    if scope.address:
        for backend in dict(mesh.backends[service.host, service.namespace]).get(port.number, ()):
            mine = not scope.app_ports or backend.app_port in scope.app_ports
            if backend.host == scope.address and mine:
                found.add(backend.app_port)
    return found
