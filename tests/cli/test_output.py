"""Tables for people, JSON and YAML for programs."""

from __future__ import annotations

import json

import pytest
import yaml

from meshd.cli.output import emit, table

ROWS = [{"name": "reviews", "ready": True, "last_seen": 3}, {"name": "a\x1b[31m\n", "ready": False, "last_seen": None}]


def test_tables_are_aligned() -> None:
    lines = table(("name", "last_seen", "ready"), ROWS).splitlines()
    assert lines[0] == "NAME      LAST SEEN   READY"
    assert lines[1] == "reviews   3           yes"
    assert lines[2] == "a?[31m?   -           no", "what a stranger named cannot move the cursor"


@pytest.mark.parametrize(("format", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_get_everything(format: str, load: object, capsys: pytest.CaptureFixture[str]) -> None:
    emit(format, ("name",), ROWS, empty="none")
    assert load(capsys.readouterr().out) == ROWS  # type: ignore[operator]


def test_no_rows(capsys: pytest.CaptureFixture[str]) -> None:
    emit("table", ("name",), [], empty="meshd: none")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "meshd: none\n")
    emit("json", ("name",), [], empty="meshd: none")
    assert capsys.readouterr().out == "[]\n"
