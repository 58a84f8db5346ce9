"""What Istio's own analyzers find in Istio's own test files, analyzer by analyzer."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from meshd.api.common import DEFAULT_NAMESPACE
from meshd.control.analysis.catalog import ANALYSES, ON_REQUEST, run
from meshd.control.analysis.facts import Facts
from meshd.modes.offline import load
from tests.corpus import ROOT, corpus_path

TABLE = ROOT / "expectations" / "analyzers.json"
CASES: list[dict[str, Any]] = json.loads(TABLE.read_text())["cases"] if TABLE.exists() else []

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WITHOUT_NAMESPACE = {
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "Namespace",
    "ValidatingWebhookConfiguration",
}


def resource_of(expected: dict[str, Any]) -> str:
    """As a finding names it. Istio's test knows no default namespace."""
    if expected["kind"] in WITHOUT_NAMESPACE:
        return f"{expected['kind']} {expected['resource']}"
    return f"{expected['kind']} {expected['namespace'] or DEFAULT_NAMESPACE}/{expected['resource']}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['analyzer']}: {case['name']}")
def test_the_same_is_found(case: dict[str, Any]) -> None:
    chosen = [analysis for analysis in (*ANALYSES, *ON_REQUEST) if analysis.name == case["analyzer"]]
    assert chosen, f"there is no {case['analyzer']}"
    mesh = case.get("meshConfigFile")
    files = [corpus_path(f"istio/{file}") for file in case["inputFiles"]]
    loaded = load(files, corpus_path(f"istio/{mesh}") if mesh else None)
    facts = Facts.of(loaded.documents, refused=loaded.refused, unusable=loaded.unusable, now=NOW)
    found = Counter((each.code, each.level.value, each.resource) for each in run(facts, chosen))
    assert found == Counter((each["code"], each["level"], resource_of(each)) for each in case["expected"])


def test_there_are_cases_or_no_corpus() -> None:
    assert CASES or not ROOT.exists()


def test_the_words_are_our_own() -> None:
    """Istio's messages are facts about its codes; nobody copies their sentences."""
    templates = json.loads(corpus_path("expectations/analyzers.json").read_text())["codes"]
    phrases = {
        phrase
        for code in templates.values()
        for part in re.split(r"%[a-z]", code["template"])
        if len((phrase := part.strip(" .:()\"'").lower()).split()) >= 3
    }
    assert len(phrases) > 60
    said: set[str] = set()
    for file in sorted(corpus_path("istio/pkg/config/analysis/analyzers/testdata").rglob("*.yaml")):
        loaded = load([file])
        facts = Facts.of(loaded.documents, refused=loaded.refused, unusable=loaded.unusable, now=NOW)
        said |= {finding.message.lower() for finding in run(facts, (*ANALYSES, *ON_REQUEST))}
    assert len(said) > 100
    assert [(phrase, message) for phrase in phrases for message in said if phrase in message] == []
