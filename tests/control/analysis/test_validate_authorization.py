"""AuthorizationPolicy alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text

API = "security.istio.io/v1"


def policy(spec: str, metadata: str = "") -> list[str]:
    return said(text("AuthorizationPolicy", spec, api=API, metadata=metadata))


def rule(inner: str) -> list[str]:
    return policy(f"{{rules: [{{{inner}}}]}}")


@pytest.mark.parametrize(
    "spec",
    [
        "{}",
        "{rules: []}",
        "{action: DENY, rules: [{}]}",
        "{rules: [{from: [{source: {principals: ['*/sa/x', a/b], namespaces: [prod]}}]}]}",
        "{rules: [{from: [{source: {serviceAccounts: [prod/x, z]}}]}]}",
        "{rules: [{to: [{operation: {methods: [GET], paths: ['/a*', '*.html', '*', '/a/{*}/b/{**}'], ports: ['80']}}]}]}",
        "{rules: [{when: [{key: 'request.headers[x]', values: [a]}, {key: source.ip, notValues: [10.0.0.0/8]}]}]}",
    ],
)
def test_good_policies(spec: str) -> None:
    assert policy(spec) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{action: DENY}", "DENY without rules never applies"),
        ("{action: CUSTOM, rules: [{}]}", "CUSTOM needs provider.name"),
        (
            "{action: CUSTOM, provider: {name: x}, rules: [{}]}",
            "warning MD0002 spec.action: meshd does not support CUSTOM",
        ),
        ("{action: AUDIT, rules: [{}]}", "warning MD0002 spec.action: meshd does not support AUDIT"),
        ("{provider: {name: x}}", "a provider needs action CUSTOM"),
        (
            "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: x}]}",
            "warning MD0002 spec.targetRefs: meshd does not support this field yet",
        ),
        ("{targetRefs: [{kind: Pod, name: x}]}", '"Pod" is not one of Gateway'),
        ("{selector: {}, targetRefs: [{kind: Gateway, name: x}]}", "only one of targetRefs or selector"),
    ],
)
def test_bad_policies(spec: str, message: str) -> None:
    assert any(message in line for line in policy(spec)), policy(spec)


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ("from: []", "from is empty: leave it out to match everything"),
        ("to: []", "to is empty"),
        ("from: [{}]", "from[0]: source is missing"),
        ("from: [{source: {}}]", "the source is empty"),
        ("to: [{}]", "operation is missing"),
        ("to: [{operation: {}}]", "the operation is empty"),
        ("from: [{source: {principals: ['']}}]", "principals[0]: the value is empty"),
        ("from: [{source: {ipBlocks: [x]}}]", '"x" is not an IP address'),
        ("from: [{source: {serviceAccounts: [a/b/c]}}]", '"a/b/c" is not a service account'),
        ("from: [{source: {serviceAccounts: ['a/*']}}]", "is not a service account"),
        (
            "from: [{source: {serviceAccounts: [a], namespaces: [b]}}]",
            "serviceAccounts say who it is already",
        ),
        (f"from: [{{source: {{serviceAccounts: [{', '.join('a' * 17)}]}}}}]", "17 service accounts are more than 16"),
        ("from: [{source: {principals: ['spiffe://a/ns/b/sa/c']}}]", "principals are without spiffe://"),
        ("from: [{source: {requestPrincipals: ['*']}}]", "no request has a request principal"),
        (
            "from: [{source: {principals: ['a*b']}}]",
            'warning MD0005 spec.rules[0].from[0].source.principals[0]: in "a*b" only',
        ),
        ("to: [{operation: {ports: [http]}}]", '"http" is not a port'),
        ("to: [{operation: {ports: [80]}}]", "expected text, found the number 80; put it in quotes"),
        ("to: [{operation: {paths: ['/a/{x}']}}]", 'error spec.rules[0].to[0].operation.paths[0]: "/a/{x}" has braces'),
        ("to: [{operation: {paths: ['/a b/{*}']}}]", "write anything else as %XX"),
        ("to: [{operation: {paths: ['/{*}/{x}']}}]", "is not a path template"),
        ("to: [{operation: {paths: ['/{**}/{*}']}}]", "{**} must be the last of its operators"),
        ("to: [{operation: {paths: ['/a{*}']}}]", "stand for whole segments"),
        ("to: [{operation: {paths: ['/{*}/*']}}]", 'no other "*" or braces'),
        ("when: [{key: source.ip}]", "values or notValues is needed"),
        ("when: [{key: source.ip, values: [x]}]", '"x" is not an IP address'),
        ("when: [{key: destination.port, values: ['65536']}]", '"65536" is not a port'),
        ("when: [{key: source.color, values: [x]}]", '"source.color" is not an attribute of a request'),
        ("when: [{key: 'request.headers[]', values: [x]}]", "is not an attribute of a request"),
        ("when: [{key: 'request.auth.claims[a]', values: [x]}]", "meshd does not validate JWTs yet"),
        (
            "when: [{key: 'request.headers[bad name]', values: [x]}]",
            "warning MD0005 spec.rules[0].when[0].key: no request has a header",
        ),
        ("when: [{key: source.ip, values: ['']}]", "the value is empty"),
    ],
)
def test_bad_rules(inner: str, message: str) -> None:
    assert any(message in line for line in rule(inner)), rule(inner)


def test_dry_run() -> None:
    annotation = "annotations: {istio.io/dry-run: 'VALUE'}"
    assert policy("{}", annotation.replace("VALUE", "false")) == []
    assert policy("{}", annotation.replace("VALUE", "true")) == [
        'warning MD0002 metadata.annotations["istio.io/dry-run"]: meshd does not report dry runs yet: the policy has no effect'
    ]
    assert policy("{}", annotation.replace("VALUE", "maybe"))[0].startswith("error metadata.annotations")


@pytest.mark.parametrize(
    "source",
    [
        *("namespaces: [a]", "notNamespaces: [a]", "principals: [a]", "notPrincipals: [a]"),
        *("requestPrincipals: [a]", "notRequestPrincipals: [a]", "serviceAccounts: [a]"),
    ],
)
def test_what_a_provider_cannot_be_asked(source: str) -> None:
    found = policy(f"{{action: CUSTOM, provider: {{name: a}}, rules: [{{from: [{{source: {{{source}}}}}]}}]}}")
    assert any("is not supported with action CUSTOM" in line for line in found), found


@pytest.mark.parametrize("key", ["source.namespace", "source.principal", "request.auth.principal"])
def test_conditions_a_provider_cannot_be_asked(key: str) -> None:
    found = policy(f"{{action: CUSTOM, provider: {{name: a}}, rules: [{{when: [{{key: {key}, values: [a]}}]}}]}}")
    assert any(f"{key} is not supported with action CUSTOM" in line for line in found), found


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("to: [{operation: {methods: [GET]}}]", True),
        ("from: [{source: {requestPrincipals: [a]}}]", True),
        ("from: [{source: {principals: [a]}}], to: [{operation: {paths: [/a]}}]", True),
        ("from: [{source: {principals: [a]}}]", False),
        ("from: [{source: {serviceAccounts: [a]}}]", False),
        ("to: [{operation: {methods: [GET], ports: ['80']}}]", False),
        ("to: [{operation: {notPorts: ['80']}}]", False),
        ("", False),
    ],
)
def test_what_a_denial_means_to_opaque_ports(rule: str, *, told: bool) -> None:
    found = policy(f"{{action: DENY, rules: [{{{rule}}}]}}")
    assert any(line.startswith("warning spec.rules[0]: a DENY rule of HTTP attributes") for line in found) is told
