"""Explanations as people read them: one story a file in ``tests/golden/explain``.

A command line, a rule of dashes, what it prints, a rule, its configuration.
``MESHD_UPDATE_GOLDEN=1`` writes what is printed; read the diff.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meshd.cli.main import app

FOLDER = Path(__file__).parents[1] / "golden" / "explain"
RULE = re.compile(r"^-{10,}$\n?", re.MULTILINE)
STORIES = sorted(FOLDER.glob("*.txt"))


def tell(path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> tuple[str, str, str, int]:
    """The command, what it should print, what it prints, and its exit code."""
    command, expected, configuration = RULE.split(path.read_text())
    (directory / "mesh.yaml").write_text(configuration)
    monkeypatch.chdir(directory)
    arguments = shlex.split(command.removeprefix("$ meshd "))
    result = CliRunner().invoke(app, [*arguments, *more])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return command.strip(), expected.strip(), result.output.strip(), result.exit_code


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command, expected, found, code = tell(path, tmp_path, monkeypatch)
    found = f"{found}\n\nexit code {code}"
    if os.environ.get("MESHD_UPDATE_GOLDEN"):
        configuration = RULE.split(path.read_text())[2]
        rule = "-" * 40
        path.write_text(f"{command}\n{rule}\n{found}\n{rule}\n{configuration}")
        return
    assert found == expected


def test_there_are_stories() -> None:
    assert len(STORIES) >= 15
