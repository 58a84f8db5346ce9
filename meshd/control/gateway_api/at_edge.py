"""Routes whose parent is a Gateway: what its listeners do. Pure.

Source: Istio's ``pilot/pkg/config/kube/gateway/conversion.go`` (``buildHTTPVirtualServices``,
``buildTLSVirtualService``, ``buildTCPVirtualService``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from meshd.api.document import Document
from meshd.api.gateway_api.references import GROUP, ParentReference
from meshd.api.networking.gateway import ServerTLSmode
from meshd.api.networking.virtual_service import TCPRoute, TLSMatchAttributes, TLSRoute, VirtualService
from meshd.control.gateway_api.backends import Backends
from meshd.control.gateway_api.gathered import Gathered
from meshd.control.gateway_api.grants import Referrer
from meshd.control.gateway_api.http_rules import http_rules
from meshd.control.gateway_api.listeners import Place
from meshd.control.hosts import narrower
from meshd.control.owned import Owned


def parent_gateway(parent: ParentReference) -> bool:
    """Whether a parent is a Gateway of the Gateway API."""
    return (parent.group, parent.kind) == (GROUP, "Gateway")


def attached(route: Document, places: Iterable[Place]) -> tuple[Place, ...]:
    """The listeners that a route is attached to, each once."""
    parents = [each for each in route.resource.parentRefs if parent_gateway(each)]
    return tuple(
        place
        for place in places
        if any(
            (parent.namespace or route.namespace, parent.name) == (place.gateway.namespace, place.gateway.name)
            and place.takes(route, parent)
            for parent in parents
        )
    )


def at_edge(
    routes: Iterable[Document], places: tuple[Place, ...], backends: Backends
) -> Iterator[Owned[VirtualService]]:
    """The VirtualServices of gateways for HTTPRoutes and GRPCRoutes, older first: one for each listener and host."""
    found: dict[tuple[str, str], Gathered] = {}
    for document in routes:
        mine = attached(document, places)
        if not mine:
            continue
        rules = http_rules(document, backends)
        for place in mine:
            for host in dict.fromkeys(place.hosts_of(document.resource.hostnames)):
                found.setdefault((place.bound, host), Gathered(document, host, place.bound)).rules.extend(rules)
    yield from (each.made(()) for each in found.values())
    for place in places:
        if place.listener.protocol == "HTTP" and place.apart and (place.bound, place.host) not in found:
            yield Gathered(place.gateway, place.host, place.bound).made(())


def streams_at_edge(
    routes: Iterable[Document], places: tuple[Place, ...], backends: Backends
) -> Iterator[Owned[VirtualService]]:
    """The VirtualServices of gateways for TLSRoutes and TCPRoutes, older first."""
    for document in routes:
        for place in attached(document, places):
            spec = _stream(document, place, backends)
            if spec is not None:
                yield Owned(
                    document.kind, document.namespace, document.name, spec, document.seniority, gateway_api=True
                )


def _stream(document: Document, place: Place, backends: Backends) -> VirtualService | None:
    referrer = Referrer(document.kind, document.namespace, document.name)
    hosts = ["*"]
    if document.kind == "TLSRoute":
        found = (narrower(place.host, host) for host in document.resource.hostnames or ("*",))
        hosts = [host for host in found if host is not None]
    if not hosts:
        return None
    targets = [backends.streams(rule.backendRefs, referrer) for rule in document.resource.rules[:1]]
    empty = VirtualService(tuple(hosts), (place.bound,))
    tls = place.tls
    if place.listener.protocol == "TLS" and tls is not None and tls.mode is ServerTLSmode.PASSTHROUGH:
        match = (TLSMatchAttributes(tuple(hosts)),)
        return attrs.evolve(empty, tls=tuple(TLSRoute(match, each) for each in targets))
    return attrs.evolve(empty, tcp=tuple(TCPRoute((), each) for each in targets))
