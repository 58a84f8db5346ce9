"""Documents together, as Istio judges them: one golden file a case."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshd.api.document import Document
from meshd.control.analysis.catalog import ISTIO, analyze, run
from meshd.control.analysis.facts import Facts
from meshd.control.analysis.istio.vs_gateways import gateway_key
from meshd.control.finding import Finding
from meshd.control.sources.source import read_entries
from tests.control.analysis.cases import LOADER, text

CASES = sorted((Path(__file__).parents[2] / "golden" / "documents").glob("*.yaml"))
RULE = "=" * 20


def load(source: str, file: str = "f.yaml") -> tuple[list[Document], list[Finding]]:
    entries = read_entries(LOADER, source, file)
    documents = [entry.document for entry in entries if entry.document is not None]
    return documents, [finding for entry in entries for finding in entry.findings]


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_golden(case: Path) -> None:
    """YAML, a rule, and everything that is found, read and together."""
    source, rule, expected = case.read_text(encoding="utf-8").partition(f"{RULE}\n")
    assert rule, f"{case.name} has no line of {RULE}"
    documents, findings = load(source, case.name)
    together = run(Facts.of(documents, complete=False), ISTIO)
    everything = sorted([*findings, *together], key=lambda finding: finding.sort_key)
    assert [str(finding) for finding in everything] == expected.splitlines()


def test_there_are_golden_files() -> None:
    assert len(CASES) >= 10


def test_known_hosts_exist() -> None:
    source = text("VirtualService", "{hosts: [a], http: [{route: [{destination: {host: b.example.com}}]}]}")
    documents, _ = load(source)
    assert [finding.code for finding in analyze(documents)] == ["IST0101"]
    assert analyze(documents, known_hosts=["b.example.com"]) == ()
    assert analyze(documents, known_hosts=["*.example.com"]) == ()


def test_the_order_of_documents_does_not_matter() -> None:
    source = "---\n".join(case.read_text(encoding="utf-8").partition(RULE)[0] for case in CASES)
    documents, _ = load(source)
    assert run(Facts.of(documents), ISTIO) == run(Facts.of(documents[::-1]), ISTIO)


def test_no_documents() -> None:
    assert analyze([]) == ()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("gw", ("here", "gw")),
        ("there/gw", ("there", "gw")),
        ("./gw", ("here", "gw")),
        ("gw.there.svc.cluster.local", ("there", "gw")),
    ],
)
def test_names_of_gateways(name: str, key: tuple[str, str]) -> None:
    assert gateway_key(name, "here") == key
