"""The catalog is whole: every analysis has its codes, every code its meaning."""

from __future__ import annotations

import json

import pytest

from meshd.api.problem import KIND_NOT_SUPPORTED, KIND_OF_NO_CONCERN, SYNTAX_ERROR
from meshd.control.analysis.advice import ADVICE
from meshd.control.analysis.analysis import Analysis
from meshd.control.analysis.catalog import ANALYSES, ON_REQUEST, analyze, run
from meshd.control.analysis.codes import CODES
from meshd.control.analysis.facts import Facts
from meshd.control.finding import Finding
from tests.control.analysis.cases import LOADER, text
from tests.corpus import corpus_path

EVERY = (*ANALYSES, *ON_REQUEST)
OF_READING = {"IST0106", "IST0133", "MD0002", "MD0005", "MD0006", "MD0007", "MD0008"} | {
    KIND_NOT_SUPPORTED,
    KIND_OF_NO_CONCERN,
    SYNTAX_ERROR,
}
"""Found while documents are read, by no analysis."""


def test_names_are_unique() -> None:
    assert len({analysis.name for analysis in EVERY}) == len(EVERY)


def test_every_code_has_its_meaning_and_every_meaning_its_code() -> None:
    assert ADVICE.keys() == CODES.keys()
    for code, advice in ADVICE.items():
        assert advice.meaning.endswith("."), code
        assert not advice.remedy or advice.remedy.endswith("."), code


def test_every_code_is_found_by_somebody_or_says_why_not() -> None:
    found = {code for analysis in EVERY for code in analysis.codes}
    assert found <= CODES.keys()
    unfound = {code for code, advice in ADVICE.items() if not advice.why_not} - found - OF_READING
    assert {code for code in unfound if code.startswith("IST")} == set()
    assert {code for code, advice in ADVICE.items() if advice.why_not} & found == set()


def test_codes_are_istios() -> None:
    codes = json.loads(corpus_path("expectations/analyzers.json").read_text())["codes"]
    ours = {code.code: (code.name, code.level.value) for code in CODES.values() if code.code.startswith("IST")}
    assert ours == {code: (each["name"], each["level"]) for code, each in codes.items()}


@pytest.mark.parametrize("analysis", EVERY, ids=lambda analysis: analysis.name)
def test_an_analysis_finds_nothing_in_nothing(analysis: Analysis) -> None:
    assert run(Facts.of([]), [analysis]) == ()


def test_the_same_twice_is_said_once() -> None:
    route = "{route: [{destination: {host: lost.example.com}}]}"
    source = f"{{hosts: [a.example.com],\n http: [\n{route},\n{route},\n{route}]}}"
    [loaded] = LOADER.load(text("VirtualService", source), "f.yaml")
    assert loaded.document is not None
    [finding] = [each for each in analyze([loaded.document]) if each.code == "IST0101"]
    assert finding.message == 'nobody has the host "lost.example.com": requests for it get 503 (also in lines 7, 8)'
    assert finding.origin.line == 6


def test_what_depends_on_who_is_there_is_left_out_of_a_running_mesh() -> None:
    def always(_: Facts) -> tuple[Finding, ...]:
        return (Finding("IST0127", CODES["IST0127"].level, "m"),)

    analysis = Analysis("x", "y", ("IST0127",), always, offline=True)
    assert run(Facts.of([], complete=False), [analysis]) == ()
    assert len(run(Facts.of([]), [analysis])) == 1
