"""Whatever stands in a document, it gets findings and no traceback."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.api.kinds import KINDS
from meshd.api.yaml import parse
from tests.control.analysis.cases import findings
from tests.control.analysis.crd_documents import DOCUMENTS

ISTIO = [(f"{kind.group}/{kind.versions[0]}", kind.name) for kind in KINDS if kind.group.endswith(".istio.io")]

NAMES = (
    *("spec", "selector", "matchLabels", "workloadSelector", "labels", "targetRef", "targetRefs", "kind", "name"),
    *("group", "namespace", "hosts", "host", "http", "tls", "tcp", "match", "route", "destination", "port", "number"),
    *("uri", "exact", "prefix", "regex", "headers", "servers", "protocol", "bind", "mode", "ports", "endpoints"),
    *("address", "resolution", "trafficPolicy", "loadBalancer", "consistentHash", "maglev", "tableSize", "subsets"),
    *("configPatches", "applyTo", "patch", "operation", "value", "listener", "filterChain", "filter", "subFilter"),
    *("url", "wasm", "lua", "inlineCode", "vmConfig", "env", "valueFrom", "sha256", "rules", "from", "to", "when"),
    *("source", "jwtRules", "issuer", "jwks", "jwksUri", "tracing", "metrics", "overrides", "tagOverrides", "egress"),
    *("ingress", "defaultEndpoint", "probe", "template", "expression", "accessLogging", "timeout", "retries"),
)
WORDS = (
    *(
        "*",
        ".",
        "~",
        "*/*",
        "a.b",
        "a/b",
        "10.0.0.0/8",
        "unix://",
        "unix:///a",
        "0s",
        "1s",
        "%",
        "%A(",
        "STATIC",
        "DNS",
    ),
    *("SIMPLE", "MUTUAL", "ADD", "CLUSTER", "HTTP_FILTER", "HTTP", "TLS", "TCP", "http://[", "ftp://a", "{", "(", "'"),
)

scalars = st.none() | st.booleans() | st.integers(-5, 70000) | st.sampled_from(WORDS) | st.text(max_size=6)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ISTIO), st.dictionaries(st.sampled_from(NAMES), values, max_size=4))
def test_no_traceback(kind: tuple[str, str], spec: dict[str, Any]) -> None:
    document = {"apiVersion": kind[0], "kind": kind[1], "metadata": {"name": "x"}, "spec": spec}
    for finding in findings(json.dumps(document)):
        assert finding.message.isprintable()
        assert finding.origin.line


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key in a document."""
    if isinstance(value, dict):
        return [each for key, inner in value.items() for each in ((value, key), *places(inner))]
    if isinstance(value, list):
        return [each for key, inner in enumerate(value) for each in ((value, key), *places(inner))]
    return []


SOURCES = [parse(source).trees[0].value for source in DOCUMENTS.values()]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SOURCES), st.data())
def test_something_else_in_one_place(source: dict[str, Any], data: st.DataObject) -> None:
    document = copy.deepcopy(source)
    within = places(document["spec"])
    if within:
        container, key = data.draw(st.sampled_from(range(len(within))).map(within.__getitem__))
        container[key] = data.draw(values)
    for finding in findings(json.dumps(document)):
        assert finding.message.isprintable()
        assert finding.origin.line
