"""What Istio ships: no false alarm in its samples, no failure over documents of any kind of brokenness."""

from __future__ import annotations

import json

import yaml

from meshd.api.problem import Level
from meshd.control.analysis.catalog import run
from meshd.control.analysis.facts import Facts
from meshd.control.analysis.own import OWN
from meshd.control.sources.source import read_entries
from tests.control.analysis.cases import LOADER
from tests.corpus import corpus_path

MEANT = {("fault-injection-details-v1.yaml", "MD0020")}
"""Samples that do on purpose what a warning is for."""


def test_samples_give_no_warnings() -> None:
    found = set()
    for file in sorted(corpus_path("istio/samples").rglob("*.yaml")):
        entries = read_entries(LOADER, file.read_bytes(), file.name)
        documents = [entry.document for entry in entries if entry.document is not None]
        findings = run(Facts.of(documents), OWN)
        found |= {(file.name, finding.code) for finding in findings if finding.level is not Level.INFO}
    assert found == MEANT


def test_broken_documents_are_judged_without_failing() -> None:
    rows = json.loads(corpus_path("expectations/validation.json").read_text())["resources"]
    refused = []
    for number, row in enumerate(rows):
        text = yaml.safe_dump(row["doc"])
        for entry in read_entries(LOADER, text, f"{number}.yaml"):
            document = entry.document or entry.refused
            if document is not None:
                refused.append(document)
                list(run(Facts.of([], refused=[document]), OWN))
    assert len(refused) > 150
    list(run(Facts.of([], refused=refused), OWN))
