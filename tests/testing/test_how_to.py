"""docs/how-to/test-a-mesh.md: what it shows is run."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from meshd import testing
from meshd.testing import Mesh, run_mesh
from meshd.testing.cases import form
from meshd.testing.cases.playing import Options, play
from meshd.testing.cases.reading import VERDICTS, read

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "test-a-mesh.md"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "testing.md"


def test_every_test_of_the_page_passes() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    scope: dict[str, Any] = {}
    exec("\n".join(blocks), scope)
    tests = [value for name, value in scope.items() if name.startswith("test_") and inspect.iscoroutinefunction(value)]
    assert len(tests) == 4
    for test in tests:
        given = {"mesh_seed": 1} if "mesh_seed" in inspect.signature(test).parameters else {}

        async def inside(mesh: Mesh, test: Any = test, given: dict[str, int] = given) -> None:
            await test(mesh, **given)

        run_mesh(inside)


def test_the_cases_of_the_page_pass(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    cases = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    documents = re.search(r'SPLIT = """\n(.*?)"""', text, re.DOTALL)
    assert documents is not None
    (tmp_path / "cases.yaml").write_text(cases[0])
    (tmp_path / "mesh.yaml").write_text("---".join(documents[1].split("---")[2:]))
    suite = read([tmp_path]).suites[0]
    outcomes = play(suite, suite.test.cases, Options()).outcomes
    assert [(outcome.error, outcome.failures) for outcome in outcomes] == [("", ())] * 2


@pytest.mark.parametrize(
    "kind",
    [
        form.MeshTest,
        form.Service,
        form.Case,
        form.Expect,
        form.Respond,
        form.Text,
        form.Span,
        form.Route,
        form.Retries,
    ],
)
def test_every_field_is_in_the_reference(kind: type) -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    missing = [field.name for field in attrs.fields(kind) if f"`{field.name.rstrip('_')}`" not in text]
    assert missing == []


def test_every_name_is_in_the_reference() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    wanted = [*testing.__all__, *(name for name in vars(Mesh) if not name.startswith("_")), *VERDICTS]
    assert [name for name in wanted if not re.search(rf"`{re.escape(name)}\b", text)] == ["forgotten"]
