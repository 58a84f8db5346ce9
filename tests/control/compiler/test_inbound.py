"""Which chain an inbound connection gets: by port, TLS, ALPN and first bytes; and where it goes."""

from __future__ import annotations

import json

import attrs
import pytest

from meshd.control.scope import Scope
from meshd.snapshot.chains import ConnectionFacts, select_chain
from meshd.snapshot.cluster import Discovery, Endpoint
from meshd.snapshot.route import Forward, RetryPolicy
from meshd.snapshot.snapshot import Snapshot
from tests.control.compiler.rendering import cluster, compiled, endpoints, listener, routes
from tests.corpus import corpus_path

WEB = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, name: http, targetPort: 8080}, {port: 90, name: tcp}, {port: 70, name: odd}, {port: 60, name: grpc}]
"""
SCOPE = Scope(labels=(("app", "web"),), app_ports=(8080, 90, 70, 60))
MESH_HTTP = ("istio-http/1.1", "istio", "http/1.1")
MESH_TCP = ("istio",)


def authentication(spec: str, namespace: str = "default") -> str:
    return f"""
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: p, namespace: {namespace}}}
spec: {spec}
"""


def chosen(snapshot: Snapshot, port: int, *, tls: bool, protocols: tuple[str, ...] = ()) -> str:
    """``http CLUSTER``, ``tcp CLUSTER``, with ``mtls`` in front when it is terminated; "" when refused."""
    facts = ConnectionFacts(port, "", "tls" if tls else "raw_buffer", protocols)
    chain = select_chain(listener(snapshot, "virtualInbound"), facts)
    if chain is None:
        return ""
    terminated = "mtls " if chain.tls is not None else ""
    if chain.http is not None:
        return f"{terminated}http {chain.http.route_table}"
    assert chain.tcp is not None
    return f"{terminated}tcp {chain.tcp.clusters[0][0]}"


PASS = "InboundPassthroughCluster"


@pytest.mark.parametrize(
    ("port", "tls", "protocols", "expected"),
    [
        (8080, True, MESH_HTTP, "mtls http inbound|8080||"),
        (8080, False, ("http/1.1",), "http inbound|8080||"),
        (8080, False, (), "http inbound|8080||"),
        (8080, True, ("h2", "http/1.1"), ""),
        (8080, True, (), ""),
        (90, True, ("h2", "http/1.1"), "tcp inbound|90||"),
        (70, True, ("h2", "http/1.1"), "tcp inbound|70||"),
        (90, True, MESH_TCP, "mtls tcp inbound|90||"),
        (90, False, ("http/1.1",), "tcp inbound|90||"),
        (70, True, MESH_HTTP, "mtls http inbound|70||"),
        (70, True, MESH_TCP, "mtls tcp inbound|70||"),
        (70, False, ("h2c",), "http inbound|70||"),
        (70, False, (), "tcp inbound|70||"),
        (12345, False, (), f"tcp {PASS}"),
        (12345, False, ("http/1.1",), f"http {PASS}"),
        (12345, True, MESH_HTTP, f"mtls http {PASS}"),
        (15006, False, ("http/1.1",), "tcp BlackHoleCluster"),
    ],
)
def test_permissive(port: int, *, tls: bool, protocols: tuple[str, ...], expected: str) -> None:
    assert chosen(compiled(WEB, SCOPE), port, tls=tls, protocols=protocols) == expected


@pytest.mark.parametrize(
    ("port", "tls", "protocols", "expected"),
    [
        (8080, True, MESH_HTTP, "mtls http inbound|8080||"),
        (8080, True, (), "mtls http inbound|8080||"),
        (8080, False, ("http/1.1",), ""),
        (70, True, (), "mtls tcp inbound|70||"),
        (70, False, (), ""),
        (12345, False, (), ""),
        (12345, True, MESH_TCP, f"mtls tcp {PASS}"),
    ],
)
def test_strict(port: int, *, tls: bool, protocols: tuple[str, ...], expected: str) -> None:
    snapshot = compiled(WEB + authentication("{mtls: {mode: STRICT}}", "istio-system"), SCOPE)
    assert chosen(snapshot, port, tls=tls, protocols=protocols) == expected


@pytest.mark.parametrize(
    ("port", "tls", "protocols", "expected"),
    [
        (8080, False, ("http/1.1",), "http inbound|8080||"),
        (8080, True, MESH_HTTP, "http inbound|8080||"),
        (90, True, MESH_TCP, "tcp inbound|90||"),
        (9000, True, MESH_TCP, f"mtls tcp {PASS}"),
        (9000, False, (), ""),
        (9001, False, (), f"tcp {PASS}"),
        # Its own HTTPS is bytes, though its client says http/1.1.
        (70, True, ("h2", "http/1.1"), "tcp inbound|70||"),
        (70, False, ("http/1.1",), "http inbound|70||"),
        (70, False, (), "tcp inbound|70||"),
    ],
)
def test_disable_and_a_port_that_is_not_served(
    port: int, *, tls: bool, protocols: tuple[str, ...], expected: str
) -> None:
    spec = "{selector: {matchLabels: {app: web}}, mtls: {mode: DISABLE}, portLevelMtls: {'9000': {mode: STRICT}}}"
    assert chosen(compiled(WEB + authentication(spec), SCOPE), port, tls=tls, protocols=protocols) == expected


def test_the_applications_address_and_the_default_port() -> None:
    scope = Scope(labels=(("app", "web"),), app_ports=(8080,), app_host="10.9.9.9")
    snapshot = compiled(WEB, scope)
    assert endpoints(snapshot, "inbound|8080||") == (Endpoint("10.9.9.9", 8080),)
    assert listener(snapshot, "virtualInbound").default_destination_port == 8080
    assert cluster(snapshot, "inbound|8080||").discovery is Discovery.ENDPOINTS
    named = compiled(WEB, attrs.evolve(scope, app_host="app.internal"))
    assert cluster(named, "inbound|8080||").discovery is Discovery.DNS


def test_a_sidecar_without_any_document_is_a_plain_proxy() -> None:
    snapshot = compiled("", Scope(app_ports=(9999,)))
    assert chosen(snapshot, 9999, tls=False, protocols=("http/1.1",)) == "http inbound|9999||"
    assert chosen(snapshot, 9999, tls=False) == "tcp inbound|9999||"
    assert [table.name for table in snapshot.route_tables] == [
        "InboundPassthroughCluster",
        "http_proxy",
        "inbound|9999||",
    ]


def test_the_inbound_side_retries_what_never_reached_the_application() -> None:
    snapshot = compiled(WEB, SCOPE)
    (route,) = routes(snapshot, "inbound|8080||", "inbound|http|80")
    assert isinstance(route.action, Forward)
    assert route.action.retry == RetryPolicy(attempts=2, on=("reset-before-request",), ignore_previous_hosts=False)
    (grpc,) = routes(snapshot, "inbound|60||", "inbound|http|60")
    assert isinstance(grpc.action, Forward)
    assert grpc.action.retry is None
    assert cluster(snapshot, "inbound|60||").http2
    assert not cluster(snapshot, "inbound|8080||").http2


REGISTERED = """
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, annotations: {meshd.dev/inbound-port: "31006", meshd.dev/app-port: "%s"}}
spec: {address: 127.0.0.1, labels: {app: web}, ports: {http: %s}}
"""


def protocols_of(text: str, scope: Scope) -> dict[str, bool]:
    """Inbound clusters, and whether their port is read as HTTP in any case."""
    snapshot = compiled(text, scope)
    names = [each.name for each in snapshot.clusters if each.name.startswith("inbound|")]
    return {name: chosen(snapshot, int(name.split("|")[1]), tls=False).startswith("http") for name in names}


def test_whose_ports_are_served() -> None:
    one_port = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {%s ports: [{port: 80, name: http}]}\n"
    selecting = one_port % "selector: {app: web},"
    # One port on either side: that is the one, whatever the numbers.
    assert protocols_of(selecting, Scope(labels=(("app", "web"),), app_ports=(4711,))) == {"inbound|4711||": True}
    assert protocols_of(selecting, Scope(labels=(("app", "other"),), app_ports=(4711,))) == {"inbound|4711||": False}
    # A control plane that does not know the application's ports takes the service's word.
    assert protocols_of(selecting, Scope(labels=(("app", "web"),))) == {"inbound|80||": True}
    # By its own registration, where names decide.
    by_name = selecting.replace("name: http}", "name: http, targetPort: 1}, {port: 81, name: tcp}")
    registered = by_name + REGISTERED % ("4711", "4711")
    scope = Scope(labels=(("app", "web"),), app_ports=(4711,))
    assert protocols_of(by_name, scope) == {"inbound|4711||": False}
    assert protocols_of(registered, scope) == {"inbound|4711||": False}
    at_home = Scope(labels=(("app", "web"),), app_ports=(4711,), address="127.0.0.1")
    assert protocols_of(registered, at_home) == {"inbound|4711||": True}


def test_another_workload_on_the_same_machine_is_not_this_one() -> None:
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80, name: http}]}\n"
    scope = Scope(labels=(("app", "mine"),), app_ports=(5000,), address="127.0.0.1")
    assert protocols_of(text + REGISTERED % ("4711", "4711"), scope) == {"inbound|5000||": False}


def test_a_port_of_several_services_is_the_oldest_ones() -> None:
    text = """
apiVersion: v1
kind: Service
metadata: {name: aaa}
spec: {selector: {app: web}, ports: [{port: 8080, name: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: bbb%s}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080, name: http}]}
"""
    scope = Scope(labels=(("app", "web"),), app_ports=(8080,))
    assert protocols_of(text % "", scope) == {"inbound|8080||": False}
    old = ', creationTimestamp: "2020-01-01T00:00:00Z"'
    assert protocols_of(text % old, scope) == {"inbound|8080||": True}
    snapshot = compiled(text % old, scope)
    (table,) = (each for each in snapshot.route_tables if each.name == "inbound|8080||")
    assert [(host.name, host.service) for host in table.virtual_hosts] == [
        ("inbound|http|80", "bbb.default.svc.cluster.local")
    ]


def test_istios_simulations_of_peer_authentication() -> None:
    """Those cases that need no Sidecar resource."""
    cases = json.loads(corpus_path("expectations/simulation.json").read_text())["cases"]
    checked = 0
    for case in cases:
        if not case["test"].startswith("TestPeerAuthentication") or "kind: Sidecar" in case["config"]:
            continue
        # Istio's proxy under test has this address.
        scope = Scope(labels=tuple(case["proxy"]["labels"].items()), address="1.1.1.1")
        snapshot = compiled(case["config"], scope)
        for each in case["calls"]:
            call, expected = each["Call"], each["Result"]
            tls = call["TLS"] != "plaintext"
            protocols = ((call["Alpn"],) if call.get("Alpn") else ()) if tls else ("http/1.1",)
            found = chosen(snapshot, call["Port"], tls=tls, protocols=protocols)
            where = f"{case['name']}: {each['Name']}"
            if expected.get("Error") == "no filter chains matched":
                assert found == "", where
            elif expected.get("Error") == "protocol error":
                # TLS on a chain that reads plaintext HTTP.
                assert found == f"http inbound|{call['Port']}||", where
            else:
                assert found.endswith(expected["ClusterMatched"]), where
            checked += 1
    assert checked >= 10
