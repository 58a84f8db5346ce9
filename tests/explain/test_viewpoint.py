"""Whose decision a question asks for."""

from __future__ import annotations

import pytest

from meshd.explain.call import QuestionError
from tests.explain.documents import told

DOOR = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-ingressgateway, namespace: edge}
spec:
  template:
    metadata: {labels: {istio: ingressgateway, app: door}}
    spec: {serviceAccountName: doorman}
"""


def test_a_service_account_s_sidecar() -> None:
    view = told(from_="default/reader").hops[0].view
    assert str(view) == "sidecar of default/reader, outbound"
    assert (view.scope.namespace, view.scope.service_account, view.scope.name) == ("default", "reader", "reviews-v1")
    assert dict(view.scope.labels) == {"app": "reviews", "version": "v1"}
    assert view.notes == ("several workloads run as default/reader; this is reviews-v1",)


def test_people_name_workloads_too() -> None:
    view = told(from_="web").hops[0].view
    assert (view.scope.namespace, view.scope.service_account, view.scope.name) == ("default", "default", "web")
    assert not view.notes


def test_somebody_unknown_has_no_labels_unless_they_are_given() -> None:
    view = told(from_="shop/ghost").hops[0].view
    assert view.scope.identity == "spiffe://cluster.local/ns/shop/sa/ghost"
    assert "no workload of shop/ghost is known here" in view.notes[0]
    view = told(from_="shop/ghost", labels=["app=ghost"], proxy_ip="10.0.0.9").hops[0].view
    assert (dict(view.scope.labels), view.scope.address, view.notes) == ({"app": "ghost"}, "10.0.0.9", ())


def test_a_gateway_by_its_label_its_object_or_its_workload() -> None:
    for name in ("ingressgateway", "door", "edge/door", "istio-ingressgateway"):
        view = told(DOOR, "http://shop.example.com/", through=name).hops[0].view
        assert (view.scope.kind, view.scope.namespace, view.scope.service_account) == ("gateway", "edge", "doorman")
        assert dict(view.scope.labels) == {"istio": "ingressgateway", "app": "door"}
        assert view.notes == ()


def test_a_gateway_that_nobody_describes_is_where_istio_puts_it() -> None:
    view = told(through="eastwestgateway").hops[0].view
    assert (view.scope.namespace, dict(view.scope.labels)) == ("istio-system", {"istio": "eastwestgateway"})
    assert view.notes == ("no Gateway selects eastwestgateway",)


def test_without_a_word_the_gateway_that_takes_the_host_or_a_sidecar() -> None:
    view = told(DOOR, "http://shop.example.com/").hops[0].view
    assert str(view) == "gateway edge/door"
    assert "because a Gateway takes this host" in view.notes[0]
    view = told(DOOR, "http://reviews/", namespace="default").hops[0].view
    assert str(view) == "sidecar of default/anybody, outbound"


def test_exactly_one_proxy() -> None:
    found = told(mode="inbound", labels=["app=reviews"], url="http://reviews:9080/")
    assert len(found.hops) == 1
    assert found.hops[0].decision.listener == "virtualInbound"
    found = told(from_="default/web", mode="outbound")
    assert len(found.hops) == 1
    assert found.hops[0].decision.listener == "0.0.0.0_80"
    found = told(DOOR, "http://shop.example.com/", mode="gateway", labels=["istio=ingressgateway"], namespace="edge")
    assert found.hops[0].decision.listener == "0.0.0.0_80"


def test_a_gateway_s_service_maps_ports() -> None:
    service = """
apiVersion: v1
kind: Service
metadata: {name: door, namespace: edge}
spec:
  selector: {istio: ingressgateway}
  ports: [{name: http, port: 80, targetPort: 8080}]
"""
    found = told(f"{DOOR}\n---\n{service}", "http://shop.example.com/", through="door")
    assert found.hops[0].decision.listener == "0.0.0.0_8080"
    assert found.hops[0].note == "the gateway's Service maps port 80 to 8080"
    exact = told(
        f"{DOOR}\n---\n{service}",
        "http://shop.example.com/",
        mode="gateway",
        labels=["istio=ingressgateway"],
        namespace="edge",
    )
    assert exact.verdict == "no-listener"


@pytest.mark.parametrize("sender", ["/x", "x/", "a/b/c"])
def test_nobody(sender: str) -> None:
    with pytest.raises(QuestionError, match="is nobody"):
        told(from_=sender)
