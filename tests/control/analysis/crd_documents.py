"""Documents with the mistakes that Istio's schemas (CustomResourceDefinitions) refuse, and without them.

The corpus names each of Istio's own documents (file, number, name, the schema's
error) and does not hold them; these are ours, each with what the row speaks of.
"""

from __future__ import annotations

from tests.control.analysis.cases import text

SECURITY = "security.istio.io/v1"
TELEMETRY = "telemetry.istio.io/v1alpha1"
EXTENSIONS = "extensions.istio.io/v1alpha1"
OLD = "networking.istio.io/v1alpha3"
SELECTOR = "selector: {matchLabels: {app: a}}"
GATEWAY = "group: gateway.networking.k8s.io, kind: Gateway"


def _warmup(fields: str) -> str:
    return text("DestinationRule", f"{{host: ratings, trafficPolicy: {{loadBalancer: {{warmup: {{{fields}}}}}}}}}")


def _pool(http: str) -> str:
    return text("DestinationRule", f"{{host: ratings, trafficPolicy: {{connectionPool: {{http: {{{http}}}}}}}}}")


def _envoy(patch: str) -> str:
    return text("EnvoyFilter", f"{{configPatches: [{{{patch}}}]}}", api=OLD)


def _peer(spec: str) -> str:
    return text("PeerAuthentication", f"{{{spec}}}", api=SECURITY)


def _request(spec: str) -> str:
    return text("RequestAuthentication", f"{{{spec}}}", api=SECURITY)


def _jwt(fields: str) -> str:
    return _request(f"jwtRules: [{{issuer: a.b, jwksUri: 'https://a.b', {fields}}}]")


def _entry(spec: str, api: str = OLD) -> str:
    return text("ServiceEntry", f"{{{spec}}}", api=api)


def _telemetry(spec: str) -> str:
    return text("Telemetry", f"{{{spec}}}", api=TELEMETRY)


def _wasm(spec: str) -> str:
    return text("WasmPlugin", spec, api=EXTENSIONS)


def _workload(spec: str) -> str:
    return text("WorkloadEntry", f"{{{spec}}}", api=OLD)


def _group(probe: str) -> str:
    labels = "metadata: {labels: {app: a}, annotations: {b: c}}"
    template = "template: {ports: {http: 8080}, serviceAccount: a, network: net-1, locality: r/z, weight: 3}"
    return text("WorkloadGroup", f"{{{labels}, {template}, probe: {{{probe}}}}}", api=OLD)


_HTTP = "ports: [{number: 80, name: http, protocol: HTTP}]"

DOCUMENTS: dict[tuple[str, int], str] = {
    ("authz-invalid", 0): text(
        "AuthorizationPolicy",
        "{rules: [{from: [{source: {serviceAccounts: [a/b], namespaces: [a]}}]}]}",
        api=SECURITY,
    ),
    ("destinationrule-invalid", 0): _warmup("duration: 1s, minimumPercent: 101"),
    ("destinationrule-invalid", 1): _warmup("minimumPercent: 10"),
    ("destinationrule-invalid", 2): _warmup("duration: 1s, aggression: -1"),
    ("destinationrule-valid", 0): text(
        "DestinationRule", "{host: ratings, trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}}}"
    ),
    ("destinationrule-valid", 1): _warmup("duration: 60s, minimumPercent: 10.5, aggression: 2.5"),
    ("destinationrule-valid", 2): text(
        "DestinationRule",
        "{host: ratings, trafficPolicy: {connectionPool: {tcp: {idleTimeout: 0s}},"
        " outlierDetection: {consecutive5xxErrors: 7, interval: 5m}}, subsets: [{name: v1, labels: {version: v1}}]}",
    ),
    ("destinationrule-valid", 3): _pool("http2KeepAlive: {interval: 15s, timeout: 5s}"),
    ("envoyfilter-invalid", 1): _envoy(
        "applyTo: CLUSTER, match: {context: GATEWAY, waypoint: {}}, patch: {operation: REMOVE}"
    ),
    ("envoyfilter-invalid", 2): _envoy(
        "applyTo: CLUSTER, match: {context: WAYPOINT, waypoint: {portNumber: 70000}}, patch: {operation: REMOVE}"
    ),
    ("envoyfilter-valid", 0): _envoy(
        "applyTo: HTTP_FILTER, match: {context: SIDECAR_INBOUND, listener: {portNumber: 8080, filterChain: {filter:"
        " {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}},"
        " patch: {operation: INSERT_BEFORE, value: {name: lua, typed_config: {a: [1, {b: c}]}}}"
    ),
    ("envoyfilter-valid", 2): _envoy(
        "applyTo: CLUSTER, match: {context: WAYPOINT, waypoint: {portNumber: 80, filter: {name: a}, route: {name: b}}},"
        " patch: {operation: MERGE, value: {}}"
    ),
    ("envoyfilter-valid", 3): _envoy("applyTo: CLUSTER, patch: {operation: ADD, value: {name: a}}"),
    ("envoyfilter-valid", 4): _envoy(
        "applyTo: ROUTE_CONFIGURATION, patch: {operation: MERGE_AND_REPLACE_LIST, value: {virtual_hosts: []}}"
    ),
    ("peerauth-invalid", 0): _peer("mtls: {mode: BLAH}"),
    ("peerauth-invalid", 3): _peer(f"{SELECTOR}, portLevelMtls: {{}}"),
    ("peerauth-invalid", 5): _peer(f"{SELECTOR}, portLevelMtls: {{65536: {{mode: STRICT}}}}"),
    ("peerauth-valid", 0): _peer(f"{SELECTOR}, mtls: {{mode: STRICT}}, portLevelMtls: {{80: {{mode: DISABLE}}}}"),
    ("peerauth-valid", 1): _peer("selector: {}, mtls: {}"),
    ("proxyconfig-invalid", 0): text("ProxyConfig", "{concurrency: -1}", api="networking.istio.io/v1beta1"),
    ("proxyconfig-valid", 0): text(
        "ProxyConfig",
        f"{{{SELECTOR}, concurrency: 0, image: {{imageType: debug}}, environmentVariables: {{A: b}}}}",
        api="networking.istio.io/v1beta1",
    ),
    ("reqauth-invalid", 0): _request(f"{SELECTOR}, targetRef: {{{GATEWAY}, name: a}}"),
    ("reqauth-invalid", 2): _request(f"targetRef: {{{GATEWAY}}}"),
    ("reqauth-invalid", 3): _request(f"targetRef: {{{GATEWAY}, name: a, namespace: b}}"),
    ("reqauth-invalid", 9): _jwt("fromHeaders: [{prefix: a}]"),
    ("reqauth-invalid", 10): _jwt("fromHeaders: [{name: '', prefix: a}]"),
    ("reqauth-invalid", 12): _jwt("fromCookies: ['']"),
    ("reqauth-invalid", 13): _jwt("outputClaimToHeaders: [null]"),
    ("reqauth-invalid", 14): _jwt("outputClaimToHeaders: [{header: a, claim: ''}]"),
    ("reqauth-invalid", 15): _jwt("outputClaimToHeaders: [{header: '', claim: a}]"),
    ("reqauth-invalid", 18): _jwt("spaceDelimitedClaims: ['']"),
    ("serviceentry-invalid", 4): _entry(f"hosts: ['*'], {_HTTP}"),
    ("serviceentry-invalid", 5): _entry(f"hosts: [a.b], {_HTTP}, addresses: [10.0.0.0/8], resolution: DNS"),
    ("serviceentry-invalid", 8): _entry("hosts: [a.b], ports: [{number: 0, name: http, protocol: HTTP}]"),
    ("serviceentry-invalid", 9): _entry("hosts: [a.b], ports: [{number: 80, name: http, targetPort: 65536}]"),
    ("serviceentry-valid", 0): _entry(
        "hosts: [a.b], addresses: [10.0.0.1], location: MESH_EXTERNAL, resolution: STATIC, exportTo: ['*'],"
        " ports: [{number: 443, name: https, protocol: HTTPS, targetPort: 8443}], subjectAltNames: [spiffe://a],"
        " endpoints: [{address: 1.1.1.1, ports: {https: 1}, labels: {a: b}, network: net-1, locality: r, weight: 1}]",
        api="networking.istio.io/v1",
    ),
    ("serviceentry-valid", 2): _entry(f"hosts: [a.b], {_HTTP}, resolution: STATIC, workloadSelector: {{}}"),
    ("serviceentry-valid", 3): _entry(f"hosts: ['*a.b'], {_HTTP}"),
    ("serviceentry-valid", 4): _entry(f"hosts: [a.b], {_HTTP}, addresses: [10.0.0.0/8], resolution: NONE"),
    ("telemetry-invalid", 1): _telemetry("metrics: [{overrides: [{match: {customMetric: ''}}]}]"),
    ("telemetry-invalid", 2): _telemetry(
        "metrics: [{overrides: [{tagOverrides: {a: {operation: UPSERT, value: ''}}}]}]"
    ),
    ("telemetry-invalid", 3): _telemetry(
        "metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: b}}}]}]"
    ),
    ("telemetry-valid", 0): _telemetry(
        f"{SELECTOR}, tracing: [{{match: {{mode: SERVER}}, providers: [{{name: a}}], randomSamplingPercentage: 12.5,"
        " customTags: {a: {literal: {value: b}}, c: {environment: {name: D}}, e: {header: {name: f}}}}],"
        " metrics: [{providers: [{name: prometheus}], overrides: [{match: {metric: REQUEST_COUNT, mode: CLIENT},"
        " disabled: false, tagOverrides: {a: {operation: REMOVE}, b: {operation: UPSERT, value: request.host}}}]}],"
        " accessLogging: [{filter: {expression: response.code >= 400}, disabled: false}]"
    ),
    ("wasm-invalid", 0): _wasm("{url: 'https://a.b', match: [{ports: [{}]}]}"),
    ("wasm-invalid", 1): _wasm("{url: ''}"),
    ("wasm-invalid", 2): _wasm("{url: 'ftp://a.b'}"),
    ("wasm-invalid", 5): _wasm("{url: 'https://a.b', imagePullSecret: ''}"),
    ("wasm-invalid", 6): _wasm("{url: 'https://a.b', pluginName: ''}"),
    ("wasm-invalid", 8): _wasm("{url: 'https://a.b', vmConfig: {env: [{name: ''}]}}"),
    ("wasm-invalid", 10): _wasm("{url: 'https://a.b', vmConfig: {env: [{name: a, value: b, valueFrom: HOST}]}}"),
    ("wasm-invalid", 11): _wasm("null"),
    ("wasm-invalid", 12): _wasm("{url: null}"),
    ("wasm-valid", 1): _wasm("{url: 'oci://a.b/c:d', sha256: ''}"),
    ("wasm-valid", 3): _wasm(
        "{url: a.b/c, vmConfig: {env: [{name: a, value: b}, {name: c, valueFrom: HOST},"
        " {name: d, value: e, valueFrom: INLINE}]}, pluginConfig: {a: [b]}, phase: AUTHN, priority: 1}"
    ),
    ("workloadentry-invalid", 1): _workload("labels: {a: b}"),
    ("workloadentry-invalid", 2): _workload("address: 'unix:///a/b/'"),
    ("workloadentry-invalid", 3): _workload("address: 'unix://./a'"),
    ("workloadentry-invalid", 6): _workload("address: 1.2.3.4, ports: {'a.b': 80}"),
    ("workloadentry-valid", 1): _workload("network: net-1"),
    ("workloadentry-valid", 3): _workload("address: 'unix:///a/b'"),
    ("workloadentry-valid", 4): _workload("address: a.b.c, ports: {http: 80}"),
    ("workloadgroup-valid", 0): _group(
        "initialDelaySeconds: 1, timeoutSeconds: 2, periodSeconds: 3, successThreshold: 4, failureThreshold: 5,"
        " httpGet: {path: /ready, port: 80, host: 127.0.0.1, scheme: HTTPS, httpHeaders: [{name: a-b, value: c}]}"
    ),
    ("workloadgroup-valid", 1): _group("tcpSocket: {port: 80, host: localhost}"),
}
"""By file (without its folder and ending) and number within it."""
