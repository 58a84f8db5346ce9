"""What Istio's codes mean and how to mend what they say, in our words. Pure values."""

from __future__ import annotations

from typing import Final

from meshd.control.analysis.advice_form import Advice

_CLUSTER: Final = "It is about an installation in a cluster, which no file describes."
_RELEASES: Final = "It compares releases of Istio's control plane."

ADVICE: Final[dict[str, Advice]] = {
    "IST0001": Advice(
        "The analysis itself failed.",
        "Report it with the documents that led to it.",
        "A failure of meshd's own ends the command.",
    ),
    "IST0002": Advice(
        "A field or kind is used that Istio has given up.",
        "Use what the message names instead.",
    ),
    "IST0101": Advice(
        "A host, subset, port, gateway, selector, Secret or namespace is named that does not exist.",
        "Correct the name, write what is missing, or hand in the files that hold it.",
    ),
    "IST0102": Advice(
        "A namespace says nothing about the injection of sidecars.",
        "Label it istio-injection=enabled, or disabled to say that this is meant.",
    ),
    "IST0103": Advice(
        "A pod runs without a sidecar in a namespace that asks for one.",
        "Delete the pod: the new one is injected.",
    ),
    "IST0106": Advice(
        "A document breaks a rule of its kind: it is refused, and the last good form stays in force.",
        "Mend the field that the message names.",
    ),
    "IST0107": Advice(
        "An annotation of Istio stands on a kind on which nobody reads it.",
        "Move it to the kind that the message names; for pods of a Deployment, to spec.template.metadata.",
    ),
    "IST0108": Advice(
        "An annotation looks like Istio's and is none that Istio knows.",
        "Correct its name or remove it.",
    ),
    "IST0109": Advice(
        "Several VirtualServices claim one host for the same sidecars, which heed only the oldest.",
        "Merge them into one, or keep them apart with exportTo or gateways.",
    ),
    "IST0110": Advice(
        "Several Sidecars mean one workload, which can have only one.",
        "Let the selectors of these Sidecars exclude each other, or merge them.",
    ),
    "IST0111": Advice(
        "A namespace has several Sidecars for all its workloads.",
        "Keep one; give the others a workloadSelector.",
    ),
    "IST0112": Advice(
        "A route leads to a service with several ports and names none.",
        "Set destination.port.number.",
    ),
    "IST0116": Advice(
        "Services in front of one Deployment use a port number with different protocols.",
        "Give the port one protocol, or different numbers.",
    ),
    "IST0118": Advice(
        "A Service's port does not say what it speaks, so every connection to it is sniffed.",
        "Name the port PROTOCOL or PROTOCOL-SUFFIX (http, http2, grpc, tls, tcp ...), or set appProtocol.",
    ),
    "IST0123": Advice(
        "A namespace has several labels that decide about injection.",
        "Keep one of istio-injection, istio.io/rev and istio.io/dataplane-mode.",
    ),
    "IST0125": Advice(
        "An annotation has a value that cannot be.",
        "Write a value of the form that the message names.",
    ),
    "IST0126": Advice(
        "MeshNetworks names a registry that is no known cluster.",
        "Correct fromRegistry, or add the Secret of that cluster.",
    ),
    "IST0127": Advice(
        "An AuthorizationPolicy means no workload that is known.",
        "Correct its selector or namespace, or hand in the files that hold the workloads.",
    ),
    "IST0128": Advice(
        "A DestinationRule asks for TLS and does not say whose certificates to believe.",
        "Set caCertificates (and subjectAltNames).",
    ),
    "IST0129": Advice(
        "A DestinationRule asks for TLS on one port and does not say whose certificates to believe.",
        "Set caCertificates (and subjectAltNames) in these portLevelSettings.",
    ),
    "IST0130": Advice(
        "A rule of a VirtualService comes after others that take everything it could match.",
        "Move it up, or remove it.",
    ),
    "IST0131": Advice(
        "A match of a VirtualService is in an earlier rule too, or within one of its prefixes.",
        "Put the longer prefix first, or remove the match.",
    ),
    "IST0132": Advice(
        "A VirtualService is bound to a Gateway that serves none of its hosts.",
        "Let a server of the Gateway have the host, or correct either.",
    ),
    "IST0133": Advice(
        "A document is valid, and does not do what its author may think: the message says what it does.",
    ),
    "IST0134": Advice(
        "A ServiceEntry has a TCP port and no addresses: nothing tells its traffic from other traffic on that port.",
        "Set addresses, or let addresses be allocated.",
    ),
    "IST0135": Advice(
        "An annotation is deprecated.",
        "Use what has taken its place.",
    ),
    "IST0136": Advice(
        "An annotation belongs to a feature in its alpha phase. Found only on request (--analyzer).",
        "Do not rely on it.",
    ),
    "IST0137": Advice(
        "Services lead to one port of a Deployment from different ports of their own.",
        "Use one port number in all of them.",
    ),
    "IST0138": Advice(
        "Two Gateways of a workload use one certificate: a client may send requests for one over its connection to the other.",
        "Put their servers into one Gateway, or use certificates of their own.",
    ),
    "IST0139": Advice(
        "A webhook of Istio selects the pods of another, or its service does not exist.",
        "Correct its selectors or its service; remove webhooks of revisions that are gone.",
    ),
    "IST0140": Advice(
        "A VirtualService bound to a gateway routes to a host without a subset, though another one, which holds for "
        "sidecars only, splits that host by subsets.",
        "Name the subsets in the VirtualService of the gateway too.",
    ),
    "IST0141": Advice("Whoever installs lacks a permission.", why_not=_CLUSTER),
    "IST0142": Advice("The cluster's release of Kubernetes is too old.", why_not=_CLUSTER),
    "IST0143": Advice(
        "An application listens on localhost only, on a port that a Service exposes.",
        "Let it listen on all addresses.",
        "What a process listens on stands in no file.",
    ),
    "IST0144": Advice(
        "An application runs as user 1337, which is the sidecar's: its traffic is not captured.",
        "Set another runAsUser.",
    ),
    "IST0145": Advice(
        "Gateways of one workload claim the same hosts on the same port: only one of them is heeded.",
        "Merge their servers, or give them hosts or ports of their own.",
    ),
    "IST0146": Advice(
        "A Deployment leaves its image to injection, and no webhook of Istio selects its pods.",
        "Label its namespace or its pods for injection.",
    ),
    "IST0147": Advice(
        "A pod still has the image that injection should have filled in.",
        "Let the webhook work, then create the pod anew.",
    ),
    "IST0148": Advice(
        "A namespace is injected though it does not say so, by a setting of the installation.",
        "Label it istio-injection=disabled if that is not meant.",
    ),
    "IST0149": Advice(
        "A route looks at claims of a token, and nobody verifies tokens at that gateway.",
        "Write a RequestAuthentication for the gateway's workload.",
    ),
    "IST0150": Advice(
        "A port of an ExternalName Service is named tcp, or says no protocol.",
        "Name it by the protocol, as in http or tls.",
    ),
    "IST0151": Advice(
        "A patch of an EnvoyFilter is relative to others, and nothing says in which order they come.",
        "Set priority, or use INSERT_FIRST or ADD.",
    ),
    "IST0152": Advice("An EnvoyFilter replaces what cannot be replaced.", "Use MERGE, or REMOVE and ADD."),
    "IST0153": Advice("An EnvoyFilter adds what cannot be added: the patch is ignored.", "Use MERGE."),
    "IST0154": Advice("An EnvoyFilter removes what cannot be removed: the patch is ignored.", "Change it with MERGE."),
    "IST0155": Advice(
        "A relative patch without a priority changes a filter that another changes for some proxy versions.",
        "Set priority, or use INSERT_FIRST or ADD.",
    ),
    "IST0156": Advice("The Gateway API of a cluster is too old.", why_not=_CLUSTER),
    "IST0157": Advice(
        "A Telemetry asks for access logs, and neither it nor the mesh names a provider.",
        "Set providers, or defaultProviders.accessLogging in MeshConfig.",
    ),
    "IST0158": Advice(
        "Pods run another proxy image than injection would give them now.",
        "Create them anew.",
    ),
    "IST0159": Advice(
        "Several Telemetries mean one workload, which can have only one.",
        "Let their selectors exclude each other, or merge them.",
    ),
    "IST0160": Advice(
        "A namespace has several Telemetries for all its workloads.",
        "Merge them, or give all but one a selector.",
    ),
    "IST0161": Advice(
        "A Gateway's Secret holds no certificate and key that can be used.",
        "Put a valid chain into tls.crt and its key into tls.key.",
    ),
    "IST0162": Advice(
        "A Gateway listens on a port that no Service of its workload leads to.",
        "Add the port to the Service, or correct the Gateway's.",
    ),
    "IST0163": Advice(
        "A webhook of a control plane elsewhere has no address, or one that names no host.",
        "Correct clientConfig.url.",
    ),
    "IST0164": Advice(
        "A webhook of a control plane elsewhere has an IP address for a name.",
        "Give the control plane a name.",
    ),
    "IST0165": Advice(
        "A VirtualService names a Gateway that Istio made of one of the Gateway API.",
        "Attach an HTTPRoute to that Gateway instead.",
    ),
    "IST0166": Advice(
        "A policy means the pods of a Gateway of the Gateway API by their labels, which has no effect.",
        "Use targetRefs.",
    ),
    "IST0167": Advice(
        "A Sidecar is for workloads that take part without sidecars.",
        "Remove it, or take the workloads out of ambient mode.",
    ),
    "IST0168": Advice("A setting changed between releases.", why_not=_RELEASES),
    "IST0169": Advice("A setting is not what it was in an earlier release.", why_not=_RELEASES),
    "IST0170": Advice(
        "A Service is not the same in all clusters.",
        "Let its ports and type be the same everywhere.",
        "Documents do not say which cluster they are from.",
    ),
    "IST0171": Advice(
        "A controller says in an object's status that it does not work.",
        "See the reason in the message.",
    ),
    "IST0172": Advice("The Gateway API of a cluster will soon be too old.", why_not=_CLUSTER),
    "IST0173": Advice(
        "A subset of a DestinationRule selects no workload: requests for it get 503.",
        "Correct its labels, deploy that version, or remove the subset.",
    ),
    "IST0174": Advice(
        "A DestinationRule is for a host that no service has.",
        "Correct the host; a short name is a service of the rule's own namespace.",
    ),
    "IST0175": Advice(
        "istiod fetches keys from wherever RequestAuthentications say, be it inside the network.",
        "Set BLOCKED_CIDRS_IN_JWKS_URIS in its environment.",
    ),
    "IST0176": Advice(
        "A definition of the Gateway API is of a release that Istio does not read.",
        "Install a newer release of the Gateway API's definitions.",
    ),
    "IST0177": Advice(
        "ServiceEntries give one host's port different protocols.",
        "Agree on one protocol, or keep them apart with exportTo.",
    ),
}
