"""Findings as lines and as JSON."""

from __future__ import annotations

from meshd.api.document import Origin
from meshd.api.problem import Level
from meshd.control.analysis.codes import CODES
from meshd.control.finding import Finding, documentation_url


def test_a_line() -> None:
    finding = Finding(
        "IST0101",
        Level.ERROR,
        'nobody has the host "x"',
        "VirtualService default/reviews",
        Origin("vs.yaml", 9, 7),
    )
    assert str(finding) == ('vs.yaml:9:7: error IST0101 VirtualService default/reviews: nobody has the host "x"')


def test_a_line_without_a_place_or_an_object() -> None:
    assert str(Finding("MD0007", Level.ERROR, "cannot be read")) == "error MD0007: cannot be read"
    assert str(Finding("MD0001", Level.ERROR, "m", origin=Origin("f"), path="a.b")) == "f: error MD0001: a.b: m"


def test_json() -> None:
    finding = Finding("IST0106", Level.WARNING, "unknown field", "Gateway a/b", Origin("g.yaml", 1, 2), "spec.severs")
    assert finding.to_json() == {
        "code": "IST0106",
        "level": "Warning",
        "message": "spec.severs: unknown field",
        "origin": "Gateway a/b",
        "reference": "g.yaml:1:2",
        "documentationUrl": "https://istio.io/latest/docs/reference/config/analysis/ist0106/",
    }
    assert documentation_url("MD0001") == "docs/reference/analysis.md#md0001"
    assert documentation_url("MD9999") == ""


def test_one_line_whatever_it_is_made_of() -> None:
    finding = Finding("IST0106", Level.ERROR, "a\nb\x1b[2J", "Gateway \u202e", Origin("f\n.yaml", 1, 1), "x\ty")
    assert str(finding).isprintable()
    assert finding.to_json()["reference"] == "f\\n.yaml:1:1"


def test_order() -> None:
    info = Finding("MD0004", Level.INFO, "m", origin=Origin("a"))
    late = Finding("IST0106", Level.ERROR, "m", origin=Origin("b"))
    early = Finding("IST0106", Level.ERROR, "m", origin=Origin("a"))
    assert sorted([info, late, early], key=lambda finding: finding.sort_key) == [early, late, info]


def test_codes_have_names() -> None:
    assert Finding("IST0101", Level.ERROR, "m").name == "ReferencedResourceNotFound"
    assert len({code.name for code in CODES.values()}) == len(CODES)
    assert Finding("MD9999", Level.ERROR, "m").name == ""
