"""Which DestinationRules and VirtualServices hold for whom."""

from __future__ import annotations

import pytest

from meshd.control.mesh import Mesh
from meshd.control.rules import DestinationRules, HostIndex, gateway_name, virtual_services
from tests.control.documents import documents

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: server}
spec: {ports: [{port: 80, name: http}]}
"""


def rule(name: str, namespace: str, host: str = "web.server.svc.cluster.local", more: str = "") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{host: "{host}"{more}}}
"""


def found(text: str, viewer: str = "client", labels: tuple[tuple[str, str], ...] = ()) -> list[str]:
    mesh = Mesh.of(documents(SERVICE + text))
    return [each.name for each in DestinationRules(mesh).find(mesh.services[0], viewer, labels)]


def test_the_clients_namespace_then_the_services_then_the_root() -> None:
    client, server, root = rule("c", "client"), rule("s", "server"), rule("r", "istio-system")
    assert found(client + server + root) == ["c"]
    assert found(server + root) == ["s"]
    assert found(root) == ["r"]
    assert found(client, viewer="other") == []
    assert found("") == []


def test_a_client_in_the_root_namespace_asks_the_services_first() -> None:
    server, root = rule("s", "server"), rule("r", "istio-system")
    assert found(server + root, viewer="istio-system") == ["s"]
    assert found(root, viewer="istio-system") == ["r"]


def test_the_most_specific_host_of_a_namespace() -> None:
    wide = rule("wide", "client", "*.cluster.local") + rule("wider", "client", "*")
    assert found(wide) == ["wide"]
    assert found(wide + rule("exact", "client")) == ["exact"]
    assert found(rule("short", "server", "web")) == ["short"]
    assert found(rule("short", "client", "web")) == []


def test_what_is_not_exported_is_passed_over_for_what_is() -> None:
    private = rule("private", "server", more=', exportTo: ["."]')
    assert found(private) == []
    assert found(private, viewer="server") == ["private"]
    assert found(private + rule("public", "server", "*.cluster.local")) == ["public"]


def test_rules_for_some_workloads_come_first_and_stay_in_their_namespace() -> None:
    some = rule("some", "client", more=", workloadSelector: {matchLabels: {app: a}}")
    everyone = rule("all", "client")
    assert found(some + everyone, labels=(("app", "a"),)) == ["some", "all"]
    assert found(some + everyone) == ["all"]
    assert found(some) == []
    assert found(rule("x", "server", more=", workloadSelector: {matchLabels: {app: a}}"), labels=(("app", "a"),)) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mesh", "mesh"),
        ("gw", "ns/gw"),
        ("other/gw", "other/gw"),
        ("gw.other.svc.cluster.local", "other/gw"),
        ("gw.other", "other/gw"),
        ("./gw", "ns/gw"),
    ],
)
def test_gateway_names(name: str, expected: str) -> None:
    assert gateway_name(name, "ns") == expected


def test_a_host_index_goes_from_specific_to_general() -> None:
    index = HostIndex([("*", 1), ("*.com", 2), ("a.com", 3), ("*.com", 4)])
    assert list(index.candidates("a.com")) == [[3], [2, 4], [1]]
    assert list(index.candidates("b.org")) == [[1]]


def test_virtual_services_of_a_gateway_and_of_the_sidecars() -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %s, namespace: %s}
spec: {hosts: ["*", web, a.com], gateways: [%s], exportTo: [%s], http: [{route: [{destination: {host: x}}]}]}
"""
    mesh = Mesh.of(
        documents(
            "---".join(
                [
                    text % ("plain", "one", "", ""),
                    text % ("both", "one", "gw, mesh", ""),
                    text % ("private", "one", "one/gw", '"."'),
                ]
            )
        )
    )
    assert [each.rule.name for each in virtual_services(mesh, "other")] == ["both", "plain"]
    assert [each.rule.name for each in virtual_services(mesh, "other", "one/gw")] == ["both"]
    assert [each.rule.name for each in virtual_services(mesh, "one", "one/gw")] == ["private", "both"]
    (at_gateway,) = virtual_services(mesh, "other", "one/gw")
    assert at_gateway.hosts == ("*", "web.one.svc.cluster.local", "a.com")
    assert virtual_services(mesh, "other")[0].hosts == ("web.one.svc.cluster.local", "a.com")


def test_rules_for_some_workloads_hide_those_of_other_namespaces_from_all() -> None:
    # The search ends where there is a rule for the host, even one that is for others (Istio).
    some = rule("some", "client", more=", workloadSelector: {matchLabels: {app: a}}")
    assert found(some + rule("s", "server")) == []
    assert found(some + rule("s", "server"), labels=(("app", "a"),)) == ["some"]


def test_rules_of_equal_visibility_are_joined_and_others_are_not() -> None:
    first = rule("a", "server", more=', exportTo: ["*"]')
    assert found(first + rule("b", "server")) == ["a", "b"]
    assert found(first + rule("b", "server", more=", exportTo: [client]")) == ["b"]
    assert found(first + rule("b", "server", more=", exportTo: [other]")) == ["a"]


def test_private_rules_of_the_root_namespace_are_for_its_own_clients() -> None:
    private = rule("r", "istio-system", more=', exportTo: ["."]')
    assert found(private) == []
    assert found(private, viewer="istio-system") == ["r"]


def test_the_meshs_default_for_rules_that_say_nothing() -> None:
    config = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'defaultDestinationRuleExportTo: ["."]'}
"""
    assert found(rule("s", "server") + config) == []
    assert found(rule("s", "server") + config, viewer="server") == ["s"]
    assert found(rule("s", "server", more=', exportTo: ["*"]') + config) == ["s"]


def test_another_root_namespace() -> None:
    config = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "rootNamespace: top"}
"""
    assert found(rule("r", "istio-system") + config) == []
    assert found(rule("r", "top") + config) == ["r"]
