"""All objects of the Gateway API as the VirtualServices and Gateways they stand for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from meshd.api.common import Labels, Map
from meshd.api.document import Document
from meshd.api.mesh.config import MeshConfig
from meshd.api.networking.gateway import Gateway
from meshd.api.networking.virtual_service import VirtualService
from meshd.control.gateway_api.at_edge import at_edge, streams_at_edge
from meshd.control.gateway_api.backends import Backends
from meshd.control.gateway_api.grants import Grants
from meshd.control.gateway_api.listeners import Place, places
from meshd.control.gateway_api.within_mesh import streams_within_mesh, within_mesh
from meshd.control.owned import Owned


@attrs.frozen
class Translated:
    """What the Gateway API's objects come to."""

    virtual_services: tuple[Owned[VirtualService], ...] = ()
    gateways: tuple[Owned[Gateway], ...] = ()
    secrets: frozenset[tuple[str, str]] = frozenset()
    """Namespaces of proxies, each with the name of a certificate that those may have."""


def translate(
    kinds: Mapping[str, Sequence[Document]], others: Mapping[str, Sequence[Document]], config: MeshConfig, domain: str
) -> Translated:
    """Every rule that follows from objects of the Gateway API.

    Args:
        kinds: Documents of the Gateway API by kind, older first.
        others: Documents of other groups by kind: ServiceEntries, which routes can
            be attached to, and Namespaces, whose labels listeners ask for.
        config: The mesh's settings.
        domain: Of the mesh's own services.
    """
    if not kinds:
        return Translated()
    grants = Grants(kinds.get("ReferenceGrant", ()))
    requests, streams = _together(kinds, "HTTPRoute", "GRPCRoute"), _together(kinds, "TLSRoute", "TCPRoute")
    entries = {(each.namespace, each.name): each.resource.hosts for each in others.get("ServiceEntry", ())}
    exported = config.defaultVirtualServiceExportTo
    inside, outside = Backends(grants, domain, enforced=False), Backends(grants, domain, enforced=True)
    at = listeners_of(kinds, others.get("Namespace", ()))
    return Translated(
        (
            *within_mesh(requests, entries, inside, exported),
            *streams_within_mesh(streams, entries, inside, exported),
            *at_edge(requests, at, outside),
            *streams_at_edge(streams, at, outside),
        ),
        tuple(place.made() for place in at),
        _secrets(at, config.rootNamespace),
    )


def listeners_of(kinds: Mapping[str, Sequence[Document]], namespaces: Sequence[Document]) -> tuple[Place, ...]:
    """The listeners that are served.

    Args:
        kinds: Documents of the Gateway API by kind, older first.
        namespaces: The Namespaces.
    """
    grants = Grants(kinds.get("ReferenceGrant", ()))
    used = (document for documents in kinds.values() for document in documents)
    return places(kinds.get("Gateway", ()), kinds.get("GatewayClass", ()), _namespaces(used, namespaces), grants)


def _together(kinds: Mapping[str, Sequence[Document]], *names: str) -> tuple[Document, ...]:
    """Documents of several kinds, older first."""
    found = (document for name in names for document in kinds.get(name, ()))
    return tuple(sorted(found, key=lambda document: document.seniority))


def _namespaces(used: Iterable[Document], declared: Iterable[Document]) -> dict[str, Labels]:
    """The labels of namespaces by name: a namespace that nobody declared has none but its name."""
    return {**{each.namespace: Map() for each in used}, **{each.name: each.labels for each in declared}}


def _secrets(listeners: Iterable[Place], root: str) -> frozenset[tuple[str, str]]:
    """Which certificates proxies of which namespaces may have: those of a Gateway's own namespace, and of the root."""
    return frozenset(
        (namespace, place.tls.credentialName)
        for place in listeners
        if place.tls is not None and place.tls.credentialName
        for namespace in (place.gateway.namespace, root)
    )
