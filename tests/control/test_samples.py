"""Istio's own samples: Bookinfo without a word, the others without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshd.api.load import Loader
from meshd.api.problem import Level
from meshd.control.analysis.catalog import analyze, run
from meshd.control.analysis.facts import Facts
from meshd.control.ingest import load_paths
from meshd.control.sources.source import read_entries
from meshd.modes.offline import load
from tests.corpus import corpus_path

DEMO = (
    "virtual-service-all-v1",
    "virtual-service-reviews-v3",
    "virtual-service-reviews-50-v3",
    "virtual-service-reviews-80-20",
    "virtual-service-reviews-90-10",
    "virtual-service-reviews-test-v2",
    "virtual-service-reviews-v2-v3",
    "virtual-service-reviews-jason-v2-v3",
    "virtual-service-ratings-test-delay",
    "virtual-service-ratings-test-abort",
    "virtual-service-details-v2",
    "fault-injection-details-v1",
    "destination-rule-all",
    "destination-rule-all-mtls",
    "destination-rule-reviews",
)


def test_bookinfos_networking_is_taken_without_a_word() -> None:
    folder = corpus_path("istio/samples/bookinfo/networking")
    loader = Loader()
    read = 0
    for file in sorted(folder.glob("*.yaml")):
        for entry in read_entries(loader, file.read_bytes(), file.name):
            worse = [str(finding) for finding in entry.findings if finding.level is not Level.INFO]
            assert worse == []
            read += entry.document is not None
    assert read > 30


def test_what_the_demo_applies_refers_to_what_is_there() -> None:
    networking = "istio/samples/bookinfo/networking"
    base = [corpus_path("istio/samples/bookinfo/platform/kube/bookinfo.yaml")]
    base.append(corpus_path(f"{networking}/bookinfo-gateway.yaml"))
    for name in DEMO:
        rules = [corpus_path(f"{networking}/destination-rule-all.yaml"), corpus_path(f"{networking}/{name}.yaml")]
        documents, _ = load_paths([*base, *rules])
        # The second version of details comes with a file of its own, which is not among these.
        expected = ["IST0173"] if name == "virtual-service-details-v2" else []
        assert [finding.code for finding in analyze(documents) if finding.level is Level.ERROR] == expected, name


@pytest.mark.parametrize("folder", ["istio/samples", "istio-1.4.0", "istio/pkg", "gateway-api", "api"])
def test_whatever_else_there_is_gives_no_traceback(folder: str) -> None:
    loader = Loader()
    root: Path = corpus_path(folder)
    files = [*root.rglob("*.yaml"), *root.rglob("*.yml"), *root.rglob("*.json")]
    assert files
    for file in files:
        entries = read_entries(loader, file.read_bytes(), file.name)
        for entry in entries:
            for finding in entry.findings:
                assert str(finding).isprintable()
                assert finding.origin.line >= 1
        analyze([entry.document for entry in entries if entry.document is not None])


def test_bookinfo_as_it_is_applied_has_neither_errors_nor_warnings() -> None:
    folder = corpus_path("istio/samples/bookinfo")
    files = ("platform/kube/bookinfo", "networking/bookinfo-gateway", "networking/destination-rule-all")
    for routes in ("virtual-service-all-v1", "virtual-service-reviews-test-v2", "virtual-service-reviews-v3"):
        loaded = load([*(folder / f"{file}.yaml" for file in files), folder / "networking" / f"{routes}.yaml"])
        everything = (*loaded.findings, *run(Facts.of(loaded.documents)))
        assert [str(each) for each in everything if each.level is not Level.INFO] == [], routes
