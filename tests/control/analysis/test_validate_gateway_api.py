"""Single documents of the Gateway API: what their definitions refuse beyond structure, and what meshd leaves out."""

from __future__ import annotations

import pytest

from meshd.api.load import Loader
from meshd.control.analysis.validation import validate
from tests.corpus import corpus_path


def said(kind: str, spec: str) -> list[str]:
    text = f"apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n"
    [loaded] = Loader().load(text, "x.yaml")
    assert loaded.document is not None, loaded.problems
    return [f"{problem.level} {problem.text}" for problem in validate(loaded.document)]


MODIFIER = "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a]}}"
REDIRECT = "{type: RequestRedirect, requestRedirect: {%s}}"
PREFIX = "type: ReplacePrefixMatch, replacePrefixMatch: /"
REWRITE = "{type: URLRewrite, urlRewrite: {path: {%s}}}"


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("filters: [{type: URLRewrite}]", 'filters[0]: a filter of type URLRewrite needs the field "urlRewrite"'),
        (
            "filters: [{type: CORS, cors: {}, urlRewrite: {}}]",
            "filters[0].urlRewrite: a filter of type CORS has no such",
        ),
        (f"filters: [{MODIFIER}, {MODIFIER}]", "filters[1]: there is a RequestHeaderModifier before"),
        (f"filters: [{REDIRECT % ''}, {{type: URLRewrite, urlRewrite: {{}}}}]", "either redirected or sent on"),
        (f"filters: [{REDIRECT % ''}], backendRefs: [{{name: a, port: 1}}]", "the rule redirects, so nothing"),
        (f"filters: [{REDIRECT % 'statusCode: 305'}]", "statusCode: 305 is no redirect"),
        (f"filters: [{REWRITE % 'type: ReplaceFullPath'}]", 'path: ReplaceFullPath needs the field "replaceFullPath"'),
        (
            f"matches: [{{path: {{type: Exact, value: /a}}}}], filters: [{REWRITE % PREFIX}]",
            "no prefix to replace",
        ),
        ("backendRefs: [{name: a}]", "backendRefs[0]: which port of the Service a?"),
        ("matches: [{path: {value: a}}]", "matches[0].path.value: paths begin with a slash"),
        ("matches: [{path: {type: RegularExpression, value: '('}}]", "matches[0].path.value"),
        ("timeouts: {request: 1s, backendRequest: 2s}", "timeouts.backendRequest: one try cannot take longer"),
    ],
)
def test_rules_of_http_routes(rule: str, wanted: str) -> None:
    [problem] = said("HTTPRoute", f"{{rules: [{{{rule}}}]}}")
    assert problem.startswith("Error spec.rules[0].")
    assert wanted in problem


@pytest.mark.parametrize(
    ("listener", "wanted"),
    [
        ("protocol: HTTP, tls: {}", "Error spec.listeners[0].tls: a listener of HTTP has no tls"),
        ("protocol: HTTPS", "Error spec.listeners[0]: a listener of HTTPS needs tls"),
        ("protocol: HTTPS, tls: {mode: Passthrough}", "Error spec.listeners[0].tls.mode: requests can only be read"),
        ("protocol: HTTPS, tls: {}", "Error spec.listeners[0].tls: without certificateRefs"),
        (
            "protocol: TLS, tls: {certificateRefs: [{name: a}], options: {gateway.istio.io/tls-terminate-mode: NEVER}}",
            '"NEVER" is no such mode',
        ),
        ("protocol: UDP", "Warning spec.listeners[0].protocol: meshd has no listeners of UDP"),
        ("protocol: HTTP, hostname: a_b", "Error spec.listeners[0].hostname"),
    ],
)
def test_listeners(listener: str, wanted: str) -> None:
    [problem] = said("Gateway", f"{{gatewayClassName: istio, listeners: [{{name: a, port: 443, {listener}}}]}}")
    assert wanted in problem


def test_listeners_have_their_own_names_and_places() -> None:
    one = "{name: a, port: 80, protocol: HTTP}"
    problems = said(
        "Gateway", f"{{gatewayClassName: istio, listeners: [{one}, {one}], addresses: [{{value: 10.0.0.1}}]}}"
    )
    assert [problem.partition(":")[0] for problem in problems] == [
        "Error spec.listeners[1].name",
        "Error spec.listeners[1]",
        "Warning spec.addresses[0]",
    ]


def test_what_a_route_cannot_be_attached_to() -> None:
    [problem] = said(
        "TCPRoute", "{parentRefs: [{kind: ListenerSet, name: a}], rules: [{backendRefs: [{name: a, port: 1}]}]}"
    )
    assert problem.startswith("Warning spec.parentRefs[0]: a route cannot be attached to a ListenerSet")


def test_the_conformance_cases_are_valid() -> None:
    loader = Loader()
    folder = corpus_path("gateway-api/conformance")
    loaded = [each for path in sorted(folder.rglob("*.yaml")) for each in loader.load(path.read_bytes(), path.name)]
    documents = [each.document for each in loaded if each.document is not None]
    ours = [each for each in documents if each.key.group == "gateway.networking.k8s.io"]
    assert len(ours) > 150
    assert [(str(each), problem.text) for each in ours for problem in validate(each) if problem.level == "Error"] == []
