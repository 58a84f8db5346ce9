"""Which workloads stand behind a service's port, and where they are reached."""

from __future__ import annotations

from meshd.api.common import Map
from meshd.control.mesh import Mesh
from meshd.control.workloads import Backend, Workload, WorkloadIndex, app_port
from tests.control.documents import documents

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  selector: {app: reviews}
  ports: [{port: 9080, name: http}]
"""


def backends(text: str, port: int = 9080, host: str = "reviews.default.svc.cluster.local") -> tuple[Backend, ...]:
    mesh = Mesh.of(documents(text))
    return dict(mesh.backends[host, "default"])[port]


def addresses(found: tuple[Backend, ...]) -> list[tuple[str, int]]:
    return [(backend.host, backend.port) for backend in found]


def entry(name: str, spec: str, metadata: str = "") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}{metadata}}}
spec: {{{spec}}}
"""


def test_a_service_selects_workload_entries_of_its_namespace() -> None:
    found = backends(
        SERVICE
        + entry("a", "address: 10.0.0.2, labels: {app: reviews}, serviceAccount: rev, weight: 3, locality: r/z")
        + entry("b", "address: 10.0.0.1, labels: {app: other}", ", labels: {app: reviews, version: v1}")
        + entry("c", "address: 10.0.0.3, labels: {app: other}")
        + entry("d", "address: 10.0.0.4, labels: {app: reviews}", ", namespace: elsewhere")
        + entry("e", 'address: "unix:///run/x", labels: {app: reviews}, ports: {}')
    )
    assert addresses(found) == [("10.0.0.1", 9080), ("10.0.0.2", 9080)]
    assert found[0].labels == Map({"app": "reviews", "version": "v1"})
    assert (found[1].service_account, found[1].weight, found[1].locality) == ("rev", 3, "r/z")
    assert [backend.mtls for backend in found] == [False, True]


def test_the_tls_label_has_the_last_word() -> None:
    found = backends(
        SERVICE
        + entry(
            "a", 'address: 10.0.0.1, serviceAccount: x, labels: {app: reviews, "security.istio.io/tlsMode": disabled}'
        )
        + entry("b", 'address: 10.0.0.2, labels: {app: reviews, "security.istio.io/tlsMode": istio}')
    )
    assert [backend.mtls for backend in found] == [False, True]


def test_a_registered_workload_is_reached_at_its_sidecar() -> None:
    found = backends(
        SERVICE
        + entry(
            "a",
            "address: 127.0.0.1, labels: {app: reviews}",
            ', annotations: {meshd.dev/inbound-port: "31006", meshd.dev/app-port: "31080"}',
        )
    )
    assert [(each.host, each.port, each.app_port) for each in found] == [("127.0.0.1", 31006, 31080)]


def test_an_annotation_that_is_no_port_is_as_if_it_were_absent() -> None:
    found = backends(
        SERVICE
        + entry("a", "address: 127.0.0.1, labels: {app: reviews}", ', annotations: {meshd.dev/app-port: "99999"}')
    )
    assert [(each.port, each.app_port) for each in found] == [(9080, 9080)]


TWO_PORTS = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  selector: {app: reviews}
  ports: [{port: 80, name: http, targetPort: 8080}, {port: 81, name: admin, targetPort: adm}]
"""


def test_of_several_ports_a_registered_workload_serves_the_one_that_is_its_own() -> None:
    registered = ', annotations: {meshd.dev/inbound-port: "31006", meshd.dev/app-port: "8080"}'
    text = TWO_PORTS + entry("a", "address: 127.0.0.1, labels: {app: reviews}", registered)
    assert addresses(backends(text, 80)) == [("127.0.0.1", 31006)]
    assert backends(text, 81) == ()


def test_ports_by_name() -> None:
    text = TWO_PORTS + entry("a", "address: 10.0.0.1, labels: {app: reviews}, ports: {http: 7070, adm: 7071}")
    assert addresses(backends(text, 80)) == [("10.0.0.1", 7070)]
    assert addresses(backends(text, 81)) == [("10.0.0.1", 7071)]


def test_app_port_without_a_name_takes_the_target_then_the_number() -> None:
    (service,) = Mesh.of(documents(TWO_PORTS)).services
    http, admin = service.ports
    assert app_port(service, http, {}, ()) == 8080
    assert app_port(service, admin, {}, ()) == 81
    assert app_port(service, http, {}, (9999,)) is None
    assert app_port(service, http, {}, (1, 8080)) == 8080


def test_endpoint_slices_win_over_endpoints_and_leave_out_what_is_not_ready() -> None:
    text = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {ports: [{port: 80, name: http, targetPort: 8080}, {port: 81, name: tcp}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-x, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
endpoints:
- {addresses: [10.0.0.3]}
- {addresses: [10.0.0.1], conditions: {ready: true}}
- {addresses: [10.0.0.2], conditions: {ready: false}}
ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: reviews}
subsets: [{addresses: [{ip: 10.9.9.9}], ports: [{name: http, port: 8080}]}]
"""
    assert addresses(backends(text, 80)) == [("10.0.0.1", 8080), ("10.0.0.3", 8080)]
    assert backends(text, 81) == ()


def test_endpoints_of_a_single_unnamed_port() -> None:
    text = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {%s ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: reviews}
subsets:
- addresses: [{ip: 10.0.0.1}]
  notReadyAddresses: [{ip: 10.0.0.2}]
  ports: [{port: 8080}]
"""
    assert addresses(backends(text % "", 80)) == [("10.0.0.1", 8080)]
    assert len(backends(text % "publishNotReadyAddresses: true,", 80)) == 2


def test_service_entries() -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: se}
spec:
  hosts: [%s]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  resolution: %s
  %s
"""
    inline = text % ("a.com", "STATIC", "endpoints: [{address: 10.0.0.1, ports: {http: 7}}, {address: 10.0.0.2}]")
    assert addresses(backends(inline, 80, "a.com")) == [("10.0.0.1", 7), ("10.0.0.2", 8080)]
    selected = text % ("a.com", "STATIC", "workloadSelector: {labels: {app: reviews}}")
    selected += entry("a", "address: 10.0.0.9, labels: {app: reviews}")
    assert addresses(backends(selected, 80, "a.com")) == [("10.0.0.9", 8080)]
    assert addresses(backends(text % ("a.com", "DNS", ""), 80, "a.com")) == [("a.com", 8080)]
    assert backends(text % ('"*.a.com"', "NONE", ""), 80, "*.a.com") == ()


def test_the_same_address_twice_is_one_backend() -> None:
    found = backends(
        SERVICE
        + entry("a", "address: 10.0.0.1, labels: {app: reviews, version: v1}")
        + entry("b", "address: 10.0.0.1, labels: {app: reviews, version: v2}")
    )
    assert [backend.name for backend in found] == ["a"]


def test_index_selects_by_all_labels_and_by_none_nothing() -> None:
    one = Workload("one", "default", "10.0.0.1", labels=Map({"app": "a", "version": "v1"}))
    two = Workload("two", "default", "10.0.0.2", labels=Map({"app": "a"}))
    index = WorkloadIndex([one, two])
    assert index.select("default", (("app", "a"),)) == [one, two]
    assert index.select("default", (("app", "a"), ("version", "v1"))) == [one]
    assert index.select("default", (("app", "a"), ("version", "v9"))) == []
    assert index.select("other", (("app", "a"),)) == []
    assert index.select("default", ()) == []
