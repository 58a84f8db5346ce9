"""The same host in two VirtualServices that one sidecar sees: it heeds the older and ignores the other. Pure.

Source: Istio's ``analyzers/virtualservice/conflictingmeshgatewayhosts.go``.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshd.api.document import Document
from meshd.api.networking.virtual_service import VirtualService
from meshd.api.problem import Level
from meshd.control import hosts
from meshd.control.analysis.facts import Facts
from meshd.control.finding import Finding
from meshd.control.name_index import NameIndex

CONFLICTING_HOSTS = "IST0109"

MESH = "mesh"


def conflicting_hosts(facts: Facts) -> Iterable[Finding]:
    """Hosts that two VirtualServices claim for the sidecars of one namespace."""
    claims: dict[str, list[tuple[Document, int]]] = {}
    for document in facts.all(VirtualService):
        service = document.resource
        if not service.gateways or MESH in service.gateways:
            for index, host in enumerate(service.hosts):
                claims.setdefault(facts.hosts.resolve(host, document.namespace), []).append((document, index))
    wildcards = NameIndex((host, host) for host in claims if hosts.is_wildcard(host))
    for host, claimants in sorted(claims.items()):
        # An exact host within another's wildcard is no conflict: the more specific one wins.
        rivals = list(claimants)
        if hosts.is_wildcard(host):
            rivals = [claim for each in wildcards.overlapping(host) for claim in claims[each]]
        for document, index in claimants if len(rivals) > 1 else ():
            others = {other.key: other for other, _ in rivals if other is not document and _meet(document, other)}
            if others:
                yield _conflict(host, document, index, others.values())


def _conflict(host: str, document: Document, index: int, others: Iterable[Document]) -> Finding:
    names = ",".join(sorted(f"{each.namespace}/{each.name}" for each in (document, *others)))
    return Finding(
        CONFLICTING_HOSTS,
        Level.ERROR,
        f"{names} all claim {host} for sidecars, which heed only the oldest of them: merge them",
        str(document.key),
        document.origin_of(("spec", "hosts", index)),
    )


def _meet(one: Document, other: Document) -> bool:
    """Whether some namespace sees both."""
    first, second = _audience(one), _audience(other)
    return first is None or second is None or bool(first & second)


def _audience(document: Document) -> frozenset[str] | None:
    """The namespaces that see a VirtualService; None is all."""
    export_to = document.resource.exportTo
    if not export_to or "*" in export_to:
        return None
    return frozenset(document.namespace if each == "." else each for each in export_to)
