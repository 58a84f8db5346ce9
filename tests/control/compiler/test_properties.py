"""What must hold for any mesh: order and places of documents never matter, and everything can be encoded."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.api.document import Document, Origin
from meshd.control.compiler import compile_snapshot
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.snapshot.wire import decode, encode
from tests.control.documents import documents

NAMES = st.sampled_from(["a", "b", "c"])
NAMESPACES = st.sampled_from(["default", "other", "istio-system"])
HOSTS = st.sampled_from(["a", "b", "a.default", "x.example.com", '"*.example.com"', '"*.cluster.local"'])
STAMPS = st.sampled_from(["", "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"])
VIRTUAL_HOSTS = st.sampled_from(["a", "x.example.com", '"*.example.com"', "b, a", '"*.cluster.local"'])
SPECS = {
    "v1 Service": st.builds(
        "{{selector: {{app: {}}}, ports: [{{port: {}, name: {}}}, {{port: 7, name: tcp}}]}}".format,
        NAMES,
        st.sampled_from([80, 9080]),
        st.sampled_from(["http", "grpc", "web", "tls"]),
    ),
    "networking.istio.io/v1 ServiceEntry": st.builds(
        "{{hosts: [{}], ports: [{{number: 80, name: {}}}], resolution: {}, location: {}}}".format,
        HOSTS.filter(lambda host: "." in host),
        st.sampled_from(["http", "tcp", "tls"]),
        st.just("NONE"),
        st.sampled_from(["MESH_EXTERNAL", "MESH_INTERNAL"]),
    ),
    "networking.istio.io/v1 WorkloadEntry": st.builds(
        "{{address: 10.0.0.{}, labels: {{app: {}, version: {}}}, serviceAccount: sa}}".format,
        st.integers(1, 9),
        NAMES,
        NAMES,
    ),
    "networking.istio.io/v1 VirtualService": st.builds(
        "{{hosts: [{}], gateways: [{}], http: [{{match: [{{uri: {{prefix: /{}}}}}], route: [{{destination: {{host: {}}}}}]}}],"
        " tcp: [{{route: [{{destination: {{host: a}}}}]}}],"
        " tls: [{{match: [{{sniHosts: [{}, x.example.com]}}], route: [{{destination: {{host: b}}}}]}}]}}".format,
        VIRTUAL_HOSTS,
        st.sampled_from(["mesh", "default/a", "mesh, b"]),
        NAMES,
        NAMES,
        st.sampled_from(["a.default.svc.cluster.local", "y.example.com"]),
    ),
    "networking.istio.io/v1alpha3 VirtualService": st.builds(
        "{{{} http: [{{match: [{{uri: {{prefix: /{}}}}}], delegate: {{name: {}, namespace: {}}}}}, {}]}}".format,
        st.sampled_from(["", 'exportTo: ["."], ', "hosts: [a], ", "hosts: [a.default], exportTo: [default],"]),
        NAMES,
        NAMES,
        NAMESPACES,
        st.sampled_from(
            [
                "{route: [{destination: {host: b}}]}",
                "{match: [{uri: {exact: /a}, sourceNamespace: default}], route: [{destination: {host: c, subset: a}}]}",
                "{corsPolicy: {allowOrigin: [x]}, redirect: {uri: /}}",
            ]
        ),
    ),
    "networking.istio.io/v1 DestinationRule": st.builds(
        "{{host: {}, subsets: [{{name: {}, labels: {{version: {}}}}}], trafficPolicy: {{tls: {{mode: {}}}}}}}".format,
        HOSTS,
        NAMES,
        NAMES,
        st.sampled_from(["DISABLE", "ISTIO_MUTUAL"]),
    ),
    "networking.istio.io/v1 Gateway": st.builds(
        "{{selector: {{istio: ingressgateway}}, servers: [{{port: {{number: {}, name: {}, protocol: {}}}, hosts: [{}]}}, {{{}}}]}}".format,
        st.sampled_from([80, 443]),
        st.sampled_from(["one", "two"]),
        st.sampled_from(["HTTP", "TCP", "GRPC"]),
        st.sampled_from(['"*"', "x.example.com", '"./*.example.com"']),
        st.builds(
            "port: {{number: 443, name: {}, protocol: {}}}, hosts: [{}], tls: {{mode: {}, credentialName: c}}".format,
            st.sampled_from(["three", "four"]),
            st.sampled_from(["HTTPS", "TLS"]),
            st.sampled_from(['"*"', "x.example.com", '"*.example.com"']),
            st.sampled_from(["SIMPLE", "MUTUAL", "PASSTHROUGH"]),
        ),
    ),
    "networking.istio.io/v1 Sidecar": st.builds(
        "{{egress: [{}{{hosts: [{}]}}], outboundTrafficPolicy: {{mode: {}}}}}".format,
        st.sampled_from(["", '{port: {number: 80, protocol: HTTP, name: p}, hosts: ["*/*"]}, ']),
        st.sampled_from(['"./*"', '"*/*"', '"*/*", "~other/*"', '"default/a.default.svc.cluster.local"', '"~/*"']),
        st.sampled_from(["REGISTRY_ONLY", "ALLOW_ANY"]),
    ),
    "v1 ConfigMap": st.sampled_from(
        [
            "outboundTrafficPolicy: {mode: REGISTRY_ONLY}",
            "enableAutoMtls: false",
            "{proxyHttpPort: 15007, defaultHttpRetryPolicy: {attempts: 1}}",
            'defaultServiceExportTo: ["."]',
            'defaultDestinationRuleExportTo: ["."]',
        ]
    ),
    "security.istio.io/v1 PeerAuthentication": st.builds(
        "{{mtls: {{mode: {}}}}}".format, st.sampled_from(["STRICT", "PERMISSIVE", "DISABLE", "UNSET"])
    ),
    "security.istio.io/v1 AuthorizationPolicy": st.builds(
        "{{action: {}, rules: [{{to: [{{operation: {{paths: [/{}]}}}}]}}]}}".format,
        st.sampled_from(["ALLOW", "DENY", "AUDIT"]),
        NAMES,
    ),
}


@st.composite
def some_documents(draw: st.DrawFn) -> Document:
    kind = draw(st.sampled_from(sorted(SPECS)))
    api_version, name = kind.split()
    stamp = draw(STAMPS)
    if name == "ConfigMap":
        text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: %r}\n"
        (document,) = documents(text % draw(SPECS[kind]))
        return document
    metadata = f"name: {draw(NAMES)}, namespace: {draw(NAMESPACES)}" + (
        f', creationTimestamp: "{stamp}"' if stamp else ""
    )
    (document,) = documents(
        f"apiVersion: {api_version}\nkind: {name}\nmetadata: {{{metadata}}}\nspec: {draw(SPECS[kind])}\n"
    )
    return document


SCOPES = (
    Scope(labels=(("app", "a"),), app_ports=(8080,), address="10.0.0.1"),
    Scope(namespace="other"),
    Scope(kind="gateway", namespace="istio-system", labels=(("istio", "ingressgateway"),)),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(some_documents(), max_size=14), st.randoms(use_true_random=False), st.sampled_from(SCOPES))
def test_neither_order_nor_place_of_documents_matters(found: list[Document], random: object, scope: Scope) -> None:
    moved = [
        attrs.evolve(document, origin=Origin(f"/other/{index}.yaml", index + 1, 1), marks=None)
        for index, document in enumerate(found)
    ]
    random.shuffle(moved)  # type: ignore[attr-defined]
    first, second = (compile_snapshot(Mesh.of(each), scope) for each in (found, moved))
    assert first == second
    assert first.version
    encoded = encode(first)
    assert decode(encoded.manifest, encoded.parts.__getitem__) == first


@settings(max_examples=40, deadline=None)
@given(st.lists(some_documents(), max_size=14), st.sampled_from(SCOPES))
def test_everything_a_snapshot_names_can_be_found(found: list[Document], scope: Scope) -> None:
    snapshot = compile_snapshot(Mesh.of(found), scope)
    tables = {table.name for table in snapshot.route_tables}
    clusters = {cluster.name for cluster in snapshot.clusters}
    for listener in snapshot.listeners:
        matches = [chain.match for chain in listener.chains]
        assert len(matches) == len(set(matches))
        for chain in listener.chains:
            assert (chain.http is None) != (chain.tcp is None)
            assert chain.http is None or chain.http.route_table in tables
    for table in snapshot.route_tables:
        domains = [domain for host in table.virtual_hosts for domain in host.domains]
        assert len(domains) == len(set(domains))
    assert {group.cluster for group in snapshot.endpoints} <= clusters
