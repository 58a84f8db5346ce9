"""Requests through a Gateway of the Gateway API, explained by the objects that their author wrote."""

from __future__ import annotations

import pytest

from meshd.explain.explain import explain
from meshd.explain.question import Question
from meshd.explain.world import World
from tests.control.documents import documents

TEXT = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: istio
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: "*.example.com"}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  rules:
  - matches:
    - path: {value: /cart}
    - path: {type: Exact, value: /basket}
    backendRefs: [{name: cart, port: 80}]
  - backendRefs: [{name: nobody, port: 80}]
"""


@pytest.mark.parametrize("through", ["edge", "shop/edge", "ingressgateway"])
def test_where_a_decision_comes_from(through: str) -> None:
    world = World.of(documents(TEXT))
    said = explain(world, Question("GET", "http://a.example.com/basket", through=through)).to_json()
    assert said["route"]["resource"] == "HTTPRoute shop/r"
    assert said["route"]["file"].endswith(":17")
    [listener] = [step for step in said["steps"] if step["at"] == "gateway"]
    assert (listener["resource"], listener["file"].rpartition(":")[2]) == ("Gateway shop/edge", "7")


def test_a_destination_that_does_not_exist() -> None:
    said = explain(World.of(documents(TEXT)), Question("GET", "http://a.example.com/other", through="edge")).to_json()
    assert said["status"] == 500
