"""Kubernetes' own kinds, as far as Istio reads them. Pure values.

``Service`` holds the fields of its ``spec``; the others have no ``spec`` and
hold the fields beside ``metadata``.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from meshd.api.common import IntOrString, Labels, Map
from meshd.api.mesh.config import MeshConfig
from meshd.api.mesh.networks import MeshNetworks


@attrs.frozen
class ServicePort:
    """``targetPort`` is a number, a name, or None for ``port``."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    appProtocol: str = ""
    targetPort: IntOrString | None = None

    IRRELEVANT: ClassVar[frozenset[str]] = frozenset({"nodePort"})


@attrs.frozen
class Service:
    """``spec`` of a Service. ``clusterIP: None`` is headless; ``type`` ExternalName is an alias."""

    ports: tuple[ServicePort, ...] = ()
    selector: Labels = Map()
    clusterIP: str = ""
    clusterIPs: tuple[str, ...] = ()
    type: str = "ClusterIP"
    externalName: str = ""
    publishNotReadyAddresses: bool = False
    internalTrafficPolicy: str = ""
    trafficDistribution: str = ""

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"trafficDistribution"})
    IRRELEVANT: ClassVar[frozenset[str]] = frozenset(
        {
            "allocateLoadBalancerNodePorts",
            "externalIPs",
            "externalTrafficPolicy",
            "healthCheckNodePort",
            "ipFamilies",
            "ipFamily",
            "ipFamilyPolicy",
            "loadBalancerClass",
            "loadBalancerIP",
            "loadBalancerSourceRanges",
            "sessionAffinity",
            "sessionAffinityConfig",
            "topologyKeys",
        }
    )


@attrs.frozen
class ObjectReference:
    """Which object an address belongs to."""

    kind: str = ""
    namespace: str = ""
    name: str = ""

    IRRELEVANT: ClassVar[frozenset[str]] = frozenset({"apiVersion", "fieldPath", "resourceVersion", "uid"})


@attrs.frozen
class EndpointAddress:
    """One address of an ``EndpointSubset``."""

    ip: str
    targetRef: ObjectReference | None = None

    IRRELEVANT: ClassVar[frozenset[str]] = frozenset({"hostname", "nodeName"})


@attrs.frozen
class EndpointPort:
    """A port of an ``EndpointSubset`` or ``EndpointSlice``; its name joins it to the Service's port."""

    port: int = 0
    name: str = ""
    protocol: str = "TCP"
    appProtocol: str = ""


@attrs.frozen
class EndpointSubset:
    """Every address with every port."""

    addresses: tuple[EndpointAddress, ...] = ()
    notReadyAddresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


@attrs.frozen
class Endpoints:
    """The endpoints of the Service with the same name."""

    subsets: tuple[EndpointSubset, ...] = ()


@attrs.frozen
class EndpointConditions:
    """Absent means unknown, which counts as ready."""

    ready: bool | None = None

    IRRELEVANT: ClassVar[frozenset[str]] = frozenset({"serving", "terminating"})
    """An endpoint that is terminating is not ready."""


@attrs.frozen
class Endpoint:
    """One backend of an EndpointSlice; all its addresses are the same backend."""

    addresses: tuple[str, ...]
    conditions: EndpointConditions | None = None
    targetRef: ObjectReference | None = None
    zone: str = ""

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"zone"})
    IRRELEVANT: ClassVar[frozenset[str]] = frozenset({"deprecatedTopology", "hints", "hostname", "nodeName"})


@attrs.frozen
class EndpointSlice:
    """Some endpoints of the Service named by the label ``kubernetes.io/service-name``."""

    addressType: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


@attrs.frozen
class Secret:
    """Keys and certificates for gateways. Never printed: ``data`` (base64) and ``stringData`` have no repr."""

    type: str = ""
    data: Labels = attrs.field(default=Map(), repr=False)
    stringData: Labels = attrs.field(default=Map(), repr=False)

    IRRELEVANT: ClassVar[frozenset[str]] = frozenset({"immutable"})


@attrs.frozen
class ConfigMap:
    """Text by name. ``mesh`` and ``meshNetworks`` are what the texts of those names say (``meshd.api.mesh.read``)."""

    data: Labels = Map()
    mesh: MeshConfig | None = attrs.field(default=None, metadata={"derived": True})
    meshNetworks: MeshNetworks | None = attrs.field(default=None, metadata={"derived": True})

    IRRELEVANT: ClassVar[frozenset[str]] = frozenset({"binaryData", "immutable"})


@attrs.frozen
class Namespace:
    """Only its metadata speaks."""

    IRRELEVANT: ClassVar[frozenset[str]] = frozenset({"finalizers", "spec"})
