"""The endpoints of a service's clusters. Pure."""

from __future__ import annotations

from meshd.api.security import MutualTLSMode, PeerAuthentication
from meshd.control.compiler import names
from meshd.control.compiler.peer_authn import mode_at
from meshd.control.owned import Owned
from meshd.control.scope import peer_of, spiffe_id
from meshd.control.services import Service
from meshd.control.workloads import Backend, Backends, selects
from meshd.snapshot.cluster import Endpoint, EndpointGroup, Peer

SubsetLabels = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""Name and labels of each subset."""


def compile_endpoints(
    service: Service,
    backends: Backends,
    subsets: SubsetLabels,
    policies: tuple[Owned[PeerAuthentication], ...],
    trust_domain: str,
) -> tuple[EndpointGroup, ...]:
    """The endpoints of every cluster of a service.

    Args:
        service: The service.
        backends: Where its ports are reached.
        subsets: Its subsets; one without labels has all endpoints.
        policies: The PeerAuthentications that can concern its workloads.
        trust_domain: Of the mesh, for identities.
    """
    groups = []
    for number, listed in backends:
        if service.port(number) is None:
            # A Sidecar brings some of a service's ports.
            continue
        endpoints = [(backend, _endpoint(backend, policies, trust_domain)) for backend in listed]
        for subset, labels in (("", ()), *subsets):
            chosen = tuple(endpoint for backend, endpoint in endpoints if selects(labels, backend.labels))
            groups.append(EndpointGroup(names.outbound_cluster(number, subset, service.host), chosen))
    return tuple(groups)


def _endpoint(backend: Backend, policies: tuple[Owned[PeerAuthentication], ...], trust_domain: str) -> Endpoint:
    identity = spiffe_id(trust_domain, backend.namespace, backend.service_account) if backend.service_account else ""
    mtls = backend.mtls and (
        mode_at(policies, backend.namespace, tuple(backend.labels.items()), backend.app_port)
        is not MutualTLSMode.DISABLE
    )
    return Endpoint(
        host=backend.host,
        port=backend.port,
        weight=backend.weight,
        mtls=mtls,
        identity=identity,
        locality=backend.locality,
        peer=_peer(backend, identity),
    )


def _peer(backend: Backend, identity: str) -> Peer:
    """What telemetry says of it; a bare address is nobody in particular."""
    if not (backend.name or backend.labels or identity):
        return Peer()
    return peer_of(backend.labels, workload=backend.name, namespace=backend.namespace, principal=identity)
