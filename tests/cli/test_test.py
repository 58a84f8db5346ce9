"""``meshd test``: exit codes, choices, and what it prints."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import Result
from typer.testing import CliRunner

from meshd.cli.main import app

EXAMPLES = Path(__file__).parents[2] / "examples" / "testing"
PASSES = "- {name: it is there, from: page, call: GET http://page/, expect: {status: 200}}\n"
FAILS = "- {name: it is gone, from: page, call: GET http://page/, expect: {status: 404}}\n"
NOBODY = "- {name: who, from: nobody, call: GET http://page/, expect: {status: 404}}\n"


def cases(tmp_path: Path, *lines: str, name: str = "cases.yaml") -> Path:
    file = tmp_path / name
    head = "apiVersion: meshd.dev/v1\nkind: MeshTest\nmetadata: {name: pages}\nservices: {page: <here>}\ncases:\n"
    file.write_text(head + "".join(lines))
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["test", *map(str, arguments)])


def test_the_examples_pass() -> None:
    before = logging.getLogger("meshd").level
    result = run(EXAMPLES)
    assert logging.getLogger("meshd").level == before
    assert result.exit_code == 0, result.output
    assert "failed" not in result.output
    assert " passed in " in result.output


def test_a_failing_case_is_told_with_its_place_and_reason(tmp_path: Path) -> None:
    file = cases(tmp_path, PASSES, FAILS)
    result = run(file)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == f"{file}: pages"
    assert lines[1].startswith("  ok    it is there ")
    assert lines[2] == "  FAIL  it is gone"
    assert lines[3].strip() == f"{file}:7:75  status  expected 404, got 200"
    assert lines[4].strip() == "what happened: 200 from page after 0 s"
    assert lines[5].strip().startswith("why: allow: it goes to page.default")
    assert lines[-1].startswith("1 failed, 1 passed in ")


def test_json(tmp_path: Path) -> None:
    rows = json.loads(run(cases(tmp_path, PASSES, FAILS, NOBODY), "-o", "json").stdout)
    assert [row["result"] for row in rows] == ["passed", "failed", "error"]
    assert rows[1]["failures"] == [
        {"field": "status", "expected": "404", "got": "200", "reference": f"{tmp_path}/cases.yaml:7:75"}
    ]
    assert "nobody is called 'nobody'" in rows[2]["error"]


def test_junit(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    assert run(cases(tmp_path, PASSES, FAILS, NOBODY), "--junit", report).exit_code == 1
    suite = ElementTree.parse(report).getroot()[0]
    assert (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("errors")) == (
        "pages",
        "3",
        "1",
        "1",
    )
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"]]
    assert suite[1][0].get("message") == "status: expected 404, got 200"
    assert suite[1].get("line") == "7"
    result = run(cases(tmp_path, PASSES), "--junit", tmp_path / "no" / "report.xml")
    assert result.exit_code == 2


def test_cases_can_be_chosen_and_listed(tmp_path: Path) -> None:
    file = cases(tmp_path, PASSES, FAILS)
    assert run(file, "-k", "THERE").exit_code == 0
    assert run(file, "-k", "pages").exit_code == 1
    result = run(file, "-k", "there", "--list")
    assert result.stdout == f"{file}:6:3: pages: it is there\n"
    assert json.loads(run(file, "--list", "-o", "json").stdout)[1]["case"] == "it is gone"
    result = run(file, "-k", "nothing")
    assert result.exit_code == 2
    assert "no case has 'nothing' in its name" in result.output


def test_what_cannot_be_used_is_65(tmp_path: Path) -> None:
    file = cases(tmp_path, PASSES)
    bad = tmp_path / "bad.yaml"
    bad.write_text("kind: VirtualService\n")
    result = run(file)
    assert result.exit_code == 65
    assert "bad.yaml:1:1" in result.stdout
    assert "1 without a usable configuration" in result.stdout
    report = tmp_path / "report.xml"
    rows = json.loads(run(file, "-o", "json", "--junit", report).stdout)
    assert rows[0]["result"] == "unusable"
    assert ElementTree.parse(report).getroot()[0].get("errors") == "1"
    bad.unlink()
    wrong = cases(tmp_path, "- {name: a}\n", name="wrong.yaml")
    result = run(wrong)
    assert result.exit_code == 65
    assert "wrong.yaml:6:3" in result.stderr
    # What can be played is played all the same.
    result = run(file, wrong)
    assert result.exit_code == 65
    assert "1 passed" in result.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(empty).exit_code == 65


@pytest.mark.parametrize("arguments", [[], ["nowhere.yaml"], ["--seed", "x", "."], ["-o", "xml", "."]])
def test_usage(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_mesh_config_is_given_to_every_file(tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    settings.mkdir()
    (settings / "mesh.yaml").write_text("outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n")
    tests = tmp_path / "tests"
    tests.mkdir()
    case = "- {name: a, from: page, call: GET http://elsewhere.example.com/, expect: {status: 502}}\n"
    file = cases(tests, case)
    assert run(file, "--mesh-config", settings / "mesh.yaml").exit_code == 0, run(file).output
    assert run(file).exit_code == 1
