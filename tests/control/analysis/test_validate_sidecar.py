"""Sidecar alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text

ALL = "egress: [{hosts: ['*/*']}]"
PORT = "port: {number: 90, protocol: HTTP, name: http}"


def of(spec: str) -> list[str]:
    return [line for line in said(text("Sidecar", f"{{{spec}}}")) if "MD0002" not in line and "MD0003" not in line]


@pytest.mark.parametrize(
    "spec",
    [
        ALL,
        "egress: [{hosts: [./*, '~ns/*', a/b.c, '*/*.d.e']}]",
        "egress: [{port: {number: 80}, bind: 127.0.0.1, hosts: [./a.b]}, {hosts: ['~/*']}]",
        "egress: [{port: {protocol: TCP}, bind: 'unix:///a', captureMode: NONE, hosts: [./a.b]}]",
        f"ingress: [{{{PORT}, defaultEndpoint: '127.0.0.1:1', bind: 10.0.0.1}}]",
        f"ingress: [{{{PORT}, defaultEndpoint: '[::]:1', connectionPool: {{http: {{maxRetries: 1}}}}}}]",
        f"ingress: [{{{PORT}, defaultEndpoint: 'unix:///a', tls: {{mode: SIMPLE, serverCertificate: /c, privateKey: /k}}}}]",
        "workloadSelector: {labels: {a: b}}, inboundConnectionPool: {tcp: {maxConnections: 1}}",
        "outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.b, port: {number: 1}}}",
    ],
)
def test_good(spec: str) -> None:
    assert of(spec) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "the sidecar says nothing"),
        ("ingress: [{port: {number: 15021}, captureMode: NONE}]", "the proxy itself listens on port 15021"),
        ("egress: [{port: {number: 15001}, captureMode: NONE, hosts: ['*/*']}]", "itself listens on port 15001"),
        (f"workloadSelector: {{}}, {ALL}", "warning spec.workloadSelector: a workloadSelector without labels"),
        ("egress: [{hosts: []}]", "there are no hosts"),
        ("egress: [{hosts: [a.b]}]", '"a.b" is not of the form namespace/host'),
        ("egress: [{hosts: ['*/a']}]", '"a" is a short name'),
        ("egress: [{hosts: ['*/*a.b']}]", 'partial wildcard "*a.b" not allowed'),
        ("egress: [{hosts: [A_B/a.b]}]", 'invalid namespace value "A_B"'),
        ("egress: [{hosts: [/a.b]}]", "both a namespace and a host are needed"),
        ("egress: [{hosts: [a/b.c, a/*]}]", 'warning spec.egress[0].hosts[1]: "a/*" is here twice, or within'),
        ("egress: [{hosts: ['*/*', a/b.c]}]", 'warning spec.egress[0].hosts: "*/*" is everything'),
        (f"egress: [{{hosts: ['*/*']}}, {{{PORT}, hosts: ['*/*']}}]", "put it last"),
        ("egress: [{bind: 1.1.1.1, hosts: ['*/*']}]", "an address to bind needs a port"),
        (f"egress: [{{{PORT}, hosts: ['*/*']}}, {{{PORT}, hosts: ['*/*']}}]", "two listeners have port 90"),
        ("egress: [{port: {number: 0}, hosts: ['*/*']}]", "port 0 needs a Unix socket as bind"),
        ("egress: [{port: {protocol: TCP}, bind: 'unix://a', hosts: ['*/*']}]", "is not an absolute socket path"),
        (
            "egress: [{port: {protocol: TCP}, bind: 'unix:///a', captureMode: IPTABLES, hosts: ['*/*']}]",
            "cannot be captured",
        ),
        ("egress: [{port: {number: 1, protocol: X, name: a.b, targetPort: 1}, hosts: ['*/*']}]", "is not a protocol"),
        ("egress: [{port: {number: 1, targetPort: 1}, hosts: ['*/*']}]", "a sidecar has no targetPort"),
        ("egress: [{port: {number: 1, name: a.b}, hosts: ['*/*']}]", "is not a port's name"),
        (f"ingress: [{{{PORT}}}, {{{PORT}}}]", "port 90 is here twice"),
        (f"ingress: [{{{PORT}, bind: x}}]", '"x" is not a valid IP address'),
        (f"ingress: [{{{PORT}, defaultEndpoint: '1.1.1.1:90'}}]", "is not the workload itself"),
        (f"ingress: [{{{PORT}, defaultEndpoint: '::1:90'}}]", "is not the workload itself"),
        (f"ingress: [{{{PORT}, defaultEndpoint: '127.0.0.1:x'}}]", '"x" is not a port'),
        (f"ingress: [{{{PORT}, tls: {{mode: ISTIO_MUTUAL}}}}]", "ISTIO_MUTUAL cannot be set for a sidecar"),
        (f"ingress: [{{{PORT}, tls: {{mode: SIMPLE, credentialName: a}}}}]", "credentialName is not supported"),
        (f"ingress: [{{{PORT}, tls: {{mode: SIMPLE}}}}]", "SIMPLE TLS requires a server certificate"),
        (
            "ingress: [{port: {number: 1, protocol: TCP}, connectionPool: {http: {maxRetries: 1}}}]",
            "warning spec.ingress[0].connectionPool.http: port 1 is not HTTP (TCP): only tcp counts",
        ),
        ("inboundConnectionPool: {}", "the connection pool is empty"),
        ("outboundTrafficPolicy: {egressProxy: {host: a.b, port: {number: 1}}}", "needs mode: ALLOW_ANY"),
        ("outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.b}}", "the egressProxy needs a port"),
        (
            "outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: '*.b', port: {number: 1}}}",
            "is a wildcard: name one host",
        ),
    ],
)
def test_bad(spec: str, message: str) -> None:
    assert any(message in line for line in of(spec)), of(spec)


def test_unix_sockets_lead_nowhere_yet() -> None:
    found = said(text("Sidecar", f"{{ingress: [{{{PORT}, defaultEndpoint: 'unix:///a'}}]}}"))
    assert any("MD0002 spec.ingress[0].defaultEndpoint" in line for line in found), found
    found = said(text("Sidecar", "{egress: [{port: {protocol: TCP}, bind: 'unix:///a', hosts: ['*/*']}]}"))
    assert any("MD0002 spec.egress[0].bind" in line for line in found), found
