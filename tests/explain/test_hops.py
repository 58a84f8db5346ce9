"""What happens at the other end."""

from __future__ import annotations

import pytest

from meshd.explain.decision import Verdict
from meshd.explain.explain import explain
from meshd.explain.question import Question
from tests.explain.documents import told, world

ONLY_V2_REFUSES = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody}
spec:
  selector: {matchLabels: {app: reviews, version: v2}}
"""
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews, subset: v1}}]}]
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: reviews-vm}}
spec: {{address: 10.0.0.3, ports: {{http: 8888}}, labels: {{app: reviews}}{more}}}
"""


def test_the_server_gets_what_the_client_s_sidecar_sends() -> None:
    found = told(from_="default/web")
    client, server = found.hops
    assert str(server.view) == "sidecar of default/reviews-v1, inbound"
    assert (server.call.port, server.call.peer) == (9080, "spiffe://cluster.local/ns/default/sa/default")
    assert server.call.sni == "outbound_.80_._.reviews.default.svc.cluster.local"
    assert server.call.alpn == ("istio-http/1.1", "istio", "http/1.1")
    assert dict(server.call.headers) == dict(client.decision.headers)
    assert server.decision.cluster == "inbound|9080||"
    assert found.verdict is Verdict.ALLOW


def test_one_of_several_workloads_that_refuses_is_told() -> None:
    found = told(ONLY_V2_REFUSES, from_="default/web")
    assert (found.verdict, found.status) == (Verdict.DENY, 403)
    assert str(found.deciding.view) == "sidecar of default/reviews-v2, inbound"
    assert found.deciding.note == (
        "1 of the 2 workloads behind reviews.default.svc.cluster.local answer so; the others do not"
    )
    assert found.reason.startswith("at the sidecar of default/reviews-v2, inbound: no ALLOW policy of this workload")


@pytest.mark.parametrize(
    ("url", "note"),
    [
        (
            "http://revews/",
            "no Service or ServiceEntry here has the host revews: give --config the file that has it, if",
        ),
        ("http://reviews:81/", "reviews.default.svc.cluster.local has no port 81, but 80"),
        ("http://reviews.default.svc:81/", "reviews.default.svc.cluster.local has no port 81, but 80"),
        ("http://10.9.9.9:81/", ""),
        ("http://reviews/", ""),
    ],
)
def test_what_the_mesh_does_not_know_is_said(url: str, note: str) -> None:
    hop = told(from_="default/web", url=url).hops[0]
    assert hop.note.startswith(note)
    assert bool(hop.note) == bool(note)


def test_only_the_subset_s_workloads_are_asked() -> None:
    found = told(f"{ONLY_V2_REFUSES}\n---\n{SUBSETS}", from_="default/web")
    assert (found.verdict, str(found.hops[1].view)) == (Verdict.ALLOW, "sidecar of default/reviews-v1, inbound")


def test_workloads_with_addresses_go_before_templates() -> None:
    found = told(ENTRY.format(more=", serviceAccount: vm"), from_="default/web")
    assert found.hops[0].decision.endpoints == ("10.0.0.3:8888",)
    server = found.hops[1]
    assert (str(server.view), server.call.address, server.call.port) == (
        "sidecar of default/reviews-vm, inbound",
        "10.0.0.3",
        8888,
    )


def test_a_workload_without_a_sidecar_decides_nothing() -> None:
    found = told(ENTRY.format(more=""), from_="default/web")
    assert len(found.hops) == 1
    assert found.hops[0].decision.mtls.mode == "disable"


def test_an_external_service_is_the_end() -> None:
    entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}]
"""
    found = told(entry, "http://api.example.com/", from_="default/web")
    assert len(found.hops) == 1
    assert found.hops[0].decision.cluster == "outbound|80||api.example.com"


EGRESS = """
apiVersion: v1
kind: Service
metadata: {name: egress, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  ports: [{name: http, port: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: egress, namespace: istio-system}
spec:
  template:
    metadata: {labels: {istio: egressgateway}}
    spec: {serviceAccountName: egress}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [api.example.com]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: egress, namespace: istio-system}
spec: {host: egress.istio-system.svc.cluster.local, trafficPolicy: {tls: {mode: DISABLE}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: out}
spec:
  hosts: [api.example.com]
  gateways: [mesh, istio-system/egress]
  http:
  - match: [{gateways: [mesh]}]
    route: [{destination: {host: egress.istio-system.svc.cluster.local}}]
  - match: [{gateways: [istio-system/egress]}]
    route: [{destination: {host: api.example.com}}]
"""


def test_by_way_of_an_egress_gateway() -> None:
    found = told(EGRESS, "http://api.example.com/x", from_="default/web")
    assert [str(hop.view) for hop in found.hops] == [
        "sidecar of default/web, outbound",
        "gateway istio-system/egress",
    ]
    client, gateway = (hop.decision for hop in found.hops)
    assert client.cluster == "outbound|80||egress.istio-system.svc.cluster.local"
    assert gateway.cluster == "outbound|80||api.example.com"
    first, second = (step for step in gateway.steps if step.at == "route")
    assert (first.rule, first.because) == (0, "not for this proxy: gateways mesh, and this is istio-system/egress")
    assert (second.rule, second.matched) == (1, True)


def test_a_circle_is_given_up() -> None:
    circle = EGRESS.replace(
        "route: [{destination: {host: api.example.com}}]",
        "route: [{destination: {host: egress.istio-system.svc.cluster.local}}]",
    )
    assert len(told(circle, "http://api.example.com/x", from_="default/web").hops) == 5


def test_a_control_plane_knows_that_there_is_nobody() -> None:
    question = Question.of({"url": "http://reviews/", "from": "default/web"})
    found = explain(world(complete=True), question)
    assert (found.verdict, found.status) == (Verdict.NO_HEALTHY_UPSTREAM, 503)
    assert found.reason == "reviews.default.svc.cluster.local has no endpoints"


def test_bytes_go_to_the_server_as_bytes() -> None:
    service = """
apiVersion: v1
kind: Service
metadata: {name: db}
spec:
  selector: {app: reviews}
  ports: [{name: tcp, port: 5432, targetPort: 5432}]
"""
    found = told(service, "tcp://db:5432", from_="default/web")
    assert [hop.decision.cluster for hop in found.hops] == [
        "outbound|5432||db.default.svc.cluster.local",
        "inbound|5432||",
    ]
    assert found.hops[1].call.alpn == ("istio-peer-exchange", "istio")
