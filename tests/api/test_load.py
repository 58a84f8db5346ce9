"""Texts to documents: kinds, lists, metadata, and what cannot be used."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.api.common import Map
from meshd.api.document import Key
from meshd.api.kinds import GATEWAY_API, KINDS, Kind
from meshd.api.load import Loader
from meshd.api.networking.gateway import Gateway
from meshd.api.problem import Level
from meshd.api.yaml import Limits
from tests.api.test_convert import SHAPES


@pytest.fixture(scope="module")
def loader() -> Loader:
    return Loader()


def said(loader: Loader, text: str) -> list[str]:
    return [
        f"{loaded.origin_of(problem)} {problem.level.lower()} {problem.code} {loaded.named or '-'}: {problem.text}"
        for loaded in loader.load(text, "f.yaml")
        for problem in loaded.problems
    ]


VIRTUAL_SERVICE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: {host: reviews}
"""


def test_a_document(loader: Loader) -> None:
    text = (
        "# comment\napiVersion: networking.istio.io/v1beta1\nkind: Gateway\nmetadata:\n  name: g\n  namespace: prod\n"
        "  labels: {a: b}\n  annotations: {c: d}\n  creationTimestamp: 2024-01-31T12:00:00+02:00\n  uid: x\n"
        "spec:\n  selector: {istio: ingressgateway}\nstatus: {anything: 1}\n"
    )
    [loaded] = loader.load(text, "f.yaml")
    document = loaded.document
    assert loaded.problems == ()
    assert document is not None
    assert document.resource == Gateway(selector=Map({"istio": "ingressgateway"}))
    assert document.key == loaded.key == Key("networking.istio.io", "Gateway", "prod", "g")
    assert (document.labels, document.annotations) == ({"a": "b"}, {"c": "d"})
    assert document.creation_timestamp == "2024-01-31T10:00:00.000000Z"
    assert str(document.origin) == "f.yaml:2:1"
    assert str(document.origin_of("spec.selector.istio")) == "f.yaml:12:14"
    assert str(document.origin_of("spec.selector.istio", value=True)) == "f.yaml:12:21"
    assert document.has(("spec", "selector"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_in_every_version(loader: Loader, kind: Kind) -> None:
    for version in kind.versions:
        api_version = f"{kind.group}/{version}" if kind.group else version
        needs = {
            "DestinationRule": {"host": "a"},
            "ServiceEntry": {"hosts": ["a"]},
            "WorkloadGroup": {"template": {}},
            "GatewayClass": {"controllerName": "istio.io/gateway-controller"},
            "TLSRoute": {"rules": []},
            "TCPRoute": {"rules": []},
            "ReferenceGrant": {"from": [], "to": []},
        }
        spec = needs.get(kind.name, {})
        if (kind.group, kind.name) == (GATEWAY_API, "Gateway"):
            spec = {"gatewayClassName": "istio", "listeners": []}
        body = {"spec": spec} if kind.in_spec else {}
        text = json.dumps({"apiVersion": api_version, "kind": kind.name, "metadata": {"name": "x"}, **body})
        [loaded] = loader.load(text, "f.json")
        assert [problem.code for problem in loaded.problems] == [] if kind.supported else ["MD0003"]
        assert loaded.document is not None
        assert type(loaded.document.resource) is kind.resource
        assert loaded.document.namespace == ("default" if kind.namespaced else "")


def test_a_list_is_taken_apart(loader: Loader) -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: a}\n- 5\n"
    one, other = loader.load(text, "f.yaml")
    assert str(one.document) == "Namespace a"
    assert str(one.origin) == "f.yaml:4:3"
    assert one.document is not None
    assert str(one.document.origin_of("metadata.name")) == "f.yaml:6:14"
    assert other.document is None
    assert said(loader, text) == [
        "f.yaml:7:3 error IST0106 -: expected an object with apiVersion and kind, found the number 5"
    ]


def test_a_mistake_costs_only_its_document(loader: Loader) -> None:
    text = VIRTUAL_SERVICE + "---\nkind: [\n---\n" + VIRTUAL_SERVICE.replace("name: reviews", "name: other")
    first, broken, last = loader.load(text, "f.yaml")
    assert (str(first.document), str(last.document)) == (
        "VirtualService default/reviews",
        "VirtualService default/other",
    )
    assert broken.document is None
    assert broken.key is None
    assert broken.problems[0].code == "MD0001"


def test_the_example_of_the_reference(loader: Loader) -> None:
    text = VIRTUAL_SERVICE.replace("destination: {host: reviews}", "destination: {host: reviews}\n      wieght: 1")
    assert said(loader, text) == [
        (
            "f.yaml:10:7 error IST0106 VirtualService default/reviews: "
            'spec.http[0].route[0].wieght: unknown field; did you mean "weight"?'
        )
    ]


def test_a_broken_document_still_has_its_name(loader: Loader) -> None:
    [loaded] = loader.load(VIRTUAL_SERVICE.replace("[reviews]", "5"), "f.yaml")
    assert loaded.document is None
    assert loaded.key == Key("networking.istio.io", "VirtualService", "default", "reviews")


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("kind: Gateway", 'error IST0106 -: the field "apiVersion" is missing'),
        ("apiVersion: v1", 'error IST0106 -: the field "kind" is missing'),
        ("apiVersion: 1\nkind: Service", "error IST0106 -: apiVersion: expected text, found the number 1"),
        ("apiVersion: v1\nkind: [a]", "error IST0106 -: kind: expected text, found a list"),
        ("apiVersion: v1\nkind: Service", 'error IST0106 Service: metadata: the field "name" is missing'),
        (
            "apiVersion: networking.istio.io/v1\nkind: VirtualServce",
            'kind: unknown kind VirtualServce in networking.istio.io; did you mean "VirtualService"?',
        ),
        ("apiVersion: networking.istio.io/v1\nkind: Nonsense", "kind: unknown kind Nonsense in networking.istio.io"),
        (
            "apiVersion: networking.istio.io/v2\nkind: Gateway",
            "apiVersion: Gateway has no version v2; known: networking.istio.io/v1, networking.istio.io/v1beta1",
        ),
        (
            "apiVersion: networking.istio.io/v1\nkind: PeerAuthentication",
            "PeerAuthentication does not belong to networking.istio.io; write security.istio.io/v1",
        ),
        (
            "apiVersion: v1\nkind: Gateway",
            "Gateway does not belong to v1; write gateway.networking.k8s.io/v1 or networking.istio.io/v1",
        ),
        (
            "apiVersion: v1\nkind: Servce",
            'error IST0106 Servce: kind: unknown kind Servce in v1; did you mean "Service"?',
        ),
        ("apiVersion: v1\nkind: ResourceQuota", "info MD0004 ResourceQuota: kind: the kind ResourceQuota does not"),
        ("apiVersion: apps/v1\nkind: ControllerRevision", "info MD0004 ControllerRevision: kind: the kind"),
        ("apiVersion: acme.example/v1\nkind: Gateway", "info MD0004 Gateway: kind: the kind Gateway does not concern"),
        ("apiVersion: gateway.networking.k8s.io/v1\nkind: FooRoute", "warning MD0003 FooRoute: kind: meshd does not"),
        ("apiVersion: config.istio.io/v1alpha2\nkind: rule", "warning MD0003 rule: kind: meshd does not support"),
    ],
)
def test_heads_that_say_little(loader: Loader, head: str, message: str) -> None:
    [line] = said(loader, head)
    assert message in line


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("{name: 5}", "metadata.name: expected text, found the number 5; put it in quotes"),
        ("{generateName: x-}", 'the field "name" is missing; generateName is not enough'),
        ("{name: x, lables: {}}", 'metadata.lables: unknown field; did you mean "labels"?'),
        ("{name: x, labels: {version: 1}}", "metadata.labels.version: expected text, found the number 1"),
        ("{name: x, creationTimestamp: yesterday}", '"yesterday" is not a time such as 2024-01-31T12:00:00Z'),
        ("{name: x, creationTimestamp: 2024-01-31}", '"2024-01-31" is not a time'),
        ("[]", "metadata: expected a mapping, found a list"),
    ],
)
def test_metadata(loader: Loader, metadata: str, message: str) -> None:
    [line] = said(loader, f"apiVersion: v1\nkind: Namespace\nmetadata: {metadata}\n")
    assert message in line


def test_what_stands_beside_spec(loader: Loader) -> None:
    text = VIRTUAL_SERVICE.replace("spec:", "sepc: {}\nspec:")
    assert said(loader, text) == [
        'f.yaml:5:1 error IST0106 VirtualService default/reviews: sepc: unknown field; did you mean "spec"?'
    ]
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nspec: {}\n"
    assert "spec: unknown field; known here: binaryData, data, immutable" in said(loader, text)[0]


def test_limits_are_the_loaders(loader: Loader) -> None:
    assert "the file has" in said(Loader(Limits(max_bytes=10)), VIRTUAL_SERVICE)[0]


def test_no_message_obeys_a_stranger(loader: Loader) -> None:
    text = json.dumps({"apiVersion": "networking.istio.io/v1", "kind": "Gate\u001b[2Jway\n"})
    [line] = said(loader, text)
    assert "\x1b" not in line
    assert "\n" not in line


DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "apiVersion": st.sampled_from(["networking.istio.io/v1", "security.istio.io/v1", "v1", "x/y/z", ""]) | SHAPES,
        "kind": st.sampled_from(["List", "VirtualServiceList", *(kind.name for kind in KINDS)]) | SHAPES,
        "metadata": st.fixed_dictionaries({"name": st.text(max_size=4)}) | SHAPES,
        "spec": SHAPES,
        "items": SHAPES,
        "subsets": SHAPES,
    },
)


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS)
def test_any_document_is_made_or_refused(loader: Loader, value: dict[str, Any]) -> None:
    for loaded in loader.load(json.dumps(value), "f.json"):
        refused = any(problem.level is Level.ERROR for problem in loaded.problems)
        if loaded.document is None:
            assert loaded.problems
        else:
            assert not refused
        for problem in loaded.problems:
            assert loaded.origin_of(problem).line == 1


def test_the_same_remark_is_made_once(loader: Loader) -> None:
    endpoints = ", ".join(f"{{addresses: [10.0.0.{number}], nodeName: n}}" for number in range(50))
    text = (
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\n"
        f"addressType: IPv4\nendpoints: [{endpoints}]\n"
    )
    assert [line.partition(": ")[2] for line in said(loader, text)] == [
        "endpoints[0].nodeName: this field has no meaning to a mesh"
    ]


def test_the_number_of_mistakes_is_bounded(loader: Loader) -> None:
    wrong = ", ".join("5" for _ in range(150))
    lines = said(loader, VIRTUAL_SERVICE.replace("[reviews]", f"[{wrong}]"))
    assert len(lines) == 101
    assert lines[-1].endswith("and 50 more mistakes")


def test_the_value_of_a_secret_is_never_told(loader: Loader) -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {pin: 271828}\ndata: {b: [x31415]}\n"
    lines = said(loader, text)
    assert lines == [
        "f.yaml:4:19 error IST0106 Secret default/a: stringData.pin: expected text; put it in quotes",
        "f.yaml:5:11 error IST0106 Secret default/a: data.b: expected text; put it in quotes",
    ]
