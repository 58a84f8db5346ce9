"""Which kinds meshd knows: one visible list. Pure.

``KINDS`` become typed resources. ``FOREIGN_KINDS`` configure no proxy of meshd
and are kept as ``Foreign`` for analyses: those of Istio and of the Gateway API
with a warning, Kubernetes' own with an info. A kind that is in neither is one
of three things: of a group of which meshd supports only what is listed (a warning), of
no concern to a mesh (an info), or a mistake (an error with a suggestion).
"""

from __future__ import annotations

from typing import Any

import attrs

from meshd.api.foreign import Foreign
from meshd.api.gateway_api import gateway as gateway_api
from meshd.api.gateway_api import http_route
from meshd.api.gateway_api.grpc_route import GRPCRoute
from meshd.api.gateway_api.reference_grant import ReferenceGrant
from meshd.api.gateway_api.stream_routes import TCPRoute, TLSRoute
from meshd.api.kubernetes import ConfigMap, Endpoints, EndpointSlice, Namespace, Secret, Service
from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.gateway import Gateway
from meshd.api.networking.proxy_config import ProxyConfig
from meshd.api.networking.service_entry import ServiceEntry
from meshd.api.networking.sidecar import Sidecar
from meshd.api.networking.virtual_service import VirtualService
from meshd.api.networking.workload_entry import WorkloadEntry
from meshd.api.networking.workload_group import WorkloadGroup
from meshd.api.security import AuthorizationPolicy, PeerAuthentication, RequestAuthentication
from meshd.api.telemetry import Telemetry

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"
TELEMETRY = "telemetry.istio.io"
CORE = ""
DISCOVERY = "discovery.k8s.io"
EXTENSIONS = "extensions.istio.io"
GATEWAY_API = "gateway.networking.k8s.io"
APPS = "apps"
ADMISSION = "admissionregistration.k8s.io"

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
    supported: bool = True
    """False: it is read and checked, and has no effect yet."""

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
    Kind(NETWORKING, NETWORKING_VERSIONS, "WorkloadGroup", WorkloadGroup, supported=False),
    Kind(NETWORKING, NETWORKING_VERSIONS, "Sidecar", Sidecar),
    Kind(NETWORKING, ("v1beta1",), "ProxyConfig", ProxyConfig, supported=False),
    Kind(SECURITY, SECURITY_VERSIONS, "PeerAuthentication", PeerAuthentication),
    Kind(SECURITY, SECURITY_VERSIONS, "RequestAuthentication", RequestAuthentication, supported=False),
    Kind(SECURITY, SECURITY_VERSIONS, "AuthorizationPolicy", AuthorizationPolicy),
    Kind(TELEMETRY, ("v1", "v1alpha1"), "Telemetry", Telemetry, supported=False),
    Kind(GATEWAY_API, ("v1", "v1beta1"), "GatewayClass", gateway_api.GatewayClass, namespaced=False),
    Kind(GATEWAY_API, ("v1", "v1beta1"), "Gateway", gateway_api.Gateway),
    Kind(GATEWAY_API, ("v1", "v1beta1"), "HTTPRoute", http_route.HTTPRoute),
    Kind(GATEWAY_API, ("v1",), "GRPCRoute", GRPCRoute),
    Kind(GATEWAY_API, ("v1", "v1alpha3", "v1alpha2"), "TLSRoute", TLSRoute),
    Kind(GATEWAY_API, ("v1", "v1alpha2"), "TCPRoute", TCPRoute),
    Kind(GATEWAY_API, ("v1", "v1beta1"), "ReferenceGrant", ReferenceGrant),
    Kind(CORE, ("v1",), "Service", Service),
    Kind(CORE, ("v1",), "Endpoints", Endpoints, in_spec=False),
    Kind(DISCOVERY, ("v1", "v1beta1"), "EndpointSlice", EndpointSlice, in_spec=False),
    Kind(CORE, ("v1",), "Secret", Secret, in_spec=False),
    Kind(CORE, ("v1",), "ConfigMap", ConfigMap, in_spec=False),
    Kind(CORE, ("v1",), "Namespace", Namespace, in_spec=False, namespaced=False),
)


def _foreign(group: str, versions: tuple[str, ...], *names: str, namespaced: bool = True) -> tuple[Kind, ...]:
    return tuple(Kind(group, versions, name, Foreign, in_spec=False, namespaced=namespaced) for name in names)


FOREIGN_KINDS: tuple[Kind, ...] = (
    *_foreign(APPS, ("v1",), "Deployment", "DaemonSet", "StatefulSet", "ReplicaSet"),
    *_foreign("batch", ("v1",), "Job", "CronJob"),
    *_foreign("networking.k8s.io", ("v1",), "Ingress"),
    *_foreign("networking.k8s.io", ("v1",), "IngressClass", namespaced=False),
    *_foreign(ADMISSION, ("v1",), "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", namespaced=False),
    *_foreign("apiextensions.k8s.io", ("v1",), "CustomResourceDefinition", namespaced=False),
    *_foreign(CORE, ("v1",), "ServiceAccount", "Pod"),
    *_foreign(CORE, ("v1",), "Node", namespaced=False),
    *_foreign(NETWORKING, ("v1alpha3",), "EnvoyFilter"),
    *_foreign(EXTENSIONS, ("v1alpha1",), "WasmPlugin", "TrafficExtension"),
    *_foreign(GATEWAY_API, ("v1",), "BackendTLSPolicy", "ListenerSet"),
    *_foreign(GATEWAY_API, ("v1", "v1alpha2"), "UDPRoute"),
)
"""Kinds that are kept as they were written; any version of them is."""

NOT_YET_GROUPS: frozenset[str] = frozenset(
    {GATEWAY_API, "config.istio.io", "rbac.istio.io", "authentication.istio.io", "install.istio.io"}
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
