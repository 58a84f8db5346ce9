"""Gateways."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
import trustme

from meshd.control.analysis.istio.gateways import conflicts, credentials, same_certificates, workload_ports
from tests.control.analysis.istio.cases import ask, deployment, istio, join, pod, said, service

MINE = "gate: mine"
AT = "{name: p%d, number: %d, protocol: HTTP}"


def gateway(
    name: str, port: int = 80, hosts: str = '"*"', *, selector: str = MINE, tls: str = "", ns: str = "default"
) -> str:
    protocol = "HTTPS" if tls else "HTTP"
    extra = f", tls: {{{tls}}}" if tls else ""
    server = f"{{port: {{name: p, number: {port}, protocol: {protocol}}}, hosts: [{hosts}]{extra}}}"
    return istio("Gateway", name, f"{{selector: {{{selector}}}, servers: [{server}]}}", namespace=ns)


POD = pod("gate", MINE)


def test_a_gateway_without_a_workload() -> None:
    [finding] = ask(workload_ports, gateway("g"))
    assert (finding.code, finding.message) == (
        "IST0101",
        "no workload has the labels gate=mine: nobody serves this Gateway",
    )
    assert said(credentials, gateway("g")) == ["IST0101 Gateway default/g 4"]


@pytest.mark.parametrize(
    ("port", "target", "number", "expected"),
    [
        (80, "8080", 80, []),
        (80, "8080", 8080, []),
        (80, "8080", 81, ["IST0162 Gateway default/g 4"]),
        (80, "http", 80, []),
        (80, "http", 81, ["IST0162 Gateway default/g 4"]),
    ],
)
def test_ports_of_services(port: int, target: str, number: int, expected: list[str]) -> None:
    front = service("s", f"{{port: {port}, targetPort: {target}}}", selector=MINE)
    assert said(workload_ports, join(gateway("g", number), POD, front)) == expected


def test_services_elsewhere_and_for_others_do_not_count() -> None:
    others = [
        service("s", "{port: 80}", selector=MINE, namespace="other"),
        service("t", "{port: 80}", selector="gate: yours"),
        service("u", "{port: 80, protocol: UDP}", selector=MINE),
    ]
    assert said(workload_ports, join(gateway("g"), POD, *others)) == ["IST0162 Gateway default/g 4"]


def test_a_port_is_told_once() -> None:
    server = '{port: {name: %s, number: 80, protocol: HTTP}, hosts: ["%s.example.com"]}'
    two = istio("Gateway", "g", f"{{selector: {{{MINE}}}, servers: [{server % ('a', 'a')}, {server % ('b', 'b')}]}}")
    assert said(workload_ports, join(two, POD)) == ["IST0162 Gateway default/g 4"]


def test_the_ingress_gateway_is_there_though_nobody_says_so() -> None:
    usual = "istio: ingressgateway"
    for number in (80, 443, 8080, 8443, 31400):
        assert said(workload_ports, gateway("g", number, selector=usual)) == []
    assert said(workload_ports, gateway("g", 8003, selector=usual)) == ["IST0162 Gateway default/g 4"]
    own = deployment("ingress", usual, namespace="istio-system")
    front = service("ingress", "{port: 8003}", selector=usual, namespace="istio-system")
    assert said(workload_ports, join(gateway("g", 8003, selector=usual), own, front)) == []
    assert said(workload_ports, join(gateway("g", 80, selector=usual), own, front)) == ["IST0162 Gateway default/g 4"]


def test_a_deployment_without_any_service_may_be_reached_otherwise() -> None:
    assert said(workload_ports, join(gateway("g"), deployment("d", MINE))) == []


def secret(name: str, namespace: str = "default", **data: bytes) -> str:
    inner = ", ".join(f"{key}: {base64.b64encode(value).decode()}" for key, value in data.items())
    return f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata: {{{inner}}}\n"


SIMPLE = "mode: SIMPLE, credentialName: cert"
HTTPS = gateway("g", 443, tls=SIMPLE)
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def material() -> tuple[bytes, bytes]:
    leaf = trustme.CA().issue_cert("a.example.com")
    return leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()


def test_secrets_stand_where_the_gateway_runs(material: tuple[bytes, bytes]) -> None:
    certificate, key = material
    here = secret("cert", **{"tls.crt": certificate, "tls.key": key})
    assert said(credentials, join(HTTPS, POD, here), now=NOW) == []
    assert said(credentials, join(HTTPS, POD, secret("cert", cert=certificate, key=key)), now=NOW) == []
    elsewhere = here.replace("namespace: default", "namespace: other")
    assert said(credentials, join(HTTPS, POD, elsewhere)) == ["IST0101 Gateway default/g 4"]
    there = gateway("g", 443, tls=SIMPLE, ns="other")
    assert said(credentials, join(there, POD, here), now=NOW) == []


def test_secrets_that_are_of_no_use(material: tuple[bytes, bytes]) -> None:
    certificate, key = material
    cases = {
        "no certificate": {"tls.key": key},
        "no private key": {"tls.crt": certificate},
        "cannot be read": {"tls.crt": b"nonsense", "tls.key": key},
    }
    for why, data in cases.items():
        [finding] = ask(credentials, join(HTTPS, POD, secret("cert", **data)), now=NOW)
        assert finding.code == "IST0161"
        assert why in finding.message
    whole = secret("cert", **{"tls.crt": certificate, "tls.key": key})
    for year, why in ((3100, "has expired"), (1990, "is not valid yet")):
        [finding] = ask(credentials, join(HTTPS, POD, whole), now=datetime(year, 1, 1, tzinfo=UTC))
        assert why in finding.message
    assert said(credentials, join(HTTPS, POD, whole)) == []


def test_the_same_certificate_in_two_gateways() -> None:
    one, two = gateway("one", 443, tls=SIMPLE), gateway("two", 443, tls=SIMPLE)
    assert said(same_certificates, join(one, two)) == ["IST0138 Gateway default/one 3", "IST0138 Gateway default/two 8"]
    narrower = gateway("two", 443, tls=SIMPLE, selector=f"{MINE}, more: x")
    assert said(same_certificates, join(one, narrower)) == ["IST0138 Gateway default/one 3"]
    assert said(same_certificates, join(one, gateway("two", 443, tls=SIMPLE.replace("cert", "other")))) == []
    assert said(same_certificates, join(one, gateway("two", 443, tls=SIMPLE, selector="gate: yours"))) == []
    files = "mode: SIMPLE, serverCertificate: /a, privateKey: /b"
    assert len(said(same_certificates, join(gateway("one", 443, tls=files), gateway("two", 443, tls=files)))) == 2
    assert said(same_certificates, join(gateway("one", 443, tls=files), gateway("two", 443, tls=files + "x"))) == []


BOTH = ["IST0145 Gateway default/one 4", "IST0145 Gateway default/two 9"]


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ({}, {}, BOTH),
        ({}, {"port": 81}, []),
        ({"hosts": "a.example.com"}, {"hosts": "b.example.com"}, []),
        ({"hosts": '"*.example.com"'}, {"hosts": "b.example.com"}, BOTH),
        ({"hosts": '"*.example.com"'}, {"hosts": '"*.b.example.com"'}, BOTH),
        ({"selector": "gate: mine, more: x"}, {}, BOTH),
        ({"selector": "gate: yours"}, {}, []),
        ({"hosts": "x/a.example.com"}, {"hosts": "y/a.example.com"}, []),
        ({"hosts": "x/a.example.com"}, {"hosts": "a.example.com"}, BOTH),
        ({"hosts": "x/a.example.com"}, {"hosts": '"*/a.example.com"'}, BOTH),
    ],
)
def test_conflicts(one: dict[str, object], two: dict[str, object], expected: list[str]) -> None:
    assert said(conflicts, join(gateway("one", **one), gateway("two", **two))) == expected


def test_gateways_conflict_across_namespaces() -> None:
    source = join(gateway("one"), gateway("two", ns="other"))
    assert [each.message.partition(":")[0] for each in ask(conflicts, source)] == [
        "conflicts with other/two",
        "conflicts with default/one",
    ]


def test_a_gateway_does_not_conflict_with_itself() -> None:
    server = "{port: {name: %s, number: 80, protocol: HTTP}, hosts: [a.example.com]}"
    two = istio("Gateway", "g", f"{{selector: {{{MINE}}}, servers: [{server % 'a'}, {server % 'b'}]}}")
    assert said(conflicts, two) == []
