"""Routes and listeners of the Gateway API that have no effect, and backends that nobody is behind. Pure.

What a controller would write into their status, told before there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from meshd.api.document import Document, Key, Path
from meshd.api.gateway_api.gateway import Gateway, GatewayClass
from meshd.api.gateway_api.grpc_route import GRPCRoute
from meshd.api.gateway_api.http_route import HTTPRoute
from meshd.api.gateway_api.reference_grant import ReferenceGrant
from meshd.api.gateway_api.references import ParentReference
from meshd.api.gateway_api.stream_routes import TCPRoute, TLSRoute
from meshd.api.kinds import GATEWAY_API
from meshd.api.problem import Problem
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.remarks import remark
from meshd.control.finding import Finding
from meshd.control.gateway_api.at_edge import parent_gateway
from meshd.control.gateway_api.backends import NOT_A_BACKEND, NOT_PERMITTED, Backends
from meshd.control.gateway_api.grants import Grants, Referrer
from meshd.control.gateway_api.listeners import ROUTES, UNSERVED_CLASSES, Place, served
from meshd.control.gateway_api.translate import listeners_of
from meshd.control.gateway_api.within_mesh import parent_service
from meshd.control.hosts import service_host

NOT_ATTACHED: Final = "MD0062"
NOT_REACHABLE: Final = "MD0063"
NOT_SERVED: Final = "MD0064"
OF_ANOTHER: Final = "MD0065"

KINDS: Final[tuple[type, ...]] = (HTTPRoute, GRPCRoute, TLSRoute, TCPRoute)


def _listeners(facts: Facts) -> tuple[Place, ...]:
    wanted = (Gateway, GatewayClass, ReferenceGrant)
    kinds = {kind.__name__: facts.all(kind) for kind in (*wanted, *KINDS)}
    return listeners_of(kinds, facts.kind("Namespace"))


def routes(facts: Facts) -> Iterable[Finding]:
    """Routes by each of their parents, and by each of their backends."""
    documents = [document for kind in KINDS for document in facts.all(kind)]
    if not documents:
        return
    places = _listeners(facts)
    grants = Grants(facts.all(ReferenceGrant))
    for document in documents:
        yield from told(document, _attached(facts, document, places))
        atop = any(parent_gateway(parent) for parent in document.resource.parentRefs)
        yield from told(document, _reached(facts, document, Backends(grants, facts.mesh.domain, enforced=atop)))


def _attached(facts: Facts, document: Document, places: tuple[Place, ...]) -> Iterator[Problem]:
    for index, parent in enumerate(document.resource.parentRefs):
        namespace = parent.namespace or document.namespace
        because = ""
        if parent_gateway(parent):
            because = _why_not_at(facts, document, parent, places)
        elif parent_service(parent) and parent.kind == "Service" and _tells(facts, namespace):
            host = service_host(parent.name, namespace, facts.mesh.domain)
            if host not in facts.mesh.by_host:
                because = f"there is no Service {namespace}/{parent.name}"
        if because:
            yield remark(NOT_ATTACHED, ("spec", "parentRefs", index), f"this has no effect: {because}")


def _why_not_at(facts: Facts, document: Document, parent: ParentReference, places: tuple[Place, ...]) -> str:
    """Why a route is attached to no listener of a Gateway; "" when it is, or when nobody can know."""
    key = Key(GATEWAY_API, "Gateway", parent.namespace or document.namespace, parent.name)
    gateway = facts.by_key.get(key)
    if gateway is None:
        # Without any Gateway of that namespace they are kept elsewhere.
        told_of = any(each.namespace == key.namespace for each in facts.all(Gateway))
        return f"there is no {key}" if told_of and key not in facts.unusable else ""
    mine = [place for place in places if place.gateway.key == key]
    taking = [place for place in mine if place.takes(document, parent)]
    if not mine or any(any(place.hosts_of(_hosts(document))) for place in taking):
        return ""  # What is wrong with the Gateway is told there.
    if taking:
        return f"none of its hostnames are those of a listener of {key}"
    named = [place for place in mine if parent.sectionName in {None, "", place.listener.name}]
    if not named:
        return f'{key} has no listener "{parent.sectionName}"'
    if all(place.namespaces is not None and document.namespace not in place.namespaces for place in named):
        return f"no listener of {key} takes routes of the namespace {document.namespace}"
    return f"no listener of {key} takes a {document.kind}{f' at port {parent.port}' if parent.port else ''}"


def _hosts(document: Document) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(document.resource, "hostnames", ())
    return found


def _reached(facts: Facts, document: Document, backends: Backends) -> Iterator[Problem]:
    referrer = Referrer(document.kind, document.namespace, document.name)
    for index, rule in enumerate(document.resource.rules):
        for at, reference in enumerate(rule.backendRefs):
            path: Path = ("spec", "rules", index, "backendRefs", at)
            because = _why_not_there(facts, reference, referrer, backends)
            if because:
                yield remark(NOT_REACHABLE, path, because)


def _why_not_there(facts: Facts, reference: Any, referrer: Referrer, backends: Backends) -> str:
    destination = backends.destination(reference, referrer)
    if destination.host == NOT_PERMITTED:
        return (
            f"no ReferenceGrant of the namespace {reference.namespace} lets a {referrer.kind} refer to {reference.name}"
        )
    if destination.host == NOT_A_BACKEND:
        return f"requests cannot be sent to a {reference.kind} of {reference.group or 'v1'}"
    services = facts.mesh.by_host.get(destination.host, ())
    namespace = reference.namespace or referrer.namespace
    if reference.kind == "Service" and _tells(facts, namespace):
        if not services:
            return f"there is no Service {namespace}/{reference.name}"
        if all(service.port(reference.port) is None for service in services):
            return f"{destination.host} has no port {reference.port}"
    return ""


def _tells(facts: Facts, namespace: str) -> bool:
    """Whether the Services of a namespace are among what is judged: without any they are kept elsewhere."""
    return not facts.lost("Service") and any(each.namespace == namespace for each in facts.mesh.services)


def listeners(facts: Facts) -> Iterable[Finding]:
    """Gateways that nobody serves, whole or in part."""
    classes = {document.name: document.resource for document in facts.all(GatewayClass)}
    there = {(place.gateway.key, place.index) for place in _listeners(facts)}
    for document in facts.all(Gateway):
        yield from told(document, _unserved(document, classes, there))


def _unserved(document: Document, classes: dict[str, GatewayClass], there: set[tuple[Key, int]]) -> Iterator[Problem]:
    name = document.resource.gatewayClassName
    path: Path = ("spec", "gatewayClassName")
    if name in UNSERVED_CLASSES:
        yield remark(NOT_SERVED, path, f"gateways of this mesh do not serve the class {name}", at_value=True)
    elif not served(document.resource, classes):
        who = classes[name].controllerName
        yield remark(OF_ANOTHER, path, f"the class {name} is that of {who}", at_value=True)
    else:
        for index, listener in enumerate(document.resource.listeners):
            if listener.protocol in ROUTES and listener.tls is not None and (document.key, index) not in there:
                at: Path = ("spec", "listeners", index, "tls")
                yield remark(NOT_SERVED, at, "nobody listens here: no certificate that it refers to may be used")
