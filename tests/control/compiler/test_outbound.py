"""Outbound: tables by port, who is seen, what unknown hosts get, and connections that are not read."""

from __future__ import annotations

from meshd.control.scope import Scope
from meshd.snapshot.chains import ConnectionFacts, select_chain
from meshd.snapshot.cluster import Discovery
from meshd.snapshot.route import Forward
from meshd.snapshot.snapshot import Snapshot
from tests.control.compiler.rendering import cluster, compiled, listener, routes, virtual_host

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
    # A service's full name is its own, even where it is a short name of another.
    assert virtual_host(snapshot, "80", "web.default:80").domains == ("web.default",)
    assert "web.default" not in virtual_host(snapshot, "80", "web.default.svc.cluster.local:80").domains
    assert "web" in virtual_host(snapshot, "80", "web.default.svc.cluster.local:80").domains


def test_of_two_services_with_one_address_the_older_is_reached_by_it() -> None:
    entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %s, creationTimestamp: "%s"}
spec: {hosts: [%s.example.com], addresses: [10.0.0.9], ports: [{number: 80, name: http}], resolution: DNS}
"""
    young, old = ("young", "2021-01-01T00:00:00Z"), ("old", "2020-01-01T00:00:00Z")
    snapshot = compiled("---".join(entry % (name, stamp, name) for name, stamp in (young, old)))
    assert virtual_host(snapshot, "80", "old.example.com:80").domains == ("old.example.com", "10.0.0.9")
    assert virtual_host(snapshot, "80", "young.example.com:80").domains == ("young.example.com",)


def test_listeners_are_only_for_what_was_captured() -> None:
    snapshot = compiled(SERVICES)
    assert {each.name: each.bound for each in snapshot.listeners} == {
        "0.0.0.0_80": False,
        "0.0.0.0_90": False,
        "virtualInbound": True,
        "virtualOutbound": True,
    }
    http = ConnectionFacts(80, "", "raw_buffer", ("http/1.1",))
    assert chain_of(snapshot, "0.0.0.0_80", http) == "http 80"
    assert chain_of(snapshot, "0.0.0.0_80") == "tcp PassthroughCluster"
    assert chain_of(snapshot, "0.0.0.0_90") == "tcp outbound|90||web.default.svc.cluster.local"


def test_virtual_outbound_is_a_proxy_for_http_and_passes_the_rest() -> None:
    snapshot = compiled("")
    http = ConnectionFacts(15001, "", "raw_buffer", ("http/1.1",))
    assert chain_of(snapshot, "virtualOutbound", http) == "http http_proxy"
    assert chain_of(snapshot, "virtualOutbound", ConnectionFacts(9999)) == "tcp PassthroughCluster"
    assert chain_of(snapshot, "virtualOutbound", ConnectionFacts(15001)) == "tcp BlackHoleCluster"


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
    assert by_name("x.example.com") == "tcp PassthroughCluster"


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
    assert chain_of(snapshot, "10.0.0.1_70", http) == "http web.default.svc.cluster.local:70"
    assert chain_of(snapshot, "10.0.0.1_70") == "tcp outbound|70||web.default.svc.cluster.local"
    # What is sent to its address is for it, whatever its Host.
    alone = virtual_host(snapshot, "web.default.svc.cluster.local:70", "web.default.svc.cluster.local:70")
    assert alone.domains == ("*",)
    assert "70" in tables(snapshot)
    assert "0.0.0.0_70" not in {each.name for each in snapshot.listeners}
