"""Every analysis: one visible list, and how to run it. Pure.

Run beside publishing, never before it: what is found here is worth a word and
stops nothing. To add one, write the function and a line of ``ANALYSES``, and
its codes in ``codes`` and ``advice``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import attrs

from meshd.api.document import Document
from meshd.api.problem import Level
from meshd.control.analysis.analysis import Analysis
from meshd.control.analysis.facts import Facts
from meshd.control.analysis.istio import (
    conditions,
    deployments,
    deprecation,
    destination_rules,
    envoy_filters,
    gateways,
    injection,
    known_annotations,
    kubernetes_gateways,
    multicluster,
    policies,
    port_names,
    selectors,
    service_entries,
    unreachable,
    vs_claims,
    vs_conflicts,
    vs_destinations,
    vs_gateways,
    webhooks,
)
from meshd.control.analysis.own import OWN
from meshd.control.finding import Finding

ISTIO: Final[tuple[Analysis, ...]] = (
    Analysis(
        "annotations.K8sAnalyzer",
        "Istio's annotations are known, in their place and of a value that works",
        ("IST0107", "IST0108", "IST0125", "IST0135"),
        known_annotations.misused,
    ),
    Analysis(
        "authn.BlockedCIDRsAnalyzer",
        "istiod fetches keys from no address that it should not",
        ("IST0175",),
        policies.blocked_addresses,
        offline=True,
    ),
    Analysis(
        "authz.AuthorizationPoliciesAnalyzer",
        "AuthorizationPolicies mean workloads and namespaces that are there",
        ("IST0101", "IST0127"),
        policies.authorization,
        offline=True,
    ),
    Analysis(
        "conditions.ConditionAnalyzer",
        "no controller says in an object's status that it does not work",
        ("IST0171",),
        conditions.conditions,
    ),
    Analysis(
        "deployment.ApplicationUIDAnalyzer",
        "no application runs as the sidecar's user",
        ("IST0144",),
        deployments.application_user,
    ),
    Analysis(
        "deployment.ServiceAssociationAnalyzer",
        "the Services of a Deployment agree about its ports",
        ("IST0116", "IST0137"),
        deployments.service_association,
    ),
    Analysis(
        "deprecation.FieldAnalyzer",
        "nothing is used that Istio has given up",
        ("IST0002",),
        deprecation.deprecated_fields,
    ),
    Analysis(
        "destinationrule.CaCertificateAnalyzer",
        "TLS to a server says which certificates to trust",
        ("IST0128", "IST0129"),
        destination_rules.unverified,
    ),
    Analysis(
        "destinationrule.PodNotSelectedAnalyzer",
        "hosts of DestinationRules exist and their subsets select workloads",
        ("IST0173", "IST0174"),
        destination_rules.unselected,
    ),
    Analysis(
        "envoyfilter.EnvoyPatchAnalyzer",
        "patches of EnvoyFilters are applied, whatever their order",
        ("IST0151", "IST0152", "IST0153", "IST0154", "IST0155"),
        envoy_filters.patches,
    ),
    Analysis(
        "externalcontrolplane.ExternalControlPlaneAnalyzer",
        "webhooks of a control plane elsewhere have an address",
        ("IST0163", "IST0164"),
        webhooks.external_control_plane,
    ),
    Analysis(
        "gateway.CertificateAnalyzer",
        "no two Gateways of a workload use one certificate",
        ("IST0138",),
        gateways.same_certificates,
    ),
    Analysis(
        "gateway.ConflictingGatewayAnalyzer",
        "no two Gateways of a workload claim the same hosts on one port",
        ("IST0145",),
        gateways.conflicts,
    ),
    Analysis(
        "gateway.IngressGatewayPortAnalyzer",
        "ports of Gateways are those of the Services of their workloads",
        ("IST0101", "IST0162"),
        gateways.workload_ports,
        offline=True,
    ),
    Analysis(
        "gateway.SecretAnalyzer",
        "the certificates of Gateways are there and usable",
        ("IST0101", "IST0161"),
        gateways.credentials,
        offline=True,
    ),
    Analysis(
        "injection.Analyzer",
        "namespaces say whether they are injected, and pods are",
        ("IST0102", "IST0103", "IST0123", "IST0148"),
        injection.injection,
        offline=True,
    ),
    Analysis(
        "injection.ImageAnalyzer",
        "pods run the proxy that is injected now",
        ("IST0158",),
        injection.images,
        offline=True,
    ),
    Analysis(
        "injection.ImageAutoAnalyzer",
        "an image that injection fills in is filled in",
        ("IST0146", "IST0147"),
        injection.automatic_images,
        offline=True,
    ),
    Analysis(
        "k8sgateway.CRDVersionAnalyzer",
        "definitions of the Gateway API are new enough",
        ("IST0176",),
        kubernetes_gateways.definitions,
    ),
    Analysis(
        "k8sgateway.SelectorAnalyzer",
        "policies for Gateways of the Gateway API are attached by targetRefs",
        ("IST0166",),
        kubernetes_gateways.selectors,
    ),
    Analysis(
        "multicluster.MeshNetworksAnalyzer",
        "registries in MeshNetworks are known clusters",
        ("IST0126",),
        multicluster.mesh_networks,
    ),
    Analysis(
        "schema.ValidationAnalyzer.VirtualService",
        "every rule and match of a VirtualService can be reached",
        ("IST0130", "IST0131"),
        unreachable.unreachable_rules,
    ),
    Analysis(
        "service.PortNameAnalyzer",
        "ports of Services say their protocol",
        ("IST0118", "IST0150"),
        port_names.port_names,
    ),
    Analysis(
        "serviceentry.ConflictingServiceEntryProtocolAnalyzer",
        "ServiceEntries agree about the protocol of a host's port",
        ("IST0177",),
        service_entries.protocols,
    ),
    Analysis(
        "serviceentry.ProtocolAddressesAnalyzer",
        "ServiceEntries have addresses where a proxy needs them",
        ("IST0134",),
        service_entries.addresses,
    ),
    Analysis(
        "sidecar.SelectorAnalyzer",
        "each Sidecar means a workload, no workload has two, and a namespace has one for all",
        ("IST0101", "IST0110", "IST0111", "IST0167"),
        selectors.sidecars,
    ),
    Analysis(
        "telemetry.DefaultSelectorAnalyzer",
        "a namespace has one Telemetry for all its workloads",
        ("IST0160",),
        selectors.default_telemetries,
    ),
    Analysis(
        "telemetry.LightstepAnalyzer",
        "nobody traces by Lightstep's own protocol",
        ("IST0002",),
        deprecation.lightstep,
    ),
    Analysis(
        "telemetry.ProviderAnalyzer",
        "access logs go to somebody",
        ("IST0157",),
        selectors.telemetry_providers,
    ),
    Analysis(
        "telemetry.SelectorAnalyzer",
        "each Telemetry means a workload, and no workload has two",
        ("IST0101", "IST0159"),
        selectors.telemetries,
        offline=True,
    ),
    Analysis(
        "virtualservice.ConflictingMeshGatewayHostsAnalyzer",
        "no two VirtualServices claim one host for the same sidecars",
        ("IST0109",),
        vs_conflicts.conflicting_hosts,
    ),
    Analysis(
        "virtualservice.DestinationHostAnalyzer",
        "destinations of VirtualServices exist and are unambiguous",
        ("IST0101", "IST0112", "IST0140"),
        vs_destinations.destination_hosts,
    ),
    Analysis(
        "virtualservice.DestinationRuleAnalyzer",
        "subsets that VirtualServices name are defined",
        ("IST0101",),
        vs_destinations.destination_subsets,
    ),
    Analysis(
        "virtualservice.GatewayAnalyzer",
        "gateways of VirtualServices exist and serve their hosts",
        ("IST0101", "IST0132", "IST0165"),
        vs_gateways.gateways,
    ),
    Analysis(
        "virtualservice.JWTClaimRouteAnalyzer",
        "claims that routes look at were verified",
        ("IST0149",),
        vs_claims.claim_routes,
        offline=True,
    ),
    Analysis(
        "webhook.Analyzer",
        "no two webhooks inject one pod, and each leads somewhere",
        ("IST0139",),
        webhooks.injectors,
        offline=True,
    ),
    Analysis(
        "meshd.HostWithoutGateway",
        "every host of a VirtualService is served by one of its gateways",
        ("MD0080",),
        vs_gateways.hosts_without_gateway,
    ),
)
"""Istio's analyzers, by name."""

ON_REQUEST: Final[tuple[Analysis, ...]] = (
    Analysis(
        "maturity.AlphaAnalyzer",
        "no annotation is of a feature in its alpha phase",
        ("IST0136",),
        known_annotations.alpha,
        offline=True,
    ),
)
"""Run only when they are asked for by name: they find something everywhere."""

ANALYSES: Final[tuple[Analysis, ...]] = (*ISTIO, *OWN)
"""In the order in which they run; findings are sorted afterwards."""


def run(facts: Facts, analyses: Iterable[Analysis] = ANALYSES) -> tuple[Finding, ...]:
    """Everything these analyses find, errors first, then by place.

    The same about one object several times is said once, at the first place.
    """
    places: dict[tuple[str, Level, str, str], list[Finding]] = {}
    for analysis in analyses:
        if analysis.offline and not facts.complete:
            continue
        for finding in analysis.run(facts):
            places.setdefault((finding.code, finding.level, finding.resource, finding.message), []).append(finding)
    return tuple(sorted((_once(each) for each in places.values()), key=lambda finding: finding.sort_key))


def _once(alike: list[Finding]) -> Finding:
    """Findings that differ in their place as one."""
    if len(alike) == 1:
        return alike[0]
    first, *others = sorted({finding.origin: finding for finding in alike}.values(), key=lambda each: each.origin)
    lines = [str(each.origin.line) for each in others if each.origin.line]
    if not lines:
        return first
    return attrs.evolve(
        first, message=f"{first.message} (also in line{'s' if len(lines) > 1 else ''} {', '.join(lines)})"
    )


def analyze(documents: Iterable[Document], *, known_hosts: Collection[str] = ()) -> tuple[Finding, ...]:
    """What is wrong between the documents of a running mesh.

    Args:
        documents: All that are in force.
        known_hosts: Further hosts that exist, though no document says so.
    """
    return run(Facts.of(documents, known_hosts=known_hosts, complete=False))
