"""Every code a finding can have. Pure values.

``IST....`` are Istio's, with Istio's name, level and meaning; ``MD....`` are
meshd's own. A code is never used for something else, and a retired one is
never used again. What each means and how to mend it: ``advice``.
"""

from __future__ import annotations

from typing import Final

import attrs

from meshd.api.problem import Level

ISTIO_DOCUMENTATION: Final = "https://istio.io/latest/docs/reference/config/analysis/"
OWN_DOCUMENTATION: Final = "docs/reference/analysis.md"
"""The page of meshd's own codes, in the project and beside the program."""


@attrs.frozen
class Code:
    """One kind of finding. ``level`` is its usual one."""

    code: str
    name: str
    level: Level

    @property
    def documentation_url(self) -> str:
        """Where it is explained."""
        if self.code.startswith("IST"):
            return f"{ISTIO_DOCUMENTATION}{self.code.lower()}/"
        return f"{OWN_DOCUMENTATION}#{self.code.lower()}"


CODES: Final[dict[str, Code]] = {
    each.code: each
    for each in (
        Code("IST0001", "InternalError", Level.ERROR),
        Code("IST0002", "Deprecated", Level.WARNING),
        Code("IST0101", "ReferencedResourceNotFound", Level.ERROR),
        Code("IST0102", "NamespaceNotInjected", Level.INFO),
        Code("IST0103", "PodMissingProxy", Level.WARNING),
        Code("IST0106", "SchemaValidationError", Level.ERROR),
        Code("IST0107", "MisplacedAnnotation", Level.WARNING),
        Code("IST0108", "UnknownAnnotation", Level.WARNING),
        Code("IST0109", "ConflictingMeshGatewayVirtualServiceHosts", Level.ERROR),
        Code("IST0110", "ConflictingSidecarWorkloadSelectors", Level.ERROR),
        Code("IST0111", "MultipleSidecarsWithoutWorkloadSelectors", Level.ERROR),
        Code("IST0112", "VirtualServiceDestinationPortSelectorRequired", Level.ERROR),
        Code("IST0116", "DeploymentAssociatedToMultipleServices", Level.WARNING),
        Code("IST0118", "PortNameIsNotUnderNamingConvention", Level.INFO),
        Code("IST0123", "NamespaceMultipleInjectionLabels", Level.WARNING),
        Code("IST0125", "InvalidAnnotation", Level.WARNING),
        Code("IST0126", "UnknownMeshNetworksServiceRegistry", Level.ERROR),
        Code("IST0127", "NoMatchingWorkloadsFound", Level.WARNING),
        Code("IST0128", "NoServerCertificateVerificationDestinationLevel", Level.WARNING),
        Code("IST0129", "NoServerCertificateVerificationPortLevel", Level.WARNING),
        Code("IST0130", "VirtualServiceUnreachableRule", Level.WARNING),
        Code("IST0131", "VirtualServiceIneffectiveMatch", Level.INFO),
        Code("IST0132", "VirtualServiceHostNotFoundInGateway", Level.WARNING),
        Code("IST0133", "SchemaWarning", Level.WARNING),
        Code("IST0134", "ServiceEntryAddressesRequired", Level.WARNING),
        Code("IST0135", "DeprecatedAnnotation", Level.INFO),
        Code("IST0136", "AlphaAnnotation", Level.INFO),
        Code("IST0137", "DeploymentConflictingPorts", Level.WARNING),
        Code("IST0138", "GatewayDuplicateCertificate", Level.WARNING),
        Code("IST0139", "InvalidWebhook", Level.ERROR),
        Code("IST0140", "IngressRouteRulesNotAffected", Level.WARNING),
        Code("IST0141", "InsufficientPermissions", Level.ERROR),
        Code("IST0142", "UnsupportedKubernetesVersion", Level.ERROR),
        Code("IST0143", "LocalhostListener", Level.ERROR),
        Code("IST0144", "InvalidApplicationUID", Level.WARNING),
        Code("IST0145", "ConflictingGateways", Level.ERROR),
        Code("IST0146", "ImageAutoWithoutInjectionWarning", Level.WARNING),
        Code("IST0147", "ImageAutoWithoutInjectionError", Level.ERROR),
        Code("IST0148", "NamespaceInjectionEnabledByDefault", Level.INFO),
        Code("IST0149", "JwtClaimBasedRoutingWithoutRequestAuthN", Level.ERROR),
        Code("IST0150", "ExternalNameServiceTypeInvalidPortName", Level.WARNING),
        Code("IST0151", "EnvoyFilterUsesRelativeOperation", Level.WARNING),
        Code("IST0152", "EnvoyFilterUsesReplaceOperationIncorrectly", Level.ERROR),
        Code("IST0153", "EnvoyFilterUsesAddOperationIncorrectly", Level.ERROR),
        Code("IST0154", "EnvoyFilterUsesRemoveOperationIncorrectly", Level.ERROR),
        Code("IST0155", "EnvoyFilterUsesRelativeOperationWithProxyVersion", Level.WARNING),
        Code("IST0156", "UnsupportedGatewayAPIVersion", Level.ERROR),
        Code("IST0157", "InvalidTelemetryProvider", Level.WARNING),
        Code("IST0158", "PodsIstioProxyImageMismatchInNamespace", Level.WARNING),
        Code("IST0159", "ConflictingTelemetryWorkloadSelectors", Level.ERROR),
        Code("IST0160", "MultipleTelemetriesWithoutWorkloadSelectors", Level.ERROR),
        Code("IST0161", "InvalidGatewayCredential", Level.ERROR),
        Code("IST0162", "GatewayPortNotDefinedOnService", Level.WARNING),
        Code("IST0163", "InvalidExternalControlPlaneConfig", Level.WARNING),
        Code("IST0164", "ExternalControlPlaneAddressIsNotAHostname", Level.INFO),
        Code("IST0165", "ReferencedInternalGateway", Level.WARNING),
        Code("IST0166", "IneffectiveSelector", Level.WARNING),
        Code("IST0167", "IneffectivePolicy", Level.WARNING),
        Code("IST0168", "UnknownUpgradeCompatibility", Level.WARNING),
        Code("IST0169", "UpdateIncompatibility", Level.WARNING),
        Code("IST0170", "MultiClusterInconsistentService", Level.WARNING),
        Code("IST0171", "NegativeConditionStatus", Level.WARNING),
        Code("IST0172", "FutureUnsupportedGatewayAPIVersion", Level.WARNING),
        Code("IST0173", "DestinationRuleSubsetNotSelectPods", Level.ERROR),
        Code("IST0174", "UnknownDestinationRuleHost", Level.WARNING),
        Code("IST0175", "JwksUriFetchUnrestricted", Level.WARNING),
        Code("IST0176", "GatewayAPICRDVersionBelowMinimum", Level.WARNING),
        Code("IST0177", "ConflictingServiceEntryProtocol", Level.WARNING),
        Code("MD0001", "SyntaxError", Level.ERROR),
        Code("MD0002", "FieldNotSupported", Level.WARNING),
        Code("MD0003", "KindNotSupported", Level.WARNING),
        Code("MD0004", "KindOfNoConcern", Level.INFO),
        Code("MD0005", "FieldWithoutEffect", Level.INFO),
        Code("MD0006", "DefinedTwice", Level.WARNING),
        Code("MD0007", "CannotBeRead", Level.ERROR),
        Code("MD0008", "LastGoodInForce", Level.INFO),
        Code("MD0010", "ShadowedRule", Level.WARNING),
        Code("MD0011", "ShadowedMatch", Level.INFO),
        Code("MD0012", "PrefixWithinWord", Level.INFO),
        Code("MD0013", "RewriteJoinsBadly", Level.WARNING),
        Code("MD0014", "NeverMatches", Level.WARNING),
        Code("MD0015", "RegexMisunderstood", Level.WARNING),
        Code("MD0016", "RegexNotNeeded", Level.INFO),
        Code("MD0017", "RegexLarge", Level.INFO),
        Code("MD0018", "RetriesOutlastTimeout", Level.WARNING),
        Code("MD0019", "UnsafeRetries", Level.WARNING),
        Code("MD0020", "FaultForEveryone", Level.WARNING),
        Code("MD0021", "FaultDisablesTimeouts", Level.WARNING),
        Code("MD0022", "ConnectingOutlastsTimeout", Level.INFO),
        Code("MD0023", "WeightsAreNoPercentages", Level.WARNING),
        Code("MD0024", "WeightWithoutEffect", Level.WARNING),
        Code("MD0025", "MirrorWithoutEffect", Level.WARNING),
        Code("MD0026", "HeaderEditWithoutEffect", Level.WARNING),
        Code("MD0027", "HostKept", Level.INFO),
        Code("MD0028", "CorsTooOpen", Level.WARNING),
        Code("MD0029", "DelegateNotFound", Level.ERROR),
        Code("MD0030", "DelegateUnusable", Level.ERROR),
        Code("MD0031", "DelegateRuleContradicts", Level.WARNING),
        Code("MD0032", "DelegateUnused", Level.WARNING),
        Code("MD0033", "SubsetUnused", Level.INFO),
        Code("MD0034", "DestinationRulesMerged", Level.WARNING),
        Code("MD0036", "TlsModesConflict", Level.WARNING),
        Code("MD0037", "ServiceWithoutEndpoints", Level.WARNING),
        Code("MD0038", "ServiceEntriesOverlap", Level.WARNING),
        Code("MD0039", "ServiceEntryShortHost", Level.WARNING),
        Code("MD0040", "AddressShared", Level.WARNING),
        Code("MD0041", "GatewayHostWithoutRoutes", Level.INFO),
        Code("MD0042", "GatewayOnlyRedirects", Level.WARNING),
        Code("MD0043", "RulesOfWrongProtocol", Level.WARNING),
        Code("MD0044", "RuleShadowedAtGateway", Level.WARNING),
        Code("MD0045", "CredentialUnused", Level.INFO),
        Code("MD0046", "HostNotVisible", Level.WARNING),
        Code("MD0047", "SubsetNotVisible", Level.WARNING),
        Code("MD0048", "WildcardTakesServices", Level.INFO),
        Code("MD0049", "SelectorMatchesNothing", Level.WARNING),
        Code("MD0050", "SelectorInRootNamespace", Level.WARNING),
        Code("MD0051", "PolicyBehindOlder", Level.WARNING),
        Code("MD0052", "IdentityWithoutMutualTls", Level.WARNING),
        Code("MD0053", "RequestsOnTcpPort", Level.WARNING),
        Code("MD0054", "PolicyNeverMatches", Level.WARNING),
        Code("MD0055", "PathSlipsThrough", Level.WARNING),
        Code("MD0056", "HostWithoutPort", Level.WARNING),
        Code("MD0057", "ServicePortInPolicy", Level.WARNING),
        Code("MD0058", "ServerFirstPortSniffed", Level.WARNING),
        Code("MD0059", "ApplicationTlsOnPermissivePort", Level.INFO),
        Code("MD0060", "SeveralAuthorizers", Level.WARNING),
        Code("MD0062", "RouteNotAttached", Level.WARNING),
        Code("MD0063", "BackendNotReachable", Level.WARNING),
        Code("MD0064", "ListenerNotServed", Level.WARNING),
        Code("MD0065", "GatewayOfAnother", Level.INFO),
        Code("MD0080", "HostWithoutGateway", Level.WARNING),
        Code("MD0081", "PortOfTheProxy", Level.WARNING),
    )
}
"""Every code that is in use, by code."""
