"""One case a file in ``tests/golden/compile``: Istio YAML, a rule of dashes, the scope, a rule, the snapshot.

The snapshot's part names what it is about: everything it names must be there
and equal, what it gives as ``null`` must be absent, the rest is not looked at.
``MESHD_UPDATE_GOLDEN=1`` writes what is found for what is named; read the diff.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshd.control.scope import Scope
from tests.control.compiler.rendering import compiled, render

FOLDER = Path(__file__).parents[2] / "golden" / "compile"
RULE = re.compile(r"^-{10,}$\n?", re.MULTILINE)
NAMED_LEVELS = {"listeners": 4, "routes": 3, "clusters": 2, "endpoints": 2, "secrets": 2, "telemetry": 1}
"""Down to here names are looked up; what lies below must be equal as a whole."""


def scope_of(text: str) -> Scope:
    given = yaml.safe_load(text) or {}
    given["labels"] = tuple((given.get("labels") or {}).items())
    given["app_ports"] = tuple(given.get("app_ports", ()))
    return Scope(**given)


def pick(expected: Any, found: Any, levels: int) -> Any:
    """What ``found`` has for the names in ``expected``."""
    if levels == 0 or not isinstance(expected, dict) or not isinstance(found, dict):
        return found
    return {name: pick(each, found.get(name), levels - 1) for name, each in expected.items()}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    text = path.read_text()
    configuration, scope, snapshot = RULE.split(text)
    expected = yaml.safe_load(snapshot)
    everything = render(compiled(configuration, scope_of(scope)))
    found = {kind: pick(each, everything[kind], NAMED_LEVELS[kind] - 1) for kind, each in expected.items()}
    if os.environ.get("MESHD_UPDATE_GOLDEN"):
        written = yaml.safe_dump(found, sort_keys=True, width=110, default_flow_style=None)
        path.write_text("\n".join((configuration.rstrip(), "-" * 40, scope.strip(), "-" * 40, written)))
        return
    assert found == expected


def test_there_are_cases() -> None:
    assert len(list(FOLDER.glob("*.yaml"))) >= 12
