"""Istio's Bookinfo: each of its files, unchanged, over the services, compiles to the routes its task page tells of."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from meshd.api.document import Document
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.snapshot.cluster import TlsMode
from meshd.snapshot.common import HeaderMatch, MatchKind, Percent, StringMatch
from meshd.snapshot.policy import Fault, FaultAbort, FaultDelay
from meshd.snapshot.route import Route
from meshd.snapshot.snapshot import Snapshot
from tests.control.compiler.rendering import GATEWAY, cluster, compiled, endpoints, routes, shares
from tests.control.documents import documents, files
from tests.corpus import corpus_path

NETWORKING = "istio/samples/bookinfo/networking"
PRODUCTPAGE = Scope(name="productpage-v1", labels=(("app", "productpage"), ("version", "v1")), app_ports=(9080,))

WORKLOADS = "---".join(
    f"""
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {app}-{version}}}
spec:
  address: 10.0.{row}.{column}
  serviceAccount: bookinfo-{app}
  labels: {{app: {app}, version: {version}, security.istio.io/tlsMode: istio}}
"""
    for row, (app, versions) in enumerate({"productpage": 1, "details": 2, "reviews": 3, "ratings": 2}.items())
    for column, version in enumerate((f"v{number}" for number in range(1, versions + 1)), start=1)
)


def bookinfo(*names: str) -> tuple[Document, ...]:
    """Services, workloads, and the named files."""
    services = files(corpus_path("istio/samples/bookinfo/platform/kube/bookinfo.yaml"))
    return (*services, *documents(WORKLOADS), *files(*(corpus_path(f"{NETWORKING}/{name}.yaml") for name in names)))


def snapshot(*names: str) -> Snapshot:
    return compiled(bookinfo("destination-rule-all", *names), PRODUCTPAGE)


def of(service: str, *names: str) -> tuple[Route, ...]:
    return routes(snapshot(*names), "9080", f"{service}.default.svc.cluster.local:9080")


def to(service: str, **versions: int) -> dict[str, int]:
    return {
        f"outbound|9080|{version}|{service}.default.svc.cluster.local": share for version, share in versions.items()
    }


def hosts_of(found: Snapshot, names: Iterable[str]) -> list[str]:
    return [endpoint.host for name in names for endpoint in endpoints(found, name)]


ALL = ("productpage", "reviews", "ratings", "details")


def test_all_v1() -> None:
    for service in ALL:
        (route,) = of(service, "virtual-service-all-v1")
        assert shares(route) == to(service, v1=1)
    found = snapshot("virtual-service-all-v1")
    assert hosts_of(found, to("reviews", v1=1)) == ["10.0.2.1"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("virtual-service-reviews-v3", {"v3": 1}),
        ("virtual-service-reviews-50-v3", {"v1": 50, "v3": 50}),
        ("virtual-service-reviews-80-20", {"v1": 80, "v2": 20}),
        ("virtual-service-reviews-90-10", {"v1": 90, "v2": 10}),
        ("virtual-service-reviews-v2-v3", {"v2": 50, "v3": 50}),
    ],
)
def test_weights(name: str, expected: dict[str, int]) -> None:
    (route,) = of("reviews", name)
    assert shares(route) == to("reviews", **expected)
    assert all(hosts_of(snapshot(name), to("reviews", **{version: 1})) for version in expected)


JASON = (HeaderMatch("end-user", StringMatch(MatchKind.EXACT, "jason")),)


@pytest.mark.parametrize(
    ("name", "others"),
    [("virtual-service-reviews-test-v2", "v1"), ("virtual-service-reviews-jason-v2-v3", "v3")],
)
def test_jason_sees_v2(name: str, others: str) -> None:
    jason, everyone = of("reviews", name)
    assert jason.match.headers == JASON
    assert shares(jason) == to("reviews", v2=1)
    assert everyone.match.headers == ()
    assert shares(everyone) == to("reviews", **{others: 1})


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("virtual-service-ratings-test-delay", Fault(delay=FaultDelay(7.0, Percent(1_000_000)))),
        ("virtual-service-ratings-test-abort", Fault(abort=FaultAbort(Percent(1_000_000), http_status=500))),
    ],
)
def test_faults_for_jason(name: str, fault: Fault) -> None:
    jason, everyone = of("ratings", name)
    assert jason.match.headers == JASON
    assert jason.filters == (fault,)
    assert everyone.filters == ()
    assert shares(jason) == shares(everyone) == to("ratings", v1=1)


def test_fault_injection_details() -> None:
    (route,) = of("details", "fault-injection-details-v1")
    assert route.filters == (Fault(abort=FaultAbort(Percent(1_000_000), http_status=555)),)
    assert shares(route) == to("details", v1=1)


def test_details_v2() -> None:
    (route,) = of("details", "virtual-service-details-v2")
    assert shares(route) == to("details", v2=1)


def test_without_rules_every_version_has_its_share() -> None:
    found = snapshot()
    (route,) = routes(found, "9080", "reviews.default.svc.cluster.local:9080")
    assert shares(route) == {"outbound|9080||reviews.default.svc.cluster.local": 1}
    assert hosts_of(found, shares(route)) == ["10.0.2.1", "10.0.2.2", "10.0.2.3"]


def test_destination_rule_all() -> None:
    tls = cluster(snapshot(), "outbound|9080|v2|reviews.default.svc.cluster.local").tls
    assert tls is not None
    assert tls.mode is TlsMode.AUTO


def test_destination_rule_all_mtls() -> None:
    found = compiled(bookinfo("destination-rule-all-mtls"), PRODUCTPAGE)
    for service in ALL:
        tls = cluster(found, f"outbound|9080|v1|{service}.default.svc.cluster.local").tls
        assert tls is not None
        assert tls.mode is TlsMode.ISTIO_MUTUAL


def test_destination_rule_reviews() -> None:
    found = compiled(bookinfo("destination-rule-reviews"), PRODUCTPAGE)
    names = {each.name: each for each in found.clusters if each.service_name == "reviews"}
    assert set(names) == {
        f"outbound|9080|{subset}|reviews.default.svc.cluster.local" for subset in ("", "v1", "v2", "v3")
    }
    assert {each.balancing.value for each in names.values()} == {"RANDOM"}


def test_the_gateway() -> None:
    found = compiled(bookinfo("bookinfo-gateway"), GATEWAY)
    assert [each.name for each in found.listeners] == ["0.0.0.0_8080"]
    listed = routes(found, "http.8080", "*:8080")
    assert [(each.match.path.kind.value, each.match.path.value) for each in listed if each.match.path] == [
        ("exact", "/productpage"),
        ("prefix", "/static"),
        ("exact", "/login"),
        ("exact", "/logout"),
        ("prefix", "/api/v1/products"),
    ]
    target = "outbound|9080||productpage.default.svc.cluster.local"
    assert {name for each in listed for name in shares(each)} == {target}
    assert hosts_of(found, [target]) == ["10.0.0.1"]


def test_files_applied_together_the_older_wins_as_for_istio() -> None:
    both = of("reviews", "virtual-service-all-v1", "virtual-service-reviews-v3")
    assert len(both) == 1
    assert Mesh.of(bookinfo("virtual-service-all-v1", "virtual-service-reviews-v3")).virtual_services
