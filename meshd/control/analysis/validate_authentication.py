"""PeerAuthentication and RequestAuthentication alone. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

from meshd.api.document import Document, Path
from meshd.api.problem import FIELD_WITHOUT_EFFECT, Problem, error, warning
from meshd.api.security import JWTRule, PeerAuthentication, RequestAuthentication
from meshd.control.analysis import checks, selection

LONGEST_URI = 2048
MOST_CLAIMS = 64
MOST_JWT_RULES = 4096


def validate_peer_authentication(document: Document) -> Iterator[Problem]:
    """Istio's rules for a PeerAuthentication."""
    policy: PeerAuthentication = document.resource
    path: Path = ("spec",)
    selected = policy.selector is not None and bool(policy.selector.matchLabels)
    yield from selection.workload_selector(policy.selector, (*path, "selector"))
    ports = (*path, "portLevelMtls")
    if policy.portLevelMtls and not selected:
        yield error(ports, "portLevelMtls needs a selector", at_value=False)
    if not policy.portLevelMtls and document.has(ports):
        yield error(ports, "portLevelMtls is empty: leave it out, or name at least one port", at_value=False)
    for number in policy.portLevelMtls:
        yield from checks.port_text(number, (*ports, number), at_value=False)


def validate_request_authentication(document: Document) -> Iterator[Problem]:
    """Istio's rules for a RequestAuthentication."""
    policy: RequestAuthentication = document.resource
    path: Path = ("spec",)
    yield from selection.selecting(policy, path)
    if len(policy.jwtRules) > MOST_JWT_RULES:
        yield error((*path, "jwtRules"), f"more than {MOST_JWT_RULES} rules", at_value=False)
    for index, rule in enumerate(policy.jwtRules):
        yield from _jwt_rule(rule, (*path, "jwtRules", index))


def _jwt_rule(rule: JWTRule, path: Path) -> Iterator[Problem]:
    if not rule.issuer and not rule.jwks and not rule.jwksUri:
        yield error(
            path, "the issuer must be set: its keys are found by it, unless there is jwks or jwksUri", at_value=False
        )
    for name in ("audiences", "fromParams", "fromCookies", "spaceDelimitedClaims"):
        for index, value in enumerate(getattr(rule, name)):
            if not value:
                yield error((*path, name, index), "the value is empty")
    if len(rule.spaceDelimitedClaims) > MOST_CLAIMS:
        yield error((*path, "spaceDelimitedClaims"), f"more than {MOST_CLAIMS} claims", at_value=False)
    yield from _keys(rule, path)
    for index, header in enumerate(rule.fromHeaders):
        if not header.name:
            yield error((*path, "fromHeaders", index, "name"), "the header's name is empty")
    for index, output in enumerate(rule.outputClaimToHeaders):
        here = (*path, "outputClaimToHeaders", index)
        if not output.claim:
            yield error((*here, "claim"), "the claim's name is empty")
        for problem in checks.header_name(output.header, (*here, "header")):
            yield error(problem.path, problem.message)
    yield from checks.duration(rule.timeout, (*path, "timeout"))


def _keys(rule: JWTRule, path: Path) -> Iterator[Problem]:
    """Where the issuer's keys are."""
    if rule.jwks and rule.jwksUri:
        yield error((*path, "jwks"), "only one of jwks or jwksUri can be set", at_value=False)
    if rule.jwksUri:
        here = (*path, "jwksUri")
        if len(rule.jwksUri) > LONGEST_URI:
            yield error(here, f"the address is longer than {LONGEST_URI}")
        elif reason := _why_not_web(rule.jwksUri):
            yield error(here, f'"{rule.jwksUri}" is not an address of keys: {reason}')
        elif rule.jwksUri.startswith("http://"):
            yield warning(here, "whoever is on the way can change the keys: write https://", code=FIELD_WITHOUT_EFFECT)
    if rule.jwks and (reason := _why_not_keys(rule.jwks)):
        yield error((*path, "jwks"), f"this is not a set of JSON Web Keys: {reason}")


def _why_not_web(text: str) -> str:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  raises when it is not a number within range
    except ValueError as caught:
        return str(caught)
    return "" if parts.scheme in ("http", "https") else "its scheme must be http:// or https://"


def _why_not_keys(text: str) -> str:
    """What is wrong with an inline JWKS, or a single key, as JSON; "" when nothing is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "it is not JSON"
    keys = value.get("keys", [value]) if isinstance(value, dict) else None
    if not isinstance(keys, list):
        return 'it has no list "keys"'
    if not all(isinstance(key, dict) and isinstance(key.get("kty"), str) for key in keys):
        return 'a key has no "kty"'
    return ""
