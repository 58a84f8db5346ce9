"""ServiceEntries: addresses where they are needed, and one protocol for one port. Pure.

Source: Istio's ``analyzers/serviceentry``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from meshd.api.document import Document
from meshd.api.networking.service_entry import ServiceEntry
from meshd.api.problem import Problem, warning
from meshd.control.analysis.facts import Facts, told
from meshd.control.finding import Finding

ADDRESSES_REQUIRED = "IST0134"
CONFLICTING_PROTOCOL = "IST0177"

AUTO_ALLOCATE: Final = "networking.istio.io/enable-autoallocate-ip"
"""Label by which a ServiceEntry gets an address of its own."""


def addresses(facts: Facts) -> Iterable[Finding]:
    """TCP ports of hosts without an address: a proxy cannot tell them from others."""
    metadata = facts.mesh.config.defaultConfig.proxyMetadata
    if metadata.get("ISTIO_META_DNS_CAPTURE") == metadata.get("ISTIO_META_DNS_AUTO_ALLOCATE") == "true":
        return
    for document in facts.all(ServiceEntry):
        if not document.resource.addresses and document.labels.get(AUTO_ALLOCATE) != "true":
            yield from told(document, _addresses(document))


def _addresses(document: Document) -> Iterator[Problem]:
    for index, port in enumerate(document.resource.ports):
        if port.protocol in {"", "TCP"}:
            yield warning(
                ("spec", "ports", index),
                "a port of protocol TCP, or of none, needs addresses in its ServiceEntry: without them everything on "
                "that port is taken for it",
                code=ADDRESSES_REQUIRED,
            )


@attrs.frozen
class _Claim:
    protocol: str
    document: Document


def protocols(facts: Facts) -> Iterable[Finding]:
    """The same host and port with different protocols, seen from one namespace."""
    claims: dict[tuple[str, int], dict[str, list[_Claim]]] = {}
    for document in facts.all(ServiceEntry):
        entry: ServiceEntry = document.resource
        for scope in _scopes(entry.exportTo, document.namespace):
            for host in entry.hosts:
                for port in entry.ports:
                    claim = _Claim(port.protocol.upper(), document)
                    claims.setdefault((host, port.number), {}).setdefault(scope, []).append(claim)
    reported: set[str] = set()
    for (host, number), scopes in sorted(claims.items()):
        for scope in scopes:
            together = [*scopes[scope], *(scopes.get("*", ()) if scope != "*" else ())]
            if len({claim.protocol for claim in together}) < 2:
                continue
            for claim in together:
                name = str(claim.document.key)
                if name not in reported:
                    reported.add(name)
                    yield from told(claim.document, (_conflict(together, host, number),))


def _conflict(claims: list[_Claim], host: str, number: int) -> Problem:
    names = ", ".join(sorted({f"{claim.document.namespace}/{claim.document.name}" for claim in claims}))
    spoken = ", ".join(sorted({claim.protocol or "none" for claim in claims}))
    return warning(
        ("metadata", "name"),
        f"{names} give port {number} of {host} different protocols ({spoken}): one of them is used for all",
        code=CONFLICTING_PROTOCOL,
    )


def _scopes(export_to: tuple[str, ...], own: str) -> set[str]:
    """The namespaces that see it; ``*`` is all."""
    if not export_to or "*" in export_to:
        return {"*"}
    return {own if each == "." else each for each in export_to}
