"""Blocks of a traffic policy alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text


def of(policy: str, more: str = "") -> list[str]:
    found = said(text("DestinationRule", f"{{host: a.b, trafficPolicy: {{{policy}}}{more}}}"))
    return [line for line in found if "MD0002" not in line]


@pytest.mark.parametrize(
    "policy",
    [
        "connectionPool: {tcp: {idleTimeout: 0s, tcpKeepalive: {time: 1s, interval: 1s}}}",
        "connectionPool: {http: {http2KeepAlive: {interval: 15s, timeout: 5s}, h2UpgradePolicy: UPGRADE}}",
        "outlierDetection: {}",
        "outlierDetection: {splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 5}",
        "tls: {mode: SIMPLE, sni: outbound_.80_._.a.b, subjectAltNames: [a]}",
        "tls: {mode: ISTIO_MUTUAL, sni: a.b}",
        "tunnel: {protocol: POST, targetHost: a.b, targetPort: 80}",
        "tunnel: {targetHost: 10.0.0.1, targetPort: 80}",
        "proxyProtocol: {version: V2}",
        "retryBudget: {percent: 20, budgetInterval: 0s}",
        "portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]",
    ],
)
def test_good(policy: str) -> None:
    assert of(policy) == []


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("", "the traffic policy is empty"),
        ("connectionPool: {tcp: {tcpKeepalive: {time: 0s}}}", "tcpKeepalive.time: 0s is too short"),
        ("connectionPool: {http: {http2KeepAlive: {interval: 1s}}}", "http2KeepAlive: timeout is needed"),
        ("connectionPool: {http: {http2KeepAlive: {timeout: 1s}}}", "http2KeepAlive: interval is needed"),
        ("connectionPool: {http: {maxConcurrentStreams: -1}}", "-1 is negative"),
        ("connectionPool: {http: {idleTimeout: 0s}}", "0s is too short"),
        ("connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}", "contradicts"),
        ("outlierDetection: {interval: 0s}", "0s is too short"),
        ("outlierDetection: {baseEjectionTime: 1.0005s}", "finer than a millisecond"),
        ("outlierDetection: {consecutiveErrors: 5}", "warning spec.trafficPolicy.outlierDetection.consecutiveErrors"),
        ("outlierDetection: {consecutiveLocalOriginFailures: 5}", "splitExternalLocalOriginErrors: true only"),
        ("outlierDetection: {maxEjectionPercent: 101}", "101 is not a percentage"),
        ("outlierDetection: {minHealthPercent: -1}", "-1 is not a percentage"),
        ("outlierDetection: {outlierDetectionHttpErrorCodes: [99]}", "99 is not an HTTP status"),
        ("tls: {mode: SIMPLE, sni: 'a b'}", '"a b" is not a server name'),
        ("tls: {mode: SIMPLE, subjectAltNames: ['']}", "the name is empty"),
        ("tls: {mode: SIMPLE, caCertificates: /a, insecureSkipVerify: true}", "not looked at with insecureSkipVerify"),
        ("tls: {mode: MUTUAL, credentialName: a, privateKey: /k}", "credentialName and privateKey cannot both"),
        ("tls: {mode: MUTUAL, privateKey: /k}", "MUTUAL needs a client certificate"),
        ("tls: {mode: ISTIO_MUTUAL, privateKey: /k}", "warning MD0005 spec.trafficPolicy.tls.privateKey"),
        ("tls: {mode: DISABLE, credentialName: a}", "credentialName is not used with DISABLE: no TLS"),
        ("tls: {mode: SIMPLE, credentialName: 'configmap://other/a'}", "it must be in default"),
        ("tls: {mode: SIMPLE, credentialName: 'configmap://'}", "is not a ConfigMap's name"),
        ("tunnel: {protocol: GET, targetHost: a.b, targetPort: 80}", '"GET" is not a tunnel\'s protocol'),
        ("tunnel: {targetHost: 'a b', targetPort: 0}", '"a b" is not a domain name'),
        ("tunnel: {targetHost: a.b, targetPort: 0}", "0 is not a port"),
        ("tunnel: {targetHost: a.b, targetPort: 80}, proxyProtocol: {}", "tunnel and proxyProtocol cannot both"),
        ("retryBudget: {percent: 101}", "101 is not a percentage"),
        ("retryBudget: {budgetInterval: -1s}", "the interval is negative"),
        ("portLevelSettings: [{port: {number: 80}}]", "the policy of the port is empty"),
        ("portLevelSettings: [{tls: {}}]", 'the field "port.number" is missing'),
        (
            "portLevelSettings: [{port: {number: 80}, tls: {}}, {port: {number: 80}, tls: {}}]",
            "warning MD0005 spec.trafficPolicy.portLevelSettings[1].port: port 80 is here twice",
        ),
    ],
)
def test_bad(policy: str, message: str) -> None:
    assert any(message in line for line in of(policy)), of(policy)


def test_a_credential_counts_with_a_selector() -> None:
    assert of("tls: {mode: SIMPLE, credentialName: a}", ", workloadSelector: {matchLabels: {a: b}}") == []
