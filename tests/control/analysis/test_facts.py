"""What analyses may look at."""

from __future__ import annotations

from meshd.api.kinds import NETWORKING
from meshd.api.networking.gateway import Gateway
from meshd.control.analysis.pod_facts import labels_text
from tests.control.analysis.istio.cases import deployment, facts, istio, join, pod

GATEWAY = istio("Gateway", "g", "{servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}]}")
REFUSED = GATEWAY.replace("number: 80", "number: 0").replace("name: g,", "name: bad,")
UNREADABLE = GATEWAY.replace("servers", "servants").replace("name: g,", "name: worse,")


def test_documents_by_kind() -> None:
    found = facts(join(GATEWAY, REFUSED, UNREADABLE, deployment("d", "a: b")))
    assert [each.name for each in found.all(Gateway)] == ["g", "bad"]
    assert [each.name for each in found.kind("Gateway", NETWORKING)] == ["g", "bad"]
    assert [each.name for each in found.metadata_of("Gateway", NETWORKING)] == ["g", "bad", "worse"]
    assert [each.name for each in found.kind("Deployment", "apps")] == ["d"]
    assert found.kind("Deployment") == ()


def test_what_is_refused_is_there_and_part_of_no_mesh() -> None:
    found = facts(join(GATEWAY, REFUSED, UNREADABLE))
    assert [owned.name for owned in found.mesh.gateways] == ["g"]
    assert all(found.has("Gateway", NETWORKING, "default", name) for name in ("g", "bad", "worse"))
    assert not found.has("Gateway", NETWORKING, "default", "none")
    assert not found.has("Gateway", NETWORKING, "other", "g")


def test_workloads() -> None:
    entry = istio("WorkloadEntry", "w", "{address: 10.0.0.1, labels: {a: b}}", metadata="labels: {c: d}")
    cron = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: c}
spec: {jobTemplate: {spec: {template: {metadata: {labels: {a: b}}, spec: {containers: []}}}}}
"""
    found = facts(join(pod("p", "a: b"), deployment("d", "a: b, c: d"), entry, cron)).pods

    def names(selector: dict[str, str], namespace: str | None = None) -> set[str]:
        return {known.name for known in found.select(selector, namespace)}

    assert names({"a": "b"}) == {"p", "d", "w", "c"}
    assert names({"a": "b", "c": "d"}) == {"d", "w"}
    assert names({"a": "b"}, "other") == set()
    assert names({}, "default") == {"p", "d", "w", "c"}
    assert names({}) == {"p", "d", "w", "c", "istio-ingressgateway"}
    assert [known.name for known in found.pods] == ["p"]
    assert {known.name for known in found.everything if known.is_pod} == {"p", "w", "istio-ingressgateway"}


def test_an_ingress_gateway_that_is_written_takes_the_place_of_the_usual_one() -> None:
    own = deployment("mine", "istio: ingressgateway", namespace="edge")
    assert [known.name for known in facts(own).pods.select({"istio": "ingressgateway"})] == ["mine"]


def test_pods_of_any_shape() -> None:
    for spec in ("containers: x", "containers: [1, {}]", "initContainers: {}"):
        [known] = [each for each in facts(pod("p", spec=spec)).pods.everything if each.document is not None]
        assert not known.has_proxy


def test_labels_as_text() -> None:
    assert labels_text({"b": "1", "a": "2"}) == "a=2,b=1"
    assert labels_text({}) == ""
