"""Certificates that no gateway uses."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.credentials import credentials
from tests.control.analysis.cases import text
from tests.control.analysis.own.cases import codes, lines


def secret(name: str, *, namespace: str = "edge", key: str = "tls.crt") -> str:
    return (
        f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        f"type: kubernetes.io/tls\nstringData: {{{key}: x, tls.key: x}}\n"
    )


GATEWAY = text(
    "Gateway",
    "{selector: {a: b}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], "
    "tls: {mode: SIMPLE, credentialName: used}}]}",
    name="gw",
)
INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i, namespace: edge}
spec: {tls: [{secretName: other}]}
"""
LISTENER = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g, namespace: edge}
spec: {gatewayClassName: istio, listeners: [{name: a, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: other}]}}]}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: edge}
spec: {volumes: [{name: v, secret: {secretName: other}}]}
"""


def test_a_certificate_that_nobody_names() -> None:
    [line] = lines(credentials, GATEWAY, secret("used"), secret("other"))
    assert line.startswith("MD0045 14:18 no Gateway names this certificate as its credentialName")


@pytest.mark.parametrize(
    "documents",
    [
        (GATEWAY, secret("used"), secret("used-cacert")),
        (GATEWAY, secret("used"), secret("other", namespace="apps")),
        (GATEWAY, secret("used"), secret("other", key="password")),
        (GATEWAY, secret("other")),
        (secret("used"), secret("other")),
        (GATEWAY, secret("used"), secret("other"), INGRESS),
        (GATEWAY, secret("used"), secret("other"), LISTENER),
        (GATEWAY, secret("used"), secret("other"), POD),
        (
            GATEWAY,
            secret("used"),
            secret("other"),
            text("DestinationRule", "{host: a, trafficPolicy: {tls: {mode: SIMPLE, credentialName: other}}}"),
        ),
    ],
)
def test_certificates_that_may_be_used(documents: tuple[str, ...]) -> None:
    assert codes(credentials, *documents) == []
