"""Registered sidecars as documents, like everything else that is configured. Pure.

A healthy sidecar that serves something becomes a ``WorkloadEntry``; a service
that no other document declares becomes a ``Service`` that selects these
entries. So discovery has one pipeline, and a hand-written Service, ServiceEntry
or selector treats a registered sidecar like any other workload.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import attrs

from meshd.api.common import Map
from meshd.api.document import Document, Origin
from meshd.api.kubernetes import Service, ServicePort
from meshd.api.networking.workload_entry import WorkloadEntry
from meshd.control.hosts import service_host
from meshd.control.workloads import APP_PORT, INBOUND_PORT, TLS_MODE
from meshd.snapshot.protocol import Registration

ORIGIN = Origin("registration")
WORKLOAD_LABEL = "service.istio.io/workload-name"
"""What telemetry calls a workload: both ends of a call must give it the same name."""
SERVICE_LABEL = "meshd.dev/service"
"""On every registered workload: the service it said it is a part of."""
HTTP_PORT = 80


@attrs.frozen
class Workload:
    """A registration with the identity it was made under."""

    namespace: str
    service_account: str
    node: str
    registration: Registration

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """Its labels: its own, ``app`` when it has none, and those that say what it is."""
        said = self.registration
        labels = {"app": said.service} if said.service else {}
        labels |= dict(said.labels)
        if said.kind == "sidecar":
            labels[TLS_MODE] = "istio"
            if said.service:
                labels[SERVICE_LABEL] = said.service
        return tuple(sorted(labels.items()))

    @property
    def name(self) -> str:
        """What telemetry calls it, as Istio would the Deployment: ``reviews-v1``; without a service, the node's name."""
        version = dict(self.registration.labels).get("version", "")
        service = self.registration.service
        return f"{service}-{version}" if service and version else service or self.node

    @property
    def serves(self) -> bool:
        """Can anyone call it?"""
        said = self.registration
        return said.kind == "sidecar" and bool(said.service and said.address and said.inbound_port and said.app_port)


def documents(workloads: Iterable[Workload], declared: Collection[str]) -> tuple[Document, ...]:
    """The documents of these workloads, in order of their names.

    Args:
        workloads: Every registered node.
        declared: Hosts that other documents declare, ``reviews.default.svc.cluster.local``.
    """
    services: dict[tuple[str, str], list[Workload]] = {}
    for workload in sorted(workloads, key=lambda each: (each.namespace, each.node, each.service_account)):
        if workload.serves:
            services.setdefault((workload.namespace, workload.registration.service), []).append(workload)
    made: list[Document] = []
    for (namespace, name), members in sorted(services.items()):
        ports = _ports(members)
        made += [_entry(member, ports) for member in members if member.registration.healthy]
        if service_host(name, namespace) not in declared:
            made.append(_service(namespace, name, ports))
    return tuple(made)


def declared_hosts(others: Iterable[Document]) -> frozenset[str]:
    """The hosts that documents of other origins declare."""
    hosts: set[str] = set()
    for document in others:
        if document.origin == ORIGIN:
            continue
        if document.kind == "Service":
            hosts.add(service_host(document.name, document.namespace))
        elif document.kind == "ServiceEntry":
            hosts.update(document.resource.hosts)
    return frozenset(hosts)


@attrs.frozen
class _Port:
    number: int
    name: str
    target: int


def _ports(members: list[Workload]) -> tuple[_Port, ...]:
    """The ports of an undeclared service: those its members serve, and 80 for HTTP.

    So ``http://reviews/`` reaches every version, though on one machine each of
    them needs a port of its own.
    """
    ports: dict[int, _Port] = {}
    protocols = {member.registration.protocol for member in members}
    if protocols <= {"", "http"}:
        ports[HTTP_PORT] = _Port(HTTP_PORT, "http", members[0].registration.app_port)
    for member in members:
        number = _number(member)
        protocol = member.registration.protocol or "app"
        ports.setdefault(number, _Port(number, f"{protocol}-{number}", member.registration.app_port))
    return tuple(port for _, port in sorted(ports.items()))


def _number(member: Workload) -> int:
    return member.registration.service_port or member.registration.app_port


def _entry(workload: Workload, ports: tuple[_Port, ...]) -> Document:
    said = workload.registration
    labels = Map({WORKLOAD_LABEL: workload.name} | dict(workload.labels))
    own = [port for port in ports if port.number in (HTTP_PORT, _number(workload))]
    return Document.of(
        WorkloadEntry(
            address=said.address,
            ports=Map({port.name: said.app_port for port in own}),
            labels=labels,
            serviceAccount=workload.service_account,
        ),
        f"{workload.node}.{workload.service_account}",
        namespace=workload.namespace,
        labels=labels,
        annotations=Map({INBOUND_PORT: str(said.inbound_port), APP_PORT: str(said.app_port)}),
        origin=ORIGIN,
    )


def _service(namespace: str, name: str, ports: tuple[_Port, ...]) -> Document:
    return Document.of(
        Service(
            ports=tuple(ServicePort(port.number, name=port.name, targetPort=port.target) for port in ports),
            selector=Map({SERVICE_LABEL: name}),
        ),
        name,
        namespace=namespace,
        origin=ORIGIN,
    )
