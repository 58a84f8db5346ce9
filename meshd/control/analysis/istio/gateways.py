"""Gateways: the workloads they mean, the ports these offer, certificates, and each other. Pure.

Source: Istio's ``analyzers/gateway``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from meshd.api.common import Map
from meshd.api.document import Document, Path
from meshd.api.kubernetes import Service
from meshd.api.networking.gateway import Gateway, ServerTLSSettings
from meshd.api.problem import Problem, error, warning
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.istio.certificates import why_unusable
from meshd.control.analysis.istio.deployments import ServiceIndex
from meshd.control.analysis.istio.host_book import HostBook
from meshd.control.analysis.pod_facts import labels_text
from meshd.control.finding import Finding

NOT_FOUND = "IST0101"
SAME_CERTIFICATE = "IST0138"
CONFLICTING = "IST0145"
BAD_CREDENTIAL = "IST0161"
PORT_NOT_ON_SERVICE = "IST0162"

USUAL_PORTS: Final = frozenset({80, 443, 8080, 8443, 15012, 15017, 15021, 15443, 31400})
"""What the Service of Istio's own ingress gateway leads to."""


def workload_ports(facts: Facts) -> Iterable[Finding]:
    """Gateways that no workload serves, and ports that no Service of these leads to."""
    services = ServiceIndex(facts.all(Service))
    for document in facts.all(Gateway):
        yield from told(document, _ports(facts, services, document))


def _ports(facts: Facts, services: ServiceIndex, document: Document) -> Iterator[Problem]:
    gateway: Gateway = document.resource
    workloads = facts.pods.select(gateway.selector)
    if not workloads:
        yield _no_workload(gateway)
        return
    offered: set[int] = set()
    for known in workloads:
        if known.document is None:
            offered |= USUAL_PORTS
        for service in services.in_front_of(known):
            for port in service.resource.ports:
                if port.protocol in {"", "TCP"}:
                    # A Gateway may name either: proxies translate a Service's port to its target.
                    offered |= {port.port, port.targetPort if isinstance(port.targetPort, int) else port.port}
    if not offered and all(known.document is not None and not known.is_pod for known in workloads):
        return
    told_of: set[int] = set()
    for index, server in enumerate(gateway.servers):
        number = server.port.number
        if number not in offered and number not in told_of:
            told_of.add(number)
            yield warning(
                ("spec", "servers", index, "port", "number"),
                f"port {number} of this Gateway is none that a Service leads to on its workload "
                f"({labels_text(gateway.selector)}): through that Service it cannot be reached",
                at_value=True,
                code=PORT_NOT_ON_SERVICE,
            )


def _no_workload(gateway: Gateway) -> Problem:
    selector = labels_text(gateway.selector)
    message = f"no workload has the labels {selector}: nobody serves this Gateway"
    return error(("spec", "selector"), message, code=NOT_FOUND)


def credentials(facts: Facts) -> Iterable[Finding]:
    """Secrets that are not there or hold no usable certificate."""
    for document in facts.all(Gateway):
        yield from told(document, _credentials(facts, document))


def _credentials(facts: Facts, document: Document) -> Iterator[Problem]:
    gateway: Gateway = document.resource
    workloads = facts.pods.select(gateway.selector)
    if not workloads:
        yield _no_workload(gateway)
        return
    namespace = workloads[0].namespace
    for index, server in enumerate(gateway.servers):
        if server.tls is None:
            continue
        path: Path = ("spec", "servers", index, "tls")
        named: list[tuple[Path, str]] = (
            [((*path, "credentialName"), server.tls.credentialName)] if server.tls.credentialName else []
        )
        named += [((*path, "credentialNames", at), each) for at, each in enumerate(server.tls.credentialNames)]
        for place, name in named:
            secret = facts.secrets.get((namespace, name))
            if secret is None:
                if not facts.has("Secret", "", namespace, name):
                    yield error(
                        place,
                        f'there is no Secret "{name}" in namespace {namespace}, where the gateway runs: its TLS '
                        "handshakes fail",
                        code=NOT_FOUND,
                    )
                continue
            why = why_unusable(secret, facts.now)
            if why:
                yield error(place, f"the Secret {namespace}/{name} is of no use: {why}", code=BAD_CREDENTIAL)


def same_certificates(facts: Facts) -> Iterable[Finding]:
    """One certificate in two Gateways of a workload: a client reuses its HTTP/2 connection for the other's hosts."""
    with_tls = [document for document in facts.all(Gateway) if any(server.tls for server in document.resource.servers)]
    by_certificate: dict[tuple[str, ...], list[Document]] = {}
    for document in with_tls:
        for identity in {each for server in document.resource.servers if (each := _certificate(server.tls))}:
            by_certificate.setdefault(identity, []).append(document)
    for document in with_tls:
        gateway: Gateway = document.resource
        others = {
            other.key: other
            for server in gateway.servers
            for other in by_certificate.get(_certificate(server.tls), ())
            if other is not document and gateway.selector.items() <= other.resource.selector.items()
        }
        for other in sorted(others.values(), key=lambda each: (each.namespace, each.name)):
            problem = warning(
                ("metadata", "name"),
                f"{document.namespace}/{document.name} and {other.namespace}/{other.name} use the same certificate: "
                "clients that reuse an HTTP/2 connection for both may get 404",
                code=SAME_CERTIFICATE,
            )
            yield from told(document, (problem,))


def _certificate(tls: ServerTLSSettings | None) -> tuple[str, ...]:
    """What the certificate of a server is, () when nobody can say."""
    if tls is None:
        return ()
    if tls.credentialName:
        return (tls.credentialName,)
    if tls.serverCertificate and tls.privateKey:
        return (tls.serverCertificate, tls.privateKey)
    return ()


def conflicts(facts: Facts) -> Iterable[Finding]:
    """Gateways of one workload that claim the same hosts on the same port."""
    claims: dict[tuple[int, Selector], HostBook] = {}
    for document in facts.all(Gateway):
        for server in document.resource.servers:
            book = claims.setdefault((server.port.number, document.resource.selector), HostBook())
            for host in server.hosts:
                book.add(host.rpartition("/")[2], (host.rpartition("/")[0], document))
    for document in facts.all(Gateway):
        yield from told(document, _conflicts(document, claims))


Selector: TypeAlias = Map[str, str]


def _conflicts(document: Document, claims: dict[tuple[int, Selector], HostBook]) -> Iterator[Problem]:
    gateway: Gateway = document.resource
    for index, server in enumerate(gateway.servers):
        number = server.port.number
        books = [
            book
            for (port, selector), book in claims.items()
            if port == number and _same_workload(gateway.selector, selector)
        ]
        rivals = sorted(
            {
                f"{other.namespace}/{other.name}"
                for host in server.hosts
                for book in books
                for space, other in book.overlapping(host.rpartition("/")[2])
                if other is not document and _meet(host.rpartition("/")[0], space)
            }
        )
        if rivals:
            yield error(
                ("spec", "servers", index),
                f"conflicts with {', '.join(rivals)}: the same workload ({labels_text(gateway.selector)}), port {number} "
                f"and hosts ({', '.join(server.hosts)})",
                code=CONFLICTING,
                at_value=False,
            )


def _same_workload(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return one.items() <= other.items() or other.items() <= one.items()


def _meet(one: str, other: str) -> bool:
    """Whether two namespaces before the hosts of Gateways have VirtualServices in common."""
    everybody = {"", "*"}
    return one in everybody or other in everybody or one == other
