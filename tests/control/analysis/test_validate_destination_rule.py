"""DestinationRule alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text


def of(spec: str) -> list[str]:
    return said(text("DestinationRule", f"{{host: reviews, {spec}}}"))


def policy(inner: str) -> list[str]:
    return of(f"trafficPolicy: {{{inner}}}")


@pytest.mark.parametrize(
    "spec",
    [
        "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {}}]",
        "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, tls: {mode: ISTIO_MUTUAL, sni: a.b}}",
        "trafficPolicy: {tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k}}",
        "trafficPolicy: {tls: {mode: SIMPLE, credentialName: c}}, workloadSelector: {matchLabels: {a: b}}",
        "trafficPolicy: {portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 1}}}]}",
        "trafficPolicy: {connectionPool: {http: {idleTimeout: 1s}, tcp: {connectTimeout: 30ms, idleTimeout: 0s}}}",
    ],
)
def test_good(spec: str) -> None:
    assert of(spec) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("subsets: [{name: 'v 1'}]", '"v 1" is not a subset\'s name'),
        ("subsets: [{name: v1}, {name: v1}]", 'error spec.subsets[1].name: the subset "v1" is here twice'),
        ("subsets: [{name: v1, labels: {version: 'a b'}}]", '"a b" is not a label\'s value'),
        ("subsets: [{name: v1, labels: {'a b': x}}]", '"a b" is not a label\'s name'),
        ("workloadSelector: {matchLabels: {a: '*'}}", "a selector takes no wildcards"),
        ("exportTo: [., default]", '"default" is here twice'),
        ("workloadSelector: {matchLabels: {a: b}}, exportTo: ['*']", "it is for its own namespace"),
        ("exportTo: ['*', '.']", '"*" is everybody'),
    ],
)
def test_bad(spec: str, message: str) -> None:
    assert any(message in line for line in of(spec)), of(spec)


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ("portLevelSettings: [{}]", 'portLevelSettings[0]: the field "port.number" is missing'),
        ("portLevelSettings: [{port: {number: 70000}}]", "70000 is not a port"),
        ("portLevelSettings: [{port: {number: 1}}, {port: {number: 1}}]", "warning"),
        ("connectionPool: {}", "tcp or http is needed"),
        ("connectionPool: {tcp: {maxConnections: -1}}", "maxConnections: -1 is negative"),
        ("connectionPool: {tcp: {connectTimeout: 0s}}", "connectTimeout: 0s is too short"),
        ("connectionPool: {http: {maxRetries: -1}}", "maxRetries: -1 is negative"),
        ("tls: {mode: MUTUAL}", "MUTUAL needs a client certificate: clientCertificate (a file), or credentialName"),
        ("tls: {mode: ISTIO_MUTUAL, caCertificates: /x}", "ISTIO_MUTUAL uses the workload's own certificate"),
        ("tls: {mode: SIMPLE, caCertificates: /x, credentialName: c}", "credentialName and caCertificates cannot both"),
        ("tls: {mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]}", "is not looked at with insecureSkip"),
        (
            "tls: {mode: SIMPLE, credentialName: c}",
            "warning MD0005 spec.trafficPolicy.tls.credentialName: sidecars ignore",
        ),
        ("tls: {mode: SIMPLE, caCrl: /x}", "error MD0002 spec.trafficPolicy.tls.caCrl"),
        ("tls: {mode: SIMPLE, subjectAltNames: ['']}", "the name is empty"),
        ("loadBalancer: {consistentHash: {useSourceIp: true}}", "warning MD0002"),
        ("outlierDetection: {}", "warning MD0002 spec.trafficPolicy.outlierDetection"),
    ],
)
def test_bad_policies(inner: str, message: str) -> None:
    assert any(message in line for line in policy(inner)), policy(inner)


def test_a_host_is_needed() -> None:
    assert said(text("DestinationRule", "{host: ''}")) == ["error spec.host: a host (a domain name) is missing"]
    assert said(text("DestinationRule", "{host: '*.a.b'}")) == []
