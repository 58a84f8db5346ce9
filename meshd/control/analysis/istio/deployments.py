"""Deployments and Pods: the services in front of them, and the user they run as. Pure.

Source: Istio's ``analyzers/deployment``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from meshd.api.common import Map
from meshd.api.document import Document, Path
from meshd.api.foreign import look_up
from meshd.api.kubernetes import Service
from meshd.api.problem import Problem, warning
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.istio.injected import in_mesh
from meshd.control.analysis.pod_facts import PROXY, Known
from meshd.control.finding import Finding
from meshd.control.workloads import selects

SEVERAL_PROTOCOLS = "IST0116"
CONFLICTING_PORTS = "IST0137"
RESERVED_USER = "IST0144"

PROXY_USER: Final = 1337
"""The sidecar's own user: its traffic is not captured, and nobody else's with that number is."""

WAYPOINT: Final = ("gateway.istio.io/managed", "istio.io-mesh-controller")


def service_association(facts: Facts) -> Iterable[Finding]:
    """Services that contradict each other about one Deployment's ports."""
    services = ServiceIndex(facts.all(Service))
    for known in facts.pods.everything:
        document = known.document
        if document is None or document.kind != "Deployment" or document.labels.get(WAYPOINT[0]) == WAYPOINT[1]:
            continue
        if not in_mesh(known, facts):
            continue
        own = services.in_front_of(known)
        yield from told(document, _protocols(document, own))
        yield from told(document, _target_ports(document, own))


class ServiceIndex:
    """Services by what they select, to ask which stand in front of a workload. Never changes."""

    def __init__(self, services: Iterable[Document]) -> None:
        self._by_pair: dict[tuple[str, str, str], list[Document]] = {}
        for service in services:
            # One pair of the selector is enough to find it by; the others are compared.
            for key, value in service.resource.selector.items():
                self._by_pair.setdefault((service.namespace, key, value), []).append(service)
                break

    def in_front_of(self, known: Known) -> list[Document]:
        """The services that select a workload, by name."""
        found = [
            service
            for key, value in known.labels.items()
            for service in self._by_pair.get((known.namespace, key, value), ())
            if selects(service.resource.selector.items(), known.labels)
        ]
        return sorted(found, key=lambda service: service.name)


def _protocols(document: Document, services: list[Document]) -> Iterator[Problem]:
    ports: dict[int, dict[str, list[str]]] = {}
    for service in services:
        for port in service.resource.ports:
            ports.setdefault(port.port, {}).setdefault(port.protocol or "TCP", []).append(_name(service))
    for number, protocols in sorted(ports.items()):
        if len(protocols) > 1:
            names = ", ".join(sorted({name for each in protocols.values() for name in each}))
            yield warning(
                ("metadata", "name"),
                f"The services {names} give port {number} of {document.name} different protocols "
                f"({', '.join(sorted(protocols))})",
                code=SEVERAL_PROTOCOLS,
            )


def _target_ports(document: Document, services: list[Document]) -> Iterator[Problem]:
    targets: dict[str, dict[int, str]] = {}
    for service in services:
        for port in service.resource.ports:
            target = str(port.targetPort or port.port)
            targets.setdefault(target, {})[port.port] = _name(service)
    for target, ports in sorted(targets.items()):
        if len(ports) > 1:
            names = ", ".join(sorted(ports.values()))
            numbers = ", ".join(str(number) for number in sorted(ports))
            yield warning(
                ("metadata", "name"),
                f"The services {names} lead to target port {target} of {document.name} from different ports "
                f"({numbers}): a sidecar can only tell them apart by their number",
                code=CONFLICTING_PORTS,
            )


def _name(document: Document) -> str:
    return f"{document.namespace}/{document.name}"


def application_user(facts: Facts) -> Iterable[Finding]:
    """Applications that run as the sidecar's user."""
    for known in facts.pods.everything:
        document = known.document
        if document is None or document.kind not in {"Pod", "Deployment"} or is_control_plane(document):
            continue
        paths = list(_reserved(known))
        if paths:
            # The containers share one finding, as they share one remedy.
            place, _ = paths[0]
            names = ", ".join(name for _, name in paths)
            problem = warning(
                place,
                f"{names} runs as user {PROXY_USER}, which is the sidecar's: its traffic would bypass the mesh",
                at_value=True,
                code=RESERVED_USER,
            )
            yield from told(document, (problem,))


def _reserved(known: Known) -> Iterator[tuple[Path, str]]:
    if look_up(known.spec, "securityContext", "runAsUser") == PROXY_USER:
        yield (*known.path, "securityContext", "runAsUser"), "the pod"
    containers: Any = known.spec.get("containers")
    for index, container in enumerate(containers if isinstance(containers, tuple) else ()):
        if not isinstance(container, Map) or container.get("name") in {PROXY, "istio-operator"}:
            continue
        if look_up(container, "securityContext", "runAsUser") == PROXY_USER:
            place = (*known.path, "containers", index, "securityContext", "runAsUser")
            yield place, f'the container "{container.get("name")}"'


def is_control_plane(document: Document) -> bool:
    """Whether an object is part of Istio's own installation."""
    return "istio" in document.labels or document.labels.get("release") == "istio"
