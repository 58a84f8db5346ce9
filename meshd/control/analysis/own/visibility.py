"""Hosts that nobody sees from where they are called, and wildcards that take services over. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from meshd.api.document import Document, Path
from meshd.api.networking.virtual_service import Destination, VirtualService
from meshd.api.problem import Problem
from meshd.control import hosts
from meshd.control.analysis.destinations import destinations
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.remarks import remark
from meshd.control.analysis.own.viewers import viewers
from meshd.control.analysis.workload_facts import WORKLOAD_KINDS
from meshd.control.finding import Finding
from meshd.control.hosts import MESH, visible
from meshd.control.name_index import NameIndex
from meshd.control.services import Service, Source

HOST_NOT_SEEN: Final = "MD0046"
WILDCARD_TAKES_SERVICES: Final = "MD0048"
SERVICE_WITHOUT_ENDPOINTS: Final = "MD0037"

MOST_NAMES: Final = 3
"""In one message; the rest is counted."""


def unseen_hosts(facts: Facts) -> Iterable[Finding]:
    """Destinations that exist and are not exported to where the rule is in effect."""
    for document in facts.all(VirtualService):
        seeing = viewers(facts, document)
        problems: list[Problem] = []
        for path, target in destinations(document.resource):
            problems += _unseen(facts, document, seeing, target, path)
        yield from told(document, problems)


def _unseen(
    facts: Facts, document: Document, seeing: tuple[str, ...], target: Destination, path: Path
) -> Iterator[Problem]:
    host = facts.hosts.resolve(target.host, document.namespace)
    found = facts.mesh.by_host.get(host, ())
    if not found:
        return
    blind = [viewer for viewer in seeing if not any(visible(e.export_to, e.namespace, viewer) for e in found)]
    if blind:
        owner = found[0]
        yield remark(
            HOST_NOT_SEEN,
            (*path, "host"),
            f"callers in namespace {blind[0]} get 503: {host} belongs to namespace {owner.namespace} and is exported to "
            f'{", ".join(owner.export_to)} only; add "{blind[0]}" to its exportTo',
            at_value=True,
        )


def wildcards(facts: Facts) -> Iterable[Finding]:
    """Wildcard hosts for sidecars that also mean services of other namespaces, which have no rules of their own."""
    exact: set[str] = set()
    patterns: list[tuple[Document, int, str]] = []
    for document in facts.all(VirtualService):
        service: VirtualService = document.resource
        if service.gateways and MESH not in service.gateways:
            continue
        for index, host in enumerate(service.hosts):
            if hosts.is_wildcard(host):
                patterns.append((document, index, host))
            else:
                exact.add(facts.hosts.resolve(host, document.namespace))
    if not patterns:
        return
    services = NameIndex((service.host, service) for service in facts.mesh.services)
    for document, index, pattern in patterns:
        taken = sorted(
            service.host
            for service in services.covered(pattern)
            if service.host not in exact
            and service.namespace != document.namespace
            and not hosts.is_wildcard(service.host)
        )
        if taken:
            yield from told(document, [_takes(pattern, index, taken)])


def _takes(pattern: str, index: int, taken: list[str]) -> Problem:
    more = f" and {len(taken) - MOST_NAMES} more" if len(taken) > MOST_NAMES else ""
    return remark(
        WILDCARD_TAKES_SERVICES,
        ("spec", "hosts", index),
        f'"{pattern}" also takes the requests to {", ".join(taken[:MOST_NAMES])}{more}, of other namespaces: what none '
        "of these rules matches gets 404 there; name the hosts that are meant",
        at_value=True,
    )


def without_endpoints(facts: Facts) -> Iterable[Finding]:
    """Services that routes lead to, and that select none of the workloads that are known."""
    if facts.lost(*WORKLOAD_KINDS):
        return
    wanted = {
        facts.hosts.resolve(target.host, document.namespace)
        for document in facts.all(VirtualService)
        for _, target in destinations(document.resource)
    }
    lost = {
        (service.namespace, service.name)
        for host in wanted
        for service in facts.mesh.by_host.get(host, ())
        if service.registry and service.source is Source.WORKLOADS and _selects_nothing(facts, service)
    }
    for document in facts.kind("Service"):
        if (document.namespace, document.name) in lost:
            labels = ", ".join(f"{key}={value}" for key, value in sorted(document.resource.selector.items()))
            yield from told(
                document,
                [
                    remark(
                        SERVICE_WITHOUT_ENDPOINTS,
                        ("spec", "selector"),
                        f"routes lead to this Service and get 503: none of the workloads that are known in namespace "
                        f"{document.namespace} has the labels {labels}; mend the selector or the labels",
                    )
                ],
            )


def _selects_nothing(facts: Facts, service: Service) -> bool:
    if not service.selector or not facts.workloads.knows(service.namespace):
        return False
    backends = facts.mesh.backends.get((service.host, service.namespace), ())
    return not facts.workloads.of_service(service) and not any(each for _, each in backends)
