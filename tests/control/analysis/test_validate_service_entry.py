"""ServiceEntry and WorkloadEntry alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text

PORTS = "ports: [{number: 80, name: http, protocol: HTTP}]"
TCP = "ports: [{number: 1, name: tcp, protocol: TCP}]"
TLS = "ports: [{number: 443, name: tls, protocol: TLS}]"
STATIC = "resolution: STATIC,"
DYNAMIC = "resolution: DYNAMIC_DNS"


def of(spec: str) -> list[str]:
    return said(text("ServiceEntry", f"{{{spec}}}"))


@pytest.mark.parametrize(
    "spec",
    [
        f"hosts: [a.b], {PORTS}, resolution: DNS",
        f"hosts: ['*.a.b'], {PORTS}",
        f"hosts: [a.b], {PORTS}, resolution: STATIC, endpoints: [{{address: 10.0.0.1, ports: {{http: 8080}}}}]",
        f"hosts: [a.b], {PORTS}, resolution: STATIC, workloadSelector: {{labels: {{app: a}}}}, location: MESH_INTERNAL",
        f"hosts: [a.b], {PORTS}, resolution: STATIC, endpoints: [{{address: 'unix:///run/x'}}]",
        f"hosts: ['*.a.b'], {PORTS}, resolution: DNS, endpoints: [{{address: x.y}}]",
        "hosts: [a.b], addresses: [10.0.0.0/8], ports: [{number: 1, name: tcp, protocol: TCP}]",
        f"hosts: [a.b], {PORTS}, exportTo: ['~']",
    ],
)
def test_good(spec: str) -> None:
    assert of(spec) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (f"hosts: [a, b], {TCP}, addresses: [10.0.0.1], resolution: DNS", "several hosts need HTTP or TLS ports"),
        (f"hosts: [a.b, c.d], {TLS}, addresses: [10.0.0.1], resolution: DNS", "warning spec.hosts: several hosts with"),
        (f"hosts: ['*a.b'], {PORTS}", 'warning spec.hosts[0]: the partial wildcard "*a.b"'),
        (f"hosts: [{', '.join(f'a{n}.b' for n in range(257))}], {PORTS}", "more than 256 hosts"),
        (f"hosts: [a.b], {PORTS}, subjectAltNames: ['']", "the name is empty"),
        (
            f"hosts: [a.b], {PORTS}, workloadSelector: {{labels: {{a: b}}}}",
            "warning spec.workloadSelector: with resolution NONE",
        ),
        (
            f"hosts: [a.b], {PORTS}, workloadSelector: {{}}, resolution: DNS",
            "warning spec.workloadSelector: with resolution DNS",
        ),
        (f"hosts: [a.b], {PORTS}, resolution: DNS, endpoints: [{{address: 'unix:///a'}}]", "needs resolution STATIC"),
        (f"hosts: [a.b], {PORTS}, resolution: DNS, endpoints: [{{network: n1}}]", "needs an address to look up"),
        (
            f"hosts: [a.b], {TCP}, {STATIC} endpoints: [{{address: 1.1.1.1, ports: {{x: 1}}}}]",
            'the entry has no port "x"',
        ),
        (f"hosts: ['*.a'], {PORTS}, {DYNAMIC}, location: MESH_INTERNAL", "DYNAMIC_DNS is for MESH_EXTERNAL only"),
        (f"hosts: ['*.a'], {TCP}, {DYNAMIC}", "DYNAMIC_DNS is for HTTP and TLS only"),
        (f"hosts: ['*.a'], {PORTS}, {DYNAMIC}, endpoints: [{{address: a.b}}]", "leave endpoints out"),
        (f"hosts: [a.b], {PORTS}, {DYNAMIC}", "DYNAMIC_DNS is for wildcard hosts only"),
        ("hosts: []", "there are no hosts"),
        ("hosts: ['*']", '"*" is not a service'),
        (f"hosts: [a.b], addresses: [x], {PORTS}", '"x" is not an IP address or a block'),
        (
            f"hosts: [a.b], addresses: [10.0.0.0/8], {PORTS}, resolution: DNS",
            "CIDR addresses are allowed with resolution NONE and STATIC only",
        ),
        ("hosts: [a], ports: [{number: 0, name: a}]", "0 is not a port"),
        ("hosts: [a], ports: [{number: 1, name: 'a b'}]", '"a b" is not a port\'s name'),
        ("hosts: [a], ports: [{number: 1, name: a, protocol: X}]", '"X" is not a protocol'),
        ("hosts: [a], ports: [{number: 1, name: a}, {number: 1, name: b}]", "port 1 is here twice"),
        ("hosts: [a], ports: [{number: 1, name: a}, {number: 2, name: a}]", 'the port name "a" is here twice'),
        ("hosts: [a], ports: [{number: 1, name: a, protocol: TCP}]", "warning spec.ports[0]: port 1 is TCP"),
        (f"hosts: [a], {PORTS}, endpoints: [{{address: 1.2.3.4}}]", "endpoints need resolution STATIC or DNS"),
        (
            f"hosts: [a], {PORTS}, resolution: STATIC",
            "warning MD0005 spec.resolution: resolution STATIC without endpoints",
        ),
        (f"hosts: [a], {PORTS}, resolution: STATIC, endpoints: [{{address: a.b}}]", "a name needs resolution DNS"),
        (f"hosts: ['*.a'], {PORTS}, resolution: DNS", "resolution DNS cannot look up a wildcard"),
        (
            f"hosts: [a], {PORTS}, resolution: DNS_ROUND_ROBIN, endpoints: [{{address: a.b}}, {{address: c.d}}]",
            "one endpoint at most",
        ),
        (
            f"hosts: [a], {PORTS}, resolution: STATIC, endpoints: [{{address: 1.2.3.4}}], workloadSelector: {{}}",
            "endpoints and workloadSelector cannot both be given",
        ),
        (
            f"hosts: [a], {PORTS}, resolution: STATIC, endpoints: [{{address: 1.2.3.4, ports: {{x: 1}}}}]",
            'the entry has no port "x"',
        ),
        (f"hosts: [a], {PORTS}, resolution: STATIC, endpoints: [{{}}]", "an address is required"),
        (f"hosts: ['*.a'], {PORTS}, resolution: DYNAMIC_DNS", "warning MD0002 spec.resolution: meshd does not support"),
        (f"hosts: [a.b], {PORTS}, resolution: DYNAMIC_DNS", "DYNAMIC_DNS is for wildcard hosts only"),
        (f"hosts: [a], {PORTS}, subjectAltNames: ['']", "the name is empty"),
    ],
)
def test_bad(spec: str, message: str) -> None:
    assert any(message in line for line in of(spec)), of(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{}", "an address is required"),
        ("{address: 'a b'}", '"a b" is not a domain name'),
        ("{address: 'unix://x'}", "is not an absolute socket path"),
        ("{address: 'unix:///x', ports: {a: 1}}", "a Unix socket has no ports"),
        ("{address: 1.2.3.4, ports: {a: 0}}", "0 is not a port"),
        ("{address: 1.2.3.4, weight: -1}", "weight"),
        ("{address: 1.2.3.4, labels: {a: '-'}}", '"-" is not a label\'s value'),
    ],
)
def test_workload_entry(spec: str, message: str) -> None:
    assert any(message in line for line in said(text("WorkloadEntry", spec)))
    assert said(text("WorkloadEntry", "{address: 10.0.0.1, labels: {app: a}, ports: {http: 8080}}")) == []


@pytest.mark.parametrize(
    ("metadata", "spec", "told"),
    [
        ("", f"hosts: [a.b], {TCP}", True),
        ("", f"hosts: [a.b], {TCP}, addresses: [10.0.0.1]", False),
        ("", f"hosts: [a.b], {TCP}, resolution: DNS", False),
        (
            "labels: {networking.istio.io/enable-autoallocate-ip: 'false'}",
            f"hosts: [a.b], {TCP}, resolution: DNS",
            True,
        ),
    ],
)
def test_a_port_without_an_address_of_its_own(metadata: str, spec: str, *, told: bool) -> None:
    found = said(text("ServiceEntry", f"{{{spec}}}", metadata=metadata))
    assert any("it stands for every address" in line for line in found) is told
