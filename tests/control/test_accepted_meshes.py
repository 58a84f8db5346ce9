"""Documents of every kind together: they compile in whatever order they come, and an engine takes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.api.document import Document
from meshd.control.analysis.catalog import analyze
from meshd.control.compiler import compile_snapshot
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.control.sources.source import read_entries
from meshd.net.memory import MemoryNetwork
from meshd.snapshot.snapshot import Snapshot
from tests.control.test_accepted_runs import (
    BASE,
    CLIENT_TLS,
    DESTINATION,
    DESTINATION_RULE,
    DURATIONS,
    GATEWAY,
    HEADERS,
    HTTP_MATCH,
    KINDS,
    LOADER,
    MATCH,
    NUMBERS,
    PERCENT,
    POOL,
    ROUTES,
    SERVER_TLS,
    SERVICE,
    SERVICE_ENTRY,
    TEXTS,
    some,
    texts,
)
from tests.proxy.rig import Rig

Written = list[dict[str, Any]]

NETWORKING = "networking.istio.io/v1"
NAMESPACES = st.sampled_from(["default", "default", "other", "istio-system"])
NAMES = st.sampled_from(["gw", "one", "two", "delegate", "istio"])
EXPORT = st.sampled_from([["."], ["*"], ["other"], ["default", "other"], ["~"]])
LABELS = st.sampled_from([{"app": "reviews"}, {"istio": "ingressgateway"}, {"version": "v1"}])
PROTOCOLS = st.sampled_from(["HTTP", "TCP", "TLS", "HTTPS", "GRPC", "MONGO", "HTTP_PROXY", ""])
PORT_NUMBERS = st.sampled_from([80, 80, 443, 9080, 9080, 8080, 0, 15001, 15006, 15021, 3306])
PORT = st.fixed_dictionaries({"number": PORT_NUMBERS}, optional={"protocol": PROTOCOLS, "name": st.just("x")})
BIND = st.sampled_from(["", "0.0.0.0", "127.0.0.1", "10.0.0.1", "::", "unix:///tmp/x", "1.2.3"])
CAPTURE = st.sampled_from(["DEFAULT", "NONE", "IPTABLES"])
IMPORTS = st.lists(
    st.sampled_from(
        ["*/*", "./*", "~/*", "*/reviews.default.svc.cluster.local", "other/*", "~other/*", "*/*.example.com"]
    ),
    min_size=1,
    max_size=2,
)
EGRESS = st.fixed_dictionaries({"hosts": IMPORTS}, optional={"port": PORT, "bind": BIND, "captureMode": CAPTURE})
INGRESS = st.fixed_dictionaries(
    {"port": PORT},
    optional={
        "bind": BIND,
        "captureMode": CAPTURE,
        "defaultEndpoint": st.sampled_from(["127.0.0.1:80", ":80", "[::1]:80", "0.0.0.0:1", "unix:///x"]),
        "tls": SERVER_TLS,
        "connectionPool": POOL,
    },
)
SIDECAR = st.fixed_dictionaries(
    {},
    optional={
        "workloadSelector": LABELS.map(lambda labels: {"labels": labels}),
        "egress": st.lists(EGRESS, min_size=1, max_size=2),
        "ingress": st.lists(INGRESS, min_size=1, max_size=2),
        "inboundConnectionPool": POOL,
        "outboundTrafficPolicy": some(mode=st.sampled_from(["ALLOW_ANY", "REGISTRY_ONLY"]), egressProxy=DESTINATION),
    },
)
CONDITIONS = {"port": NUMBERS, "gateways": st.just(["mesh"]), "sourceLabels": LABELS, "sourceNamespace": NAMESPACES}
SUBNETS = {"destinationSubnets": st.just(["10.0.0.0/8"])}
TLS_MATCH = st.fixed_dictionaries(
    {"sniHosts": st.sampled_from([["reviews"], ["a.example.com"], ["*.example.com"]])},
    optional={**CONDITIONS, **SUBNETS},
)
CORS = some(
    allowOrigins=st.lists(MATCH, max_size=2),
    allowMethods=st.lists(st.sampled_from(["GET", "*", "get"]), max_size=1),
    allowHeaders=texts(),
    exposeHeaders=texts(),
    maxAge=DURATIONS,
    allowCredentials=st.booleans(),
    unmatchedPreflights=st.sampled_from(["FORWARD", "IGNORE"]),
)
HTTP = st.fixed_dictionaries(
    {"route": ROUTES},
    optional={
        "match": st.lists(HTTP_MATCH, max_size=2),
        "corsPolicy": CORS,
        "mirrors": st.lists(some(destination=DESTINATION, percentage=PERCENT), max_size=2),
        "headers": HEADERS,
        "name": TEXTS,
    },
)
DELEGATING = st.fixed_dictionaries(
    {"delegate": st.fixed_dictionaries({"name": NAMES}, optional={"namespace": NAMESPACES})},
    optional={"match": st.lists(HTTP_MATCH, max_size=2), "headers": HEADERS},
)
VIRTUAL_SERVICE = st.fixed_dictionaries(
    {},
    optional={
        "hosts": st.sampled_from([["reviews"], ["reviews"], ["a.example.com"], ["*.example.com"], ["*"], ["10.0.0.1"]]),
        "gateways": st.sampled_from([["mesh"], ["gw"], ["mesh", "default/gw"]]),
        "http": st.lists(HTTP | DELEGATING, min_size=1, max_size=2),
        "tls": st.lists(
            st.fixed_dictionaries({"match": st.lists(TLS_MATCH, min_size=1, max_size=2), "route": ROUTES}), max_size=2
        ),
        "tcp": st.lists(
            st.fixed_dictionaries(
                {"route": ROUTES}, optional={"match": st.lists(some(**CONDITIONS, **SUBNETS), max_size=2)}
            ),
            max_size=2,
        ),
        "exportTo": EXPORT,
    },
)
WORKLOAD = st.fixed_dictionaries(
    {"address": st.sampled_from(["10.0.0.1", "10.0.0.9", "a.example.com", "unix:///x", "::1", ""])},
    optional={
        "labels": LABELS,
        "ports": st.dictionaries(st.sampled_from(["http", "x"]), NUMBERS, max_size=1),
        "weight": NUMBERS,
        "locality": st.sampled_from(["a/b/c", "a", "/"]),
    },
)
MESH = some(
    outboundTrafficPolicy=some(mode=st.sampled_from(["ALLOW_ANY", "REGISTRY_ONLY"])),
    inboundTrafficPolicy=some(mode=st.sampled_from(["PASSTHROUGH", "LOCALHOST"])),
    enableAutoMtls=st.booleans(),
    defaultServiceExportTo=EXPORT,
    defaultVirtualServiceExportTo=EXPORT,
    defaultDestinationRuleExportTo=EXPORT,
    rootNamespace=st.sampled_from(["istio-system", "other"]),
    trustDomain=st.sampled_from(["cluster.local", "b.example", ""]),
    trustDomainAliases=texts(),
    proxyListenPort=st.sampled_from([15001, 15101]),
    proxyInboundListenPort=st.sampled_from([15006, 15106]),
    proxyHttpPort=st.sampled_from([0, 15001, 15002, 80]),
    protocolDetectionTimeout=DURATIONS,
    connectTimeout=DURATIONS,
    pathNormalization=some(
        normalization=st.sampled_from(["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"])
    ),
    defaultHttpRetryPolicy=some(attempts=NUMBERS, retryOn=TEXTS),
)


def _everywhere(gateway: dict[str, Any]) -> bool:
    """Binds every address: of two Gateways at one port, one for all addresses, the engine can have one only."""
    return not any(server.get("bind") for server in gateway["servers"])


OWN = {
    **KINDS,
    "Sidecar": (NETWORKING, SIDECAR),
    "VirtualService": (NETWORKING, VIRTUAL_SERVICE),
    "WorkloadEntry": (NETWORKING, WORKLOAD),
    "DestinationRule": (
        NETWORKING,
        st.tuples(DESTINATION_RULE, some(exportTo=EXPORT, workloadSelector=LABELS.map(lambda x: {"matchLabels": x}), trafficPolicy=some(tls=CLIENT_TLS))).map(
            lambda two: {**two[0], **two[1]}
        ),
    ),
    "ServiceEntry": (
        NETWORKING,
        st.tuples(SERVICE_ENTRY, some(exportTo=EXPORT, workloadSelector=LABELS.map(lambda x: {"labels": x}))).map(
            lambda two: {**two[0], **two[1]}
        ),
    ),
    "Gateway": (NETWORKING, GATEWAY.filter(_everywhere)),
    "Service": ("v1", SERVICE),
}  # fmt: skip


def _document(version: str, kind: str, spec: object, name: str, namespace: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


OBJECT = st.sampled_from(sorted(OWN)).flatmap(
    lambda kind: st.tuples(OWN[kind][1], NAMES, NAMESPACES).map(lambda made: _document(OWN[kind][0], kind, *made))
)
SETTINGS = MESH.map(
    lambda mesh: {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": json.dumps(mesh)},
    }
)
MESHES = st.tuples(st.lists(OBJECT, min_size=1, max_size=6), st.lists(SETTINGS, max_size=1)).map(
    lambda two: [*two[0], *two[1]]
)
SCOPES = (
    Scope(labels=(("app", "reviews"), ("version", "v1")), app_ports=(9080,), address="10.0.0.1"),
    Scope(namespace="other", app_ports=(8080,), address="10.0.0.9"),
    Scope(kind="gateway", namespace="istio-system", labels=(("istio", "ingressgateway"),), address="10.0.0.3"),
)


def readable(written: Written) -> list[Document]:
    """What is accepted, each object once: the last one of a name."""
    found: dict[object, Document] = {}
    for text in (BASE, *map(json.dumps, written)):
        for entry in read_entries(LOADER, text, "f.yaml"):
            if entry.document is not None:
                found[entry.document.key] = entry.document
    return list(found.values())


def prepared(snapshot: Snapshot) -> None:
    """An engine takes it."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            engine = Rig(nursery, MemoryNetwork()).engine
            engine.discard(engine.prepare(snapshot))

    trio.run(main)


def check(written: Written) -> None:
    """Everything that must hold of a set of documents."""
    accepted = readable(written)
    for scope in SCOPES:
        snapshot = compile_snapshot(Mesh.of(accepted), scope)
        assert compile_snapshot(Mesh.of(accepted[::-1]), scope) == snapshot
        prepared(snapshot)
    analyze(accepted)


@settings(max_examples=60, deadline=None)
@given(MESHES)
def test_an_engine_takes_whatever_compiles(written: Written) -> None:
    check(written)


@pytest.mark.slow
@settings(max_examples=3_000, deadline=None)
@given(MESHES)
def test_an_engine_takes_whatever_compiles_at_length(written: Written) -> None:
    check(written)
