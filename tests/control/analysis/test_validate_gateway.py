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
        ([f"{HTTP}, hosts: [a]"], '"a" is a short name: write the whole domain name'),
        ([f"{HTTP}, hosts: ['*a.b']"], 'partial wildcard "*a.b" not allowed'),
        ([f"{HTTP}, hosts: ['~/a.b']"], 'invalid namespace value "~"'),
        ([f"{HTTP}, hosts: [a/]"], "both a namespace and a host are needed"),
        (["port: {number: 80, name: a}, hosts: ['*']"], "the protocol is missing"),
        (["port: {number: 80, name: a, protocol: UDP}, hosts: ['*']"], "warning MD0002 spec.servers[0].port.protocol"),
        (["port: {number: 80, name: a, protocol: TCP, targetPort: 1}, hosts: ['*']"], "a gateway has no targetPort"),
        (["port: {number: 80, name: a, protocol: TCP}, hosts: ['*'], tls: {}"], "TCP has no TLS settings"),
        ([f"{HTTP}, hosts: ['*'], bind: 'unix:///a'"], "a Unix socket has no port: write port number 0"),
        (
            [f"{HTTP}, hosts: ['*'], name: a", "port: {number: 81, name: b, protocol: HTTP}, hosts: [a.b], name: a"],
            "twice",
        ),
        ([f"{HTTPS}, hosts: ['*'], tls: {{httpsRedirect: true}}"], "should only be used with http servers"),
        ([f"{HTTPS}, hosts: ['*'], tls: {{cipherSuites: [x]}}"], '"x" is not a cipher suite'),
        ([f"{HTTPS}, hosts: ['*'], tls: {{cipherSuites: [AES128-SHA, AES128-SHA]}}"], '"AES128-SHA" is here twice'),
        ([f"{HTTPS}, hosts: ['*'], tls: {{minProtocolVersion: TLSV1_0}}"], "below TLSV1_2 name cipherSuites"),
        (
            [f"{HTTPS}, hosts: ['*'], tls: {{mode: ISTIO_MUTUAL, caCertificates: /a}}"],
            "cannot have associated CA bundle",
        ),
        ([f"{HTTPS}, hosts: ['*'], tls: {{mode: SIMPLE, credentialName: a, credentialNames: [b]}}"], "only one of"),
        ([f"{HTTPS}, hosts: ['*'], tls: {{mode: SIMPLE, credentialNames: [a, b, c]}}"], "can support up to 2"),
        (
            [f"{HTTPS}, hosts: ['*'], tls: {{mode: SIMPLE, credentialNames: [a, b]}}"],
            "warning MD0002 spec.servers[0].tls.credentialNames: meshd does not choose",
        ),
        ([f"{HTTPS}, hosts: ['*'], tls: {{mode: SIMPLE, tlsCertificates: [{{}}]}}"], "requires a private key"),
        (
            [f"{HTTPS}, hosts: ['*'], tls: {{mode: SIMPLE, serverCertificate: /c, privateKey: /k, caCrl: /r}}"],
            "SIMPLE TLS",
        ),
        (
            [
                f"{HTTPS}, hosts: ['*'], tls: {{mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /a, caCrl: /r}}"
            ],
            "error MD0002 spec.servers[0].tls.caCrl: meshd does not support CRLs yet",
        ),
        (
            [f"{HTTPS}, hosts: ['*'], tls: {{mode: SIMPLE, credentialName: a, privateKey: /k}}"],
            "warning MD0005 spec.servers[0].tls.privateKey",
        ),
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


def test_a_gateways_name_has_no_dots() -> None:
    found = said(text("Gateway", f"{{selector: {{a: b}}, servers: [{{{HTTP}, hosts: ['*']}}]}}", name="a.b"))
    assert found == ['error metadata.name: "a.b" is not a gateway\'s name: no dots, 63 characters at most']
