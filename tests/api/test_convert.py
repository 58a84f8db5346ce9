"""Strict structure: every mistake at once, with its path and a way out."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.api.common import Map, PortSelector, StringMatch
from meshd.api.convert import Converter, suggestion
from meshd.api.document import format_path
from meshd.api.kinds import KINDS
from meshd.api.kubernetes import Service
from meshd.api.mesh.config import MeshConfig
from meshd.api.mesh.networks import MeshNetworks
from meshd.api.networking.destination_rule import ClientTLSmode, DestinationRule
from meshd.api.networking.gateway import ServerTLSSettings
from meshd.api.networking.service_entry import ServiceEntry
from meshd.api.networking.virtual_service import Destination, HTTPMatchRequest, HTTPRetry, HTTPRoute, VirtualService
from meshd.api.problem import Level
from meshd.api.security import AuthorizationPolicy, From, Source


@pytest.fixture(scope="module")
def converter() -> Converter:
    return Converter()


def said(converter: Converter, value: Any, cls: type) -> list[str]:
    """Everything that is said of a value, by level."""
    _, problems = converter.structure(value, cls)
    return [f"{problem.level.lower()} {problem.text}" for problem in problems]


def made(converter: Converter, value: Any, cls: type) -> Any:
    result, problems = converter.structure(value, cls)
    assert problems == ()
    return result


def test_makes_what_it_reads(converter: Converter) -> None:
    value = {
        "name": "r",
        "match": [{"uri": {"prefix": "/a"}, "headers": {"x": {"exact": "1"}}, "port": 80}],
        "route": [{"destination": {"host": "a", "port": {"number": 80}}, "weight": 5}],
        "timeout": "1m30s",
        "retries": {"attempts": 0, "retryRemoteLocalities": None},
    }
    route: HTTPRoute = made(converter, value, HTTPRoute)
    assert route.match[0].uri == StringMatch(prefix="/a")
    assert route.match[0].headers == Map({"x": StringMatch(exact="1")})
    assert route.route[0].destination == Destination("a", port=PortSelector(80))
    assert route.timeout == 90.0
    assert route.retries is not None
    assert route.retries.attempts == 0
    assert hash(route) == hash(made(converter, value, HTTPRoute))


def test_keywords_lose_their_underscore(converter: Converter) -> None:
    policy = made(converter, {"rules": [{"from": [{"source": {"principals": ["*"]}}]}]}, AuthorizationPolicy)
    assert policy.rules[0].from_ == (From(Source(principals=("*",))),)
    assert said(converter, {"rules": [{"from_": []}]}, AuthorizationPolicy) == [
        'error rules[0].from_: unknown field; did you mean "from"?'
    ]
    assert said(converter, {"rules": [{"from": [{"source": {"principals": [1]}}]}]}, AuthorizationPolicy) == [
        "error rules[0].from[0].source.principals[0]: expected text, found the number 1; put it in quotes"
    ]


def test_numbers_or_names(converter: Converter) -> None:
    service = made(
        converter, {"ports": [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}]}, Service
    )
    assert [port.targetPort for port in service.ports] == ["http", 8081]
    assert said(converter, {"ports": [{"port": 80, "targetPort": 1.5}]}, Service) == [
        "error ports[0].targetPort: expected a number or a name, found the number 1.5"
    ]


@pytest.mark.parametrize(
    ("value", "cls", "message"),
    [
        ({"timeout": 5}, HTTPRoute, "timeout: expected a duration such as 2s or 100ms, found the number 5; write 5s"),
        ({"timeout": "5"}, HTTPRoute, 'write "5s" for seconds'),
        ({"timeout": True}, HTTPRoute, "found the boolean true"),
        (
            {"name": True},
            HTTPRoute,
            "name: expected text, found the boolean true (so are yes, no, on, off, y and n); put it in quotes",
        ),
        ({"name": 1.5}, HTTPRoute, "name: expected text, found the number 1.5; put it in quotes"),
        ({"name": {}}, HTTPRoute, "name: expected text, found a mapping"),
        (
            {"retries": {"attempts": "50"}},
            HTTPRoute,
            'expected a whole number, found the text "50"; take the quotes away',
        ),
        ({"retries": {"attempts": 1.5}}, HTTPRoute, "expected a whole number, found the number 1.5"),
        ({"retries": {"attempts": False}}, HTTPRoute, "expected a whole number, found the boolean false"),
        ({"retries": {"attempts": 2**70}}, HTTPRoute, "this number is too large: the greatest is 2147483647"),
        ({"retries": {"attempts": -(2**31) - 1}}, HTTPRoute, "this number is too small: the least is -2147483648"),
        ({"match": [{"port": -1}]}, HTTPRoute, "match[0].port: this number is too small: the least is 0"),
        (
            {"match": [{"port": 2**32}]},
            HTTPRoute,
            "match[0].port: this number is too large: the greatest is 4294967295",
        ),
        ({"match": [{"port": 1e300}]}, HTTPRoute, "match[0].port: this number is too large"),
        ({"directResponse": {"status": 200, "body": {"bytes": "a!"}}}, HTTPRoute, "body.bytes: expected base64"),
        ({"fault": {"abort": {"percentage": {"value": "50"}}}}, HTTPRoute, 'expected a number, found the text "50"'),
        ({"fault": {"abort": {"percentage": {"value": True}}}}, HTTPRoute, "expected a number, found the boolean true"),
        ({"httpsRedirect": "false"}, ServerTLSSettings, 'expected true or false, found the text "false"'),
        ({"httpsRedirect": 0}, ServerTLSSettings, "expected true or false, found the number 0"),
        ({"match": {"uri": {}}}, HTTPRoute, "match: expected a list, found a mapping"),
        ({"hosts": "reviews"}, VirtualService, 'hosts: expected a list, found the text "reviews"; write it as an item'),
        ({"match": [[]]}, HTTPRoute, "match[0]: expected a mapping, found a list"),
        ({"route": [None]}, HTTPRoute, "route[0]: expected a mapping, found nothing"),
        ({"match": [{"headers": []}]}, HTTPRoute, "match[0].headers: expected a mapping, found a list"),
        ({"match": [{"headers": {"x": None}}]}, HTTPRoute, "match[0].headers.x: expected a mapping, found nothing"),
        ({"match": [{"sourceLabels": {"v": 1}}]}, HTTPRoute, "sourceLabels.v: expected text, found the number 1"),
        ({"subsets": [{"labels": {}}]}, DestinationRule, 'subsets[0]: the field "name" is missing'),
        ({"mode": "SIMPEL"}, ServerTLSSettings, 'mode: unknown value: the text "SIMPEL"; did you mean "SIMPLE"?'),
        ({"mode": "simple"}, ServerTLSSettings, 'did you mean "SIMPLE"?'),
        ({"mode": "x"}, ServerTLSSettings, "it must be one of PASSTHROUGH, SIMPLE, MUTUAL"),
        ({"mode": 1}, ServerTLSSettings, "mode: unknown value: the number 1"),
        ({"mode": []}, ServerTLSSettings, "mode: expected one of PASSTHROUGH, SIMPLE"),
        ({"export_to": []}, VirtualService, 'export_to: unknown field; did you mean "exportTo"?'),
        ({"exportto": []}, VirtualService, 'did you mean "exportTo"?'),
        ({"zzz": []}, DestinationRule, "zzz: unknown field; known here: exportTo, host, subsets"),
        (5, VirtualService, "expected a mapping, found the number 5"),
        ([], VirtualService, "expected a mapping, found a list"),
        ({"verifyCertificateHash": ["x"]}, ServerTLSSettings, "does not support this field yet, and without it more"),
    ],
)
def test_one_mistake(converter: Converter, value: Any, cls: type, message: str) -> None:
    result, problems = converter.structure({"host": "a", **value} if cls is DestinationRule else value, cls)
    assert result is None
    [problem] = problems
    assert problem.level is Level.ERROR
    assert message in problem.text


def test_every_mistake_at_once(converter: Converter) -> None:
    value = {
        "http": [
            {"route": [{"destination": {}, "wieght": 5, "weight": "5"}], "timeout": 3},
            5,
            {"redirect": {"port": "x"}},
        ],
        "hosts": [1],
        "what": {},
    }
    assert said(converter, value, VirtualService) == [
        'error http[0].route[0].destination: the field "host" is missing',
        'error http[0].route[0].wieght: unknown field; did you mean "weight"?',
        'error http[0].route[0].weight: expected a whole number, found the text "5"; take the quotes away',
        "error http[0].timeout: expected a duration such as 2s or 100ms, found the number 3; write 3s for seconds",
        "error http[1]: expected a mapping, found the number 5",
        'error http[2].redirect.port: expected a whole number, found the text "x"',
        "error hosts[0]: expected text, found the number 1; put it in quotes",
        "error what: unknown field; known here: exportTo, gateways, hosts, http, tcp, tls",
    ]


def test_unsupported_is_a_warning_and_the_rest_counts(converter: Converter) -> None:
    value = {"host": "a", "trafficPolicy": {"outlierDetection": {"interval": "5s"}, "tls": {"mode": "SIMPLE"}}}
    rule, problems = converter.structure(value, DestinationRule)
    assert [f"{problem.level} {problem.code} {problem.text}" for problem in problems] == [
        "Warning MD0002 trafficPolicy.outlierDetection: meshd does not support this field yet: it has no effect"
    ]
    assert rule is not None
    assert rule.trafficPolicy is not None
    assert rule.trafficPolicy.tls is not None
    assert rule.trafficPolicy.tls.mode is ClientTLSmode.SIMPLE


def test_a_field_with_some_of_its_effect(converter: Converter) -> None:
    settings_, problems = converter.structure({"credentialNames": ["a", "b"]}, ServerTLSSettings)
    assert settings_ is not None
    assert settings_.credentialNames == ("a", "b")
    assert [f"{problem.level} {problem.text}" for problem in problems] == [
        "Warning credentialNames: meshd supports this field in part: the first certificate is shown to everybody"
    ]


def test_an_unsupported_field_that_is_not_given_is_not_mentioned(converter: Converter) -> None:
    assert said(converter, {"host": "a", "trafficPolicy": {"outlierDetection": None}}, DestinationRule) == []


def test_irrelevant_is_an_info(converter: Converter) -> None:
    assert said(converter, {"sessionAffinity": "None"}, Service) == [
        "info sessionAffinity: this field has no meaning to a mesh"
    ]


def test_nothing_is_an_empty_mapping(converter: Converter) -> None:
    assert made(converter, None, VirtualService) == VirtualService()
    assert said(converter, None, ServiceEntry) == ['error the field "hosts" is missing']


@pytest.mark.parametrize(
    ("word", "known", "text"),
    [
        ("wieght", ("weight", "headers"), '; did you mean "weight"?'),
        ("HOST", ("host",), '; did you mean "host"?'),
        ("export-to", ("exportTo",), '; did you mean "exportTo"?'),
        ("qqq", ("a", "b"), "; known here: a, b"),
        ("qqq", tuple("abcdefg"), ""),
        ("qqq", (), ""),
    ],
)
def test_suggestions(word: str, known: tuple[str, ...], text: str) -> None:
    assert suggestion(word, known) == text


def names_of(resource: type) -> set[str]:
    found: set[str] = set()
    pending: list[Any] = [resource]
    while pending:
        each = pending.pop()
        if attrs.has(each):
            attrs.resolve_types(each)
            for field in attrs.fields(each):
                found.add(field.name.removesuffix("_"))
                pending.append(field.type)
            for group in ("UNSUPPORTED", "REFUSED", "IRRELEVANT"):
                found |= getattr(each, group, frozenset())
        else:
            pending += getattr(each, "__args__", ())
    return found


WORDS = sorted(set().union(*(names_of(kind.resource) for kind in KINDS)))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["a", "*", "5s", "SIMPLE", ""])
)
SHAPES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=25,
)


def test_a_whole_number_may_have_a_point(converter: Converter) -> None:
    assert made(converter, {"attempts": 3.0}, HTTPRetry).attempts == 3
    assert type(made(converter, {"attempts": 3.0}, HTTPRetry).attempts) is int


def test_an_empty_match_is_for_everything(converter: Converter) -> None:
    route, problems = converter.structure({"match": [None, {"port": 80}]}, HTTPRoute)
    assert route is not None
    assert route.match == (HTTPMatchRequest(), HTTPMatchRequest(port=80))
    assert [problem.text for problem in problems] == ["match[0]: an item without anything in it is for everything"]


def test_an_unknown_field_is_told_though_it_is_null(converter: Converter) -> None:
    assert said(converter, {"exportto": None}, VirtualService) == [
        'error exportto: unknown field; did you mean "exportTo"?'
    ]


def test_protobuf() -> None:
    converter = Converter(protobuf=True)
    value = {
        "trust_domain": "a.example",
        "default_config": {"concurrency": "2", "tracing": {"sampling": "10.5"}, "statNameLength": 5.0},
        "outboundTrafficPolicy": {},
        "extensionProviders": [{"name": "x", "envoyFileAccessLog": {"logFormat": {"labels": {"a": ["%B%", 1]}}}}],
    }
    config, problems = converter.structure(value, MeshConfig)
    assert config is not None
    assert Level.ERROR not in {problem.level for problem in problems}
    assert config.trustDomain == "a.example"
    assert config.defaultConfig.concurrency == 2
    assert config.defaultConfig.drainDuration == 45.0
    assert config.defaultConfig.tracing is not None
    assert config.defaultConfig.tracing.sampling == 10.5
    assert config.outboundTrafficPolicy.mode == "REGISTRY_ONLY"
    log = config.extensionProviders[0].envoyFileAccessLog
    assert log is not None
    assert log.logFormat is not None
    assert log.logFormat.labels == Map({"a": ("%B%", 1)})
    assert hash(config) == hash(converter.structure(value, MeshConfig)[0])
    assert said(converter, {"trust_domian": 1, "enableAutoMtls": "true"}, MeshConfig) == [
        'error trust_domian: unknown field; did you mean "trustDomain"?',
        'error enableAutoMtls: expected true or false, found the text "true"; take the quotes away',
    ]


RESOURCES = [*(kind.resource for kind in KINDS), MeshConfig, MeshNetworks]


@settings(max_examples=300, deadline=None)
@given(resource=st.sampled_from(RESOURCES), value=SHAPES)
def test_the_quick_way_makes_the_same(converter: Converter, resource: Any, value: Any) -> None:
    shape = converter._shape(resource)
    try:
        quick = shape.make(value)
    except ValueError:
        return
    problems: list[Any] = []
    assert shape.check(value, (), problems) == quick
    assert problems == []


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(KINDS), value=SHAPES)
def test_any_shape_is_made_or_refused(converter: Converter, kind: Any, value: Any) -> None:
    result, problems = converter.structure(value, kind.resource, ("spec",))
    refused = any(problem.level is Level.ERROR for problem in problems)
    assert (result is None) is refused
    for problem in problems:
        assert format_path(problem.path).startswith("spec")
        assert "\n" not in problem.text
