"""Workloads, and which of them stand behind a service's port. Pure.

A ``Workload`` is one running application: a WorkloadEntry (written, or
registered by its sidecar) or an endpoint of a ServiceEntry. A ``Backend`` is
where one port of a service is reached on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from meshd.api.common import Map
from meshd.api.document import Document
from meshd.api.kubernetes import EndpointPort as KubernetesPort
from meshd.api.kubernetes import Endpoints, EndpointSlice
from meshd.api.networking.service_entry import ServiceEntry
from meshd.api.networking.workload_entry import WorkloadEntry
from meshd.control.services import Port, Service

INBOUND_PORT: Final = "meshd.dev/inbound-port"
"""Annotation of a registered workload: where its sidecar's inbound listener really is."""
APP_PORT: Final = "meshd.dev/app-port"
"""Annotation of a registered workload: the application's port."""
TLS_MODE: Final = "security.istio.io/tlsMode"
SERVICE_NAME: Final = "kubernetes.io/service-name"


@attrs.frozen(cache_hash=True)
class Workload:
    """One running application. ``inbound_port`` and ``app_port`` are 0 unless it was registered by its sidecar."""

    name: str
    namespace: str
    address: str
    ports: Map[str, int] = Map()
    labels: Map[str, str] = Map()
    service_account: str = ""
    mtls: bool = False
    weight: int = 1
    locality: str = ""
    inbound_port: int = 0
    app_port: int = 0


@attrs.frozen(cache_hash=True)
class Backend:
    """One port of a service on one workload.

    ``port`` is where to connect, ``app_port`` the application's own, which
    policies speak of; without a sidecar of ours in between they are the same.
    """

    host: str
    port: int
    app_port: int
    name: str = ""
    namespace: str = ""
    labels: Map[str, str] = Map()
    service_account: str = ""
    mtls: bool = False
    weight: int = 1
    locality: str = ""


Backends = tuple[tuple[int, tuple[Backend, ...]], ...]
"""For each port's number of a service, its backends."""


def from_document(document: Document) -> Workload:
    """A WorkloadEntry. Labels of its metadata win over those of its spec (Istio)."""
    annotations = document.annotations
    return _workload(
        document.resource,
        document.name,
        document.namespace,
        labels=document.labels,
        inbound_port=_port(annotations.get(INBOUND_PORT, "")),
        app_port=_port(annotations.get(APP_PORT, "")),
    )


def from_endpoint(entry: WorkloadEntry, document: Document) -> Workload:
    """An endpoint written inside a ServiceEntry; it has no name of its own."""
    return _workload(entry, "", document.namespace)


def _workload(
    entry: WorkloadEntry,
    name: str,
    namespace: str,
    *,
    labels: Map[str, str] = Map(),
    inbound_port: int = 0,
    app_port: int = 0,
) -> Workload:
    merged = Map({**entry.labels, **labels})
    said = merged.get(TLS_MODE)
    return Workload(
        name=name,
        namespace=namespace,
        address=entry.address,
        ports=entry.ports,
        labels=merged,
        service_account=entry.serviceAccount,
        # A workload with an identity is in the mesh, unless its label says otherwise.
        mtls=said == "istio" if said is not None else bool(entry.serviceAccount),
        weight=entry.weight or 1,
        locality=entry.locality or merged.get("istio-locality", "").replace(".", "/"),
        inbound_port=inbound_port,
        app_port=app_port,
    )


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) <= 5 and int(text) < 65536 else 0


def selects(selector: Iterable[tuple[str, str]], labels: Mapping[str, str]) -> bool:
    """True when ``labels`` has every pair of ``selector``."""
    return all(labels.get(key) == value for key, value in selector)


class WorkloadIndex:
    """The workloads of a mesh by namespace and label, to select from quickly. Never changes."""

    def __init__(self, workloads: Iterable[Workload]) -> None:
        self._by_label: dict[tuple[str, str, str], list[Workload]] = {}
        for workload in workloads:
            for key, value in workload.labels.items():
                self._by_label.setdefault((workload.namespace, key, value), []).append(workload)

    def select(self, namespace: str, selector: tuple[tuple[str, str], ...]) -> list[Workload]:
        """The workloads of ``namespace`` that a selector means; an empty selector means none."""
        if not selector:
            return []
        candidates = min((self._by_label.get((namespace, *pair), []) for pair in selector), key=len)
        return [workload for workload in candidates if selects(selector, workload.labels)]


def app_port(service: Service, port: Port, named: Mapping[str, int], own: tuple[int, ...]) -> int | None:
    """Which port of a workload serves a service's port.

    Args:
        service: The service.
        port: One of its ports.
        named: The workload's ports by name (WorkloadEntry's ``ports``).
        own: The application's ports where they are known, else ().

    Returns:
        Istio's order: the port of that name, else ``targetPort``, else the same
        number. Where the application's ports are known it must be one of them; a
        service with one port is served by a workload with one port, whatever the
        number. None: this workload does not serve it.
    """
    found = named.get(port.name) if port.name else None
    if found is None:
        found = port.target if isinstance(port.target, int) else named.get(port.target, port.number)
    if not own or found in own:
        return found
    return own[0] if len(own) == 1 and len(service.ports) == 1 else None


def backends_of_workloads(service: Service, workloads: Iterable[Workload]) -> Backends:
    """Where each port of a service is reached on these workloads."""
    found: list[tuple[int, tuple[Backend, ...]]] = []
    listed = [workload for workload in workloads if workload.address and not workload.address.startswith("unix:")]
    for port in service.ports:
        backends = []
        for workload in listed:
            own = (workload.app_port,) if workload.app_port else ()
            served = app_port(service, port, workload.ports, own)
            if served is not None:
                backends.append(_backend(workload, workload.inbound_port or served, served))
        found.append((port.number, in_order(backends)))
    return tuple(found)


def _backend(workload: Workload, port: int, served: int) -> Backend:
    return Backend(
        host=workload.address,
        port=port,
        app_port=served,
        name=workload.name,
        namespace=workload.namespace,
        labels=workload.labels,
        service_account=workload.service_account,
        mtls=workload.mtls,
        weight=workload.weight,
        locality=workload.locality,
    )


def in_order(backends: Iterable[Backend]) -> tuple[Backend, ...]:
    """Sorted, one for each address."""
    found: dict[tuple[str, int], Backend] = {}
    for backend in sorted(backends, key=lambda each: (each.host, each.port, each.namespace, each.name)):
        found.setdefault((backend.host, backend.port), backend)
    return tuple(found.values())


def backends_of_names(service: Service, hosts: Iterable[str]) -> Backends:
    """A DNS service without endpoints: the names themselves."""
    names = tuple(host for host in hosts if not host.startswith("*"))
    return tuple(
        (port.number, tuple(Backend(name, _target(port), _target(port), namespace=service.namespace) for name in names))
        for port in service.ports
    )


def _target(port: Port) -> int:
    return port.target if isinstance(port.target, int) else port.number


def backends_of_slices(service: Service, slices: Iterable[EndpointSlice]) -> Backends:
    """The ready addresses of a Service's EndpointSlices."""
    rows: list[tuple[tuple[str, ...], tuple[KubernetesPort, ...]]] = []
    for part in slices:
        for endpoint in part.endpoints:
            conditions = endpoint.conditions
            if conditions is None or conditions.ready is not False:
                rows.append((endpoint.addresses, part.ports))
    return _backends_of_rows(service, rows)


def backends_of_endpoints(service: Service, endpoints: Endpoints, *, not_ready: bool) -> Backends:
    """The addresses of a Service's Endpoints, those that are not ready only if asked."""
    rows = []
    for subset in endpoints.subsets:
        addresses = (*subset.addresses, *(subset.notReadyAddresses if not_ready else ()))
        rows.append((tuple(address.ip for address in addresses), subset.ports))
    return _backends_of_rows(service, rows)


def _backends_of_rows(service: Service, rows: list[tuple[tuple[str, ...], tuple[KubernetesPort, ...]]]) -> Backends:
    found = []
    for port in service.ports:
        backends = [
            Backend(address, joined.port, joined.port, namespace=service.namespace)
            for addresses, ports in rows
            for joined in ports
            if joined.port and (joined.name == port.name or (len(ports) == 1 and not joined.name and service.only_port))
            for address in addresses
        ]
        found.append((port.number, in_order(backends)))
    return tuple(found)


def join(parts: Iterable[Backends]) -> Backends:
    """The backends of several declarations of one service."""
    numbers: dict[int, list[Backend]] = {}
    for part in parts:
        for number, backends in part:
            numbers.setdefault(number, []).extend(backends)
    return tuple((number, in_order(backends)) for number, backends in sorted(numbers.items()))


def backends_of_entry(service: Service, spec: ServiceEntry, document: Document, index: WorkloadIndex) -> Backends:
    """A ServiceEntry's backends: its endpoints, the workloads it selects, or its names."""
    if spec.endpoints:
        return backends_of_workloads(service, (from_endpoint(entry, document) for entry in spec.endpoints))
    if service.selector:
        return backends_of_workloads(service, index.select(document.namespace, service.selector))
    return backends_of_names(service, (service.host,))
