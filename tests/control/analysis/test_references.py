"""Documents together: one golden file a case, and Istio's own analyzers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from meshd.api.document import Document
from meshd.control.analysis.catalog import analyze
from meshd.control.analysis.vs_gateways import gateway_key
from meshd.control.finding import Finding
from meshd.control.sources.source import read_entries
from tests.control.analysis.cases import LOADER, text
from tests.corpus import corpus_path

CASES = sorted((Path(__file__).parents[2] / "golden" / "documents").glob("*.yaml"))
RULE = "=" * 20

ANALYZERS = {
    "virtualservice.ConflictingMeshGatewayHostsAnalyzer": {"IST0109"},
    "virtualservice.GatewayAnalyzer": {"IST0132"},
    "virtualservice.DestinationRuleAnalyzer": {"IST0101"},
    "destinationrule.PodNotSelectedAnalyzer": {"IST0174"},
}
"""Which of our findings each of Istio's analyzers gives."""

NEEDS_KINDS = {
    "virtualServiceKubernetesGateways": "Gateway API is not supported yet",
    "DestinationRuleSubsetsNotSelectPods": "Pods are not supported yet",
}


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
    everything = sorted([*findings, *analyze(documents)], key=lambda finding: finding.sort_key)
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
    assert analyze(documents) == analyze(documents[::-1])


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


def test_istios_analyzers_find_the_same() -> None:
    cases = json.loads(corpus_path("expectations/analyzers.json").read_text())["cases"]
    judged = 0
    for case in cases:
        codes = ANALYZERS.get(case["analyzer"])
        if codes is None or case["name"] in NEEDS_KINDS:
            continue
        documents: list[Document] = []
        for file in case["inputFiles"]:
            documents += load(corpus_path(f"istio/{file}").read_text(), file)[0]
        # One analyzer looks at subsets only, and its files have no services.
        found = [each for each in analyze(documents) if each.code in codes and "host not found" not in each.message]
        got = Counter(
            (finding.code, finding.resource) for finding in found if "gateway not found" not in finding.message
        )
        loaded = {document.key for document in documents}
        expected = Counter(
            (each["code"], resource)
            for each in case["expected"]
            if (resource := f"{each['kind']} {each.get('namespace') or 'default'}/{each['resource']}")
            and any(str(key) == resource for key in loaded)
        )
        if case["name"] == "host defined in virtualservice not found in the gateway":
            # Its last gateway has one port name twice, which Istio's validation refuses and its analyzer is not shown.
            expected -= Counter({("IST0132", "VirtualService default/testing-service-03-test-04"): 1})
        assert got == expected, case["name"]
        judged += 1
    assert judged >= 4
