"""The mesh: the same whatever the order of its documents, and what it looks up."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.api.document import Document, Origin
from meshd.control.mesh import Mesh
from tests.control.documents import documents


def service(name: str, namespace: str = "default", stamp: str = "", port: int = 80) -> str:
    stamped = f', creationTimestamp: "{stamp}"' if stamp else ""
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {namespace}{stamped}}}
spec: {{hosts: [a.com], ports: [{{number: {port}, name: http}}], resolution: NONE}}
"""


def test_an_empty_mesh() -> None:
    mesh = Mesh.of([])
    assert mesh.services == ()
    assert mesh.visible_services("default") == ()
    assert mesh.service("a.com", "default") is None


def test_a_namespace_sees_its_own_service_first_then_the_oldest() -> None:
    mesh = Mesh.of(
        documents(
            service("a", "north")
            + service("b", "south")
            + service("c", "east", stamp="2020-01-01T00:00:00Z")
            + service("d", "west", stamp="2019-01-01T00:00:00Z")
        )
    )
    seen = {viewer: mesh.service("a.com", viewer) for viewer in ("north", "south", "elsewhere")}
    assert {viewer: found.namespace for viewer, found in seen.items() if found} == {
        "north": "north",
        "south": "south",
        "elsewhere": "west",
    }
    assert [found.namespace for found in mesh.visible_services("elsewhere")] == ["west"]


def test_a_kubernetes_service_answers_for_its_host_before_a_service_entry() -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: aaa, creationTimestamp: "2001-01-01T00:00:00Z"}
spec: {hosts: [web.shop.svc.cluster.local], ports: [{number: 1, name: http}], resolution: NONE}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 2, name: http}]}
"""
    found = Mesh.of(documents(text)).service("web.shop.svc.cluster.local", "other")
    assert found is not None
    assert found.only_port == 2


def test_declarations_of_one_host_in_one_namespace_are_one_service() -> None:
    mesh = Mesh.of(documents(service("b", port=81) + service("a", port=80)))
    (found,) = mesh.services
    assert [port.number for port in found.ports] == [80, 81]
    assert found.seniority[2] == "a"


def test_the_same_object_twice_counts_once_whatever_the_order() -> None:
    one, two = documents(service("a", port=80)), documents(service("a", port=81))
    forth, back = Mesh.of((*one, *two)), Mesh.of((*two, *one))
    assert forth.services == back.services
    assert len(forth.services) == 1


def test_where_a_document_was_written_leaves_no_trace() -> None:
    here = documents(service("a"))
    there = tuple(attrs.evolve(document, origin=Origin("/elsewhere/b.yaml", 9, 9), marks=None) for document in here)
    assert Mesh.of(here).services == Mesh.of(there).services


ALL = documents(
    "".join(
        service(name, namespace, port=port)
        for name, namespace, port in [("a", "north", 1), ("b", "north", 2), ("c", "south", 3)]
    )
    + """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec: {hosts: [a.com], http: [{route: [{destination: {host: a.com}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: u, creationTimestamp: "2020-01-01T00:00:00Z"}
spec: {hosts: [a.com], http: [{route: [{destination: {host: b.com}}]}]}
"""
)


@settings(max_examples=30)
@given(st.permutations(ALL))
def test_order_does_not_matter(shuffled: list[Document]) -> None:
    expected, found = Mesh.of(ALL), Mesh.of(shuffled)
    assert found.services == expected.services
    assert found.backends == expected.backends
    assert found.virtual_services == expected.virtual_services
    assert [rule.name for rule in found.virtual_services] == ["u", "v"]
