"""The gateways of VirtualServices: whether they are there and serve the hosts. Pure.

Source: Istio's ``analyzers/virtualservice/gateways.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from meshd.api.document import Document, Path
from meshd.api.networking.gateway import Gateway
from meshd.api.networking.virtual_service import VirtualService
from meshd.api.problem import Problem, error, warning
from meshd.control import hosts
from meshd.control.analysis.facts import Facts, told
from meshd.control.finding import Finding

NOT_FOUND = "IST0101"
HOST_NOT_IN_GATEWAY = "IST0132"

MESH = "mesh"


def gateways(facts: Facts) -> Iterable[Finding]:
    """Gateways that are not there, that serve none of the hosts, and hosts that no gateway serves."""
    known: dict[tuple[str, str], Gateway] = {
        (document.namespace, document.name): document.resource for document in facts.all(Gateway)
    }
    for document in facts.all(VirtualService):
        if document.resource.gateways:
            yield from told(document, _gateways(facts, known, document))


def _gateways(facts: Facts, known: dict[tuple[str, str], Gateway], document: Document) -> Iterator[Problem]:
    service: VirtualService = document.resource
    served: dict[str, list[str]] = {}
    useless = False
    for index, name in enumerate(service.gateways):
        if name == MESH:
            continue
        key = gateway_key(name, document.namespace)
        found = known.get(key)
        path = ("spec", "gateways", index)
        if found is None:
            if not facts.has("Gateway", "networking.istio.io", *key):
                yield error(path, f'Referenced gateway not found: "{name}"', code=NOT_FOUND)
            continue
        own = [host.rpartition("/")[2] for server in found.servers for host in server.hosts]
        served["/".join(key)] = own
        if not any(hosts.overlaps(host, each) for host in service.hosts for each in own):
            useless = True
            yield _not_served(document, service.hosts, "/".join(key), path)
    if not served or useless:
        return
    every = [host for own in served.values() for host in own]
    for index, host in enumerate(service.hosts):
        if not any(hosts.overlaps(host, each) for each in every):
            yield _not_served(document, (host,), ",".join(served), ("spec", "hosts", index))


def _not_served(document: Document, strangers: Sequence[str], gateway: str, path: Path) -> Problem:
    return warning(
        path,
        f"one or more host [{' '.join(strangers)}] defined in VirtualService {document.namespace}/{document.name} "
        f"not found in Gateway {gateway}",
        at_value=True,
        code=HOST_NOT_IN_GATEWAY,
    )


def gateway_key(name: str, namespace: str) -> tuple[str, str]:
    """Namespace and name of a gateway as a VirtualService names it."""
    space, slash, plain = name.rpartition("/")
    if slash:
        return (namespace if space == "." else space, plain)
    parts = name.split(".")
    if len(parts) > 2 and parts[2] == "svc":
        return (parts[1], parts[0])
    return (namespace, name)
