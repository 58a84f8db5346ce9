"""What validation accepts, compiles and runs: for any document, whatever strangers write into it."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.api.document import Document
from meshd.api.load import Loader
from meshd.control.analysis.catalog import analyze
from meshd.control.compiler import compile_snapshot
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.control.sources.source import read_entries
from meshd.policy.catalog import FilterContext, build_connection_filters, build_filters
from meshd.proxy.router import Router
from meshd.snapshot.wire import decode, encode

LOADER = Loader()

HARMLESS = st.sampled_from(["a", "v1", "x-y", "/x", "80", "10.0.0.1", "a.b"])
HOSTILE = st.sampled_from(
    [
        *("a", "reviews", "v1", "/", "/x", "/x y", "/é", "/a#b", "/a?b", "*", "*x", "x*", "", " ", "é", "a\nb", "\x00"),
        *("%", "%%", "%REQ(x)%", "%REQ(", "%START_TIME%", "%NOPE%", "(", "[", "a{2,1}", r"(?i)a", r"\C", r"\1", r"\9"),
        *("(a)(b)", ".*", "(?P<n>a)", "content-length", "host", ":authority", ":path", "x:y", "10.0.0.1", "10.0.0.0/8"),
        *(
            "::1",
            "80",
            "0",
            "\uff18\uff10",
            "http",
            "GET",
            "{*}",
            "/a/{**}",
            "cluster.local/ns/a/sa/b",
            "*/sa/b",
            "5xx",
            "503",
        ),
        *("{{x}}", "'", '"', "a,b", "a" * 300),
    ]
)
TEXTS = st.one_of(HARMLESS, HARMLESS, HOSTILE)
GOOD_HOSTS = st.sampled_from(
    ["reviews", "ratings", "reviews.default.svc.cluster.local", "a.example.com", "*.example.com"]
)
NUMBERS = st.one_of(
    st.sampled_from([1, 80, 301, 503]), st.sampled_from([0, 2, 50, 100, 200, 304, 404, 599, 9080, 65535, 65536, -1])
)
DURATIONS = st.sampled_from(["1ms", "2s", "1h", "0s", "100us", "5ns", "9999h"])
PERCENT = st.fixed_dictionaries({"value": st.sampled_from([0, 0.0001, 50, 100, 101, -1])})


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """One of these fields, mostly, so that much is accepted; else any of them."""
    single = st.sampled_from(sorted(fields)).flatmap(lambda name: fields[name].map(lambda value: {name: value}))
    return st.one_of(single, single, single, st.fixed_dictionaries({}, optional=fields))


def texts() -> st.SearchStrategy[list[str]]:
    return st.lists(TEXTS, min_size=1, max_size=2)


MATCH = st.sampled_from(["exact", "prefix", "regex"]).flatmap(lambda kind: some(**{kind: TEXTS}))
DESTINATION = some(subset=TEXTS, port=some(number=NUMBERS)).flatmap(
    lambda rest: GOOD_HOSTS.map(lambda host: {"host": host, **rest})
)
OPERATIONS = some(
    set=st.dictionaries(TEXTS, TEXTS, max_size=2), add=st.dictionaries(TEXTS, TEXTS, max_size=2), remove=texts()
)
HEADERS = some(request=OPERATIONS, response=OPERATIONS)
ROUTES = st.lists(
    st.fixed_dictionaries({"destination": DESTINATION}, optional={"weight": NUMBERS, "headers": HEADERS}),
    min_size=1,
    max_size=2,
)
HTTP_MATCH = some(
    uri=MATCH,
    method=MATCH,
    authority=MATCH,
    scheme=MATCH,
    headers=st.dictionaries(TEXTS, MATCH, max_size=1),
    withoutHeaders=st.dictionaries(TEXTS, MATCH, max_size=1),
    queryParams=st.dictionaries(TEXTS, MATCH, max_size=1),
    port=NUMBERS,
    ignoreUriCase=st.booleans(),
    gateways=texts(),
)
OPTIONS = {
    "name": TEXTS,
    "match": st.lists(HTTP_MATCH, max_size=2),
    "timeout": DURATIONS,
    "retries": some(attempts=NUMBERS, perTryTimeout=DURATIONS, retryOn=TEXTS, backoff=DURATIONS),
    "fault": some(
        delay=some(fixedDelay=DURATIONS, percentage=PERCENT),
        abort=some(httpStatus=NUMBERS, grpcStatus=st.sampled_from(["UNAVAILABLE", "x"]), percentage=PERCENT),
    ),
    "mirror": DESTINATION,
    "mirrorPercentage": PERCENT,
    "headers": HEADERS,
    "rewrite": some(uri=TEXTS, authority=TEXTS, uriRegexRewrite=some(match=TEXTS, rewrite=TEXTS)),
}
PLAIN = st.just({"route": [{"destination": {"host": "reviews"}}]})
ACTION = st.one_of(
    PLAIN,
    PLAIN,
    ROUTES.map(lambda route: {"route": route}),
    some(uri=TEXTS, authority=TEXTS, redirectCode=NUMBERS, port=NUMBERS, prefixRewrite=TEXTS, scheme=TEXTS).map(
        lambda redirect: {"redirect": redirect}
    ),
    some(status=NUMBERS, body=some(string=TEXTS, bytes=TEXTS)).map(lambda direct: {"directResponse": direct}),
)
# One option at a time, so that most routes are accepted and each is tried alone.
OPTION = st.sampled_from(sorted(OPTIONS)).flatmap(lambda name: OPTIONS[name].map(lambda value: {name: value}))
HTTP_ROUTE = st.tuples(ACTION, OPTION | st.just({})).map(lambda parts: {**parts[0], **parts[1]})
VIRTUAL_SERVICE = st.fixed_dictionaries(
    {"hosts": st.lists(GOOD_HOSTS, min_size=1, max_size=1), "http": st.lists(HTTP_ROUTE, min_size=1, max_size=2)},
    optional={"gateways": st.just(["mesh", "gw"])},
)
RULE = some(
    **{"from": st.lists(st.fixed_dictionaries({"source": some(principals=texts(), ipBlocks=texts(), namespaces=texts(), notPrincipals=texts(), remoteIpBlocks=texts(), serviceAccounts=texts(), requestPrincipals=texts(), trustDomains=texts())}), max_size=1)},
    to=st.lists(
        st.fixed_dictionaries(
            {"operation": some(paths=texts(), methods=texts(), hosts=texts(), ports=texts(), notPaths=texts())}
        ),
        max_size=1,
    ),
    when=st.lists(
        st.fixed_dictionaries(
            {
                "key": st.sampled_from(
                    [
                        *("request.headers[x]", "request.headers[é]", "source.ip", "destination.port", "connection.sni"),
                        *("source.principal", "request.auth.claims[a][b]", "experimental.envoy.filters.a[b]", "x"),
                        *("source.namespace", "remote.ip", "destination.ip", "source.serviceAccount"),
                    ]
                ),
                "values": texts(),
            }
        ),
        max_size=1,
    ),
)  # fmt: skip
POLICY = st.fixed_dictionaries(
    {"action": st.sampled_from(["ALLOW", "DENY", "AUDIT", "CUSTOM"]), "rules": st.lists(RULE, max_size=2)},
    optional={"provider": st.just({"name": "x"}), "selector": st.just({"matchLabels": {"app": "reviews"}})},
)
POOL = some(
    tcp=some(maxConnections=NUMBERS, connectTimeout=DURATIONS, idleTimeout=DURATIONS, maxConnectionDuration=DURATIONS),
    http=some(http1MaxPendingRequests=NUMBERS, maxRequestsPerConnection=NUMBERS, idleTimeout=DURATIONS),
)
CLIENT_TLS = some(
    mode=st.sampled_from(["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]),
    sni=TEXTS,
    subjectAltNames=texts(),
    caCertificates=TEXTS,
    credentialName=TEXTS,
)
TRAFFIC = some(
    connectionPool=POOL,
    tls=CLIENT_TLS,
    loadBalancer=some(simple=st.sampled_from(["RANDOM", "PASSTHROUGH", "UNSPECIFIED", "LEAST_CONN"])),
    portLevelSettings=st.lists(some(port=some(number=NUMBERS), tls=CLIENT_TLS, connectionPool=POOL), max_size=2),
)
DESTINATION_RULE = st.fixed_dictionaries(
    {"host": GOOD_HOSTS},
    optional={
        "trafficPolicy": TRAFFIC,
        "subsets": st.lists(
            st.fixed_dictionaries(
                {"name": HARMLESS}, optional={"labels": st.just({"a": "b"}), "trafficPolicy": TRAFFIC}
            ),
            max_size=2,
        ),
    },
)
SERVER_TLS = some(
    mode=st.sampled_from(["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"]),
    httpsRedirect=st.booleans(),
    credentialName=TEXTS,
    serverCertificate=TEXTS,
    privateKey=TEXTS,
    caCertificates=TEXTS,
    cipherSuites=texts(),
)
SERVER = st.fixed_dictionaries(
    {
        "port": st.fixed_dictionaries(
            {
                "number": NUMBERS,
                "name": st.sampled_from(["a", "b", "https"]),
                "protocol": st.sampled_from(["HTTP", "HTTPS", "TLS", "TCP", "GRPC", "HTTP2", "MONGO"]),
            }
        ),
        "hosts": st.lists(GOOD_HOSTS | st.just("*"), min_size=1, max_size=2),
    },
    optional={"tls": SERVER_TLS, "bind": TEXTS},
)
GATEWAY = st.fixed_dictionaries(
    {"servers": st.lists(SERVER, min_size=1, max_size=2), "selector": st.just({"istio": "ingressgateway"})}
)
SERVICE_ENTRY = st.fixed_dictionaries(
    {
        "hosts": st.lists(GOOD_HOSTS, min_size=1, max_size=2),
        "ports": st.lists(
            st.fixed_dictionaries(
                {"number": NUMBERS, "name": st.sampled_from(["http", "tcp", "tls-x", "a b"])},
                optional={
                    "protocol": st.sampled_from(["HTTP", "TCP", "TLS", "GRPC", "UDP", "x"]),
                    "targetPort": NUMBERS,
                },
            ),
            max_size=2,
        ),
    },
    optional={
        "resolution": st.sampled_from(["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]),
        "location": st.sampled_from(["MESH_INTERNAL", "MESH_EXTERNAL"]),
        "addresses": texts(),
        "endpoints": st.lists(some(address=TEXTS, ports=st.just({"http": 80}), weight=NUMBERS), max_size=2),
    },
)
SERVICE = st.fixed_dictionaries(
    {
        "ports": st.lists(
            st.fixed_dictionaries(
                {"port": NUMBERS}, optional={"name": st.sampled_from(["http", "tcp-x"]), "targetPort": NUMBERS | TEXTS}
            ),
            max_size=2,
        )
    },
    optional={"type": st.sampled_from(["ClusterIP", "ExternalName"]), "externalName": TEXTS, "clusterIP": TEXTS},
)
MODE = some(mode=st.sampled_from(["UNSET", "DISABLE", "PERMISSIVE", "STRICT"]))
PEER = some(
    mtls=MODE,
    portLevelMtls=st.dictionaries(TEXTS, MODE, max_size=1),
    selector=st.just({"matchLabels": {"app": "reviews"}}),
)

KINDS = {
    "VirtualService": ("networking.istio.io/v1", VIRTUAL_SERVICE),
    "DestinationRule": ("networking.istio.io/v1", DESTINATION_RULE),
    "Gateway": ("networking.istio.io/v1", GATEWAY),
    "ServiceEntry": ("networking.istio.io/v1", SERVICE_ENTRY),
    "AuthorizationPolicy": ("security.istio.io/v1", POLICY),
    "PeerAuthentication": ("security.istio.io/v1", PEER),
    "Service": ("v1", SERVICE),
}
DOCUMENT = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.tuples(KINDS[kind][1], st.sampled_from(["gw", "one", "two"])).map(
        lambda made: {"apiVersion": KINDS[kind][0], "kind": kind, "metadata": {"name": made[1]}, "spec": made[0]}
    )
)
BASE = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {ports: [{port: 9080, name: http}], selector: {app: reviews}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-v1}
spec: {address: 10.0.0.1, labels: {app: reviews, version: v1, security.istio.io/tlsMode: istio}}
"""
SCOPES = (
    Scope(labels=(("app", "reviews"),), app_ports=(9080,), address="10.0.0.1"),
    Scope(kind="gateway", labels=(("istio", "ingressgateway"),)),
)


def accepted(text: str) -> list[Document]:
    return [entry.document for entry in read_entries(LOADER, text, "f.yaml") if entry.document is not None]


@settings(max_examples=150, deadline=None)
@given(st.lists(DOCUMENT, min_size=1, max_size=4))
def test_what_is_accepted_runs(written: list[dict[str, Any]]) -> None:
    documents = accepted(BASE)
    for value in written:
        documents += accepted(json.dumps(value))
    analyze(documents)
    mesh = Mesh.of(documents)
    context = FilterContext(rng=random.Random(1))
    for scope in SCOPES:
        snapshot = compile_snapshot(mesh, scope)
        router = Router.compile(snapshot.route_tables)
        for entry in router.entries():
            build_filters(entry.route.filters, context)
        for listener in snapshot.listeners:
            assert len({chain.match for chain in listener.chains}) == len(listener.chains)
            for chain in listener.chains:
                build_connection_filters(chain.filters, context)
                if chain.http is not None:
                    build_filters(chain.http.filters, context)
        encoded = encode(snapshot)
        assert decode(encoded.manifest, encoded.parts.__getitem__) == snapshot
