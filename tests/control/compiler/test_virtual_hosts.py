"""Route tables: whose virtual host is whose, and what a host nobody knows gets."""

from __future__ import annotations

import pytest

from meshd.control.scope import Scope
from meshd.snapshot.route import DirectResponse
from meshd.snapshot.snapshot import Snapshot
from tests.control.compiler.rendering import compiled, routes, shares, virtual_host

SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {ports: [{port: 80, name: http}, {port: 81, name: http-two}]}
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec: {ports: [{port: 81, name: http}, {port: 90, name: tcp}]}
"""


def rule(name: str, hosts: str, to: str = "", stamp: str = "", match: str = "", more: str = "") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, creationTimestamp: "{stamp}"}}
spec: {{hosts: [{hosts}], {more} http: [{{{match} route: [{{destination: {{host: {to or name}.example.com}}}}]}}]}}
"""


def hosts(snapshot: Snapshot, table: str) -> list[str]:
    (found,) = (each for each in snapshot.route_tables if each.name == table)
    return [host.name for host in found.virtual_hosts if host.name not in {"allow_any", "block_all"}]


def served(snapshot: Snapshot, host: str, port: int = 80) -> str:
    (route,) = routes(snapshot, str(port), f"{host}:{port}")
    (cluster,) = shares(route)
    return cluster.split("|")[3].removesuffix(".example.com")


A, B = "a.default.svc.cluster.local", "b.default.svc.cluster.local"
OLD, YOUNG = "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"


def test_the_oldest_rule_with_a_route_at_the_port_has_the_host() -> None:
    both = rule("x", "a", stamp=YOUNG) + rule("v", "a", stamp=OLD)
    assert served(compiled(SERVICES + both), A) == "v"
    elsewhere = rule("x", "a", stamp=YOUNG) + rule("v", "a", stamp=OLD, match="match: [{port: 81}],")
    assert served(compiled(SERVICES + elsewhere), A) == "x"
    assert served(compiled(SERVICES + elsewhere), A, 81) == "v"


def test_of_several_wildcards_the_most_specific_and_a_name_before_all() -> None:
    wild = rule("wide", '"*.local"', stamp=OLD) + rule("narrow", '"*.default.svc.cluster.local"', stamp=YOUNG)
    snapshot = compiled(SERVICES + wild)
    assert (served(snapshot, A), served(snapshot, B, 81)) == ("narrow", "narrow")
    named = compiled(SERVICES + wild + rule("name", "a", stamp="2022-01-01T00:00:00Z"))
    assert (served(named, A), served(named, B, 81)) == ("name", "narrow")
    # A name without a route here leaves the service as it is: the wildcard is not for it (Istio).
    idle = compiled(SERVICES + wild + rule("name", "a", match="match: [{port: 81}],"))
    assert served(idle, A) == A
    # A wildcard that is for services is no host of its own.
    assert hosts(snapshot, "80") == [f"{A}:80"]


def test_a_private_rule_comes_before_one_for_everybody() -> None:
    text = rule("public", "a", stamp=OLD) + rule("private", "a", stamp=YOUNG, more='exportTo: ["."],')
    assert served(compiled(SERVICES + text), A) == "private"
    assert served(compiled(SERVICES + text, Scope(namespace="other")), A) == "public"


def test_a_host_that_is_no_service_is_known_on_port_80_and_beside_services() -> None:
    snapshot = compiled(SERVICES + rule("x", "x.example.com") + rule("v", "b, v.example.com"))
    # The second one is tried on port 80 too; its service has no such port and is not taken for unknown there.
    assert hosts(snapshot, "80") == [f"{A}:80", "v.example.com:80", "x.example.com:80"]
    assert hosts(snapshot, "81") == [f"{A}:81", f"{B}:81", "v.example.com:81"]
    assert hosts(snapshot, "http_proxy") == ["v.example.com:80", "x.example.com:80"]


def test_unknown_hosts_are_proxied_even_where_nothing_is_on_port_80() -> None:
    snapshot = compiled(rule("x", "x.example.com"))
    assert [table.name for table in snapshot.route_tables if table.name.isdigit()] == []
    assert hosts(snapshot, "http_proxy") == ["x.example.com:80"]


def test_bytes_have_no_virtual_host() -> None:
    snapshot = compiled(SERVICES + rule("x", "b"))
    assert "90" not in {table.name for table in snapshot.route_tables}


@pytest.mark.parametrize(("mode", "name"), [("ALLOW_ANY", "allow_any"), ("REGISTRY_ONLY", "block_all")])
def test_what_nobody_knows(mode: str, name: str) -> None:
    config = f"""
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data: {{mesh: "outboundTrafficPolicy: {{mode: {mode}}}"}}
"""
    snapshot = compiled(SERVICES + config)
    for table in ("80", "81", "http_proxy"):
        assert virtual_host(snapshot, table, name).domains == ("*",)
    (route,) = routes(snapshot, "80", name)
    assert (route.action == DirectResponse(502)) == (mode == "REGISTRY_ONLY")


def test_a_catch_all_without_anything_to_do_ends_the_rules() -> None:
    text = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: x}
spec:
  hosts: [a]
  http:
  - {match: [{uri: {prefix: /x}}], route: [{destination: {host: x.example.com}}]}
  - {redirect: {uri: /, redirectCode: 304}}
  - {route: [{destination: {host: never.example.com}}]}
"""
    (route,) = routes(compiled(SERVICES + text), "80", f"{A}:80")
    assert route.match.path is not None
