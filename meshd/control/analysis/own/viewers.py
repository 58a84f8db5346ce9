"""From where a VirtualService is put into effect. Pure."""

from __future__ import annotations

from meshd.api.document import Document, Key
from meshd.api.networking.virtual_service import VirtualService
from meshd.control.analysis.facts import Facts
from meshd.control.hosts import MESH, gateway_name, visible

NETWORKING = "networking.istio.io"


def gateway_names(document: Document) -> tuple[tuple[str, str], ...]:
    """Namespace and name of the gateways that a VirtualService is bound to, without the sidecars."""
    service: VirtualService = document.resource
    full = (gateway_name(name, document.namespace) for name in service.gateways if name != MESH)
    return tuple((name.partition("/")[0], name.partition("/")[2]) for name in full)


def viewers(facts: Facts, document: Document) -> tuple[str, ...]:
    """The namespaces of proxies that surely put it into effect, as far as they are known.

    Its own namespace, for sidecars; for gateways those of the workloads that
    they select, where any are known.
    """
    service: VirtualService = document.resource
    found: dict[str, None] = {}
    if (not service.gateways or MESH in service.gateways) and visible(
        service.exportTo, document.namespace, document.namespace
    ):
        found[document.namespace] = None
    for namespace, name in gateway_names(document):
        gateway = facts.by_key.get(Key(NETWORKING, "Gateway", namespace, name))
        if gateway is not None and gateway.resource.selector:
            for known in facts.pods.select(gateway.resource.selector):
                if visible(service.exportTo, document.namespace, known.namespace):
                    found[known.namespace] = None
    return tuple(found)
