"""Documents, their keys, their order, and paths into them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshd.api.common import Map
from meshd.api.document import Document, Key, Origin, format_path, parse_path
from meshd.api.kubernetes import Namespace, Secret
from meshd.api.networking.virtual_service import VirtualService


def test_origin_reads_as_editors_expect() -> None:
    assert str(Origin("vs.yaml", 9, 7)) == "vs.yaml:9:7"
    assert str(Origin("vs.yaml", 9)) == "vs.yaml:9"
    assert str(Origin("registration")) == "registration"


def test_paths_as_text() -> None:
    path = ("spec", "http", 0, "headers", "a.b", 'say "x"', "")
    text = 'spec.http[0].headers["a.b"]["say \\"x\\""][""]'
    assert format_path(path) == text
    assert parse_path(text) == path


@given(st.lists(st.text(max_size=6) | st.integers(0, 99), max_size=5))
def test_paths_survive_being_text(path: list[str | int]) -> None:
    assert parse_path(format_path(path)) == tuple(path)


def test_versions_of_a_kind_are_one_object() -> None:
    one = Document("VirtualService", "networking.istio.io/v1", "default", "a", VirtualService())
    other = Document("VirtualService", "networking.istio.io/v1beta1", "default", "a", VirtualService())
    assert one.key == other.key == Key("networking.istio.io", "VirtualService", "default", "a")
    assert str(one) == "VirtualService default/a"


def test_of_knows_the_kind() -> None:
    document = Document.of(VirtualService(hosts=("a",)), "a", namespace="prod", labels=Map({"x": "y"}))
    assert (document.api_version, document.namespace, document.labels["x"]) == ("networking.istio.io/v1", "prod", "y")
    assert Document.of(Namespace(), "prod").namespace == ""
    assert str(Document.of(Namespace(), "prod")) == "Namespace prod"
    assert document.origin_of("spec.hosts") == Origin()
    assert not document.has(("spec", "hosts"))


def test_seniority() -> None:
    def document(name: str, created: str = "", namespace: str = "default") -> Document:
        return Document.of(VirtualService(), name, namespace=namespace, creation_timestamp=created)

    old = document("z", "2020-01-01T00:00:00.000000Z")
    young = document("a", "2021-01-01T00:00:00.000000Z")
    assert sorted(
        [document("b"), document("a"), young, document("c", namespace="app"), old], key=lambda x: x.seniority
    ) == [
        old,
        young,
        document("c", namespace="app"),
        document("a"),
        document("b"),
    ]


def test_secrets_are_never_printed() -> None:
    document = Document.of(Secret(data=Map({"tls.key": "c2VjcmV0"}), stringData=Map({"x": "hidden"})), "cert")
    assert "c2VjcmV0" not in repr(document)
    assert "hidden" not in repr(document)
