"""All kinds: names, labels, the number of findings, and Istio's own cases."""

from __future__ import annotations

import json

import pytest

from meshd.api.kinds import KINDS
from meshd.api.load import Loader
from meshd.api.problem import Level
from meshd.control.analysis.validation import MOST_PROBLEMS, validate
from tests.control.analysis.cases import said, text
from tests.corpus import corpus_path

ISTIO_KINDS = {kind.name for kind in KINDS if kind.group.endswith("istio.io")}

NOT_HEEDED = {
    "TestValidateAuthorizationPolicy/6": "CUSTOM is not supported yet, so what it may not say is not checked",
}


@pytest.mark.parametrize(
    ("name", "metadata", "message"),
    [
        ("Reviews", "", '"Reviews" is not a name: lower-case letters'),
        ("a", "namespace: A", '"A" is not a namespace'),
        ("a", "labels: {a: '-'}", 'metadata.labels.a: "-" is not a label\'s value'),
    ],
)
def test_metadata(name: str, metadata: str, message: str) -> None:
    assert message in said(text("WorkloadEntry", "{address: 1.2.3.4}", name=name, metadata=metadata))[0]


def test_the_number_of_findings_is_bounded() -> None:
    entries = ", ".join("''" for _ in range(500))
    lines = said(text("ServiceEntry", f"{{hosts: [a], subjectAltNames: [{entries}]}}"))
    assert len(lines) == MOST_PROBLEMS


def test_istio_judges_the_same() -> None:
    cases = json.loads(corpus_path("expectations/validation.json").read_text())["resources"]
    loader = Loader()
    differing = []
    judged = 0
    for case in cases:
        source = json.dumps(case["doc"])
        if case["kind"] not in ISTIO_KINDS or "_unresolved" in source or case["id"] in NOT_HEEDED:
            continue
        [loaded] = loader.load(source, "case.json")
        problems = [*loaded.problems, *(validate(loaded.document) if loaded.document is not None else ())]
        errors = [problem.text for problem in problems if problem.level is Level.ERROR]
        judged += 1
        if bool(case["valid"]) is bool(errors):
            differing.append((case["id"], case["name"], errors))
    assert differing == []
    assert judged > 100
