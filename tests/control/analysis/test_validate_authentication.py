"""PeerAuthentication and RequestAuthentication alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text

SELECTOR = "selector: {matchLabels: {a: b}}"
KEY = '{"kty": "RSA", "n": "a", "e": "AQAB"}'


def of(kind: str, spec: str, metadata: str = "") -> list[str]:
    found = said(text(kind, f"{{{spec}}}", api="security.istio.io/v1", metadata=metadata))
    return [line for line in found if "MD0002" not in line and "MD0003" not in line]


def rule(fields: str) -> list[str]:
    return of("RequestAuthentication", f"jwtRules: [{{{fields}}}]")


@pytest.mark.parametrize(
    "fields",
    [
        "issuer: a.b",
        "issuer: '', jwksUri: 'https://a.b/c'",
        f"issuer: a.b, jwks: '{KEY}'",
        f"issuer: a.b, jwks: '{{\"keys\": [{KEY}]}}'",
        (
            "issuer: a, fromHeaders: [{name: a, prefix: b}], fromParams: [a], fromCookies: [b], timeout: 5s,"
            " outputClaimToHeaders: [{header: x-a, claim: b.c}], audiences: [a], spaceDelimitedClaims: [scope]"
        ),
    ],
)
def test_good_rules(fields: str) -> None:
    assert rule(fields) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("", "the issuer must be set"),
        ("issuer: a, jwksUri: 'ftp://a'", "its scheme must be http:// or https://"),
        ("issuer: a, jwksUri: 'https://a:b'", "is not an address of keys"),
        ("issuer: a, jwksUri: 'http://a'", "warning MD0005 spec.jwtRules[0].jwksUri"),
        (f"issuer: a, jwksUri: 'https://{'a' * 2048}'", "longer than 2048"),
        (f"issuer: a, jwksUri: 'https://a', jwks: '{KEY}'", "only one of jwks or jwksUri"),
        ("issuer: a, jwks: x", "it is not JSON"),
        ("issuer: a, jwks: '[]'", 'it has no list "keys"'),
        ("issuer: a, jwks: '{\"keys\": [{}]}'", 'a key has no "kty"'),
        (f"issuer: a, jwks: '{'[' * 5000}'", "jwks"),
        ("issuer: a, audiences: ['']", "audiences[0]: the value is empty"),
        ("issuer: a, fromParams: ['']", "fromParams[0]: the value is empty"),
        ("issuer: a, fromCookies: ['']", "fromCookies[0]: the value is empty"),
        ("issuer: a, fromHeaders: [{name: ''}]", "the header's name is empty"),
        ("issuer: a, outputClaimToHeaders: [{header: 'a%', claim: b}]", '"a%" is not a valid header name'),
        ("issuer: a, outputClaimToHeaders: [{header: a, claim: ''}]", "the claim's name is empty"),
        ("issuer: a, timeout: 0s", "0s is too short"),
        (f"issuer: a, spaceDelimitedClaims: [{', '.join(['a'] * 65)}]", "more than 64 claims"),
    ],
)
def test_bad_rules(fields: str, message: str) -> None:
    assert any(message in line for line in rule(fields)), rule(fields)


def test_only_authorization_is_tried() -> None:
    found = of("RequestAuthentication", "", "annotations: {istio.io/dry-run: 'true'}")
    assert found == [
        (
            'error metadata.annotations["istio.io/dry-run"]: '
            "only an AuthorizationPolicy can be tried: take istio.io/dry-run away"
        )
    ]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("portLevelMtls: {80: {mode: STRICT}}", "portLevelMtls needs a selector"),
        (f"{SELECTOR}, portLevelMtls: {{}}", "portLevelMtls is empty"),
        (f"{SELECTOR}, portLevelMtls: {{0: {{}}}}", '"0" is not a port'),
        (f"{SELECTOR}, portLevelMtls: {{http: {{}}}}", '"http" is not a port'),
        ("selector: {}", "warning spec.selector"),
    ],
)
def test_bad_peer_authentication(spec: str, message: str) -> None:
    assert any(message in line for line in of("PeerAuthentication", spec)), of("PeerAuthentication", spec)


def test_good_peer_authentication() -> None:
    for spec in ("", "mtls: {mode: STRICT}", f"{SELECTOR}, portLevelMtls: {{80: {{mode: DISABLE}}}}"):
        assert of("PeerAuthentication", spec) == []
