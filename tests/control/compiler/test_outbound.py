"""Outbound: tables by port, who is seen, what unknown hosts get, and connections that are not read."""

from __future__ import annotations

import json

import yaml

from meshd.control.scope import Scope
from meshd.snapshot.chains import ConnectionFacts, select_chain
from meshd.snapshot.cluster import Discovery
from meshd.snapshot.route import Forward
from meshd.snapshot.snapshot import Snapshot
from tests.control.compiler.rendering import cluster, compiled, listener, routes, virtual_host
from tests.corpus import corpus_path

SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80, name: http}, {port: 90, name: tcp}]}
---
apiVersion: v1
kind: Service
metadata: {name: hidden, namespace: far, annotations: {networking.istio.io/exportTo: "."}}
spec: {ports: [{port: 80, name: http}]}
"""


def tables(snapshot: Snapshot) -> dict[str, list[str]]:
    return {table.name: [host.name for host in table.virtual_hosts] for table in snapshot.route_tables}


def chain_of(snapshot: Snapshot, name: str, facts: ConnectionFacts = ConnectionFacts()) -> str:
    found = select_chain(listener(snapshot, name), facts)
    if found is None:
        return ""
    if found.http is not None:
        return f"http {found.http.route_table}"
    assert found.tcp is not None
    return f"tcp {found.tcp.clusters[0][0]}"


def test_tables_hold_what_is_seen() -> None:
    far = tables(compiled(SERVICES, Scope(namespace="far")))
    near = tables(compiled(SERVICES))
    assert near["80"] == ["allow_any", "web.default.svc.cluster.local:80"]
    assert far["80"] == ["allow_any", "hidden.far.svc.cluster.local:80", "web.default.svc.cluster.local:80"]
    assert "90" not in near
    assert near["http_proxy"] == ["allow_any"]


def test_unknown_hosts_go_where_they_were_going() -> None:
    snapshot = compiled(SERVICES)
    (route,) = routes(snapshot, "80", "allow_any")
    assert isinstance(route.action, Forward)
    assert [each.cluster for each in route.action.clusters] == ["PassthroughCluster"]
    assert cluster(snapshot, "PassthroughCluster").discovery is Discovery.ORIGINAL_DESTINATION
    assert "BlackHoleCluster" not in {group.cluster for group in snapshot.endpoints}


def test_a_domain_is_the_first_services_that_has_it() -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: other}
spec: {hosts: [web.default, only.example.com], ports: [{number: 80, name: http}], resolution: NONE}
"""
    snapshot = compiled(SERVICES + "---" + text)
    assert "web.default" in virtual_host(snapshot, "80", "web.default.svc.cluster.local:80").domains
    # Nothing is left of the younger one's domains, so it has no virtual host.
    assert tables(snapshot)["80"] == ["allow_any", "only.example.com:80", "web.default.svc.cluster.local:80"]


def test_listeners_are_only_for_what_was_captured() -> None:
    snapshot = compiled(SERVICES)
    assert {each.name: each.bound for each in snapshot.listeners} == {
        "0.0.0.0_80": False,
        "0.0.0.0_90": False,
        "virtualInbound": True,
        "virtualOutbound": True,
    }
    assert chain_of(snapshot, "0.0.0.0_80") == "http 80"
    assert chain_of(snapshot, "0.0.0.0_90") == "tcp outbound|90||web.default.svc.cluster.local"


def test_virtual_outbound_is_a_proxy_for_http_and_passes_the_rest() -> None:
    snapshot = compiled("")
    http = ConnectionFacts(15001, "", "raw_buffer", ("http/1.1",))
    assert chain_of(snapshot, "virtualOutbound", http) == "http http_proxy"
    assert chain_of(snapshot, "virtualOutbound") == "tcp PassthroughCluster"


TLS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: one}
spec: {hosts: [one.example.com], ports: [{number: 443, name: tls}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: two}
spec: {hosts: [two.example.com], ports: [{number: 443, name: tls}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: two}
spec:
  hosts: [two.example.com]
  tls:
  - match: [{sniHosts: [two.example.com, "*.two.example.com"], port: 443}]
    route: [{destination: {host: one.example.com}, weight: 1}, {destination: {host: gone}, weight: 0}]
  - match: [{sniHosts: [x.example.com], port: 444}]
    route: [{destination: {host: gone}}]
"""


def test_tls_goes_by_server_name() -> None:
    snapshot = compiled(TLS)

    def by_name(name: str) -> str:
        return chain_of(snapshot, "0.0.0.0_443", ConnectionFacts(443, name, "tls"))

    assert by_name("one.example.com") == "tcp outbound|443||one.example.com"
    assert by_name("two.example.com") == "tcp outbound|443||one.example.com"
    assert by_name("a.two.example.com") == "tcp outbound|443||one.example.com"
    assert by_name("x.example.com") == ""


def test_two_services_without_an_address_on_one_tcp_port() -> None:
    entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %s, creationTimestamp: "%s"}
spec: {hosts: [%s.example.com], ports: [{number: 9, name: tcp}], resolution: DNS}
"""
    text = entry % ("young", "2021-01-01T00:00:00Z", "young") + "---" + entry % ("old", "2020-01-01T00:00:00Z", "old")
    assert chain_of(compiled(text), "0.0.0.0_9") == "tcp outbound|9||old.example.com"


def test_a_sniffed_port_with_an_address() -> None:
    text = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.0.0.1, ports: [{port: 70}]}
"""
    snapshot = compiled(text)
    http = ConnectionFacts(70, "", "raw_buffer", ("http/1.1",))
    assert chain_of(snapshot, "10.0.0.1_70", http) == "http 70"
    assert chain_of(snapshot, "10.0.0.1_70") == "tcp outbound|70||web.default.svc.cluster.local"
    assert chain_of(snapshot, "0.0.0.0_70") == "tcp PassthroughCluster"
    assert chain_of(snapshot, "0.0.0.0_70", http) == "http 70"


def test_istios_sidecar_routes() -> None:
    """For each host of a route table, exactly these clusters (Istio's own cases)."""
    expectations = json.loads(corpus_path("expectations/simulation.json").read_text())["sidecar_routes"]
    checked = 0
    for case in expectations["cases"]:
        if case["variant"] != "virtualservice" or any(each["kind"] == "Sidecar" for each in case["docs"]):
            continue
        text = "---\n".join([expectations["knownServices"], *(yaml.safe_dump(each) for each in case["docs"])])
        snapshot = compiled(text, Scope(namespace=case["proxyNamespace"]))
        hosts = {
            host.name.rpartition(":")[0]: host
            for table in snapshot.route_tables
            if table.name == case["routeName"]
            for host in table.virtual_hosts
        }
        for name, clusters in (case["expected"] or {}).items():
            if clusters is None:
                assert name not in hosts, case["name"]
                continue
            actions = [route.action for route in hosts[name].routes]
            found = {each.cluster for action in actions if isinstance(action, Forward) for each in action.clusters}
            assert found == set(clusters), case["name"]
            checked += 1
    assert checked >= 5
