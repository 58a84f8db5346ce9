"""The documents speak of what is there: files, links, commands, flags."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MODULE = re.compile(r"`((?:meshd/)?[a-z_0-9]+(?:/[a-z_0-9]+)*/(?:[a-z_0-9]+\.py)?|[a-z_0-9]+\.py)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_pages_name_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [target for target in LINK.findall(text) if not (page.parent / target).exists()]
    assert links == [], "broken links"
    missing = []
    for name in MODULE.findall(text):
        places = (ROOT / name, ROOT / "meshd" / name, ROOT / "meshd" / "modes" / "demo" / name, page.parent / name)
        examples = (ROOT / "examples" / "quickstart" / name,)
        if not any(place.exists() for place in (*places, *examples)):
            missing.append(name)
    assert missing == [], "modules that do not exist"


@pytest.mark.parametrize("name", ["analysis", "cli", "fields", "limits"])
def test_generated_references_are_current(name: str) -> None:
    target = ROOT / "docs" / "reference" / f"{name}.md"
    command = [sys.executable, "-m", f"tools.{name}_reference", "--check", str(target)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
