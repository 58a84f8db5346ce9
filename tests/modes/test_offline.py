"""Configuration read once, from files, directories and a pipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from meshd.modes.offline import load
from tests.control.analysis.cases import text

GATEWAY = text("Gateway", "{servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example]}]}", name="g")
REFUSED = text("Gateway", "{servers: [{port: {number: 0, name: http, protocol: HTTP}, hosts: [a.example]}]}", name="g")


def test_a_directory_is_read_with_all_that_is_below(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "g.yaml").write_text(GATEWAY)
    found = load([tmp_path])
    assert [str(document) for document in found.documents] == ["Gateway default/g"]
    assert found.documents[0].origin.file == str(tmp_path / "deep" / "g.yaml")
    assert found.errors == ()


def test_what_is_piped_in_wins(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(text("Gateway", "{servers: []}", name="g"))
    found = load([tmp_path, "-"], stdin=GATEWAY)
    assert [document.origin.file for document in found.documents] == ["<stdin>"]


def test_standard_input_is_read_only_when_it_is_named(tmp_path: Path) -> None:
    assert load([tmp_path], stdin=GATEWAY).documents == ()


def test_what_breaks_a_rule_is_apart() -> None:
    found = load(["-"], stdin=REFUSED)
    assert found.documents == ()
    assert [str(document) for document in found.refused] == ["Gateway default/g"]
    assert found.unusable == frozenset()
    assert found.errors


def test_a_good_form_makes_up_for_a_bad_one(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(GATEWAY)
    found = load([tmp_path, "-"], stdin=REFUSED)
    assert len(found.documents) == 1
    assert found.refused == ()


def test_what_cannot_be_understood_is_known_by_name() -> None:
    found = load(["-"], stdin=text("Gateway", "{severs: []}", name="g"))
    assert [str(key) for key in found.unusable] == ["Gateway default/g"]


def test_a_path_that_is_not_there() -> None:
    [finding] = load(["nowhere.yaml"]).findings
    assert finding.code == "MD0007"
    assert "no such file" in finding.message


def test_it_needs_no_event_loop() -> None:
    program = "import sys, meshd.modes.offline; sys.exit('trio' in sys.modules or 'cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
