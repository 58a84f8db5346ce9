"""What meshd's own analyses mean and how to mend what they say. Pure values."""

from __future__ import annotations

from typing import Final

from meshd.control.analysis.advice_form import Advice

ADVICE: Final[dict[str, Advice]] = {
    "MD0010": Advice(
        "No request reaches a rule, because an earlier one takes everything it would take.",
        "Put the narrower rule first; the first rule that matches is used, in the order of the file.",
    ),
    "MD0011": Advice(
        "One match of a rule adds nothing, because an earlier match takes everything it would take.",
        "Remove it, or put its rule before the other.",
    ),
    "MD0012": Advice(
        "A prefix such as /api also takes /apix: prefixes are compared letter by letter and do not end at a slash.",
        "Match exact /api and prefix /api/ instead.",
    ),
    "MD0013": Advice(
        "A prefix is replaced by one that does not end alike, so that paths get two slashes or lose theirs.",
        "Let both end with a slash, or neither; match the exact path apart where it is needed.",
    ),
    "MD0014": Advice(
        "A path in a match is one that no request has: it has no slash at its beginning, or holds a query.",
        "Write the path from its first slash to before the question mark; match queries with queryParams.",
    ),
    "MD0015": Advice(
        "A regular expression is written as for a search, and must match the whole text; or a dot in a host "
        "means any character.",
        'Add ".*" where something may come before or after, and write "\\." for a dot.',
    ),
    "MD0016": Advice(
        "A regular expression compares as exact or prefix would.",
        "Use exact or prefix: they cost less and cannot be misread.",
    ),
    "MD0017": Advice(
        "A regular expression becomes a very large program, which every request that comes so far has to pass.",
        "Use smaller repetitions, or several prefixes.",
    ),
    "MD0018": Advice(
        "The tries of a route do not fit into its timeout: a server that hangs leaves no time for another.",
        "Make timeout longer than perTryTimeout times one more than attempts, or lower one of these.",
    ),
    "MD0019": Advice(
        "POST or PATCH requests are sent again after failures in which the server may have done its work.",
        "Retry such requests on connect-failure and refused-stream only, or not at all.",
    ),
    "MD0020": Advice(
        "A fault is injected into every request of a rule that is for everybody.",
        "Lower the percentage, or match a header that only tests send.",
    ),
    "MD0021": Advice(
        "A rule with a fault ignores its timeout and retries, as long as the fault is there.",
        "Put the fault into a rule of its own, with a match for the requests that are meant.",
    ),
    "MD0022": Advice(
        "Connecting to a server may take longer than the whole request: nothing is left to try another.",
        "Set a connectTimeout in the DestinationRule that is well below the route's timeout.",
    ),
    "MD0023": Advice(
        "Weights look like percentages and do not add up to 100: the shares are other than written.",
        "Mend the numbers; they are shares of their sum.",
    ),
    "MD0024": Advice(
        "The only destination of a route has a weight, which means nothing.",
        "Remove the weight, or add the other destination.",
    ),
    "MD0025": Advice(
        "A mirror gets nothing, is not there, or is where the requests go anyway.",
        "Set a percentage above 0, name the mirror, or remove it.",
    ),
    "MD0026": Advice(
        "An edit of headers changes nothing, or is undone by another.",
        "Remove it, or make it where it counts.",
    ),
    "MD0027": Advice(
        "Requests go to a host outside of the mesh with the Host of another, which its servers seldom serve.",
        "Add rewrite.authority with the destination's host.",
    ),
    "MD0028": Advice(
        "Web pages of more origins than were meant may call with the user's cookies and read the answers.",
        "List the origins with exact, or take allowCredentials away.",
    ),
    "MD0029": Advice(
        "A rule is left to a delegate VirtualService that does not exist.",
        "Write the delegate, correct its name or namespace, or write a route.",
    ),
    "MD0030": Advice(
        "A delegate cannot be used: it has hosts, delegates in its turn, leads in a circle or is not exported.",
        "A delegate has http rules with routes, no hosts and no gateways, and is visible to whoever names it.",
    ),
    "MD0031": Advice(
        "A delegate's rule asks for something outside of what the delegating rule lets through: it is left out.",
        "Let its matches lie within those of the delegating rule: a longer prefix, the same headers and more.",
    ),
    "MD0032": Advice(
        "A VirtualService without hosts is a delegate, and nobody delegates to it.",
        "Name it as a delegate, or give it hosts.",
    ),
    "MD0033": Advice(
        "A subset has no route, though others of its host have.",
        "Remove it, or give it a route.",
    ),
    "MD0034": Advice(
        "Several DestinationRules of one namespace are for one host: only the first trafficPolicy, and of each "
        "subset only the first, is heeded.",
        "Make one rule of them. First is the older, else the first by name.",
    ),
    "MD0036": Advice(
        "Clients speak another TLS to a service than its PeerAuthentication takes: every call is refused.",
        "Leave tls out of the DestinationRule: mTLS is then chosen for each workload as it needs it.",
    ),
    "MD0037": Advice(
        "Routes lead to a Service whose selector matches none of the workloads that are known.",
        "Mend the selector, or the labels of the workloads.",
    ),
    "MD0038": Advice(
        "A host is declared twice, in different ways; only one declaration counts where both are seen.",
        "Keep one. A Service comes before a ServiceEntry, the older before the newer.",
    ),
    "MD0039": Advice(
        "A ServiceEntry has a host without a dot, which rules take for a Service of their own namespace.",
        "Write the host with its domain.",
    ),
    "MD0040": Advice(
        "Two hosts have one address and TCP port, and nothing tells their connections apart.",
        "Give each an address or a port of its own.",
    ),
    "MD0041": Advice(
        "A gateway takes requests for a host for which no VirtualService has routes.",
        "Write the VirtualService, or take the host away.",
    ),
    "MD0042": Advice(
        "A gateway only redirects a VirtualService's hosts to https, and nobody serves https for them.",
        "Add a server with protocol HTTPS and a certificate for these hosts.",
    ),
    "MD0043": Advice(
        "All http, tls or tcp rules of a VirtualService are unused, because the ports speak something else.",
        "Mend the protocol of the port (by its name or appProtocol, or in the Gateway), or the form of the rules.",
    ),
    "MD0044": Advice(
        "At a gateway, a rule of a VirtualService is never used, because an older one of the same host takes all.",
        "Make one VirtualService of them: its order is then the order of the file.",
    ),
    "MD0045": Advice(
        "A certificate lies where gateways find theirs, and no Gateway uses it.",
        "Name it as a credentialName, or remove it.",
    ),
    "MD0046": Advice(
        "A destination exists and is not exported to the namespace in which the rule is in effect.",
        "Add that namespace to the exportTo of the Service or ServiceEntry.",
    ),
    "MD0047": Advice(
        "A subset is defined by a DestinationRule that callers do not see, or see another before it.",
        "Define it in the DestinationRule that holds for these callers, or export that one.",
    ),
    "MD0048": Advice(
        "A wildcard host of a VirtualService takes the requests to services of other namespaces over.",
        "Name the hosts that are meant.",
    ),
    "MD0049": Advice(
        "A policy is for workloads of which none is known.",
        "Mend the labels of the selector, or remove the policy.",
    ),
    "MD0050": Advice(
        "A PeerAuthentication of the root namespace has a selector, so that it does not hold for the mesh.",
        "Leave the selector out, or move it to the namespace of the workloads.",
    ),
    "MD0051": Advice(
        "Several PeerAuthentications are for the same workloads, and only the oldest counts.",
        "Make one of them.",
    ),
    "MD0052": Advice(
        "A rule asks who the caller is on ports that take plaintext, where callers have no identity.",
        "Make the ports STRICT.",
    ),
    "MD0053": Advice(
        "A rule speaks of requests on ports where the proxy sees none: ALLOW then allows nobody, DENY denies more.",
        "Name the ports with requests in to.operation.ports, and write rules without such fields for the others.",
    ),
    "MD0054": Advice(
        "A value of an AuthorizationPolicy matches nothing, so that its rule does nothing.",
        "Write it as requests have it: methods in capitals, paths from their slash, normalised, without a query.",
    ),
    "MD0055": Advice(
        "A path that must not be reached can be, written another way.",
        "List what is allowed instead, or set a stronger pathNormalization in MeshConfig; add the form with a slash.",
    ),
    "MD0056": Advice(
        "A host that must not be reached can be, with a port in the Host header.",
        "Add the host with :* as well.",
    ),
    "MD0057": Advice(
        "A policy names the port of a Service, and policies see the port of the workload.",
        "Write the targetPort.",
    ),
    "MD0058": Advice(
        "Connections to a port hang: its server speaks first, and the proxy waits for the client to speak.",
        "Say that the port is tcp, by its name or by appProtocol.",
    ),
    "MD0059": Advice(
        "An application speaks TLS itself on a port that also takes callers without mTLS, so that policies are blind.",
        "Make the port STRICT, or let the proxy do the TLS.",
    ),
    "MD0060": Advice(
        "Two external authorizers are named for the same workloads, which then deny what they match.",
        "Use one provider.",
    ),
    "MD0062": Advice(
        "A route of the Gateway API is attached to nothing by one of its parentRefs, so that it has no effect there.",
        "Correct the name, the section or the hostnames, or let the listener's allowedRoutes take it.",
    ),
    "MD0063": Advice(
        "Requests for a backend of a route are answered with 500: it does not exist, or may not be referred to.",
        "Correct its name and port, or add a ReferenceGrant to its namespace.",
    ),
    "MD0064": Advice(
        "Nobody listens for a listener of a Gateway: it has no certificate that it may use, or its class is not served.",
        "Refer to a Secret of the Gateway's namespace, or add a ReferenceGrant to the Secret's; take a class that is served.",
    ),
    "MD0065": Advice(
        "A Gateway is looked after by another controller, and gateways of this mesh leave it alone.",
        "Nothing, if that is meant; else use a class whose controller is istio.io/gateway-controller.",
    ),
}
