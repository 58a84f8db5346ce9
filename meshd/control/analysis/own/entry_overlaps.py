"""ServiceEntries beside each other and beside Services: one host twice, one address twice, short hosts. Pure.

Source: Istio's ``pilot/pkg/serviceregistry/aggregate`` (a Kubernetes Service
comes first, then the older) and ``core/listener.go`` (one listener for an
address and port).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from meshd.api.document import Document
from meshd.api.networking.service_entry import ServiceEntry
from meshd.api.problem import Problem
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.remarks import remark
from meshd.control.finding import Finding
from meshd.control.hosts import visible
from meshd.control.services import Protocol, Service, protocol_of

OVERLAP: Final = "MD0038"
SHORT_HOST: Final = "MD0039"
SHARED_ADDRESS: Final = "MD0040"


def overlaps(facts: Facts) -> Iterable[Finding]:
    """Hosts that are declared twice, and short ones."""
    declared: dict[str, list[Document]] = {}
    for document in facts.all(ServiceEntry):
        for host in dict.fromkeys(document.resource.hosts):
            declared.setdefault(host, []).append(document)
    for document in facts.all(ServiceEntry):
        problems: list[Problem] = []
        for index, host in enumerate(document.resource.hosts):
            if "." not in host and ":" not in host and host != "*":
                problems.append(_short(facts, document, host, index))
            problems += _beside_service(facts, document, host, index)
            problems += _beside(document, host, index, declared[host])
        yield from told(document, problems)


def _short(facts: Facts, document: Document, host: str, index: int) -> Problem:
    full = facts.hosts.resolve(host, document.namespace)
    return remark(
        SHORT_HOST,
        ("spec", "hosts", index),
        f'the short host "{host}" is taken as it stands, while rules that say "{host}" mean {full} and do not find it: '
        f'write it with its domain, as in "{full}"',
        at_value=True,
    )


def _beside_service(facts: Facts, document: Document, host: str, index: int) -> Iterator[Problem]:
    """A Kubernetes Service of the same host comes first."""
    for service in facts.mesh.by_host.get(host, ()):
        if service.registry and _meet(document, service.export_to, service.namespace):
            yield remark(
                OVERLAP,
                ("spec", "hosts", index),
                f"Service {service.namespace}/{service.name} has the host {host} too and comes first: where both are "
                "seen, its endpoints and settings count and those written here do not; remove one of them, or use a "
                "WorkloadEntry that the Service selects",
                at_value=True,
            )
            return


def _meet(document: Document, export_to: tuple[str, ...], owner: str) -> bool:
    """Whether some namespace sees both."""
    entry: ServiceEntry = document.resource
    spaces = {document.namespace, owner, *entry.exportTo, *export_to} - {".", "~", "*"}
    everywhere = all(not each or "*" in each for each in (entry.exportTo, export_to))
    return everywhere or any(
        visible(entry.exportTo, document.namespace, space) and visible(export_to, owner, space) for space in spaces
    )


def _beside(document: Document, host: str, index: int, declared: list[Document]) -> Iterator[Problem]:
    """An older ServiceEntry of the same host that says something else about it."""
    if len(declared) < 2:
        return
    first = min(declared, key=lambda each: each.seniority)
    if first is document or not _meet(document, first.resource.exportTo, first.namespace):
        return
    differing = _differences(document.resource, first.resource)
    if differing:
        verb = "counts" if len(differing) == 1 else "count"
        yield remark(
            OVERLAP,
            ("spec", "hosts", index),
            f"ServiceEntry {first.namespace}/{first.name} ({first.origin}) has the host {host} too and is older (or "
            f"first by name): where both are seen its {' and '.join(differing)} {verb}, not those written here; "
            "make one of the two",
            at_value=True,
        )


def _differences(one: ServiceEntry, other: ServiceEntry) -> list[str]:
    """What one host cannot have two of. Ports and addresses add up; protocols have a code of Istio's."""
    return [name for name in ("resolution", "location") if getattr(one, name) != getattr(other, name)]


def shared_addresses(facts: Facts) -> Iterable[Finding]:
    """One address and TCP port that belong to two hosts: only one of them gets the connections."""
    claims: dict[tuple[str, int], list[Service]] = {}
    for service in facts.mesh.services:
        for port in service.ports:
            if port.protocol is Protocol.TCP:
                for address in service.addresses:
                    claims.setdefault((address, port.number), []).append(service)
    for document in facts.all(ServiceEntry):
        yield from told(document, _shared(document, claims))


def _shared(document: Document, claims: dict[tuple[str, int], list[Service]]) -> Iterator[Problem]:
    entry: ServiceEntry = document.resource
    for index, address in enumerate(entry.addresses):
        for port in entry.ports:
            if protocol_of(port.number, port.name, port.protocol) is not Protocol.TCP:
                continue
            others = claims.get((address, port.number), [])
            first = others[0] if len(others) > 1 else None
            if first is None or first.host in entry.hosts or not _meet(document, first.export_to, first.namespace):
                continue
            yield remark(
                SHARED_ADDRESS,
                ("spec", "addresses", index),
                f"connections to {address} port {port.number} go to {first.host} (namespace {first.namespace}), which "
                "is older: TCP says nothing else by which the two could be told apart; give each its own address or port",
                at_value=True,
            )
            break
