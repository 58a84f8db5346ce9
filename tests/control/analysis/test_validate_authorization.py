"""PeerAuthentication and AuthorizationPolicy alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text

API = "security.istio.io/v1"


def peer(spec: str) -> list[str]:
    return said(text("PeerAuthentication", spec, api=API))


def policy(spec: str, metadata: str = "") -> list[str]:
    return said(text("AuthorizationPolicy", spec, api=API, metadata=metadata))


def rule(inner: str) -> list[str]:
    return policy(f"{{rules: [{{{inner}}}]}}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{portLevelMtls: {8080: {mode: STRICT}}}", "portLevelMtls needs a selector"),
        ("{selector: {matchLabels: {a: b}}, portLevelMtls: {}}", "portLevelMtls is empty"),
        ("{selector: {matchLabels: {a: b}}, portLevelMtls: {0: {}}}", '"0" is not a port'),
        ("{selector: {matchLabels: {a: b}}, portLevelMtls: {http: {}}}", '"http" is not a port'),
        ("{selector: {matchLabels: {'*': b}}}", "a selector takes no wildcards"),
        ("{mtls: {mode: STRCT}}", 'did you mean "STRICT"?'),
    ],
)
def test_peer_authentication(spec: str, message: str) -> None:
    assert any(message in line for line in peer(spec)), peer(spec)
    assert peer("{selector: {matchLabels: {a: b}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}") == []
    assert peer("{}") == []


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
            "cannot set serviceAccounts with namespaces or principals",
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
        ("to: [{operation: {paths: ['/a/{x}']}}]", "warning MD0005 spec.rules[0].to[0].operation.paths[0]: the braces"),
        ("to: [{operation: {paths: ['/{*}/{x}']}}]", "is not a path template"),
        ("to: [{operation: {paths: ['/{**}/{*}']}}]", "{**} must be the last of its operators"),
        ("to: [{operation: {paths: ['/a{*}']}}]", "stand for whole segments"),
        ("to: [{operation: {paths: ['/{*}/*']}}]", 'no other "*" or braces'),
        ("when: [{key: source.ip}]", "values or notValues is needed"),
        ("when: [{key: source.ip, values: [x]}]", '"x" is not an IP address'),
        ("when: [{key: destination.port, values: ['0']}]", '"0" is not a port'),
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
