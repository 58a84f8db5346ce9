"""Whatever somebody writes, they are told what is wrong with it: never a traceback, never for ever."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshd.api.kinds import FOREIGN_KINDS, KINDS
from meshd.api.load import Loader
from meshd.api.mesh.config import MeshConfig
from meshd.api.problem import Level
from meshd.control.analysis.catalog import analyze
from meshd.control.merge import combine, settle
from meshd.control.mesh import Mesh
from meshd.control.sources.source import Entry, SourceSet, read_entries
from tests.api.test_convert import SHAPES, WORDS
from tests.corpus import ROOT

LOADER = Loader()

WRITTEN = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, labels: {a: b}}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {prefix: /a}, headers: {x: {regex: a+}}, sourceLabels: {v: v1}}]
    route: [{destination: {host: reviews, subset: v1, port: {number: 80}}, weight: 5}]
    fault: {delay: {fixedDelay: 2s, percentage: {value: 50}}}
    retries: {attempts: 2, retryOn: 5xx, perTryTimeout: 1s}
    corsPolicy: {allowOrigins: [{exact: a}], maxAge: 1h}
  tcp: [{match: [{destinationSubnets: [10.0.0.0/8]}], route: [{destination: {host: b}}]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    defaultConfig: {concurrency: 2}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a}
spec: {rules: [{from: [{source: {ipBlocks: [10.0.0.1]}}], when: [{key: "request.headers[x]", values: [a]}]}]}
"""

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        2**40,
        1.5,
        math.inf,
        "",
        "*",
        "a",
        "-1s",
        "5s",
        "0.0.0.0/0",
        "::1",
        "[",
        "a/b",
        "~/*",
        "\x00",
        "é",
        "%REQ(a)%",
        "@request.auth.claims.a",
        "(",
        "{**}",
        "." * 300,
        [],
        {},
        [None],
        [[]],
        {"": {}},
        {"a": None},
    ]
)


def judged(text: bytes | str) -> tuple[Entry, ...]:
    """Read, validate, put together, analyze: everything that is said is fit to be shown."""
    entries = read_entries(LOADER, text, "f.yaml")
    merged = combine([settle({}, SourceSet("test", entries))])
    for finding in (*merged.findings, *analyze(merged.documents)):
        assert str(finding).isprintable()
        assert finding.origin.line >= 1 or not finding.origin.file
    for entry in entries:
        wrong = any(finding.level is Level.ERROR for finding in entry.findings)
        assert (entry.document is None) == wrong or entry.key is None or not entry.findings or entry.document is None
    Mesh.of(merged.documents)
    return entries


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    judged(data)
    judged(b"apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  " + data)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=" -:[]{}&*!|>'\"%@`#,?\n\tabcy01.~<=", max_size=80))
def test_any_yaml(text: str) -> None:
    judged(text)


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from([*KINDS, *FOREIGN_KINDS]),
    body=SHAPES,
    others=st.dictionaries(st.sampled_from(WORDS), SHAPES, max_size=2),
)
def test_any_structure(kind: Any, body: Any, others: dict[str, Any]) -> None:
    document = {**others, "apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "a"}, "spec": body}
    judged(yaml.safe_dump(document, allow_unicode=True))


@settings(max_examples=100, deadline=None)
@given(
    settings_=st.dictionaries(st.sampled_from([field.name for field in attrs.fields(MeshConfig)]), SHAPES, max_size=4)
)
def test_any_settings(settings_: dict[str, Any]) -> None:
    data = {"mesh": yaml.safe_dump(settings_), "meshNetworks": yaml.safe_dump({"networks": settings_})}
    metadata = {"name": "istio", "namespace": "istio-system"}
    judged(yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}))


def originals() -> list[Any]:
    """Documents that somebody wrote: ours, and Istio's where they are at hand."""
    files = sorted((ROOT / "istio").rglob("*.yaml")) if ROOT.exists() else []
    texts = [WRITTEN, *(path.read_text(encoding="utf-8") for path in files)]
    found: list[Any] = []
    for text in texts:
        try:
            found += [each for each in yaml.load_all(text, yaml.CSafeLoader) if isinstance(each, dict)]
        except yaml.YAMLError:
            continue
    return found


ORIGINALS = originals()


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key of a document."""
    for key, each in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(each, dict | list):
            yield from places(each)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_somebody_wrote_with_mistakes_in_it(data: st.DataObject) -> None:
    document = copy.deepcopy(data.draw(st.sampled_from(ORIGINALS)))
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(list(places(document))))
        match data.draw(st.integers(0, 3)):
            case 0:
                container[key] = copy.deepcopy(data.draw(ODD | SHAPES))
            case 1 if isinstance(container, dict):
                container[data.draw(st.sampled_from(WORDS))] = copy.deepcopy(container[key])
            case 2 if isinstance(container, list):
                container.append(copy.deepcopy(container[key]))
            case _:
                del container[key]
        if not document:
            break
    judged(yaml.safe_dump_all([document], allow_unicode=True))


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
        + "".join(f"c{n}: &c{n} [{', '.join(['*b' if n == 0 else f'*c{n - 1}'] * 9)}]\n" for n in range(9)),
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "a: " * 100_000,
        "? " * 50_000,
        "&a " * 50_000,
        "!" * 100_000,
        "---\n" * 100_000,
        "a: |\n" + "\n" * 100_000,
        "kind: " + "V" * 100_000 + "\napiVersion: networking.istio.io/v1",
        "kind: VirtualService\napiVersion: networking.istio.io/v1\nmetadata: {name: a}\nspec:\n"
        + "".join(f"  hosst{n}: 1\n" for n in range(20_000)),
        "kind: VirtualService\napiVersion: networking.istio.io/v1\nmetadata: {name: a}\nspec: {http: ["
        + "{timeout: 5}, " * 10_000
        + "]}",
        "apiVersion: v1\nkind: List\nitems: [" + "5, " * 50_000 + "]",
    ],
    ids=range(14),
)
def test_what_is_made_to_hurt(text: str) -> None:
    judged(text)
