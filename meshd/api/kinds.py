"""Which kinds meshd knows: one visible list. Pure.

A kind that is not here is one of three things: Istio's and not supported yet
(``NOT_YET``, a warning), Kubernetes' and of no concern to a mesh (an info), or
a mistake (an error with a suggestion).
"""

from __future__ import annotations

from typing import Any

import attrs

from meshd.api.kubernetes import ConfigMap, Endpoints, EndpointSlice, Namespace, Secret, Service
from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.gateway import Gateway
from meshd.api.networking.service_entry import ServiceEntry
from meshd.api.networking.virtual_service import VirtualService
from meshd.api.networking.workload_entry import WorkloadEntry
from meshd.api.security import AuthorizationPolicy, PeerAuthentication

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"
CORE = ""
DISCOVERY = "discovery.k8s.io"

NETWORKING_VERSIONS = ("v1", "v1beta1", "v1alpha3")
SECURITY_VERSIONS = ("v1", "v1beta1")


@attrs.frozen
class Kind:
    """One kind: where it belongs and what it becomes.

    ``resource`` is the class of ``Document.resource``. With ``in_spec`` it is
    made from the document's ``spec``, else from the fields beside ``metadata``.
    """

    group: str
    versions: tuple[str, ...]
    name: str
    resource: type[Any]
    in_spec: bool = True
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The version to recommend."""
        return f"{self.group}/{self.versions[0]}" if self.group else self.versions[0]


KINDS: tuple[Kind, ...] = (
    Kind(NETWORKING, NETWORKING_VERSIONS, "VirtualService", VirtualService),
    Kind(NETWORKING, NETWORKING_VERSIONS, "DestinationRule", DestinationRule),
    Kind(NETWORKING, NETWORKING_VERSIONS, "Gateway", Gateway),
    Kind(NETWORKING, NETWORKING_VERSIONS, "ServiceEntry", ServiceEntry),
    Kind(NETWORKING, NETWORKING_VERSIONS, "WorkloadEntry", WorkloadEntry),
    Kind(SECURITY, SECURITY_VERSIONS, "PeerAuthentication", PeerAuthentication),
    Kind(SECURITY, SECURITY_VERSIONS, "AuthorizationPolicy", AuthorizationPolicy),
    Kind(CORE, ("v1",), "Service", Service),
    Kind(CORE, ("v1",), "Endpoints", Endpoints, in_spec=False),
    Kind(DISCOVERY, ("v1", "v1beta1"), "EndpointSlice", EndpointSlice, in_spec=False),
    Kind(CORE, ("v1",), "Secret", Secret, in_spec=False),
    Kind(CORE, ("v1",), "ConfigMap", ConfigMap, in_spec=False),
    Kind(CORE, ("v1",), "Namespace", Namespace, in_spec=False, namespaced=False),
)

NOT_YET: frozenset[tuple[str, str]] = frozenset(
    {
        (NETWORKING, "EnvoyFilter"),
        (NETWORKING, "ProxyConfig"),
        (NETWORKING, "Sidecar"),
        (NETWORKING, "WorkloadGroup"),
        (SECURITY, "RequestAuthentication"),
        ("telemetry.istio.io", "Telemetry"),
        ("extensions.istio.io", "WasmPlugin"),
        ("extensions.istio.io", "TrafficExtension"),
        (CORE, "Pod"),
        (CORE, "Node"),
    }
)
"""Kinds that Istio reads and meshd does not, yet."""

NOT_YET_GROUPS: frozenset[str] = frozenset(
    {"gateway.networking.k8s.io", "config.istio.io", "rbac.istio.io", "authentication.istio.io", "install.istio.io"}
)
"""Groups of which meshd supports no kind yet."""

CORE_KINDS: frozenset[str] = frozenset(
    {
        "Binding",
        "ComponentStatus",
        "Event",
        "LimitRange",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "PodTemplate",
        "ReplicationController",
        "ResourceQuota",
        "ServiceAccount",
    }
)
"""Kubernetes ``v1`` kinds that do not concern a mesh."""


def kind_of(resource: object) -> Kind:
    """The kind whose class this resource is.

    Raises:
        KeyError: It is of no kind.
    """
    for kind in KINDS:
        if type(resource) is kind.resource:
            return kind
    raise KeyError(type(resource).__name__)
