"""``meshd version``: a line for people, one object for programs."""

from __future__ import annotations

import json

import yaml
from typer.testing import CliRunner

from meshd import __version__
from meshd.cli.main import app


def test_programs_get_one_object() -> None:
    for output, load in (("json", json.loads), ("yaml", yaml.safe_load)):
        result = CliRunner().invoke(app, ["version", "-o", output])
        assert result.exit_code == 0
        assert load(result.stdout)["meshd"] == __version__


def test_people_get_a_line() -> None:
    result = CliRunner().invoke(app, ["version"])
    assert result.stdout.startswith(f"meshd {__version__} (Python ")
    assert CliRunner().invoke(app, ["version", "--short"]).stdout == f"{__version__}\n"
