"""Judgements at the borders of Istio's rules: what is good, what is warned about (IST0133), what is refused."""

from __future__ import annotations

import pytest

from meshd.api.problem import Level
from tests.control.analysis.cases import findings, text

SECURITY = "security.istio.io/v1"
HTTP = "ports: [{number: 80, protocol: HTTP, name: web}]"
TCP = "ports: [{number: 80, protocol: TCP, name: db}]"


@pytest.mark.parametrize(
    ("kind", "spec", "judgement"),
    [
        ("ServiceEntry", f"{{hosts: [a.org, b.org], addresses: [10.1.1.1], {HTTP}, resolution: DNS}}", "good"),
        ("ServiceEntry", f"{{hosts: [a.org, b.org], {TCP}, resolution: STATIC}}", "refused"),
        ("ServiceEntry", f"{{hosts: [a.org, b.org], addresses: [10.1.1.1], {TCP}, resolution: NONE}}", "good"),
        ("ServiceEntry", f"{{hosts: [a.org], {TCP}, resolution: NONE}}", "warned"),
        ("ServiceEntry", f"{{hosts: [a.org], {TCP}, resolution: DNS}}", "good"),
        (
            "ServiceEntry",
            f"{{hosts: [a.org], {HTTP}, workloadSelector: {{labels: {{a: b}}}}, resolution: DNS}}",
            "warned",
        ),
        ("ServiceEntry", f"{{hosts: [a.org], {HTTP}, endpoints: [{{network: far}}], resolution: STATIC}}", "warned"),
        ("Sidecar", "{egress: [{hosts: [ns/a.org, ns/a.org]}]}", "warned"),
        ("Sidecar", "{egress: [{hosts: ['*/*', '*/*']}]}", "warned"),
        ("Sidecar", "{ingress: [{port: {number: 90}, defaultEndpoint: ':90'}]}", "good"),
        ("Sidecar", "{ingress: [{port: {number: 90}, defaultEndpoint: '::1:90'}]}", "refused"),
        ("DestinationRule", "{host: a, trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: false}}}", "good"),
        (
            "DestinationRule",
            "{host: a, trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true, caCertificates: /ca}}}",
            "refused",
        ),
        ("WorkloadEntry", "{network: far}", "warned"),
        ("WorkloadEntry", "{address: 'unix:///x', ports: {web: 80}}", "refused"),
        ("AuthorizationPolicy", "{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}]}", "warned"),
        (
            "AuthorizationPolicy",
            "{action: DENY, rules: [{to: [{operation: {methods: [PUT], ports: ['80']}}]}]}",
            "good",
        ),
        ("AuthorizationPolicy", "{action: DENY, rules: [{from: [{source: {principals: [a]}}]}]}", "good"),
        ("AuthorizationPolicy", "{action: DENY}", "refused"),
        ("AuthorizationPolicy", "{rules: [{to: [{operation: {paths: ['/x/{id}']}}]}]}", "refused"),
        ("AuthorizationPolicy", "{rules: [{to: [{operation: {paths: ['/x/{*}/y']}}]}]}", "good"),
    ],
)
def test_judgement(kind: str, spec: str, judgement: str) -> None:
    api = SECURITY if kind == "AuthorizationPolicy" else "networking.istio.io/v1"
    found = findings(text(kind, spec, api=api))
    refused = any(each.level is Level.ERROR for each in found)
    warned = any(each.code == "IST0133" for each in found)
    assert ("refused" if refused else "warned" if warned else "good") == judgement, [str(each) for each in found]
