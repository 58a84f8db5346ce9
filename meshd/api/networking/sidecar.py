"""``networking.istio.io`` Sidecar: what one proxy takes and what it sees. Pure values.

Source: Istio's ``networking/v1alpha3/sidecar.proto``.
"""

from __future__ import annotations

from enum import StrEnum

import attrs

from meshd.api.common import LabelsSelector, UInt32
from meshd.api.networking.destination_rule import ConnectionPoolSettings
from meshd.api.networking.gateway import ServerTLSSettings
from meshd.api.networking.virtual_service import Destination


class CaptureMode(StrEnum):
    """How traffic comes to a listener. NONE: the application speaks to it; the others: it is captured."""

    DEFAULT = "DEFAULT"
    IPTABLES = "IPTABLES"
    NONE = "NONE"


@attrs.frozen
class SidecarPort:
    """A listener's port. ``targetPort`` is old and read by nobody."""

    number: UInt32 = 0
    protocol: str = ""
    name: str = ""
    targetPort: UInt32 = 0


@attrs.frozen
class IstioIngressListener:
    """A port that the proxy takes for its application, which is at ``defaultEndpoint``."""

    port: SidecarPort
    bind: str = ""
    captureMode: CaptureMode = CaptureMode.DEFAULT
    defaultEndpoint: str = ""
    tls: ServerTLSSettings | None = None
    connectionPool: ConnectionPoolSettings | None = None


@attrs.frozen
class IstioEgressListener:
    """``hosts`` are ``namespace/host``; without a ``port`` it is for every port that no other listener names."""

    hosts: tuple[str, ...]
    port: SidecarPort | None = None
    bind: str = ""
    captureMode: CaptureMode = CaptureMode.DEFAULT


class OutboundTrafficPolicyMode(StrEnum):
    """``OutboundTrafficPolicy.Mode``. Its zero value is REGISTRY_ONLY."""

    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"


@attrs.frozen
class OutboundTrafficPolicy:
    """What becomes of a call to a host nobody knows."""

    mode: OutboundTrafficPolicyMode = OutboundTrafficPolicyMode.REGISTRY_ONLY
    egressProxy: Destination | None = None


@attrs.frozen
class Sidecar:
    """No ``ingress``: every port of the workload; no ``egress``: everything that is visible."""

    workloadSelector: LabelsSelector | None = None
    ingress: tuple[IstioIngressListener, ...] = ()
    egress: tuple[IstioEgressListener, ...] = ()
    inboundConnectionPool: ConnectionPoolSettings | None = None
    outboundTrafficPolicy: OutboundTrafficPolicy | None = None
