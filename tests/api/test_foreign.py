"""Kinds that are kept as they were written."""

from __future__ import annotations

import pytest

from meshd.api.common import Map
from meshd.api.foreign import Foreign, freeze, look_up
from meshd.api.kinds import FOREIGN_KINDS, KINDS, Kind, kind_of
from meshd.api.load import Loaded, Loader
from meshd.control.mesh import Mesh

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews, namespace: prod, labels: {a: b}}
spec:
  template:
    metadata:
      labels: {app: reviews}
    spec:
      containers:
      - {name: app, ports: [{containerPort: 9080}]}
status: {replicas: 3}
"""


def load(text: str) -> Loaded:
    [loaded] = Loader().load(text, "f.yaml")
    return loaded


def test_content_is_kept_frozen_and_located() -> None:
    loaded = load(DEPLOYMENT)
    document = loaded.document
    assert document is not None
    resource = document.resource
    assert isinstance(resource, Foreign)
    assert resource.get("spec", "template", "metadata", "labels") == {"app": "reviews"}
    assert resource.get("spec", "template", "spec", "containers", 0, "ports", 0, "containerPort") == 9080
    assert resource.get("spec", "selector", "matchLabels") is None
    assert resource.get("spec", 0) is None
    assert look_up(resource.content, "spec", "template", "spec", "containers", 1) is None
    assert hash(resource) == hash(Foreign(freeze(resource.content)))
    assert str(document.origin_of("spec.template.spec.containers[0].name")) == "f.yaml:10:10"
    assert str(document.key) == "Deployment prod/reviews"
    assert document.status == Map()
    [problem] = loaded.problems
    assert (problem.level, problem.code) == ("Info", "MD0004")


@pytest.mark.parametrize("kind", FOREIGN_KINDS, ids=lambda kind: f"{kind.group}.{kind.name}")
def test_every_foreign_kind(kind: Kind) -> None:
    loaded = load(f"apiVersion: {kind.api_version}\nkind: {kind.name}\nmetadata: {{name: x}}\nanything: [1]\n")
    assert loaded.document is not None
    assert loaded.document.resource == Foreign(Map({"anything": (1,)}))
    [problem] = loaded.problems
    of_the_mesh = kind.group.endswith("istio.io") or kind.group == "gateway.networking.k8s.io"
    assert problem.level == ("Warning" if of_the_mesh else "Info")


def test_a_generated_name_will_do_for_what_analyses_read() -> None:
    document = load("apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: once-}\n").document
    assert document is not None
    assert str(document) == "Job default/once-"


def test_no_kind_is_in_two_lists() -> None:
    names = [(kind.group, kind.name) for kind in (*KINDS, *FOREIGN_KINDS)]
    assert len(set(names)) == len(names)
    with pytest.raises(KeyError):
        kind_of(Foreign())


def test_the_gateway_of_another_group_is_not_istios() -> None:
    text = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec: {gatewayClassName: a, listeners: []}\n"
    document = load(text).document
    assert document is not None
    assert Mesh.of([document]).gateways == ()


def test_what_istio_reported_is_kept() -> None:
    text = (
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s}\nspec: {hosts: [a.com]}\n"
        "status: {conditions: [{type: istio.io/WaypointBound, status: 'False'}]}\n"
    )
    document = load(text).document
    assert document is not None
    assert look_up(document.status, "conditions", 0, "type") == "istio.io/WaypointBound"
    assert str(document.origin_of("status.conditions[0].status")) == "f.yaml:5:54"
