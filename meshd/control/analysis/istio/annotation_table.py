"""The annotations that Istio knows: what they may stand on, and how far one may rely on them. Pure values.

Source: ``istio.io/api/annotation/annotations.yaml``.
"""

from __future__ import annotations

from typing import Final

import attrs

ANY: Final = "Any"

SUPPRESS: Final = "galley.istio.io/analyze-suppress"
"""Codes that analyses keep to themselves for this object, separated by commas; ``*`` is all of them."""

INJECT: Final = "sidecar.istio.io/inject"
"""Also a label, which is the newer form."""


@attrs.frozen
class Annotation:
    """One annotation. ``kinds``: what it may stand on."""

    name: str
    kinds: tuple[str, ...]
    alpha: bool = True
    deprecated: bool = False


_POD: Final = (
    "ambient.istio.io/bypass-inbound-capture",
    "ambient.istio.io/dns-capture",
    "inject.istio.io/templates",
    "istio.io/reroute-virtual-interfaces",
    "istio.io/rev",
    "prometheus.istio.io/merge-metrics",
    "proxy.istio.io/overrides",
    "readiness.status.sidecar.istio.io/applicationPorts",
    "readiness.status.sidecar.istio.io/failureThreshold",
    "readiness.status.sidecar.istio.io/initialDelaySeconds",
    "readiness.status.sidecar.istio.io/periodSeconds",
    "sidecar.istio.io/agentLogLevel",
    "sidecar.istio.io/bootstrapOverride",
    "sidecar.istio.io/componentLogLevel",
    "sidecar.istio.io/enableCoreDump",
    "sidecar.istio.io/interceptionMode",
    "sidecar.istio.io/logLevel",
    "sidecar.istio.io/nativeSidecar",
    "sidecar.istio.io/proxyCPU",
    "sidecar.istio.io/proxyCPULimit",
    "sidecar.istio.io/proxyImage",
    "sidecar.istio.io/proxyImageType",
    "sidecar.istio.io/proxyMemory",
    "sidecar.istio.io/proxyMemoryLimit",
    "sidecar.istio.io/rewriteAppHTTPProbers",
    "sidecar.istio.io/statsCompression",
    "sidecar.istio.io/statsHistogramBuckets",
    "sidecar.istio.io/status",
    "sidecar.istio.io/userVolume",
    "sidecar.istio.io/userVolumeMount",
    "status.sidecar.istio.io/port",
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "traffic.sidecar.istio.io/excludeInterfaces",
    "traffic.sidecar.istio.io/excludeOutboundIPRanges",
    "traffic.sidecar.istio.io/excludeOutboundPorts",
    "traffic.sidecar.istio.io/includeInboundPorts",
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
    "traffic.sidecar.istio.io/includeOutboundPorts",
    "traffic.sidecar.istio.io/kubevirtInterfaces",
)

_OTHERS: Final = (
    Annotation("alpha.istio.io/canonical-serviceaccounts", ("Service",), deprecated=True),
    Annotation("alpha.istio.io/kubernetes-serviceaccounts", ("Service",), deprecated=True),
    Annotation("ambient.istio.io/redirection", ("Pod",), alpha=False),
    Annotation("ambient.istio.io/waypoint-inbound-binding", ("GatewayClass", "Gateway")),
    Annotation(SUPPRESS, (ANY,)),
    Annotation("gateway.istio.io/controller-version", (ANY,)),
    Annotation("gateway.istio.io/name-override", ("Gateway",)),
    Annotation("gateway.istio.io/service-account", ("Gateway",)),
    Annotation("install.operator.istio.io/chart-owner", (ANY,)),
    Annotation("install.operator.istio.io/owner-generation", (ANY,)),
    Annotation("install.operator.istio.io/version", (ANY,)),
    Annotation("istio.io/autoRegistrationGroup", ("WorkloadEntry",)),
    Annotation("istio.io/connectedAt", ("WorkloadEntry",)),
    Annotation("istio.io/disconnectedAt", ("WorkloadEntry",)),
    Annotation("istio.io/dry-run", ("AuthorizationPolicy",)),
    Annotation("istio.io/workloadController", ("WorkloadEntry",)),
    Annotation("kubernetes.io/ingress.class", ("Ingress",), alpha=False),
    Annotation("networking.istio.io/address-type", ("Gateway",)),
    Annotation("networking.istio.io/exportTo", ("Service",)),
    Annotation("networking.istio.io/service-type", ("Gateway",)),
    Annotation("networking.istio.io/traffic-distribution", ("Service", "ServiceEntry")),
    Annotation("proxy.istio.io/config", ("Pod",), alpha=False),
    Annotation("sidecar.istio.io/discoveryAddress", ("Pod",), deprecated=True),
    Annotation("sidecar.istio.io/extraStatTags", ("Pod",), deprecated=True),
    Annotation(INJECT, ("Pod",), alpha=False, deprecated=True),
    Annotation("sidecar.istio.io/statsInclusionPrefixes", ("Pod",), deprecated=True),
    Annotation("sidecar.istio.io/statsInclusionRegexps", ("Pod",), deprecated=True),
    Annotation("sidecar.istio.io/statsInclusionSuffixes", ("Pod",), deprecated=True),
    Annotation("topology.istio.io/controlPlaneClusters", ("Namespace",)),
    Annotation("traffic.istio.io/nodeSelector", ("Service",), alpha=False),
)

ANNOTATIONS: Final[dict[str, Annotation]] = {
    each.name: each for each in (*(Annotation(name, ("Pod",)) for name in _POD), *_OTHERS)
}
"""By name."""


def is_istios(name: str) -> bool:
    """Whether an annotation is of Istio's making, known or not."""
    return name == "kubernetes.io/ingress.class" or name.partition("/")[0].endswith("istio.io")
