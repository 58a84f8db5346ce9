"""WorkloadEntry and WorkloadGroup alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text


def of(kind: str, spec: str) -> list[str]:
    return [line for line in said(text(kind, f"{{{spec}}}")) if "MD0002" not in line and "MD0003" not in line]


@pytest.mark.parametrize(
    "spec",
    [
        "address: 1.2.3.4, ports: {http: 80}, labels: {a: b}, weight: 1, locality: a/b/c, serviceAccount: a",
        "address: '2001:db8::1'",
        "address: a.b",
        "address: 'unix:///a/b'",
        "address: 'unix://@a'",
    ],
)
def test_good_entries(spec: str) -> None:
    assert of("WorkloadEntry", spec) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "an address is required"),
        ("network: a", "warning spec: without an address"),
        ("address: 'unix:///a/'", "is a directory"),
        ("address: 'unix://a'", "is not an absolute socket path"),
        ("address: 'unix:///a', ports: {http: 80}", "a Unix socket has no ports"),
        ("address: 'a.b:80'", "leave the port out"),
        ("address: 1.2.3.4, ports: {http: 0}", "0 is not a port"),
        ("address: 1.2.3.4, ports: {a.b: 1}", "is not a port's name"),
        (f"address: 1.2.3.4, locality: {'a' * 2049}", "locality is longer than 2048"),
        (f"address: 1.2.3.4, labels: {{{', '.join(f'a{n}: b' for n in range(257))}}}", "more than 256 labels"),
    ],
)
def test_bad_entries(spec: str, message: str) -> None:
    found = of("WorkloadEntry", spec)
    assert any(message in line for line in found), found


@pytest.mark.parametrize(
    "spec",
    [
        "template: {}",
        "template: {ports: {http: 80}}, metadata: {labels: {a: b}}, probe: {httpGet: {port: 1, scheme: HTTPS}}",
        "template: {}, probe: {exec: {command: [a]}}",
        "template: {}, probe: {grpc: {port: 1}}",
    ],
)
def test_good_groups(spec: str) -> None:
    assert of("WorkloadGroup", spec) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", 'the field "template" is missing'),
        ("template: {}, metadata: {labels: {.: a}}", "is not a label's name"),
        ("template: {labels: {a: b}}", "warning spec.template.labels"),
        ("template: {address: 'unix://a'}", "is not an absolute socket path"),
        ("template: {}, probe: {}", "how to probe is missing"),
        ("template: {}, probe: {grpc: {port: 1}, tcpSocket: {port: 1}}", "tcpSocket and grpc cannot both be given"),
        ("template: {}, probe: {grpc: {port: 1}, periodSeconds: -1}", "error spec.probe.periodSeconds: "),
        ("template: {}, probe: {httpGet: {port: 0}}", "0 is not a port"),
        ("template: {}, probe: {httpGet: {port: 1, scheme: FTP}}", '"FTP" is not a scheme'),
        ("template: {}, probe: {httpGet: {port: 1, httpHeaders: [{name: 'a b'}]}}", '"a b" is not a valid header name'),
        ("template: {}, probe: {tcpSocket: {port: 0}}", "0 is not a port"),
        ("template: {}, probe: {grpc: {}}", "0 is not a port"),
        ("template: {}, probe: {exec: {command: ['']}}", "the command is empty"),
    ],
)
def test_bad_groups(spec: str, message: str) -> None:
    found = of("WorkloadGroup", spec)
    assert any(message in line for line in found), found
