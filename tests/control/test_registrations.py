"""Registered sidecars as documents."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshd.api.common import Map
from meshd.api.document import Document
from meshd.api.kubernetes import Service, ServicePort
from meshd.api.networking.service_entry import ServiceEntry
from meshd.control.compiler import compile_snapshot
from meshd.control.mesh import Mesh
from meshd.control.registrations import ORIGIN, Workload, declared_hosts, documents
from meshd.control.scope import Scope
from meshd.snapshot.cluster import Endpoint
from meshd.snapshot.protocol import Registration


def workload(node: str = "n1", account: str = "reviews", **said: object) -> Workload:
    settings: dict[str, object] = {
        "service": "reviews",
        "address": "10.0.0.5",
        "inbound_port": 15006,
        "app_port": 9080,
        **said,
    }
    return Workload("default", account, node, Registration(**settings))  # type: ignore[arg-type]


def endpoints(made: tuple[Document, ...], cluster: str) -> tuple[Endpoint, ...]:
    snapshot = compile_snapshot(Mesh.of(made), Scope(service_account="someone"))
    return next(group.endpoints for group in snapshot.endpoints if group.cluster == cluster)


def test_a_workload_entry_with_its_ports_and_labels() -> None:
    (entry, service) = documents([workload(labels=(("version", "v1"),))], ())
    assert entry.name == "n1.reviews"
    assert entry.resource.address == "10.0.0.5"
    assert entry.resource.serviceAccount == "reviews"
    assert dict(entry.labels) == {
        "app": "reviews",
        "version": "v1",
        "meshd.dev/service": "reviews",
        "security.istio.io/tlsMode": "istio",
        "service.istio.io/workload-name": "reviews-v1",
    }
    assert dict(entry.annotations) == {"meshd.dev/inbound-port": "15006", "meshd.dev/app-port": "9080"}
    assert entry.origin == service.origin == ORIGIN


def test_both_ends_of_a_call_name_it_alike_in_telemetry() -> None:
    registered = workload(labels=(("version", "v1"),))
    (endpoint,) = endpoints(documents([registered], ()), "outbound|80||reviews.default.svc.cluster.local")
    assert endpoint.peer.workload == registered.name == "reviews-v1"


def test_it_can_be_called_by_its_name_and_port() -> None:
    made = documents([workload()], ())
    for cluster in (
        "outbound|80||reviews.default.svc.cluster.local",
        "outbound|9080||reviews.default.svc.cluster.local",
    ):
        (endpoint,) = endpoints(made, cluster)
        assert (endpoint.host, endpoint.port, endpoint.mtls) == ("10.0.0.5", 15006, True)
        assert endpoint.identity == "spiffe://cluster.local/ns/default/sa/reviews"


def test_versions_with_ports_of_their_own_are_one_service_on_port_80() -> None:
    made = documents([workload("n1", app_port=8081), workload("n2", app_port=8082, inbound_port=15007)], ())
    both = endpoints(made, "outbound|80||reviews.default.svc.cluster.local")
    assert [endpoint.port for endpoint in both] == [15006, 15007]
    (one,) = endpoints(made, "outbound|8082||reviews.default.svc.cluster.local")
    assert one.port == 15007


def test_a_service_port_of_its_own() -> None:
    made = documents(
        [workload("n1", app_port=8081, service_port=9080), workload("n2", app_port=8082, service_port=9080)], ()
    )
    service = made[-1].resource
    assert [port.port for port in service.ports] == [80, 9080]


def test_another_protocol_has_no_port_80() -> None:
    service = documents([workload(protocol="tcp")], ())[-1].resource
    assert [(port.port, port.name) for port in service.ports] == [(9080, "tcp-9080")]


def test_a_declared_service_is_not_made_again() -> None:
    declared = Document.of(Service((ServicePort(9080, name="http"),), selector=Map({"app": "reviews"})), "reviews")
    hosts = declared_hosts([declared, *documents([workload("x", service="other")], ())])
    assert hosts == {"reviews.default.svc.cluster.local"}
    made = documents([workload()], hosts)
    assert [each.kind for each in made] == ["WorkloadEntry"]
    (endpoint,) = endpoints((declared, *made), "outbound|9080||reviews.default.svc.cluster.local")
    assert endpoint.port == 15006
    entry = Document.of(ServiceEntry(hosts=("reviews.default.svc.cluster.local",)), "se")
    assert declared_hosts([entry]) == hosts


def test_labels_that_were_given_win_but_not_what_it_is() -> None:
    labels = (("app", "mine"), ("meshd.dev/service", "bank"), ("security.istio.io/tlsMode", "disabled"))
    found = dict(workload(labels=labels).labels)
    assert found["app"] == "mine"
    assert found["meshd.dev/service"] == "reviews"
    assert found["security.istio.io/tlsMode"] == "istio"


def test_who_is_not_called() -> None:
    for silent in (
        workload(service=""),
        workload(address=""),
        workload(inbound_port=0),
        workload(app_port=0),
        workload(kind="gateway"),
    ):
        assert documents([silent], ()) == ()
    assert [each.kind for each in documents([workload(healthy=False)], ())] == ["Service"]


def test_what_telemetry_calls_it() -> None:
    assert workload(labels=(("version", "v1"),)).name == "reviews-v1"
    assert workload().name == "reviews"
    assert workload(service="").name == "n1"


@given(st.permutations(range(5)))
def test_the_order_of_arrival_makes_no_difference(order: list[int]) -> None:
    all_of_them = [
        workload(f"n{index}", account=f"a{index % 2}", service=f"s{index % 3}", app_port=8000 + index)
        for index in range(5)
    ]
    assert documents([all_of_them[index] for index in order], ()) == documents(all_of_them, ())
