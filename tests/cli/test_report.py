"""Findings for people."""

from __future__ import annotations

from meshd.api.document import Origin
from meshd.api.problem import Level
from meshd.cli.report import MOST_ALIKE, Style, lines, log_line, summary
from meshd.control.analysis.advice_form import Advice
from meshd.control.finding import Finding

ERROR = Finding("IST0101", Level.ERROR, "one two three four five six seven", "Gateway a/b", Origin("f.yaml", 10, 3))
INFO = Finding("IST0118", Level.INFO, "m", "Service a/c", Origin("f.yaml", 2, 1), "spec.ports")


def test_columns_are_aligned_within_a_file() -> None:
    assert list(lines([ERROR, INFO], {}, Style())) == [
        "f.yaml",
        "  2:1   Info   IST0118  Service a/c",
        "        spec.ports: m",
        "  10:3  Error  IST0101  Gateway a/b",
        "        one two three four five six seven",
        "",
    ]


def test_long_lines_are_broken_at_words() -> None:
    assert list(lines([ERROR], {"IST0101": Advice("m", "do this and that and more")}, Style(width=32))) == [
        "f.yaml",
        "  10:3  Error  IST0101  Gateway a/b",
        "        one two three four five",
        "        six seven",
        "",
        "What to do",
        "  IST0101  do this and that and",
        "           more",
        "",
    ]


def test_colours_only_where_they_are_wanted() -> None:
    assert not any("\x1b" in line for line in lines([ERROR], {}, Style()))
    assert "\x1b[31mError\x1b[0m" in "".join(lines([ERROR], {}, Style(colour=True)))


def test_many_alike_are_counted() -> None:
    many = [
        Finding("IST0118", Level.INFO, "m", f"Service a/{number}", Origin("f", number, 1)) for number in range(1, 9)
    ]
    written = list(lines(many, {}, Style()))
    assert sum("IST0118  Service" in line for line in written) == MOST_ALIKE
    assert "  5 more IST0118 PortNameIsNotUnderNamingConvention (all with -o json)" in written
    errors = [
        Finding("IST0101", Level.ERROR, "m", f"Service a/{number}", Origin("f", number, 1)) for number in range(1, 9)
    ]
    assert sum("IST0101" in line for line in lines(errors, {}, Style())) == 8


def test_kinds_of_no_concern_are_only_counted() -> None:
    one = Finding("MD0004", Level.INFO, "m", "Job a/b", Origin("f", 1, 1))
    assert list(lines([one], {}, Style())) == ["f", "  1 MD0004 KindOfNoConcern (all with -o json)", ""]


def test_what_has_no_place() -> None:
    assert list(lines([Finding("MD0007", Level.ERROR, "m")], {}, Style())) == [
        "(nowhere)",
        "  -  Error  MD0007",
        "     m",
        "",
    ]


def test_the_last_line() -> None:
    assert summary([ERROR, ERROR, INFO], "3 documents", 0) == "2 errors, 1 info in 3 documents."
    assert summary([], "3 documents", 2) == "No problems in 3 documents (2 suppressed)."


def test_a_line_of_istioctls() -> None:
    assert log_line(INFO) == "Info [IST0118] (Service a/c f.yaml:2:1) spec.ports: m"


def test_nothing_that_a_terminal_would_obey() -> None:
    evil = Finding("MD0007", Level.ERROR, "a\x1b[2J", origin=Origin("f\x1b[2J"))
    assert not any("\x1b" in line for line in (*lines([evil], {}, Style()), log_line(evil)))
