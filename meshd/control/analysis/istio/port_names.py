"""Names of Services' ports, by which Istio knows what they speak. Pure.

Source: Istio's ``analyzers/service/portname.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from meshd.api.document import Document
from meshd.api.kubernetes import Service, ServicePort
from meshd.api.problem import Level, Problem, warning
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.istio.deployments import is_control_plane
from meshd.control.analysis.istio.injected import IGNORED_NAMESPACES
from meshd.control.finding import Finding
from meshd.control.services import Protocol, protocol_of

NOT_BY_CONVENTION = "IST0118"
EXTERNAL_NAME = "IST0150"

ALSO_KNOWN: Final = frozenset({"hbone", "http_proxy", "udp"})
"""Protocols that a name can say and that have no name of their own here."""


def port_names(facts: Facts) -> Iterable[Finding]:
    """Ports whose protocol must be guessed."""
    for document in facts.all(Service):
        if document.namespace not in IGNORED_NAMESPACES and not is_control_plane(document):
            yield from told(document, _names(document))


def _names(document: Document) -> Iterator[Problem]:
    service: Service = document.resource
    alias = service.type == "ExternalName"
    for index, port in enumerate(service.ports):
        unsaid = _is_unsaid(port)
        path = ("spec", "ports", index)
        if alias and (unsaid or port.name == "tcp"):
            message = "a port of an ExternalName Service must say its protocol by its name, and a better one than tcp: "
            yield warning(path, f"{message}it would take what is meant for others", code=EXTERNAL_NAME)
        elif unsaid:
            target = port.targetPort if port.targetPort is not None else port.port
            named = f'the name "{port.name}"' if port.name else "no name"
            message = f"port {port.port} (targetPort {target}) has {named}, which says no protocol: it is sniffed; "
            yield Problem(NOT_BY_CONVENTION, Level.INFO, path, f"{message}name it PROTOCOL[-SUFFIX] or set appProtocol")


def _is_unsaid(port: ServicePort) -> bool:
    if port.protocol.upper() == "UDP":
        return False
    said = port.appProtocol or port.name
    if said.lower().partition("-")[0] in ALSO_KNOWN:
        return False
    return protocol_of(port.port, port.name, port.appProtocol) is Protocol.AUTO
