"""Whose configuration it is."""

from __future__ import annotations

from meshd.control.scope import Scope, peer_of


def test_labels_are_sorted_so_that_equal_scopes_are_equal() -> None:
    assert Scope(labels=(("b", "2"), ("a", "1"))) == Scope(labels=(("a", "1"), ("b", "2")))


def test_identity() -> None:
    assert Scope(namespace="n", service_account="s", trust_domain="t.org").identity == "spiffe://t.org/ns/n/sa/s"


def test_canonical_names() -> None:
    labels = {"app": "reviews", "version": "v1"}
    peer = peer_of(labels, workload="reviews-v1", namespace="n", principal="p")
    assert (peer.workload, peer.canonical_service, peer.canonical_revision) == ("reviews-v1", "reviews", "v1")
    said = {
        **labels,
        "service.istio.io/canonical-name": "canon",
        "service.istio.io/canonical-revision": "r9",
        "service.istio.io/workload-name": "deployment",
    }
    peer = peer_of(said, workload="reviews-v1", namespace="n", principal="")
    assert (peer.workload, peer.app, peer.canonical_service, peer.canonical_revision) == (
        "deployment",
        "reviews",
        "canon",
        "r9",
    )
    kubernetes = {"app.kubernetes.io/name": "k", "app.kubernetes.io/version": "v7", **labels}
    peer = peer_of(kubernetes, workload="", namespace="n", principal="")
    assert (peer.canonical_service, peer.canonical_revision) == ("k", "v7")
    assert peer_of({}, workload="w", namespace="n", principal="").canonical_revision == "latest"
