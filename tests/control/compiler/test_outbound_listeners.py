"""Outbound listeners: what meets at one port, and what becomes of it."""

from __future__ import annotations

import pytest

from meshd.control.compiler import Memo, compile_snapshot
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.snapshot.chains import ConnectionFacts, select_chain, select_listener
from meshd.snapshot.snapshot import Snapshot
from tests.control.compiler.rendering import compiled, listener
from tests.control.documents import documents


def entry(name: str, protocol: str, more: str = "", port: int = 70) -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.example.com]
  ports: [{{number: {port}, name: {"p" if protocol == "AUTO" else "x"}, protocol: {'""' if protocol == "AUTO" else protocol}}}]
  resolution: DNS
  {more}
"""


def reached(snapshot: Snapshot, host: str, facts: ConnectionFacts, port: int = 70) -> str:
    found = select_listener(snapshot.listeners, host, port)
    assert found is not None
    chain = select_chain(found, facts)
    assert chain is not None
    if chain.http is not None:
        return f"http {chain.http.route_table}"
    assert chain.tcp is not None
    return chain.tcp.clusters[0][0].removeprefix("outbound|70||").removesuffix(".example.com")


HTTP = ConnectionFacts(70, application_protocols=("http/1.1",))
BYTES = ConnectionFacts(70)
TLS = ConnectionFacts(70, transport_protocol="tls", application_protocols=("http/1.1",))


@pytest.mark.parametrize(
    ("first", "second", "http", "rest"),
    [
        ("HTTP", "HTTP", "http 70", "PassthroughCluster"),
        ("HTTP", "TCP", "http 70", "b"),
        ("TCP", "HTTP", "http 70", "a"),
        ("TCP", "TCP", "a", "a"),
        ("AUTO", "TCP", "http 70", "a"),
        ("TCP", "AUTO", "http 70", "a"),
        ("HTTP", "AUTO", "http 70", "PassthroughCluster"),
        ("AUTO", "AUTO", "http 70", "a"),
        ("GRPC", "HTTP2", "http 70", "PassthroughCluster"),
    ],
)
def test_what_meets_at_a_port_without_addresses(first: str, second: str, http: str, rest: str) -> None:
    snapshot = compiled(entry("a", first) + entry("b", second))
    assert reached(snapshot, "1.2.3.4", HTTP) == http
    assert reached(snapshot, "1.2.3.4", BYTES) == rest
    # TLS is no HTTP that a sidecar can read, whatever it offers by ALPN.
    assert reached(snapshot, "1.2.3.4", TLS) == rest


def test_an_address_keeps_bytes_apart_and_http_together() -> None:
    snapshot = compiled(
        entry("a", "TCP", "addresses: [10.0.0.1]")
        + entry("b", "TCP", "addresses: [10.0.0.2, 10.0.0.1]")
        + entry("c", "HTTP", "addresses: [10.0.0.3]")
    )
    assert reached(snapshot, "10.0.0.1", BYTES) == "a"
    assert reached(snapshot, "10.0.0.2", BYTES) == "b"
    assert reached(snapshot, "10.0.0.3", HTTP) == "http 70"
    assert "10.0.0.3_70" not in {each.name for each in snapshot.listeners}


def test_a_sniffed_port_with_an_address_is_its_services_alone() -> None:
    snapshot = compiled(entry("a", "AUTO", "addresses: [10.0.0.1]") + entry("b", "TCP", "addresses: [10.0.0.1]"))
    assert reached(snapshot, "10.0.0.1", HTTP) == "http a.example.com:70"
    assert reached(snapshot, "10.0.0.1", BYTES) == "a"


def test_ranges_go_from_narrow_to_wide_and_what_has_none_is_last() -> None:
    snapshot = compiled(
        entry("a", "TCP", "addresses: [10.0.0.0/8]").replace("DNS", "NONE")
        + entry("b", "TCP", "addresses: [10.1.0.0/16]").replace("DNS", "NONE")
        + entry("c", "TCP")
    )
    assert reached(snapshot, "10.2.0.1", ConnectionFacts(70, destination_ip="10.2.0.1")) == "a"
    assert reached(snapshot, "10.1.0.1", ConnectionFacts(70, destination_ip="10.1.0.1")) == "b"
    assert reached(snapshot, "192.168.0.1", ConnectionFacts(70, destination_ip="192.168.0.1")) == "c"


WORKLOADS = "endpoints: [{address: 10.0.0.7}, {address: 10.0.0.8}]"


def test_a_service_without_addresses_that_goes_where_the_client_goes_is_known_by_its_workloads() -> None:
    text = entry("a", "TCP", WORKLOADS).replace("DNS", "NONE") + entry("b", "TCP").replace("DNS", "NONE")
    snapshot = compiled(text, Scope(address="10.0.0.8"))
    names = {each.name for each in snapshot.listeners}
    assert {"10.0.0.7_70", "0.0.0.0_70"} <= names
    assert "10.0.0.8_70" not in names, "the proxy's own"
    assert reached(snapshot, "10.0.0.7", BYTES) == "a"
    assert reached(snapshot, "10.0.0.9", BYTES) == "b"


def sidecar(egress: str) -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default}}
spec: {{egress: [{egress}]}}
"""


@pytest.mark.parametrize(
    ("egress", "name", "bound"),
    [
        ('{hosts: ["*/*"]}', "0.0.0.0_70", False),
        ('{hosts: ["*/*"], captureMode: NONE}', "127.0.0.1_70", True),
        ('{hosts: ["*/*"], captureMode: NONE, bind: 127.0.0.5}', "127.0.0.5_70", True),
        ('{port: {number: 70, protocol: HTTP, name: p}, hosts: ["*/*"], captureMode: NONE}', "127.0.0.1_70", True),
        ('{port: {number: 70, protocol: TCP, name: p}, hosts: ["*/*"]}', "10.0.0.1_70", False),
        ('{port: {number: 70, protocol: TCP, name: p}, bind: 10.0.0.6, hosts: ["*/*"]}', "10.0.0.6_70", False),
    ],
)
def test_where_a_sidecars_listeners_are(egress: str, name: str, bound: bool) -> None:
    snapshot = compiled(entry("a", "HTTP", "addresses: [10.0.0.1]") + sidecar(egress))
    others = {"virtualInbound", "virtualOutbound"}
    assert {each.name: each.bound for each in snapshot.listeners if each.name not in others} == {name: bound}


def test_a_listeners_port_says_what_is_spoken_there() -> None:
    text = entry("a", "HTTP") + sidecar('{port: {number: 70, protocol: TCP, name: p}, hosts: ["*/*"]}')
    snapshot = compiled(text)
    assert reached(snapshot, "1.2.3.4", HTTP) == "a"
    assert "70" not in {each.name for each in snapshot.route_tables}


def test_a_unix_socket_is_not_listened_at() -> None:
    text = entry("a", "HTTP") + sidecar(
        '{port: {number: 70, protocol: HTTP, name: p}, bind: "unix:///s", hosts: ["*/*"]}'
    )
    assert {each.name for each in compiled(text).listeners} == {"virtualInbound", "virtualOutbound"}


def test_a_listener_that_did_not_change_is_the_same_object_which_is_not_written_again() -> None:
    memo = Memo()
    text = entry("a", "TCP", "addresses: [10.0.0.1]")
    before = compile_snapshot(Mesh.of(documents(text)), Scope(), memo)
    after = compile_snapshot(Mesh.of(documents(text + entry("b", "HTTP", port=71))), Scope(), memo)
    assert listener(before, "10.0.0.1_70") is listener(after, "10.0.0.1_70")
    assert before.version != after.version
