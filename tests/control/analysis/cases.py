"""One-line ways to write a document and to see what is said of it."""

from __future__ import annotations

from meshd.api.load import Loader
from meshd.control.finding import Finding
from meshd.control.sources.source import read_entries

LOADER = Loader()


def text(kind: str, spec: str, *, name: str = "x", api: str = "networking.istio.io/v1", metadata: str = "") -> str:
    """A document whose ``spec`` is written in flow style."""
    extra = f", {metadata}" if metadata else ""
    return f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}{extra}}}\nspec: {spec}\n"


def findings(source: str) -> tuple[Finding, ...]:
    """Everything found in a text while it is read."""
    return tuple(finding for entry in read_entries(LOADER, source, "f.yaml") for finding in entry.findings)


def said(source: str) -> list[str]:
    """``error spec.http[0]: ...`` for each finding; codes only where they are not the usual ones."""
    usual = {"IST0106", "IST0133"}
    return [
        f"{each.level.lower()}{'' if each.code in usual else ' ' + each.code} {each.path}: {each.message}"
        for each in findings(source)
    ]
