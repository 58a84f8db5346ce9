"""Sets of documents."""

from __future__ import annotations

from meshd.api.document import Document, Origin
from meshd.api.load import Loader
from meshd.api.networking.virtual_service import VirtualService
from meshd.control.sources.source import SourceSet, read_entries, uncertain_files


def test_of_documents() -> None:
    document = Document.of(VirtualService(), "a", origin=Origin("registration"))
    found = SourceSet.of("registrations", [document])
    assert found.name == "registrations"
    [entry] = found.entries
    assert (entry.key, entry.document, entry.file, entry.modified) == (document.key, document, "registration", 0.0)


def test_an_error_of_validation_keeps_a_document_out() -> None:
    text = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n"
        "spec: {hosts: [a], http: [{route: [{destination: {host: b}, weight: -1}]}]}\n"
    )
    [entry] = read_entries(Loader(), text, "f.yaml", 5.0)
    assert entry.document is None
    assert entry.key is not None
    assert entry.modified == 5.0
    assert [str(finding) for finding in entry.findings] == [
        "f.yaml:4:69: error IST0106 VirtualService default/a: spec.http[0].route[0].weight: -1 is negative"
    ]
    assert uncertain_files([entry]) == ()


def test_files_in_which_something_nameless_is_broken() -> None:
    loader = Loader()
    nameless = read_entries(loader, "kind: [", "a.yaml")
    harmless = read_entries(loader, "apiVersion: coordination.k8s.io/v1\nkind: Lease\n", "b.yaml")
    assert uncertain_files([*nameless, *harmless]) == ("a.yaml",)
