"""Analyses that Istio does not have: one visible list. Pure."""

from __future__ import annotations

from typing import Final

from meshd.control.analysis.analysis import Analysis
from meshd.control.analysis.own import (
    credentials,
    delegates,
    entry_overlaps,
    gateway_bindings,
    gateway_merging,
    gateway_routes,
    mtls_conflicts,
    policy_reach,
    policy_scopes,
    policy_values,
    route_headers,
    route_paths,
    route_shares,
    route_times,
    rules_together,
    service_ports,
    shadowed,
    visibility,
)

OWN: Final[tuple[Analysis, ...]] = (
    Analysis(
        "meshd.Shadowed",
        "no rule or match of a VirtualService is taken whole by an earlier one",
        ("MD0010", "MD0011"),
        shadowed.shadowed_rules,
    ),
    Analysis(
        "meshd.RoutePaths",
        "prefixes, rewrites and regular expressions mean what they seem to",
        ("MD0012", "MD0013", "MD0014", "MD0015", "MD0016", "MD0017"),
        route_paths.route_paths,
    ),
    Analysis(
        "meshd.RouteTimes",
        "timeouts, retries and faults of a route do not get in each other's way",
        ("MD0018", "MD0019", "MD0020", "MD0021", "MD0022"),
        route_times.route_times,
    ),
    Analysis(
        "meshd.RouteShares",
        "weights and mirrors do what their numbers say",
        ("MD0023", "MD0024", "MD0025"),
        route_shares.route_shares,
    ),
    Analysis(
        "meshd.RouteHeaders",
        "header edits have an effect, hosts are rewritten where they must be, CORS lets in who is meant",
        (
            "MD0026",
            "MD0027",
            "MD0028",
        ),
        route_headers.route_headers,
    ),
    Analysis(
        "meshd.Delegates",
        "delegates exist, can be used, fit and are used",
        (
            "MD0029",
            "MD0030",
            "MD0031",
            "MD0032",
        ),
        delegates.delegates,
    ),
    Analysis(
        "meshd.DestinationRulesTogether",
        "no DestinationRule of a host hides another",
        ("MD0034",),
        rules_together.rules_together,
    ),
    Analysis(
        "meshd.UnusedSubsets",
        "every subset has a route",
        ("MD0033",),
        rules_together.unused_subsets,
        offline=True,
    ),
    Analysis(
        "meshd.UnseenSubsets",
        "callers see the DestinationRule that defines a subset",
        ("MD0047",),
        rules_together.unseen_subsets,
    ),
    Analysis(
        "meshd.UnseenHosts",
        "callers see the hosts that they are sent to",
        ("MD0046",),
        visibility.unseen_hosts,
    ),
    Analysis(
        "meshd.Wildcards",
        "wildcard hosts take no services over unawares",
        ("MD0048",),
        visibility.wildcards,
    ),
    Analysis(
        "meshd.Endpoints",
        "services that routes lead to have workloads",
        ("MD0037",),
        visibility.without_endpoints,
        offline=True,
    ),
    Analysis(
        "meshd.ServiceEntries",
        "no host is declared twice, or short",
        (
            "MD0038",
            "MD0039",
        ),
        entry_overlaps.overlaps,
    ),
    Analysis(
        "meshd.SharedAddresses",
        "no two hosts share an address and a TCP port",
        ("MD0040",),
        entry_overlaps.shared_addresses,
    ),
    Analysis(
        "meshd.GatewayHosts",
        "every host of a gateway has routes",
        ("MD0041",),
        gateway_bindings.hosts_without_routes,
    ),
    Analysis(
        "meshd.GatewayBindings",
        "gateways do more than redirect, and speak the protocol of the rules bound to them",
        ("MD0042", "MD0043"),
        gateway_bindings.bindings,
    ),
    Analysis(
        "meshd.GatewayMerging",
        "VirtualServices of one host at one gateway leave each other's rules alone",
        ("MD0044",),
        gateway_merging.shadowed_at_gateways,
    ),
    Analysis(
        "meshd.Credentials",
        "certificates are used",
        ("MD0045",),
        credentials.credentials,
        offline=True,
    ),
    Analysis(
        "meshd.Selectors",
        "selectors match workloads",
        (
            "MD0049",
            "MD0050",
        ),
        policy_scopes.selectors,
        offline=True,
    ),
    Analysis(
        "meshd.OlderPolicies",
        "one PeerAuthentication for each scope",
        ("MD0051",),
        policy_scopes.older_ones,
    ),
    Analysis(
        "meshd.Authorizers",
        "one external authorizer for each workload",
        ("MD0060",),
        policy_scopes.authorizers,
    ),
    Analysis(
        "meshd.Identities",
        "rules about identities are for ports with mTLS",
        ("MD0052",),
        policy_reach.identities,
    ),
    Analysis(
        "meshd.RequestsOnTcp",
        "rules about requests are for ports with requests",
        ("MD0053",),
        policy_reach.requests_on_tcp,
    ),
    Analysis(
        "meshd.PolicyPorts",
        "policies name the ports of workloads",
        ("MD0057",),
        policy_reach.service_ports,
    ),
    Analysis(
        "meshd.PolicyValues",
        "values of policies match something and are not got around",
        (
            "MD0054",
            "MD0055",
            "MD0056",
        ),
        policy_values.policy_values,
    ),
    Analysis(
        "meshd.TlsConflicts",
        "both sides of a call speak the same TLS",
        ("MD0036",),
        mtls_conflicts.tls_conflicts,
    ),
    Analysis(
        "meshd.ApplicationTls",
        "policies can look into what they guard",
        ("MD0059",),
        mtls_conflicts.application_tls,
    ),
    Analysis(
        "meshd.ServerFirst",
        "no port is sniffed where the server speaks first",
        ("MD0058",),
        service_ports.server_first,
    ),
    Analysis(
        "meshd.GatewayRoutes",
        "routes of the Gateway API are attached and lead somewhere",
        ("MD0062", "MD0063"),
        gateway_routes.routes,
    ),
    Analysis(
        "meshd.GatewayListeners",
        "listeners of the Gateway API are served",
        ("MD0064", "MD0065"),
        gateway_routes.listeners,
    ),
)
