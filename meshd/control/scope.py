"""Whose configuration is compiled: one proxy, as its certificate and registration describe it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import attrs

from meshd.snapshot.cluster import Peer

GATEWAY = "gateway"

PROXY_PORTS = frozenset({15000, 15001, 15006, 15021, 15090})
"""What a sidecar listens on for itself (Istio's numbers): administration, outbound, inbound, health, metrics."""


def _sorted(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(pairs))


@attrs.frozen
class Scope:
    """One proxy.

    ``namespace``, ``service_account`` and ``trust_domain`` come from its
    certificate, the rest from its registration. ``labels`` are sorted pairs.
    ``app_ports`` are the application's ports, that of ``--upstream`` first;
    ``app_host`` is where the application listens, seen from the proxy.
    """

    kind: Literal["sidecar", "gateway"] = "sidecar"
    namespace: str = "default"
    service_account: str = "default"
    name: str = ""
    """The workload's name, for telemetry."""
    labels: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_sorted)
    address: str = ""
    """Where other workloads reach this one, "" when it is not known."""
    app_ports: tuple[int, ...] = ()
    app_host: str = "127.0.0.1"
    trust_domain: str = "cluster.local"

    @property
    def identity(self) -> str:
        """Its SPIFFE id."""
        return spiffe_id(self.trust_domain, self.namespace, self.service_account)


def spiffe_id(trust_domain: str, namespace: str, service_account: str) -> str:
    """The identity of a service account, as Istio writes it."""
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"


def peer_of(labels: Mapping[str, str], *, workload: str, namespace: str, principal: str) -> Peer:
    """What telemetry says about a workload, by Istio's rules for canonical names."""
    workload = labels.get("service.istio.io/workload-name") or workload
    canonical = (
        labels.get("service.istio.io/canonical-name")
        or labels.get("app.kubernetes.io/name")
        or labels.get("app")
        or workload
    )
    revision = (
        labels.get("service.istio.io/canonical-revision")
        or labels.get("app.kubernetes.io/version")
        or labels.get("version")
        or "latest"
    )
    return Peer(
        workload=workload,
        namespace=namespace,
        app=labels.get("app", ""),
        version=labels.get("version", ""),
        canonical_service=canonical,
        canonical_revision=revision,
        principal=principal,
    )
