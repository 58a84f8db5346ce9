"""Gateway alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text

HTTP = "port: {number: 80, name: http, protocol: HTTP}"
HTTPS = "port: {number: 443, name: https, protocol: HTTPS}"


def of(*servers: str) -> list[str]:
    inner = ", ".join(f"{{{server}}}" for server in servers)
    return said(text("Gateway", f"{{selector: {{istio: ingressgateway}}, servers: [{inner}]}}"))


@pytest.mark.parametrize(
    "server",
    [
        f"{HTTP}, hosts: ['*']",
        f"{HTTP}, hosts: [./a.b, '*/c.d', prod/e.f, '*.g.h'], bind: 127.0.0.1, name: x",
        f"{HTTP}, hosts: ['*'], tls: {{httpsRedirect: true}}",
        f"{HTTPS}, hosts: [a.b], tls: {{mode: SIMPLE, credentialName: c}}",
        f"{HTTPS}, hosts: [a.b], tls: {{mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /a}}",
        f"{HTTPS}, hosts: [a.b], tls: {{mode: PASSTHROUGH}}",
        f"{HTTPS}, hosts: [a.b], tls: {{mode: ISTIO_MUTUAL}}",
        "port: {number: 443, name: x, protocol: tls}, hosts: [a.b], tls: {mode: PASSTHROUGH}",
    ],
)
def test_good(server: str) -> None:
    assert of(server) == []


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ([], "there are no servers"),
        ([f"{HTTP}, hosts: []"], "there are no hosts"),
        ([f"{HTTP}, hosts: ['a b.c']"], '"a b.c" is not a domain name'),
        ([f"{HTTP}, hosts: ['A_B/a.b']"], 'invalid namespace value "A_B"'),
        ([f"{HTTP}, hosts: ['*'], bind: somewhere"], "somewhere is not a valid IP address"),
        ([f"{HTTP}, hosts: ['*'], bind: 'unix://x'"], "is not an absolute socket path"),
        (["port: {number: 0, name: a, protocol: HTTP}, hosts: ['*']"], "0 is not a port"),
        (["port: {number: 80, name: a, protocol: HTP}, hosts: ['*']"], 'invalid protocol "HTP": one of HTTP'),
        (["port: {number: 80, name: '', protocol: HTTP}, hosts: ['*']"], "the port name is missing"),
        ([f"{HTTP}, hosts: [a]", f"{HTTP}, hosts: [b]"], 'servers[1].port.name: the port name "http" is here twice'),
        ([f"{HTTPS}, hosts: ['*']"], "HTTPS needs TLS settings"),
        (
            [f"{HTTP}, hosts: ['*'], tls: {{mode: SIMPLE, credentialName: c}}"],
            "HTTP has no TLS settings; write protocol HTTPS",
        ),
        (
            [f"{HTTPS}, hosts: ['*'], tls: {{mode: SIMPLE}}"],
            "SIMPLE TLS requires a server certificate: set serverCertificate (a file)",
        ),
        (
            [f"{HTTPS}, hosts: ['*'], tls: {{mode: MUTUAL, serverCertificate: /c, privateKey: /k}}"],
            "MUTUAL TLS requires a client CA bundle: set caCertificates",
        ),
        (
            [f"{HTTPS}, hosts: ['*'], tls: {{credentialName: c}}"],
            "warning spec.servers[0].tls.credentialName: PASSTHROUGH mode does not use certificates",
        ),
        ([f"{HTTPS}, hosts: ['*'], tls: {{mode: ISTIO_MUTUAL, credentialName: c}}"], "leave this field out"),
        (
            [
                f"{HTTPS}, hosts: ['*'], tls: {{mode: PASSTHROUGH, minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_2}}"
            ],
            "the least version TLSV1_3 is above the most, TLSV1_2",
        ),
        (
            [f"{HTTPS}, hosts: ['*'], tls: {{mode: MUTUAL, credentialName: c, verifyCertificateHash: [x]}}"],
            "error MD0002 spec.servers[0].tls.verifyCertificateHash",
        ),
    ],
)
def test_bad(servers: list[str], message: str) -> None:
    assert any(message in line for line in of(*servers)), of(*servers)


def test_without_a_selector() -> None:
    lines = said(text("Gateway", f"{{servers: [{{{HTTP}, hosts: ['*']}}]}}"))
    assert lines == [
        "warning MD0005 spec: without a selector it is for every workload; add selector: {istio: ingressgateway}"
    ]
