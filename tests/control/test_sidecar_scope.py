"""What a Sidecar lets its workloads see."""

from __future__ import annotations

import pytest

from meshd.control.compiler.routes import destination_hosts
from meshd.control.mesh import Mesh
from meshd.control.rules import virtual_services
from meshd.control.services import Protocol
from meshd.control.sidecar_scope import SidecarScope, scope_of, sidecar_of
from tests.control.documents import documents

SERVICES = "".join(
    f"""
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{ports: [{{port: 80, name: http}}, {{port: 90, name: tcp}}]}}
"""
    for name, namespace in (("a", "one"), ("b", "one"), ("a", "two"), ("c", "three"))
)


def sidecar(spec: str, name: str = "s", namespace: str = "one", stamp: str = "") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}, namespace: {namespace}, creationTimestamp: "{stamp}"}}
spec: {{{spec}}}
"""


def virtual(name: str, namespace: str, hosts: str, to: str, more: str = "") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{hosts: [{hosts}], {more} http: [{{route: [{{destination: {{host: {to}}}}}]}}]}}
"""


def scope(text: str, namespace: str = "one", labels: tuple[tuple[str, str], ...] = ()) -> SidecarScope:
    mesh = Mesh.of(documents(SERVICES + text))
    return scope_of(
        mesh,
        sidecar_of(mesh, namespace, labels),
        namespace,
        virtual_services(mesh, namespace),
        lambda rule: destination_hosts(rule, mesh.domain),
    )


def hosts(found: SidecarScope, listener: int = 0) -> list[str]:
    return [each.host.removesuffix(".svc.cluster.local") for each in found.egress[listener].services]


def test_without_a_sidecar_everything_is_seen() -> None:
    found = scope("")
    assert found.sidecar is None
    assert hosts(found) == ["a.one", "b.one", "c.three", "a.two"]
    assert found.policy.allow_any


@pytest.mark.parametrize(
    ("egress", "seen"),
    [
        ('"*/*"', ["a.one", "b.one", "c.three", "a.two"]),
        ('"./*"', ["a.one", "b.one"]),
        ('"two/*", "three/*"', ["c.three", "a.two"]),
        ('"./a.one.svc.cluster.local"', ["a.one"]),
        ('"*/*.one.svc.cluster.local"', ["a.one", "b.one"]),
        ('"two/a.one.svc.cluster.local"', []),
        ('"~/*"', []),
        ('"*/*", "~two/*"', ["a.one", "b.one", "c.three"]),
        ('"./*", "~./b.one.svc.cluster.local"', ["a.one"]),
    ],
)
def test_hosts_by_namespace_and_name(egress: str, seen: list[str]) -> None:
    assert hosts(scope(sidecar(f"egress: [{{hosts: [{egress}]}}]"))) == seen


def test_whose_sidecar_holds() -> None:
    everything = (
        sidecar('egress: [{hosts: ["./*"]}]', name="young", stamp="2021-01-01T00:00:00Z")
        + sidecar('egress: [{hosts: ["./*"]}]', name="old", stamp="2020-01-01T00:00:00Z")
        + sidecar('workloadSelector: {labels: {app: x}}, egress: [{hosts: ["./*"]}]', name="chosen")
        + sidecar('egress: [{hosts: ["./*"]}]', name="root", namespace="istio-system")
        + sidecar(
            'workloadSelector: {labels: {app: other}}, egress: [{hosts: ["./*"]}]',
            name="nobodys",
            namespace="istio-system",
        )
    )

    def name(namespace: str, labels: tuple[tuple[str, str], ...] = ()) -> str:
        found = sidecar_of(Mesh.of(documents(everything)), namespace, labels)
        return found.name if found is not None else ""

    assert name("one") == "old"
    assert name("one", (("app", "x"), ("version", "v1"))) == "chosen"
    assert name("two") == "root"
    assert name("two", (("app", "other"),)) == "root"


def test_a_port_brings_the_services_that_have_it_with_that_port_alone() -> None:
    found = scope(
        sidecar('egress: [{port: {number: 80, protocol: HTTP, name: x}, hosts: ["one/*"]}, {hosts: ["two/*"]}]')
    )
    assert hosts(found) == ["a.one", "b.one"]
    assert [port.number for port in found.egress[0].services[0].ports] == [80]
    assert found.egress[0].port is not None
    assert found.egress[0].port.protocol is Protocol.HTTP
    assert hosts(found, 1) == ["a.two"]
    assert {each.host: len(each.ports) for each in found.services} == {
        "a.one.svc.cluster.local": 1,
        "b.one.svc.cluster.local": 1,
        "a.two.svc.cluster.local": 2,
    }
    none = scope(sidecar('egress: [{port: {number: 70, protocol: HTTP, name: x}, hosts: ["*/*"]}]'))
    assert hosts(none) == []


def test_two_listeners_bring_different_ports_of_one_service() -> None:
    found = scope(
        sidecar(
            'egress: [{port: {number: 80, protocol: HTTP, name: x}, hosts: ["./a.one.svc.cluster.local"]},'
            ' {port: {number: 90, protocol: TCP, name: z}, hosts: ["./a.one.svc.cluster.local"]}]'
        )
    )
    (service,) = found.services
    assert [port.number for port in service.ports] == [80, 90]


def test_virtual_services_come_by_namespace_and_host_and_bring_where_they_send() -> None:
    text = (
        virtual("far", "two", "a.one.svc.cluster.local", "c.three.svc.cluster.local")
        + virtual("wild", "one", '"*.one.svc.cluster.local"', "c.three.svc.cluster.local")
        + virtual("other", "one", "x.example.com", "a.two.svc.cluster.local")
    )
    found = scope(text + sidecar('egress: [{hosts: ["one/a.one.svc.cluster.local"]}]'))
    assert [each.rule.name for each in found.egress[0].rules] == ["wild"]
    assert hosts(found) == ["a.one"]
    assert [each.host for each in found.services] == ["a.one.svc.cluster.local", "c.three.svc.cluster.local"]


def test_of_one_host_in_several_namespaces_the_own_one_then_kubernetes_then_the_oldest() -> None:
    entry = """
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: %s, creationTimestamp: "%s"}
spec: {hosts: [%s], ports: [{number: 80, name: http}], resolution: NONE}
"""
    squatter = entry % ("two", "2000-01-01T00:00:00Z", "c.three.svc.cluster.local")
    (service,) = (each for each in scope(squatter).services if each.host == "c.three.svc.cluster.local")
    assert service.namespace == "three"
    (service,) = (each for each in scope(squatter, "two").services if each.host == "c.three.svc.cluster.local")
    assert service.namespace == "two"
    shared = entry % ("three", "2001-01-01T00:00:00Z", "x.example.com") + entry % (
        "two",
        "2000-01-01T00:00:00Z",
        "x.example.com",
    )
    (service,) = (each for each in scope(shared).services if each.host == "x.example.com")
    assert service.namespace == "two"
    # One that is not brought is no rival.
    chosen = scope(shared + sidecar('egress: [{hosts: ["three/*"]}]'))
    (service,) = (each for each in chosen.services if each.host == "x.example.com")
    assert service.namespace == "three"


def test_the_policy_for_hosts_nobody_knows() -> None:
    mesh = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
"""
    assert not scope(mesh).policy.allow_any
    assert scope(mesh + sidecar("outboundTrafficPolicy: {mode: ALLOW_ANY}")).policy.allow_any
    assert not scope(sidecar("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")).policy.allow_any
    proxied = scope(
        sidecar("outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a, subset: v1, port: {number: 80}}}")
    )
    assert proxied.policy.egress_proxy is not None
    assert proxied.policy.egress_proxy.host == "a.one.svc.cluster.local"


def test_the_meshs_defaults_for_who_sees_what() -> None:
    mesh = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'defaultServiceExportTo: ["."]

    defaultVirtualServiceExportTo: ["."]'}
"""
    text = mesh + virtual("v", "two", "a.two.svc.cluster.local", "a.two.svc.cluster.local")
    assert hosts(scope(text)) == ["a.one", "b.one"]
    assert scope(text).egress[0].rules == ()
    assert len(scope(text, "two").egress[0].rules) == 1
