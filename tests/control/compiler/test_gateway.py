"""Gateways: which servers, which hosts, whose routes, in which order; what conflicts is left out."""

from __future__ import annotations

import json

import pytest

from meshd.control.scope import Scope
from meshd.snapshot.chains import ConnectionFacts, select_chain
from meshd.snapshot.match import select_virtual_host
from meshd.snapshot.route import Forward
from meshd.snapshot.snapshot import Snapshot
from tests.control.compiler.rendering import GATEWAY, cluster, compiled, endpoints, listener, routes, virtual_host
from tests.corpus import corpus_path


def gateway(servers: str, name: str = "gw", namespace: str = "default", selector: str = "istio: ingressgateway") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {{{selector}}}, servers: [{servers}]}}
"""


def virtual_service(
    name: str,
    hosts: str,
    rules: str = "http: [{route: [{destination: {host: web, port: {number: 80}}}]}]",
    more: str = "",
) -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}{more}}}
spec: {{hosts: [{hosts}], gateways: [default/gw], {rules}}}
"""


HTTP = '{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}'


def hosts(snapshot: Snapshot, table: str = "http.80") -> list[str]:
    return [host.name for each in snapshot.route_tables if each.name == table for host in each.virtual_hosts]


def test_a_gateway_is_chosen_by_labels_in_any_namespace() -> None:
    far = gateway(HTTP, namespace="far")
    assert [each.name for each in compiled(far, GATEWAY).listeners] == ["0.0.0.0_80"]
    assert compiled(far, Scope(kind="gateway", labels=(("istio", "egress"),))).listeners == ()
    everyone = gateway(HTTP, selector="")
    assert len(compiled(everyone, Scope(kind="gateway")).listeners) == 1


def test_a_sidecar_has_nothing_of_a_gateway() -> None:
    text = gateway(HTTP) + virtual_service("v", '"*"')
    assert [each.name for each in compiled(text).listeners] == ["virtualInbound", "virtualOutbound"]


def test_no_routes_is_a_black_hole() -> None:
    snapshot = compiled(gateway(HTTP), GATEWAY)
    assert hosts(snapshot) == ["blackhole:80"]
    assert routes(snapshot, "http.80", "blackhole:80") == ()


@pytest.mark.parametrize(
    ("server", "own", "expected"),
    [
        ("*", "a.com", ["a.com:80"]),
        ("a.com", "*", ["a.com:80"]),
        ("*.a.com", "*.b.a.com", ["*.b.a.com:80"]),
        ("*.com", "a.com", ["a.com:80"]),
        ("b.com", "a.com", ["blackhole:80"]),
        ("./*", "a.com", ["a.com:80"]),
        ("default/a.com", "a.com", ["a.com:80"]),
        ("other/a.com", "a.com", ["blackhole:80"]),
        ("*/a.com", "a.com", ["a.com:80"]),
    ],
)
def test_a_virtual_host_is_the_narrower_of_both(server: str, own: str, expected: list[str]) -> None:
    servers = f'{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ["{server}"]}}'
    assert hosts(compiled(gateway(servers) + virtual_service("v", f'"{own}"'), GATEWAY)) == expected


def test_virtual_services_of_one_host_follow_each_other_what_catches_all_last() -> None:
    at = "http: [{match: [{uri: {prefix: /%s}}], route: [{destination: {host: web, port: {number: 80}}}]}]"
    text = (
        gateway(HTTP)
        + virtual_service("young", "a.com", at % "young", ', creationTimestamp: "2022-01-01T00:00:00Z"')
        + virtual_service("old-all", "a.com", more=', creationTimestamp: "2020-01-01T00:00:00Z"')
        + virtual_service("middle", "a.com", at % "middle", ', creationTimestamp: "2021-01-01T00:00:00Z"')
    )
    found = routes(compiled(text, GATEWAY), "http.80", "a.com:80")
    assert [route.origin.resource for route in found] == [
        "VirtualService default/middle",
        "VirtualService default/young",
        "VirtualService default/old-all",
    ]


def test_servers_of_several_gateways_share_a_port() -> None:
    text = (
        gateway('{port: {number: 80, name: http, protocol: HTTP}, hosts: ["a.com"]}')
        + gateway('{port: {number: 80, name: web, protocol: HTTP2}, hosts: ["b.com"]}', "gw2")
        + virtual_service("v", "a.com, b.com")
        + virtual_service("w", "b.com").replace("default/gw]", "gw2]")
    )
    snapshot = compiled(text, GATEWAY)
    assert hosts(snapshot) == ["a.com:80", "b.com:80"]
    assert len(snapshot.listeners) == 1


def test_https_redirect() -> None:
    server = '{port: {number: 80, name: http, protocol: HTTP}, hosts: ["a.com"], tls: {httpsRedirect: true}}'
    without = compiled(gateway(server), GATEWAY)
    assert virtual_host(without, "http.80", "a.com:80").require_tls
    with_routes = compiled(gateway(server) + virtual_service("v", "a.com"), GATEWAY)
    assert virtual_host(with_routes, "http.80", "a.com:80").require_tls


def test_matches_can_be_for_some_gateways_and_ports() -> None:
    rules = (
        "http: [{match: [{uri: {prefix: /other}, gateways: [other]}, {uri: {prefix: /port}, port: 81},"
        " {uri: {prefix: /here}, gateways: [gw], port: 80}], route: [{destination: {host: web}}]}]"
    )
    found = routes(compiled(gateway(HTTP) + virtual_service("v", "a.com", rules), GATEWAY), "http.80", "a.com:80")
    assert [route.match.path.value for route in found if route.match.path] == ["/here"]


def test_a_bound_address_is_a_listener_of_its_own() -> None:
    servers = f'{HTTP}, {{port: {{number: 80, name: in, protocol: HTTP}}, bind: 127.0.0.1, hosts: ["*"]}}'
    assert [(each.name, each.host) for each in compiled(gateway(servers), GATEWAY).listeners] == [
        ("0.0.0.0_80", ""),
        ("127.0.0.1_80", "127.0.0.1"),
    ]


def test_only_what_is_used_travels() -> None:
    services = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80, name: http}, {port: 81, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: unused}
spec: {ports: [{port: 80, name: http}]}
"""
    snapshot = compiled(services + gateway(HTTP) + virtual_service("v", "a.com"), GATEWAY)
    assert [each.name for each in snapshot.clusters] == [
        "BlackHoleCluster",
        "PassthroughCluster",
        "outbound|80||web.default.svc.cluster.local",
    ]


def test_what_is_not_exported_to_the_gateway_is_not_there() -> None:
    private = virtual_service("v", "a.com", 'exportTo: ["."], http: [{route: [{destination: {host: web}}]}]')
    assert hosts(compiled(gateway(HTTP) + private, GATEWAY)) == ["blackhole:80"]
    assert hosts(compiled(gateway(HTTP) + private, Scope(kind="gateway", labels=GATEWAY.labels))) == ["a.com:80"]


SECURE = """
{port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.com, "*.b.com"], tls: {mode: SIMPLE, credentialName: one}},
{port: {number: 443, name: b, protocol: HTTPS}, hosts: [a.com, c.com], tls: {mode: SIMPLE, credentialName: two}},
{port: {number: 443, name: c, protocol: TLS}, hosts: [d.com], tls: {mode: SIMPLE, credentialName: three}},
{port: {number: 443, name: d, protocol: TLS}, hosts: [e.com], tls: {mode: PASSTHROUGH}},
{port: {number: 443, name: e, protocol: HTTP}, hosts: ["*"]}
"""


def test_tls_goes_by_server_name_and_a_server_with_a_name_of_an_earlier_one_is_left_out() -> None:
    rules = (
        "http: [{route: [{destination: {host: web, port: {number: 80}}}]}],"
        " tcp: [{route: [{destination: {host: bytes, port: {number: 1}}}]}],"
        " tls: [{match: [{sniHosts: [e.com]}], route: [{destination: {host: passed, port: {number: 2}}}]}]"
    )
    text = gateway(SECURE) + virtual_service("v", 'a.com, "*.b.com", c.com, d.com, e.com', rules)
    snapshot = compiled(text, GATEWAY)

    def by_name(name: str) -> tuple[str, str]:
        found = select_chain(listener(snapshot, "0.0.0.0_443"), ConnectionFacts(443, name, "tls", ("h2",)))
        if found is None:
            return "", ""
        certificate = found.tls.certificate if found.tls else ""
        return certificate, found.http.route_table if found.http else str(found.tcp and found.tcp.clusters[0][0])

    assert by_name("a.com") == ("kubernetes://one", "https.443.a.gw.default")
    assert by_name("x.b.com") == ("kubernetes://one", "https.443.a.gw.default")
    assert by_name("c.com") == ("", "")
    assert by_name("d.com") == ("kubernetes://three", "outbound|1||bytes.default.svc.cluster.local")
    assert by_name("e.com") == ("", "outbound|2||passed.default.svc.cluster.local")
    assert by_name("nobody.com") == ("", "")
    assert "http.443" not in {table.name for table in snapshot.route_tables}


EAST_WEST = """
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{port: 80, name: http}, {port: 90, name: tcp}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far}
spec: {hosts: [far.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: default}
spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: one}
spec: {address: 10.0.0.1, labels: {app: web, version: v1}, serviceAccount: web}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: two}
spec: {address: 10.0.0.2, labels: {app: web, version: v2}}
"""


def east_west(hosts: str) -> Snapshot:
    server = f"{{port: {{number: 15443, name: t, protocol: TLS}}, hosts: [{hosts}], tls: {{mode: AUTO_PASSTHROUGH}}}}"
    return compiled(gateway(server) + EAST_WEST, GATEWAY)


def test_mesh_mtls_is_passed_on_by_its_server_name() -> None:
    snapshot = east_west('"*.local"')
    name = "outbound_.80_.v1_.web.default.svc.cluster.local"
    assert {chain.match.server_names for chain in listener(snapshot, "0.0.0.0_15443").chains} == {
        (f"outbound_.{port}_.{subset}_.web.default.svc.cluster.local",) for port in (80, 90) for subset in ("", "v1")
    }

    def chosen(name: str, *protocols: str) -> str:
        facts = ConnectionFacts(15443, name, "tls", protocols)
        found = select_chain(listener(snapshot, "0.0.0.0_15443"), facts)
        return "" if found is None or found.tcp is None else found.tcp.clusters[0][0]

    assert chosen(name, "istio-http/1.1") == name
    # Other TLS than the mesh's would reach a server that takes it for its own.
    assert chosen(name, "h2") == chosen(name) == chosen("web.default.svc.cluster.local", "istio") == ""
    passed = cluster(snapshot, name)
    assert (passed.tls, passed.http2, passed.port, passed.subset) == (None, False, 80, "v1")


def test_only_those_who_speak_mesh_mtls_are_passed_to() -> None:
    snapshot = east_west('"*.local"')
    assert [each.host for each in endpoints(snapshot, "outbound_.80_._.web.default.svc.cluster.local")] == ["10.0.0.1"]


def test_only_the_meshs_own_services_of_the_servers_hosts_are_passed_to() -> None:
    assert east_west("other.default.svc.cluster.local, far.com").listeners == ()
    assert len(listener(east_west('"*"'), "0.0.0.0_15443").chains) == 4


def test_tls_without_routes_has_no_chain() -> None:
    terminated = '{port: {number: 443, name: t, protocol: TLS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: x}}'
    passed = "{port: {number: 444, name: p, protocol: TLS}, hosts: [b.com], tls: {mode: PASSTHROUGH}}"
    rules = "tls: [{match: [{sniHosts: [a.com]}], route: [{destination: {host: web}}]}]"
    text = gateway(f"{terminated}, {passed}") + virtual_service("v", "a.com", rules)
    assert compiled(text, GATEWAY).listeners == ()


def test_every_name_is_a_chain_without_a_server_name() -> None:
    server = '{port: {number: 443, name: s, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: x}}'
    snapshot = compiled(gateway(server), GATEWAY)
    (chain,) = listener(snapshot, "0.0.0.0_443").chains
    assert chain.match.server_names == ()


def test_authorization_stands_before_a_gateway() -> None:
    text = (
        gateway(HTTP)
        + """
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: istio-system}
spec: {action: DENY, selector: {matchLabels: {istio: ingressgateway}}, rules: [{}]}
"""
    )
    (chain,) = listener(compiled(text, GATEWAY), "0.0.0.0_80").chains
    assert chain.http is not None
    assert len(chain.http.filters) == 1
    assert chain.http.use_remote_address


def test_istios_simulations_of_http_gateways() -> None:
    """Those cases of Istio's simulation that need nothing but a Gateway and VirtualServices."""
    cases = json.loads(corpus_path("expectations/simulation.json").read_text())["cases"]
    wanted = {"TestHTTPGateway", "TestGatewayConflicts"}
    checked = 0
    for case in cases:
        if case["test"] not in wanted or case["name"] == "duplicate tls gateway":
            # Two servers of one name: Envoy refuses the listener there, here the first one keeps it.
            continue
        proxy = case["proxy"]
        scope = Scope(kind="gateway", namespace=proxy["namespace"], labels=tuple(proxy["labels"].items()))
        snapshot = compiled(case["config"], scope)
        for each in case["calls"]:
            checked += 1
            _check_call(snapshot, each["Call"], each["Result"])
    assert checked >= 6


def _check_call(snapshot: Snapshot, call: dict[str, object], result: dict[str, str]) -> None:
    wanted = result.get("ListenerMatched", f"0.0.0.0_{call['Port']}")
    found = next((each for each in snapshot.listeners if each.name == wanted), None)
    if result.get("Error") == "no listener matched":
        assert found is None
        return
    assert found is not None
    tls = call.get("TLS") == "tls"
    host = str(call.get("HostHeader", ""))
    facts = ConnectionFacts(0, host if tls else "", "tls" if tls else "raw_buffer", ("http/1.1",))
    chain = select_chain(found, facts)
    assert chain is not None
    if chain.tcp is not None:
        assert chain.tcp.clusters[0][0] == result["ClusterMatched"]
        return
    assert chain.http is not None
    assert chain.http.route_table == result.get("RouteConfigMatched", chain.http.route_table)
    (table,) = (each for each in snapshot.route_tables if each.name == chain.http.route_table)
    virtual = select_virtual_host(table, host.encode())
    error = result.get("Error")
    if error == "no virtual host matched":
        assert virtual is None
        return
    assert virtual is not None
    assert virtual.name == result.get("VirtualHostMatched", virtual.name)
    if error and "tls required" in error:
        assert virtual.require_tls
    elif not error:
        clusters = {
            each.cluster
            for route in virtual.routes
            if isinstance(route.action, Forward)
            for each in route.action.clusters
        }
        # Istio's simulation has no DNS domain: productpage.default.
        assert f"{result['ClusterMatched']}.svc.cluster.local" in clusters
