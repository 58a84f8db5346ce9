"""Deployments and Pods."""

from __future__ import annotations

from meshd.control.analysis.istio.deployments import application_user, service_association
from tests.control.analysis.istio.cases import ask, deployment, join, namespace, pod, said, service

APP = deployment("d", "app: a, version: v1")


def test_one_port_with_two_protocols() -> None:
    source = join(
        APP,
        service("one", "{port: 80, protocol: TCP}", selector="app: a"),
        service("two", "{port: 80, protocol: UDP}", selector="version: v1"),
        service("three", "{port: 80, protocol: UDP}", selector="app: other"),
        service("four", "{port: 80, protocol: UDP}", selector="app: a", namespace="elsewhere"),
    )
    [finding] = ask(service_association, source)
    assert (finding.code, finding.resource, finding.origin.line) == ("IST0116", "Deployment default/d", 3)
    assert "default/one, default/two" in finding.message
    assert "three" not in finding.message


def test_one_target_port_from_two_ports() -> None:
    source = join(
        APP,
        service("one", "{port: 80, targetPort: 8080}", selector="app: a"),
        service("two", "{port: 81, targetPort: 8080}", selector="app: a"),
        service("three", "{port: 82}", selector="app: a"),
    )
    [finding] = ask(service_association, source)
    assert finding.code == "IST0137"
    assert "80, 81" in finding.message


def test_services_that_agree() -> None:
    port = "{port: 80, targetPort: 8080}"
    assert said(service_association, join(APP, *(service(each, port, selector="app: a") for each in "ab"))) == []


def test_pods_outside_the_mesh_are_nobodys_business() -> None:
    services = [service(each, f"{{port: 80, protocol: {each.upper()}}}", selector="app: a") for each in ("tcp", "udp")]
    assert len(said(service_association, join(APP, *services))) == 1
    assert said(service_association, join(APP, namespace("default"), *services)) == []
    assert len(said(service_association, join(APP, namespace("default", "istio-injection: enabled"), *services))) == 1
    out = deployment("d", "app: a, sidecar.istio.io/inject: 'false'")
    assert said(service_association, join(out, *services)) == []
    into = deployment("d", "app: a", pod_metadata="annotations: {sidecar.istio.io/inject: 'true'}")
    assert len(said(service_association, join(into, namespace("default"), *services))) == 1


def test_a_waypoint_has_ports_of_its_own() -> None:
    waypoint = APP.replace("name: d,", "name: d, labels: {gateway.istio.io/managed: istio.io-mesh-controller},")
    services = [service(each, f"{{port: 80, protocol: {each.upper()}}}", selector="app: a") for each in ("tcp", "udp")]
    assert said(service_association, join(waypoint, *services)) == []


AS_PROXY = "securityContext: {runAsUser: 1337}"


def test_the_proxys_user() -> None:
    containers = (
        f"containers: [{{name: a, image: a}}, {{name: b, image: b, {AS_PROXY}}}, {{name: c, image: c, {AS_PROXY}}}]"
    )
    source = join(pod("p", spec=AS_PROXY), pod("q", spec=containers), deployment("d", "a: b", spec=containers))
    found = ask(application_user, source)
    assert [(each.code, each.resource) for each in found] == [
        ("IST0144", "Pod default/p"),
        ("IST0144", "Pod default/q"),
        ("IST0144", "Deployment default/d"),
    ]
    assert found[1].message.startswith('the container "b", the container "c" runs')


def test_who_may_be_the_proxys_user() -> None:
    proxy = f"containers: [{{name: istio-proxy, image: a, {AS_PROXY}}}]"
    other = "securityContext: {runAsUser: 1338}"
    istiod = pod("r", "istio: pilot", spec=AS_PROXY)
    assert said(application_user, join(pod("p", spec=proxy), pod("q", spec=other), istiod)) == []
