"""What came of cases, for people and for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

from meshd.api.document import printable
from meshd.testing.cases.outcome import Outcome, Played

NAMES = 60
"""Characters of a case's name before its time is no longer lined up."""


def text(played: Sequence[Played]) -> Iterator[str]:
    """Lines for people: every case, and what is not as expected."""
    for each in played:
        yield f"{each.suite.file}: {printable(each.suite.name)}"
        for finding in each.findings:
            yield f"  {finding}"
        for outcome in each.outcomes:
            yield from _case(outcome)
        yield ""


def summary(played: Sequence[Played], seconds: float) -> str:
    """The last line."""
    outcomes = [outcome for each in played for outcome in each.outcomes]
    failed = sum(not outcome.passed for outcome in outcomes)
    unusable = sum(bool(each.findings) for each in played)
    parts = [f"{failed} failed"] if failed else []
    parts.append(f"{len(outcomes) - failed} passed")
    if unusable:
        parts.append(f"{unusable} without a usable configuration")
    return f"{', '.join(parts)} in {seconds:.2f} s"


def _case(outcome: Outcome) -> Iterator[str]:
    name = printable(outcome.case.name)
    if outcome.passed:
        yield f"  ok    {name.ljust(NAMES)} {outcome.took:.2f} s"
        return
    yield f"  FAIL  {name}"
    yield from (f"        {line}" for line in details(outcome))


def details(outcome: Outcome) -> Iterator[str]:
    """Everything about a case that did not pass."""
    if outcome.error:
        yield printable(outcome.error)
    if outcome.failures:
        width = max(len(failure.field) for failure in outcome.failures)
        places = max(len(str(failure.origin)) for failure in outcome.failures)
    for failure in outcome.failures:
        yield (
            f"{str(failure.origin).ljust(places)}  {failure.field.ljust(width)}{'  ' if width else ''}"
            f"expected {printable(failure.expected)}, got {printable(failure.got)}"
        )
    if outcome.story:
        yield f"what happened: {printable(outcome.story)}"
    if outcome.why:
        yield f"why: {outcome.why[0]}"
        yield from (f"  {line}" for line in outcome.why[1:] if line)


def to_json(played: Iterable[Played]) -> list[dict[str, Any]]:
    """One dictionary a case, and one for each document whose configuration cannot be used."""
    rows: list[dict[str, Any]] = []
    for each in played:
        if each.findings:
            rows.append(
                {
                    "suite": each.suite.name,
                    "file": str(each.suite.file),
                    "result": "unusable",
                    "findings": [finding.to_json() for finding in each.findings],
                }
            )
        rows += [_row(outcome) for outcome in each.outcomes]
    return rows


def _row(outcome: Outcome) -> dict[str, Any]:
    return {
        "suite": outcome.suite.name,
        "file": str(outcome.suite.file),
        "case": outcome.case.name,
        "reference": str(outcome.origin),
        "result": "passed" if outcome.passed else "error" if outcome.error else "failed",
        "failures": [
            {"field": each.field, "expected": each.expected, "got": each.got, "reference": str(each.origin)}
            for each in outcome.failures
        ],
        "error": outcome.error,
        "happened": outcome.story,
        "why": list(outcome.why),
        "seconds": round(outcome.took, 4),
    }


def junit(played: Iterable[Played]) -> str:
    """The XML that build servers read: a suite for each document, a case for each case."""
    root = ElementTree.Element("testsuites", name="meshd test")
    for each in played:
        wrong = [outcome for outcome in each.outcomes if not outcome.passed]
        errors = sum(bool(outcome.error) for outcome in wrong) + bool(each.findings)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_xml(each.suite.name),
            file=str(each.suite.file),
            tests=str(len(each.outcomes) + bool(each.findings)),
            failures=str(sum(not outcome.error for outcome in wrong)),
            errors=str(errors),
            time=f"{sum(outcome.took for outcome in each.outcomes):.3f}",
        )
        if each.findings:
            case = ElementTree.SubElement(suite, "testcase", name="configuration", classname=_xml(each.suite.name))
            lines = "\n".join(map(str, each.findings))
            ElementTree.SubElement(case, "error", message="the configuration cannot be used").text = _xml(lines)
        for outcome in each.outcomes:
            suite.append(_junit_case(outcome))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _junit_case(outcome: Outcome) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        name=_xml(outcome.case.name),
        classname=_xml(outcome.suite.name),
        file=str(outcome.suite.file),
        line=str(outcome.origin.line),
        time=f"{outcome.took:.3f}",
    )
    if outcome.passed:
        return case
    first = outcome.failures[0] if outcome.failures else None
    message = outcome.error or (f"{first.field}: expected {first.expected}, got {first.got}" if first else "")
    found = ElementTree.SubElement(case, "error" if outcome.error else "failure", message=_xml(message))
    found.text = _xml("\n".join(details(outcome)))
    return case


def _xml(text: str) -> str:
    """Text without the characters that XML cannot hold."""
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text)
